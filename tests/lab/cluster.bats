#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hosts that have libvirt and nothing else become a cluster as README's "A real cluster" says: one
# command on the first, one pasted line on the other. Then what joined is what encrypts: migrations
# without being told to, libvirt's remote connection where somebody wants it.

# shellcheck disable=SC2016 # conditions are evaluated by wait_until

load lib.bash

setup_file() {
	lab_name cluster
	lab_up 2 --bare
}
teardown_file() { lab_down; }
teardown() {
	[[ -n ${BATS_TEST_COMPLETED-} ]] || tail -n 20 "$LAB_STATE"/hosts/*/*.out "$LAB_STATE"/hosts/*/agent.log || true
}

# pids_of HOST COMMAND_NAME: hosts share the machine's process ids, so names alone are not enough.
pids_of() {
	ip netns pids "drover-$DROVER_LAB-$1" | while read -r pid; do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != "$2" ]] || printf '%s\n' "$pid"
	done
}
# end HOST COMMAND_NAME: and wait until it has.
end() {
	local pid
	for pid in $(pids_of "$1" "$2"); do kill "$pid"; done
	wait_until "[[ -z \$(pids_of $1 $2) ]]" 15
}

# at HOST WORDS...: typed there, with drover's programs on the PATH.
at() {
	local host=$1
	shift
	lab shell "$host" env -u DROVER_SERVER \
		PATH="$DROVER_BUILD_DIR/tools/drover:$DROVER_BUILD_DIR/coordinator:$DROVER_BUILD_DIR/agent:$PATH" sh -c "$*"
}

drover_at_first() { at host1 "drover $*"; }
all_ready() { drover_at_first nodes -o json 2>/dev/null | jq -e '[.nodes[] | select(.state == "ready")] | length == 2' >/dev/null; }

# make_cluster ADDRESS MIGRATION_NETWORK: by the book, but the line is pasted before there is a coordinator,
# and libvirt is started again last.
make_cluster() {
	local line joining
	line=$(at host1 "drover init --cluster lab7 --address $1 --migration-network $2" 2>"$(host_dir host1)/init.out")
	at host2 "$line" >"$(host_dir host2)/join.out" 2>&1 3>&- &
	joining=$!
	at host1 "setsid --fork drover-coordinator" >"$(host_dir host1)/coordinator.out" 2>&1 3>&-
	wait "$joining"
	grep -q "next       systemctl restart libvirtd" "$(host_dir host1)/init.out"
	grep -q "next       systemctl restart libvirtd" "$(host_dir host2)/join.out"
	for host in host1 host2; do lab drover start "$host" --build "$DROVER_BUILD_DIR"; done
	wait_until all_ready 20
}

restart_libvirt() {
	for host in host1 host2; do lab libvirtd "$host" restart; done
	wait_until all_ready 20
}
is_refused_for_tls() { drover_at_first migrate "$1" --to host2 --dry-run 2>&1 | grep -q 'libvirtd has not started again since'; }
is_movable() { drover_at_first migrate "$1" --to host2 --dry-run >/dev/null 2>&1; }

unmake_cluster() {
	local host
	for host in host1 host2; do
		lab drover stop "$host"
		lab shell "$host" sh -c 'rm -rf /etc/drover/* /etc/pki/* /var/lib/drover/*'
	done
	end host1 drover-coordina
	lab shell host1 sh -c 'rm -rf /run/drover/*'
}

# listen HOST: says what crosses its migration interface, until it is killed.
listen() {
	lab shell "$1" timeout 60 perl -e '
		# AF_PACKET, SOCK_RAW, ETH_P_ALL: every frame, both ways; 65535: offloaded ones whole
		socket(my $s, 17, 3, unpack("S", pack("n", 3))) or die "socket: $!";
		my ($index) = `cat /sys/class/net/mi0/ifindex` =~ /(\d+)/;
		bind($s, pack("SnLSCCx8", 17, 3, $index, 0, 0, 0)) or die "bind: $!";
		setsockopt($s, 1, 33, pack("L", 64 << 20));
		$| = 1; print "listening\n";
		my ($bytes, $clear, $tls) = (0, 0, 0);
		$SIG{TERM} = sub { print "bytes=$bytes clear=$clear tls=$tls\n"; exit 0 };
		while (1) {
			defined recv($s, my $frame, 65535, 0) or next;
			$bytes += length $frame;
			# What every stream of QEMU has at its beginning, and what it calls RAM.
			$clear++ while $frame =~ /QEVM\0\0\0|pc\.ram/g;
			# A handshake of TLS, and the application data after it.
			$tls++ if $frame =~ /\x16\x03[\x01\x03]..\x01/s || $frame =~ /\x17\x03\x03/;
		}'
}

# heard WORD COMMAND...: what listen has counted under WORD while COMMAND ran.
listen_during() {
	local out=$BATS_TEST_TMPDIR/heard listener
	listen host1 >"$out" 3>&- &
	listener=$!
	wait_until "grep -q listening $out" 10
	"$@"
	end host1 perl
	wait "$listener" || true
	heard=$(tail -n 1 "$out")
}
heard_of() { [[ $heard =~ $1=([0-9]+) ]] && printf '%s\n' "${BASH_REMATCH[1]}"; }

move() { # GUEST FROM TO
	at host1 "drover migrate $1 --to $3" >"$BATS_TEST_TMPDIR/move.out" 2>&1 || fail "$(cat "$BATS_TEST_TMPDIR/move.out")"
	assert_runs_only_on "$1" "$3"
}

