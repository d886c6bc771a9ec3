#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# drover-tunnel between real libvirtds: it carries virsh and a whole migration, and holds on when
# the management network goes away for a while.

# shellcheck disable=SC2016 # conditions are evaluated by wait_until

load lib.bash

# --- helpers ---

OPERATION=000102030405060708090a0b0c0d0e0f
DIRECTORY=/run/drover/tunnel-test
URI="qemu+unix:///system?socket=$DIRECTORY/libvirt.sock"

setup_file() {
	lab_name tunnel
	lab_up 2
}

teardown_file() {
	lab_down
}

# What the status file of HOST's tunnel shows outside its text: the words in it are plain.
tunnel_says() { lab shell "$1" strings "$DIRECTORY/status"; }

tunnels_of() { lab shell "$1" pgrep -f "drover-tunnel.*$DIRECTORY" || true; } # HOST

# tunnel_start HOST SIDE TWIN OPTION...
tunnel_start() {
	local host=$1 side=$2 twin=$3
	shift 3
	lab shell "$host" mkdir -p "$DIRECTORY"
	lab shell "$host" "$DROVER_BUILD_DIR/agent/drover-tunnel" --side "$side" \
		--operation "$OPERATION" --attempt 1 --cluster lab --expect "agent/$twin" \
		--ca /etc/drover/ca.pem --cert /etc/drover/agent.pem --key /etc/drover/agent-key.pem \
		--status "$DIRECTORY/status" "$@"
}

# Both ends: host1 calls host2.
tunnel_pair() {
	local port
	tunnel_start host2 target host1 --listen 10.77.0.2:0 --connect-unix /run/libvirt/libvirt-sock
	port=$(lab shell host2 ss -Hltnp | sed -n 's/.*10\.77\.0\.2:\([0-9]*\) .*drover-tunnel.*/\1/p')
	[ -n "$port" ]
	tunnel_start host1 source host2 --connect "10.77.0.2:$port" \
		--listen-unix "$DIRECTORY/libvirt.sock"
}

migrate() { # GUEST
	lab shell host1 virsh migrate --live --p2p --unsafe "$1" "$URI" \
		--migrateuri tcp://10.78.0.2:49152 --listen-address 10.78.0.2
}

# --- tests ---

@test "virsh on one host speaks to the other's libvirtd, and both ends end with it" {
	tunnel_pair
	run -0 lab shell host1 virsh -c "$URI" hostname
	[[ $output == host2* ]]
	wait_until '[[ -z $(tunnels_of host1)$(tunnels_of host2) ]]' 5
	run ! lab shell host1 test -e "$DIRECTORY/libvirt.sock"
}

@test "a tunnel to a node of another name is refused at both ends with the reason" {
	tunnel_start host2 target host1 --listen 10.77.0.2:40999 \
		--connect-unix /run/libvirt/libvirt-sock
	run ! tunnel_start host1 source host3 --connect 10.77.0.2:40999 \
		--listen-unix "$DIRECTORY/libvirt.sock"
	[[ $(tunnel_says host1) == *"is drover://lab/agent/host2 and not drover://lab/agent/host3"* ]]
	wait_until '[[ $(tunnel_says host2) == *"it expects drover://lab/agent/host3"* ]]' 5
	kill "$(tunnels_of host2)"
	wait_until '[[ -z $(tunnels_of host2) ]]' 5
}

@test "a migration goes through it, also when the management network is gone for eight seconds" {
	lab vm t1 host1 --memory 256MiB --working-set 128MiB --storage file
	lab link host1 migration rate 100mbit
	tunnel_pair
	migrate t1 &
	local migration=$!
	wait_until '[[ $(lab virsh host1 domjobinfo t1) == *"Memory remaining"* ]]' 20
	lab link host1 mgmt down
	sleep 8
	[ "$(guest_state t1 host1)" = running ]
	lab link host1 mgmt up
	wait "$migration"
	wait_until '[[ $(guest_state t1 host2) == running ]]' 5
	lab counter t1 --check
	wait_until '[[ -z $(tunnels_of host1)$(tunnels_of host2) ]]' 5
}
