#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The life of a cluster's certificates: they renew themselves, the authority is replaced under real
# daemons, nobody is left out, and nobody gets the certificate of another.

# run --separate-stderr sets stderr_lines.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

load cluster.bash

root() { echo "$BATS_TEST_TMPDIR/host$1"; }

cluster() { # INIT-OPTIONS...: two hosts, all daemons
	init "$@" >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	join 2 "$(token)"
	start 1 agent
	start 2 agent
	until_true attached 2
}

serial() { openssl x509 -noout -serial -in "$1"; }

is_signed_by() { openssl verify -no-CAfile -partial_chain -trusted "$1" "$2"; }

admin_says() { # WORDS... as the administrator from elsewhere
	local etc
	etc=$(root 1)/etc/drover
	"$drover" "$@" -H "tcp://$net.1:7780" --ca "$etc/ca.pem" --cert "$etc/admin.pem" --key "$etc/admin-key.pem"
}

# shellcheck disable=SC2120
rotate() { "$drover" pki rotate --prefix "$(root 1)" --yes "$@"; }

ready() { # N: so many nodes have a connection now
	[ "$(admin_says nodes -o json | jq '[.nodes[] | select(.state != "unreachable")] | length')" = "$1" ]
}

stop() { # INDEX of daemons
	kill "${daemons[$1]}"
	wait "${daemons[$1]}" || true
	unset "daemons[$1]"
}

@test "F76: pki rotate replaces the authority and every certificate, and nobody is left out" {
	cluster
	cp -r "$(root 1)/etc/drover" "$BATS_TEST_TMPDIR/before1"
	cp -r "$(root 2)/etc" "$BATS_TEST_TMPDIR/before2"
	old=$(token)
	run --separate-stderr -4 "$drover" pki rotate --prefix "$(root 1)"
	[[ $stderr == *"in its place since"*"--yes"* ]]
	run --separate-stderr -0 rotate --timeout 100s
	[[ $stderr == *"everybody trusts the new authority"*"done "* ]]
	for file in coordinator agent admin; do
		is_signed_by "$(root 1)/var/lib/drover/pki/ca-2.pem" "$(root 1)/etc/drover/$file.pem"
	done
	is_signed_by "$(root 1)/var/lib/drover/pki/ca-2.pem" "$(root 2)/etc/drover/agent.pem"
	for side in server client; do
		is_signed_by "$(root 1)/var/lib/drover/pki/migration-ca-2.pem" "$(root 2)/etc/pki/libvirt-migrate/$side-cert.pem"
		is_signed_by "$(root 1)/var/lib/drover/pki/libvirt-ca-2.pem" "$(root 2)/etc/pki/libvirt/${side}cert.pem"
	done
	# The old authority goes everywhere, and its keys are gone. Keys of members stay what they were.
	[ ! -e "$(root 1)/var/lib/drover/pki/ca-key.pem" ]
	[ ! -e "$(root 1)/var/lib/drover/pki/migration-ca-key.pem" ]
	for n in 1 2; do
		until_true cmp -s "$(root 1)/var/lib/drover/pki/ca-2.pem" "$(root "$n")/etc/drover/ca.pem"
		until_true cmp -s "$(root 1)/var/lib/drover/pki/migration-ca-2.pem" "$(root "$n")/etc/pki/libvirt-migrate/ca-cert.pem"
	done
	cmp "$BATS_TEST_TMPDIR/before2/drover/agent-key.pem" "$(root 2)/etc/drover/agent-key.pem"
	until_true ready 2
	# And no connection broke off for it.
	run ! grep -h "is gone" "$(root 1)"/{agent,coordinator}.log "$(root 2)/agent.log"
	# The way in: old tokens have ended, and so have old certificates.
	run --separate-stderr -3 join 3 "$old"
	run --separate-stderr -0 join 3 "$(token)"
	etc=$BATS_TEST_TMPDIR/before1
	run --separate-stderr -3 "$drover" status -H "tcp://$net.1:7780" --ca "$(root 1)/etc/drover/ca.pem" \
		--cert "$etc/admin.pem" --key "$etc/admin-key.pem" --timeout 20s
	run --separate-stderr -0 "$drover" pki status --prefix "$(root 1)"
	[[ $output == *"RENEWS FROM"*"generation 2 signs; the authority is not being replaced"* ]]
}