@test "one command and one pasted line make a cluster, whose migrations are encrypted without being told to" {
	# What is mistyped is found before anything is made.
	run -2 at host1 "drover init --cluster lab7 --address 10.77.0.11 --migration-network 10.78.0.0/24"
	[[ $output == *"10.77.0.11 is not an address of this host; it has: 10.77.0.1 (mg0), 10.78.0.1 (mi0)"* ]] || fail "$output"
	make_cluster 10.77.0.1 10.78.0.0/24
	grep -q 'joined     lab7 as host2' "$(host_dir host2)/join.out"
	grep -q 'addresses  10.77.0.2 for .*, 10.78.0.2 at mi0 for migrations' "$(host_dir host2)/join.out"
	lab vm secret host1 --memory 64MiB
	# A libvirtd that was not started again would fail in the middle of it.
	wait_until 'is_refused_for_tls secret' 10
	restart_libvirt
	wait_until 'is_movable secret' 10
	listen_during move secret host1 host2
	[ "$(heard_of clear)" = 0 ] || fail "in clear: $heard"
	(($(heard_of tls) > 0)) || fail "no TLS: $heard"
	(($(heard_of bytes) > 1000000)) || fail "not there: $heard"
	assert_guest_intact secret
	# The same ears hear what is not encrypted: virsh does as it is told.
	plain() {
		lab virsh host2 -q migrate --live secret "$(host_uri host1)" --migrateuri tcp://10.78.0.1:49152 \
			--listen-address 10.78.0.1
	}
	listen_during plain
	(($(heard_of clear) > 0)) || fail "this is not how QEMU sounds: $heard"
	assert_runs_only_on secret host1
}

# bats test_tags=slow
@test "a host whose certificate is of another authority gets no guest, and the guest goes on" {
	assert_runs_only_on secret host1
	# shellcheck source=tests/certificates.bash
	. "$REPO/tests/certificates.bash"
	local pki to
	pki=$BATS_TEST_TMPDIR/other to=$(host_dir host2)/etc-pki/libvirt-migrate
	cp -a "$to" "$BATS_TEST_TMPDIR/good"
	pki_ca "$pki" "another migration CA"
	pki_leaf "$pki" host2 "DNS:host2,IP:10.78.0.2"
	cp "$pki/ca.pem" "$to/ca-cert.pem"
	for side in server client; do
		cp "$pki/host2.pem" "$to/$side-cert.pem"
		cp "$pki/host2-key.pem" "$to/$side-key.pem"
	done
	run at host1 "drover migrate secret --to host2"
	[ "$status" -ne 0 ] || fail "$output"
	assert_runs_only_on secret host1
	assert_guest_intact secret
	rm -r "$to"
	cp -a "$BATS_TEST_TMPDIR/good" "$to"
	move secret host1 host2
}

@test "libvirt's remote connection works with what join wrote, and with nothing else" {
	lab libvirtd host2 stop
	sed -i 's/^listen_tls = 0/listen_tls = 1/' "$(host_dir host2)/etc-libvirt/libvirtd.conf"
	lab shell host2 setsid --fork libvirtd --listen >"$(host_dir host2)/libvirtd.out" 2>&1 3>&-
	wait_until '[[ -n $(lab shell host2 ss -Hltn "sport = :16514") ]]' 20
	for address in 10.77.0.2 10.78.0.2 host2; do
		run -0 lab shell host1 virsh -c "qemu+tls://$address/system" hostname
		[[ $output == host2* ]]
	done
	# QEMU's certificate, and an agent's: neither may command libvirt.
	local other
	other=$(host_dir host1)/other
	mkdir -p "$other"
	cp "$(host_dir host1)/etc-pki/CA/cacert.pem" "$other/"
	for pair in "etc-pki/libvirt-migrate/client-cert.pem etc-pki/libvirt-migrate/client-key.pem" \
		"etc-drover/agent.pem etc-drover/agent-key.pem"; do
		cp "$(host_dir host1)/${pair% *}" "$other/clientcert.pem"
		cp "$(host_dir host1)/${pair#* }" "$other/clientkey.pem"
		run -1 lab shell host1 timeout 20 virsh -c "qemu+tls://10.77.0.2/system?pkipath=$other" hostname
		[[ $output == *ertificate* || $output == *"closed"* || $output == *"reset"* ]] || fail "$output"
	done
	end host2 libvirtd
	sed -i 's/^listen_tls = 1/listen_tls = 0/' "$(host_dir host2)/etc-libvirt/libvirtd.conf"
	lab libvirtd host2 start
	[ "$(qemu_pids secret | wc -l)" = 1 ]
	assert_guest_intact secret
	lab rm secret
}

# bats test_tags=slow
@test "all of it over IPv6" {
	unmake_cluster
	for n in 1 2; do
		lab shell "host$n" ip address add "fd00:77::$n/64" dev mg0 nodad
		lab shell "host$n" ip address add "fd00:78::$n/64" dev mi0 nodad
	done
	make_cluster fd00:77::1 fd00:78::/64
	restart_libvirt
	grep -q 'addresses  fd00:77::2 for .*, fd00:78::2 at mi0 for migrations' "$(host_dir host2)/join.out"
	lab vm six host1 --memory 64MiB
	wait_until 'is_movable six' 10
	listen_during move six host1 host2
	[ "$(heard_of clear)" = 0 ] || fail "in clear: $heard"
	(($(heard_of bytes) > 1000000)) || fail "not there: $heard"
	assert_guest_intact six
	lab rm six
}
