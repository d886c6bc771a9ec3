#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who may do what by the certificate that he has, and certificates that are taken back under real
# daemons: connections end, nobody lets them in, they are not renewed, and there is a way back.

# run --separate-stderr sets stderr_lines.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

load cluster.bash

root() { echo "$BATS_TEST_TMPDIR/host$1"; }

alone() { # the coordinator
	init >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	cd "$BATS_TEST_TMPDIR" || return
}

local_admin() { "$drover" "$@" -H "ipc://$(root 1)/run/drover/coordinator.sock"; }

ready() { # N: so many nodes have a connection now
	[ "$(local_admin nodes -o json | jq '[.nodes[] | select(.state != "unreachable")] | length')" = "$1" ]
}

says() { # PERSON WORDS...: with the files of pki issue, from elsewhere
	"$drover" "${@:2}" -H "tcp://$net.1:7780" --ca "$1-ca.pem" --cert "$1.pem" --key "$1-key.pem" --timeout 20s
}

host2_calls() { # ADDRESS METHOD JSON
	local etc
	etc=$(root 2)/etc/drover
	"$drover" rpc call "tcp://$1" "$2" "${3:-{\}}" --ca "$etc/ca.pem" --cert "$etc/agent.pem" --key "$etc/agent-key.pem" --timeout 20s
}

serial() { openssl x509 -noout -serial -in "$1" | cut -d= -f2; }

has() { grep -qs -- "$1" "$2"; }

audited() { # JQ-FILTER that must hold for one record of the coordinator
	"$drover" audit "$(root 1)/var/lib/drover/coordinator-audit.log" -o jsonl 2>/dev/null | jq -es "map(select($1)) | length > 0" >/dev/null
}

@test "F74: a viewer looks, an operator drains, and a refusal says which role it takes" {
	alone
	run --separate-stderr -0 local_admin pki issue operator ann --days 7
	[[ $stderr == *"drover://lab7/operator/ann until"*"drover pki revoke operator/ann"* ]]
	run --separate-stderr -0 local_admin pki issue viewer wall
	run --separate-stderr -0 local_admin pki issue admin eve --into "$BATS_TEST_TMPDIR"
	[ "$(stat -c %a ann-key.pem wall-key.pem eve-key.pem | sort -u)" = 600 ]
	openssl verify -x509_strict -purpose sslclient -CAfile ann-ca.pem ann.pem
	# For a person only: nobody is to meet it as a server.
	run ! openssl verify -purpose sslserver -CAfile ann-ca.pem ann.pem
	join 2 "$(token)"
	start 2 agent
	until_true attached 1
	for who in ann wall eve; do run --separate-stderr -0 says "$who" nodes; done
	for words in "drain host2" "cordon host2" "cancel drain/1" "migrate vm1"; do
		# shellcheck disable=SC2086
		run --separate-stderr -8 says wall $words
		[[ $stderr == *"viewer wall "*"may not call"*"allowed: operator, admin"* ]]
	done
	run --separate-stderr -0 says ann cordon host2 -m test
	run --separate-stderr says ann drain host2 --detach --yes
	# Allowed; there is no libvirt here.
	[[ $status -eq 3 && $stderr == *"has no connection to libvirt"* ]]
	for words in "pki issue admin mallory" "pki revoke agent/host2 --yes" "fence host2 -m test --yes"; do
		# shellcheck disable=SC2086
		run --separate-stderr -8 says ann $words
		[[ $stderr == *"operator ann "*"allowed: admin"* ]]
	done
	[ ! -e mallory.pem ]
	run --separate-stderr -0 says eve pki issue viewer tom
	until_true audited '.who == "wall" and .outcome == "PERMISSION_DENIED" and (.method | endswith("/Drain"))'
	audited '.who == "eve" and .outcome == "OK" and .method == "drover.v1.Pki/Issue" and .object.role == "viewer" and .object.name == "tom"'
	# Who was given a week gets a week, by himself.
	before=$(serial ann.pem)
	run --separate-stderr -0 "$drover" pki renew -H "tcp://$net.1:7780" --ca ann-ca.pem --cert ann.pem --key ann-key.pem
	[ "$(serial ann.pem)" != "$before" ]
	openssl x509 -noout -checkend $((6 * 86400)) -in ann.pem
	run ! openssl x509 -noout -checkend $((8 * 86400)) -in ann.pem
}

