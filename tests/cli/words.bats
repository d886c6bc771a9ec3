#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What somebody reads at two in the morning: every answer has a next step that can be typed, a unit, and JSON.

# run --separate-stderr sets stderr_lines.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

load fake.bash

@test "a duration without its unit is refused, and the help says how to write one" {
	run --separate-stderr -2 "$drover" token create --ttl 15
	[[ $stderr == *'--ttl: "15" has no unit; write 15s for seconds, 15m for minutes, 15h for hours'* ]]
	run --separate-stderr -2 "$drover" nodes --timeout 5
	[[ $stderr == *'"5" has no unit'* ]]
	run -0 "$drover" help token create
	[[ $output == *"DUR "*"a number with its unit: 500ms, 90s, 15m, 1h30m, 2d"* && $output != *"RATE"* ]]
	run -0 "$drover" help drain
	[[ $output == *"DUR "*"RATE "*"TIME "*"02:30"* ]]
	run -0 "$drover" help place
	[[ $output == *"SIZE "*"8GiB"* ]]
}

@test "the help names defaults and choices, and is about the command that was asked for" {
	run -0 "$drover" help drain
	[[ $output == *"--max-downtime DUR"*"300ms unless set"*"--ladder NAME"*"very-large"*"plain"* ]]
	run -0 "$drover" help token create
	[[ $output == *"--node NODE"*"the only name that it is good for"* && $output != *coordinator:* ]]
	[[ $output == *$'\ncommon to all commands\n'* ]]
}

@test "every command has help and a manual page of its own" {
	local words name n=0
	while read -r -a words; do
		n=$((n + 1))
		name=${words[*]}
		run --separate-stderr -0 "$drover" help "${words[@]}"
		[[ $output == "drover $name: "*"usage: drover $name"* ]]
		run --separate-stderr -0 "$drover" __man "${words[@]}"
		[[ $output == "drover-${name// /-}(1)"*"# EXIT STATUS"* ]]
	done < <("$drover" __commands)
	[ "$n" -gt 40 ]
	[[ "$("$drover" __commands)" == *"policy apart"*"top links"* || "$("$drover" __commands)" == *"top links"*"policy apart"* ]]
}

@test "rpc: nobody who names an address is told to use -H" {
	run --separate-stderr -3 "$drover" rpc list "$DROVER_SERVER"
	[[ $stderr == *"tried      $DROVER_SERVER"*"next step  see that it runs, and that ADDRESS is right"*"tcp://HOST:7788"* ]]
	[[ $stderr != *"-H"* && $stderr != *DROVER_SERVER* ]]
	run --separate-stderr -2 "$drover" rpc list host1
	[[ $stderr == *'"host1" is not an address of a coordinator or an agent; write ipc:///PATH or tcp://HOST:PORT'* ]]
	run --separate-stderr -2 "$drover" rpc describe tcp://127.0.0.1:1 Agent/Inspect
	[[ $stderr == *"tcp://127.0.0.1:1 needs your operator certificate: --ca, --cert and --key"* ]]
	start_coordinator
	run --separate-stderr -8 "$drover" rpc call "$DROVER_SERVER" Coordinator/Attach
	[[ $stderr == *"next step  see which role it takes: drover rpc list ADDRESS"* ]]
}

@test "drain --dry-run: who is in the way, and the commands that go on, with all that was asked for" {
	start_coordinator
	run --separate-stderr -4 "$drover" drain host2 --max-downtime 2s --dry-run -o json
	jq -e '.refused and .planId == ""' <<<"$output"
	[[ $stderr == *"drover drain host2 --max-downtime 2s --leave build7 --dry-run"* ]]
	[[ $stderr == *"drover drain host2 --max-downtime 2s --unmovable leave --dry-run"* ]]
	[[ $stderr == *"drover drain host2 --max-downtime 2s --shutdown build7 --dry-run"* ]]
	# That one has an id.
	run --separate-stderr -0 "$drover" drain host2 --max-downtime 2s --leave build7 --dry-run
	[[ $stderr == *"Exactly this: drover drain host2 --plan 5f1d9c02a77be340 --leave build7"* ]]
	run --separate-stderr -4 "$drover" drain host2 --max-downtime 2s
	[[ $stderr == *"drover drain host2 --max-downtime 2s --leave build7"* && $stderr != *"--dry-run"* ]]
	# No room for a guest is no refusal, and goes on in the same way.
	run --separate-stderr -4 "$drover" drain host3 --leave web1 -m "no room" --dry-run
	[[ $stderr == *"1 of 2 guests have no destination"* ]]
	[[ $stderr == *"plan of the others   drover drain host3 --leave web1 -m 'no room' --leave build7 --dry-run"* ]]
	[[ $stderr == *"move the others      drover drain host3 --leave web1 -m 'no room' --leave build7"* ]]
}

