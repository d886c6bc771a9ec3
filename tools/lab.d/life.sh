# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# life - up and down of a whole lab.
#
# `down` believes no record: it finds what belongs to the lab by the names of its
# namespaces and by its paths, so it also removes what a crashed `up` has left.
# `up` begins with exactly that when it finds leftovers, and ends by writing
# "ready", the one mark of a complete lab.

lab_pids() {
	local netns
	for netns in $(network_list); do ip netns pids "$netns"; done
}

# Kills what lives in the lab's namespaces, again and again until nothing does.
kill_all_inside() {
	local pids
	pids=$(lab_pids)
	[[ -n $pids ]] || return 0
	# shellcheck disable=SC2086 # one word per pid
	kill -KILL $pids 2>/dev/null || true
	return 1
}

lab_exists() {
	[[ -e $STATE || -n $(network_list) || -n $(cgroup_list) || -n $(loops_list) ]]
}

# Removes everything of this lab. Needs the exclusive lock.
lab_remove() {
	local netns device cgroup mount_point
	wait_until 20 kill_all_inside ||
		die "processes of lab \"$LAB\" do not end: $(lab_pids | tr '\n' ' ')"
	for device in $(loops_list); do losetup -d "$device" 2>/dev/null || true; done
	wait_until 10 loops_are_gone ||
		die "loop devices of lab \"$LAB\" are still in use: $(loops_list | tr '\n' ' ')"
	for cgroup in $(cgroup_list); do
		cgroup_remove "$cgroup" || die "cgroup $cgroup cannot be removed: $(tr '\n' ' ' <"$cgroup/cgroup.procs")"
	done
	for netns in $(network_list); do ip netns del "$netns"; done
	# The lab mounts nothing here; what somebody else has mounted must not be deleted into.
	while read -r mount_point; do
		umount -l "$mount_point"
	done < <(awk -v under="$STATE/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	rm -rf --one-file-system "$STATE"
}

loops_are_gone() { [[ -z $(loops_list) ]]; }

other_labs() {
	local path
	for path in "$LABS_DIR"/*/ "$LABS_DIR"/*.lock; do
		[[ ! -e $path || $path == "$STATE/" || $path == "$LOCK_FILE" ]] || say "$path"
	done
}

# The empty directories that the lab mounts over must exist on the machine. Those that
# were made for it go with the last lab: removing one would unmount it in the others.
mount_points_make() {
	local mount_point
	for mount_point in "${MOUNT_POINTS[@]}"; do
		if [[ ! -d $mount_point ]]; then
			say "$mount_point" >>"$MOUNT_POINTS_MADE"
			mkdir -p "$mount_point"
		fi
	done
}

mount_points_remove() {
	local mount_point
	[[ -e $MOUNT_POINTS_MADE && -z $(other_labs) ]] || return 0
	while read -r mount_point; do
		rmdir "$mount_point" 2>/dev/null || true
	done <"$MOUNT_POINTS_MADE"
	rm -f "$MOUNT_POINTS_MADE"
}

# The lock of all labs, around the mount points only.
with_machine_lock() {
	mkdir -p "$LABS_DIR"
	(
		exec 8>>"$MACHINE_LOCK_FILE"
		flock --exclusive --timeout 60 8 ||
			die "another tools/lab holds $MACHINE_LOCK_FILE for a minute: wait for it or end it"
		"$@"
	)
}

lab_is_healthy() {
	local node
	[[ -e $STATE/ready ]] || return 1
	for node in $(nodes); do
		pid_in "$node" "$(dir_of "$node")/init.pid" >/dev/null || return 1
		[[ $node == coordinator ]] || daemon_pid "$node" libvirtd >/dev/null || return 1
	done
}

host_bring_up() { # HOST CAPACITY_KIB RATE
	host_create "$1" "$2"
	link_set_rate "$1" migration "$3"
}

# What a failed or interrupted `up` has made goes again. A second Ctrl-C does not stop
# that; helpers are waited for, for one that is killed may have children that go on.
up_undo() {
	trap - EXIT
	trap '' INT TERM
	note "up was not completed: removing what was made"
	wait
	lab_remove
	with_machine_lock mount_points_remove
	unlock_and_forget
}

command_up() {
	local count='' rate=1gbit locks=no listen=no fresh=no bare=no memory_kib=1048576 value host
	local build=${DROVER_BUILD_DIR:-$LAB_REPO/build/dev}
	local -A memory_of=()
	while (($# > 0)); do
		case $1 in
		--memory)
			(($# >= 2)) || usage_error "--memory needs a size"
			value=${2#*=}
			parse_size_kib "$value" >/dev/null || usage_error "--memory \"$2\" is no size: write 1GiB, or host2=512MiB"
			(($(parse_size_kib "$value") >= 131072)) ||
				usage_error "--memory $value is too little for a host: at least 128MiB"
			if [[ $2 == *=* ]]; then
				memory_of[${2%%=*}]=$(parse_size_kib "$value")
			else
				memory_kib=$(parse_size_kib "$value")
			fi
			shift
			;;
		--rate)
			(($# >= 2)) || usage_error "--rate needs a rate"
			is_link_rate "$2" || usage_error "--rate \"$2\" is no rate: write 1gbit, 200mbit or none"
			rate=$2
			shift
			;;
		--build)
			(($# >= 2)) || usage_error "--build needs a directory"
			build=$2
			shift
			;;
		--bare) bare=yes ;;
		--locks) locks=yes ;;
		--listen) listen=yes ;;
		--fresh) fresh=yes ;;
		-*) usage_error "up knows no option \"$1\"" ;;
		*)
			[[ -z $count ]] || usage_error "up needs one number of hosts"
			if ! is_count "$1" || (($1 > MAX_HOSTS)); then
				usage_error "\"$1\" is no number of hosts from 1 to $MAX_HOSTS"
			fi
			count=$1
			;;
		esac
		shift
	done
	count=${count:-3}
	[[ $listen == no || $bare == no ]] || usage_error "--listen needs the certificates that --bare hosts do not have"
	for host in "${!memory_of[@]}"; do
		if [[ ! $host =~ ^host([1-9][0-9]?)$ ]] || ((BASH_REMATCH[1] > count)); then
			usage_error "--memory names \"$host\", but the hosts are host1 to host$count"
		fi
	done
	require_commands ip=iproute2 tc=iproute2 ss=iproute2 sysctl=procps nsenter=util-linux unshare=util-linux \
		losetup=util-linux flock=util-linux gcc=gcc jq=jq virsh=libvirt-clients \
		libvirtd=libvirt-daemon-system qemu-system-x86_64=qemu-system-x86
	[[ $locks == no ]] || require_commands virtlockd=libvirt-daemon
	if [[ $bare == no ]]; then
		build=$(realpath -m "$build")
		cluster_require_build "$build"
	fi
	local started
	started=$(now_ms)
	lock exclusive
	if lab_is_healthy && [[ $fresh == no ]]; then
		die "lab \"$LAB\" is already up: use it, or \"tools/lab up --fresh\" to build it anew (its guests are lost)"
	fi
	if lab_exists; then
		[[ $fresh == yes ]] || note "removing what an earlier run of lab \"$LAB\" has left"
		lab_remove
	fi
	trap up_undo EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir -p "$STATE"/{hosts,shared/.lockspace,lun,console,images,guests}
	chmod 0755 "$STATE"
	say "$count" >"$STATE/host-count"
	[[ $locks == no ]] || touch "$STATE/locks"
	[[ $listen == no ]] || touch "$STATE/listen"
	with_machine_lock mount_points_make
	reap_build
	tiny_build
	{
		say "127.0.0.1 localhost"
		for host in $(nodes); do say "$MGMT_NET.$(index_of "$host") $host"; done
	} >"$STATE/hosts-file"
	network_create_switch
	for host in $(hosts); do
		host_bring_up "$host" "${memory_of[$host]:-$memory_kib}" "$rate" &
	done
	{
		host_create coordinator 0
		[[ $bare == yes ]] || cluster_init "$build"
	} &
	wait_jobs || die "a host could not be built; the reason is above"
	if [[ $bare == no ]]; then
		say "$build" >"$STATE/build-dir"
		for host in $(hosts); do cluster_join "$host" "$build" "$rate" & done
		wait_jobs || die "a host could not join; the reason is above"
		cluster_end
	fi
	# The first host asks QEMU what it can do; the others get the answer.
	if [[ ! -d $(capabilities_dir) ]]; then
		note "asking QEMU for its capabilities, once per machine: some seconds"
		libvirtd_start host1
		capabilities_keep host1
		for host in $(hosts); do capabilities_seed "$host"; done
	fi
	for host in $(hosts); do libvirtd_start "$host" & done
	wait_jobs || die "a libvirtd could not be started; the reason is above"
	touch "$STATE/ready"
	trap - EXIT INT TERM
	say "lab \"$LAB\" is up: $count host$( ((count == 1)) || printf s) in $(seconds_of_ms $(($(now_ms) - started))) s"
}

lab_down() {
	lock exclusive
	local existed=no
	if lab_exists; then existed=yes; fi
	lab_remove
	with_machine_lock mount_points_remove
	rm -f "$LOCK_FILE"
	if [[ -z $(other_labs) ]]; then rm -f "$MACHINE_LOCK_FILE"; fi
	unlock_and_forget
	if [[ $existed == yes ]]; then say "lab \"$LAB\" is down"; else say "lab \"$LAB\" was not up"; fi
}

# Names of all labs of this machine, from what they have left anywhere.
all_labs() {
	local path name
	{
		for path in "$LABS_DIR"/*/; do [[ ! -d $path ]] || basename "$path"; done
		for path in "$LABS_DIR"/*.lock; do [[ ! -e $path ]] || basename "$path" .lock; done
		for path in /run/netns/drover-*-switch; do
			[[ -e $path ]] || continue
			name=${path##*/drover-}
			say "${name%-switch}"
		done
	} | sort -u
}

command_down() {
	local all=no cache=no lab
	while (($# > 0)); do
		case $1 in
		--all) all=yes ;;
		--cache) cache=yes ;;
		*) usage_error "down knows no argument \"$1\"" ;;
		esac
		shift
	done
	if [[ $all == no ]]; then
		lab_down
	else
		for lab in $(all_labs); do DROVER_LAB=$lab "$LAB_PROGRAM" down; done
	fi
	if [[ $cache == yes ]]; then rm -rf "$CACHE_DIR"; fi
}
