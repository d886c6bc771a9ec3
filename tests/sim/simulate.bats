#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# tools/simulate with a fleet from a file: what it prints, what it refuses, that it says the same twice.

# run --separate-stderr sets stderr.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

setup() {
	fleet=$BATS_TEST_TMPDIR/fleet.json
	export LC_ALL=C.UTF-8
}

simulate() { tools/simulate "$@"; }

generate() { simulate --generate "$1" >"$fleet"; }

@test "a generated fleet is the same for the same seed, and another for another" {
	generate hosts=6,vms=60,seed=3
	simulate --generate hosts=6,vms=60,seed=3 | cmp - "$fleet"
	run ! cmp <(simulate --generate hosts=6,vms=60,seed=4) "$fleet"
	jq -e '.format == 2 and (.nodes | length) == 6 and (.vms | length) == 60' "$fleet"
}

@test "generated fleets are not all alike: kinds and policies as often as --help says, and hard ones hold" {
	generate hosts=400,vms=8000,seed=5
	jq -e 'def near($n; $of; $percent): ($n / $of * 100 - $percent) | fabs < 4;
		def count(f): map(select(f)) | length;
		(.nodes | near(count(.host.labels | index("disk=ssd")); 400; 50) and
			near(count(.host.offers.machines | length == 2); 400; 60) and
			near(count(.host.offers.networks | length == 2); 400; 50)) and
		(.vms | near(count(.state.needs.machine == "pc-q35-8.2"); 8000; 8) and
			near(count(.state.needs.networks | length == 2); 8000; 8) and
			near(count(.state.needs.seesHost); 8000; 4)) and
		(.policies | near([.[].vms | length] | add; 8000; 10) and near(count(.soft); length; 50) and
			near(count(.kind == "apart"); length; 50))' "$fleet"
	run --separate-stderr simulate --state "$fleet" --drain host00001 -o json
	jq -e '[.policies[] | select(.soft | not)] | length > 50 and all(.held and .holds)' <<<"$output"
	jq -e '.softHeld < ([.policies[] | select(.soft)] | length)' <<<"$output"
	generate hosts=6,vms=60,seed=3,kinds=0,policies=0
	jq -e '(.policies // [] | length) == 0 and all(.vms[]; .state.needs | not) and
		all(.nodes[]; .host | (.labels // [] | length) == 0 and (.offers | not))' "$fleet"
	run --separate-stderr -1 simulate --generate hosts=6,kinds=101
	[[ $stderr == *"kinds must be a whole number from 0 to 100"* ]]
}

@test "hard policies are kept in fleets drawn by chance, with attempts that break and guests refused" {
	local seed
	for seed in 1 2 3 4 5 6 7 8; do
		generate "hosts=6,vms=90,seed=$seed,fill=60,policies=60"
		run --separate-stderr simulate --state "$fleet" --drain host00001 --drain host00002 --seed "$seed" \
			--fail 150 --refuse 100 --until 2h -o json
		[ "$status" = 0 ] || [ "$status" = 4 ]
		jq -e '[.policies[] | select(.soft | not)] | length > 3' <<<"$output"
	done
}

@test "a drain of a fleet from a file: it is emptied, no faster than the lower bound, the same twice" {
	generate hosts=8,vms=80,seed=2,fill=50
	for i in 1 2; do
		simulate --state "$fleet" --drain host00001 --drain host00002 --seed 5 \
			--trace "$BATS_TEST_TMPDIR/trace$i" -o json >"$BATS_TEST_TMPDIR/figures$i"
		jq 'del(.coreCpuUs, .coreStepP99Us, .coreStepMostUs, .memoryUsedBytes)' \
			"$BATS_TEST_TMPDIR/figures$i" >"$BATS_TEST_TMPDIR/same$i"
	done
	cmp "$BATS_TEST_TMPDIR/trace1" "$BATS_TEST_TMPDIR/trace2"
	cmp "$BATS_TEST_TMPDIR/same1" "$BATS_TEST_TMPDIR/same2"
	jq -e '.outcome == "completed" and .left == 0 and .moved > 0 and .makespanMs >= .boundMs and
		.boundMs > 0 and .sentBytes >= .memoryBytes' "$BATS_TEST_TMPDIR/figures1"
	jq -e '[.guests[] | select(.source == "host00001") | .target] | index("host00001") == null' \
		"$BATS_TEST_TMPDIR/figures1"
	# Every line of the trace is an object, and every guest that moved is in it once.
	[ "$(jq -r 'select(.what == "done") | .subject' "$BATS_TEST_TMPDIR/trace1" | sort -u | wc -l)" = \
		"$(jq .moved "$BATS_TEST_TMPDIR/figures1")" ]
}

@test "attempts that break by chance are tried again, and the drain still ends" {
	generate hosts=8,vms=80,seed=2,fill=50
	run --separate-stderr -0 simulate --state "$fleet" --drain host00001 --fail 400 --seed 8 -o json
	jq -e '.failedAttempts > 0 and .left == 0' <<<"$output"
}

@test "what has no place is left, with the reason and status 4; figures are for people, too" {
	generate hosts=3,vms=60,seed=1,fill=95
	run --separate-stderr -4 simulate --state "$fleet" --drain host00001
	[[ $output == *"outcome"*"blocked"*"no destination"* ]]
	[[ $output == *"makespan"*"of the lower bound"* ]]
}

@test "a guest that writes faster than its link carries does not converge, and more bandwidth helps" {
	generate hosts=3,vms=0,seed=1
	jq '.vms = [{uuid: "00000000-0000-4000-8000-000000000001", name: "busy", node: "host00001",
		movable: true, state: {uuid: "00000000-0000-4000-8000-000000000001", name: "busy",
		state: "running", memoryBytes: 4294967296, overheadBytes: 83886080, vcpus: 2}}] |
		.nodes[].host.memoryCapacityBytes = 68719476736 |
		.assumptions = [{uuid: .vms[0].uuid, dirtyBytesPerS: 200000000}] |
		.settings.completionTimeoutMsPerGib = 60000' "$fleet" >"$fleet.busy"
	run --separate-stderr -4 simulate --state "$fleet.busy" --drain host00001 --link 1Gbit/s \
		--until 30m --trace "$BATS_TEST_TMPDIR/trace"
	grep -q 'did not converge within' "$BATS_TEST_TMPDIR/trace"
	simulate --state "$fleet.busy" --drain host00001 --link 25Gbit/s
}

