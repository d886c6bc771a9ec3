#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The command line as people and scripts meet it: exit codes, what goes to stdout and stderr, Ctrl-C,
# reconnecting. Against fake_coordinator, over the real mesh. Waits are for lines, with a deadline.

# run --separate-stderr sets stderr_lines.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # every test is a subshell; hooks expand by themselves
bats_require_minimum_version 1.5.0

load fake.bash

@test "help and version need no coordinator" {
	run --separate-stderr -0 "$drover" help
	[[ $output == *"drain [NODE...]"* && $output == *"exit status"* ]]
	run --separate-stderr -0 "$drover" drain -h
	[[ $output == *"--leave VM"* ]]
	[ "$("$drover" version -o json | jq -r .version)" != null ]
	run --separate-stderr -0 "$drover" --version
	[[ $output == "drover "* ]]
	run --separate-stderr -0 bash -c "'$drover' completion bash | bash -n"
}

@test "wrong usage is 2, says what was meant, and prints nothing to stdout" {
	run --separate-stderr -2 "$drover" drian host1
	[ -z "$output" ]
	[[ $stderr == *"did you mean \"drain\"?"* ]]
	run --separate-stderr -2 "$drover" drain host1 --dryrun
	[[ $stderr == *"did you mean \"--dry-run\"?"*"drover help drain"* ]]
	run --separate-stderr -2 "$drover" drain vm/web1
	[[ $stderr == *"a node is needed here"* ]]
	run --separate-stderr -2 "$drover" cancel web1
	[[ $stderr == *"migration/N, drain/N, vm/NAME"* ]]
	run --separate-stderr -2 "$drover" watch drain/seven
	[[ $stderr == *"numbered"* ]]
}

@test "no coordinator is 3, with the address that was tried" {
	run --separate-stderr -3 "$drover" nodes
	[ -z "$output" ]
	[[ $stderr == *"tried      $DROVER_SERVER"*"next step"* ]]
}

@test "a full disk is not success" {
	run --separate-stderr -1 bash -c "'$drover' help >/dev/full"
	[[ $stderr == *"No space left"* ]]
}

@test "lists: table, names, json; names cannot touch the terminal" {
	start_coordinator
	run --separate-stderr -0 "$drover" nodes
	[[ ${lines[0]} == "NAME "* && ${lines[1]} == "host1 "* ]]
	run --separate-stderr -0 "$drover" nodes -o name host2 node/host3
	[ "$output" = $'node/host2\nnode/host3' ]
	run --separate-stderr -0 "$drover" vms -o json
	[ "$(jq -r '.vms[0].name' <<<"$output")" = web1 ]
	run --separate-stderr -0 "$drover" vms
	[[ $output == *'e\x1b[2Jvil'* && $output == *'two\nlines'* ]]
	[[ $output != *$'\033'* ]]
	[[ ${lines[0]} == *" POLICIES "* && ${lines[1]} == *" bad, good"* ]]
	run --separate-stderr -0 bash -c "'$drover' vms web1 -o json | jq -c '.vms[0].policies'"
	[ "$output" = '["bad","good"]' ]
	run --separate-stderr -0 "$drover" vms --unmovable --no-headers
	[ "${#lines[@]}" -eq 1 ]
}

@test "what is not there is 7, with what there is" {
	start_coordinator
	run --separate-stderr -7 "$drover" nodes hots1
	[[ $stderr == *"did you mean  host1"* ]]
	run --separate-stderr -7 "$drover" drain host9
	[[ $stderr == *"nodes there are host1, host2, host3, host4"* ]]
	run --separate-stderr -7 "$drover" watch drain/99
	[[ $stderr == "drover: drain/99: there is no such drain"* ]]
	run --separate-stderr -7 "$drover" migrate nobody
}

@test "guests of a node that was not heard yet are not claimed not to be" {
	start_coordinator
	run --separate-stderr -5 "$drover" vms --node host4
	[[ -z $output && $stderr == *"Not heard yet since the coordinator was started"*": host4" ]]
	[[ $stderr != *"There are no"* ]]
	run --separate-stderr -5 "$drover" vms web1 --node host4
	[[ $stderr != *"no such"* ]]
	run --separate-stderr -5 "$drover" vms --node host4 -o json
	[ "$(jq -c .notHeard <<<"$output")" = '["host4"]' ]
}

@test "a list that is empty because of a typing error is 7, not an empty host" {
	start_coordinator
	run --separate-stderr -7 "$drover" vms --node hots1
	[[ -z $output && $stderr == *"did you mean  host1"* ]]
	run --separate-stderr -7 "$drover" events node/hots1
	[[ $stderr == *"did you mean  host1"* ]]
	run --separate-stderr -7 "$drover" events vm/wbe1
	[[ $stderr == *"did you mean  web1"* ]]
	run --separate-stderr -2 "$drover" events host/host1
	[[ $stderr == *"none of node/NAME"* ]]
	run --separate-stderr -0 "$drover" events host1
	[[ $stderr != *"no such"* || $stderr == *"no such events"* ]]
}

@test "a number without its unit is not guessed at where it could hurt" {
	run --separate-stderr -2 "$drover" drain host1 --max-downtime 500
	[[ $stderr == *'"500" has no unit; write for example 500ms or 2s'* ]]
	run --separate-stderr -2 "$drover" drain host1 --by 2
	[[ $stderr == *'"2" is no time'* ]]
	run --separate-stderr -2 "$drover" place --memory 8
	[[ $stderr == *"write the unit"* ]]
	run --separate-stderr -2 "$drover" drain host1 --bandwidth 0
	[[ $stderr == *"0 is no rate"* ]]
}

@test "not permitted is 8" {
	start_coordinator
	run --separate-stderr -8 "$drover" drain sealed
	[[ $stderr == *"may not call Drain"*"next step"* ]]
}

