#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is foretold of migrations, on real hosts: beforehand, kept beside what they took, also by the next
# coordinator; and a guest that cannot converge is named with what would help. How good the figures are, over
# many migrations: tools/bench prediction.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab prediction 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab link host1 migration rate 160mbit
	lab link host2 migration rate 160mbit
}
teardown() { lab_end_test; }

# Sampled in each of its windows.
measured() {
	wait_until "drover vms $1 -o json | jq -e '.vms[0] | .movable and (.state.memoryUse.windows | length == 3)' >/dev/null" 120
}

# bats test_tags=slow
@test "a prediction is told beforehand, kept beside what the move took, and still there after a restart" {
	lab vm calm host1 --memory 192MiB --working-set 48MiB --dirty 2MiB/s
	measured calm

	run -0 drover migrate calm --to host2 --dry-run
	[[ $output == *"takes "*" to send; pause "*converges* ]]
	[[ $output == *"in use, "*" written, "* ]]
	run -0 drover drain host1 --dry-run
	[[ $output == *"9 OF 10"* ]]
	[ "$(drover drain host1 --dry-run -o json | jq -r '.drain.vms[0].prediction.end')" = CONVERGES ]

	drover -q migrate calm --to host2
	assert_all_well calm@host2
	[ "$(migration_get calm .prediction.end)" = CONVERGES ]
	[ "$(migration_get calm .prediction.expectedMs)" -gt 500 ]
	run -0 drover explain "migration/$(migration_get calm .number)"
	[[ $output == *"predicted "*"took "*"based on "* ]]
	drover migrations -o wide | grep -q PREDICTED

	before=$(migration_get calm .prediction.expectedMs)
	lab drover restart coordinator >/dev/null
	wait_until all_ready 60
	[ "$(migration_get calm .prediction.expectedMs)" = "$before" ]
}

# bats test_tags=slow
@test "a guest that cannot converge is named beforehand: from which bandwidth on it would, and which flags help" {
	lab vm wild host1 --memory 192MiB --working-set 48MiB --dirty 40MiB/s
	measured wild

	run -4 drover migrate wild --to host2 --dry-run
	# On a busy machine its samples swing, and what is said is that it may not.
	[[ $output == *" not converge"*"it would converge from "*"--allow-auto-converge"*"--allow-post-copy"* ]] || fail "$output"
	run -4 drover drain host1 --dry-run
	[[ $output == *"wild: "*" not converge"*"it would converge from "* ]] || fail "$output"
	run drover migrate wild --to host2 --completion-timeout 8s
	[ "$status" -ne 0 ]
	[ "$(migration_get wild .prediction.end)" = GIVES_UP ]
	assert_all_well wild@host1
}