# Hosts with an even number lack the guests' bridge, host00003 has one vCPU left, host00005 has all.
odd_fleet() {
	generate hosts=5,vms=0,seed=1,kinds=0
	jq '.vms = [range(1; 4) | {uuid: "00000000-0000-4000-8000-00000000000\(.)", name: "web\(.)",
			node: "host00001", movable: true, state: {uuid: "00000000-0000-4000-8000-00000000000\(.)",
			name: "web\(.)", state: "running", memoryBytes: 1073741824, overheadBytes: 83886080,
			vcpus: 2, needs: {vcpusMaximum: 2, networks: [{type: "bridge", source: "br0"}]}}}] |
		.nodes[].host.memoryCapacityBytes = 68719476736 |
		.nodes |= [to_entries[] | .key as $i | .value | .host.offers = {networksKnown: true,
			networks: [{name: (if $i % 2 == 1 then "br1" else "br0" end), device: true, kind: 1}]} |
			.host.cpus = 8 | .host.rooms = {cpuOvercommitPercent: 100, vcpusGuests: (if $i == 2 then 7 else 0 end)}]' \
		"$fleet" >"$fleet.odd"
}

@test "what hosts lack is known: a drain goes round them without one refusal, and says what they lack" {
	odd_fleet
	simulate --state "$fleet.odd" --drain host00001 -o json >"$BATS_TEST_TMPDIR/figures"
	jq -e '.outcome == "completed" and .moved == 3 and .failedAttempts == 0 and
		all(.guests[]; .target == "host00005")' "$BATS_TEST_TMPDIR/figures"
	# A fourth vCPU less, and the last of them has no place: the drain is refused with the reason.
	jq '.nodes[4].host.rooms.vcpusGuests = 3' "$fleet.odd" >"$fleet.full"
	run --separate-stderr -4 simulate --state "$fleet.full" --drain host00001
	[[ $output == *"vCPUs"* ]]
	jq '.nodes[4].host.offers.networks[0].name = "br1"' "$fleet.odd" >"$fleet.none"
	run --separate-stderr -4 simulate --state "$fleet.none" --drain host00001
	[[ $output == *"3 of 4 nodes have no bridge \"br0\" that is up: host00002, host00004, host00005"* ]]
	[[ $output == *"host00003 has 1 of 8 vCPUs left"* ]]
}

