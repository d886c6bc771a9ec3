# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# network - namespaces, bridges, links and their shaping.
#
#   switch namespace:   bridge mgmt      bridge migration     bridge guest
#                         │  │  │          │  │               │  │   10.79.0.254
#   host N:              mg0 10.77.0.N    mi0 10.78.0.N      gu0 in br0 (guests)
#   coordinator:         mg0 10.77.0.100
#
# A link is shaped at both of its ends with tbf, as a full-duplex port is: one
# source cannot send faster, and two sources cannot fill one destination faster.
# A link that is "down" has lost its carrier at the switch; the host keeps its
# address and routes, as with a pulled cable.

switch_name() { netns_of switch; }

network_create_switch() {
	local switch
	switch=$(switch_name)
	ip netns add "$switch"
	ip -n "$switch" -batch - <<-END
		link set lo up
		link add mgmt type bridge
		link add migration type bridge
		link add guest type bridge
		address add $GUEST_NET.254/24 dev guest
		link set mgmt up
		link set migration up
		link set guest up
	END
}

# network_create_node NODE INDEX: the namespace, its links and addresses.
network_create_node() {
	local node=$1 index=$2 netns switch
	netns=$(netns_of "$node")
	switch=$(switch_name)
	ip netns add "$netns"
	ip -n "$netns" -batch - <<-END
		link set lo up
		link add mg0 type veth peer name mg$index netns $switch
		address add $MGMT_NET.$index/24 dev mg0
		link set mg0 up
	END
	ip -n "$switch" link set "mg$index" master mgmt up
	# QEMU must find its port free: no outgoing connection may take it (all of libvirt's range).
	ip netns exec "$netns" sysctl -qw net.ipv4.ip_local_reserved_ports=49152-49215
	[[ $node != coordinator ]] || return 0
	ip -n "$netns" -batch - <<-END
		link add mi0 type veth peer name mi$index netns $switch
		address add $MIGRATION_NET.$index/24 dev mi0
		link set mi0 up
		link add br0 type bridge
		link add gu0 type veth peer name gu$index netns $switch
		link set gu0 master br0
		link set gu0 up
		link set br0 up
	END
	ip -n "$switch" -batch - <<-END
		link set mi$index master migration up
		link set gu$index master guest up
	END
}

# index_of NODE: the last number of its addresses.
index_of() {
	if [[ $1 == coordinator ]]; then say "${COORDINATOR_ADDRESS##*.}"; else say "${1#host}"; fi
}

# The two ends of a link: in the host, and at the switch.
link_inner() { if [[ $1 == mgmt ]]; then say mg0; else say mi0; fi; }
link_port() { if [[ $2 == mgmt ]]; then say "mg$(index_of "$1")"; else say "mi$(index_of "$1")"; fi; }

# link_set_rate NODE mgmt|migration RATE
link_set_rate() {
	local node=$1 net=$2 rate=$3 netns device
	for netns in "$(netns_of "$node")" "$(switch_name)"; do
		device=$(link_inner "$net")
		[[ $netns != "$(switch_name)" ]] || device=$(link_port "$node" "$net")
		if [[ $rate == none ]]; then
			tc -n "$netns" qdisc del dev "$device" root 2>/dev/null || true
		else
			# A burst of 1 MB lets offloaded segments of 64 KiB through whole.
			tc -n "$netns" qdisc replace dev "$device" root tbf rate "$rate" burst 1mb latency 50ms
		fi
	done
}

link_get_rate() {
	local shown
	shown=$(tc -n "$(netns_of "$1")" qdisc show dev "$(link_inner "$2")" root)
	if [[ $shown =~ rate\ ([^ ]+) ]]; then say "${BASH_REMATCH[1],,}"; else say none; fi
}

# link_set_carrier NODE mgmt|migration up|down
link_set_carrier() { ip -n "$(switch_name)" link set "$(link_port "$1" "$2")" "$3"; }

link_get_carrier() {
	local shown
	shown=$(ip -n "$(switch_name)" -br link show dev "$(link_port "$1" "$2")")
	if [[ $shown == *LOWER_UP* ]]; then say up; else say down; fi
}

# Names of this lab's namespaces that exist, whatever a crash has left of them.
network_list() {
	local path name
	for path in /run/netns/drover-"$LAB"-*; do
		name=${path##*/}
		[[ $name =~ ^drover-"$LAB"-(switch|coordinator|host[1-9][0-9]?)$ ]] && say "$name"
	done
	return 0
}
