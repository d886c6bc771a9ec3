#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Post-copy that breaks, on real hosts: whatever dies or is pulled, both halves of the guest are kept, the
# transfer is resumed by itself when it can be, and what is lost is said to be lost.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab postcopy 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab link host1 migration rate 160mbit
}
teardown() {
	lab libvirtd host1 start >/dev/null 2>&1 || true
	lab libvirtd host2 start >/dev/null 2>&1 || true
	lab_end_test
}

decisions() { migration_get "$1" '.report.decisions // [] | .[]'; }
decided() { decisions "$1" | grep -q "$2" || fail "no \"$2\" in: $(decisions "$1")"; } # GUEST TEXT

# begin GUEST: its post-copy runs, with more left than a minute carries: it is slow from here on.
begin() {
	lab vm "$1" host1 --memory 96MiB --working-set 48MiB --dirty 40MiB/s --storage file
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	drover -q migrate "$1" --to host2 --ladder post-copy --max-downtime 20ms --detach
	wait_until "[ \"\$(guest_state $1 host2)\" = running ]" 60
	lab link host1 migration rate 1mbit
	[ "$(guest_state "$1" host1)" = paused ]
}

faster() { lab link host1 migration rate 160mbit; }
migration_is() { [[ $(migration_get "$1" .state) == "$2" ]]; } # GUEST STATE
qemu_on() { # GUEST HOST
	qemu_pids "$1" | while read -r pid; do
		[[ ! /proc/$pid/ns/net -ef /run/netns/drover-$DROVER_LAB-$2 ]] || printf '%s\n' "$pid"
	done
}
tunnel_kill() { # HOST
	local pid
	for pid in $(ip netns pids "drover-$DROVER_LAB-$1"); do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != drover-tunnel* ]] || kill -KILL "$pid"
	done
}

# bats test_tags=slow
@test "F14: a broken post-copy keeps both halves, raises an alarm, refuses to be cancelled, and is resumed by itself" {
	begin torn
	lab link host1 migration down
	lab virsh host1 domjobabort torn --postcopy
	wait_until 'migration_is torn UNRESOLVED' 60
	# Stalled, until the destination has noticed.
	[[ $(migration_get torn .reason) == *[Bb]"oth "*"are kept"* ]] || fail "$(migration_get torn .reason)"
	drover events | grep -i alarm | grep torn | grep -q "are kept"
	drover -q cancel vm/torn || true
	[ "$(guest_state torn host1)" = paused ]
	[ "$(guest_state torn host2)" = running ]

	lab link host1 migration up
	faster
	wait_until 'migration_is torn DONE' 60
	decided torn "the post-copy is being resumed, attempt"
	decided torn "the post-copy was resumed and has ended"
	assert_all_well torn@host2
}

# bats test_tags=slow
@test "F14: a post-copy that stands still for a minute is told, and goes on within half a minute of the network" {
	begin still
	lab link host1 migration down
	wait_until 'migration_is still UNRESOLVED' 60
	[[ $(migration_get still .reason) == *"the post-copy is stalled"* ]] || fail "$(migration_get still .reason)"
	drover events | grep -i alarm | grep -q "still: the post-copy is stalled"
	[ "$(guest_state still host1)" = paused ]
	lab link host1 migration up
	faster
	wait_until 'migration_is still DONE' 60
	assert_all_well still@host2
}

# bats test_tags=slow
@test "F14: libvirtd of the destination is killed in post-copy: the transfer ends well once it is back" {
	begin dst
	lab libvirtd host2 kill
	faster
	lab libvirtd host2 start
	wait_until 'migration_is dst DONE' 90
	assert_all_well dst@host2
}

# bats test_tags=slow
@test "F14: libvirtd of the source is killed in post-copy: the transfer ends well once it is back" {
	begin src
	lab libvirtd host1 kill
	faster
	lab libvirtd host1 start
	wait_until 'migration_is src DONE' 90
	assert_all_well src@host2
}

# bats test_tags=slow
@test "F14: either tunnel is killed in post-copy: the transfer ends well, and nothing is left" {
	local host
	for host in host1 host2; do
		begin "via$host"
		tunnel_kill "$host"
		faster
		wait_until "migration_is via$host DONE" 90
		assert_all_well "via$host@host2"
		lab rm "via$host"
	done
}

# bats test_tags=slow
@test "F15: the destination's QEMU dies in post-copy: the guest is lost and said to be, its source is kept" {
	begin lost
	kill -KILL "$(qemu_on lost host2)"
	wait_until 'migration_is lost UNRESOLVED' 60
	[[ $(migration_get lost .reason) == *"newer half"* ]] || fail "$(migration_get lost .reason)"
	[ "$(guest_state lost host1)" = paused ]
	drover events | grep -q "lost: the newer half"
	lab virsh host1 -q destroy lost
	wait_until 'migration_is lost FAILED' 40
}

# bats test_tags=slow
@test "F15: the source's QEMU dies in post-copy: that is no success, and what runs over there is kept" {
	begin half
	kill -KILL "$(qemu_on half host1)"
	wait_until 'migration_is half UNRESOLVED' 60
	[[ $(migration_get half .reason) == *"incomplete"* ]] || fail "$(migration_get half .reason)"
	[ "$(guest_state half host2)" = running ] || [ "$(guest_state half host2)" = paused ]
	lab virsh host2 -q destroy half
	wait_until 'migration_is half FAILED || drover -q cancel vm/half && migration_is half FAILED' 60
}
