#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What hosts lack is known before anybody is asked: the dry run goes round them and says what each lacks,
# the other commands say the same, and the drain goes where it was said, at the first try.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() {
	drover_lab classes 4
	# host3 gives no vCPU to anybody.
	printf 'cpu: {overcommit: 0.01}\n' >>"$LAB_STATE/hosts/host3/etc-drover/agent.yaml"
	lab drover restart host3
	wait_until all_ready 60
}
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	lab shell host2 ip link set br0 up
	drover -q uncordon host4 || true
	lab_end_test
}

dry_run() { drover drain host1 --dry-run 2>&1; }

# bats test_tags=slow
@test "a bridge that is down and vCPUs that are promised are said before anybody is asked, and the drain goes round them" {
	lab shell host2 ip link set br0 down
	lab vm picky host1 --memory 64MiB
	wait_until '[ "$(drover vms picky -o json | jq ".vms[0].movable")" = true ]' 30
	drover -q cordon host4

	# Nobody can take it: of each host what it lacks, with figures.
	wait_until '[[ $(dry_run) == *"host2 has no bridge \"br0\" that is up"* ]]' 30
	run -4 drover drain host1 --dry-run
	[[ $output == *"host3 has 0 of 0 vCPUs left"*"1 needed"* ]]
	[[ $output == *"host4 cordoned"* ]]
	run -0 drover place --like picky
	[[ $output == *"no bridge \"br0\" that is up"* && $output == *"0 of 0 vCPUs left"* ]]
	run -4 drover capacity host1
	[[ $output == *"no bridge \"br0\" that is up"* ]]
	# And the host's own admission says the same of itself.
	run -4 drover why-not picky host2
	[[ $output == *network/* ]]
	run -4 drover why-not picky host3
	[[ $output == *vcpus* ]]

	# With one that has it all it goes there, and nobody else was asked to take it.
	drover -q uncordon host4
	wait_until '[[ $(dry_run) == *"host4"* ]] && drover -q drain host1 --dry-run' 20
	run -0 drover capacity host1
	[[ $output == *picky*host4* ]]
	run -0 drover drain host1
	assert_all_well picky@host4
	[ "$(qemu_starts picky host2)" = 0 ]
	[ "$(qemu_starts picky host3)" = 0 ]
	[ "$(drover migrations --vm picky -o json | jq '.migrations | length')" = 1 ]
	[ "$(migration_get picky '.attempt.number // .report.attempt.number')" = 1 ]

	# What was mended is known within seconds.
	lab shell host2 ip link set br0 up
	drover -q undrain host1
	wait_until '[[ $(drover drain host4 --dry-run 2>&1) != *"no bridge"* ]]' 30
	run -0 drover place --like picky
	[[ $output == *host2* ]]
}
