#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The room on the migration network between two real hosts: measured when nothing is known of it, told
# with its age and confidence, used by admission, and never at the cost of a move.
# How far the figures are from the truth on links of many rates: tools/bench paths.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { DROVER_LAB_PROBE=yes drover_lab available 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

# Nothing is known from before, and a minute need not pass.
fresh_agents() {
	lab drover restart host1 --build "$DROVER_BUILD_DIR"
	lab drover restart host2 --build "$DROVER_BUILD_DIR"
	wait_until all_ready 60
	wait_until '[ "$(node_get host1 .host.otherTrafficKnown)$(node_get host2 .host.otherTrafficKnown)" = truetrue ]' 60
}

# within PERCENT FIGURE TRUTH
within() { awk -v p="$1" -v f="$2" -v t="$3" 'BEGIN { exit !(f >= t * (100 - p) / 100 && f <= t * (100 + p) / 100) }'; }

# bats test_tags=slow
@test "a dry run measures a path that nobody has tried: its rate, age and confidence are in the check, and a second one does not measure it again" {
	lab vm looks host1 --memory 64MiB
	wait_until "drover vms looks -o json | jq -e '.vms[0].movable' >/dev/null" 60
	lab link host1 migration rate 200mbit
	fresh_agents
	# The link says 1 Gbit/s, as the agent was told.
	run drover migrate looks --to host2 --dry-run -o json
	check=$(jq -c '.checks[] | select(.id == "bandwidth")' <<<"$output")
	[[ $check == *"free from host1"* && $check == *"(probe "*"% sure)"* ]] || fail "$check"
	wait_until '[ "$(node_get host1 ".host.paths[0].method")" = probe ]' 60
	path=$(node_get host1 '.host.paths[0]')
	jq -e '.node == "host2" and .confidencePercent >= 50' <<<"$path"
	within 10 "$(jq '.availableBytesPerS | tonumber' <<<"$path")" 25000000 || fail "$path"
	bytes=$(link_bytes host1 mi0)
	run drover migrate looks --to host2 --dry-run -o json
	bytes=$(($(link_bytes host1 mi0) - bytes))
	((bytes < 1000000)) || fail "$bytes bytes for a path that is known"
	# In the same minute none is made for anybody who asks, and he is told.
	run drover probe host1 host2
	[ "$status" -eq 5 ]
	[[ $output == *"200 Mbit/s"* || $output == *"20"?" Mbit/s"* || $output == *"19"?" Mbit/s"* ]] || fail "$output"
	[[ $output == *"less than 1 % of the link"* ]] || fail "$output"
}

# bats test_tags=slow
@test "no probe runs beside a migration, and what the migration got is known afterwards" {
	lab vm busy host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms busy -o json | jq -e '.vms[0].movable' >/dev/null" 60
	lab link host1 migration rate 80mbit
	fresh_agents
	drover -q migrate busy --to host2 --detach
	wait_mid_copy busy host1
	run drover probe host1 host2
	[ "$status" -eq 5 ]
	[[ $output == *"guests are moving"* ]] || fail "$output"
	wait_until '[ "$(migration_get busy .state)" = DONE ]' 120
	assert_all_well busy@host2
	path=$(node_get host1 '.host.paths[0]')
	within 15 "$(jq '.capacityBytesPerS | tonumber' <<<"$path")" 10000000 || fail "$path"
}

# bats test_tags=slow
@test "beside others' traffic a migration that nobody has given a limit takes what they leave, and says so" {
	lab vm kind host1 --memory 192MiB --working-set 160MiB
	wait_until "drover vms kind -o json | jq -e '.vms[0].movable' >/dev/null" 60
	lab link host1 migration rate 200mbit
	fresh_agents
	lab shell host2 iperf3 -s -D -1 >/dev/null
	lab shell host1 timeout 90 iperf3 -c 10.78.0.2 -u -l 1400 -b 80M -t 80 >/dev/null 2>&1 3>&- &
	load=$!
	wait_until '[ "$(node_get host1 ".host.otherTxBytesPerS | tonumber > 9000000")" = true ]' 60
	drover -q migrate kind --to host2 --detach
	wait_until 'migration_get kind .report.decisions | grep -q "for others use"' 60
	# 200 less 80 less 20 in reserve are 100: 12.5 MB/s on the wire, and a tenth over it is an alarm.
	wait_until 'node_get host1 ".host.interfaces[0].migrationTxBytesPerS | tonumber | . > 8000000 and . < 13750000" | grep -q true' 60
	[ "$(migration_get kind .state)" = RUNNING ]
	wait_until '[ "$(migration_get kind .state)" = DONE ]' 120
	kill $load
	assert_all_well kind@host2
}
