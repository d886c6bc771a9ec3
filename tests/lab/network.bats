#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Networks that go away in the middle of a move, on real hosts: the guest stays where it runs, data
# never takes the wrong road, the reason is shown, and nothing is left.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab network 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

# A guest on host1 in the middle of a move to host2 that takes about ten seconds.
begin_long_move() { # GUEST
	lab vm "$1" host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 50mbit
	drover -q migrate "$1" --to host2 --detach
	wait_mid_copy "$1" host1
}

@test "F46: the migration network goes down in mid-copy: the guest stays and runs, nothing takes the management network, the reason is shown, leftovers are gone" {
	begin_long_move stays
	control=$(link_bytes host1 mg0)
	lab link host2 migration down
	# Half a minute without a byte is what it takes to call the network dead.
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 50
	[ "$(migration_get stays .state)" = FAILED ]
	[[ $(migration_get stays .reason) == *"migration network"* ]]
	control=$(($(link_bytes host1 mg0) - control))
	((control < 1048576)) || fail "$control bytes on the management network"
	[[ $(drover migrations --failed) == *"migration network"* ]]
	[ -z "$(lab virsh host2 -q list --all --name)" ]
	assert_all_well stays@host1
	# With the cable back it moves.
	lab link host2 migration up
	lab link host1 migration rate 1gbit
	wait_until 'reaches host1 10.78.0.2' 10
	run -0 drover migrate stays --to host2
	assert_all_well stays@host2
}

@test "a migration network that is back within seconds costs nothing but these seconds" {
	begin_long_move blip
	lab link host2 migration down
	wait_until '[ "$(node_get host1 ".host.interfaces[0].txBytesPerS | tonumber < 100000")" = true ]' 10
	lab link host2 migration up
	wait_until '[ "$(migration_get blip .state)" = DONE ]' 60
	assert_all_well blip@host2
	[ "$(qemu_starts blip host2)" = 1 ]
}

@test "F45: a management network that is back within seconds leaves a running copy alone" {
	begin_long_move talk
	lab link host1 mgmt down
	wait_until '[ "$(node_get host1 .state)" != ready ]' 15
	# No news is no end: the migration is not called failed, the guest not lost.
	[[ $(migration_get talk .state) == RUNNING || $(migration_get talk .state) == UNRESOLVED ]]
	[ "$(vm_node talk)" = host1 ]
	lab link host1 mgmt up
	wait_until all_ready 20
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 60
	[ "$(migration_get talk .state)" = DONE ] || fail "$(migration_get talk .reason)"
	assert_all_well talk@host2
}

# bats test_tags=slow
@test "F45: a management network that stays away in mid-copy ends the move, not the guest" {
	begin_long_move alone
	lab link host1 migration rate 8mbit
	lab link host1 mgmt down
	# libvirt's job ends when drover has heard nothing for a quarter of a minute.
	wait_until '! is_copying alone host1 0' 40
	[ "$(guest_state alone host1)" = running ]
	lab link host1 mgmt up
	wait_until all_ready 20
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 40
	[ "$(migration_get alone .state)" = FAILED ]
	[[ $(migration_get alone .reason) == *"management network"* ]]
	assert_all_well alone@host1
}

# bats test_tags=slow
@test "F45: the management network of a draining host is away for two minutes: no guest is called lost, no move failed, and it ends by itself" {
	local until state
	lab vm drained host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms drained -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 20mbit
	drover -q drain host1 --detach
	wait_mid_copy drained host1
	lab link host1 mgmt down
	wait_until '[ "$(node_get host1 .state)" = unreachable ]' 20
	until=$((SECONDS + 120))
	while ((SECONDS < until)); do
		state=$(migration_get drained .state)
		[[ $state == RUNNING || $state == UNRESOLVED ]] || fail "$state: $(migration_get drained .reason)"
		[ "$(vm_node drained)" = host1 ]
		[ "$(drain_get .state)" != completed ]
		sleep 5
	done
	# No tunnel, no libvirt: that copy has ended meanwhile. The guest has not.
	[ "$(guest_state drained host1)" = running ]
	lab link host1 mgmt up
	# The truth, within ten seconds of a connection, for which the agents dial every 15 s at the latest.
	wait_until '[[ $(migration_get drained .state) == FAILED || $(migration_get drained .state) == DONE ]]' 28
	lab link host1 migration rate 1gbit
	wait_until '[ "$(drain_get .state)" = completed ]' 90
	assert_all_well drained@host2
}
