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
	jq -e '.format == 1 and (.nodes | length) == 6 and (.vms | length) == 60' "$fleet"
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
	run --separate-stderr -0 simulate --state "$fleet" --drain host00001 --fail 400 --seed 7 -o json
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
	generate hosts=5,vms=0,seed=1
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
	run --separate-stderr -1 simulate --state - --drain a <<<'{"format": 2}'
	[[ $stderr == *"format is 2, and 1 is what can be read"* ]]
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

@test "the mode with faults is as it was" {
	[ -x "$DROVER_BUILD_DIR/tests/sim_agents" ] || skip "not built with this sanitizer"
	# What a killed agent had, nobody frees.
	export ASAN_OPTIONS=detect_leaks=0
	run --separate-stderr -0 simulate --seeds 1-2
	run --separate-stderr -0 simulate --help
	[[ $output == *"--seeds 1-5000"*"--state FILE"* ]]
}