@test "a file that is wrong is refused with the place and what must be there" {
	run --separate-stderr -1 simulate --state "$BATS_TEST_TMPDIR/nowhere" --drain a
	[[ $stderr == *"nowhere: No such file"* ]]
	run --separate-stderr -1 simulate --state - --drain a <<<'hello'
	[[ $stderr == *"standard input"*"not JSON: line 1"* ]]
	run --separate-stderr -1 simulate --state - --drain a <<<'{"format": 3}'
	[[ $stderr == *"format is 3, and 1 to 2 can be read"* ]]
	run --separate-stderr -1 simulate --state - --drain a <<<'{"format": 1, "nodes": [{"host": {"cpu": 1}}]}'
	[[ $stderr == *"nodes[0].host"*"cpu"* ]]
	generate hosts=3,vms=5,seed=1
	jq '.vms[2].node = "host9"' "$fleet" >"$fleet.wrong"
	run --separate-stderr -1 simulate --state "$fleet.wrong" --drain host00001
	[[ $stderr == *"vms[2]"*"is on host9, which is not among the nodes"* ]]
	jq '.vms[1] = .vms[0]' "$fleet" >"$fleet.wrong"
	run --separate-stderr -1 simulate --state "$fleet.wrong" --drain host00001
	[[ $stderr == *"is there twice"* ]]
	jq '.nodes[1].name = .nodes[0].name' "$fleet" >"$fleet.wrong"
	run --separate-stderr -1 simulate --state "$fleet.wrong" --drain host00001
	[[ $stderr == *"host00001 is there twice"* ]]
	run --separate-stderr -1 simulate --state "$fleet"
	[[ $stderr == *"say --drain NODE"* ]]
	run --separate-stderr -1 simulate --state "$fleet" --drain host7
	[[ $stderr == *"--drain host7: there is no such node"* ]]
	run --separate-stderr -2 simulate --state "$fleet" --fail many
	[[ $stderr == *"--fail must be a whole number from 0 to 1000"* ]]
	run --separate-stderr -1 simulate --generate hosts=1
	[[ $stderr == *"hosts must be a whole number from 2"* ]]
}

# Three hosts of 64 GiB, two guests of 1 GiB and one of 8 on the first.
wanted_fleet() {
	generate hosts=3,vms=0,seed=1,link=10Gbit/s,kinds=0
	jq '.vms = [range(1; 4) | {uuid: "00000000-0000-4000-8000-00000000000\(.)", name: "web\(.)",
			node: "host00001", movable: true, state: {uuid: "00000000-0000-4000-8000-00000000000\(.)",
			name: "web\(.)", state: "running", memoryBytes: (if . == 3 then 8589934592 else 1073741824 end),
			overheadBytes: 83886080, vcpus: 1}}] |
		.nodes[].host.memoryCapacityBytes = 68719476736 | .nodes |= map(.host.labels = [] | .givenLabels = [])' \
		"$fleet" >"$fleet.wanted"
}

# FILTER: what is changed of that; its figures.
wanted() {
	jq "$1" "$fleet.wanted" >"$fleet.now"
	status=0
	simulate --state "$fleet.now" --drain host00001 -o json >"$fleet.figures" 2>"$fleet.errors" || status=$?
}

member() { printf '{uuid: "00000000-0000-4000-8000-00000000000%s", name: "web%s"}' "$1" "$1"; }

target() { jq -r ".guests[] | select(.vm == \"$1\") | .target" "$fleet.figures"; }

