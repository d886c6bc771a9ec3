#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The worst moment of a migration: the destination has finished, and its answer is lost. Without a
# guard libvirt then runs the guest on both hosts (measured). The management link is made so slow that
# the answer takes seconds; when the copy is complete at the destination, the tunnels are killed, so
# that libvirt on the source learns of a broken connection and of nothing else.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash
load finish.bash
load failpoints.bash

setup_file() { drover_lab finish 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	heal 2>/dev/null || true
	lab_end_test
}

@test "F01, F50: a LUN without locks: the copy waits for drover, the source goes on, and nothing runs twice" {
	lose_the_answer lonely --storage lun
	[ "$(migration_get lonely .report.guard)" = GUARD_TWO_STEP ]
	[ "$(migration_get lonely .state)" = FAILED ] || fail "$(drover migrations -o wide)"
	assert_all_well lonely@host1
	run -0 drover migrate lonely --to host2
	assert_all_well lonely@host2
}

# bats test_tags=slow
@test "F01: no disk at all, and persistent: as a LUN without locks" {
	lose_the_answer diskless --persistent
	[ "$(migration_get diskless .report.guard)" = GUARD_TWO_STEP ]
	[ "$(migration_get diskless .state)" = FAILED ]
	assert_all_well diskless@host1
}

@test "F03: the guard was switched off: the source is paused at once, nothing is destroyed, and a person decides" {
	# As long as drover lets it last.
	oracles_allow O1
	begin_unguarded bold
	tunnels_kill
	heal
	wait_until '[[ $(guest_state bold host1) == running && $(guest_state bold host2) == running ]] ||
		is_held bold' 20
	wait_until 'is_held bold' 3
	assert_a_person_decides bold
	# Locked: neither a second move nor a cancel touches it.
	run ! drover migrate bold --to host1
	drover cancel vm/bold || true
	sleep 3
	is_held bold
	[ "$(guest_state bold host2)" = running ]
	# The person's decision: the one on host2 is right.
	lab virsh host1 destroy bold
	wait_until '[ "$(migration_get bold .state)" = DONE ]' 20
	[ "$(guest_state bold host2)" = running ]
	lab virsh host2 destroy bold
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 20
}

# bats test_tags=slow
@test "F03, F25: the source agent dies before and after it pauses a guest that runs twice" {
	local point guest
	oracles_expect O1
	for point in source_before_suspend source_after_suspend; do
		guest=$(tr -d _ <<<"${point#source_}")
		begin_unguarded "$guest"
		arm host1 "$point"
		tunnels_kill
		heal
		wait_until 'has_died host1' 60
		case $point in
		source_before_suspend) wait_until 'grep -q "^O1 .* $guest runs on" "$LAB_STATE/oracles.log"' 10 ;;
		*) is_held "$guest" ;;
		esac
		disarm host1
		lab_drover_start host1 >/dev/null
		wait_until 'is_held "$guest"' 20
		assert_a_person_decides "$guest"
		# This time the one on host1 is right.
		lab virsh host2 destroy "$guest"
		wait_until '[ "$(migration_get "$guest" .state)" = FAILED ]' 20
		[[ "$(migration_get "$guest" '.report.leftovers[]')" == *"virsh resume $guest"* ]] ||
			fail "$(drover migrations --vm "$guest" -o json)"
		[[ $(lab virsh host1 domstate "$guest") == paused ]]
		lab virsh host1 resume "$guest"
		lab virsh host1 destroy "$guest"
	done
}

# bats test_tags=slow
@test "F06, F25: the source's libvirtd dies when the copy is complete, and the agent around the resume of its guest" {
	local point guest
	for point in source_before_resume source_after_resume; do
		guest=$(tr -d _ <<<"${point#source_}")
		begin_move "$guest" --storage lun
		slow_down
		wait_until "is_complete $guest" 30
		arm host1 "$point"
		lab libvirtd host1 kill
		heal
		lab libvirtd host1 start
		wait_until 'has_died host1' 60
		assert_not_twice "$guest"
		disarm host1
		lab_drover_start host1 >/dev/null
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 60
		[ "$(migration_get "$guest" .state)" = FAILED ] || fail "$(drover migrations -o wide)"
		assert_all_well "$guest@host1"
	done
}

@test "F02, F50: a file that both hosts see: QEMU's own lock keeps the source from going on, and its rest is removed" {
	lose_the_answer shared --storage file
	[ "$(migration_get shared .report.guard)" = GUARD_IMAGE_LOCK ]
	[ "$(migration_get shared .state)" = DONE ] || fail "$(drover migrations -o wide)"
	assert_all_well shared@host2
}

# bats test_tags=slow
@test "F08: the destination's libvirtd is killed after it has finished and before it says so" {
	begin_move orphan --storage lun
	slow_down
	wait_until 'is_complete orphan' 30
	lab libvirtd host2 kill
	heal
	sleep 3
	assert_not_twice orphan
	lab libvirtd host2 start
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 30
	assert_not_twice orphan
	[[ $(migration_get orphan .state) == DONE || $(migration_get orphan .state) == FAILED ]]
	assert_all_well orphan
}

# bats test_tags=slow
@test "F47: for a minute nothing arrives from the destination, from mid-copy on: one of the two ends, and one copy" {
	begin_move deaf --storage file
	lab shell host2 iptables -I OUTPUT -o mg0 -d 10.77.0.1 -j DROP
	# Longer than the lease of the destination, which lists the guest on its way all the same.
	for _ in {1..240}; do
		assert_not_twice deaf
		sleep 0.2
	done
	lab shell host2 iptables -D OUTPUT -o mg0 -d 10.77.0.1 -j DROP
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 60
	[[ $(migration_get deaf .state) == DONE || $(migration_get deaf .state) == FAILED ]]
	assert_all_well deaf
}
