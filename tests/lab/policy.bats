#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people want about where guests are, on real hosts: a drain goes round a guest that must be apart,
# is blocked in plain words where it cannot, and a policy that somebody breaks is told, and its repair.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab policy 3; }
teardown_file() { lab_down; }
setup() {
	local policy
	drover_reset
	for policy in $(drover policies -o name); do drover -q policy remove "$policy"; done
}
teardown() { lab_end_test; }

policy_state() { drover policies "$1" -o json | jq -r '.policies[0].state'; }

# bats test_tags=slow
@test "a drain takes a guest where a policy lets it be, and is blocked in plain words where there is none" {
	lab vm db1 host1 --memory 64MiB
	lab vm db2 host2 --memory 64MiB
	lab vm big host3 --memory 256MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 3 ]' 20
	# Without one it goes where there is more room.
	run -0 drover -q drain host1 --dry-run -o json
	[ "$(jq -r '.drain.vms[0].target' <<<"$output")" = host2 ]
	run -0 drover policy apart db db1 db2
	[[ $output == "policy/db is set. It holds." ]]
	run -7 drover policy apart db db1 dbb2
	[[ $output == *"did you mean  db2"* ]]
	run -4 drover policy together pair db1 db2
	[[ $output == *"the hard policy db keeps them apart"* ]]

	run -4 drover why-not db1 host2
	[[ $output == *"policy db keeps it apart from db2, which is there"* ]]
	run -4 drover migrate db1 --to host2
	[[ $output == *"policy db"*"--ignore-policies"* ]]
	drover -q cordon host3
	run -4 drover drain host1 --dry-run
	[[ $output == *"db1"*"host2: policy db keeps it apart from db2, which is there"* ]]
	[[ $output == *"would help"*"policy db"* ]]
	run -0 drover capacity
	[[ $output == *"host1"*"no"*"policy db"* ]]
	drover -q drain host1 --detach
	wait_until '[ "$(drain_get .state)" = blocked ]' 10
	run -0 drover explain drain/1
	[[ $output == *"policy db keeps it apart from db2, which is there"* ]]
	run -0 drover explain policy/db
	[[ $output == *"no two of its guests on one host (hard); it holds"* ]]

	# There is a place again.
	drover -q uncordon host3
	wait_until '[ "$(drain_get .state)" = completed ]' 30
	[ "$(vm_node db1)" = host3 ]
	[ "$(policy_state db)" = holds ]
	assert_all_well db1@host3 db2@host2 big@host3
}

# bats test_tags=slow
@test "a pair is drained to one host; a wish is met where it can be; all of it survives the coordinator" {
	lab vm app host1 --memory 64MiB
	lab vm cache host1 --memory 64MiB
	lab vm ora host1 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 3 ]' 20
	drover -q policy together shop app cache
	drover -q policy on licence ora --nodes host1,host3
	drover -q policy apart spread app ora --soft
	lab drover kill coordinator
	lab drover start coordinator
	wait_until all_ready 20
	[ "$(drover policies -o name | tr '\n' ' ')" = "policy/licence policy/shop policy/spread " ]
	run -0 drover drain host1
	[ "$(vm_node app)" = "$(vm_node cache)" ]
	[ "$(vm_node ora)" = host3 ]
	[ "$(vm_node app)" = host2 ]
	for policy in licence shop spread; do [ "$(policy_state "$policy")" = holds ]; done
	assert_all_well app@host2 cache@host2 ora@host3
}

# bats test_tags=slow
@test "what a person breaks is told with its repair, and so is its end" {
	lab vm db1 host1 --memory 64MiB
	lab vm db2 host2 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 2 ]' 20
	drover -q policy apart db db1 db2
	run -0 drover migrate db1 --to host2 --ignore-policies
	wait_until '[ "$(policy_state db)" = violated ]' 10
	run -0 drover policies
	[[ $output == *"violated"*"db1 and db2 are both on host2"* ]]
	run -0 drover status
	[[ $output == *"1 of 1 policy violated"* && $output == *"policy/db"*"drover migrate db2"* ]]
	run -0 drover explain policy/db
	[[ $output == *"it does not hold"*"drover migrate db2"* ]]
	run -0 drover explain vm/db1
	[[ $output == *"policy db: no two of its guests on one host (hard); it does not hold"* ]]
	run -0 drover events
	[[ $output == *"lets it move whatever its policies say, db among them"* ]]
	run -0 drover migrate db2
	wait_until '[ "$(policy_state db)" = holds ]' 10
	run -0 drover events policy/db
	[[ $output == *"violated: db1 and db2 are both on host2"*"holds again"* ]]
	assert_all_well db1@host2
}
