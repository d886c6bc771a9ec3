#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is counted, against who else knows it: iperf3, QEMU, the kernel's counters of the link. On real
# hosts, beside their agents, which count the same interface.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() {
	drover_lab bandwidth 2 --rate none
	# A second address of each host in the migration network: tenants.
	lab shell host1 ip addr add 10.78.0.201/24 dev mi0
	lab shell host2 ip addr add 10.78.0.202/24 dev mi0
}
teardown_file() { lab_down; }
setup() {
	drover_reset
	pids=()
}
teardown() {
	local pid
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	lab link host1 migration rate none
	lab_end_test
}

# ---- counters: FILE is $BATS_TEST_TMPDIR/NAME ----

start_counting() { # NAME HOST ENDPOINT...
	local name=$1 host=$2
	shift 2
	lab shell "$host" "$DROVER_BUILD_DIR/tests/lab_counters" mi0 "$@" >"$BATS_TEST_TMPDIR/$name" 3>&- &
	pids+=($!)
	wait_until "[ -s '$BATS_TEST_TMPDIR/$name' ]" 60
	[ "$(counted "$name" .source)" = ebpf-tcx ]
}
last() { grep '}$' "$BATS_TEST_TMPDIR/$1" | tail -n 1; }
number() { last "$1" | jq .number; }
# What is so now: nothing under way at the time of asking is missing.
settle() { # NAME
	local seen
	seen=$(number "$1")
	wait_until "[ \"\$(number '$1')\" -gt $((seen + 1)) ]" 60
}
# Nothing goes over the link: what the programs saw and what the link counts are not read in one moment.
is_still() { # NAME
	(($(tail -n 4 "$BATS_TEST_TMPDIR/$1" | grep '}$' | tail -n 3 | jq -c 'del(.number)' | uniq | wc -l) == 1))
}
still() { wait_until "is_still $1" 60; } # NAME
counted() { last "$1" | jq -r "$2"; } # NAME FILTER
# Between that line of JSON and the last one, of one counter: the sum of both directions, or of one.
since() { # NAME FIRST_LINE FILTER
	jq -n --argjson a "$2" --argjson b "$(last "$1")" "(\$b | $3) - (\$a | $3)"
}

# ---- iperf3 ----

start_server() { # ADDRESS PORT, on host2
	lab shell host2 iperf3 -s -1 -B "$1" -p "$2" >"$BATS_TEST_TMPDIR/server" 2>&1 3>&- &
	pids+=($!)
	wait_until "lab shell host2 ss -Hltn 'sport = :$2' | grep -q '$1'" 60
}
# FILE FROM ADDRESS PORT OPTION...: iperf3's own account. What it has written and the kernel has not yet sent
# at its end is sent by nobody: a small buffer for that.
send() {
	local file=$BATS_TEST_TMPDIR/$1 from=$2 address=$3 port=$4
	shift 4
	lab shell host1 iperf3 -J -w 64K -B "$from" -c "$address" -p "$port" "$@" >"$file" || fail "$(cat "$file")"
}

# |A - B| at most PERCENT of B, and EXTRA.
assert_near() { # WHAT A B PERCENT [EXTRA]
	awk -v a="$2" -v b="$3" -v p="$4" -v e="${5:-0}" 'BEGIN {
		d = a - b; d = d < 0 ? -d : d
		printf "# '"$1"': %.0f counted, %.0f told: %+.4f %%\n", a, b, (a - b) / b * 100
		exit !(b > 0 && d <= b * p / 100 + e) }' >&3 || fail "$1: $2 counted, $3 told, which is more than $4 % (and $5) apart"
}

# What iperf3 sends is what both ends count as a migration's payload; what the programs saw is what the
# kernel counts on the link, to the byte.
check_iperf() { # SECONDS MEGABITS
	local told retransmitted before mss=1448
	start_counting out host1 10.78.0.2,49152,remote
	start_counting in host2 10.78.0.1,49152,local
	start_server 10.78.0.2 49152
	still out
	still in
	before=$(last out)
	first=$(last in)
	send told 10.78.0.1 10.78.0.2 49152 -t "$1" -b "$2M"
	settle out
	settle in
	still out
	still in
	told=$(jq .end.sum_sent.bytes "$BATS_TEST_TMPDIR/told")
	retransmitted=$(($(jq .end.sum_sent.retransmits "$BATS_TEST_TMPDIR/told") * mss))
	((told > $1 * $2 * 100000)) || fail "iperf3 sent no more than $told bytes"
	assert_near "payload sent" "$(counted out '.endpoints[0].payload[1]')" "$told" 0.1 "$retransmitted"
	assert_near "payload received" "$(counted in '.endpoints[0].payload[0]')" "$told" 0.1 "$retransmitted"
	# Of one cable: the same frames leave and arrive.
	assert_near "wire at the other end" "$(counted in '.endpoints[0].wire[0]')" \
		"$(counted out '.endpoints[0].wire[1]')" 0.01 "$retransmitted"
	for i in 0 1; do
		[ "$(since out "$before" ".skbBytes[$i]")" = "$(since out "$before" ".linkBytes[$i]")" ] ||
			fail "host1, direction $i: $(last out)"
		[ "$(since in "$first" ".skbBytes[$i]")" = "$(since in "$first" ".linkBytes[$i]")" ] ||
			fail "host2, direction $i: $(last in)"
		[ "$(since in "$first" ".skbs[$i]")" = "$(since in "$first" ".linkPackets[$i]")" ]
	done
}