@test "policies of the file are kept, and counted: apart, together, on by name and by given label" {
	wanted_fleet
	wanted ".policies = [{name: \"a\", kind: \"apart\", vms: [$(member 1), $(member 2)]},
		{name: \"b\", kind: \"on\", nodes: [\"host00003\"], vms: [$(member 1)]}]"
	[ "$status" = 0 ]
	[ "$(target web1)" = host00003 ]
	[ "$(target web2)" = host00002 ]
	jq -e '.policies == [{name: "a", kind: "apart", soft: false, held: false, holds: true},
		{name: "b", kind: "on", soft: false, held: false, holds: true}]' "$fleet.figures"
	wanted ".policies = [{name: \"b\", kind: \"on\", selector: \"disk=ssd\", vms: [$(member 3)]},
		{name: \"t\", kind: \"together\", vms: [$(member 2), $(member 3)]}] |
		.nodes[2].givenLabels = [\"disk=ssd\"]"
	[ "$(target web3) $(target web2)" = "host00003 host00003" ]
	# Its agent's own label is another one than that which it was given.
	wanted ".policies = [{name: \"b\", kind: \"on\", selector: \"disk=ssd\", soft: true, vms: [$(member 3)]}] |
		.nodes[1].host.labels = [\"disk=ssd\"] | .nodes[2].host.labels = [\"disk=ssd\"] |
		.nodes[2].givenLabels = [\"disk=hdd\"]"
	[ "$(target web3)" = host00002 ]
	jq -e '.softHeld == 0 and .softHolds == 1' "$fleet.figures"
	# Where there is no such host a wish stops nobody, and a rule does.
	wanted ".policies = [{name: \"b\", kind: \"on\", nodes: [\"host00001\"], soft: true, vms: [$(member 3)]}]"
	[ "$status" = 0 ]
	jq -e '.softHeld == 1 and .softHolds == 0' "$fleet.figures"
	wanted ".policies = [{name: \"b\", kind: \"on\", nodes: [\"host00001\"], vms: [$(member 3)]}]"
	[ "$status" = 4 ]
	jq -e '.reason | contains("policy b lets it be only on host00001")' "$fleet.figures"
	run --separate-stderr -4 simulate --state "$fleet.now" --drain host00001
	[[ $output == *"policies"*"hard: 1 of 1 held before, 1 hold now; soft: 0 of 0, 0 now"* ]]
}

@test "what was refused before is known: by kind of guest, by guest, and what is wanted of the next move" {
	wanted_fleet
	wanted '.vms |= .[:1] | .vms[0].state.needs = {digest: "77", vcpusMaximum: 1} |
		.nodes[1].denials = [{digest: "77", check: {id: "cpu", verdict: "FAIL", measured: "no avx512f"}, leftMs: 3600000,
			home: "host00001"}]'
	[ "$status" = 0 ]
	[ "$(target web1)" = host00003 ]
	jq -e '(.failedAttempts // 0) == 0' "$fleet.figures"
	# What was said of guests of another host, or by an older export of nobody knows whose, speaks for none
	# of these: the host is asked, and says it anew.
	local home
	for home in '"host00003"' '""'; do
		jq ".nodes[1].denials[0].home = $home" "$fleet.now" >"$fleet.asked"
		simulate --state "$fleet.asked" --drain host00001 -o json >"$fleet.figures"
		[ "$(target web1)" = host00003 ]
		jq -e '.failedAttempts >= 1' "$fleet.figures"
	done
	wanted '.vms |= .[:1] | .vms[0].refusals = [{node: "host00002", why: "host00002 refused: disk", leftMs: 100000}]'
	[ "$(target web1)" = host00003 ]
	jq -e '(.failedAttempts // 0) == 0 and (.notes | any(contains("1 times a node had refused a guest")))' "$fleet.figures"
	wanted '.vms |= .[:1]'
	[ "$(target web1)" = host00002 ]
	wanted '.vms[2].next = {bandwidthGiven: true, bandwidthBytesPerS: 104857600, by: "ann"}'
	jq -e '.guests[] | select(.vm == "web3") | .durationMs > 80000' "$fleet.figures"
	# How fast it sent, and what predictions were worth, is told to the core.
	wanted '.nodes[0].measuredBytesPerS = 1000000 | .experience = [{source: "host00001", target: "host00002",
		w: 1.5, x: 2, y: 3, xx: 4, xy: 5, squares: 0.1, squaresW: 2, count: 7}, {w: 1, count: 1}]'
	[ "$status" = 0 ]
}

@test "of a host's migrations the shortest goes first, as limits/lanes says, and the others end no later" {
	wanted_fleet
	jq '.vms |= .[1:] | .vms[0].state.memoryBytes = 4294967296' "$fleet.wanted" >"$fleet.two"
	local how
	for how in shortest fair; do
		jq ".settings.shortestFirst = $([ $how = shortest ] && echo true || echo false)" "$fleet.two" >"$fleet.$how"
		simulate --state "$fleet.$how" --drain host00001 -o json >"$BATS_TEST_TMPDIR/$how"
	done
	simulate --state "$fleet.shortest" --drain host00001 --rates fair -o json >"$BATS_TEST_TMPDIR/rates"
	# 4 GiB and 8 GiB at 1.125 GB/s: 3.8 s alone and 7.6 s; with equal shares 7.6 s; both out after 11.5 s.
	time_of() { jq ".guests[] | select(.vm == \"$2\") | .durationMs" "$BATS_TEST_TMPDIR/$1"; }
	(($(time_of shortest web2) < 6600 && $(time_of fair web2) > 9000))
	(($(time_of shortest web3) - $(time_of fair web3) < 200))
	[ "$(time_of rates web2)" = "$(time_of fair web2)" ]
	jq -e '.heldMs > 3000' "$BATS_TEST_TMPDIR/shortest"
	run jq -e '.heldMs' "$BATS_TEST_TMPDIR/fair"
	[ "$output" = 0 ] || [ "$output" = null ]
	# A document of format 1 does not say: coordinators do it unless they are told otherwise.
	jq '.format = 1 | del(.settings.shortestFirst)' "$fleet.two" >"$fleet.old"
	simulate --state "$fleet.old" --drain host00001 -o json | jq -e '.heldMs > 3000'
}

# COUNT guests of 1 GiB on the first of three hosts, links of 1 Gbit/s, one leaves at a time.
row_of_guests() {
	generate hosts=3,vms=0,seed=1,link=1Gbit/s,kinds=0
	jq --argjson count "$1" '.vms = [range(1; $count + 1) | {uuid: "00000000-0000-4000-8000-00000000000\(.)",
		name: "web\(.)", node: "host00001", movable: true, state: {uuid: "00000000-0000-4000-8000-00000000000\(.)",
		name: "web\(.)", state: "running", memoryBytes: 1073741824, overheadBytes: 83886080, vcpus: 1}}] |
		.nodes[].host.memoryCapacityBytes = 68719476736 | .limits.outbound = 1' "$fleet" >"$fleet.row"
}

