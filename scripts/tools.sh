#!/usr/bin/env bash
# Installs the tools named, those that the machine lacks: tools.sh strace chromium.
# Without a name, what the tests need.
set -euo pipefail

declare -A package=([strace]=strace [chromium]=chromium [node]=nodejs [npm]=npm [protoc]=protobuf-compiler [redis-server]=redis-server [redis-cli]=redis-tools)
[ $# -gt 0 ] || set -- strace chromium node npm redis-server redis-cli

# The clients in TypeScript are built and tested with Node 20.19 or later. Where the
# system's is older, one comes from npm, into bin/node, where the Makefile looks first.
current_node() {
	node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)' 2>/dev/null
}
node_of_npm() {
	[[ " $* " != *" node "* ]] || current_node || npm install --prefix bin/node --no-save --silent node@22
}

cd "$(dirname "$0")/.."
PATH=$PWD/bin/node/node_modules/.bin:$PATH
missing=()
for tool in "$@"; do
	command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
if [ ${#missing[@]} -eq 0 ]; then
	node_of_npm "$@"
	exit
fi

if ! command -v apt-get >/dev/null; then
	echo "please install: ${missing[*]}" >&2
	exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
node_of_npm "$@"
