#!/usr/bin/env bash
# Proves that the tests notice: puts every fault of internal/mutant into Parley,
# one at a time, and runs the test that must catch it. Prints a table. Each test
# is also run without a fault, and must pass.
set -euo pipefail
cd "$(dirname "$0")/.."

# fault, package, test, setting. A test that says "survives" must pass with the
# fault alive: it is one that Parley mends.
faults() {
	cat <<-'END'
		cut-before-segment       engine        TestCrash
		cut-past-log             engine        TestOneState
		linked-again             engine        TestOneState
		replay-skipped           engine        TestOneState
		ack-before-write         wal           TestPowerCut
		ack-before-write         internal/crashtest  TestFailedWrites      PARLEY_TAGS=mutants
		dir-sync-forgotten       wal           TestPowerCut
		dir-sync-forgotten       engine        TestCrash
		epoch-reused             wal           TestTornWrite
		two-frames-in-one-write  wal           TestTornWrite
		option-in-apply          internal/sim  TestPowerCuts               PARLEY_SEEDS=60
		disk-in-apply            internal/sim  TestTruncatingLogUnderChat  PARLEY_SEEDS=60
		delete-before-commit     engine        TestLogOutlastsTheCommit
		number-out-of-order      engine        TestDecide
		push-dropped             gateway       TestLostPushesAreTold       survives
	END
}

for name in $(sed -n 's/^\t[A-Za-z]* *Name = "\(.*\)"/\1/p' internal/mutant/doc.go); do
	faults | grep -q "^$name " || { echo "mutants: no test is named for $name" >&2; exit 1; }
done

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
for package in $(faults | awk '{print $2}' | sort -u); do
	${GO:-go} test -c -tags mutants -o "$bin/${package//\//-}" "./$package"
done

# run FAULT PACKAGE TEST SETTING: succeeds if the test passes, and leaves what it
# said in $bin/said and how long it took in $took.
run() {
	local begun=$EPOCHREALTIME passed=0
	(cd "$2" && env "PARLEY_MUTANT=$1" "${4:-A=}" timeout 300 "$bin/${2//\//-}" -test.run "^$3\$" -test.v) >"$bin/said" 2>&1 || passed=1
	grep -q -- '^--- SKIP\|no tests to run' "$bin/said" && passed=1
	took=$(awk "BEGIN {printf \"%.1f\", $EPOCHREALTIME - $begun}")
	return $passed
}

failed=0
printf '%-24s  %-42s  %s\n' fault 'caught by' seconds
while read -r package test setting; do
	[ "$setting" = survives ] && continue
	if ! run '' "$package" "$test" "$setting"; then
		tail -20 "$bin/said" >&2
		echo "mutants: $package $test fails without a fault" >&2
		failed=1
	fi
	printf '%-24s  %-42s  %s\n' '(none)' "- $package $test" "$took"
done < <(faults | awk '{print $2, $3, $4}' | sort -u)
while read -r fault package test setting; do
	want=1 word=
	[ "$setting" = survives ] && want=0 word='survived: ' setting=
	got=0
	run "$fault" "$package" "$test" "$setting" || got=1
	if [ $got -ne $want ]; then
		[ $got -eq 0 ] || tail -20 "$bin/said" >&2
		word='NOT '
		failed=1
	fi
	printf '%-24s  %-42s  %s\n' "$fault" "$word$package $test $setting" "$took"
done < <(faults)
exit $failed
