#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Guests whose dirty rate is known and the ladders that move them, on real hosts: one that converges, one
# that never does, one that does with auto-converge, one with post-copy, one that has to stand still.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab ladder 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab link host1 migration rate 160mbit
}
teardown() { lab_end_test; }

# wild NAME [WORKING_SET]: writes twice what the link carries, in a working set that no downtime takes.
wild() {
	lab vm "$1" host1 --memory 96MiB --working-set "${2:-16MiB}" --dirty 40MiB/s --storage file
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
}

decisions() { migration_get "$1" '.report.decisions // [] | .[]'; }
decided() { decisions "$1" | grep -q "$2"; } # GUEST TEXT
never_decided() { [ -z "$(decisions "$1")" ] || fail "$(decisions "$1")"; }
said_in_history() { drover events | grep -q "$1: after .*$2"; } # GUEST TEXT

# bats test_tags=slow
@test "a guest that converges is left alone; one that never does moves with post-copy, each step with its reason" {
	lab vm calm host1 --memory 64MiB --storage file
	run -0 drover migrate calm --to host2 --ladder minimal-downtime
	never_decided calm
	assert_all_well calm@host2

	wild busy
	run -0 drover migrate busy --to host2 --ladder post-copy
	[ "$(migration_get busy .report.guard)" = GUARD_IMAGE_LOCK ]
	decided busy "max downtime raised from 60 ms to 90 ms of 300 ms" || fail "$(decisions busy)"
	decided busy "switched to post-copy" || fail "$(decisions busy)"
	said_in_history busy "switched to post-copy"
	drover explain "migration/$(migration_get busy .number)" | grep -q "switched to post-copy"
	assert_all_well busy@host2
}

@test "post-copy where only a two-step commit would guard is refused, and the guest untouched" {
	lab vm bare host1 --memory 64MiB
	wait_until "drover vms bare -o json | jq -e '.vms[0].movable' >/dev/null" 10
	drover -q migrate bare --to host2 --allow-post-copy --detach
	# It waits for a host that would take it, and says what each of them has refused.
	wait_until '[[ $(migration_get bare .reason) == *"not possible with post-copy"* ]]' 20
	drover -q cancel vm/bare
	wait_until '[ "$(migration_get bare .state)" = CANCELLED ]' 10
	assert_all_well bare@host1
}

# bats test_tags=slow
@test "by name: a guest that nothing else moves is paused until it has arrived, and runs there" {
	wild held
	run -0 drover migrate held --to host2 --ladder suspend-if-needed
	decided held "the guest is paused until it is moved" || fail "$(decisions held)"
	assert_all_well held@host2
}

# bats test_tags=slow
@test "a guest that drover has paused runs again when its move is cancelled" {
	# What is left at a pause takes seconds: the switchover itself cannot be cancelled.
	wild back 40MiB
	drover -q migrate back --to host2 --ladder suspend-if-needed --detach
	wait_until '[ "$(guest_state back host1)" = paused ] && lab link host1 migration rate 1mbit' 60
	drover -q cancel vm/back
	wait_until '[ "$(migration_get back .state)" = CANCELLED ]' 30
	assert_all_well back@host1
}

# bats test_tags=slow
@test "a guest that never converges is given up with its figures, and stays" {
	wild never
	run -1 drover migrate never --to host2 --ladder minimal-downtime
	[[ $(migration_get never .reason) == *"did not converge at the 300 ms"* ]]
	assert_all_well never@host1
}

# bats test_tags=slow
@test "a guest whose CPUs are the limit converges with auto-converge and not without" {
	lab vm hot host1 --memory 64MiB --working-set 16MiB --dirty max --storage file
	wait_until "drover vms hot -o json | jq -e '.vms[0].movable' >/dev/null" 10
	run -1 drover migrate hot --to host2 --ladder minimal-downtime
	[[ $(migration_get hot .reason) == *"did not converge"*"permit auto-converge"* ]] || fail "$(migration_get hot .reason)"
	assert_all_well hot@host1
	run -0 drover migrate hot --to host2 --allow-auto-converge
	decided hot "auto-converge" || fail "$(decisions hot)"
	assert_all_well hot@host2

	# very-large has it from the start, and more patience.
	lab link host2 migration rate 160mbit
	run -0 drover migrate hot --to host1 --ladder very-large
	decided hot "auto-converge" || fail "$(decisions hot)"
	assert_all_well hot@host1
}
