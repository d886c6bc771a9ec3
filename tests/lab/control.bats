#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The control network at its worst while guests move, on real hosts: packets that are lost, come twice or late,
# connections that break, links that flap, and a coordinator whose host is gone without a word.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab control 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	calm
	lab link coordinator mgmt up
	lab_end_test
}

ADDRESSES=(10.77.0.1 10.77.0.2 10.77.0.100)
NODES=(host1 host2 coordinator)

# What leaves a node: half of it is lost; of the rest a third comes twice, and a third waits in a queue of its
# own and comes after what was sent later.
storm() {
	local node to
	for node in "${NODES[@]}"; do
		lab shell "$node" sh -e -c '
			tc qdisc replace dev mg0 root handle 1: htb default 10
			tc class add dev mg0 parent 1: classid 1:10 htb rate 1gbit quantum 60000
			tc class add dev mg0 parent 1: classid 1:20 htb rate 200kbit burst 1600 quantum 3000
			iptables -A OUTPUT -o mg0 -m statistic --mode random --probability 0.5 -j DROP
			iptables -t mangle -A POSTROUTING -o mg0 -m statistic --mode random --probability 0.33 -j CLASSIFY --set-class 1:20' \
			2>/dev/null
		for to in "${ADDRESSES[@]}"; do
			lab shell "$node" iptables -t mangle -A OUTPUT -o mg0 -d "$to" \
				-m statistic --mode random --probability 0.33 -j TEE --gateway "$to"
		done
	done
}

calm() {
	local node
	for node in "${NODES[@]}"; do
		lab shell "$node" sh -c 'tc qdisc del dev mg0 root; iptables -F OUTPUT; iptables -t mangle -F' 2>/dev/null || true
	done
}

# cut NODE: its connections between daemons end at once, with all that is on its way in them.
cut() { lab shell "$1" ss -KHtn state established '( dport = :7780 or dport = :7788 or sport = :7780 or sport = :7788 )' >/dev/null; }

drained() { [[ $(drain_get .state) == completed ]]; }

# bats test_tags=slow,minutes
@test "F48: control packets are lost, come twice and late, and connections break: each move has its effect once" {
	local guest deadline n=0
	for guest in s1 s2 s3; do new_guest "$guest" host1; done
	storm
	drover -q drain host1 --detach
	deadline=$((SECONDS + 100))
	until drained || ((SECONDS > deadline)); do
		sleep "$((RANDOM % 4)).$((RANDOM % 10))"
		cut "${NODES[n++ % 3]}"
	done
	echo "# in the storm: $(drain_get '"\(.state), \([.vms[] | select(.state == "moved")] | length) of 3"'), cut $n times" >&3
	calm
	wait_until drained 240 || fail "$(drover drains -o json; drover migrations -o wide)"
	for guest in s1 s2 s3; do
		echo "# $guest: $(drover migrations --vm "$guest" -o json | jq -c '[.migrations[] | .state]')" >&3
		# One incoming QEMU for each attempt at the most, and one that arrived.
		assert_starts "$guest"
		[ "$(drover migrations --vm "$guest" -o json | jq '[.migrations[] | select(.state == "DONE")] | length')" = 1 ]
	done
	assert_all_well s1@host2 s2@host2 s3@host2
}

# begun GUEST: when each of its attempts began, in ms.
begun() { drover migrations --vm "$1" -o json | jq -r '.migrations[].createdWallMs' | sort -n; }

# flap DOWN_S UP_S NETWORK...: for two minutes; GUEST never runs twice.
flap() {
	local until=$((SECONDS + 120)) network
	while ((SECONDS < until)); do
		for network in "${@:3}"; do lab link host2 "$network" down; done
		sleep "$1"
		for network in "${@:3}"; do lab link host2 "$network" up; done
		sleep "$2"
	done
}

# assert_spaced_out GUEST: not more than one attempt in 30 s.
assert_spaced_out() {
	local at before=''
	for at in $(begun "$1"); do
		[[ -z $before ]] || ((at - before >= 30000)) || fail "$((at - before)) ms between two attempts" || return 1
		before=$at
	done
}

# bats test_tags=slow,minutes
@test "F51: both networks flap for two minutes: attempts are spaced out, and the guest moves when it is over" {
	lab link host1 migration rate 40mbit
	new_guest flap host1 --memory 96MiB --working-set 64MiB
	drover -q drain host1 --detach
	wait_mid_copy flap host1
	flap 2 2 migration mgmt
	lab link host1 migration rate 1gbit
	echo "# attempts in two minutes: $(begun flap | wc -l)" >&3
	wait_until drained 180 || fail "$(drover drains -o json)"
	assert_spaced_out flap
	assert_starts flap
	assert_all_well flap@host2
}

# Short flaps cost no attempt. These are longer than what a copy survives.
# bats test_tags=slow,minutes
@test "F51: a network that comes only to go again for two minutes: a guest is tried at most twice a minute" {
	lab link host1 migration rate 20mbit
	new_guest often host1 --memory 96MiB --working-set 64MiB
	drover -q drain host1 --detach
	wait_mid_copy often host1
	flap 18 6 mgmt
	lab link host1 migration rate 1gbit
	echo "# attempts in two minutes: $(begun often | wc -l)" >&3
	(($(begun often | wc -l) >= 2)) || fail "one attempt has survived all of it: $(drover migrations -o wide)"
	wait_until drained 180 || fail "$(drover drains -o json)"
	assert_spaced_out often
	assert_starts often
	assert_all_well often@host2
}

agent_pid() { cat "$LAB_STATE/hosts/$1/agent.pid"; }
descriptors() { find "/proc/$(agent_pid "$1")/fd" -mindepth 1 | wc -l; }
connected() { [[ -n $(lab shell "$1" ss -Htn state established dport = :7780) ]]; }

# When it was last seen to be so: what asking takes is not the agents' time.
still_connected() {
	local now=$EPOCHREALTIME
	{ connected host1 || connected host2; } && last_connected=$now
}

# bats test_tags=slow
@test "F52: the coordinator's host vanishes without a word: agents notice within 15 s, come back, and leak nothing" {
	local began before last_connected
	before=$(descriptors host1)
	for _ in 1 2 3 4 5; do
		lab link coordinator mgmt down
		began=$EPOCHREALTIME last_connected=$EPOCHREALTIME
		wait_until '! still_connected' 20
		awk -v a="$began" -v b="$last_connected" 'BEGIN { printf "# noticed after %.1f s\n", b - a; exit b - a < 5 || b - a > 15.5 }' >&3
		# It has lost its memory, as a host that was switched off.
		lab drover kill coordinator
		lab link coordinator mgmt up
		lab drover start coordinator
		wait_until all_ready 30
	done
	wait_until '(($(descriptors host1) <= before))' 10 || fail "$before descriptors before, $(descriptors host1) after"
}
