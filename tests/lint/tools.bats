#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The runner is the last gate: what fails, crashes, hangs, is skipped, does not build or is not
# there must be seen in its last line and in its exit code. It runs here in a small project.

bats_require_minimum_version 1.5.0

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	here=$BATS_TEST_TMPDIR/project
	mkdir -p "$here/tools" "$here/tests/lab" "$here/tests/bench"
	cp "$root/CMakePresets.json" "$here"
	cp "$root"/tools/{test,bench,install,packages} "$here/tools"
	cat >"$here/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(small NONE)
enable_testing()
function(small name label)
	add_test(NAME ${name} COMMAND ${ARGN})
	set_tests_properties(${name} PROPERTIES LABELS "${label}" SKIP_RETURN_CODE 77 TIMEOUT 2)
endfunction()
small(a_gate lint true)
small(a_unit unit true)
END
}

# Adds a test to the project: NAME LABELS COMMAND...
add() {
	echo "small($*)" >>"$here/CMakeLists.txt"
}

last_line() {
	tail -n 1 <<<"$output"
}

@test "what passes is counted, and the exit code is 0" {
	run -0 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '2 passed, 0 failed' ]
}

@test "a test that fails, crashes or hangs is counted, shown and ends in 1" {
	add b_fails unit sh -c '"echo the reason && exit 1"'
	# shellcheck disable=SC2016 # the inner shell's own number
	add b_crashes unit sh -c '"kill -SEGV $$"'
	add b_hangs unit sleep 9
	run -1 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '2 passed, 3 failed' ]
	[[ $output == *'the reason'* ]]
}

@test "a gate that is shut ends in 1" {
	add b_gate lint false
	run -1 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '2 passed, 1 failed' ]
}

@test "what is skipped is not passed, and is named" {
	add b_skips unit sh -c '"exit 77"'
	run -0 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '2 passed, 0 failed' ]
	[[ $output == *$'1 skipped:\n  b_skips (dev)'* ]]
}

@test "a build that breaks ends in 1" {
	echo 'message(FATAL_ERROR "broken on purpose")' >>"$here/CMakeLists.txt"
	run -1 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '0 passed, 1 failed' ]
	[[ $output == *'broken on purpose'* ]]
}

@test "no test at all is a failure" {
	sed -i '/^small(a_unit/d' "$here/CMakeLists.txt"
	run -1 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '1 passed, 1 failed' ]
}

@test "slow tests run when asked for, by --slow or by name" {
	add b_slow '"unit;slow"' false
	run -0 "$here/tools/test" --no-install --quick
	run -1 "$here/tools/test" --no-install --quick --slow
	[ "$(last_line)" = '2 passed, 1 failed' ]
	run -1 "$here/tools/test" --no-install --only b_slow
	[ "$(last_line)" = '0 passed, 1 failed' ]
}

@test "the whole: sanitizers and the lab are counted, a lab that breaks off has failed" {
	[ "$EUID" -eq 0 ] || skip 'needs root'
	add c_conformance conformance true
	printf '%s\n' '@test "good" { true; }' '@test "no disk" { skip "none"; }' >"$here/tests/lab/good.bats"
	run -0 "$here/tools/test" --no-install
	# A gate, two tests on each of three builds, one of the lab.
	[ "$(last_line)" = '8 passed, 0 failed' ]
	[[ $output == *'no disk'* ]]

	printf '%s\n' '@test "good" { true; }' '@test "bad" { false; }' >"$here/tests/lab/bad.bats"
	run -1 "$here/tools/test" --no-install
	[ "$(last_line)" = '9 passed, 1 failed' ]
	printf '%s\n' 'setup_file() { false; }' '@test "a" { true; }' '@test "b" { true; }' >"$here/tests/lab/bad.bats"
	run -1 "$here/tools/test" --no-install --only bad
	[ "$(last_line)" = '0 passed, 2 failed' ]
}

@test "tests that wait are counted with the others, and do so beside them" {
	printf '%s\n' '#!/bin/sh' 'until [ -e met ]; do :; done' >"$here/until_met"
	chmod +x "$here/until_met"
	add b_waits '"unit;waits"' "$here/until_met"
	add c_works unit touch met
	run -0 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '4 passed, 0 failed' ]
	add d_waits '"unit;waits"' sh -c '"echo the reason && exit 1"'
	add e_waits '"unit;waits;slow"' false
	run -1 "$here/tools/test" --no-install --quick
	[ "$(last_line)" = '4 passed, 1 failed' ]
	[[ $output == *'the reason'* ]]
}

@test "nonsense on the command line runs nothing" {
	run -2 "$here/tools/test" --no-install --bogus
	run -2 "$here/tools/test" --no-install --only
	run -2 "$here/tools/test" --no-install --only '../x'
	run -2 "$here/tools/test" --no-install --only nothing_of_that_name
	[ ! -e "$here/build/test/lint.log" ]
}

@test "install: knows its groups, and lists what is missing without installing it" {
	run -1 "$here/tools/install" --check nonsense
	[[ $output == *'no group "nonsense"'* ]]
	printf '\n[none]\ndrover-no-such-package # never there\n[also]\ndrover-no-such-package\n' \
		>>"$here/tools/packages"
	run -1 "$here/tools/install" --check none also
	[ "$output" = drover-no-such-package ]
}

@test "install: what is missing is installed, and a failure is shown" {
	[ "$EUID" -eq 0 ] || skip 'needs root'
	printf '\n[none]\ndrover-no-such-package # never there\n' >>"$here/tools/packages"
	mkdir "$here/bin"
	# An apt-get that notes how it was called.
	printf '%s\n' '#!/bin/sh' "echo \"\$*\" >>'$here/calls'" >"$here/bin/apt-get"
	chmod +x "$here/bin/apt-get"
	PATH=$here/bin:$PATH run -0 "$here/tools/install" none
	[ "$output" = 'install: with apt-get: drover-no-such-package' ]
	grep -q ' install -y --no-install-recommends drover-no-such-package$' "$here/calls"

	printf '%s\n' '#!/bin/sh' 'echo "E: no network"; exit 100' >"$here/bin/apt-get"
	PATH=$here/bin:$PATH run -1 "$here/tools/install" none
	[[ $output == *'E: no network'*'is this machine online'* ]]
}

@test "bench: a measurement ends with its line, or has failed" {
	printf '%s\n' '#!/bin/sh' 'echo "took long"' 'echo "BENCH good time_s=1.5 ratio=2"' >"$here/tests/bench/good"
	printf '%s\n' '#!/bin/sh' 'echo "BENCH other time_s=1"' >"$here/tests/bench/bad"
	printf '%s\n' '#!/bin/sh' 'echo "BENCH broken time_s=1"; exit 3' >"$here/tests/bench/broken"
	chmod +x "$here"/tests/bench/*
	run -0 "$here/tools/bench" good
	[ "$(last_line)" = 'BENCH good time_s=1.5 ratio=2' ]
	run -1 "$here/tools/bench" bad
	run -3 "$here/tools/bench" broken
	run -2 "$here/tools/bench" ../bench/good
	run -0 "$here/tools/bench"
	[ "$output" = $'bad\nbroken\ngood' ]
}
