# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# storage - disks of guests, in the classes that differ in what protects them.
#
#   file    /srv/drover/shared/NAME.img   one inode on every host: QEMU's image
#                                         locks see each other
#   lun     /srv/drover/lun/NAME          a block device on every host, each a loop
#                                         device of its own over one backing file:
#                                         no lock crosses hosts, as with FC, iSCSI
#                                         or LVM. With `up --locks`, virtlockd's
#                                         shared lockspace guards it (lun+lock)
#   local   /srv/drover/local/NAME.img    on its own host only
#
# A LUN's identity is what udev would have read from it: its WWN and serial stand
# in each host's udev database (/run/udev/data/bMAJOR:MINOR), the same everywhere.

disk_path_inside() { # CLASS NAME
	case $1 in
	file) say "/srv/drover/shared/$2.img" ;;
	lun) say "/srv/drover/lun/$2" ;;
	local) say "/srv/drover/local/$2.img" ;;
	esac
}

# Where the bytes are on the machine.
disk_backing() { # CLASS NAME HOST
	case $1 in
	file) say "$STATE/shared/$2.img" ;;
	lun) say "$STATE/lun/$2" ;;
	local) say "$(dir_of "$3")/srv/local/$2.img" ;;
	esac
}

lun_wwn() {
	local sum
	sum=$(printf '%s/%s' "$LAB" "$1" | sha256sum)
	say "0x6${sum:0:15}"
}

# lun_attach HOST NAME: a loop device, its node at the LUN's path, its udev record.
lun_attach() {
	local host=$1 name=$2 loop node numbers wwn
	node=$(dir_of "$host")/srv/lun/$name
	loop=$(losetup --find --show "$STATE/lun/$name") ||
		die "no loop device for $name on $host: \"losetup -l\" shows who has them"
	numbers=$(stat -c '%Hr %Lr' "$loop")
	# shellcheck disable=SC2086 # two words: major and minor
	mknod -m 0660 "$node" b $numbers
	wwn=$(lun_wwn "$name")
	inside "$host" tee "/run/udev/data/b${numbers/ /:}" >/dev/null <<-END
		E:ID_WWN=$wwn
		E:ID_SERIAL=${wwn#0x}
		E:ID_SERIAL_SHORT=${wwn#0x}
	END
}

# Loop devices over backing files of this lab, deleted ones too.
loops_list() {
	local device file
	losetup --list --noheadings --output NAME,BACK-FILE | while read -r device file; do
		[[ $file != "$STATE"/* ]] || say "$device"
	done
}

# disk_create CLASS NAME SIZE_KIB HOST FORMAT
disk_create() {
	local class=$1 name=$2 size_kib=$3 host=$4 format=$5 backing other
	backing=$(disk_backing "$class" "$name" "$host")
	rm -f "$backing"
	if [[ $format == qcow2 ]]; then
		qemu-img create -q -f qcow2 "$backing" "${size_kib}K"
	else
		truncate -s "${size_kib}K" "$backing"
	fi
	[[ $class == lun ]] || return 0
	for other in $(hosts); do lun_attach "$other" "$name"; done
}

# lun_detach HOST NAME: the reverse of lun_attach.
lun_detach() {
	local host=$1 name=$2 node numbers
	node=$(dir_of "$host")/srv/lun/$name
	[[ -b $node ]] || return 0
	numbers=$(stat -c '%Hr:%Lr' "$node")
	losetup -d "/dev/loop${numbers#*:}"
	inside "$host" rm -f "/run/udev/data/b$numbers"
	rm -f "$node"
}

# disk_remove NAME: in whatever class it is.
disk_remove() {
	local name=$1 host
	if [[ -e $STATE/lun/$name ]]; then
		for host in $(hosts); do lun_detach "$host" "$name"; done
		rm -f "$STATE/lun/$name"
	fi
	rm -f "$STATE/shared/$name.img" "$STATE"/hosts/*/srv/local/"$name.img"
}