@test "pki issue: what it refuses, before it asks for anything" {
	alone
	run --separate-stderr -2 local_admin pki issue agent host9
	[[ $stderr == *"is no role for a person"*"hosts join with a token"* ]]
	run --separate-stderr -2 local_admin pki issue operator "../ann"
	[[ $stderr == *"cannot be the name"* ]]
	run --separate-stderr -2 local_admin pki issue operator ann --days 4000
	run --separate-stderr -7 local_admin pki issue operator ann --into /nowhere
	echo mine >ann-key.pem
	run --separate-stderr -4 local_admin pki issue operator ann
	[[ $stderr == *"ann-key.pem is there; nothing was touched"* ]]
	[ "$(cat ann-key.pem)" = mine ]
	rm ann-key.pem
	local_admin -q pki issue operator ann
	mkdir again
	run --separate-stderr -4 local_admin pki issue operator ann --into again
	[[ $stderr == *"operator ann has a certificate until"*"drover pki revoke operator/ann"* ]]
	[ -z "$(ls again)" ]
	# Lost: taken back, and made anew.
	local_admin -q pki revoke operator/ann --yes
	run --separate-stderr -0 local_admin pki issue operator ann --into again
	until_true has "$(serial ann.pem)" <("$drover" pki status --prefix "$(root 1)")
	run --separate-stderr -3 says ann nodes
	run --separate-stderr -0 says again/ann nodes
	run --separate-stderr -3 "$drover" pki issue operator tom -H "ipc:///nowhere/sock"
	[ ! -e tom-key.pem ]
}

@test "F75: a host whose certificate is revoked is cut off within ten seconds, by everybody, and comes back with a token" {
	init >/dev/null
	start 1 coordinator
	until_true logged coordinator "can join at"
	join 2 "$(token)"
	join 3 "$(token)"
	for n in 1 2 3; do start "$n" agent; done
	until_true attached 3
	run --separate-stderr -0 host2_calls "$net.1:7788" Health/Check
	run --separate-stderr -0 local_admin pki revoke host2 --yes -m stolen
	# One for each purpose.
	[ "$(grep -c 'of agent host2' <<<"$stderr")" = 3 ]
	SECONDS=0
	until_true logged coordinator "agent host2 .*is gone: .*was revoked"
	[ "$SECONDS" -le 10 ]
	# Every host has the list by now, for each purpose, and refuses what it names.
	mine=$(serial "$(root 2)/etc/drover/agent.pem")
	for n in 1 3; do
		until_true has "new list of what is revoked" "$(root "$n")/agent.log"
		openssl crl -noout -text -in "$(root "$n")/etc/drover/crl.pem" | grep -q "$mine"
		until_true has "took new certificate files" "$(root "$n")/agent.log"
		run --separate-stderr -3 host2_calls "$net.$n:7788" Health/Check
		for pair in libvirt-migrate/ca-cert.pem:libvirt-migrate/ca-crl.pem:libvirt-migrate/client-cert.pem \
			CA/cacert.pem:CA/cacrl.pem:libvirt/clientcert.pem; do
			IFS=: read -r ca crl of <<<"$pair"
			run ! openssl verify -crl_check -CAfile "$(root "$n")/etc/pki/$ca" -CRLfile "$(root "$n")/etc/pki/$crl" "$(root 2)/etc/pki/$of"
			[[ $output == *"certificate revoked"* ]]
			openssl verify -crl_check -CAfile "$(root "$n")/etc/pki/$ca" -CRLfile "$(root "$n")/etc/pki/$crl" "$(root 3)/etc/pki/$of"
		done
	done
	run --separate-stderr -3 host2_calls "$net.1:7780" Pki/Renew '{"requests": ["AAAA"]}'
	run -0 "$drover" pki status --prefix "$(root 1)"
	[[ $output == *"revoked    $mine since "*", of agent host2"* ]]
	run -0 "$drover" pki status --prefix "$(root 3)"
	[[ $output == *"revoked    $mine since "* ]]
	audited '.method == "drover.v1.Pki/Revoke" and .object.name == "host2" and .object.reason == "stolen" and .result.revoked == 3'
	# Again is nothing; the others are as they were; a rotation does not wait for it.
	run --separate-stderr -0 local_admin pki revoke host2 --yes
	[[ $stderr == *"revoked already"* ]]
	run --separate-stderr -0 "$drover" pki rotate --prefix "$(root 1)" --yes --timeout 60s
	until_true ready 2
	# The way back.
	kill "${daemons[2]}"
	wait "${daemons[2]}" || true
	unset "daemons[2]"
	rm -r "$BATS_TEST_TMPDIR/host2/etc"
	join 2 "$(token --node host2)"
	start 2 agent
	until_true ready 3
}