@test "pki rotate waits for a host that is away, names it, and goes on where it was" {
	cluster
	stop 2
	run --separate-stderr -4 rotate --detach
	[[ $stderr == *"stage 1 of 2"*"agent host2 does not trust the new authority yet"*"drover pki forget HOST"* ]]
	# Again and again, and in the middle of it: the same.
	run --separate-stderr -6 rotate --timeout 3s
	[[ $stderr == *"agent host2 does not trust"* ]]
	rotate --timeout 300s 3>&- & waiting=$!
	until_true test -s "$(root 1)/var/lib/drover/pki/rotation"
	kill -KILL "$waiting"
	run -0 "$drover" pki status --prefix "$(root 1)"
	[[ $output == *"generation 1 signs; stage 1 of 2"*"waits for"*"agent host2 does not trust"* ]]
	# Who joins now is not left out either.
	join 3 "$(token)"
	start 3 agent
	until_true attached 3
	start 2 agent
	run --separate-stderr -0 rotate --timeout 100s
	until_true ready 3
}

@test "pki forget: a host that is gone for good is not waited for, and gets nothing any more" {
	cluster
	stop 2
	run --separate-stderr -4 rotate --detach
	run --separate-stderr -7 "$drover" pki forget host9 --prefix "$(root 1)"
	run --separate-stderr -0 "$drover" pki forget host2 --prefix "$(root 1)"
	run --separate-stderr -0 rotate --timeout 100s
	# Its certificate is of the old authority.
	start 2 agent
	until_true logged coordinator "it is not signed by the peer.s CA"
	run --separate-stderr -0 join 2 "$(rm -r "$(root 2)"; token)"
}

@test "certificates renew themselves before they end, and the connections outlive them" {
	cluster --certificate-life 15s
	files=("$(root 1)"/etc/drover/{coordinator,agent,admin}.pem "$(root 2)/etc/drover/agent.pem"
		"$(root 2)"/etc/pki/libvirt-migrate/{server,client}-cert.pem "$(root 2)"/etc/pki/libvirt/{server,client}cert.pem)
	for file in "${files[@]}"; do serial "$file"; done >"$BATS_TEST_TMPDIR/first"
	renewed() {
		for file in "${files[@]}"; do
			! serial "$file" | grep -qFf - "$BATS_TEST_TMPDIR/first" || return 1
		done
	}
	until_true renewed
	# A second time: by then the first ones have ended.
	for file in "${files[@]}"; do serial "$file"; done >"$BATS_TEST_TMPDIR/first"
	until_true renewed
	until_true ready 2
	run -0 "$drover" pki status --prefix "$(root 2)"
	run ! grep -h "is gone\|expired" "$(root 1)"/{agent,coordinator}.log "$(root 2)/agent.log"
}

# bats test_tags=slow
@test "pki status says what has ended and what to do, and a coordinator renews what ended while it was off" {
	told() { "$drover" pki status --prefix "$(root 1)" "$@"; }
	init --certificate-life 10s >/dev/null
	run -0 told -o json
	jq -e '[.certificates[] | select(.whose == "drover://lab7/agent/host1")][0] |
		.state == "good" and .helps == "" and .secondsLeft > 5 and (.renewsFrom < .until)' <<<"$output"
	jq -e '.authority.generation == 1 and (.authority.beingReplaced | not) and .revoked == []' <<<"$output"
	ended() { [ "$(told -o json | jq '[.certificates[] | select(.state == "ended")] | length')" = 7 ]; }
	until_true ended
	run --separate-stderr -5 told
	[[ $output == *"coordinator.pem"*"ended "*" ago"* ]]
	[[ $output == *"next step  $(root 1)/etc/drover/coordinator.pem: see that drover-coordinator runs here"* ]]
	[[ $output == *"next step  $(root 1)/etc/drover/agent.pem: it cannot be renewed any more."*"drover token create --node host1"*"drover join TOKEN"* ]]
	start 1 coordinator
	until_true logged coordinator "our own certificate had ended, and is renewed"
	until_true logged coordinator "can join at"
	run -5 told -o json
	jq -e '[.certificates[] | select(.whose | test("/(coordinator|admin)/")) | .state] | map(select(. == "ended")) == []' <<<"$output"
	run --separate-stderr -0 admin_says nodes
	# The agent's has ended, and comes back as it is told to.
	mkdir "$BATS_TEST_TMPDIR/away"
	mv "$(root 1)"/etc/drover/agent{,-key}.pem "$(root 1)/etc/drover/agent.yaml" "$BATS_TEST_TMPDIR/away"
	join 1 "$(token --node host1)"
	start 1 agent
	until_true attached 1
}

