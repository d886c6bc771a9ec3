#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nonsense on the command line, in the configuration and on the wire, on real hosts with a guest: each
# gets a clear answer, nothing changes, and everybody else goes on being served.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash
load ../certificates.bash

setup_file() {
	drover_lab nonsense 2
	lab_certificates
	lab vm bystander host1 --memory 64MiB --storage file
	wait_until '[ "$(vm_node bystander 2>/dev/null)" = host1 ]' 10
}
teardown_file() { lab_down; }
setup() { before=$(everything); }
teardown() { lab_end_test; }

everything() {
	local host
	for host in $(lab_hosts); do
		lab virsh "$host" -q list --all
		lab shell "$host" find /run/drover /srv/drover /etc/drover -type f
		lab status -o json | jq ".hosts[] | select(.name == \"$host\") | .agent_pid"
	done
	drover nodes -o json | jq -S '[.nodes[] | {name, state, vms, migrationsIn, migrationsOut, "m": .host.memoryReservedBytes}]'
	drover vms -o json | jq -S '[.vms[] | {name, node, movable}]'
	drover drains -o json | jq '.drains | length'
	drover migrations -o json | jq '.migrations | length'
}

assert_nothing_changed() {
	local now
	wait_until all_ready 10
	now=$(everything)
	[ "$before" = "$now" ] || fail "$(diff <(echo "$before") <(echo "$now"))"
	assert_all_well bystander@host1
}

# ---- the wire ----

# send HOST ADDRESS PORT: what is on stdin, as fast as it goes; whatever comes back, or nothing.
send() {
	lab shell "$1" timeout 10 perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => 5) or die "connect: $@";
		$SIG{PIPE} = "IGNORE";
		local $/; print $s scalar <STDIN>; $s->flush; shutdown($s, 1);
		my $got; while (sysread($s, my $part, 4096)) { $got += length $part } print $got // 0' "$2" "$3"
}
frame_head() { perl -e 'print "DRVR\1", pack("NNCCnN", @ARGV)' "$@"; } # LENGTH STREAM TYPE FLAGS HEADER AUX

# as CERTIFICATE ARGUMENT...: the drover command over TCP with a certificate that it names without
# ".pem", in $LAB_STATE/certificates unless it is a whole path.
as() {
	local certificate=$1
	[[ $certificate == /* ]] || certificate=$LAB_STATE/certificates/$certificate
	shift
	lab shell coordinator env -u DROVER_SERVER "$DROVER_BUILD_DIR/tools/drover/drover" "$@" \
		--server tcp://10.77.0.100:7780 --ca /etc/drover/ca.pem --cert "$certificate.pem" --key "$certificate-key.pem"
}

@test "nonsense on the command line ends with status 2, says what was not understood, and changes nothing" {
	while read -r words; do
		# shellcheck disable=SC2086 # the words are the arguments
		run -2 --separate-stderr drover $words
		[ -n "$stderr" ] || fail "drover $words says nothing"
		[ -z "$output" ]
	done <<-'END'
		frobnicate
		drain
		drain host1 --parallel many
		drain host1 --parallel 0
		drain host1 --unmovable explode
		drain host1 --colour red
		migrate
		migrate bystander --bandwidth fast
		migrate bystander --max-downtime -3s
		cancel
		cancel frob/1
		cancel drain/99999999999999999999999
		watch drain/x
		nodes -o xml
		events --since yesterday
		--server http://nowhere status
		--server tcp://10.77.0.100 status
	END
	run -7 drover drain host77
	[[ $output == *host77* ]]
	run -7 drover migrate nobody
	[[ $output == *nobody* ]]
	run -7 drover cancel drain/99
	run -3 drover --server ipc:///nonexistent status
	assert_nothing_changed
}

@test "a bad configuration stops the daemon at once with file, line and column" {
	good=$LAB_STATE/hosts/host1/etc-drover/agent.yaml
	agent=$DROVER_BUILD_DIR/agent/drover-agent coordinator=$DROVER_BUILD_DIR/coordinator/drover-coordinator
	bad=$BATS_TEST_TMPDIR/bad.yaml
	check() { # MESSAGE
		run -2 timeout 10 "$LAB" shell host2 "$agent" --config "$bad"
		[[ $output == *$1* ]] || fail "wanted \"$1\", got: $output"
	}
	sed 's/^memory:.*/memory: {capacity: lots}/' "$good" >"$bad"
	check "bad.yaml:$(grep -n ^memory: "$good" | cut -d: -f1):20: memory/capacity: \"lots\" is not a size"
	{ cat "$good"; echo "frobnicate: yes"; } >"$bad"
	check "bad.yaml:$(($(wc -l <"$good") + 1)):1: unknown key \"frobnicate\""
	{ cat "$good"; echo "node: host2"; } >"$bad"
	check "node is set twice"
	printf 'node: [host1\ncluster: lab\n' >"$bad"
	check "bad.yaml:"
	printf '\000\001\002' >"$bad"
	check "bad.yaml is not text"
	: >"$bad"
	check "node is missing"
	sed 's/^migration:/&\n  ports: nine/' "$good" >"$bad"
	check "\"nine\""
	sed 's/10.78.0.1/somewhere/' "$good" >"$bad"
	check "\"somewhere\" is not an IP address"
	run -2 timeout 10 "$LAB" shell host2 "$agent" --config /nonexistent.yaml
	[[ $output == *nonexistent.yaml* ]]
	printf 'name: c1\ncluster: lab\nlisten: [tcp://1.2.3.4:5]\nlimits: {parallelMigrationsPerCluster: -1}\n' >"$bad"
	run -2 timeout 10 "$LAB" shell coordinator "$coordinator" --config "$bad"
	[[ $output == *"bad.yaml:4:"* && $output == *parallelMigrationsPerCluster* ]]
	assert_nothing_changed
}

@test "F66: nonsense on the wire is dropped, whatever it claims to be" {
	# shellcheck disable=SC2086 # an address and a port
	for address in "10.77.0.100 7780" "10.77.0.1 7788"; do
		head -c 100000 /dev/urandom | send host2 $address >/dev/null
		printf 'GET / HTTP/1.1\r\nHost: drover\r\n\r\n' | send host2 $address >/dev/null
		# A frame of 4 GiB, of nothing, and of a type that does not exist: in plain text, where TLS is spoken.
		frame_head 4294967295 1 2 0 0 0 | send host2 $address >/dev/null
		frame_head 0 0 99 0 0 0 | send host2 $address >/dev/null
		# A TLS record that promises more than it has.
		printf '\026\003\001\377\377' | send host2 $address >/dev/null
		: | send host2 $address >/dev/null
	done
	assert_nothing_changed
}

@test "nonsense on the local socket is dropped as well" {
	for _ in 1 2 3; do
		for nonsense in random http huge early empty; do
			case $nonsense in
			random) head -c 100000 /dev/urandom ;;
			http) printf 'GET / HTTP/1.1\r\n\r\n' ;;
			huge) frame_head 4294967295 1 1 0 65535 0 ;;
			early) frame_head 0 1 2 0 0 0 ;;
			empty) : ;;
			esac | timeout 5 perl -MIO::Socket::UNIX -e '
				my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!;
				$SIG{PIPE} = "IGNORE"; local $/; print $s scalar <STDIN>; $s->flush; shutdown($s, 1);
				1 while sysread($s, my $part, 4096)' "$LAB_STATE/coordinator.sock"
		done
	done
	assert_nothing_changed
}

