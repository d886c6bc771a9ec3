#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Other hands on a guest that drover moves, on real hosts: who paused it, who ended it.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab hands 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

@test "F12: a guest that a person paused arrives paused, and runs when that person says so" {
	lab vm still host1
	wait_until "drover vms still -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab virsh host1 -q suspend still
	run -0 drover migrate still --to host2
	[ "$(lab virsh host2 -q domstate still)" = paused ]
	[ -z "$(lab virsh host1 -q list --all --name)" ]
	lab virsh host2 -q resume still
	assert_all_well still@host2
}

@test "F12: a guest that is destroyed in mid-copy has ended: the migration failed and says so" {
	lab link host1 migration rate 80mbit
	lab vm gone host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms gone -o json | jq -e '.vms[0].movable' >/dev/null" 10
	drover -q migrate gone --to host2 --detach
	wait_mid_copy gone host1
	lab virsh host1 -q destroy gone
	wait_until '[ "$(migration_get gone .state)" = FAILED ]' 20
	[[ $(migration_get gone .reason) == *"by somebody's hand (virsh destroy)"* ]] || fail "$(migration_get gone .reason)"
	[ -z "$(lab virsh host2 -q list --all --name)" ]
}
