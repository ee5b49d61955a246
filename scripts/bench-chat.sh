#!/usr/bin/env bash
# Makes docs/bench/chat-*: the runs that docs/bench/README.md describes. With
# DURATION=2s it is over soon; with OUT=DIR it writes elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${OUT:-docs/bench}
duration=${DURATION:-30s}
go build -buildvcs=true -o bin/parley ./cmd/parley
mkdir -p "$out"

run() {
	local name=$1
	shift
	bin/parley bench chat --users 1000 --conversations 100000 --duration "$duration" --warmup 5s \
		"$@" --json "$out/chat-$name.json" | tee "$out/chat-$name.txt"
	echo
}

run open-2000 --rate 2000
run closed-32 --inflight 32
run closed-1 --inflight 1
