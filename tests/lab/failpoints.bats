#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# F25: each program dies by SIGKILL at each place where it changes the world, while a guest moves, and
# is started again: the guest runs exactly once and never restarted, the move is done or has failed and
# can be asked for again, nothing is left over, and drover knows the truth.
#
# The points are those that the programs themselves list; one that no move here passes fails the test,
# unless it is in the list of those that other tests lead to. Those of both agents and of the tunnels are in
# failpoints_*.bats, so that they run side by side.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab failpoints 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { end_sweep; }

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
@test "F25: the answer to Finish is lost, and either agent dies around the abort of the copy" {
	LOST=$(lost_answer) || fail "no piece of libvirt's last answers could be lost"
	echo "# the answer to Finish is piece $LOST" >&3
	export LOST
	sweep host1 source_before_abort source_after_abort
	sweep host2 target_before_destroy target_after_destroy
}

# bats test_tags=slow,minutes
@test "F25: the coordinator dies at each of its points" {
	mapfile -t points < <(names coordinator/drover-coordinator coordinator_)
	sweep coordinator "${points[@]}"
}