@test "over tcp the certificate says who may do what" {
	# shellcheck source=tests/certificates.bash
	. tests/certificates.bash
	pki=$BATS_TEST_TMPDIR
	pki_ca "$pki/ours" "our CA"
	pki_ca "$pki/theirs" "another CA"
	pki_leaf "$pki/ours" coordinator URI:drover://lab/coordinator/c1
	pki_leaf "$pki/ours" operator URI:drover://lab/operator/alice clientAuth
	pki_leaf "$pki/ours" viewer URI:drover://lab/viewer/bob clientAuth
	pki_leaf "$pki/ours" agent URI:drover://lab/agent/host1
	pki_leaf "$pki/theirs" operator URI:drover://lab/operator/mallory clientAuth
	start_coordinator tcp://127.0.0.1:0 "$pki"/ours/{ca,coordinator,coordinator-key}.pem
	[[ $seen =~ ready\ ([0-9]+) ]]
	export DROVER_SERVER=tcp://127.0.0.1:${BASH_REMATCH[1]} DROVER_CA=$pki/ours/ca.pem
	as() {
		DROVER_CERT=$pki/$1.pem DROVER_KEY=$pki/$1-key.pem "$drover" "${@:2}"
	}
	run --separate-stderr -0 as ours/operator drain host1 -q
	run --separate-stderr -0 as ours/viewer nodes
	run --separate-stderr -8 as ours/viewer drain host1
	[[ $stderr == *"next step  ask for an operator certificate"* ]]
	run --separate-stderr -8 as ours/agent nodes
	run --separate-stderr -3 env DROVER_CA="$pki/theirs/ca.pem" DROVER_CERT="$pki/theirs/operator.pem" \
		DROVER_KEY="$pki/theirs/operator-key.pem" "$drover" nodes
	[[ $stderr == *"tried      $DROVER_SERVER"* ]]
	# A certificate that cannot be ours is refused before anything is sent.
	run --separate-stderr ! as theirs/operator nodes
	run --separate-stderr -2 "$drover" nodes
	[[ $stderr == *"--ca, --cert and --key"* ]]
}

@test "cordoning twice is no error" {
	start_coordinator
	run --separate-stderr -0 "$drover" cordon host1
	[[ $output == "host1 gets no new guests"* ]]
	run --separate-stderr -0 "$drover" cordon host2
	[[ $output == *"already"* ]]
}

@test "a drain in a pipe: a line per change, then the summary; 0" {
	start_coordinator
	run --separate-stderr -0 "$drover" drain host1
	[[ ${stderr_lines[0]} =~ ^20[0-9-]+T[0-9:]+Z\ drain/1\ host1\ started\ vms=2\ memory=512MiB\ eta=3s$ ]]
	[[ $stderr == *"migration/10 web1 host1->host2 started"* ]]
	[[ $stderr == *"migration/10 web1 host1->host2 done duration=1.2s downtime=41ms bytes=280MiB guard=image-lock"* ]]
	[[ ${stderr_lines[-1]} == *"drain/1 host1 done moved=2 left=0"* ]]
	[[ $stderr != *$'\033'* ]]
	[[ ${lines[0]} == "VM "*"DOWNTIME"*"GUARD"*"CHECKS"* ]]
	[[ $output == *"host1 is empty and in maintenance. 2 VMs moved"* ]]
	[[ $output == *"drover undrain host1"* ]]
}

@test "the same as json, and as jsonl" {
	start_coordinator
	run --separate-stderr -0 "$drover" drain host1 -o json -q
	[ -z "$stderr" ]
	[ "$(jq -r '.drain.state, (.migrations|length)' <<<"$output")" = $'completed\n2' ]
	run --separate-stderr -0 "$drover" watch drain/1 -o jsonl
	[ "$(jq -r 'select(.drain).drain.state' <<<"$output")" = $'running\ncompleted' ]
}

@test "on a terminal: a live screen that is gone at the end" {
	start_coordinator
	run -0 script -qec "'$drover' drain host1" /dev/null
	[[ $output == *"drain/1  host1: 2 VMs, 512 MiB to move → host2 (2)"* ]]
	[[ $output == *"Ctrl-C stops watching; the drain goes on. To stop it: drover cancel drain/1"* ]]
	[[ $output == *"░"* && $output == *"host1 is empty and in maintenance"* ]]
	run -0 script -qec "NO_COLOR=1 '$drover' watch drain/1" /dev/null
	[[ $output != *$'\033[3'* ]]
}

@test "a guest that cannot move: 4, its name, why, and the flag" {
	start_coordinator
	run --separate-stderr -4 "$drover" drain host2
	[ -z "$output" ]
	[ "${stderr_lines[0]}" = "drover: host2 cannot be emptied: build7 cannot move (HostDeviceNotLiveMigratable: PCI 0000:3b:00.0)" ]
	[[ $stderr == *"drover drain host2 --leave build7"*"drover explain vm/build7"* ]]
	run --separate-stderr -4 "$drover" drain host2 --dry-run
	[[ $output == *"build7"*"not move"* && $stderr == "drover: would refuse: "* ]]
	run --separate-stderr -0 "$drover" drain host2 --dry-run --leave build7
}

@test "drain --dry-run: 4, too, if a guest is foretold to be given up, and who" {
	start_coordinator
	run --separate-stderr -4 "$drover" drain host1 --by 45m --dry-run
	[[ $output == *"does not converge, then gives up and stays where it is"*"has no end in sight"* ]]
	[[ $stderr == *"host1 would not become empty: 1 of "*" is foretold not to converge, and to stay."* ]]
	run --separate-stderr -4 "$drover" drain host1 --by 45m --dry-run -o json
	jq -e '.drain.deadline | contains("no end in sight")' <<<"$output"
	run --separate-stderr -0 "$drover" drain host1 --dry-run
}

@test "with --leave it is done partly: 5" {
	start_coordinator
	run --separate-stderr -5 "$drover" drain host2 --leave build7
	[[ $output == *"host2 is partly empty: 1 of 2 VMs moved"*"1 left there"* ]]
	[[ ${stderr_lines[-1]} == *"drain/2 host2 partly moved=1 left=1"* ]]
}

@test "a drain that is under way and asked for otherwise is refused: 4" {
	start_coordinator
	run --separate-stderr -4 "$drover" drain host4 --leave db1
	[[ $stderr == *"host4 is being drained already"*"--leave db1"*"drover cancel drain/4"* ]]
	run --separate-stderr -0 "$drover" help drain
	[[ $output == *"same command once more"*"refused (status 4)"* ]]
}