# When SUBJECT had that, ms.
traced() { jq -r "select(.what == \"$2\" and .subject == \"$1\") | .ms" "$BATS_TEST_TMPDIR/trace" | head -n 1; }

@test "the next one is prepared while the last one sends: the time that it takes is saved, and nothing else" {
	row_of_guests 6
	ahead() { simulate --state "$fleet.row" --drain host00001 --prepare 2s -o json "$@"; }
	ahead --trace "$BATS_TEST_TMPDIR/trace" >"$fleet.one"
	ahead --preparing 0 >"$fleet.none"
	# The first has a slot at once, and prepares in it; the other five do before they have theirs.
	jq -e '.prepared == 5 and (.givenBack // 0) == 0 and .makespanMs >= .boundMs and .moved == 6' "$fleet.one"
	jq -e '(.prepared // 0) == 0 and .makespanMs >= .boundMs and .moved == 6' "$fleet.none"
	local saved_ms
	saved_ms=$(($(jq .makespanMs "$fleet.none") - $(jq .makespanMs "$fleet.one")))
	((saved_ms > 9800 && saved_ms < 10100))
	# It waits for its slot, and is on its way from then on only.
	local first second
	first=$(jq -r 'select(.what == "start") | .subject' "$BATS_TEST_TMPDIR/trace" | head -n 1)
	second=$(jq -r 'select(.what == "prepare") | .subject' "$BATS_TEST_TMPDIR/trace" | head -n 1)
	(($(traced "$second" prepared) < $(traced "$first" "done")))
	(($(traced "$second" start) >= $(traced "$first" "done")))
	run --separate-stderr -0 simulate --state "$fleet.row" --drain host00001
	[[ $output == *"prepared"*"5 migrations ahead of their slot, 0 in vain (limits/preparingMigrationsPerNode)"* ]]
	# What the file says, and what its agents know: older ones are not asked.
	jq '.limits.preparing = 0' "$fleet.row" >"$fleet.off"
	jq '.nodes[0].host.preparingMax = 0' "$fleet.row" >"$fleet.older"
	local how
	for how in off older; do
		simulate --state "$fleet.$how" --drain host00001 --prepare 2s -o json >"$fleet.figures"
		[ "$(jq .makespanMs "$fleet.figures")" = "$(jq .makespanMs "$fleet.none")" ]
	done
	run --separate-stderr -2 simulate --state "$fleet.row" --drain host00001 --preparing 5
	[[ $stderr == *"--preparing must be a whole number from 0 to 4"* ]]
}

