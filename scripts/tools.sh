#!/usr/bin/env bash
# Installs the tools named, those that the machine lacks: tools.sh strace chromium.
# Without a name, what the tests need.
set -euo pipefail

declare -A package=([strace]=strace [chromium]=chromium [node]=nodejs [npm]=npm [protoc]=protobuf-compiler [redis-server]=redis-server [redis-cli]=redis-tools)
[ $# -gt 0 ] || set -- strace chromium node npm redis-server redis-cli

missing=()
for tool in "$@"; do
	command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "please install: ${missing[*]}" >&2
	exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
