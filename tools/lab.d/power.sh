# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# power - a host that loses its power at once and for good, or comes back as after a
# reboot; and libvirt's qemu hook, which is on a host or is not.

power_off() {
	local host=$1 pid holder
	link_set_carrier "$host" mgmt down
	link_set_carrier "$host" migration down
	holder=$(pid_in "$host" "$(dir_of "$host")/init.pid") || die "$host is not running"
	for pid in $(ip netns pids "$(netns_of "$host")"); do
		# The host itself stays, and what reaps its dead.
		[[ $pid == "$holder" || $(cat "/proc/$pid/comm" 2>/dev/null) == reap ]] || kill -KILL "$pid" 2>/dev/null || true
	done
	wait_until 15 daemon_is_gone "$host" libvirtd || die "libvirtd on $host is still there"
}

power_on() {
	local host=$1 dir
	dir=$(dir_of "$host")
	# What a reboot forgets; definitions and the agent's journal are on its disk.
	rm -rf "${dir:?}"/run/libvirt/* "${dir:?}"/run/drover/*
	link_set_carrier "$host" mgmt up
	link_set_carrier "$host" migration up
	libvirtd_start "$host"
}

command_power() {
	(($# == 2)) || usage_error "power needs HOST and off or on"
	local host=$1 action=$2
	case $action in on | off) ;; *) usage_error "power is off or on, not \"$action\"" ;; esac
	require_host "$host"
	lock shared
	"power_$action" "$host"
}

command_hook() {
	(($# == 2)) || usage_error "hook needs HOST and on or off"
	local host=$1 action=$2 folder
	case $action in on | off) ;; *) usage_error "hook is on or off, not \"$action\"" ;; esac
	require_host "$host"
	lock shared
	folder=$(dir_of "$host")/etc-libvirt/hooks/qemu.d
	if [[ $action == on ]]; then
		install -D -m 755 "$LAB_REPO/tools/hook/drover-qemu-hook" "$folder/drover"
	else
		rm -f "$folder/drover"
	fi
	# libvirt looks for its hooks when it starts.
	daemon_signal "$host" libvirtd TERM
	libvirtd_start "$host"
}
