#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# host-init - the first process of a lab host: builds its view of the machine.
#
# Runs inside the host's new network, mount and UTS namespaces, and becomes the
# process that keeps them. All mounts are private: the machine sees none of them,
# and they are gone with the host's last process.
#
#   host-init.sh STATE NODE REAP CGROUP_DIR|-
set -euo pipefail
state=$1 node=$2 reap=$3 cgroup=$4
dir=$state/hosts/$node

mount --make-rprivate /
hostname "$node"

# sysfs shows the network devices of the namespace it was mounted in. What the machine
# has mounted below it (cgroups, bpf, tracing) is carried over.
sys=$dir/sys
mkdir -p "$sys"
mount -t sysfs sysfs "$sys"
below=$(awk '$5 ~ /^\/sys\/[^ ]+$/ { print gsub("/", "/", $5), $5 }' /proc/self/mountinfo |
	sort -n | cut -d' ' -f2 | uniq)
for mount_point in $below; do
	if [[ -d $sys${mount_point#/sys} ]]; then
		mount --bind "$mount_point" "$sys${mount_point#/sys}"
	fi
done
mount --move "$sys" /sys
rmdir "$sys"

mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/drover /run/lock /run/udev/data
mount --bind "$dir/run/drover" /run/drover
mount --bind "$dir/etc-drover" /etc/drover
mount --bind "$dir/etc-pki" /etc/pki
mount --bind "$dir/var-drover" /var/lib/drover
if [[ -e /etc/hosts ]]; then mount --bind "$state/hosts-file" /etc/hosts; fi

if [[ $node != coordinator ]]; then
	mkdir -p /run/libvirt
	mount --bind "$dir/run/libvirt" /run/libvirt
	mount --bind "$dir/etc-libvirt" /etc/libvirt
	mount --bind "$dir/var-libvirt" /var/lib/libvirt
	mount --bind "$dir/log-libvirt" /var/log/libvirt
	mount --bind "$dir/cache-libvirt" /var/cache/libvirt
	mount --bind "$dir/srv" /srv/drover
	# The same inodes on every host; the rest of /srv/drover is this host's own.
	mount --bind "$state/shared" /srv/drover/shared
fi

join=()
if [[ $cgroup != - ]]; then join=(-g "$cgroup"); fi
exec "$reap" -p "$dir/init.pid" -o "$dir/init.log" "${join[@]}" --hold "$node"
