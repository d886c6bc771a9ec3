#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# F25, as failpoints.bats: the programs that carry libvirt's connection from host to host.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab fail-tunnel 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { end_sweep; }

# bats test_tags=slow,minutes
@test "F25: either tunnel dies at each of its points" {
	mapfile -t points < <(names agent/drover-tunnel tunnel_)
	sweep host1 "${points[@]}"
	sweep host2 "${points[@]}"
}

# A dozen pieces each way with libvirt 9; the last but one from the destination is the answer to Finish.
# bats test_tags=slow,minutes
@test "F25: either tunnel dies in the middle of each part of libvirt's conversation" {
	local host n
	for host in host1 host2; do
		for n in 3 6 9 11 12; do sweep "$host" "tunnel_in_stream:$n" "tunnel_out_stream:$n"; done
	done
}
