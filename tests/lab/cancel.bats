#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Taking it back, on real hosts: what is cancelled stays where it runs and leaves nothing; who stops
# watching cancels nothing.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab cancel 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab link host1 migration rate 80mbit
}
teardown() { lab_end_test; }

big_vm() {
	lab vm "$1" host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
}

@test "a migration cancelled in mid-copy leaves the guest where it runs, and nothing of itself" {
	big_vm stays
	drover -q migrate stays --to host2 --detach
	wait_mid_copy stays host1
	started=$EPOCHSECONDS
	run -0 drover cancel vm/stays
	wait_until '[ "$(migration_get stays .state)" = CANCELLED ]' 10
	((EPOCHSECONDS - started < 10))
	[[ $(migration_get stays .reason) == *cancelled* ]]
	assert_all_well stays@host1
	[ -z "$(lab virsh host2 -q list --all --name)" ]
	# And it may be moved again.
	lab link host1 migration rate 1gbit
	run -0 drover migrate stays --to host2
	assert_all_well stays@host2
}

@test "a cancel that comes before the copy begins ends it as well" {
	big_vm early
	for _ in 1 2 3; do
		drover -q migrate early --to host2 --detach
		drover -q cancel vm/early
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 20
		assert_all_well early@host1
	done
}

@test "F61: a cancelled drain starts nothing more; what moves may be cancelled too" {
	for i in 1 2 3; do big_vm "c$i"; done
	drover -q drain host1 --detach
	wait_until '[ "$(drover migrations --active -o json | jq "[.migrations[] | select(.state == \"RUNNING\")] | length")" = 2 ]' 20
	run -0 drover cancel drain/"$(drain_get .number)"
	[ "$(drain_get .state)" = cancelled ]
	for name in $(drover migrations --active -o name); do drover -q cancel "$name"; done
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 20
	for i in 1 2 3; do assert_all_well "c$i@host1"; done
	[ "$(drover migrations --vm c3 -o json | jq '[.migrations[] | select(.state == "DONE")] | length')" = 0 ]
}

@test "Ctrl-C stops watching and cancels nothing" {
	big_vm watched
	# A shell's background job ignores SIGINT unless told otherwise.
	env --default-signal=INT "$DROVER_BUILD_DIR/tools/drover/drover" migrate watched --to host2 \
		>"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	wait_mid_copy watched host1
	kill -INT "$pid"
	status=0
	wait "$pid" || status=$?
	[ "$status" = 130 ] || fail "$status: $(cat "$BATS_TEST_TMPDIR/out")"
	grep -q "goes on" "$BATS_TEST_TMPDIR/out"
	[ "$(migration_get watched .state)" = RUNNING ]
	wait_until '[ "$(migration_get watched .state)" = DONE ]' 30
	assert_all_well watched@host2
}
