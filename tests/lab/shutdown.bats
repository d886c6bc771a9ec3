#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Guests that a drain shuts down because they were named, on real hosts: asked by their power button, last,
# never ended; and their way back on.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab shutdown 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

# In its console: the guest's own word on its power button.
said() { grep -c "^power $2" "$LAB_STATE/console/$1.log" || true; } # GUEST ignored|off
state_of() { lab virsh "$2" domstate "$1" | head -n1; }             # GUEST HOST
# Why its last QEMU on HOST ended, by libvirt's word.
end_of() { lab shell "$2" grep -o 'reason=[a-z]*' "/var/log/libvirt/qemu/$1.log" | tail -n1; }
counted() { drover vms -o json | jq -e ".vms | length == $1" >/dev/null; }

# bats test_tags=slow
@test "a guest that is named is asked when the others have left, is off, and starts again there" {
	lab vm web host1 --memory 64MiB
	lab vm db1 host1 --memory 64MiB --storage file --persistent
	wait_until 'counted 2' 10

	run -0 drover drain host1 --shutdown db1 --dry-run
	[[ $output == *db1*"shut down"* && $output == *"never ended"* && $output == *"--plan"*"--shutdown db1"* ]]
	[ "$(said db1 off)" = 0 ]

	run -0 drover drain host1 --shutdown db1
	[[ $output == *"1 VM moved"*"1 shut down as asked"* && $output == *"undrain host1 --bring-back"* ]]
	[ "$(said db1 off)" = 1 ]
	[ "$(state_of db1 host1)" = "shut off" ]
	[ "$(end_of db1 host1)" = reason=shutdown ]
	[ "$(vm_node web)" = host2 ]
	[ "$(drain_vm_get db1 '.state + " " + .power')" = "stopped off" ]
	[ "$(qemu_starts_everywhere db1)" = 1 ]
	# Last: the other one had arrived before.
	arrived=$(drover events -o jsonl | jq -r 'select(.subject | startswith("migration/")) | select(.text | test("done")) | .wallMs' | tail -n1)
	asked=$(drain_vm_get db1 .askedWallMs)
	[ -z "$arrived" ] || ((asked >= arrived))

	run -0 drover undrain host1
	[[ $output == *"1 guest is off"*db1*"undrain host1 --bring-back"* ]]
	[ "$(state_of db1 host1)" = "shut off" ]
	run -0 drover undrain host1 --bring-back --dry-run
	[[ $output == *db1*start* ]]
	[ "$(state_of db1 host1)" = "shut off" ]
	run -0 drover undrain host1 --bring-back
	[[ $output == *"db1 was shut down, and runs on host1 again"* && $output == *"web is back on host1"* ]]
	[ "$(state_of db1 host1)" = running ]
	[ "$(qemu_starts db1 host1)" = 2 ]
	[ "$(qemu_starts_everywhere db1)" = 2 ]
	# Once more: it is there.
	run -0 drover undrain host1 --bring-back
	[ "$(qemu_starts_everywhere db1)" = 2 ]
}

# bats test_tags=slow
@test "one that ignores it runs on, is shown as blocked, is asked again, and survives both daemons' ends" {
	lab vm deaf host1 --memory 64MiB --persistent
	wait_until 'counted 1' 10
	lab tell deaf power=0
	run -0 drover drain host1 --shutdown deaf --shutdown-timeout 4s --detach
	wait_until '[ "$(drain_get .state)" = blocked ]' 20
	[[ $(drain_vm_get deaf .reason) == *"was asked to shut down"*"runs on"*"drover cancel drain/"* ]]
	run -0 drover explain "drain/$(drain_get .number)"
	[[ $output == *deaf*blocked*"was asked to shut down"* ]]
	wait_until '(($(said deaf ignored) >= 2))' 20
	[ "$(state_of deaf host1)" = running ]
	assert_counter_goes_on deaf

	lab drover kill all
	before=$(said deaf ignored)
	lab_drover_start
	wait_until '[ "$(drain_vm_get deaf .state 2>/dev/null)" != "" ]' 20
	wait_until "((\$(said deaf ignored) > $before))" 30
	[ "$(state_of deaf host1)" = running ]
	lab tell deaf power=1
	wait_until '[ "$(drain_get .state)" = completed ]' 30
	[ "$(end_of deaf host1)" = reason=shutdown ]
	[ "$(said deaf off)" = 1 ]
}

