#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# QEMU dies in the middle of a move, and hosts start anew after one: the guest runs once or is said to
# have ended, never twice, and nothing is left.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab qemu 3; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

# The QEMU process of GUEST on HOST.
qemu_pid() {
	local pid
	for pid in $(qemu_pids "$1"); do
		[[ ! /proc/$pid/ns/net -ef /run/netns/drover-$DROVER_LAB-$2 ]] || printf '%s\n' "$pid"
	done
}

# A guest on host1 in the middle of leaving it, by a drain.
begin_long_drain() { # GUEST [VM_OPTION...]
	lab vm "$1" host1 --memory 96MiB --working-set 64MiB "${@:2}"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 80mbit
	drover -q drain host1 --detach
	wait_mid_copy "$1" host1
	to=$(migration_get "$1" .target)
}

# bats test_tags=slow
@test "F04: the destination's QEMU is killed in mid-copy: the guest runs on, its room is free at once, and the drain goes on" {
	begin_long_drain victim
	kill -KILL "$(qemu_pid victim "$to")"
	wait_until '[ "$(node_get "$to" .host.slotsIn)" = 0 ]' 5
	[ "$(guest_state victim host1)" = running ]
	lab link host1 migration rate 1gbit
	wait_until '[ "$(drain_get .state)" = completed ]' 90
	# Once to boot, once for the copy that died, once for the one that arrived.
	[ "$(qemu_starts_everywhere victim)" = 3 ] || fail "QEMU was started $(qemu_starts_everywhere victim) times"
	assert_all_well victim
}

@test "F05: the source's QEMU is killed in mid-copy: the guest has ended, which is said, and nothing is started" {
	begin_long_drain dead
	kill -KILL "$(qemu_pid dead host1)"
	wait_until '[ "$(migration_get dead .state)" = FAILED ]' 20
	[[ $(migration_get dead .reason) == *"QEMU died at its source"* ]] || fail "$(migration_get dead .reason)"
	wait_until '[[ $(drain_get .state) == completed || $(drain_get .state) == partly ]]' 20
	[ "$(drain_vm_get dead .state)" = stopped ]
	wait_until '[ -z "$(leftovers)" ]' 10 || fail "$(leftovers)"
	[ -z "$(qemu_pids dead)" ]
	[ "$(qemu_starts_everywhere dead)" = 2 ]
}

# The old host loses its power after the move. That it starts what has autostart is shown by another guest
# of its own, which is defined there and off: without that, nothing would be proved.
@test "F21: a guest with autostart has moved; its old host starts anew and does not start it again" {
	lab vm auto host1 --persistent --storage lun
	lab virsh host1 -q autostart auto
	lab vm other host1 --xml-only >"$BATS_TEST_TMPDIR/other.xml"
	lab virsh host1 -q define "$BATS_TEST_TMPDIR/other.xml"
	lab virsh host1 -q autostart other
	[ "$(guest_state other host1)" = "shut off" ]
	wait_until "drover vms auto -o json | jq -e '.vms[0].state.autostart' >/dev/null" 10
	run -0 drover migrate auto --to host2
	[[ $output == *"verified   "*/* && $output != *"with differences"* ]]
	[ "$(lab virsh host1 -q list --all --name | xargs)" = other ]
	[[ $(lab virsh host2 dominfo auto) =~ Autostart:\ +enable ]]
	[[ $(lab virsh host2 dominfo auto) =~ Persistent:\ +yes ]]
	# Neither definition nor link: nothing that libvirt could start it from.
	[ -z "$(find "$(host_dir host1)/etc-libvirt/qemu" -name 'auto.xml')" ]

	lab libvirtd host1 kill
	lab libvirtd host1 start
	wait_until all_ready 20
	[ "$(lab virsh host1 -q list --all --name | xargs)" = other ]

	lab power host1 off
	lab power host1 on
	wait_until '[ "$(guest_state other host1)" = running ]' 20
	lab_drover_start host1 >/dev/null
	wait_until all_ready 20
	[ "$(lab virsh host1 -q list --all --name | xargs)" = other ]
	[ "$(qemu_starts auto host1)" = 1 ]
	lab virsh host1 -q destroy other
	lab virsh host1 -q undefine other
	assert_all_well auto@host2
}

@test "F22: a persistent guest's move is cancelled half-way: it is defined where it runs, and nowhere else" {
	lab vm half host1 --persistent --memory 96MiB --working-set 64MiB
	lab virsh host1 -q autostart half
	wait_until "drover vms half -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 80mbit
	drover -q migrate half --to host2 --detach
	wait_mid_copy half host1
	[[ $(lab virsh host1 dominfo half) =~ Autostart:\ +disable ]]
	drover -q cancel vm/half
	wait_until '[ "$(migration_get half .state)" = CANCELLED ]' 20
	[[ $(lab virsh host1 dominfo half) =~ Autostart:\ +enable ]]
	[[ $(lab virsh host1 dominfo half) =~ Persistent:\ +yes ]]
	[ -z "$(lab virsh host2 -q list --all --name)" ]
	assert_all_well half@host1
}
