# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# host - one lab host: its directories, memory limit, namespaces and libvirtd.
#
# hosts/hostN/ in the state directory holds what is private to a host and, under
# run/, the sockets that are reachable from outside:
#
#   init.pid libvirtd.pid virtlockd.pid agent.pid (coordinator.pid)   with .log
#   run/libvirt  run/drover  etc-drover  etc-pki  etc-libvirt  var-libvirt ...   bind mounts

REAP=$CACHE_DIR/reap

# Builds reap when its source has changed.
reap_build() {
	local source=$LAB_PARTS/reap.c
	[[ -x $REAP && ! $source -nt $REAP ]] && return 0
	mkdir -p "$CACHE_DIR"
	gcc -std=gnu11 -O2 -Wall -Wextra -o "$REAP.$$" "$source"
	# Renamed: a running reap keeps its old file, another lab never sees half of one.
	mv "$REAP.$$" "$REAP"
}

# ---- memory ----
#
# A host's processes live in a cgroup that holds its configured capacity and what
# its daemons need besides (sanitizer builds of them too). cgroup v2 where its
# memory controller is enabled, else v1; where neither is, the capacity is only a
# figure in the agent's configuration, and `status` says so.

HOST_DAEMONS_KIB=$((256 * 1024))

cgroup_version() {
	# Writable: in a container they may be shown and yet belong to somebody else.
	if grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null && [[ -w /sys/fs/cgroup ]]; then
		say v2
	elif [[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes && -w /sys/fs/cgroup/memory ]]; then
		say v1
	else
		say none
	fi
}

cgroup_dir_of() {
	case $(cgroup_version) in
	v2) say "/sys/fs/cgroup/$(netns_of "$1")" ;;
	v1) say "/sys/fs/cgroup/memory/$(netns_of "$1")" ;;
	*) say - ;;
	esac
}

# cgroup_create NODE CAPACITY_KIB
cgroup_create() {
	local dir limit=$((($2 + HOST_DAEMONS_KIB) * 1024))
	dir=$(cgroup_dir_of "$1")
	[[ $dir != - ]] || return 0
	mkdir -p "$dir"
	if [[ -e $dir/memory.max ]]; then
		say "$limit" >"$dir/memory.max"
	else
		say "$limit" >"$dir/memory.limit_in_bytes"
	fi
}

cgroup_get_limit_kib() {
	local dir file value
	dir=$(cgroup_dir_of "$1")
	for file in "$dir/memory.max" "$dir/memory.limit_in_bytes"; do
		if [[ -e $file ]]; then
			value=$(cat "$file")
			[[ $value =~ ^[0-9]+$ ]] && say $((value / 1024)) && return 0
		fi
	done
	say 0
}

# Dead processes leave a cgroup a moment after their end.
cgroup_remove() { [[ ! -d $1 ]] || wait_until 5 rmdir "$1" 2>/dev/null; }

