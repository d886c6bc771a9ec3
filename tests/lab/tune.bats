#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Moves that an operator changes while they run, on real hosts: what QEMU has then, what becomes of the
# guest, what is in the history, and what is refused.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab tune 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab link host1 migration rate 160mbit
}
teardown() { lab_end_test; }

# What QEMU itself was told, of GUEST on host1: KEY of its migration parameters.
qemu_has() {
	lab virsh host1 qemu-monitor-command "$1" '{"execute":"query-migrate-parameters"}' | jq -r ".return.\"$2\""
}

movable() { wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10; }

# wild NAME: writes twice what the link carries, in a working set that no downtime takes.
wild() {
	lab vm "$1" host1 --memory 64MiB --working-set 16MiB --dirty 40MiB/s --storage file
	movable "$1"
}

# Its copy is well under way, and its source agent knows it.
moving() { # GUEST
	wait_mid_copy "$1" host1
	wait_until "[ \"\$(migration_get $1 '.report.progress.iteration // 0')\" -ge 1 ]" 20
}

decided() { migration_get "$1" '.report.decisions // [] | .[]' | grep -q -- "$2"; } # GUEST TEXT

@test "a bandwidth is kept for a guest's next move, and taken off while that runs" {
	lab vm slow host1 --memory 64MiB --working-set 32MiB --storage file
	movable slow
	run -0 drover tune slow --bandwidth 1MiB/s
	[[ $output == *"no limit → 1 MiB/s = 8.4 Mbit/s"*"kept for its next migration"* ]]
	drover explain vm/slow | grep -q 'bandwidthPerMigration *1 MiB/s = 8.4 Mbit/s *kept for it by'
	drover -q migrate slow --to host2 --detach
	wait_mid_copy slow host1 262144
	wait_until '[ "$(migration_get slow ".report.progress.iteration // 0")" -ge 1 ]' 20
	[ "$(qemu_has slow max-bandwidth)" = 1048576 ]
	wait_until '[ "$(migration_get slow .report.progress.connection.limitedBy)" = cap ]' 20
	drover explain "migration/$(migration_get slow .number)" | grep -q 'limited by *the bandwidth it is allowed'
	run -0 drover tune slow --bandwidth none --max-downtime 250ms
	[[ $output == *"bandwidthPerMigration"*"1 MiB/s = 8.4 Mbit/s → no limit"* ]]
	[[ $output == *"maxDowntime"*"300 ms → 250 ms"* ]]
	wait_until '[ "$(migration_get slow .state)" = DONE ]' 30
	assert_all_well slow@host2
	decided slow "bandwidthPerMigration 1 MiB/s = 8.4 Mbit/s -> no limit"
	drover explain "migration/$(migration_get slow .number)" | grep -q 'maxDowntime *250 ms *changed by hand'
	drover events | grep -q 'slow: after .*maxDowntime 300 ms -> 250 ms'
	run -0 drover explain vm/slow
	[[ $output != *"kept for it"* ]]
	run -4 drover tune "migration/$(migration_get slow .number)" --pause
	[[ $output == *"is over (done)"* ]]
}

# bats test_tags=slow
@test "a guest that never converges arrives when it is given more downtime, and QEMU has it" {
	wild busy
	drover -q migrate busy --to host2 --detach
	moving busy
	run -0 drover tune busy --max-downtime 4s
	[[ $output == *"300 ms → 4.0 s"* ]]
	wait_until '[ "$(migration_get busy .state)" = DONE ]' 30
	decided busy "maxDowntime 300 ms -> 4.0 s"
	assert_all_well busy@host2
}

# bats test_tags=slow
@test "a ladder leaves a downtime alone that an operator has set, also across a restart of the agent" {
	wild held
	drover -q migrate held --to host2 --ladder minimal-downtime --max-downtime 400ms --detach
	moving held
	run -0 drover tune held --max-downtime 70ms
	# As if the agent had died before it asked libvirt.
	lab virsh host1 -q migrate-setmaxdowntime held 5
	lab drover restart host1
	wait_until '[ "$(qemu_has held downtime-limit)" = 70 ]' 20
	wait_until '[ "$(migration_get held .state)" = FAILED ]' 120
	[[ $(migration_get held .reason) == *"did not converge at the 70 ms"* ]]
	run ! decided held "raised"
	assert_all_well held@host1
}

# bats test_tags=slow
@test "a pause by hand finishes a move; the guest runs where it has arrived" {
	wild calmed
	drover -q migrate calmed --to host2 --detach
	moving calmed
	run -0 drover tune calmed --pause
	[[ $output == *"pre-copy → paused until it is moved"* ]]
	wait_until '[ "$(migration_get calmed .state)" = DONE ]' 30
	assert_all_well calmed@host2
}

# bats test_tags=slow
@test "post-copy by hand: only where it was permitted from the start, and where no two-step commit guards" {
	wild quick
	drover -q migrate quick --to host2 --detach
	moving quick
	run -4 drover tune quick --post-copy
	[[ $output == *"--allow-post-copy"* ]]
	drover -q cancel vm/quick
	wait_until '[ "$(migration_get quick .state)" = CANCELLED ]' 20
	drover -q migrate quick --to host2 --allow-post-copy --detach
	moving quick
	run -0 drover tune quick --post-copy
	[[ $output == *"pre-copy → post-copy"* ]]
	wait_until '[ "$(migration_get quick .state)" = DONE ]' 30
	decided quick "mode pre-copy -> post-copy"
	assert_all_well quick@host2

	lab vm bare host1 --memory 64MiB --working-set 16MiB --dirty 40MiB/s
	movable bare
	drover -q migrate bare --to host2 --detach
	moving bare
	run -4 drover tune bare --post-copy
	[[ $output == *"two-step commit"* ]]
	run -0 drover tune bare --max-downtime 4s
	wait_until '[ "$(migration_get bare .state)" = DONE ]' 30
	assert_all_well bare@host2
}
