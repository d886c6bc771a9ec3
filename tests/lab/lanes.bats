#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Two guests that leave one host over a link that is too narrow for both: the one that is out sooner goes
# first, as QEMU has it, and whatever happens to the coordinator the other one is let go.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab lanes 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	sed -i '/^limits: {lanes:/d' "$LAB_STATE/hosts/coordinator/etc-drover/coordinator.yaml"
	lab link host1 migration rate 160mbit
}
teardown() { lab_end_test; }

# What QEMU itself was told, of GUEST on host1: bytes a second, 0 = no limit.
speed_of() {
	lab virsh host1 qemu-monitor-command "$1" '{"execute":"query-migrate-parameters"}' |
		jq '.return."max-bandwidth" | if . > 1000000000000 then 0 else . end'
}
is_free() { [ "$(speed_of "$1")" -eq 0 ]; }
is_held() { [ "$(speed_of "$1")" -gt 0 ]; }
movable() { wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10; }

explain() { drover explain "migration/$(migration_get "$1" .number)"; }

# A large one is on its way, then a small one. The first move measures the way, before it begins.
both_move() {
	lab vm large host1 --memory 512MiB --working-set 400MiB --dirty 4MiB/s --storage file
	lab vm small host1 --memory 160MiB --working-set 120MiB --dirty 1MiB/s --storage file
	movable large
	movable small
	drover -q migrate large --to host2 --detach
	wait_mid_copy large host1 8000000
	drover -q migrate small --to host2 --detach
	wait_mid_copy small host1
}

# bats test_tags=slow
@test "the small one goes first: the large one is held, says for whom and until when, and is let go" {
	both_move
	wait_until 'is_held large' 20
	is_free small
	wait_until 'explain large | grep -Eq "held +at [0-9.]+ Mbit/s so that small \(.* left\) is out first; until about [0-9:]{8}"' 5
	explain large | grep -q 'lanes  *shortest-first  *built-in default'
	wait_until '[ "$(migration_get small .state)" = DONE ]' 60
	[ "$(migration_get large .state)" = RUNNING ]
	wait_until 'is_free large' 5
	wait_until '[ "$(migration_get large .state)" = DONE ]' 120
	[ "$(migration_get large '.report.heldMs | tonumber')" -gt 1000 ]
	[ "$(migration_get small '.report.heldMs // 0 | tonumber')" -eq 0 ]
	migration_get large '.report.decisions[]' | grep -q 'held at .* so that small is out first'
	explain large | grep -q 'was held .*, for others of its host'
	assert_all_well large@host2 small@host2
}

# bats test_tags=slow
@test "a coordinator that dies meanwhile holds nobody: the moves go on in that order, and end" {
	both_move
	wait_until 'is_held large' 20
	lab drover kill coordinator
	wait_until '[ "$(guest_state small host2)" = running ]' 60
	wait_until 'is_free large' 10
	[ "$(guest_state large host1)" = running ]
	lab drover start coordinator
	wait_until '[ "$(migration_get large .state)" = DONE ]' 120
	wait_until '[ "$(migration_get small .state)" = DONE ]' 60
	assert_all_well large@host2 small@host2
}

# bats test_tags=slow
@test "an agent that dies meanwhile leaves nobody held, and what a person sets stays as it is" {
	both_move
	wait_until 'is_held large' 20
	lab drover kill host1
	wait_until '[ "$(guest_state small host2)" = running ]' 60
	is_held large
	lab drover start host1
	wait_until 'is_free large' 20
	drover -q tune large --bandwidth 12MiB/s
	[ "$(speed_of large)" -eq $((12 << 20)) ]
	wait_until '[ "$(migration_get large .state)" = DONE ]' 120
	assert_all_well large@host2 small@host2
}

# bats test_tags=slow
@test "limits/lanes: fair leaves them to TCP" {
	printf 'limits: {lanes: fair}\n' >>"$LAB_STATE/hosts/coordinator/etc-drover/coordinator.yaml"
	lab drover restart coordinator
	wait_until all_ready 60
	both_move
	wait_until '[ "$(migration_get small .state)" = DONE ]' 90
	wait_until '[ "$(migration_get large .state)" = DONE ]' 120
	[ "$(migration_get large '.report.heldMs // 0 | tonumber')" -eq 0 ]
	explain large | grep -q "lanes  *fair  *the cluster's limits/ (coordinator.yaml)"
	assert_all_well large@host2 small@host2
}