@test "with --shutdown it is asked by name, the dry run says what that means, and it is empty: 0" {
	start_coordinator
	run --separate-stderr -4 "$drover" drain host2
	[[ $stderr == *"shut it down"*"drover drain host2 --shutdown build7"* ]]
	run --separate-stderr -0 "$drover" drain host2 --shutdown build7 --dry-run
	[[ $output == *build7*"shut down"*"given 10 min"* && $output == *"1 guest is shut down: asked last, given 10 min"*"never ended"* ]]
	[[ $stderr == *"Exactly this: drover drain host2 --plan 5f1d9c02a77be340 --shutdown build7"*"drover explain plan/5f1d9c02a77be340"* ]]
	run --separate-stderr -0 "$drover" drain host2 --shutdown build7 --shutdown-timeout 10m
	wait_for 7 "shut down build7 within 600000 ms"
	[[ $output == *"1 VM moved in"*"1 shut down as asked"* && $output == *"drover undrain host2 --bring-back"* ]]
	[[ ${stderr_lines[-1]} == *"drain/2 host2 done moved=1 left=0 stopped=1"* ]]
	run --separate-stderr -7 "$drover" drain host2 --shutdown all
	[[ $stderr == *"no guest like that to shut down"* ]]
	# A time for nobody, and a guest without a name, are mistakes.
	run --separate-stderr -2 "$drover" drain host2 --shutdown-timeout 10m
	[[ $stderr == *"--shutdown VM"* ]]
	run --separate-stderr -2 "$drover" drain host2 --shutdown
	run --separate-stderr -0 "$drover" help drain
	[[ $output == *"--shutdown VM"*"--shutdown-timeout DUR"* && $output == *"never ended"* ]]
}

@test "undrain names who is off, and with --bring-back waits until they run" {
	start_coordinator
	run --separate-stderr -0 "$drover" undrain host4
	[[ $stderr == *"1 guest is off since host4 was drained"*db1*"drover undrain host4 --bring-back"* ]]
	run --separate-stderr -0 "$drover" undrain host4 -o json
	[ "$(jq -r '.off[0]' <<<"$output")" = db1 ]
	run --separate-stderr -0 "$drover" undrain host4 --bring-back --dry-run
	[[ $output == *db1*host4*start* ]]
	run --separate-stderr -0 "$drover" undrain host4 --bring-back
	[[ $stderr == *"1 guest is started again on host4"*"db1 was shut down, and runs on host4 again"* ]]
	# What cannot be looked at is not watched for ever.
	run --separate-stderr -1 "$drover" undrain host3 --bring-back
	[[ $stderr == *"watching the guests come back"*"the store cannot be read"* ]]
}

@test "what a selection may miss is said, and is no part of what is asked for" {
	start_coordinator
	run --separate-stderr -0 "$drover" nodes -l rack=a
	[[ $stderr == "1 node has never been heard: host5" && $output != *host5* ]]
	run --separate-stderr -0 "$drover" nodes -o name
	[ -z "$stderr" ]
	run --separate-stderr -0 "$drover" drain -l rack=a --dry-run
	[[ $stderr == *"1 node has never been heard: host5"* && $output != *host5* ]]
}

@test "a terminal is asked once, and only y is yes" {
	start_coordinator
	run -4 script -qec "'$drover' drain host2" /dev/null <<<"Y"
	[[ $output == *"Leave it running on host2 and move the rest? [y/N]"* ]]
	run -4 script -qec "'$drover' drain host2 --no-input" /dev/null
	[[ $output != *"[y/N]"* ]]
	run -5 "$drover" drain host2 -y
}

@test "--detach returns the name" {
	start_coordinator
	run --separate-stderr -0 "$drover" drain host3 --detach
	[ "$output" = drain/3 ]
	[[ $stderr == *"drover watch drain/3"*"drover cancel drain/3"* ]]
}

@test "--timeout is 6, and the drain goes on" {
	start_coordinator
	run --separate-stderr -6 "$drover" drain host3 --timeout 300ms
	[[ $stderr == *"the drain goes on"*"drover watch drain/3"*"drover cancel drain/3"* ]]
	run --separate-stderr -6 "$drover" status --timeout 200ms
}

@test "Ctrl-C stops watching: 130, how to return, nothing was cancelled" {
	start_coordinator
	mkfifo "$BATS_TEST_TMPDIR/lines"
	"$drover" drain host3 2>"$BATS_TEST_TMPDIR/lines" >"$BATS_TEST_TMPDIR/out" 3>&- &
	watcher=$!
	exec 8<"$BATS_TEST_TMPDIR/lines"
	wait_for 8 "web1 host1->host2 started"
	kill -INT "$watcher"
	wait_for 8 "stop it          drover cancel drain/3"
	[[ $seen == *"Stopped watching; the drain goes on."*"drover watch drain/3"* ]]
	rc=0
	wait "$watcher" || rc=$?
	[ "$rc" -eq 130 ]
	[ ! -s "$BATS_TEST_TMPDIR/out" ]
	wait_for 7 unwatched
}

@test "a lost connection: says so, connects again, goes on from the revision it had" {
	start_coordinator
	run --separate-stderr -0 "$drover" drain host4
	[[ $stderr == *"drain/4 lost the coordinator ("*"the drain goes on without us; reconnecting"* ]]
	[[ $stderr == *"connected again; going on after revision 3"* ]]
	# What happened in between was told, and nothing was told twice.
	[ "$(grep -c 'migration/40 web1 host1->host2 done' <<<"$stderr")" -eq 1 ]
	[ "$(grep -c 'started' <<<"$stderr")" -eq 2 ]
	wait_for 7 "watch since=0"
	wait_for 7 "watch since=3 of=4"
}

@test "migrate --dry-run: a guest of which the samples permit both may not converge, and both are told" {
	start_coordinator
	run --separate-stderr -4 "$drover" migrate busy --to host2 --dry-run
	[[ $output == *"takes "*"(5.6 s to 1 min 9 s)"*"may not converge"* ]]
	[[ $output == *"not certain: what was measured permits both: it converges within 5.6 s, or is given up after 1 min 9 s"* ]]
	[[ $stderr == *"busy is foretold not to converge, to be given up, and to stay."* ]]
	run --separate-stderr -4 "$drover" migrate busy --to host2 --dry-run -o json
	jq -e '.prediction | .certain == false and .end == "GIVES_UP" and .lowEnd == "CONVERGES" and .highEnd == "GIVES_UP"' <<<"$output"
}

