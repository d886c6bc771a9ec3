#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# From nothing to a cluster: init, two joins, and real daemons that know each other by what those made.
# Three "hosts" on the loopback interface, each with a prefix and addresses of its own. No libvirt.

# run --separate-stderr sets stderr_lines.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

load cluster.bash

@test "init and two joins make a cluster whose daemons know each other" {
	run --separate-stderr -0 init
	[[ $output =~ ^drover\ join\ (drv1\.[A-Za-z0-9_-]+)\  ]]
	first=${BASH_REMATCH[1]}
	[ "${#first}" -lt 140 ]
	start 1 coordinator
	until_true logged coordinator "can join at tcp://$net.1:7781"
	run --separate-stderr -0 join 2 "$first"
	[[ $stderr == *"joined     lab7 as host2"* ]]
	second=$(token)
	run --separate-stderr -0 join 3 - <<<"$second"
	for n in 1 2 3; do start "$n" agent; done
	until_true attached 3
	run --separate-stderr -0 "$drover" -H "ipc://$BATS_TEST_TMPDIR/host1/run/drover/coordinator.sock" status
	[[ $output == *lab7* ]]
	# The administrator's certificate does from elsewhere what root does here.
	etc=$BATS_TEST_TMPDIR/host1/etc/drover
	run --separate-stderr -0 "$drover" -H "tcp://$net.1:7780" --ca "$etc/ca.pem" --cert "$etc/admin.pem" \
		--key "$etc/admin-key.pem" cordon host2 -m joined
	logged coordinator "as host2: joined"
	# And a host's own certificate does not.
	etc=$BATS_TEST_TMPDIR/host2/etc/drover
	run --separate-stderr -8 "$drover" -H "tcp://$net.1:7780" --ca "$etc/ca.pem" --cert "$etc/agent.pem" \
		--key "$etc/agent-key.pem" cordon host3 -m joined
}

