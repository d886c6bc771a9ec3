#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# As finish.bats, where virtlockd with a lockspace that both hosts share guards guests on LUNs.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash
load finish.bash
load failpoints.bash

setup_file() { drover_lab locks 2 --locks; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	heal 2>/dev/null || true
	lab_end_test
}

# bats test_tags=slow
@test "F02: a LUN with locks: the lock keeps the source from going on, and its rest is removed" {
	for storage in lun file; do
		lose_the_answer "kept-$storage" --storage "$storage"
		[ "$(migration_get "kept-$storage" .report.guard)" = GUARD_LOCK_MANAGER ]
		[ "$(migration_get "kept-$storage" .state)" = DONE ] || fail "$(drover migrations -o wide)"
		assert_all_well "kept-$storage@host2"
	done
}

# bats test_tags=slow
@test "F01: no disk: no lock guards it, the copy waits for drover" {
	lose_the_answer bare
	[ "$(migration_get bare .report.guard)" = GUARD_TWO_STEP ]
	[ "$(migration_get bare .state)" = FAILED ]
	assert_all_well bare@host1
}

# bats test_tags=slow
@test "F25: the source agent dies before and after it removes the rest of a guest that runs at its destination" {
	local point guest
	for point in source_before_destroy source_after_destroy source_before_undefine source_after_undefine; do
		guest=$(tr -d _ <<<"${point#source_}")
		begin_move "$guest" --storage lun --persistent
		slow_down
		wait_until "is_complete $guest" 30
		arm host1 "$point"
		tunnels_kill
		heal
		wait_until 'has_died host1' 60
		assert_not_twice "$guest"
		disarm host1
		lab_drover_start host1 >/dev/null
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 60
		[ "$(migration_get "$guest" .state)" = DONE ] || fail "$(drover migrations -o wide)"
		assert_all_well "$guest@host2"
		run ! lab virsh host1 dominfo "$guest"
	done
}

# bats test_tags=slow
@test "F25: the source agent is away while its guest runs and ends at its destination: the rest is not resumed" {
	begin_move past --storage lun
	slow_down
	wait_until "is_complete past" 30
	arm host1 source_before_destroy
	tunnels_kill
	heal
	wait_until 'has_died host1' 60
	disarm host1
	lab virsh host2 destroy past
	lab_drover_start host1 >/dev/null
	wait_until '[ "$(migration_get past .state)" = UNRESOLVED ]' 20
	[[ "$(migration_get past .reason)" == *"must not be resumed"* ]] || fail "$(migration_get past .reason)"
	[[ $(lab virsh host1 domstate past) == paused ]]
	# The lease goes with the source's word; a person removes what is left.
	lab virsh host1 destroy past
	wait_until '[ "$(migration_get past .state)" = DONE ]' 20
	wait_until '[ -z "$(leftovers)" ]' 15 || fail "left over: $(leftovers)"
}