@test "roll --dry-run: a turn for each host, as a table, as JSON, and what to type next" {
	start_coordinator
	run --separate-stderr -0 "$drover" roll host1 host3 --max-unavailable 2 --hook 'reboot it' --dry-run
	# Both in one turn, one guest each.
	[[ ${lines[1]} =~ ^host1\ +1\ +1\ +be\ emptied$ && ${lines[2]} =~ ^host3\ +1\ +1\ +be\ emptied$ ]]
	[[ $stderr == "Nothing was changed. To do it: drover roll host1 host3 --max-unavailable 2 --hook 'reboot it'" ]]
	run --separate-stderr -0 "$drover" roll host1 host3 --dry-run -o json -q
	[ -z "$stderr" ]
	jq -e '.dryRun and .state == "possible" and (.roll | startswith("roll/"))' <<<"$output"
	jq -e '[.nodes[] | [.node, .turn, .moves, .noPlace, .refusal]] == [["host1", 1, 2, 0, ""], ["host3", 2, 2, 0, ""]]' <<<"$output"
	run --separate-stderr -0 "$drover" roll host1 --dry-run -o jsonl -q
	jq -e '.event == "plan" and .text == "2 guests would move" and .moves == 2 and .turn == 1' <<<"$output"
}

@test "roll --dry-run: where it would stop, why, and what says more: 4" {
	start_coordinator
	run --separate-stderr -4 "$drover" roll host1 host4 --dry-run
	[[ ${lines[1]} == "host1 "*"be emptied" && ${lines[2]} == "host4 "*"be refused" ]]
	[[ ${lines[3]} == "host4: would be refused: build7 cannot move (HostDeviceNotLiveMigratable: PCI 0000:3b:00.0)" ]]
	[[ $stderr == *"It would stop there"*"drover drain host4 --dry-run"* && $stderr != *"drain host1"* ]]
	run --separate-stderr -4 "$drover" roll host1 host4 --dry-run -o json -q
	jq -e '.state == "refused" and .nodes[0].refusal == "" and (.nodes[1].refusal | startswith("build7 cannot move"))' <<<"$output"
}

@test "roll -o json: one object of how it ended, where it stopped, and each step" {
	start_coordinator
	run --separate-stderr -1 "$drover" roll host1 host3 --hook 'exit 3' -o json -q
	[ -z "$stderr" ]
	jq -e '.state == "stopped" and .failedNode == "host1" and (.dryRun | not)' <<<"$output"
	jq -e '[.nodes[] | .stage] == ["draining", "not begun"]' <<<"$output"
	jq -e '[.steps[] | select(.event == "hook-ended")][0] | .node == "host1" and (.text | contains("status 3"))' <<<"$output"
	run --separate-stderr -7 "$drover" roll hots1 --dry-run -o json
	[ -z "$output" ]
}

# bats test_tags=slow
@test "roll: that all are done stands under no host" {
	start_coordinator
	run --separate-stderr -0 "$drover" roll host1 --hook true -o json
	jq -e '.state == "completed" and .nodes[0].stage == "done" and .steps[-1].event == "completed" and .steps[-1].node == ""' <<<"$output"
	[[ ${stderr_lines[-1]} =~ ^[0-9TZ:-]+\ all\ 1\ nodes\ are\ done$ ]]
}