@test "pki revoke: a serial, a name that two have, one's own, a stranger's, and nobody who confirms" {
	alone
	join 2 "$(token)"
	etc=$(root 1)/etc/drover
	admin() {
		"$drover" "$@" -H "tcp://$net.1:7780" --ca "$etc/ca.pem" --cert "$etc/admin.pem" --key "$etc/admin-key.pem" --timeout 20s
	}
	run --separate-stderr -7 admin pki revoke nobody --yes
	run --separate-stderr -7 admin pki revoke operator/nobody --yes
	run --separate-stderr -2 admin pki revoke king/arthur --yes
	run --separate-stderr -2 admin pki revoke host1 --yes
	[[ $stderr == *"more than one: coordinator, agent; say which, as ROLE/host1"* ]]
	run --separate-stderr -4 admin pki revoke coordinator/host1 --yes
	[[ $stderr == *"that of coordinator host1"*"--even-own"* ]]
	run --separate-stderr -4 admin pki revoke "$(serial "$etc/admin.pem")" --yes
	[[ $stderr == *"your own, of admin admin"*"--even-own"* ]]
	run --separate-stderr -4 admin pki revoke host2
	[[ $stderr == *"nobody is there to confirm it"*"--yes"* ]]
	run --separate-stderr -0 admin pki revoke host2 --dry-run
	[[ $stderr == *"would be revoked"*"of agent host2"* ]]
	[ ! -e "$(root 1)/var/lib/drover/pki/revoked" ]
	# One serial, of one purpose; with colons and in small letters, as others print it.
	one=$(serial "$(root 2)/etc/pki/libvirt/clientcert.pem")
	run --separate-stderr -0 admin pki revoke "$(sed 's/../&:/g; s/:$//' <<<"${one,,}")" --yes
	[ "$(grep -c 'of agent host2' <<<"$stderr")" = 1 ]
	run -0 "$drover" pki status --prefix "$(root 1)"
	[[ $output == *"revoked    $one since"*"for libvirt's remote"* ]]
	# It does not cut off the host.
	start 2 agent
	until_true attached 1
	run --separate-stderr -0 admin pki revoke 1234567890ABCDEF1234 --yes
	[[ $stderr == *"in no book"* ]]
	run --separate-stderr -7 admin pki revoke 1234 --yes
	# With the word for it, and cut off by that.
	run --separate-stderr -0 admin pki revoke admin/admin --yes --even-own
	refused() { run --separate-stderr -3 admin nodes; }
	until_true refused
	local_admin nodes
}
