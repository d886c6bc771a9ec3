#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hostile peers (tests/lab/attacker.c) against a real coordinator and a real agent: while they are at it
# `drover status` at its socket and `drover nodes` over the network are served in less than two seconds each,
# the memory of who is attacked stays within a stated limit, and afterwards the audit log says who was refused, and its chain holds.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until; tests are subshells

load drover.bash
load ../certificates.bash

setup_file() {
	drover_lab hostile 2
	(umask 077 && pki_leaf "$LAB_STATE" operator URI:drover://lab/operator/admin clientAuth 365 "$LAB_STATE/hosts/coordinator/var-drover/pki")
}
teardown_file() { lab_down; }
setup() {
	attackers=() attacks=0
	oracles_begin_test
}
teardown() {
	attacks_stop
	lab_end_test
	# What a failed test left is no other's failure.
	[[ -n ${BATS_TEST_COMPLETED-} ]] || drover_reset
}

audit_of() { # coordinator | HOST: its lines
	local file=/var/lib/drover/audit.log
	[ "$1" != coordinator ] || file=/var/lib/drover/coordinator-audit.log
	lab shell "$1" cat "$file"
}
audit_holds() { # of the coordinator
	audit_of coordinator >"$BATS_TEST_TMPDIR/audit.log"
	drover audit "$BATS_TEST_TMPDIR/audit.log" --verify
}

# served: who asks the coordinator at its socket, and who comes over the network as the attackers do, with an
# operator's certificate.
served() {
	local before took where
	for where in at_socket over_tcp; do
		before=${EPOCHREALTIME/./}
		"$where"
		took=$((${EPOCHREALTIME/./} - before))
		((took < 2000000)) || fail "drover $where took $took us, and 2000000 us are allowed"
	done
}
at_socket() { drover status >/dev/null; }
over_tcp() {
	lab shell coordinator env -u DROVER_SERVER "$DROVER_BUILD_DIR/tools/drover/drover" nodes -H tcp://10.77.0.100:7780 \
		--ca /etc/drover/ca.pem --cert "$LAB_STATE/operator.pem" --key "$LAB_STATE/operator-key.pem" >/dev/null
}

# attack HOST ARGUMENT...: in the background, until it is "ready"; what it says is in $said.
attack() {
	local host=$1
	shift
	said=$BATS_TEST_TMPDIR/said.$((++attacks))
	: >"$said"
	lab shell "$host" timeout 90 "$DROVER_BUILD_DIR/tests/lab_attacker" "$@" >"$said" 2>&1 3>&- &
	attackers+=($!)
	wait_until "grep -q -e ready -e attacker: $said" 20
	! grep attacker: "$said" || return 1
}
# The attack ends by itself.
attacks_end() {
	wait "${attackers[@]}" || fail "$(cat "$BATS_TEST_TMPDIR"/said.*)"
	attackers=()
}
# It is ended.
attacks_stop() {
	local pid
	for pid in "${attackers[@]}"; do
		pkill -P "$pid" 2>/dev/null || true
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	attackers=()
}
# in_audit NODE TEXT
in_audit() { audit_of "$1" | grep -qF "$2"; }

pid_of() { # coordinator | HOST
	lab status -o json | jq -e ".coordinator.coordinator_pid as \$c | .hosts | map({(.name): .agent_pid}) | add + {coordinator: \$c} | .[\"$1\"]"
}
# memory NODE VmRSS|VmHWM: in KiB, of its daemon
memory() { awk -v what="$2:" '$1 == what { print $2 }' "/proc/$(pid_of "$1")/status"; }
memory_begins() { # NODE: what it takes now, and its peak counted anew
	echo 5 >"/proc/$(pid_of "$1")/clear_refs"
	memory "$1" VmRSS
}
# memory_held NODE BEFORE MIB: its peak is no more than so much above what it was
memory_held() {
	local peak
	peak=$(memory "$1" VmHWM)
	echo "# $1: $2 KiB before, $peak KiB at most, $(($2 + $3 * 1024)) KiB allowed" >&3
	((peak <= $2 + $3 * 1024)) || fail "$1 had $2 KiB, then $peak KiB; $3 MiB more are allowed"
}

@test "F69: 300 handshakes of one host that never go on: it has its share, others are served" {
	before=$(memory_begins coordinator)
	attack host1 stall 10.77.0.100 7780 300
	served
	wait_until 'in_audit coordinator "handshakes of this address under way already"' 10
	in_audit coordinator '"kind":"refused","address":"10.77.0.1:'
	memory_held coordinator "$before" 16
	attacks_stop
	wait_until all_ready 10
	audit_holds
}

# bats test_tags=slow
@test "F69: 1,000 handshakes of two hosts that never go on: others are served, memory is bounded" {
	before=$(memory_begins coordinator)
	attack host1 stall 10.77.0.100 7780 500
	attack host2 stall 10.77.0.100 7780 500
	served
	served
	# 256 handshakes of some 40 KiB each may be under way, and the lines that tell of the others.
	memory_held coordinator "$before" 16
	attacks_stop
	wait_until all_ready 10
	audit_holds
}

# bats test_tags=slow
@test "F69: an agent sends strangers away as well, and the drain of its host is taken" {
	before=$(memory_begins host1)
	attack host2 stall 10.77.0.1 7788 100
	served
	wait_until 'in_audit host1 "handshakes of this address under way already"' 10
	drover -q cordon host1
	in_audit coordinator '"method":"drover.v1.Coordinator/Cordon"'
	wait_until 'in_audit host1 "\"method\":\"drover.v1.Agent/SetDrainMark\""' 10
	drover -q uncordon host1
	memory_held host1 "$before" 16
}

# bats test_tags=slow
@test "F69: a drip of a handshake ends in 10 s, silence after one in 10 s, an unanswered PING and a drip of a frame in 60 s" {
	local after before how
	before=$(memory_begins coordinator)
	attack host2 drip 10.77.0.100 7780 8
	attack host2 mute 10.77.0.100 7780 /etc/drover/agent
	attack host2 deaf 10.77.0.100 7780 /etc/drover/agent
	attack host2 trickle 10.77.0.100 7780 /etc/drover/agent
	served
	attacks_end
	memory_held coordinator "$before" 16
	# Two seconds more than they have: for this machine, not for them.
	for how in 1:12000 2:12000 3:60000 4:60000; do
		after=$(sed -n 's/^.*closed after \([0-9]*\) ms$/\1/p' "$BATS_TEST_TMPDIR/said.${how%:*}")
		((after <= ${how#*:})) || fail "$(cat "$BATS_TEST_TMPDIR/said.${how%:*}"): ${how#*:} ms are allowed"
	done
	grep -q '^8 of 8 closed' "$BATS_TEST_TMPDIR/said.1"
	in_audit coordinator "did not finish the handshake within 10000 ms"
	audit_holds
}

@test "F67: lengths of 2^64-1, 4 GiB and 64 MiB under a good certificate are cut off by their heads" {
	local before
	before=$(memory_begins coordinator)
	attack host2 lengths 10.77.0.100 7780 /etc/drover/agent
	served
	attacks_end
	[ "$(grep -c 'cut off' "$said")" = 3 ] || fail "$(cat "$said")"
	memory_held coordinator "$before" 16
	wait_until 'in_audit coordinator "the peer sent a frame of 4294967295 bytes"' 5
	in_audit coordinator "the peer sent a frame of 67108864 bytes"
	in_audit coordinator '"kind":"refused","role":"agent","who":"host2","address":"10.77.0.2:'
	audit_holds
}

@test "F68: fifty messages of up to 1 MiB that are far more in memory: refused within the budget" {
	local before
	before=$(memory_begins host1)
	attack host2 bombs 10.77.0.1 7788 /etc/drover/agent drover.v1.Agent/Admit 50
	served
	attacks_end
	# Their bytes as they come in, and one arena of 16 MiB.
	memory_held host1 "$before" 66
	grep -q '^17 RESOURCE_EXHAUSTED$' "$said" || fail "$(cat "$said")"
	grep -q '^33 INVALID_ARGUMENT$' "$said"
	grep -q '^0 cut off$' "$said"
	in_audit host1 "AdmitRequest is too complex"
	wait_until all_ready 10
}

# bats test_tags=slow
@test "F66: what the fuzzers start from, sent to every method of coordinator and agent: refused, counted, cut off" {
	local before node
	before=$(memory_begins coordinator)
	attack host2 corpus 10.77.0.100 7780 /etc/drover/agent "$REPO"/tests/fuzz/corpus/*/*
	attack host2 corpus 10.77.0.1 7788 /etc/drover/agent "$REPO"/tests/fuzz/corpus/*/*
	served
	attacks_end
	served
	memory_held coordinator "$before" 32
	for node in coordinator host1; do
		in_audit "$node" '"outcome":"CUT_OFF","reason":"the peer sent 20 messages within 60 s that cannot be read'
		in_audit "$node" '"outcome":"PERMISSION_DENIED"'
	done
	wait_until all_ready 20
	audit_holds
}

@test "F71: an agent that speaks of another host's guest is not believed, and the audit log says so" {
	local before seen uuid
	lab vm theirs host2 --memory 64MiB
	wait_until '[ "$(vm_node theirs 2>/dev/null)" = host2 ]' 10
	uuid=$(drover vms theirs -o json | jq -r '.vms[0].uuid')
	lab drover stop host1
	before=$(memory_begins coordinator)
	attack host1 lie tcp://10.77.0.100:7780 /etc/drover/agent "$uuid" host2
	served
	wait_until 'in_audit coordinator "host1 says that it runs theirs, which runs on host2"' 15
	in_audit coordinator "host1 reports on a move from host2 to host9, in which it has no part"
	in_audit coordinator '"role":"agent","who":"host1","address":"10.77.0.1:'
	in_audit coordinator "\"object\":{\"vm_uuid\":\"$uuid\"}"
	seen=$(drover vms -o json | jq -c '[.vms[] | [.name, .node]]')
	[ "$seen" = '[["theirs","host2"]]' ] || fail "$seen"
	[ "$(drover migrations -o json | jq '.migrations | length')" = 0 ]
	memory_held coordinator "$before" 16
	# It gives host2 no orders either.
	run lab shell host1 "$DROVER_BUILD_DIR/tools/drover/drover" rpc call tcp://10.77.0.2:7788 \
		drover.v1.Agent/StartMigration "{\"vmUuid\": \"$uuid\"}" --ca /etc/drover/ca.pem \
		--cert /etc/drover/agent.pem --key /etc/drover/agent-key.pem
	[[ $status -ne 0 && $output == *"may not call drover.v1.Agent/StartMigration"* ]] || fail "$status: $output"
	in_audit host2 '"who":"host1"'
	in_audit host2 '"method":"drover.v1.Agent/StartMigration"'
	attacks_stop
	lab_drover_start host1
	wait_until all_ready 20
	audit_holds
	assert_all_well theirs@host2
}

# bats test_tags=slow
@test "F70: what was captured of a move, and its orders in clear, have no effect once it is over" {
	local attempt=() before file to uuid
	lab vm again host1 --memory 64MiB --storage file
	wait_until '[ "$(vm_node again 2>/dev/null)" = host1 ]' 10
	uuid=$(drover vms again -o json | jq -r '.vms[0].uuid')
	# The whole of a connection, from its handshake on.
	lab drover stop host1
	attack host1 capture mg0 7780 "$BATS_TEST_TMPDIR/captured"
	lab_drover_start host1
	wait_until all_ready 20
	drover -q migrate again --to host2
	drover -q migrate again --to host1
	attacks_stop
	assert_all_well again@host1
	# As it was on the wire, to whom it was said and to whom it was not.
	before=$(memory_begins host1)
	for to in "10.77.0.100 7780" "10.77.0.1 7788" "10.77.0.2 7788"; do
		for file in in out; do
			[ "$(stat -c %s "$BATS_TEST_TMPDIR/captured.$file")" -gt 4096 ]
			# shellcheck disable=SC2086 # an address and a port
			attack host1 replay $to "$BATS_TEST_TMPDIR/captured.$file"
		done
	done
	served
	attacks_end
	for to in coordinator host1 host2; do
		in_audit "$to" '"kind":"refused","address":"10.77.0.1:'
		in_audit "$to" '"outcome":"NOT_LET_IN"'
	done
	# In clear, under the coordinator's own certificate: what it said when the guest left, once more. That
	# is answered with what became of the move, does nothing, and is a line for each.
	mapfile -t attempt < <(orders StartMigration | tail -n 1 | jq -r '.object.attempt | .operation_id, .number, .epoch')
	attack coordinator order tcp://10.77.0.1:7788 /etc/drover/coordinator "${attempt[@]}" "$uuid" host2 tcp://10.77.0.2:7788
	attacks_end
	grep -q '^StartMigration: DONE' "$said" || fail "$(cat "$said")"
	grep -q '^CancelMigration: DONE' "$said" || fail "$(cat "$said")"
	served
	wait_until '(($(orders StartMigration | wc -l) == 2))' 5
	wait_until '(($(orders CancelMigration | wc -l) == 1))' 5
	memory_held host1 "$before" 16
	[ "$(drover migrations --vm again -o json | jq '.migrations | length')" = 2 ]
	[ "$(qemu_starts_everywhere again)" = 3 ]
	assert_all_well again@host1
	audit_holds
}

orders() { audit_of host1 | jq -c "select(.kind == \"call\" and .method == \"drover.v1.Agent/$1\")"; }
