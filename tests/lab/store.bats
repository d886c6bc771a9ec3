#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The coordinator's store, while guests move: damaged, without room, in use by somebody else, and not
# written. What was accepted is stored, what is not stored was not accepted, and no guest is touched.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab store 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	disarm coordinator
	lab_end_test
}

STORE=/var/lib/drover
in_coordinator() { lab shell coordinator "$@"; }
is_down() { ! drover --timeout 2s status >/dev/null 2>&1; }
log_says() { lab drover log coordinator | tail -n "+$1" | grep -qE "$2"; } # LINE PATTERN
log_lines() { lab drover log coordinator | wc -l; }

# bats test_tags=slow
@test "F40: a damaged store is refused with what to do; moved away, the drain goes on from what the hosts know" {
	local db before line
	new_guest early host1 --memory 96MiB --working-set 64MiB
	new_guest late host1
	lab link host1 migration rate 40mbit
	drover drain host1 --parallel 1 -m "new memory" --detach
	wait_until 'is_copying early host1 || is_copying late host1' 20
	lab drover kill coordinator
	db=$(in_coordinator find "$STORE" -name '*.db')
	in_coordinator sh -c "head -c 65536 /dev/urandom | dd of=$db bs=4096 seek=1 conv=notrunc status=none"
	in_coordinator sh -c "rm -f $db-wal"
	before=$(in_coordinator md5sum "$db")
	line=$(log_lines)
	run lab drover start coordinator
	[ "$status" -ne 0 ]
	log_says "$line" "is damaged .*it was not touched.*move it away"
	[ "$(in_coordinator md5sum "$db")" = "$before" ]
	for guest in early late; do assert_counter_goes_on "$guest"; done
	in_coordinator sh -c "mkdir -p $STORE/aside && mv $db* $STORE/aside/"
	lab drover start coordinator
	wait_until '[[ $(drover events) == *"the store does not know it; the drain goes on"* ]]' 20
	lab link host1 migration rate 1gbit
	wait_until '[ "$(drain_get .state)" = completed ]' 60
	assert_all_well early@host2 late@host2
	for guest in early late; do [ "$(qemu_starts_everywhere "$guest")" = 2 ]; done
	in_coordinator rm -r "$STORE/aside"
}

# bats test_tags=slow
@test "F41: without room for the store nothing new is accepted, what moves arrives, and is recorded when there is room" {
	local line
	new_guest running host1 --memory 96MiB --working-set 64MiB
	new_guest waiting host1
	lab link host1 migration rate 40mbit
	lab drover stop coordinator
	# As large as the store is, and a little more.
	in_coordinator sh -c "cp -a $STORE /run/drover-aside && mount -t tmpfs -o size=2m,mode=700 tmpfs $STORE && cp -a /run/drover-aside/. $STORE/"
	lab drover start coordinator
	wait_until all_ready 15
	drover -q migrate running --to host2 --detach
	wait_mid_copy running host1
	line=$(log_lines)
	in_coordinator sh -c "dd if=/dev/zero of=$STORE/filler bs=4k 2>/dev/null; true"
	# The pages there are still take some records.
	for _ in {1..200}; do
		drover -q --timeout 2s cordon host1 >/dev/null 2>&1 || break
		drover -q --timeout 2s uncordon host1 >/dev/null 2>&1 || break
	done
	run drover -q --timeout 2s migrate waiting --to host2 --detach
	[ "$status" -ne 0 ] || fail "a request was accepted that nobody can have stored"
	log_says "$line" "disk is full|no room|database or disk is full"
	wait_until '[ "$(home_of running)" = host2 ]' 60
	[ "$(qemu_starts_everywhere waiting)" = 1 ] || fail "it was begun without a record"
	in_coordinator rm "$STORE/filler"
	lab drover start coordinator
	wait_until '[ "$(migration_get running .state)" = DONE ]' 20
	[ "$(drover migrations --vm waiting -o json | jq '.migrations | length')" = 0 ]
	drover -q uncordon host1 >/dev/null 2>&1 || true
	run -0 drover -q migrate waiting --to host2
	assert_all_well running@host2 waiting@host2
	lab drover stop coordinator
	in_coordinator sh -c "cp -a $STORE/. /run/drover-aside/"
	wait_until 'in_coordinator umount $STORE 2>/dev/null' 10
	in_coordinator sh -c "cp -a /run/drover-aside/. $STORE/ && rm -r /run/drover-aside"
	lab drover start coordinator
	wait_until all_ready 15
}

# bats test_tags=slow
@test "F42: a second coordinator is refused by name; a store that somebody has locked is refused, and the locker while it is in use" {
	local db holder
	run -1 in_coordinator "$DROVER_BUILD_DIR/coordinator/drover-coordinator" --config /etc/drover/coordinator.yaml
	[[ $output == *"$(cat "$LAB_STATE/hosts/coordinator/coordinator.pid")"* ]] || fail "$output"
	wait_until all_ready 10
	command -v sqlite3 >/dev/null || skip "no sqlite3 to lock it with"
	db=$(in_coordinator find "$STORE" -name '*.db')
	run in_coordinator sqlite3 "$db" 'BEGIN IMMEDIATE'
	[[ $status -ne 0 && $output == *"locked"* ]]

	lab drover stop coordinator
	mkfifo "$BATS_TEST_TMPDIR/says"
	in_coordinator sqlite3 "$db" <"$BATS_TEST_TMPDIR/says" 3>&- &
	holder=$!
	exec 7>"$BATS_TEST_TMPDIR/says"
	printf 'BEGIN EXCLUSIVE;\n.output %s\n.print locked\n.output\n' "$STORE/locked" >&7
	wait_until 'in_coordinator test -s $STORE/locked' 10
	run lab drover start coordinator
	[ "$status" -ne 0 ]
	[[ $output == *"$db"*"locked"* ]] || fail "$output"
	exec 7>&-
	wait "$holder"
	in_coordinator rm "$STORE/locked"
	lab drover start coordinator
	wait_until all_ready 15
}

# bats test_tags=slow
@test "F43: what could not be stored was not accepted, and nothing of it is left" {
	local pid
	new_guest still host1
	arm coordinator coordinator_before_slot_stored=error
	run drover -q --timeout 5s drain host1 --detach
	[ "$status" -ne 0 ] || fail "a drain was accepted that was not stored"
	has_fired coordinator
	[ "$(home_of still)" = host1 ]
	lab drover start coordinator
	wait_until all_ready 15
	[ "$(drover drains --active -o json | jq '.drains | length')" = 0 ]
	[ "$(qemu_starts_everywhere still)" = 1 ]

	# A write that takes 3 s: whoever asked waits as long, and then it is stored.
	arm coordinator coordinator_before_slot_stored=stop
	drover -q --timeout 20s drain host1 --detach >"$BATS_TEST_TMPDIR/drain" 2>&1 3>&- &
	pid=$!
	wait_until 'has_fired coordinator' 10
	sleep 3 # the case itself
	kill -0 "$pid" || fail "it was acknowledged before it was stored: $(cat "$BATS_TEST_TMPDIR/drain")"
	kill -CONT "$(fired_pid coordinator)"
	wait "$pid"
	wait_until '[ "$(drain_get .state)" = completed ]' 60
	assert_all_well still@host2
}