@test "a renewal gives the asker's own identity, whatever is asked for, and only to who has one" {
	cluster
	cd "$BATS_TEST_TMPDIR"
	etc=$(root 2)/etc/drover
	openssl req -new -key "$etc/agent-key.pem" -subj /CN=admin -outform DER -out evil.der \
		-addext "subjectAltName=URI:drover://lab7/admin/evil,IP:10.0.0.66"
	jq -n --arg r "$(base64 -w0 evil.der)" '{requests: [$r]}' >evil.json
	host2_calls() { # METHOD JSON
		"$drover" rpc call "tcp://$net.1:7780" "$1" "$2" --ca "$etc/ca.pem" --cert "$etc/agent.pem" --key "$etc/agent-key.pem"
	}
	host2_calls Pki/Renew "$(cat evil.json)" | jq -r '.certificates[0]' >got.pem
	openssl x509 -in got.pem -noout -subject -ext subjectAltName >got.txt
	grep -q "URI:drover://lab7/agent/host2, DNS:host2, IP Address:$net.2" got.txt
	run ! grep -qE "admin|evil|10.0.0.66" got.txt
	# Nonsense, a local user, one who was forgotten.
	run --separate-stderr -2 host2_calls Pki/Renew '{"requests": ["AAAA"]}'
	run --separate-stderr -8 "$drover" rpc call "ipc://$(root 1)/run/drover/coordinator.sock" Pki/Renew "$(cat evil.json)"
	[[ $stderr == *"over tcp:// only"* ]]
	"$drover" pki forget host2 --prefix "$(root 1)"
	run --separate-stderr -8 host2_calls Pki/Renew "$(cat evil.json)"
	[[ $stderr == *"agent host2 has no certificate in the books"* ]]
	# Who got one, and who did not, is in the chain.
	"$drover" audit "$(root 1)/var/lib/drover/coordinator-audit.log" -o jsonl | jq -es 'map(select(.method == "drover.v1.Pki/Renew")) |
		map(.outcome) | contains(["OK"]) and contains(["PERMISSION_DENIED"])'
}

@test "pki renew: a person's certificate, by hand" {
	init >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	mkdir "$BATS_TEST_TMPDIR/laptop"
	cp "$(root 1)"/etc/drover/{ca,admin,admin-key}.pem "$BATS_TEST_TMPDIR/laptop"
	cd "$BATS_TEST_TMPDIR/laptop"
	before=$(serial admin.pem)
	run --separate-stderr -0 "$drover" pki renew -H "tcp://$net.1:7780" --ca ca.pem --cert admin.pem --key admin-key.pem
	[[ $stderr == *"admin.pem is that of drover://lab7/admin/admin until "* ]]
	[ "$(serial admin.pem)" != "$before" ]
	openssl verify -CAfile ca.pem admin.pem
	run --separate-stderr -2 "$drover" pki renew -H "tcp://$net.1:7780"
	run --separate-stderr -3 "$drover" pki renew -H "tcp://$net.1:7" --ca ca.pem --cert admin.pem --key admin-key.pem --timeout 3s
}

issue() { # NAME URI EKU DAYS: NAME.pem and NAME-key.pem, signed by own.pem
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1-key.pem" -subj "/CN=$1" -out "$1.csr"
	printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$2" "$3" >ext
	openssl x509 -req -in "$1.csr" -CA own.pem -CAkey own-key.pem -days "$4" -extfile ext -out "$1.pem"
}

