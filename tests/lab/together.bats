#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hosts drained together and by label, the way back of their guests, and host by host with a hook, on
# real hosts.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab together 3; }
teardown_file() { lab_down; }
setup() {
	local host key
	drover_reset
	for host in host1 host2 host3; do
		for key in $(drover nodes "$host" -o json | jq -r '.nodes[0].givenLabels[]' | cut -d= -f1); do
			drover -q label "$host" "$key-"
		done
	done
}
teardown() { lab_end_test; }

# bats test_tags=slow
@test "two hosts with a label are emptied together, into the third alone, and come back" {
	lab vm one host1 --memory 64MiB
	lab vm two host2 --memory 64MiB --storage file
	lab vm own host3 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 3 ]' 20
	drover label host1 rack=a
	drover label host2 rack=a
	[ "$(drover nodes -l rack=a -o name | tr '\n' ' ')" = "node/host1 node/host2 " ]
	run -7 drover drain -l rack=b
	[[ $output == *"no node has the labels rack=b"* ]]

	run -0 drover drain -l rack=a --dry-run
	[[ $output == *one*host1*host3* && $output == *two*host2*host3* ]]
	# All three: nobody is left to take them, and nothing begins.
	run -4 drover drain host1 host2 host3 --no-input
	[[ $output == *"cannot be emptied together"* ]]
	[ "$(drover drains -o json | jq '[.drains[] | select(.state == "running")] | length')" = 0 ]

	run -0 drover drain -l rack=a
	[[ $output == *"host1 is empty"* && $output == *"host2 is empty"* ]]
	[ "$(vm_node one)" = host3 ]
	[ "$(vm_node two)" = host3 ]
	[ "$(qemu_starts_everywhere one)" = 2 ]
	assert_all_well one two own@host3

	run -0 drover undrain host2 --bring-back --dry-run
	[[ $output == *two*host2* ]]
	[ "$(node_get host2 .state)" = maintenance ]
	run -0 drover undrain host2 --bring-back
	[[ $output == *"two is back on host2"* ]]
	[ "$(vm_node two)" = host2 ]
	# Moved on by hand since: it stays, and is named.
	drover -q undrain host1
	run -0 drover migrate one --to host2
	run -5 drover undrain host1 --bring-back
	[[ $output == *"one stays: has moved on since"* ]]
	assert_all_well one@host2 two@host2 own@host3
}

# bats test_tags=slow
@test "roll goes host by host, stops where the hook fails, and goes on from there" {
	local log=$BATS_TEST_TMPDIR/hook.log
	lab vm one host1 --memory 64MiB
	lab vm two host2 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 2 ]' 20
	cat >"$BATS_TEST_TMPDIR/hook" <<-HOOK
		#!/bin/sh
		echo "\$DROVER_NODE" >>$log
		[ "\$DROVER_NODE" != host2 ] || [ -e $BATS_TEST_TMPDIR/mended ]
	HOOK
	chmod +x "$BATS_TEST_TMPDIR/hook"

	run -0 drover roll host1 host2 --dry-run
	[[ $output =~ host1\ +1\ +1\ +be\ emptied ]]
	run -1 drover roll host1 host2 --hook "$BATS_TEST_TMPDIR/hook"
	[[ $output == *"host2: the rolling operation stops here; done: host1"* ]]
	[ "$(tr '\n' ' ' <"$log")" = "host1 host2 " ]
	[ "$(vm_node one)" = host1 ] # it is back
	[ "$(node_get host1 .state)" = ready ]
	[ "$(node_get host2 .state)" = maintenance ]
	[ "$(vm_node two)" != host2 ]

	touch "$BATS_TEST_TMPDIR/mended"
	run -0 drover roll host1 host2 --hook "$BATS_TEST_TMPDIR/hook" -o jsonl
	[[ $output == *'"event":"goes-on"'* && $output == *'"event":"completed"'* ]]
	[ "$(tr '\n' ' ' <"$log")" = "host1 host2 host2 " ]
	[ "$(vm_node two)" = host2 ]
	[ "$(node_get host2 .state)" = ready ]
	[ "$(node_get host1 '.givenLabels | length')" = 0 ]
	assert_all_well one@host1 two@host2
}
