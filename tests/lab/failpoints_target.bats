#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# F25, as failpoints.bats: the agent of the destination.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab fail-target 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { end_sweep; }

# bats test_tags=slow,minutes
@test "F25: the destination agent dies at each of its points" {
	mapfile -t points < <(names agent/drover-agent target_)
	sweep host2 "${points[@]}"
}
