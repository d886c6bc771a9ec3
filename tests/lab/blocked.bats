#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A guest whose disk lies on its own host alone blocks a drain: what is advised clears what refuses it, capacity
# knows it once it was asked, an exported fleet knows it, too, and following the advice ends the drain.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab blocked 3; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab shell host2 mkdir -p /srv/drover/local
	lab shell host3 mkdir -p /srv/drover/local
}
teardown() { lab_end_test; }

explained() { drover explain drain/"$1"; }

# bats test_tags=slow
@test "a drain that is blocked by a disk names what clears that, and is over when it is done" {
	lab vm own host1 --memory 64MiB --storage local --qcow2 --disk 16MiB
	wait_until '[ "$(drover vms own -o json | jq ".vms[0].movable")" = true ]' 30

	# Nobody was asked yet: so it says; asked, it is refused, and the list knows it from then on.
	run -0 drover capacity
	[[ $output == *"storage of 1 guests not asked: drover capacity host1 asks"* ]]
	run -4 drover capacity host1
	[[ $output == *"disk/"*"--copy-disks"*"--leave own"* && $output != *"free "*" on host"* ]]
	run -0 drover capacity
	[[ $output == *"own"*"has no place"*"disk/"* && $output != *"not asked"* ]]

	# A fleet that was exported behaves as the one that it was made of.
	drover export >"$BATS_TEST_TMPDIR/fleet.json"
	run tools/simulate --state "$BATS_TEST_TMPDIR/fleet.json" --drain host1
	[[ $output == *"outcome"*"blocked"*"host2 refused: disk/"* ]] || fail "$output"

	# The drain is blocked for the same, and memory is no remedy.
	drover -q drain host1 --detach
	number=$(drover drains -o json | jq -r ".drains[0].number")
	wait_until '[[ $(explained '"$number"') == *"what would help"* ]]' 60
	run -0 explained "$number"
	[[ $output == *"disk/"* && $output != *"free "*" on host"* ]]
	[[ $output == *"drover cancel drain/$number, then drover drain host1 --copy-disks"* ]]

	# Cancelled, nobody waits; with what was advised it ends.
	drover -q cancel "drain/$number"
	run -0 explained "$number"
	[[ $output == *"stays: the drain was cancelled"* && $output != *waiting* ]]
	drover -q uncordon host1
	run -0 drover drain host1 --copy-disks
	[ "$(home_of own)" != host1 ]
}