cgroup_list() {
	local path
	for path in /sys/fs/cgroup/drover-"$LAB"-* /sys/fs/cgroup/memory/drover-"$LAB"-*; do
		[[ ${path##*/} =~ ^drover-"$LAB"-(coordinator|host[1-9][0-9]?)$ && -d $path ]] && say "$path"
	done
	return 0
}

# ---- libvirt's configuration ----

# Same name and host always give the same UUID, and no two labs share one.
host_uuid() {
	local sum
	sum=$(printf '%s/%s' "$LAB" "$1" | sha256sum)
	say "${sum:0:8}-${sum:8:4}-4${sum:13:3}-8${sum:17:3}-${sum:20:12}"
}

host_write_libvirt_config() {
	local host=$1 etc
	etc=$(dir_of "$host")/etc-libvirt
	cp -a /etc/libvirt/. "$etc/"
	# The default network would want dnsmasq and firewall rules; guests use br0.
	rm -rf "$etc"/qemu/networks/*.xml "$etc"/qemu/networks/autostart/* "$etc"/qemu/*.xml "$etc"/qemu/autostart
	cat >>"$etc/qemu.conf" <<-END

		# ---- drover lab ----
		user = "root"
		group = "root"
		security_driver = "none"
		# Several libvirtd under one kernel: each keeps its hands off what they share.
		cgroup_controllers = []
		namespaces = []
		remember_owner = 0
		stdio_handler = "file"
		migration_address = "$MIGRATION_NET.$(index_of "$host")"
		migration_host = "$MIGRATION_NET.$(index_of "$host")"
		# libvirt must not be the first to give up a control connection: at the
		# switchover it would resume a guest that already runs elsewhere.
		keepalive_interval = -1
	END
	cat >>"$etc/libvirtd.conf" <<-END

		# ---- drover lab ----
		# No TCP listener: libvirtd runs without --listen and without socket units.
		listen_tls = 0
		listen_tcp = 0
		auth_unix_rw = "none"
		unix_sock_rw_perms = "0700"
		host_uuid = "$(host_uuid "$host")"
		keepalive_interval = -1
		log_level = 3
		log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
	END
	# What drover does without: libvirt's own remote connection, with the certificates of "drover join".
	[[ ! -e $STATE/listen ]] || sed -i 's/^listen_tls = 0/listen_tls = 1/' "$etc/libvirtd.conf"
	[[ -e $STATE/locks ]] || return 0
	say 'lock_manager = "lockd"' >>"$etc/qemu.conf"
	cat >>"$etc/qemu-lockd.conf" <<-END

		# ---- drover lab ----
		auto_disk_leases = 1
		file_lockspace_dir = "/srv/drover/shared/.lockspace"
	END
}

# ---- QEMU's capabilities ----
#
# libvirt asks each QEMU binary what it can do, which takes seconds, and caches the
# answer. The lab keeps the answers for everything libvirt compares before it trusts
# them; a stale one costs time, never correctness.

capabilities_dir() {
	local key
	key=$({
		stat -c '%n %Z' "$(command -v libvirtd)" /usr/bin/qemu-system-*
		libvirtd --version
		uname -rv
		grep -m3 -E 'model name|microcode|^flags' /proc/cpuinfo
		stat -c %a /dev/kvm
	} 2>/dev/null | sha256sum) || true
	say "$CACHE_DIR/capabilities/${key:0:16}"
}

capabilities_seed() {
	local from to
	from=$(capabilities_dir)
	to=$(dir_of "$1")/cache-libvirt/qemu/capabilities
	mkdir -p "$to"
	[[ ! -d $from ]] || cp -p "$from"/*.xml "$to/"
}

# Asks HOST's libvirt once, and keeps the answer for other hosts and labs.
capabilities_keep() {
	local host=$1 to from
	from=$(dir_of "$host")/cache-libvirt/qemu/capabilities
	to=$(capabilities_dir)
	timeout 120 virsh -q -c "$(libvirt_uri "$host")" capabilities >/dev/null ||
		die "libvirt on $host cannot tell its capabilities: see $(dir_of "$host")/log-libvirt/libvirtd.log"
	mkdir -p "$to.$$"
	cp -p "$from"/*.xml "$to.$$/"
	mv -T "$to.$$" "$to" 2>/dev/null || rm -rf "$to.$$"
}

# ---- life ----

# host_create NODE CAPACITY_KIB: directories, configuration, namespaces; no daemon yet.
host_create() {
	local node=$1 dir cgroup
	dir=$(dir_of "$node")
	mkdir -p "$dir"/{run/drover,etc-drover,etc-pki,var-drover}
	chmod 0700 "$dir"/{etc-drover,var-drover}
	if [[ $node != coordinator ]]; then
		mkdir -p "$dir"/{run/libvirt,etc-libvirt,var-libvirt/qemu,var-libvirt/images,log-libvirt/qemu,cache-libvirt} \
			"$dir"/srv/{shared,lun,local}
		say "$2" >"$dir/capacity-kib"
		host_write_libvirt_config "$node"
		capabilities_seed "$node"
		cgroup_create "$node" "$2"
		cgroup=$(cgroup_dir_of "$node")
	else
		cgroup=-
	fi
	network_create_node "$node" "$(index_of "$node")"
	nsenter --net="/run/netns/$(netns_of "$node")" unshare --mount --uts --propagation private -- \
		bash "$LAB_PARTS/host-init.sh" "$STATE" "$node" "$REAP" "$cgroup" 2>"$dir/init.err" ||
		die "$node could not be built: $(cat "$dir/init.err")"
}

# daemon_start NODE NAME COMMAND...: in the background, inside NODE, in its cgroup.
daemon_start() {
	local node=$1 name=$2 dir cgroup join=()
	shift 2
	dir=$(dir_of "$node")
	cgroup=$(cgroup_dir_of "$node")
	if [[ $cgroup != - && -d $cgroup ]]; then join=(-g "$cgroup"); fi
	inside "$node" "$REAP" -p "$dir/$name.pid" -o "$dir/$name.log" "${join[@]}" -- "$@"
}

daemon_pid() { pid_in "$1" "$(dir_of "$1")/$2.pid"; }
daemon_is_gone() { ! daemon_pid "$@" >/dev/null; }

# daemon_signal NODE NAME SIGNAL: sends it and waits until the daemon is gone.
daemon_signal() {
	local node=$1 name=$2 signal=$3 pid
	pid=$(daemon_pid "$node" "$name") || return 0
	kill "-$signal" "$pid" 2>/dev/null || true
	wait_until 15 daemon_is_gone "$node" "$name" ||
		die "$name on $node (pid $pid) did not end within 15 s of SIG$signal:" \
			"\"kill\" instead of \"stop\" ends it"
}

libvirtd_answers() { [[ -S $(libvirt_socket "$1") ]] && timeout 5 virsh -q -c "$(libvirt_uri "$1")" uri >/dev/null 2>&1; }

libvirtd_start() {
	local host=$1 dir
	dir=$(dir_of "$host")
	if daemon_pid "$host" libvirtd >/dev/null; then return 0; fi
	if [[ -e $STATE/locks ]] && ! daemon_pid "$host" virtlockd >/dev/null; then
		rm -f "$dir/run/libvirt/virtlockd-sock"
		daemon_start "$host" virtlockd /usr/sbin/virtlockd
		wait_until 10 test -S "$dir/run/libvirt/virtlockd-sock" ||
			die "virtlockd on $host does not listen: see $dir/virtlockd.log"
	fi
	# A killed libvirtd leaves its socket: its file must not pass for readiness.
	rm -f "$dir"/run/libvirt/libvirt-sock*
	local options=()
	[[ ! -e $STATE/listen ]] || options=(--listen)
	daemon_start "$host" libvirtd /usr/sbin/libvirtd "${options[@]}"
	wait_until 30 libvirtd_answers "$host" ||
		die "libvirtd on $host does not answer: see $dir/libvirtd.log and $dir/log-libvirt/libvirtd.log"
}

command_libvirtd() {
	(($# == 2)) || usage_error "libvirtd needs HOST and one of stop, start, restart, kill"
	local host=$1 action=$2
	case $action in stop | start | restart | kill) ;; *)
		usage_error "unknown action \"$action\" for libvirtd: stop, start, restart or kill" ;;
	esac
	require_host "$host"
	lock shared
	case $action in
	start) libvirtd_start "$host" ;;
	stop) daemon_signal "$host" libvirtd TERM ;;
	kill) daemon_signal "$host" libvirtd KILL ;;
	restart)
		daemon_signal "$host" libvirtd TERM
		libvirtd_start "$host"
		;;
	esac
}

command_shell() {
	(($# >= 1)) || usage_error "shell needs a HOST (or \"coordinator\")"
	local node=$1 pid where=/root
	shift
	require_node "$node"
	pid=$(pid_in "$node" "$(dir_of "$node")/init.pid") ||
		die "$node is not running: \"tools/lab down\" and \"tools/lab up\" rebuild the lab"
	(($# > 0)) || set -- "${SHELL:-/bin/bash}"
	# Stay where the caller is, if that exists there too.
	[[ ! -d /proc/$pid/root$PWD ]] || where=$PWD
	exec env DROVER_LAB="$LAB" DROVER_HOST="$node" LIBVIRT_DEFAULT_URI=qemu:///system \
		debian_chroot="$LAB:$node" \
		nsenter -t "$pid" -m -u -n --wdns="$where" -- "$@"
}

command_virsh() {
	(($# >= 1)) || usage_error "virsh needs a HOST"
	local host=$1
	shift
	require_host "$host"
	exec virsh -c "$(libvirt_uri "$host")" "$@"
}
