#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# F25, as failpoints.bats: the agent of the source.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab fail-source 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { end_sweep; }

# bats test_tags=slow,minutes
@test "F25: the source agent dies at each of its points" {
	mapfile -t points < <(names agent/drover-agent source_)
	sweep host1 "${points[@]}"
}