@test "what a host gets: keys for root alone, what QEMU needs, certificates that openssl believes" {
	init >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	# QEMU as root keeps its keys for root; where libvirt says so, it looks elsewhere.
	mkdir -p "$BATS_TEST_TMPDIR/host2/etc/libvirt"
	printf 'user = "root"\nmigrate_tls_x509_cert_dir = "/etc/tls-of-migrations"\n' >"$BATS_TEST_TMPDIR/host2/etc/libvirt/qemu.conf"
	join 2 "$(token)"
	cd "$BATS_TEST_TMPDIR/host2/etc"
	[ "$(stat -c %a drover/agent-key.pem tls-of-migrations/{server,client}-key.pem | sort -u)" = 600 ]
	[ "$(stat -c %a drover/agent.pem drover/ca.pem tls-of-migrations/{ca,server,client}-cert.pem | sort -u)" = 644 ]
	openssl verify -x509_strict -purpose sslserver -verify_ip "$net.2" -CAfile drover/ca.pem drover/agent.pem
	for side in server client; do
		openssl verify -x509_strict -purpose "ssl$side" -verify_ip "$net.102" -CAfile tls-of-migrations/ca-cert.pem \
			"tls-of-migrations/$side-cert.pem"
	done
	# QEMU takes any client of its CA: nobody of the mesh may be one.
	run ! openssl verify -CAfile tls-of-migrations/ca-cert.pem drover/agent.pem
	openssl x509 -in drover/agent.pem -noout -ext subjectAltName | grep -q "URI:drover://lab7/agent/host2, DNS:host2"
	"$DROVER_BUILD_DIR/agent/drover-agent" --check --config drover/agent.yaml
	run -0 "$drover" pki status --prefix "$BATS_TEST_TMPDIR/host2"
	[[ $output == *drover://lab7/agent/host2*"good for 364 days"* ]]
	# Whole, or not there: nothing half-written is left.
	[ -z "$(find "$BATS_TEST_TMPDIR" -regextype egrep -regex '.*\.(new-)?[0-9a-f]{8}')" ]
}

@test "nothing that is there is overwritten" {
	init >/dev/null
	made=("$BATS_TEST_TMPDIR"/host1/etc "$BATS_TEST_TMPDIR"/host1/var/lib/drover/pki)
	before=$(find "${made[@]}" -type f ! -name tokens ! -name '*.holds' -exec sha256sum {} + | sort)
	run --separate-stderr -4 init
	[[ $stderr == *"has a cluster already; nothing was touched"* ]]
	start 1 coordinator
	until_true logged coordinator "can join at"
	one=$(token)
	# The first host is a node already; the token is not used up by that.
	run --separate-stderr -4 join 1 "$one"
	[[ $stderr == *"agent.yaml is there"* ]]
	[ "$(find "${made[@]}" -type f ! -name tokens ! -name '*.holds' -exec sha256sum {} + | sort)" = "$before" ]
	# Certificates of QEMU's that drover did not make stay.
	mkdir -p "$BATS_TEST_TMPDIR/host2/etc/pki/libvirt-migrate"
	echo mine >"$BATS_TEST_TMPDIR/host2/etc/pki/libvirt-migrate/ca-cert.pem"
	run --separate-stderr -0 join 2 "$one"
	[[ $stderr == *"not drover's: left as they are"* ]]
	[ "$(ls "$BATS_TEST_TMPDIR/host2/etc/pki/libvirt-migrate")" = ca-cert.pem ]
	[ "$(cat "$BATS_TEST_TMPDIR/host2/etc/pki/libvirt-migrate/ca-cert.pem")" = mine ]
}

joins_of_log() { "$drover" audit "$log" -o jsonl 2>/dev/null | jq -c 'select(.method == "join")'; }

joins_audited() { [ "$(joins_of_log | wc -l)" -ge "$1" ]; }

@test "F77: a token that is used, revoked, cut, of another cluster or for another host lets nobody in" {
	init --ttl 10m >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	one=$(token)
	join 2 "$one"
	run --separate-stderr -8 join 3 "$one"
	[[ $stderr == *"used already, by host2"* ]]
	two=$(token)
	id=$("$drover" token list --no-headers --prefix "$BATS_TEST_TMPDIR/host1" | tail -n 1 | cut -d' ' -f1)
	run -0 "$drover" token list -o json --prefix "$BATS_TEST_TMPDIR/host1"
	[ "$(jq -r '.tokens[-1] | "\(.id) \(.state) \(.usesLeft)"' <<<"$output")" = "$id good 1" ]
	[ "$(jq -r '[.tokens[].lastUsedBy] | index("host2") != null' <<<"$output")" = true ]
	run --separate-stderr -0 "$drover" token create --ttl 15m --uses 2 -o json --prefix "$BATS_TEST_TMPDIR/host1"
	jq -e '(.token | startswith("drv1.")) and .usesLeft == 2 and .node == "" and (.ends | fromdate) - now < 901' <<<"$output"
	[[ $stderr == "Good for 2 new hosts, until "*"Z (UTC). Take it back: drover token list"*"On the new host: drover join TOKEN"* ]]
	"$drover" token revoke "$id" --prefix "$BATS_TEST_TMPDIR/host1"
	run --separate-stderr -8 join 3 "$two"
	[[ $stderr == *"not known here"* ]]
	run --separate-stderr -7 "$drover" token revoke "$id" --prefix "$BATS_TEST_TMPDIR/host1"
	run --separate-stderr -2 join 3 "${two%?????}"
	[[ $stderr == *"a part of it is missing"* ]]
	run --separate-stderr -4 join 3 "$(token --node host4)"
	[[ $stderr == *"is for a host named host4"* ]]
	# Each refusal that reached the coordinator is in its audit chain, what the host claimed as a claim.
	log=$BATS_TEST_TMPDIR/host1/var/lib/drover/coordinator-audit.log
	until_true joins_audited 4
	joins_of_log | jq -es 'map([.kind, .outcome, .object.claims]) == [["call", "OK", "host2"], ["refused", "PERMISSION_DENIED", "host3"],
		["refused", "PERMISSION_DENIED", "host3"], ["refused", "FAILED_PRECONDITION", "host3"]]'
	joins_of_log | jq -es 'all(has("name") | not) and (map(.reason // "") | join(" ") | contains("used already"))'
	"$drover" audit "$log" --verify
	# A name that is taken, and the way out.
	rm -r "$BATS_TEST_TMPDIR/host2"
	run --separate-stderr -4 join 2 "$(token)"
	[[ $stderr == *"drover token create --node host2"* ]]
	run --separate-stderr -0 join 2 "$(token --node host2)"
	# Another cluster's coordinator in the same place is not even asked.
	kill "${daemons[0]}"
	wait "${daemons[0]}" || true
	daemons=()
	three=$(token)
	mv "$BATS_TEST_TMPDIR/host1" "$BATS_TEST_TMPDIR/old1"
	init >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	run --separate-stderr -3 join 3 "$three"
	[[ $stderr == *"not the coordinator of the token"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/host3/etc/drover" ]
	run ! logged coordinator "refused"
	# The secrets are in no file and no log.
	run ! grep -rqF -e "$one" -e "$two" -e "$three" "$BATS_TEST_TMPDIR/old1" "$BATS_TEST_TMPDIR/host1"
}

@test "without join/listen there is no door" {
	init >/dev/null
	sed -i '/^join:/,/^  authority:/d' "$BATS_TEST_TMPDIR/host1/etc/drover/coordinator.yaml"
	start 1 coordinator
	until_true logged coordinator "coordinator host1 of cluster lab7"
	run --separate-stderr -3 join 2 "$(token)" --timeout 1s
	[[ $stderr == *"Connection refused"*"does drover-coordinator run"*"let $net.1:7781 through"* ]]
}

@test "a coordinator that is not up yet is waited for" {
	init >/dev/null
	join 2 "$(token)" 2>"$BATS_TEST_TMPDIR/said" 3>&- &
	joining=$!
	until_true grep -q "waiting .*$net.1:7781.*Connection refused" "$BATS_TEST_TMPDIR/said"
	start 1 coordinator
	wait "$joining"
	[ "$(grep -c '^waiting' "$BATS_TEST_TMPDIR/said")" = 1 ]
	grep -q 'joined     lab7 as host2' "$BATS_TEST_TMPDIR/said"
}

@test "the printed line joins as it is: the host's own name, its way to the coordinator, its address in the network" {
	run --separate-stderr -0 "$drover" init --cluster lab7 --prefix "$BATS_TEST_TMPDIR/host1" --name c1 --address "$net.1" \
		--migration-network 127.0.0.0/8 --coordinator-only --uses 2
	[[ $stderr == *"c1: coordinator at tcp://$net.1:7780, no agent"*"(at most 2) this line:"* ]]
	[[ $output == "drover join drv1."*" --migration-network 127.0.0.0/8" ]]
	line=$output
	[ ! -e "$BATS_TEST_TMPDIR/host1/etc/drover/agent.yaml" ]
	[ ! -e "$BATS_TEST_TMPDIR/host1/etc/pki" ]
	start 1 coordinator
	until_true logged coordinator "can join at"
	run --separate-stderr -0 env PATH="${drover%/*}:$PATH" DROVER_PREFIX="$BATS_TEST_TMPDIR/host2" sh -c "$line"
	[[ $stderr == *"joined     lab7 as $(hostname);"*"127.0.0.1 at lo for migrations"* ]]
	grep -q '^  interface: "lo"' "$BATS_TEST_TMPDIR/host2/etc/drover/agent.yaml"
	# A token that is made later comes with the same words.
	run --separate-stderr -0 "$drover" token create --prefix "$BATS_TEST_TMPDIR/host1"
	[[ $stderr == *"drover join TOKEN --migration-network 127.0.0.0/8"* ]]
}

@test "an address that is not this host's is refused before the token is shown" {
	init >/dev/null
	one=$(token)
	# TEST-NET-3: nobody's.
	run --separate-stderr -2 "$drover" join "$one" --prefix "$BATS_TEST_TMPDIR/host2" --migration-network 203.0.113.0/24
	[[ $stderr == *"no address in the migration network; it has:"* ]]
	run --separate-stderr -2 "$drover" join "$one" --prefix "$BATS_TEST_TMPDIR/host2" --migration-address 203.0.113.7
	[[ $stderr == *"203.0.113.7 is not an address of this host"* ]]
	run --separate-stderr -2 "$drover" join "$one" --prefix "$BATS_TEST_TMPDIR/host2"
	[[ $stderr == *"--migration-network is needed"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/host2" ]
}

@test "libvirt's remote connection has an authority of its own, and what somebody made for it stays" {
	init >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	run --separate-stderr -0 join 2 "$(token)"
	[[ $stderr == *"for qemu+tls:// are in $BATS_TEST_TMPDIR/host2/etc/pki"* ]]
	cd "$BATS_TEST_TMPDIR/host2/etc/pki"
	[ "$(stat -c %a libvirt/private libvirt/private/{server,client}key.pem | xargs)" = "700 600 600" ]
	for side in server client; do
		openssl verify -x509_strict -purpose "ssl$side" -verify_ip "$net.2" -CAfile CA/cacert.pem "libvirt/${side}cert.pem"
	done
	# Who has one of QEMU's or of the mesh's may not command libvirt.
	run ! openssl verify -CAfile CA/cacert.pem libvirt-migrate/client-cert.pem
	run ! openssl verify -CAfile CA/cacert.pem ../drover/agent.pem
	run -0 "$drover" pki status --prefix "$BATS_TEST_TMPDIR/host2"
	[[ $output == *libvirt/servercert.pem*"drover libvirt lab7"* ]]
	mkdir -p "$BATS_TEST_TMPDIR/host3/etc/pki/libvirt" "$BATS_TEST_TMPDIR/host4/etc/libvirt"
	echo mine >"$BATS_TEST_TMPDIR/host3/etc/pki/libvirt/servercert.pem"
	echo 'cert_file = "/srv/mine.pem"' >"$BATS_TEST_TMPDIR/host4/etc/libvirt/libvirtd.conf"
	for n in 3 4; do
		run --separate-stderr -0 join "$n" "$(token)"
		[[ $stderr == *"remote connection are there that are not drover's: left"* ]]
		[ ! -e "$BATS_TEST_TMPDIR/host$n/etc/pki/CA" ]
	done
	[ "$(cat "$BATS_TEST_TMPDIR/host3/etc/pki/libvirt/servercert.pem")" = mine ]
}
