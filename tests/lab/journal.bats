#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What an agent has promised survives it: it dies around each record of its journal, and goes on from
# what is there; a journal that is cut short, damaged or full is said, and nothing is begun on it.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab journal 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	for node in coordinator host1 host2; do disarm "$node"; done
	lab_end_test
}

journal_of() { printf '%s/hosts/%s/var-drover/agent.journal\n' "$LAB_STATE" "$1"; }

# The records that an undisturbed move writes on HOST, counted by the headers that the journal gains.
records_of_a_move() {
	local journal before
	journal=$(journal_of "$1")
	new_guest counted host1
	before=$(stat -c %s "$journal")
	drover -q migrate counted --to host2 >/dev/null
	wait_until '[ -z "$(leftovers)" ]' 10
	tail -c "+$((before + 1))" "$journal" | count_records
	lab rm counted >/dev/null
}

# Length and type, two checksums, payload; all little-endian (agent/journal/journal.h).
count_records() {
	perl -e 'local $/; $_ = <STDIN>; my $n = 0;
		while (length >= 16) { my $l = unpack "V"; $_ = substr $_, 16 + $l; $n++ } print "$n\n"'
}

# bats test_tags=slow
@test "F25: either agent dies before, in and after each record of its journal" {
	local host point n records
	for host in host1 host2; do
		records=$(records_of_a_move "$host")
		((records >= 3)) || fail "a move writes $records records on $host"
		echo "# a move writes $records records on $host" >&3
		for point in $(names agent/drover-agent journal_); do
			for ((n = 1; n <= records; n++)); do
				sweep "$host" "$point:$n"
			done
		done
	done
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
	# Either the agent saw that nobody waits, or it was cancelled, or the destination knew better.
	[[ $(migration_get stale .state) =~ ^(CANCELLED|FAILED)$ ]] || fail "$(drover migrations --vm stale -o wide)"
	[ "$(qemu_starts_everywhere stale)" = 1 ] || fail "a QEMU was started on host2"
	assert_all_well stale@host1
}

# bats test_tags=slow
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
	# What it had promised before the damage, and given back after it, ends with its lease.
	wait_until '[ "$(node_get host1 .host.slotsIn)" = 0 ]' 50
	run -0 drover migrate kept --to host1
	assert_all_well kept@host1
}

# In its last page, for a record of an attempt.
journal_has_room() {
	local bytes
	bytes=$(lab shell host1 stat -c %s /var/lib/drover/agent.journal)
	((4096 - bytes % 4096 > 200))
}

# bats test_tags=slow
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
	# The page in which the journal ends still takes records: marks fill it up.
	for _ in {1..60}; do
		journal_has_room || break
		drover -q --timeout 2s cordon host1 || true
		drover -q --timeout 2s uncordon host1 || true
	done
	run -1 journal_has_room
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
	wait_until 'lab shell host1 umount /var/lib/drover 2>/dev/null' 10
	lab drover start host1
}
