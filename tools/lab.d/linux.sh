# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# linux - the real guest's images: Debian's cloud kernel and an initramfs of busybox
# and the heartbeat, kept in the lab's cache. The packages are downloaded and taken
# apart there; nothing is installed on the machine.

LINUX_MODULES=(virtio_pci virtio_blk virtio_net)

linux_kernel() { say "$IMAGES_DIR/vmlinuz"; }
linux_initramfs() { say "$IMAGES_DIR/initramfs"; }

linux_is_built() {
	local file
	for file in linux/init linux/heartbeat.c; do
		[[ -e $(linux_initramfs) && ! $LAB_PARTS/$file -nt $(linux_initramfs) ]] || return 1
	done
	[[ -e $(linux_kernel) ]]
}

# linux_unpack PACKAGE DIRECTORY: downloads the package and takes it apart there.
linux_unpack() {
	local package=$1 directory=$2 output
	mkdir -p "$directory"
	output=$(cd "$directory" && apt-get -q download -o APT::Sandbox::User=root "$package" 2>&1) ||
		die "cannot download $package for the Linux guest: ${output##*$'\n'}. Try \"apt-get update\" first"
	dpkg-deb -x "$directory"/"$package"_*.deb "$directory"
	rm -f "$directory"/*.deb
}

# The name of the newest kernel that Debian's package of the cloud kernel stands for.
linux_kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n '0,/^ *Depends: \(linux-image-.*-cloud-amd64\).*/s//\1/p' | head -n1
}

# linux_add_module KERNEL_DIRECTORY NAME TO: the module after those it needs, to TO and
# to the list TO/order. A part that is built into the kernel is no file and needs none.
linux_add_module() {
	local kernel=$1 name=$2 to=$3 file needed
	[[ ! -e $to/$name.ko ]] || return 0
	file=$(find "$kernel/lib/modules" -name "$name.ko" -o -name "$name.ko.xz" | head -n1)
	if [[ -z $file ]]; then
		grep -q "/$name.ko$" "$kernel"/lib/modules/*/modules.builtin ||
			die "Debian's cloud kernel has no module $name"
		return 0
	fi
	if [[ $file == *.xz ]]; then xz -dc "$file" >"$to/$name.ko"; else cp "$file" "$to/$name.ko"; fi
	for needed in $(tr '\0' '\n' <"$to/$name.ko" | sed -n 's/^depends=//p' | tr , ' '); do
		linux_add_module "$kernel" "$needed" "$to"
	done
	say "$name.ko" >>"$to/order"
}

# ---- the archive ----
#
# The kernel reads cpio's "newc" form: per file a header of hexadecimal fields, the
# name and the content, each padded to four bytes.

initramfs_pad() { (($1 % 4 == 0)) || head -c $((4 - $1 % 4)) /dev/zero; }

# initramfs_entry NAME OCTAL_MODE SIZE: header and name; the content follows.
initramfs_entry() {
	printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
		0 $((8#$2)) 0 0 1 0 "$3" 0 0 0 0 $((${#1} + 1)) 0 "$1"
	initramfs_pad $((110 + ${#1} + 1))
}

# initramfs_write DIRECTORY: the archive of everything in it, to stdout.
initramfs_write() {
	local path size
	find "$1" -mindepth 1 -printf '%P\n' | LC_ALL=C sort | while read -r path; do
		if [[ -d $1/$path ]]; then
			initramfs_entry "$path" 040755 0
		else
			size=$(stat -c %s "$1/$path")
			initramfs_entry "$path" 100755 "$size"
			cat "$1/$path"
			initramfs_pad "$size"
		fi
	done
	initramfs_entry TRAILER!!! 0 0
}

linux_build() {
	linux_is_built && return 0
	require_commands apt-get=apt apt-cache=apt dpkg-deb=dpkg gzip=gzip xz=xz-utils gcc=gcc
	local package work root module
	package=$(linux_kernel_package)
	[[ -n $package ]] ||
		die "apt knows no linux-image-cloud-amd64 for the Linux guest: run \"apt-get update\""
	mkdir -p "$IMAGES_DIR"
	work=$(mktemp -d "$IMAGES_DIR/.build.XXXXXX")
	root=$work/root
	note "building the Linux guest from $package, once per machine"
	linux_unpack "$package" "$work/kernel"
	linux_unpack busybox-static "$work/busybox"
	mkdir -p "$root"/{bin,dev,proc,sys,modules}
	cp "$work/busybox/bin/busybox" "$root/bin/busybox"
	install -m 0755 "$LAB_PARTS/linux/init" "$root/init"
	gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$root/bin/heartbeat" "$LAB_PARTS/linux/heartbeat.c"
	for module in "${LINUX_MODULES[@]}"; do linux_add_module "$work/kernel" "$module" "$root/modules"; done
	initramfs_write "$root" | gzip -1 >"$work/initramfs"
	mv "$work"/kernel/boot/vmlinuz-* "$(linux_kernel)"
	# Last, and renamed: its presence says that all is there.
	mv "$work/initramfs" "$(linux_initramfs)"
	rm -rf "$work"
}
