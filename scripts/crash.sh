#!/usr/bin/env bash
# Kills nodes, cuts their power and breaks their disks, N times, and leaves what
# the suites print in docs/bench/crash-N.txt, with date, command and machine.
set -euo pipefail
cd "$(dirname "$0")/.."
n=${1:-200}
out=docs/bench/crash-$n.txt
mkdir -p docs/bench

say() { printf '%s\n' "$@"; }
suite() { # NAME, then what to run
	local begun=$SECONDS
	say "" "## $1" "$ ${*:2}"
	local failed=0
	env "${@:2}" >"$out.said" 2>&1 || failed=1
	grep -v '^=== \|^PASS$' "$out.said" || true
	rm "$out.said"
	say "$((SECONDS - begun)) s"
	[ $failed -eq 0 ] || { say "FAILED"; exit 1; }
}

{
	say "make crash N=$n" "$(date -u +%Y-%m-%dT%H:%MZ), commit $(git rev-parse --short HEAD)"
	say "$(nproc) cores, $(awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo), Linux $(uname -r), $(df --output=fstype . | tail -1)"
	suite "SIGKILL under load, on the real disk" \
		PARLEY_KILLS="$n" go test ./internal/crashtest -count=1 -timeout 2h -v -run TestKill
	suite "power cuts at any operation, on a simulated disk that keeps 0 to 90 % of what was not synced" \
		PARLEY_SEEDS=$((5 * n)) go test ./internal/sim -count=1 -timeout 2h -v -run TestPowerCuts
	suite "the same commands through the wal and through a log that loses its tail" \
		PARLEY_SEEDS="$n" go test ./internal/sim -count=1 -timeout 2h -v -run TestTruncating
	suite "power cuts, the engine alone" \
		PARLEY_SEEDS=$((5 * n)) go test ./engine -count=1 -timeout 2h -v -run TestCrash
	suite "power cuts, the log alone" \
		PARLEY_SEEDS=$((5 * n)) go test ./wal -count=1 -timeout 2h -v -run TestPowerCut
	suite "the Nth write, or the Nth sync, fails with EIO; system calls traced" \
		PARLEY_FAULTS=50 PARLEY_FAULT_STEP=1 go test ./internal/crashtest -count=1 -timeout 2h -v -run TestFailedWrites
} | tee "$out.new"
mv "$out.new" "$out"
say "written to $out"
