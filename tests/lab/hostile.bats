#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nonsense and strangers: on the wire, in certificates, in configuration files. The answer is clear,
# and nothing has changed.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

COORDINATOR=10.77.0.100:7780
AGENT=10.77.0.1:7788

setup_file() {
	drover_lab hostile 2
	lab vm guest host1 --memory 64MiB
}
teardown_file() { lab_down; }
setup() {
	wait_until all_ready 15
	before=$(daemons)
}
teardown() { lab_show_failure; }

# Who runs, and what the fleet looks like: what no stranger may change.
daemons() {
	lab status -o json | jq -S '[.. | objects | .agent_pid?, .coordinator_pid? | numbers]'
	drover nodes -o json | jq -S '[.nodes[] | {name, state, vms, bootId: .host.bootId}]'
	drover drains -o json | jq '.drains | length'
	drover migrations -o json | jq '.migrations | length'
}

# The daemons are the same processes, still answer, and the guest never noticed.
nothing_changed() {
	wait_until all_ready 15
	diff <(printf '%s\n' "$before") <(daemons)
	assert_guest_intact guest
}

# say ADDRESS:PORT: standard input to that port from host2, whatever comes back thrown away.
say_to() {
	lab shell host2 timeout 5 bash -c \
		'exec 3<>"/dev/tcp/${1%:*}/${1#*:}" && { cat >&3 || true; timeout 1 cat <&3 >/dev/null || true; }' \
		say "$1" || true
}

# The drover command in host2, over tcp with that certificate.
drover_as() { # CERTIFICATE COMMAND...
	local certificate=$1
	shift
	lab shell host2 "$DROVER_BUILD_DIR/tools/drover/drover" -H "tcp://$COORDINATOR" \
		--ca "$LAB_STATE/pki/drover/ca.pem" --cert "$certificate.pem" --key "$certificate-key.pem" "$@"
}

@test "random bytes, enormous lengths and other protocols get nobody anything" {
	local address
	for address in "$COORDINATOR" "$AGENT"; do
		head -c 65536 /dev/urandom | say_to "$address"
		printf 'GET / HTTP/1.1\r\nHost: drover\r\n\r\n' | say_to "$address"
		printf '\x16\x03\x01\xff\xff' | say_to "$address"
		printf 'DRVR\x01\xff\xff\xff\xff\xff\xff\xff\xff' | say_to "$address"
		say_to "$address" </dev/null
	done
	nothing_changed
}

@test "nonsense on the local socket ends that connection and no other" {
	local socket=$LAB_STATE/coordinator.sock
	head -c 65536 /dev/urandom | timeout 5 openssl s_client -unix "$socket" >/dev/null 2>&1 || true
	printf 'GET / HTTP/1.1\r\n\r\n' | timeout 5 openssl s_client -unix "$socket" >/dev/null 2>&1 || true
	[ -S "$socket" ]
	nothing_changed
}

@test "a hundred silent connections keep no one out" {
	lab shell host2 timeout 20 bash -c '
		for i in {1..100}; do exec {fd}<>"/dev/tcp/${1%:*}/${1#*:}" || exit 1; done; sleep 15' silent "$COORDINATOR" &
	wait_until '[ "$(lab shell host2 ss -Htn state established dst 10.77.0.100 | wc -l)" -ge 100 ]' 10
	run -0 drover_as "$LAB_STATE/pki/drover/viewer" --timeout 2s nodes
	# They are cut off without having said who they are.
	wait_until '[ "$(lab shell host2 ss -Htn state established dst 10.77.0.100 | wc -l)" -lt 10 ]' 15
	wait
	nothing_changed
}

