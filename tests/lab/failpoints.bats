#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# F25: each program dies by SIGKILL at each place where it changes the world, while a guest moves, and
# is started again: the guest runs exactly once and never restarted, the move is done or has failed and
# can be asked for again, nothing is left over, and drover knows the truth.
#
# The points are those that the programs themselves list; one that no move here passes fails the test,
# unless it is in the list of those that other tests lead to.

load failpoints.bash

setup_file() { drover_lab failpoints 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	for node in coordinator host1 host2; do disarm "$node"; done
	lab_show_failure
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

# bats test_tags=slow
@test "F25: the coordinator dies at each of its points" {
	mapfile -t points < <(names coordinator/drover-coordinator coordinator_)
	sweep coordinator "${points[@]}"
}