@test "F69: a hundred connections that say nothing keep nobody from being served" {
	lab shell host2 timeout 60 perl -MIO::Socket::INET -e '
		exit if fork;
		for my $to ("10.77.0.100:7780", "10.77.0.1:7788") {
			push @s, IO::Socket::INET->new(PeerAddr => $to, Timeout => 2) for 1 .. 100
		}
		$0 = "idler"; sleep 30' </dev/null >/dev/null 2>&1 3>&-
	run -0 drover nodes
	run -0 drover migrate bystander --to host2 --dry-run
	assert_nothing_changed
}

@test "F73: who has no certificate of this cluster is not let in, and who has a wrong one is told" {
	# Another CA, an expired one, an agent's: none of them may act as an operator.
	for certificate in rogue expired; do
		run as "$certificate" drain host1 --no-input
		[ "$status" = 3 ] || fail "$certificate: $status: $output"
		[[ $output == *ertificate* || $output == *TLS* ]]
	done
	run as "$(host_dir host2)/etc-drover/agent" drain host1 --no-input
	[ "$status" = 8 ] || [ "$status" = 3 ] || fail "$status: $output"
	assert_nothing_changed
}

@test "F74: a viewer may look and may not act" {
	run -0 as viewer nodes
	[[ $output == *host1* ]]
	run -0 as viewer vms
	[[ $output == *bystander* ]]
	for words in "drain host1 --no-input" "migrate bystander" "cordon host1" "undrain host1" "cancel vm/bystander"; do
		# shellcheck disable=SC2086 # the words are the arguments
		run -8 as viewer $words
		[[ $output == *viewer* || $output == *permit* || $output == *operator* ]] || fail "$output"
	done
	# An operator may, over the same road.
	run -0 as operator drain host1 --dry-run
	assert_nothing_changed
}

@test "F71: an agent that claims another node's name is not let in" {
	local etc=$LAB_STATE/hosts/host1/etc-drover
	# host1's certificate, host2's name.
	sed 's/^node: .*/node: host2/; s/7788/7799/; s|state_dir: .*|state_dir: /run/drover/impostor|' \
		"$etc/agent.yaml" >"$etc/impostor.yaml"
	run lab shell host1 timeout 4 "$DROVER_BUILD_DIR/agent/drover-agent" --config /etc/drover/impostor.yaml
	lab shell host1 rm -r /etc/drover/impostor.yaml /run/drover/impostor
	[[ $output == *host1*host2* || $output == *host2*host1* ]] || fail "$output"
	assert_nothing_changed
}

@test "whoever speaks an older TLS than 1.3 is refused at the handshake" {
	run lab shell coordinator timeout 5 openssl s_client -connect 10.77.0.100:7780 -tls1_2 </dev/null
	[[ $output == *"alert protocol version"* ]] || fail "$output"
	assert_nothing_changed
}
