#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hostile peers against a real coordinator and a real agent: while they are at it `drover status` is
# served in less than two seconds, and afterwards the audit log says who was refused and its chain holds.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until; tests are subshells

load drover.bash

setup_file() { drover_lab hostile 2; }
teardown_file() { lab_down; }
setup() { attacker=; }
teardown() {
	[ -z "$attacker" ] || { kill "$attacker" && wait "$attacker"; } 2>/dev/null || true
	lab_end_test
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

served() {
	local before=${EPOCHREALTIME/./} took
	drover status >/dev/null
	took=$((${EPOCHREALTIME/./} - before))
	((took < 2000000)) || fail "drover status took $took us, and 2000000 us are allowed"
}

# connections HOST ADDRESS PORT COUNT: opens them, says "open", and holds them until it is killed.
connections() {
	lab shell "$1" perl -MIO::Socket::INET -e '
		my @s; my ($to, $port, $n) = @ARGV; $| = 1;
		for (1 .. $n) { push @s, IO::Socket::INET->new(PeerAddr => $to, PeerPort => $port, Timeout => 2) }
		print "open\n"; sleep 60' "$2" "$3" "$4"
}

attack_begins() { grep -q open "$BATS_TEST_TMPDIR/attacker"; }
# in_audit NODE TEXT
in_audit() { audit_of "$1" | grep -qF "$2"; }

@test "F69: 300 handshakes of one host that never go on: it has its share, others are served" {
	connections host1 10.77.0.100 7780 300 >"$BATS_TEST_TMPDIR/attacker" 3>&- &
	attacker=$!
	wait_until attack_begins 10
	served
	served
	wait_until 'in_audit coordinator "handshakes of this address under way already"' 10
	in_audit coordinator '"kind":"refused","address":"10.77.0.1:'
	wait_until all_ready 10
	audit_holds
}

@test "F69: an agent sends strangers away as well, and the drain of its host is taken" {
	connections host2 10.77.0.1 7788 100 >"$BATS_TEST_TMPDIR/attacker" 3>&- &
	attacker=$!
	wait_until attack_begins 10
	served
	wait_until 'in_audit host1 "handshakes of this address under way already"' 10
	drover -q cordon host1
	in_audit coordinator '"method":"drover.v1.Coordinator/Cordon"'
	wait_until 'in_audit host1 "\"method\":\"drover.v1.Agent/SetDrainMark\""' 10
	drover -q uncordon host1
}

@test "F67: a length of 4 GiB under a good certificate is cut off by its head, and told by its address" {
	local pki=/etc/drover
	{ perl -e 'print "DRVR\1", "\xff" x 64'; sleep 1; } |
		lab shell host2 timeout 5 openssl s_client -quiet -connect 10.77.0.100:7780 \
			-CAfile $pki/ca.pem -cert $pki/agent.pem -key $pki/agent-key.pem >/dev/null 2>&1 || true
	served
	wait_until 'in_audit coordinator "the peer sent a frame of 4294967295 bytes"' 5 ||
		fail "$(audit_of coordinator | tail -n 3)"
	in_audit coordinator '"kind":"refused","address":"10.77.0.2:'
	audit_holds
}