@test "who would be lost, or is not there, is refused by name, and nothing is begun" {
	lab vm fleeting host1 --memory 64MiB
	lab vm again host1 --memory 64MiB --persistent
	wait_until 'counted 2' 10
	run -4 drover drain host1 --shutdown fleeting --no-input
	[[ $output == *transient*"definition is lost"*"--leave fleeting"* ]]
	run -7 drover drain host1 --shutdown all --no-input
	[[ $output == *"no guest all to shut down"* ]]
	run ! drover drain host1 --shutdown again --leave again --no-input
	[[ $output == *"left running and to be shut down"* ]]
	lab virsh host1 dumpxml --inactive again | sed 's|<on_poweroff>destroy|<on_poweroff>restart|' >"$BATS_TEST_TMPDIR/again.xml"
	lab virsh host1 -q destroy again
	lab virsh host1 -q define "$BATS_TEST_TMPDIR/again.xml"
	lab virsh host1 -q start again
	wait_until 'drover vms again -o json | jq -e ".vms[0].state.noShutdown | test(\"on_poweroff\")" >/dev/null' 10
	run -4 drover drain host1 --shutdown again --no-input
	[[ $output == *"would not stay off"*on_poweroff* ]]
	[ "$(drover drains -o json | jq '[.drains[] | select(.endedWallMs == "0")] | length')" = 0 ]
	[ "$(state_of fleeting host1)" = running ]
	[ "$(state_of again host1)" = running ]
}

# bats test_tags=slow
@test "a guest that somebody runs elsewhere is not started again" {
	lab vm db2 host1 --memory 64MiB --persistent
	wait_until 'counted 1' 10
	run -0 drover drain host1 --shutdown db2
	lab virsh host1 dumpxml --inactive db2 >"$BATS_TEST_TMPDIR/db2.xml"
	lab virsh host2 -q define "$BATS_TEST_TMPDIR/db2.xml"
	lab virsh host2 -q start db2
	wait_until '[ "$(vm_node db2)" = host2 ]' 10
	run -5 drover undrain host1 --bring-back
	[[ $output == *"db2 is not started: somebody has started it on host2"* ]]
	[ "$(state_of db2 host1)" = "shut off" ]
	[ "$(state_of db2 host2)" = running ]
	[ "$(qemu_starts db2 host1)" = 1 ]
}

# bats test_tags=slow
@test "a rolling operation shuts it down on its host's turn, and its way back starts it" {
	lab vm db3 host1 --memory 64MiB --persistent
	lab vm web3 host2 --memory 64MiB
	wait_until 'counted 2' 10
	cat >"$BATS_TEST_TMPDIR/hook" <<-HOOK
		#!/bin/sh
		"$DROVER_BUILD_DIR/tools/drover/drover" vms db3 -o json | jq -r .vms[0].state.state >"$BATS_TEST_TMPDIR/\$DROVER_NODE"
	HOOK
	chmod +x "$BATS_TEST_TMPDIR/hook"
	run -7 drover roll host2 --hook true --shutdown db3
	[[ $output == *"it is on host1"* ]]
	run -0 drover roll host1 host2 --hook "$BATS_TEST_TMPDIR/hook" --shutdown db3
	[[ $output == *"all 2 nodes are done"* ]]
	[ "$(cat "$BATS_TEST_TMPDIR/host1")" = shutoff ]
	[ "$(cat "$BATS_TEST_TMPDIR/host2")" = running ]
	[ "$(vm_node db3)" = host1 ]
	[ "$(vm_node web3)" = host2 ]
	[ "$(qemu_starts_everywhere db3)" = 2 ]
	[ "$(end_of db3 host1)" = reason=shutdown ] # the one QEMU that has ended
}
