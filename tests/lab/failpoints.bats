#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# F25: each program dies by SIGKILL at each place where it changes the world, while a guest moves, and
# is started again: the guest runs exactly once and never restarted, the move is done or has failed and
# can be asked for again, nothing is left over, and drover knows the truth.
#
# The points are those that the programs themselves list; one that no move here passes fails the test,
# unless it is in the list of those that other tests lead to.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab failpoints 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	for node in coordinator host1 host2; do disarm "$node"; done
	lab_show_failure
}

# bats test_tags=slow
@test "F25: the source agent dies at each of its points" {
	mapfile -t points < <(names agent/drover-agent source_)
	sweep host1 "${points[@]}"
}

# bats test_tags=slow
@test "F25: the destination agent dies at each of its points" {
	mapfile -t points < <(names agent/drover-agent target_)
	sweep host2 "${points[@]}"
}

# bats test_tags=slow
@test "F25: either tunnel dies at each of its points" {
	mapfile -t points < <(names agent/drover-tunnel tunnel_)
	sweep host1 "${points[@]}"
	sweep host2 "${points[@]}"
}

# bats test_tags=slow
@test "F25: the coordinator dies at each of its points" {
	mapfile -t points < <(names coordinator/drover-coordinator coordinator_)
	sweep coordinator "${points[@]}"
}

# What the destination holds for guests on their way, by drover's word.
held_on() { node_get "$1" '.host.memoryReservedBytes | tonumber'; }

# bats test_tags=slow
@test "F24: a destination agent that dies between its promise and the move keeps the promise, and ends it when nobody comes" {
	new_guest promised host1
	# The source dies after the destination has promised: nobody gives the reservation back.
	arm host1 source_after_admit
	drover -q migrate promised --to host2 --detach
	wait_until 'has_died host1' 20
	lab drover kill host2
	lab drover start host2
	wait_until '(($(held_on host2) > 0))' 10
	wait_until '(($(held_on host2) == 0))' 45
	[ -z "$(lab shell host2 find /run/drover/inbound -mindepth 1)" ]
	lab drover start host1
	wait_until none_active 30
	[ "$(home_of promised)" = host2 ] || run -0 drover migrate promised --to host2
	assert_all_well promised@host2
}

agent_pid() { cat "$LAB_STATE/hosts/$1/agent.pid"; }

# bats test_tags=slow
@test "F26: an agent that was stopped for a minute does not begin what was ordered meanwhile and is over" {
	new_guest stale host1
	kill -STOP "$(agent_pid host1)"
	drover -q migrate stale --to host2 --detach
	wait_until '[ "$(migration_get stale .state)" = RESERVED ]' 10
	# The order lies in the stopped agent's socket. The coordinator moves on: another life, another
	# epoch, and nobody wants the move any more.
	sleep 5
	lab drover kill coordinator
	lab drover start coordinator
	drover -q cancel vm/stale
	sleep 55
	kill -CONT "$(agent_pid host1)"
	wait_until all_ready 20
	wait_until none_active 20
	[ "$(migration_get stale .state)" = CANCELLED ] || fail "$(drover migrations --vm stale -o wide)"
	[ "$(qemu_starts_everywhere stale)" = 1 ] || fail "a QEMU was started on host2"
	assert_all_well stale@host1
}

journal_of() { printf '%s/hosts/%s/var-drover/agent.journal\n' "$LAB_STATE" "$1"; }

@test "F28: an agent whose journal was cut short goes on; one whose journal is damaged observes, and says what to do" {
	local journal bytes number
	journal=$(journal_of host1)
	new_guest kept host1
	run -0 drover migrate kept --to host2
	run -0 drover migrate kept --to host1
	lab drover kill host1
	truncate -s -5 "$journal"
	lab drover start host1
	wait_until all_ready 10
	run -0 drover migrate kept --to host2

	lab drover kill host1
	bytes=$(stat -c %s "$journal")
	head -c 16 /dev/urandom | dd of="$journal" bs=1 seek=$((bytes / 2)) conv=notrunc status=none
	for _ in 1 2; do
		lab drover start host1
		wait_until '[[ $(node_get host1 .reason) == *"only observes"*"agent.journal.corrupt-"*restart* ]]' 10
		run drover --timeout 5s migrate kept --to host1
		[ "$status" -ne 0 ]
		[ "$(home_of kept)" = host2 ]
		for number in $(drover migrations --active -o json | jq -r '.migrations[].number'); do drover -q cancel "migration/$number"; done
		lab drover kill host1
	done
	rm "$journal".corrupt-*
	lab drover start host1
	wait_until '[ -z "$(node_get host1 .reason)" ]' 10
	run -0 drover migrate kept --to host1
	assert_all_well kept@host1
}

@test "F29: an agent whose disk is full begins nothing, finishes what runs, and goes on when there is room" {
	new_guest running host1 --memory 96MiB --working-set 64MiB
	new_guest waiting host1
	lab drover kill host1
	lab shell host1 mount -t tmpfs -o size=1m,mode=700 tmpfs /var/lib/drover
	lab drover start host1
	wait_until all_ready 10
	lab link host1 migration rate 80mbit
	drover -q migrate running --to host2 --detach
	wait_mid_copy running host1
	lab shell host1 sh -c 'dd if=/dev/zero of=/var/lib/drover/filler bs=4k 2>/dev/null; true'
	drover -q migrate waiting --to host2 --detach || true
	wait_until '[ "$(vm_node running)" = host2 ]' 40
	[ "$(home_of running)" = host2 ]
	[ "$(qemu_starts_everywhere waiting)" = 1 ] || fail "it was begun without a record"
	lab shell host1 rm /var/lib/drover/filler
	wait_until none_active 40
	lab link host1 migration rate 1gbit
	[ "$(home_of waiting)" = host2 ] || run -0 drover migrate waiting --to host2
	assert_all_well running@host2 waiting@host2
	lab drover kill host1
	lab shell host1 umount /var/lib/drover
	lab drover start host1
}