@test "a certificate of another authority, an expired one and none at all are refused with the reason" {
	run -3 drover_as "$LAB_STATE/pki/rogue/agent-host1" nodes
	[[ $output == *"not signed by the cluster's CA"* ]]
	run -3 drover_as "$LAB_STATE/pki/drover/expired" nodes
	[[ $output == *"expired"* ]]
	# openssl has no opinion of its own certificate: the coordinator must refuse it.
	run lab shell host2 timeout 5 openssl s_client -connect "$COORDINATOR" -tls1_3 -ign_eof \
		-cert "$LAB_STATE/pki/rogue/agent-host1.pem" -key "$LAB_STATE/pki/rogue/agent-host1-key.pem" </dev/null
	[[ $output == *"alert unknown ca"* ]]
	run lab shell host2 timeout 5 openssl s_client -connect "$COORDINATOR" -tls1_2 </dev/null
	[[ $output == *"alert protocol version"* ]]
	nothing_changed
}

@test "who may only look may not act, and an agent may not ask for people" {
	run -0 drover_as "$LAB_STATE/pki/drover/viewer" vms
	[[ $output == *guest* ]]
	run -8 drover_as "$LAB_STATE/pki/drover/viewer" drain host1
	[[ $output == *"may not call"*"allowed: operator, admin"* ]]
	run -8 drover_as "$LAB_STATE/pki/drover/viewer" migrate guest --to host2
	run -8 drover_as "$LAB_STATE/pki/drover/agent-host1" nodes
	run -0 drover_as "$LAB_STATE/pki/drover/operator" drain host1 --dry-run
	nothing_changed
}

@test "a configuration that is wrong says where, what is accepted, and ends" {
	local config=$BATS_TEST_TMPDIR/agent.yaml agent=$DROVER_BUILD_DIR/agent/drover-agent
	local good=$LAB_STATE/hosts/host1/etc-drover/agent.yaml

	run -2 "$agent" --config /nowhere.yaml
	[[ $output == *"/nowhere.yaml"* ]]

	sed 's/capacity: [^,]*/capacity: lots/' "$good" >"$config"
	run -2 "$agent" --check --config "$config"
	[[ $output =~ $config:[0-9]+:[0-9]+:.*lots.*MiB ]]

	{ cat "$good" && echo 'memroy: {}'; } >"$config"
	run -2 "$agent" --check --config "$config"
	[[ $output =~ $config:[0-9]+:[0-9]+:.*memroy ]]

	sed 's/49152-49153/49153-49152/' "$good" >"$config"
	run -2 "$agent" --check --config "$config"
	[[ $output == *"49153-49152"* ]]

	sed '/^node:/d' "$good" >"$config"
	run -2 "$agent" --check --config "$config"
	[[ $output == *node* ]]

	config=$BATS_TEST_TMPDIR/coordinator.yaml
	sed 's/PerCluster: 5/PerCluster: 0/' "$LAB_STATE/hosts/coordinator/etc-drover/coordinator.yaml" >"$config"
	run -2 "$DROVER_BUILD_DIR/coordinator/drover-coordinator" --check --config "$config"
	[[ $output =~ $config:[0-9]+:[0-9]+:.*parallelMigrationsPerCluster ]]
	nothing_changed
}

@test "nonsense on the command line is explained and changes nothing" {
	run -2 drover drian host1
	[[ $output == *drain* ]]
	run -2 drover drain
	run -2 drover drain host1 --parallel none
	run -2 drover migrate guest --bandwidth 500
	[[ $output == *"MiB/s"* ]]
	run -7 drover drain host9
	[[ $output == *host1* ]]
	run -7 drover migrate nobody
	run -7 drover cancel migration/999
	nothing_changed
}

@test "an agent that claims another node's name is not let in" {
	local config=$BATS_TEST_TMPDIR/agent.yaml
	# host1's certificate, host2's name.
	sed 's/^node: .*/node: host2/; s/7788/7799/; s|state_dir: .*|state_dir: /run/drover/impostor|' \
		"$LAB_STATE/hosts/host1/etc-drover/agent.yaml" >"$config"
	cp "$config" "$LAB_STATE/hosts/host1/etc-drover/impostor.yaml"
	run lab shell host1 timeout 4 "$DROVER_BUILD_DIR/agent/drover-agent" --config /etc/drover/impostor.yaml
	[[ $output == *host1*host2* || $output == *host2*host1* ]]
	rm "$LAB_STATE/hosts/host1/etc-drover/impostor.yaml"
	nothing_changed
}
