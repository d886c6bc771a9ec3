#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The next guest of a drain is prepared while the last one still sends: admitted, with its tunnel, and nothing of
# it touched before a slot is free. QEMU and the destination say so, not only drover.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() {
	drover_lab ahead 3
	printf 'limits: {parallelOutboundMigrationsPerNode: 1}\n' >>"$LAB_STATE/hosts/coordinator/etc-drover/coordinator.yaml"
	lab drover restart coordinator
	wait_until all_ready 60
}
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab link host1 migration rate 100mbit
}
teardown() { lab_end_test; }

# The number of the migration that is prepared, and waits.
held() { drover migrations --active -o json | jq -e '[.migrations[] | select(.report.waitsForSlot)] | .[0].number // empty | tonumber'; }
held_vm() { drover migrations --active -o json | jq -r '[.migrations[] | select(.report.waitsForSlot)] | .[0].vmName // empty'; }
# QEMU on host1 sends GUEST's memory.
sends() { [ "$(lab virsh host1 qemu-monitor-command "$1" '{"execute":"query-migrate"}' | jq -r '.return.status // "none"')" = active ]; }

# GUEST GUEST: QEMU's logs, which count its starts, go by their names.
two_leave() {
	local guest
	for guest in "$@"; do
		lab vm "$guest" host1 --memory 160MiB --working-set 100MiB --dirty 1MiB/s --storage none
	done
	wait_until '[ "$(drover vms -o json | jq "[.vms[] | select(.movable)] | length")" = 2 ]' 20
	drover -q drain host1 --detach
	wait_until 'held >/dev/null' 60
}

# bats test_tags=slow
@test "one sends and the next is prepared: it has its room there, waits, says for whom, and goes when it can" {
	two_leave one two
	# The other one sends until all is looked at: else its slot would be free, and this one's.
	lab link host1 migration rate 10mbit
	local number vm other
	number=$(held) vm=$(held_vm)
	other=$([ "$vm" = one ] && echo two || echo one)
	run -0 drover explain "migration/$number"
	[[ $output == *"prepared; waits: 1 of 1 outbound slots of host1 in use"* ]]
	[[ $output == *"is prepared: "*" has reserved its room"* ]]
	[[ $output == *"a slot is held by migration/"*"$other"* ]]
	# By the destination's word, and QEMU's: room for it there, and nothing of it on its way.
	[ "$(drover nodes -o json | jq "[.nodes[].host.leases[]? | select(.vmName == \"$vm\")] | length")" = 1 ]
	wait_until "sends $other" 10
	[ "$(held_vm)" = "$vm" ]
	run ! sends "$vm"
	[ "$(qemu_starts_everywhere "$vm")" = 1 ]
	lab link host1 migration rate 100mbit
	wait_until '[ "$(drain_get .state)" = completed ]' 120
	[ "$(migration_get "$vm" '.report.times.preparedMs | tonumber')" -gt 0 ]
	[ "$(migration_get "$vm" '.attempt.number // .report.attempt.number')" = 1 ]
	[ "$(qemu_starts_everywhere "$vm")" = 2 ]
	assert_all_well one two
}

# bats test_tags=slow
@test "what is prepared is given back when its drain is taken back, and by an agent that was killed" {
	two_leave three four
	local vm
	vm=$(held_vm)
	lab link host1 migration rate 10mbit # likewise
	lab drover kill host1
	lab drover start host1
	wait_until '! held >/dev/null' 30
	[ "$(guest_state "$vm" host1)" = running ]
	[ "$(qemu_starts_everywhere "$vm")" = 1 ]
	drover -q undrain host1
	lab link host1 migration rate 100mbit
	wait_until '[ "$(drover migrations --active -o json | jq ".migrations | length")" = 0 ]' 60
	wait_until '[ "$(drover nodes -o json | jq "[.nodes[].host.leases[]?] | length")" = 0 ]' 60
	[ "$(guest_state "$vm" host1)" = running ]
	[ "$(qemu_starts_everywhere "$vm")" = 1 ]
}