@test "what is prepared in vain is given back after 20 s, and that is nobody's failure" {
	row_of_guests 2
	# It does not converge, so that the slot which the other one waits for is not free when it was to be.
	jq '.vms[0].state.memoryBytes = 4294967296 | .settings.completionTimeoutMsPerGib = 60000 |
		.assumptions = [{uuid: .vms[0].uuid, dirtyBytesPerS: 200000000}]' "$fleet.row" >"$fleet.busy"
	run --separate-stderr -4 simulate --state "$fleet.busy" --drain host00001 --until 8m \
		--trace "$BATS_TEST_TMPDIR/trace" -o json
	jq -e '.givenBack >= 2 and .failedAttempts == 1' <<<"$output"
	jq -e '.guests[] | select(.vm == "web2") | .outcome == "done" and .attempts > 2' <<<"$output"
	[ "$(($(traced web2 failed) - $(traced web2 prepared)))" = 20000 ]
}

@test "what people want is checked before any of it counts, and the place is named" {
	wanted_fleet
	bad() {
		wanted "$1"
		[ "$status" = 1 ]
		grep -qF -- "$2" "$fleet.errors" || { cat "$fleet.errors"; false; }
	}
	bad '.policies = [{name: "a b", kind: "apart"}]' 'policies[0] (a b): name: "a b" is no name'
	bad '.policies = [{name: "a", kind: "near"}]' 'policies[0] (a): kind is "apart", "together" or "on", not "near"'
	bad ".policies = [{name: \"a\", kind: \"apart\", vms: [$(member 1)]}]" 'policies[0] (a): vms: a policy "apart" has at least 2'
	bad ".policies = [{name: \"a\", kind: \"apart\", vms: [$(member 1), $(member 1)]}]" 'vms[1].uuid'
	bad ".policies = [{name: \"a\", kind: \"on\", vms: [$(member 1)]}]" 'either nodes or a selector'
	bad ".policies = [{name: \"a\", kind: \"on\", nodes: [\"host9\"], vms: [$(member 1)]}]" 'policies[0] (a): nodes[0]: host9 is not among'
	bad ".policies = [{name: \"a\", kind: \"on\", selector: \"=,\", vms: [$(member 1)]}]" 'policies[0] (a): selector'
	bad ".policies = [range(2) | {name: \"a\", kind: \"on\", nodes: [\"host00001\"], vms: [$(member 1)]}]" 'policies: a is there twice'
	bad '.nodes[1].givenLabels = ["rack=a", "r ack=a"]' 'nodes[1] (host00002): given_labels[1]'
	bad '.nodes[1].host.labels = ["="]' 'nodes[1] (host00002): host.labels[0]'
	bad '.nodes[1].denials = [{digest: "5"}]' 'nodes[1] (host00002): denials[0].check is missing'
	bad '.vms[1].refusals = [{node: "host9"}]' 'vms[1].refusals[0].node: host9'
	bad '.vms[1].copies = "all"' 'vms[1].copies is "none", "some"'
	bad '.experience = [{source: "host00001", w: 1}]' 'experience[0] has a source and a target'
	bad '.experience = [{w: -1}]' 'experience[0]'
	bad '.settings.ladder = 99' 'settings'
	bad '.policies = [{name: "a", colour: 1}]' 'policies[0]'
}

@test "the mode with faults is as it was" {
	[ -x "$DROVER_BUILD_DIR/tests/sim_agents" ] || skip "not built with this sanitizer"
	# What a killed agent had, nobody frees.
	export ASAN_OPTIONS=detect_leaks=0
	run --separate-stderr -0 simulate --seeds 1-2
	run --separate-stderr -0 simulate --help
	[[ $output == *"--seeds 1-5000"*"--state FILE"* ]]
}
