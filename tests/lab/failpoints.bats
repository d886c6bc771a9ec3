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

# Between an act on a guest and the record of it; and one of all, another one each time.
@test "F25: the four most dangerous moments, and one by chance" {
	local all node random seed
	sweep host1 source_before_migrate source_after_migrate
	sweep host2 target_after_resume
	sweep coordinator coordinator_after_slot_stored

	mapfile -t all < <(names agent/drover-agent source_ && names agent/drover-agent target_ && names coordinator/drover-coordinator)
	seed=${FAILPOINT_SEED:-$((SRANDOM % 100000))}
	random=${all[seed % ${#all[@]}]}
	echo "# FAILPOINT_SEED=$seed: $random" >&3
	case $random in
	source_*) node=host1 ;;
	target_*) node=host2 ;;
	*) node=coordinator ;;
	esac
	sweep "$node" "$random"
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

# Most of what libvirt says comes in pieces long before the switchover, the last few are its end.
# bats test_tags=slow
@test "F25: either tunnel dies in the middle of each part of libvirt's conversation" {
	local host n
	for host in host1 host2; do
		for n in 2 4 6 8 10 12 14 16 18 20; do sweep "$host" "tunnel_in_stream:$n"; done
	done
}

# bats test_tags=slow
@test "F25: the coordinator dies at each of its points" {
	mapfile -t points < <(names coordinator/drover-coordinator coordinator_)
	sweep coordinator "${points[@]}"
}