# bats test_tags=slow
@test "payload is what iperf3 sent, and the programs' bytes are the link's, to the byte" {
	check_iperf 3 500
}

# bats test_tags=slow
@test "the same over ten seconds, at a gigabit" {
	check_iperf 10 1000
}

# ---- QEMU ----

encryption() { # true|false: of moves from now on
	lab shell coordinator sed -i '/^migration:/,$d' /etc/drover/coordinator.yaml
	lab shell coordinator sh -c "printf 'migration: {tls: %s}\n' $1 >>/etc/drover/coordinator.yaml"
	lab drover restart coordinator
	wait_until all_ready 60
}

# Payload of a real move against what QEMU says that it transferred.
check_move() { # GUEST MEMORY WORKING_SET RATE PERCENT
	local told wire payload
	lab vm "$1" host1 --memory "$2" --working-set "$3" --dirty 0
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 60
	lab link host1 migration rate "$4"
	start_counting out host1 10.78.0.2,49152,remote
	run -0 drover migrate "$1" --to host2
	settle out
	told=$(migration_get "$1" .report.transferredBytes)
	wire=$(migration_get "$1" .report.wireBytes)
	payload=$(counted out '.endpoints[0].payload[1]')
	((told > 8 << 20)) || fail "QEMU transferred no more than $told bytes"
	assert_near "payload of $1" "$payload" "$told" "$5"
	# The agent's own count of the same frames: with headers, which are 4 to 8 % of them.
	assert_near "wire, by the agent" "$wire" "$(counted out '.endpoints[0].wire[1]')" 0.1
	awk -v w="$wire" -v p="$payload" 'BEGIN { exit !(w / p > 1.03 && w / p < 1.09) }' || fail "wire $wire, payload $payload"
	assert_all_well "$1@host2"
}

# bats test_tags=slow
@test "a plain migration of ten seconds: payload within 0.2 % of QEMU's transferred RAM" {
	encryption false
	check_move plain 384MiB 320MiB 260mbit 0.2
}

# bats test_tags=slow
@test "an encrypted one: within 1.5 %" {
	encryption true
	check_move secret 384MiB 320MiB 260mbit 1.5
}

# ---- guests ----

# bats test_tags=slow
@test "a guest with libvirt's <bandwidth> starts, and moves, beside an agent that counts" {
	local xml=$BATS_TEST_TMPDIR/limited.xml tap limits
	limits="<bandwidth><inbound average='1000'/><outbound average='1000'/></bandwidth>"
	# The image of the tiny guest comes with the first one.
	lab vm first host1 --memory 64MiB --working-set 8MiB
	lab rm first
	lab vm limited host1 --memory 64MiB --working-set 8MiB --xml-only | sed "s|</interface>|$limits&|" >"$xml"
	grep -q "<bandwidth>" "$xml"
	run lab virsh host1 create "$xml"
	# What libvirt needs for it: htb, sfq, and police at the qdisc that clsact excludes.
	[[ $output != *"qdisc kind is unknown"* && $output != *"TC action module"* ]] ||
		skip "this kernel has not what <bandwidth> needs; test_traffic_attach does what libvirt does"
	((status == 0)) || fail "$output"
	wait_until "drover vms limited -o json | jq -e '.vms[0].movable' >/dev/null" 60
	run -0 drover migrate limited --to host2
	tap=$(lab virsh host2 -q domiflist limited | awk '{ print $1 }')
	[[ $(lab shell host2 tc qdisc show dev "$tap") == *ingress* ]] || fail "$(lab shell host2 tc qdisc show)"
	wait_until "[ \"\$(drover vms limited -o json | jq -r '.vms[0].state.traffic.interfaces[0].source')\" = rtnl ]" 60
	assert_runs_only_on limited host2
}

# bats test_tags=slow
@test "a guest's tap that is gone is unknown, not nothing" {
	local filter='.vms[0].state.traffic.interfaces[0]'
	lab vm untapped host1 --memory 64MiB --working-set 8MiB
	wait_until "[ \"\$(drover vms untapped -o json | jq -r '$filter.source')\" = rtnl ]" 60
	run -0 drover explain vm/untapped
	[[ $output == *"network vnet"*": receives 0 bit/s, sends 0 bit/s (by rtnl)"* ]]
	lab shell host1 ip link del "$(drover vms untapped -o json | jq -r "$filter.device")"
	wait_until "[ \"\$(drover vms untapped -o json | jq -r '$filter.source')\" = none ]" 60
	run -0 drover vms untapped -o wide
	[[ $output == *" unknown "* ]]
	run -0 drover explain vm/untapped
	[[ $output == *"not known, there is no network interface"* ]]
}

