#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# tools/mutants and tools/coverage judge the tests of the kernel; here they are judged, in a small
# project with a kernel of one function per file.

bats_require_minimum_version 1.5.0

setup_file() {
	export root here=$BATS_FILE_TMPDIR/project
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	local file
	mkdir -p "$here/tools" "$here/tests/mutants" "$here"/agent/{kernel,journal} "$here/coordinator/core/move"
	cp "$root"/tools/{mutants,coverage} "$here/tools"
	cp "$root/CMakePresets.json" "$here"
	cat >"$here/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(small C)
enable_testing()
add_subdirectory(agent)
add_subdirectory(coordinator)
add_subdirectory(tests)
END
	for file in agent/kernel/rule agent/journal/journal coordinator/core/move/launch coordinator/core/move/attempts \
		coordinator/core/move/migration; do
		cat >"$here/$file.c" <<END
#include <assert.h>
int $(basename $file)(int a);
int $(basename $file)(int a)
{
	assert(a < 100);
	if (a > 3)
		return 1;
	return 0;
}
END
	done
	echo 'add_library(drover_small_agent STATIC kernel/rule.c journal/journal.c)' >"$here/agent/CMakeLists.txt"
	echo 'add_library(drover_small_core STATIC core/move/launch.c core/move/attempts.c core/move/migration.c)' >"$here/coordinator/CMakeLists.txt"
	cat >"$here/tests/CMakeLists.txt" <<'END'
add_executable(test_rule test_rule.c)
target_link_libraries(test_rule drover_small_agent drover_small_core)
add_test(NAME test_rule COMMAND test_rule)
set_tests_properties(test_rule PROPERTIES LABELS unit)
END
	cat >"$here/tests/test_rule.c" <<'END'
int rule(int a), journal(int a), launch(int a), attempts(int a), migration(int a);
int main(void)
{
	if (rule(3) || !rule(4) || journal(3) || !journal(4) || launch(3) || !launch(4))
		return 1;
	return attempts(3) || !attempts(4) || migration(3) || !migration(4);
}
END
	git -C "$here" init -q
}

mutant() { # NAME FROM TO
	printf '%s\n' 'what: a rule' 'file: agent/kernel/rule.c' "from: $2" "to: $3" 'tests: test_rule' \
		>"$here/tests/mutants/$1"
}

@test "mutants: a mistake that a test notices is killed, one that none notices ends in 1" {
	mutant wrong $'\tif (a > 3)' $'\tif (a > 4)'
	run -0 "$here/tools/mutants" wrong
	[[ $output == *'killed by test_rule'* ]]
	mutant harmless $'\tif (a > 3)' $'\tif (a >= 4)'
	run -1 "$here/tools/mutants" harmless
	[[ $output == *SURVIVED* ]]
}

@test "mutants: one that fits no more, does not compile or is not there ends in 2" {
	mutant misfit $'\tif (a > 7)' $'\tif (a > 4)'
	run -2 "$here/tools/mutants" misfit
	[[ $output == *'is 0 times in agent/kernel/rule.c'* ]]
	mutant nonsense $'\tif (a > 3)' $'\tif (a > '
	run -2 "$here/tools/mutants" nonsense
	[[ $output == *'nonsense does not compile'* ]]
	run -2 "$here/tools/mutants" nobody
	[[ $output == *'there is no tests/mutants/nobody'* ]]
}

@test "coverage: all branches taken is 100 %, one not taken is seen and ends in 1" {
	run -0 "$here/tools/coverage" --min 100
	[[ $output == *'total'*'100.0 %'* ]]
	sed -i 's/ || !migration(4)//' "$here/tests/test_rule.c"
	run -1 "$here/tools/coverage" --min 100 --missing
	[[ $output == *'90.0 % is below 100 %'* ]]
	[[ $output == *'coordinator/core/move/migration.c:6: 1 never taken: if (a > 3)'* ]]
	run -0 "$here/tools/coverage" --no-run --min 90
}

@test "faults: a case that is shown, one that fails, one that nobody shows" {
	mkdir -p "$here/tests/lab"
	cp "$root/tools/faults" "$here/tools"
	printf 'F%s\tlab\tsomething breaks\tnothing is lost\n' 01 02 03 >"$here/tests/faults.tsv"
	printf '%s\n' '@test "F01, F02: it (really) breaks" {' true '}' '@test "later, F03: no" {' true '}' \
		>"$here/tests/lab/a.bats"
	run -0 "$here/tools/faults" F01-F02
	[[ $output == *'lab/a.bats: F01, F02: it (really) breaks'* ]]
	run -1 "$here/tools/faults" --plain F03
	[ "$output" = 'F03  not shown' ]
	run -0 "$here/tools/faults" --run --plain F01
	[[ $output == 'F01  passed in '* ]] || {
		echo "$output" && cat "$here/build/faults.log" && false
	}
	sed -i 's/^true/false/' "$here/tests/lab/a.bats"
	run -1 "$here/tools/faults" --run --plain F01
	[[ $output == 'F01  FAILED in '* ]]
	run -2 "$here/tools/faults" F99
	[ "$output" = 'faults: there is no case F99' ]
}
