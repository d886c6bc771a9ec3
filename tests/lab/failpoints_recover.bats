#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# F25, as failpoints.bats, at the places that only a post-copy which breaks leads to: both halves of the guest
# are there when either agent dies on the way to its resume, and the next agent resumes it.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() {
	drover_lab recover 2
	export TORN=yes
}
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	lab shell host1 iptables -F OUTPUT
	end_sweep
}

# torn_points PREFIX: of all the agent's points, those that no other move leads to.
torn_points() {
	local point
	for point in $(names agent/drover-agent "$1"); do
		[[ $(order_for "$point") != order_torn_move ]] || printf '%s\n' "$point"
	done
}

# bats test_tags=slow,minutes
@test "F25, F14: the source agent dies at each of its points on the way to a resumed post-copy" {
	mapfile -t points < <(torn_points source_)
	((${#points[@]} >= 7)) || fail "only ${points[*]}"
	sweep host1 "${points[@]}"
}

# bats test_tags=slow,minutes
@test "F25, F14: the destination agent dies at each of its points on the way to a resumed post-copy" {
	mapfile -t points < <(torn_points target_)
	((${#points[@]} >= 5)) || fail "only ${points[*]}"
	sweep host2 "${points[@]}"
}