# bats test_tags=slow
@test "what a guest sends and receives is told of it, by the counters of its tap" {
	local filter='.vms[0].state.traffic.interfaces[0]'
	lab vm talker host1 --linux
	# What comes to its bridge for everybody is sent out of its tap, too.
	lab shell host2 timeout 90 bash -c 'ip addr add 10.79.0.2/24 dev br0; ip route add 224.0.0.0/4 dev br0
		printf -v text %1000s; while echo "$text" >/dev/udp/224.0.0.251/5353; do sleep 0.01; done' 3>&- &
	pids+=($!)
	wait_until "drover vms talker -o json | jq -e '$filter | (.rxBytesPerS | tonumber) > 10000' >/dev/null" 60
	run -0 drover vms -o wide
	[[ $output == *"NET IN"*"NET OUT"*"kbit/s"* ]]
	run -0 drover explain vm/talker
	[[ $output == *"network vnet"*": receives "*"bit/s, sends "*"(by rtnl)"* ]]
}

# ---- permission ----

@test "an agent that may not use eBPF counts by rtnl, says so wherever it is shown, and names what is missing, once" {
	local agent=$DROVER_BUILD_DIR/agent/drover-agent log=$LAB_STATE/without.log pid=$BATS_TEST_TMPDIR/pid
	lab drover stop agent host1
	lab shell host1 sh -c "echo \$\$ >$pid; exec setpriv --bounding-set -bpf,-perfmon,-sys_admin \
		--inh-caps -bpf,-perfmon,-sys_admin $agent --config /etc/drover/agent.yaml" >"$log" 2>&1 3>&- &
	wait_until "[ -s $pid ]" 60
	pids+=("$(cat "$pid")")
	wait_until '[ "$(node_get host1 ".host.interfaces[0].source")" = rtnl ]' 60
	[ "$(grep -c 'CAP_BPF, CAP_PERFMON are missing' "$log")" = 1 ] || fail "$(cat "$log")"
	[[ $(drover nodes host1) == *rtnl* ]]
	[[ $(drover explain node/host1) == *"mi0 is counted by rtnl: eBPF is not permitted: CAP_BPF, CAP_PERFMON are missing"* ]]
	kill "${pids[-1]}"
	wait_until "[ ! -e /proc/${pids[-1]} ]" 60
	lab drover start agent host1
	wait_until '[ "$(node_get host1 ".host.interfaces[0].source")" = ebpf-tcx ]' 60
}

# ---- tenants ----

# bats test_tags=slow
@test "a tenant in the same ports, between other addresses, is no migration and is seen" {
	local before told migration
	lab vm moving host1 --memory 64MiB --working-set 32MiB --dirty 0
	wait_until "drover vms moving -o json | jq -e '.vms[0].movable' >/dev/null" 60
	lab link host1 migration rate 200mbit
	start_counting out host1 10.78.0.2,49152,remote
	start_server 10.78.0.202 49152
	before=$(last out)
	send told 10.78.0.201 10.78.0.202 49152 -n 20M &
	pids+=($!)
	run -0 drover migrate moving --to host2
	wait "${pids[-1]}"
	settle out
	told=$(jq .end.sum_sent.bytes "$BATS_TEST_TMPDIR/told")
	migration=$(counted out '.endpoints[0].wire[1]')
	# All of the tenant's bytes, with headers, and nothing else; and none of them with the guest's.
	awk -v u="$(since out "$before" '.unregistered[1]')" -v t="$told" 'BEGIN { exit !(u > t && u < t * 1.1) }' ||
		fail "of a tenant's $told bytes $(since out "$before" '.unregistered[1]') were unregistered"
	[ "$(since out "$before" '.migration[1]')" = "$migration" ]
	assert_near "the migration, by the agent" "$(migration_get moving .report.wireBytes)" "$migration" 0.1
	assert_all_well moving@host2
}

# bats test_tags=slow
@test "an agent that is restarted in mid-copy measures the rate of its migration again, and does not tell a part as the whole" {
	lab vm again host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms again -o json | jq -e '.vms[0].movable' >/dev/null" 60
	lab link host1 migration rate 40mbit
	drover -q migrate again --to host2 --detach
	wait_mid_copy again host1
	lab drover restart host1
	lab drover restart host2
	wait_until all_ready 60
	wait_until '[[ $(migration_get again .report.progress.rateSource) == ebpf-tcx ]]' 60
	wait_until '(($(migration_get again .report.progress.transferBytesPerS) > 1000000))' 60
	wait_until '[ "$(node_get host2 ".host.interfaces[0].migrationRxBytesPerS | tonumber > 1000000")" = true ]' 60
	[ "$(migration_get again .state)" = RUNNING ]
	lab link host1 migration rate none
	wait_until '[ "$(migration_get again .state)" = DONE ]' 60
	[[ $(migration_get again .report.wireBytes) == @(0|null) ]]
	assert_all_well again@host2
}
