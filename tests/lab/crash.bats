#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Any of drover's daemons is killed at any moment, and libvirtd as well: guests run once, what was
# under way goes on, what was asked for gets done, and drover knows the truth again within ten seconds.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab crash 3; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

# A guest on host1 in the middle of a move to host2 that takes about ten seconds.
begin_long_move() { # GUEST [STORAGE]
	lab vm "$1" host1 --memory 96MiB --working-set 64MiB --storage "${2:-none}"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 80mbit
	drover -q migrate "$1" --to host2 --detach
	wait_mid_copy "$1" host1
}

# drover's view is that of libvirt: the guest is where it runs, its migration is under way or done.
view_is_right() { # GUEST
	local state node
	state=$(migration_get "$1" .state) node=$(vm_node "$1")
	all_ready || return 1
	if is_copying "$1" host1 0; then
		[[ $state == RUNNING && $node == host1 ]] &&
			[[ $(migration_get "$1" '.report.progress.memoryProcessedBytes | tonumber > 0') == true ]]
	else
		[[ $state == DONE && $node == host2 ]]
	fi
}

assert_moved_once() { # GUEST...
	local guest
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 60
	for guest in "$@"; do
		[ "$(qemu_starts_everywhere "$guest")" = 2 ] ||
			fail "a QEMU for $guest was started $(qemu_starts_everywhere "$guest") times, not once here and once there" || return 1
		[ "$(drover migrations --vm "$guest" -o json | jq '.migrations | length')" = 1 ] ||
			fail "$(drover migrations --vm "$guest")" || return 1
		[ "$(migration_get "$guest" .state)" = DONE ] || fail "$(drover migrations --vm "$guest" -o wide)" || return 1
	done
}

@test "F23: after the source agent was killed in mid-copy the migration goes on and is seen to its end" {
	begin_long_move srcdied
	lab drover kill host1
	wait_mid_copy srcdied host1 12000000
	lab drover start host1
	wait_until 'view_is_right srcdied' 10
	wait_until '[ "$(migration_get srcdied .state)" = DONE ]' 40
	assert_moved_once srcdied
	assert_all_well srcdied@host2
}

@test "after the destination agent was killed in mid-copy the migration goes on and is seen to its end" {
	begin_long_move dstdied lun
	lab drover kill host2
	wait_mid_copy dstdied host1 12000000
	lab drover start host2
	wait_until 'view_is_right dstdied' 10
	wait_until '[ "$(migration_get dstdied .state)" = DONE ]' 40
	assert_moved_once dstdied
	assert_all_well dstdied@host2
}

@test "after every daemon of drover was killed in mid-copy the migration goes on and is recorded once" {
	begin_long_move alldied file
	lab drover kill all
	wait_mid_copy alldied host1 12000000
	lab drover start all
	wait_until 'view_is_right alldied' 10
	wait_until '[ "$(migration_get alldied .state)" = DONE ]' 40
	assert_moved_once alldied
	assert_all_well alldied@host2
}

# bats test_tags=slow
@test "F27: agents that are restarted in order with two moves in mid-copy, as for an upgrade, leave both alone" {
	begin_long_move upgraded
	begin_long_move passenger
	lab drover restart host1
	lab drover restart host2
	wait_until 'view_is_right upgraded && view_is_right passenger' 10
	wait_until '[ "$(migration_get upgraded .state)$(migration_get passenger .state)" = DONEDONE ]' 60
	assert_moved_once upgraded passenger
	assert_all_well upgraded@host2 passenger@host2
}

@test "a migration that ended while its agents and the coordinator were dead is resolved when they are back" {
	begin_long_move ended
	lab drover kill all
	lab link host1 migration rate 1gbit
	# Nobody is there to resume the guest on host2, or nobody needs to: both are found and settled.
	wait_until '[[ $(guest_state ended host1) != running || $(lab virsh host2 -q list --state-running --name) == ended ]]' 20
	wait_until '! is_copying ended host1 0' 20
	lab drover start all
	wait_until 'view_is_right ended' 10
	assert_moved_once ended
	assert_all_well ended@host2
}

@test "F32: killing the coordinator at any moment of a drain costs nothing: each guest moves once" {
	for i in 1 2 3 4 5 6; do lab vm "g$i" host1 --memory 64MiB --working-set 8MiB; done
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 6 ]' 10
	drover -q drain host1 --detach
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep "0.$((RANDOM % 10))"
		lab drover kill coordinator
		lab drover start coordinator
	done
	wait_until '[ "$(drain_get .state)" = completed ]' 90
	assert_moved_once g1 g2 g3 g4 g5 g6
	assert_all_well g1 g2 g3 g4 g5 g6
	[ -z "$(lab virsh host1 -q list --all --name)" ]
	[ "$(drover drains -o json | jq '.drains | length')" = 1 ] || fail "$(drover drains)"
}

@test "killing the source agent at any moment of a move leaves one running guest and the truth" {
	lab vm hunted host1 --memory 64MiB --working-set 16MiB
	wait_until "drover vms hunted -o json | jq -e '.vms[0].movable' >/dev/null" 10
	from=host1
	for round in 1 2 3 4; do
		to=host$((1 + ${from#host} % 2))
		drover -q migrate hunted --to "$to" --detach
		sleep "$((RANDOM % 2)).$((RANDOM % 10))"
		lab drover kill "$from"
		lab drover start "$from"
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 40
		echo "# round $round: $(migration_get hunted '"\(.state) \(.reason)"')"
		assert_all_well hunted
		from=$(vm_node hunted)
	done
}

@test "killing the destination agent at any moment of a move leaves one running guest and the truth" {
	lab vm prey host1 --memory 64MiB --working-set 16MiB --storage lun
	wait_until "drover vms prey -o json | jq -e '.vms[0].movable' >/dev/null" 10
	from=host1
	for round in 1 2 3 4; do
		to=host$((1 + ${from#host} % 2))
		drover -q migrate prey --to "$to" --detach
		sleep "$((RANDOM % 2)).$((RANDOM % 10))"
		lab drover kill "$to"
		lab drover start "$to"
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 40
		echo "# round $round: $(migration_get prey '"\(.state) \(.reason)"')"
		assert_all_well prey
		from=$(vm_node prey)
	done
}

@test "a restarted libvirtd is found again, and its guests are seen at once" {
	lab vm steady host1 --memory 64MiB
	wait_until '[ "$(vm_node steady)" = host1 ]' 10
	lab libvirtd host1 kill
	wait_until '[ "$(node_get host1 .host.libvirtConnected)" = false ]' 10
	[ -n "$(node_get host1 .host.libvirtProblem)" ]
	# Its guests are not forgotten because nobody can be asked.
	[ "$(vm_node steady)" = host1 ]
	lab libvirtd host1 start
	wait_until all_ready 10
	run -0 drover migrate steady --to host2
	assert_all_well steady@host2
}

@test "F06, F07: a libvirtd killed in mid-copy ends the move, not the guest" {
	for host in host1 host2; do
		guest=cut-$host
		begin_long_move $guest lun
		lab libvirtd "$host" kill
		lab libvirtd "$host" start
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 40
		[ "$(migration_get $guest .state)" = FAILED ]
		[ -n "$(migration_get $guest .reason)" ]
		assert_all_well $guest@host1
		lab rm $guest
		lab link host1 migration rate 1gbit
	done
}