@test "migrate: 0 with a summary, 1 with the reason, 4 with the check" {
	start_coordinator
	run --separate-stderr -0 "$drover" migrate web1
	[[ $output == *"web1  host1  host2"*"41 ms"*"image lock"*"1 passed"* ]]
	run --separate-stderr -0 "$drover" migrate web1 --dry-run
	[[ $output == "web1 → host3: yes"*"why there  of 2 that can take it"*"not there  host2 would keep"*"and 3 more"* ]]
	run --separate-stderr -0 bash -c "'$drover' migrate web1 --dry-run -o json | jq -r '.others[0].node, .othersUnsaid'"
	[ "$output" = $'host2\n3' ]
	run --separate-stderr -0 "$drover" migrate web1 --to host2 --dry-run
	[[ $output == "web1 → host2: yes"* && $output != *there* ]]
	run --separate-stderr -1 "$drover" migrate vm/stuck
	[[ $output == *"failed"*"the migration network is down"* ]]
	run --separate-stderr -4 "$drover" migrate pinned
	[[ $stderr == *"no node can take it"*"100 MiB free"*"320 MiB"*"move something off host2 first"* ]]
}

@test "explain finds out what a bare name means" {
	start_coordinator
	run --separate-stderr -0 "$drover" explain web1
	[[ $output == "vm/web1"*"asked for the vm called web1"*"host2: no"*"it is cordoned"* ]]
	run --separate-stderr -0 "$drover" explain host2
	[[ $output == "node/host2"*"asked for the node called host2"*"NAME "*"host2"* ]]
	run --separate-stderr -0 "$drover" explain drain/7
	[[ $output == *"asked for the drain called 7"* ]]
	run --separate-stderr -2 "$drover" explain 7
	[[ $stderr == *"may mean migration/7 or drain/7"* ]]
	run --separate-stderr -2 "$drover" explain guest/web1
	run --separate-stderr -7 "$drover" explain wbe1
	[[ $stderr == *"did you mean  web1"* ]]
}

@test "explain of a plan: whether it holds, how good it is, why there and why then" {
	start_coordinator
	run --separate-stderr -0 "$drover" explain plan/5f1d9c02a77be340
	[[ $output == *"holds"*"yes"*"drover drain host1 --plan 5f1d9c02a77be340"* ]]
	[[ $output == *"no order needs less than 2.0 s: 105 % of the physical bound"*"link out of host1"* ]]
	[[ $output == *"web1  host1 "*" host2"*"why there"*"the only one"*"why then"*"at once"* ]]
	run --separate-stderr -0 "$drover" explain plan/1f1d9c02a77be340
	[[ $output == *"holds"*"NO"*"db1 runs on host1"* && $output != *"--plan"* ]]
	run --separate-stderr -0 "$drover" explain plan/5f1d9c02a77be340 -o json
	[ "$(jq -r '.plan | "\(.holds) \(.drain.bound.leastMs) \(.drain.vms[0].turnWhy)"' <<<"$output")" = "true 2000 at once; the last that leaves host1" ]
	run --separate-stderr -7 "$drover" explain plan/0000000000000000
	[[ $stderr == *"no plan 0000000000000000 is known here"* && $stderr != *"plans there are"* ]]
}

@test "explain of a migration that is held says at what, for whom, and until about when" {
	start_coordinator
	run --separate-stderr -0 "$drover" explain migration/88
	[[ $output =~ held\ +at\ 120\ Mbit/s\ so\ that\ web1\ \(12\.0\ s\ left\)\ is\ out\ first\;\ until\ about\ [0-9]{2}:[0-9]{2}:[0-9]{2} ]]
	run --separate-stderr -0 "$drover" explain migration/88 -o json
	[ "$(jq -r '.migration.report.progress.hold | "\(.firstVm) \(.leftMs)"' <<<"$output")" = "web1 12000" ]
}

@test "why-not answers first, then says what stands in the way and what does not" {
	start_coordinator
	run --separate-stderr -4 "$drover" why-not web1 host2
	[[ ${lines[0]} == "web1 cannot move to host2 now: memory  (1 passed, 1 failed)" ]]
	[[ $output == *"memory"*"fail"*"100 MiB free"*"320 MiB"*"move something off host2 first"*"passes: cpu"* ]]
	run --separate-stderr -0 "$drover" why-not vm/web1 node/host1
	[[ ${lines[0]} == "web1 could move to host1: 2 passed" ]]
	[[ $output == *"two-step"*"passes: cpu, memory"* ]]
	run --separate-stderr -4 "$drover" why-not web1 host2 -o json
	jq -e '.targets[0].checks[1].required == "320 MiB"' <<<"$output"
	run --separate-stderr -7 "$drover" why-not web1 hots2
	[[ $stderr == *"did you mean  host2"* ]]
	run --separate-stderr -2 "$drover" why-not web1
	run --separate-stderr -2 "$drover" why-not node/host1 host2
}

@test "policy: set, changed, as before; refused 4 with the other policy; who or what there is not 7" {
	start_coordinator
	run --separate-stderr -0 "$drover" policy apart new web1 vm/web2
	[ "$output" = "policy/new is set. It holds." ]
	wait_for 7 "policy new apart hard web1 web2"
	run --separate-stderr -0 "$drover" policy together other web1 web2 --soft
	[ "$output" = "policy/other is changed: soft instead of hard, web2 added. It holds." ]
	wait_for 7 "policy other together soft web1 web2"
	run --separate-stderr -0 "$drover" policy on same web1 --nodes host1,host2
	[ "$output" = "policy/same is so already. It holds." ]
	wait_for 7 "policy same on hard web1 @host1 @host2"
	run --separate-stderr -0 "$drover" policy on policy/bad web1 -l rack=a
	[[ $output == *"It does not hold: web1 and web2 are both on host1."*"to repair it   drover migrate web2" ]]
	wait_for 7 "policy bad on hard web1 -l rack=a"
	run --separate-stderr -0 "$drover" policy apart new web1 web2 -o json
	jq -e '.changed and .policy.state == "holds" and .policy.vms[1].name == "web2"' <<<"$output"

	run --separate-stderr -4 "$drover" policy apart clash web1 web2
	[[ $stderr == *"setting policy clash"*"the hard policy pair"* && -z $output ]]
	run --separate-stderr -7 "$drover" policy apart new wbe1 web2
	[[ $stderr == *"did you mean  web1"* ]]
	run --separate-stderr -7 "$drover" policy on new web1 --nodes hots1
	[[ $stderr == *"did you mean  host1"* ]]
	run --separate-stderr -2 "$drover" policy apart new web1
	run --separate-stderr -2 "$drover" policy apart new web1 node/host1
	run --separate-stderr -2 "$drover" policy apart new web1 web2 --nodes host1
}

