#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A host dies for good in the middle of a move, and an operator says so: its partner's memory, port and
# tunnel are free, its slot is free, and what the partner has of the guest decides. And the host that
# comes back after all.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab fence 3; }
teardown_file() { lab_down; }
setup() {
	local host
	for host in $(lab_hosts); do
		lab virsh "$host" -q list >/dev/null 2>&1 || lab power "$host" on
	done
	lab_drover_start >/dev/null 2>&1
	drover_reset
}
teardown() { lab_end_test; }

# Without its reply drover would wait for 30 s of silence: that long a host must have said nothing.
silent_for() { drover nodes "$1" -o json | jq -e ".nodes[0].lastSeenMs > $2 * 1000" >/dev/null; }
fence() {
	wait_until "silent_for $1 31" 45
	drover fence "$1" -m "board burnt" --yes
}
inbound_of() { lab shell "$1" find /run/drover/inbound -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
host_is_free() { # HOST: nothing is kept for a guest on its way in
	drover nodes "$1" -o json | jq -e '.nodes[0] | .host.portsInUse == 0 and .host.slotsIn == 0 and
		(.host.memoryReservedBytes | tonumber) == 0 and .migrationsIn == 0' >/dev/null &&
		[ "$(inbound_of "$1")" = 0 ]
}
tunnels_on() {
	ip netns pids "drover-$DROVER_LAB-$1" | while read -r pid; do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != drover-tunnel* ]] || printf '%s\n' "$pid"
	done
}

@test "fence is refused while the host's agent speaks, and says since when it is silent" {
	run -4 drover fence host1 -m "board burnt" --yes
	[[ $output == *"its agent is connected"* && $output == *"drover drain host1"* ]]
	lab drover kill host1
	run -4 drover fence host1 -m "board burnt" --yes
	[[ $output == *"last heard "*" ago; at least 30"*" s of silence"* ]]
	run -2 drover fence host1 --yes
	[[ $output == *"-m"* ]]
	[ "$(node_get host1 .fenced)" != true ]
	lab drover start host1
	wait_until all_ready 20
}

@test "a host dies in mid-copy: after fence its slot, port and tunnel are free, and another drain goes on" {
	lab vm victim host1 --memory 256MiB --working-set 64MiB
	lab vm other host3 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 2 ]' 10
	lab link host1 migration rate 100mbit
	drover migrate victim --to host2 --detach
	wait_mid_copy victim host1
	lab power host1 off
	wait_until '[ "$(migration_get victim .state)" = UNRESOLVED ]' 20
	[ "$(inbound_of host2)" = 1 ]
	[ "$(node_get host2 .migrationsIn)" = 1 ]

	# Nobody is there to confirm it: nothing is done, but what it means is said.
	wait_until "silent_for host1 31" 45
	run -4 drover fence host1 -m "board burnt" --no-input
	[[ $output == *victim* && $output == *"run twice"* ]]
	[ "$(node_get host1 .state)" = unreachable ]

	fence host1
	[ "$(node_get host1 .state)" = fenced ]
	[[ $(node_get host1 .reason) == *"board burnt"* ]]
	wait_until '[ "$(migration_get victim .state)" = FAILED ]' 30
	[[ $(migration_get victim .reason) == *"declared dead"* ]]
	wait_until 'host_is_free host2' 15
	[ -z "$(tunnels_on host2)" ]
	[ "$(guest_state victim host2)" = "" ]
	[[ $(drover events) == *"declared dead by uid 0"* ]]

	# Who else drains finds room and slots.
	run -0 drover drain host3
	[[ $output == *"host3 is empty"* ]]
	assert_runs_only_on_alive other
}

# As assert_runs_only_on, where a host is off.
assert_runs_only_on_alive() {
	local host running=0
	for host in host2 host3; do
		[[ $(guest_state "$1" "$host") != running ]] || running=$((running + 1))
	done
	[ "$running" = 1 ]
}

# bats test_tags=slow
@test "a source dies after the copy, before the commit: fence resumes the paused guest, and its return changes nothing" {
	lab vm late host1 --memory 128MiB --working-set 32MiB --persistent
	lab virsh host1 -q autostart late
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 1 ]' 10
	lab link host1 migration rate 200mbit
	drover migrate late --to host2 --detach
	wait_mid_copy late host1
	# libvirt goes on by itself; nobody is left to resume the copy.
	lab drover kill host1
	wait_until '[ "$(guest_state late host2)" = paused ] && [ "$(guest_state late host1)" != running ]' 60
	wait_until '[ -z "$(lab virsh host1 -q list --name)" ]' 30
	lab power host1 off
	[ "$(guest_state late host2)" = paused ]
	fence host1
	wait_until '[ "$(guest_state late host2)" = running ]' 30
	wait_until '[ "$(migration_get late .state)" = DONE ]' 30
	wait_until 'host_is_free host2' 15
	[ "$(vm_node late)" = host2 ]
	[ "$(lab virsh host2 -q dominfo late | awk '/^Autostart/ { print $2 }')" = enable ]

	# It is repaired: it acts on nothing, takes no guests, and works again once it may.
	lab power host1 on
	lab drover start host1
	wait_until '[ "$(node_get host1 .state)" = cordoned ]' 30
	[[ $(drover events node/host1) == *"is back after it was declared dead"* ]]
	wait_until '[ "$(node_get host1 ".migrationsOut + .host.slotsOut")" = 0 ]' 20
	[ "$(migration_get late .state)" = DONE ]
	drover uncordon host1
	assert_all_well late@host2
}

@test "a destination dies: fence tells the source, and the guest stays where it is" {
	lab vm stays host1 --memory 256MiB --working-set 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 1 ]' 10
	lab link host1 migration rate 100mbit
	drover migrate stays --to host2 --detach
	wait_mid_copy stays host1
	lab power host2 off
	fence host2
	wait_until '[ "$(migration_get stays .state)" = FAILED ]' 60
	[ "$(guest_state stays host1)" = running ]
	assert_counter_goes_on stays
	wait_until '[ "$(node_get host1 ".migrationsOut + .host.slotsOut")" = 0 ]' 20
	lab power host2 on
	lab drover start host2
	wait_until '[ "$(node_get host2 .state)" = cordoned ]' 30
	drover uncordon host2
	assert_all_well stays@host1
}
