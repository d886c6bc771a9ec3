# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# drover - drover's own daemons in the lab: start, stop, logs.
#
# Each runs in its host's namespaces under a reaper of its own, which outlives it
# and kills nothing: an agent that is killed leaves its tunnels, libvirtd and the
# guests alone, as on a real host.

drover_server() { say "ipc://$STATE/coordinator.sock"; }

drover_daemon_of() { if [[ $1 == coordinator ]]; then say coordinator; else say agent; fi; }

# The daemon listens, on the address of its configuration.
drover_listens() {
	local node=$1 port=7788
	[[ $node != coordinator ]] || port=7780
	[[ $node != coordinator || -S $STATE/coordinator.sock ]] || return 1
	[[ -n $(inside "$node" ss -Hltn "sport = :$port") ]]
}

drover_settled() { daemon_is_gone "$1" "$(drover_daemon_of "$1")" || drover_listens "$1"; }

drover_start() {
	local node=$1 build=$2 what binary
	what=$(drover_daemon_of "$node")
	binary=$build/$what/drover-$what
	if daemon_pid "$node" "$what" >/dev/null; then
		note "$what on $node is already running (pid $(daemon_pid "$node" "$what"))"
		return 0
	fi
	[[ -e $(dir_of "$node")/etc-drover/$what.yaml ]] ||
		die "$node has no $what.yaml: a lab that is up with --bare waits for \"drover init\" and \"drover join\""
	[[ -x $binary ]] || die "no program $binary: build drover first, or name its build directory with --build"
	daemon_start "$node" "$what" "$binary" --config "/etc/drover/$what.yaml"
	wait_until 15 drover_settled "$node" ||
		die "$what on $node runs but does not listen after 15 s: see \"tools/lab drover log $node\""
	if daemon_is_gone "$node" "$what"; then
		tail -n 15 "$(dir_of "$node")/$what.log" >&2
		die "$what on $node ended at once; its last words are above"
	fi
}

command_drover() {
	local action='' build='' targets=() target node follow=no
	(($# >= 1)) || usage_error "drover needs one of start, stop, kill, restart, log"
	action=$1
	shift
	case $action in start | stop | kill | restart | log) ;; *)
		usage_error "unknown action \"$action\" for drover: start, stop, kill, restart or log" ;;
	esac
	while (($# > 0)); do
		case $1 in
		--build)
			(($# >= 2)) || usage_error "--build needs a directory"
			build=$2
			shift
			;;
		-f | --follow) follow=yes ;;
		-*) usage_error "drover knows no option \"$1\"" ;;
		*) targets+=("$1") ;;
		esac
		shift
	done
	# "agent HOST" and "agent all" read well but "agent" says nothing that HOST does not.
	[[ ${targets[0]-} != agent ]] || targets=("${targets[@]:1}")
	((${#targets[@]} == 1)) || usage_error "drover $action needs one of: coordinator, agent HOST, all"
	[[ $follow == no || $action == log ]] || usage_error "--follow belongs to drover log"
	require_up
	local nodes_wanted=()
	case ${targets[0]} in
	all)
		# The coordinator first: agents dial it.
		nodes_wanted=(coordinator)
		for target in $(hosts); do nodes_wanted+=("$target"); done
		;;
	*)
		require_node "${targets[0]}"
		nodes_wanted=("${targets[0]}")
		;;
	esac
	if [[ $action == log ]]; then
		local log logs=()
		for node in "${nodes_wanted[@]}"; do
			log=$(dir_of "$node")/$(drover_daemon_of "$node").log
			[[ ! -e $log ]] || logs+=("$log")
		done
		((${#logs[@]} > 0)) || die "no log: nothing of drover has been started on ${targets[0]}"
		if [[ $follow == yes ]]; then exec tail -n +1 -F "${logs[@]}"; fi
		cat "${logs[@]}"
		return 0
	fi
	# A restart runs the same programs again unless told otherwise.
	if [[ -n $build ]]; then
		[[ -d $build ]] || die "no build directory $build"
		build=$(realpath "$build")
	elif [[ -e $STATE/build-dir ]]; then
		build=$(cat "$STATE/build-dir")
	else
		build=$LAB_REPO/build/dev
	fi
	lock shared
	[[ $action != start && $action != restart ]] || say "$build" >"$STATE/build-dir"
	for node in "${nodes_wanted[@]}"; do
		case $action in
		stop | restart) daemon_signal "$node" "$(drover_daemon_of "$node")" TERM ;;
		kill) daemon_signal "$node" "$(drover_daemon_of "$node")" KILL ;;
		esac
		case $action in start | restart) drover_start "$node" "$build" ;; esac
	done
}