@test "policies: which hold and which do not, by whom and since; explained, and removed" {
	start_coordinator
	run --separate-stderr -0 "$drover" policies
	[[ ${lines[0]} == "NAME "*"STATE"*"SINCE"*"WHY" ]]
	[[ ${lines[1]} == "bad "*"apart"*"hard"*"web1,web2"*"violated"*"1970-01-01"*"both on host1" ]]
	[[ ${lines[2]} == "good "*"holds"* ]]
	run --separate-stderr -0 "$drover" policies policy/good -o wide
	[[ ${lines[1]} == *"ann"*"1970-01-01"* && ${#lines[@]} = 2 ]]
	run --separate-stderr -0 "$drover" policies -o name
	[ "$output" = "policy/bad"$'\n'"policy/good" ]
	run --separate-stderr -0 "$drover" policies -o json
	jq -e '.policies[0].helps[0] == "drover migrate web2"' <<<"$output"
	run --separate-stderr -7 "$drover" policies godo
	[[ $stderr == *"did you mean  good"*"policies there are bad, good"* ]]
	run --separate-stderr -0 "$drover" explain policy/bad
	[[ $output == "policy/bad"*"it does not hold"*"drover migrate web2"*"set by"*"ann"*"web1"*"host1"* ]]
	run --separate-stderr -0 "$drover" policy remove good
	[ "$output" = "policy/good is removed." ]
	run --separate-stderr -7 "$drover" policy remove godo
	[[ $stderr == *"did you mean  good"* ]]
	run --separate-stderr -0 "$drover" __complete policies
	[ "$output" = bad$'\n'good ]
}

@test "cancelling what is over is no error" {
	start_coordinator
	run --separate-stderr -0 "$drover" cancel drain/3
	[ "$output" = "drain/3 is cancelled" ]
	run --separate-stderr -0 "$drover" cancel drain/1
	[[ $output == *"is over: completed" ]]
	run --separate-stderr -2 "$drover" cancel drain/0
}

@test "tune: what is different, in both units; bare numbers are not guessed at" {
	start_coordinator
	run --separate-stderr -0 "$drover" tune web1 --bandwidth none
	[ "${lines[0]}" = "migration/12" ]
	[[ ${lines[1]} == *"bandwidthPerMigration"*"8 MiB/s = 67.1 Mbit/s → no limit"* ]]
	run --separate-stderr -0 "$drover" tune vm/calm --bandwidth 64MiB/s
	[[ $output == "vm/calm"*"kept for its next migration"* ]]
	run --separate-stderr -0 "$drover" tune web1 --max-downtime 1500ms
	[[ $output == "migration/12: nothing is different"* ]]
	run --separate-stderr -0 "$drover" tune web1 --bandwidth 1Gbit/s -o json
	jq -e '.values[0].after == "no limit"' <<<"$output"
	run --separate-stderr -4 "$drover" tune migration/42 --pause
	[[ $stderr == *"past its switchover"* ]]
	run --separate-stderr -2 "$drover" tune web1 --max-downtime 500
	[[ $stderr == *"500 of what? write 500ms or 500s"* ]]
	run --separate-stderr -2 "$drover" tune web1 --bandwidth 500
	[[ $stderr == *"is not a rate"* ]]
	run --separate-stderr -2 "$drover" tune web1
	[[ $stderr == *"nothing is to be changed"* ]]
	run --separate-stderr -2 "$drover" tune web1 --pause --post-copy
	run --separate-stderr -2 "$drover" tune migration/seven --pause
	run --separate-stderr -2 "$drover" tune node/host1 --pause
}

@test "gc: 0 when nothing is left, 5 with the list when something is or a node is silent, 4 for what is not over" {
	start_coordinator
	run --separate-stderr -0 "$drover" gc host2
	[ "$output" = "Nothing is left of migrations that are over; 1 of 1 nodes looked at." ]
	run --separate-stderr -0 "$drover" gc migration/12
	[[ ${lines[1]} == "host1"*"directory"*"web1"*"12"*"removed"*"/run/drover/attempts/7" ]]
	[ "${lines[2]}" = "1 removed, 0 left; 1 of 1 nodes looked at." ]
	run --separate-stderr -0 "$drover" gc migration/12 --dry-run
	[ "${lines[2]}" = "1 would be removed, 0 would be left; 1 of 1 nodes looked at." ]
	run --separate-stderr -5 "$drover" gc node/host1
	[[ $output == *"1 removed, 1 left; 1 of 1 nodes looked at."*"proofs on host1: not its own"*"rm it"* ]]
	run --separate-stderr -5 "$drover" gc host1 -o json
	jq -e '.items[0].outcome == "REMOVED" and .items[1].thing == "proofs"' <<<"$output"
	run --separate-stderr -5 "$drover" gc host3
	[[ $output == *"0 of 1 nodes looked at."*"not looked on host3: its agent is not connected"* ]]
	run --separate-stderr -4 "$drover" gc migration/43
	[[ $stderr == *"migration/43 is running"* ]]
	run --separate-stderr -2 "$drover" gc migration/all
	run --separate-stderr -2 "$drover" gc vm/web1
}

@test "events: the oldest first, one line each, by subject" {
	start_coordinator
	run --separate-stderr -0 "$drover" events --no-headers
	[ "${#lines[@]}" -eq 2 ]
	[[ ${lines[0]} == *"node/host1"*"host1 is ready" ]]
	[[ ${lines[1]} == *"alarm"*"vm/web1"*'web1 runs\ntwice' ]]
	run --separate-stderr -0 "$drover" events vm/web1 -o jsonl
	[ "$(jq -r .text <<<"$output")" = $'web1 runs\ntwice' ]
	run --separate-stderr -0 "$drover" events drain/9
	[[ -z $output && $stderr == *"no such events"* ]]
	run --separate-stderr -7 "$drover" events wbe1
	[[ $stderr == *"did you mean  web1"* ]]
}

@test "a reader that has enough ends the watcher, not the drain" {
	start_coordinator
	run --separate-stderr -0 bash -c "'$drover' drain host3 -o jsonl | head -n 1"
	[ "$(jq -r .drain.state <<<"$output")" = running ]
	wait_for 7 unwatched
}

@test "completion of names is silent without a coordinator" {
	run --separate-stderr -3 "$drover" __complete nodes
	[ -z "$output$stderr" ]
	start_coordinator
	run --separate-stderr -0 "$drover" __complete nodes
	[ "${lines[0]}" = host1 ]
}

# What bash offers for a line, sorted: the last word is the one that is being typed.
offered() { # WORD...
	PATH=$DROVER_BUILD_DIR/tools/drover:$PATH bash -c '
		eval "$(drover completion bash)"
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_drover
		printf "%s\n" "${COMPREPLY[@]}"' - "$@" | sort | paste -sd" "
}

@test "completion offers second words, and names by their place" {
	start_coordinator
	[ "$(offered drover po)" = "policies policy" ]
	[ "$(offered drover policy "")" = "apart on remove together" ]
	[ "$(offered drover help policy a)" = apart ]
	[ "$(offered drover help policy apart "")" = "" ]
	[ "$(offered drover maintenance e)" = "enter exit" ]
	[ "$(offered drover top "")" = links ]
	[ "$(offered drover explain vm/w)" = vm/web1 ]
	[ "$(offered drover explain vm/web1 "")" = "" ]
	[ "$(offered drover why-not w)" = web1 ]
	[ "$(offered drover why-not web1 host1)" = host1 ]
	[ "$(offered drover policy apart p)" = "" ]
	[ "$(offered drover policy apart p w)" = web1 ]
	[ "$(offered drover label host1 "")" = "" ]
	[ "$(offered drover --server = ipc : ///x policy on p --nodes host1)" = host1 ]
	[ "$(offered drover drain --output = js)" = "json jsonl" ]
	[ "$(offered drover top links -o "")" = "json table wide" ]
	[ "$(offered drover place --l)" = --like ]
	touch "$BATS_TEST_TMPDIR"/'$(touch ran)'
	cd "$BATS_TEST_TMPDIR" || return 1
	[ "$(offered drover export '$')" = '$(touch ran)' ] && [ ! -e ran ]
}

@test "rpc list and describe say what the program there serves" {
	start_coordinator
	run --separate-stderr -0 "$drover" rpc list "$DROVER_SERVER"
	[[ $output == *"Coordinator/Drain"*"DrainReply"*"operator admin"* ]]
	[[ $output == *"Coordinator/Watch"*"stream Change"* ]]
	[[ $output != *"Agent/Admit"* ]]
	run --separate-stderr -0 bash -c "'$drover' rpc list '$DROVER_SERVER' -o json |
		jq -r '.methods[] | select(.name == \"drover.v1.Coordinator/Watch\") | [.serverStreaming, .roles[]] | @csv'"
	[ "$output" = 'true,"operator","viewer","admin"' ]
	run --separate-stderr -0 "$drover" rpc describe "$DROVER_SERVER" Coordinator/ListVms
	[ "${lines[1]}" = "rpc Coordinator/ListVms(ListRequest) returns (VmList);" ]
	[[ $output == *"message ListRequest {"*"  bool active_only = 3;"*"  repeated Vm vms = 1;"* ]]
	run --separate-stderr -7 "$drover" rpc describe "$DROVER_SERVER" Coordinator/Nothing
	[[ $stderr == *'NOT_FOUND: there is no method "drover.v1.Coordinator/Nothing" here'* ]]
}

@test "rpc call prints the answer as JSON, and takes its request from the words or from stdin" {
	start_coordinator
	run --separate-stderr -0 bash -c "'$drover' rpc call '$DROVER_SERVER' Coordinator/ListEvents | jq -r '.events[0].subject'"
	[ "$output" = "vm/web1" ]
	run --separate-stderr -0 bash -c "echo '{\"active_only\":true}' |
		'$drover' rpc call '$DROVER_SERVER' drover.v1.Coordinator/ListEvents -"
	[[ $output == *'"revision": 2'* ]]
}

@test "rpc call: what is wrong with a request is said before anything is called" {
	run --separate-stderr -2 "$drover" rpc call "$DROVER_SERVER" Coordinator/Drain '{"node":"a","leave":[1]}'
	[ -z "$output" ]
	[[ $stderr == *"the request: leave[0] must be a string, and is a number"*"rpc describe ADDRESS Coordinator/Drain"* ]]
	run --separate-stderr -2 "$drover" rpc call "$DROVER_SERVER" Coordinator/Drain '{'
	[[ $stderr == *"not JSON: line 1"* ]]
	run --separate-stderr -2 "$drover" rpc call "$DROVER_SERVER" Coordinator/Dream
	[[ $stderr == *'knows no method "drover.v1.Coordinator/Dream"'* ]]
}

@test "rpc call: a failure has gRPC's name for it, and its exit status" {
	start_coordinator
	run --separate-stderr "$drover" rpc call "$DROVER_SERVER" Coordinator/Attach
	[ "$status" -eq 8 ]
	[[ $stderr == *"drover.v1.Coordinator/Attach: PERMISSION_DENIED: "* ]]
	run --separate-stderr "$drover" rpc call "$DROVER_SERVER" Coordinator/Unfence
	[ "$status" -ne 0 ]
	[[ $stderr == *"UNIMPLEMENTED: "* ]]
	run --separate-stderr -6 "$drover" rpc call "$DROVER_SERVER" Coordinator/GetStatus --timeout 300ms
	[[ $stderr == *"DEADLINE_EXCEEDED"* ]]
}

@test "rpc call: a stream is one object a line, and Ctrl-C cancels it" {
	start_coordinator
	mkfifo "$BATS_TEST_TMPDIR/stream"
	"$drover" rpc call "$DROVER_SERVER" Coordinator/Watch >"$BATS_TEST_TMPDIR/stream" \
		2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
	watcher=$!
	exec 8<"$BATS_TEST_TMPDIR/stream"
	wait_for 8 '"caughtUp":true'
	while read -r line; do
		jq -e .revision <<<"$line" >/dev/null
	done <<<"${seen%$'\n'}"
	kill -INT "$watcher"
	rc=0
	wait "$watcher" || rc=$?
	[ "$rc" -eq 130 ]
	wait_for 7 unwatched
	grep -q "Coordinator/Watch: CANCELLED: interrupted" "$BATS_TEST_TMPDIR/stderr"
}

# A log of three lines as a daemon writes it: hashes are made by the shell, not by drover.
write_audit() {
	local prev=0000000000000000000000000000000000000000000000000000000000000000 seq=0 who body
	for who in ann bob eve; do
		seq=$((seq + 1))
		body="{\"seq\":$seq,\"prev\":\"$prev\",\"time\":\"2026-01-01T00:00:00Z\",\"kind\":\"call\",\"who\":\"$who\""
		body+=',"method":"drover.v1.Coordinator/Drain","outcome":"OK","object":{"node":"host1"}'
		prev=$(printf %s "$body" | sha256sum | cut -d' ' -f1)
		printf '%s,"hash":"%s"}\n' "$body" "$prev"
	done >"$1"
}

@test "audit: a log is shown, and its chain proved" {
	write_audit "$BATS_TEST_TMPDIR/audit.log"
	run --separate-stderr -0 "$drover" audit "$BATS_TEST_TMPDIR/audit.log"
	[[ $output == *KIND*WHO*call*ann*Drain*'"node":"host1"'*OK*eve* ]]
	[[ $stderr == *"the chain holds, lines 1 to 3"* ]]
	run --separate-stderr -0 "$drover" audit "$BATS_TEST_TMPDIR/audit.log" --verify -o json
	jq -e '.verified and .lastSeq == 3 and (.lastHash | length) == 64' <<<"$output"
	run --separate-stderr -0 "$drover" audit "$BATS_TEST_TMPDIR/audit.log" -o json
	jq -e '(.lines | length) == 3 and .lines[1].who == "bob"' <<<"$output"
}

@test "audit: the line that was changed is named, with status 1, and cannot drive the terminal" {
	write_audit "$BATS_TEST_TMPDIR/audit.log"
	sed -i $'2s/bob/b\e[2Jb/' "$BATS_TEST_TMPDIR/audit.log"
	run --separate-stderr -1 "$drover" audit "$BATS_TEST_TMPDIR/audit.log" --verify
	[[ $output == *"audit.log line 2 breaks the chain: it was changed"* ]]
	run --separate-stderr -1 "$drover" audit "$BATS_TEST_TMPDIR/audit.log"
	[[ $output$stderr != *$'\e'* ]]
	run --separate-stderr -7 "$drover" audit "$BATS_TEST_TMPDIR/none.log"
	[[ $stderr == *"none.log: No such file"* ]]
	# What is no line of a log at all is shown as that, and leaves JSON whole.
	echo 'root:x:"0' >"$BATS_TEST_TMPDIR/audit.log"
	run --separate-stderr -1 "$drover" audit "$BATS_TEST_TMPDIR/audit.log"
	[[ $output == *'root:x:"0'*"not a line of an audit log"* ]]
	run --separate-stderr -1 "$drover" audit "$BATS_TEST_TMPDIR/audit.log" -o json
	[ "$(jq -r '.lines[0].stranger, .verified' <<<"$output")" = $'root:x:"0\nfalse' ]
}

@test "capacity says by its status whether the nodes that are named can be drained" {
	start_coordinator
	run --separate-stderr -0 "$drover" capacity
	[[ $output == *"NODE"*"CAN BE DRAINED"*"host1"*"yes"* ]]
	[[ $output == *"storage of 12 guests not asked: drover capacity host1 asks"* ]]
	wait_for 7 "capacity 0 nodes guest 0 0"
	run --separate-stderr -0 "$drover" capacity host1 --guest 8GiB,4cpu
	wait_for 7 "capacity 1 nodes guest 8589934592 4"
	[[ $output != *"not asked"* ]]
	run --separate-stderr -4 "$drover" capacity node/host2
	[[ $output == *"no place: host3 3.2 GiB short"*"host2 could be drained, if you"*"free 3.2 GiB on host3"* ]]
	run --separate-stderr -4 "$drover" capacity host1 host3
	[[ $output == *"together: host1: no"* ]]
	run --separate-stderr -0 "$drover" capacity -o json
	jq -e '.nodes[0].verdict == "yes"' <<<"$output"
	run --separate-stderr -2 "$drover" capacity --guest 8GiB,many
	[[ $stderr == *"--guest"*"as in 8GiB,4cpu"* ]]
	run --separate-stderr -2 "$drover" capacity --guest large
	run --separate-stderr -2 "$drover" capacity vm/web1
}

@test "place needs a size, says where, and 4 where there is none" {
	start_coordinator
	run --separate-stderr -0 "$drover" place --memory 8GiB --vcpus 4
	[[ $output == "host2: the roomiest"* ]]
	wait_for 7 'place 8589934592 bytes 4 vcpus like ""'
	run --separate-stderr -0 "$drover" place --like vm/web1
	wait_for 7 'place 0 bytes 0 vcpus like "web1"'
	run --separate-stderr -4 "$drover" place --memory 1TiB
	[[ $output == "nowhere: no node can take it now"* ]]
	run --separate-stderr -2 "$drover" place
	[[ $stderr == *"--memory 8GiB, or --like VM"* ]]
	run --separate-stderr -2 "$drover" place --memory 8
}

@test "export puts the parts together, to stdout or to a file, and says that the cluster changed meanwhile" {
	start_coordinator
	run --separate-stderr -0 "$drover" export
	jq -e '.format == 1 and [.vms[].name] == ["web1", "web2"] and .changed and .next == ""' <<<"$output"
	[[ $stderr == *"changed while it was read"* ]]
	run --separate-stderr -0 "$drover" export "$BATS_TEST_TMPDIR/state.json"
	[ -z "$output" ]
	jq -e '.cluster == "lab"' "$BATS_TEST_TMPDIR/state.json"
	run --separate-stderr -1 "$drover" export "$BATS_TEST_TMPDIR/nowhere/state.json"
	[[ $stderr == *"cannot be written"*"No such file"* ]]
}

@test "roll notes that a hook ended well while another runs, and Ctrl-C does not keep it from that" {
	start_coordinator
	"$drover" roll host1 host3 --max-unavailable 2 --hook '[ $DROVER_NODE = host1 ] || exec sleep 100' \
		2>"$BATS_TEST_TMPDIR/stderr" 3>&- 7<&- &
	local roll=$! status=0
	wait_for 7 "=back"
	[[ $seen == *"label host1 roll/"*"=back"* ]]
	kill -INT "$roll"
	wait "$roll" || status=$?
	[ "$status" = 130 ]
	cat "$BATS_TEST_TMPDIR/stderr"
	grep -q "host3: the hook ended with status 130" "$BATS_TEST_TMPDIR/stderr"
}

@test "roll notes that a hook ended well after Ctrl-C" {
	local status=0
	start_coordinator
	"$drover" roll host1 --hook 'trap "exit 0" INT; kill -INT $PPID; while :; do sleep 0.1; done' \
		2>"$BATS_TEST_TMPDIR/stderr" 3>&- 7<&- || status=$?
	cat "$BATS_TEST_TMPDIR/stderr"
	[ "$status" = 130 ]
	wait_for 7 "=back"
}

@test "roll --timeout ends a hook, whose input is empty" {
	start_coordinator
	run --separate-stderr -6 "$drover" roll host1 --timeout 6s --hook 'readlink /proc/self/fd/0; exec sleep 100'
	[[ $stderr == *"/dev/null"*"has not ended in time (--timeout 6.0 s)"*"ended with status 143"* ]]
}

@test "roll learns how a hook ended though whoever started it ignores children" {
	start_coordinator
	run --separate-stderr -1 timeout 60 env --ignore-signal=CHLD "$drover" roll host1 --hook 'exit 3'
	[[ $stderr == *"the hook ended with status 3"* ]]
}

@test "roll runs no hook where guests are, and takes nobody else's drain for its own" {
	start_coordinator
	run --separate-stderr -4 "$drover" roll host2 --hook "touch $BATS_TEST_TMPDIR/ran"
	[[ $stderr == *"host2: is maintenance with 1 active guest;"* ]]
	run --separate-stderr -4 "$drover" roll host4 --hook "touch $BATS_TEST_TMPDIR/ran"
	[[ $stderr == *"host4: is being drained already, and not by this operation"* ]]
	wait_for 7 "label host4 roll/"
	wait_for 7 "label host4 roll/"
	[[ $seen == *"-"$'\n' ]]
	# It has been drained since; what is in maintenance by another's doing is not begun.
	run --separate-stderr -4 "$drover" roll host4 --hook "touch $BATS_TEST_TMPDIR/ran"
	[[ $stderr == *"host4: is maintenance, and not by this operation"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/ran" ]
}

@test "roll --shutdown: who is not there, is there twice or would be lost stops it before anything begins" {
	start_coordinator
	run --separate-stderr -7 "$drover" roll host1 host3 --hook true --shutdown vm/away
	[[ $stderr == *"none of these nodes has a guest away to shut down; it is on host9"* ]]
	run --separate-stderr -7 "$drover" roll host1 --hook true --shutdown all
	[[ $stderr == *"no"*"guest all to shut down"*"drover vms"* ]]
	run --separate-stderr -4 "$drover" roll host1 host3 --hook true --shutdown twin
	[[ $stderr == *"host1 and host3 each have a guest twin"*"uuid"* ]]
	run --separate-stderr -4 "$drover" roll host1 host3 --hook true --shutdown db1 --shutdown fleeting
	[[ $stderr == *"fleeting is transient"* ]]
	run --separate-stderr -2 "$drover" roll host1 --hook true --shutdown-timeout 5m
	[[ $stderr == *"--shutdown VM"* ]]
	run --separate-stderr -0 "$drover" roll host1 host3 --dry-run --shutdown db1
	[[ ${lines[0]} =~ ^NODE\ +TURN\ +MOVE\ +SHUT\ DOWN\ +WOULD$ ]]
	[[ ${lines[1]} =~ ^host1\ +1\ +1\ +1\ +be\ emptied$ && ${lines[2]} =~ ^host3\ +2\ +2\ +be\ emptied$ ]]
	[[ $stderr == *"Nothing was changed. To do it: drover roll host1 host3 --shutdown db1 --hook CMD" ]]
	# Whatever it has said until here, nothing was begun.
	kill "$coordinator" && wait "$coordinator"
	coordinator=
	seen=$(cat <&7)
	[[ $seen == *"dry run: host3 shuts down u2"* && $seen != *"drain: "* && $seen != *"label "* ]]
}

@test "roll --shutdown: a drain that began without the guest is not taken for one that shuts it down" {
	start_coordinator
	run --separate-stderr -4 "$drover" roll host2 --hook true
	run --separate-stderr -4 "$drover" roll host2 --hook true --shutdown stays
	[[ $stderr == *"host2: is being drained already, and stays was not named then"*"drover cancel drain/N"* ]]
	[[ $stderr == *"go on"*"the same command once more"* ]]
}

# bats test_tags=slow
@test "roll --shutdown: shut down on its host's turn, and started again by its way back" {
	start_coordinator
	run --separate-stderr -0 "$drover" roll host1 --hook true --shutdown vm/db1 --shutdown-timeout 10m
	wait_for 7 "drain: host1 shuts down db1 within 600000 ms"
	[[ $stderr == *"1 guest is started again on host1"*"db1 was shut down, and runs on host1 again"* ]]
	[[ $stderr == *"all 1 nodes are done"* ]]
}

# bats test_tags=slow
@test "roll --shutdown: one that cannot be started again stops it" {
	start_coordinator
	run --separate-stderr -1 "$drover" roll host3 --hook true
	[[ $stderr == *"db1 stays off: host3 has 100 MiB free"* ]]
	[[ $stderr == *"host3: 1 guest was shut down, and cannot be started again now"*"stops here"* ]]
}