own_authority() { # NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1-key.pem" -subj "/CN=$1" \
		-days 400 -out "$1.pem"
}

import() { "$drover" pki import --prefix "$BATS_TEST_TMPDIR/host2" "$@"; }

@test "pki import: a member's own certificate, and what is wrong with one, by its file" {
	cd "$BATS_TEST_TMPDIR"
	own_authority own
	own_authority other
	issue good URI:drover://lab7/agent/host2 clientAuth,serverAuth 30
	issue client URI:drover://lab7/agent/host2 clientAuth 30
	issue nobody DNS:host2 clientAuth,serverAuth 30
	issue old URI:drover://lab7/agent/host2 clientAuth,serverAuth -1
	issue person URI:drover://lab7/admin/ann clientAuth 30
	openssl ec -in good-key.pem -aes256 -passout pass:secret -out locked-key.pem
	run --separate-stderr -2 import good.pem own-key.pem own.pem
	[[ $stderr == *"own-key.pem, for good.pem: this is another certificate's key"* ]]
	run --separate-stderr -2 import good.pem locked-key.pem own.pem
	[[ $stderr == *"locked-key.pem, for good.pem: this is no private key without a passphrase"* ]]
	run --separate-stderr -3 import good.pem good-key.pem other.pem
	[[ $stderr == *"other.pem, for good.pem: none of these authorities has signed it"* ]]
	run --separate-stderr -2 import client.pem client-key.pem own.pem
	[[ $stderr == *"client.pem: its extended key usage does not allow TLS servers"* ]]
	run --separate-stderr -3 import nobody.pem nobody-key.pem own.pem
	[[ $stderr == *"nobody.pem: its SAN must have one URI drover://CLUSTER/ROLE/NAME"* ]]
	run --separate-stderr -2 import old.pem old-key.pem own.pem
	[[ $stderr == *"old.pem: it ended at "* ]]
	run --separate-stderr -2 import good.pem good-key.pem
	[[ $stderr == *"good.pem: it is no authority"*"third file"* ]]
	run --separate-stderr -7 import none.pem good-key.pem own.pem
	[ ! -e host2 ]
	run --separate-stderr -0 import good.pem good-key.pem own.pem
	cmp good.pem host2/etc/drover/agent.pem
	[ "$(stat -c %a host2/etc/drover/agent-key.pem)" = 600 ]
	run --separate-stderr -0 import person.pem person-key.pem own.pem
	# Again is harmless; another name in its place is not.
	run --separate-stderr -0 import good.pem good-key.pem own.pem
	issue third URI:drover://lab7/agent/host3 clientAuth,serverAuth 30
	run --separate-stderr -4 import third.pem third-key.pem own.pem
	[[ $stderr == *"it is that of drover://lab7/agent/host3, and "* ]]
}

@test "pki import: an authority of one's own comes to everybody by pki rotate" {
	cluster
	cd "$BATS_TEST_TMPDIR"
	own_authority own
	issue below URI:drover://lab7/agent/host2 clientAuth,serverAuth 30
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sub-key.pem -subj /CN=sub -out sub.csr
	printf 'basicConstraints=critical,CA:TRUE\n' >ext
	openssl x509 -req -in sub.csr -CA own.pem -CAkey own-key.pem -days 30 -extfile ext -out sub.pem
	run --separate-stderr -2 "$drover" pki import sub.pem sub-key.pem --prefix "$(root 1)"
	[[ $stderr == *'sub.pem: it is signed by "own"; the cluster'*"must be signed by itself"* ]]
	run --separate-stderr -0 "$drover" pki import own.pem own-key.pem --prefix "$(root 1)"
	[[ $stderr == *"next       drover pki rotate"* ]]
	run --separate-stderr -4 "$drover" pki import own.pem own-key.pem --prefix "$(root 1)"
	run --separate-stderr -0 "$drover" pki rotate --timeout 100s --prefix "$(root 1)"
	is_signed_by own.pem "$(root 2)/etc/drover/agent.pem"
	until_true cmp -s own.pem "$(root 2)/etc/drover/ca.pem"
	until_true ready 2
	run --separate-stderr -0 join 3 "$(token)"
}
