# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2153 # STATE comes from base.sh
# status - what the lab has and how it is; links.

pid_or_null() { daemon_pid "$@" || say null; }

# One JSON object per guest of HOST.
guests_json() {
	local host=$1 name state last
	libvirtd_answers "$host" || return 0
	virsh_on "$host" list --all --name | while read -r name; do
		[[ -n $name ]] || continue
		state=$(virsh_on "$host" domstate "$name" 2>/dev/null) || continue
		last=$(last_heartbeat "$name") || last=
		jq -nc --arg name "$name" --arg state "$state" --arg last "$last" '
			{name: $name, state: $state,
			 heartbeat: (if $last == "" then null else
				($last | split(" ") | map(split("=") | {(.[0]): (if .[0] == "nonce" then .[1] else (.[1] | tonumber? // .) end)}) | add)
			 end)}'
	done
}

link_json() { # NODE NET ADDRESS
	jq -nc --arg address "$3" --arg rate "$(link_get_rate "$1" "$2")" --arg carrier "$(link_get_carrier "$1" "$2")" \
		'{address: $address, rate: $rate, link: $carrier}'
}

node_json() {
	local node=$1 index init
	index=$(index_of "$node")
	init=$(pid_in "$node" "$(dir_of "$node")/init.pid") || init=null
	if [[ $init == null ]]; then
		jq -nc --arg name "$node" '{name: $name, init_pid: null}'
		return 0
	fi
	if [[ $node == coordinator ]]; then
		jq -nc --arg name "$node" --argjson init "$init" --argjson coordinator "$(pid_or_null "$node" coordinator)" \
			--argjson mgmt "$(link_json "$node" mgmt "$MGMT_NET.$index")" \
			'{name: $name, init_pid: $init, coordinator_pid: $coordinator, mgmt: $mgmt}'
		return 0
	fi
	jq -nc --arg name "$node" --argjson init "$init" \
		--argjson libvirtd "$(pid_or_null "$node" libvirtd)" \
		--argjson answers "$(if libvirtd_answers "$node"; then say true; else say false; fi)" \
		--argjson virtlockd "$(pid_or_null "$node" virtlockd)" \
		--argjson agent "$(pid_or_null "$node" agent)" \
		--argjson capacity "$(cat "$(dir_of "$node")/capacity-kib")" \
		--argjson limit "$(cgroup_get_limit_kib "$node")" \
		--arg socket "$(libvirt_socket "$node")" \
		--argjson mgmt "$(link_json "$node" mgmt "$MGMT_NET.$index")" \
		--argjson migration "$(link_json "$node" migration "$MIGRATION_NET.$index")" \
		--argjson guests "$(guests_json "$node" | jq -sc .)" \
		'{name: $name, init_pid: $init, libvirtd_pid: $libvirtd, libvirtd_answers: $answers,
		  virtlockd_pid: $virtlockd, agent_pid: $agent, capacity_kib: $capacity, cgroup_limit_kib: $limit,
		  libvirt_socket: $socket, mgmt: $mgmt, migration: $migration, guests: $guests}'
}

lab_json() {
	local node
	if [[ ! -e $STATE/ready ]]; then
		jq -n --arg lab "$LAB" --argjson leftovers "$(if lab_exists; then say true; else say false; fi)" \
			'{lab: $lab, up: false, leftovers: $leftovers}'
		return 0
	fi
	for node in $(nodes); do node_json "$node"; done |
		jq -s --arg lab "$LAB" --arg state "$STATE" --arg server "$(drover_server)" --arg cgroup "$(cgroup_version)" \
			--argjson locks "$(if [[ -e $STATE/locks ]]; then say true; else say false; fi)" \
			'{lab: $lab, up: true, state_dir: $state, server: $server, locks: $locks, cgroup: $cgroup,
			  coordinator: (map(select(.name == "coordinator")) | .[0]),
			  hosts: map(select(.name != "coordinator"))}'
}

command_status() {
	local output=text json
	while (($# > 0)); do
		case $1 in
		-o)
			[[ ${2-} == json || ${2-} == text ]] || usage_error "-o knows json and text"
			output=$2
			shift
			;;
		*) usage_error "status knows no argument \"$1\"" ;;
		esac
		shift
	done
	require_commands jq=jq
	json=$(lab_json)
	if [[ $output == json ]]; then
		say "$json"
	else
		jq -r '
			def link: "\(.address) \(.link), \(if .rate == "none" then "unshaped" else .rate end)";
			def alive: if . == null then "not running" else "pid \(.)" end;
			def host:
				"\(.name)",
				(if .init_pid == null then "  is gone: a crash has left it; \"tools/lab up\" builds it anew" else
				"  libvirtd   \(.libvirtd_pid | alive)\(if .libvirtd_pid and (.libvirtd_answers | not) then ", does not answer" else "" end)",
				(if .virtlockd_pid then "  virtlockd  \(.virtlockd_pid | alive)" else empty end),
				"  agent      \(.agent_pid | alive)",
				"  mgmt       \(.mgmt | link)",
				"  migration  \(.migration | link)",
				"  memory     \(.capacity_kib / 1024)MiB" +
					(if .cgroup_limit_kib > 0 then ", its processes held to \(.cgroup_limit_kib / 1024)MiB" else ", not enforced: no memory cgroup here" end),
				(.guests[] | "  guest      \(.name) \(.state)" +
					(if .heartbeat then ", nonce \(.heartbeat.nonce), n \(.heartbeat.n), corrupt \(.heartbeat.corrupt)" else ", no heartbeat" end))
				end);
			if .up then
				"lab \(.lab) is up\(if .locks then ", with virtlockd" else "" end); state in \(.state_dir)",
				"coordinator",
				(.coordinator | if .init_pid == null then "  is gone" else
					"  drover     \(.coordinator_pid | alive)", "  mgmt       \(.mgmt | link)" end),
				(.hosts[] | host)
			else "lab \(.lab) is down\(if .leftovers then "; a crash has left something: \"tools/lab down\" removes it" else "" end)" end' <<<"$json"
	fi
	[[ -e $STATE/ready ]]
}

command_link() {
	(($# >= 3)) || usage_error "link needs HOST, mgmt or migration, and up, down or rate RATE"
	local node=$1 net=$2 action=$3 rate=${4-}
	case $net in mgmt | migration) ;; *) usage_error "no network \"$net\": mgmt or migration" ;; esac
	case $action in
	up | down) (($# == 3)) || usage_error "link $action takes nothing more" ;;
	rate)
		(($# == 4)) || usage_error "link rate needs a RATE such as 200mbit, or none"
		is_link_rate "$rate" || usage_error "\"$rate\" is no rate: write 1gbit, 200mbit or none"
		;;
	*) usage_error "link knows up, down and rate, not \"$action\"" ;;
	esac
	require_node "$node"
	[[ $node != coordinator || $net == mgmt ]] || die "the coordinator is on the management network only"
	lock shared
	if [[ $action == rate ]]; then
		link_set_rate "$node" "$net" "$rate"
	else
		link_set_carrier "$node" "$net" "$action"
	fi
}
