#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The worst moment of a migration: the destination has finished, and its answer is lost. Without a
# guard libvirt then runs the guest on both hosts (measured). The management link is made so slow that
# the answer takes seconds; when the copy is complete at the destination, the tunnels are killed, so
# that libvirt on the source learns of a broken connection and of nothing else.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash
load finish.bash

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
	oracles_expect O1
	lab vm bold host1 --memory 96MiB --working-set 48MiB --storage lun
	wait_until "drover vms bold -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 100mbit
	run -0 drover migrate bold --to host2 --no-guard --dry-run
	[[ "$output" == *"switched off by an administrator"* ]]
	drover -q migrate bold --to host2 --no-guard --detach
	wait_mid_copy bold host1 4000000
	slow_down
	wait_until 'is_complete bold' 30
	tunnels_kill
	heal
	wait_until '[[ $(guest_state bold host1) == running && $(guest_state bold host2) == running ]] ||
		[[ $(lab virsh host1 domstate bold --reason | head -n1) == "paused (user)" ]]' 20
	wait_until '[[ $(lab virsh host1 domstate bold --reason | head -n1) == "paused (user)" ]]' 3
	[ "$(guest_state bold host2)" = running ]
	wait_until '[ "$(migration_get bold .state)" = UNRESOLVED ]' 5
	[[ "$(migration_get bold .reason)" == *"ran on both hosts"* ]] || fail "$(migration_get bold .reason)"
	drover events -o json | jq -e '.events[] | select(.severity == "alarm" and (.text | contains("ran on both hosts")))'
	# Locked: neither a second move nor a cancel touches it.
	run ! drover migrate bold --to host1
	drover cancel vm/bold || true
	sleep 3
	[[ $(lab virsh host1 domstate bold --reason | head -n1) == "paused (user)" ]]
	[ "$(guest_state bold host2)" = running ]
	# The person's decision: the one on host2 is right.
	lab virsh host1 destroy bold
	wait_until '[ "$(migration_get bold .state)" = DONE ]' 20
	[ "$(guest_state bold host2)" = running ]
	lab virsh host2 destroy bold
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 20
}

@test "F02: a file that both hosts see: QEMU's own lock keeps the source from going on, and its rest is removed" {
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
