# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# guest - guest images, guests, and what their heartbeats prove.
#
#   tiny    tools/lab.d/guest: boots at once, dirties memory at a settable rate
#   linux   tools/lab.d/linux: Debian's cloud kernel and busybox. Under TCG it may
#           only be moved in one pass (no bandwidth limit, idle): QEMU before 9.0
#           corrupts an ordinary guest's memory in later passes
#
# Every guest appends its heartbeats to STATE/console/NAME.log, a path that is the
# same on all hosts, so one file tells its whole life.

IMAGES_DIR=$CACHE_DIR/guests

# ---- images ----

tiny_image() { say "$IMAGES_DIR/tiny.elf"; }

tiny_build() {
	local source=$LAB_PARTS/guest image file
	image=$(tiny_image)
	for file in "$source"/*; do
		if [[ ! -e $image || $file -nt $image ]]; then
			mkdir -p "$IMAGES_DIR"
			# No libgcc, no headers: nothing of a 32-bit toolchain is needed.
			gcc -m32 -march=i686 -std=gnu11 -O2 -Wall -Wextra -ffreestanding -fno-pic -fno-pie \
				-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
				-mno-sse -mno-mmx -mno-80387 -nostdlib -static -no-pie \
				-Wl,-m,elf_i386 -Wl,--build-id=none -Wl,--no-warn-rwx-segments \
				-Wl,-T,"$source/link.ld" -o "$image.$$" "$source/boot.S" "$source"/*.c
			mv "$image.$$" "$image"
			return 0
		fi
	done
}

command_guests() {
	[[ $# -eq 1 && $1 == build ]] || usage_error "guests knows one action: build"
	require_commands gcc=gcc ld=binutils
	tiny_build
	say "tiny:  $(tiny_image)"
	linux_build
	say "linux: $(linux_kernel) + $(linux_initramfs)"
}

# ---- definition ----

console_of() { say "$STATE/console/$1.log"; }

# The host that has the guest, in any state; nothing and false if none has.
guest_host() {
	local host
	for host in $(hosts); do
		if virsh_on "$host" domstate "$1" >/dev/null 2>&1; then
			say "$host"
			return 0
		fi
	done
	return 1
}

# guest_xml NAME MEMORY_KIB KERNEL INITRD|- COMMAND_LINE STORAGE DISK_BUS DISK_FORMAT
guest_xml() {
	local name=$1 memory_kib=$2 kernel=$3 initrd=$4 command_line=$5 storage=$6 bus=$7 format=$8
	local initrd_xml='' disk_xml='' path target
	[[ $initrd == - ]] || initrd_xml="<initrd>$initrd</initrd>"
	if [[ $storage != none ]]; then
		path=$(disk_path_inside "$storage" "$name")
		target=hda
		[[ $bus == ide ]] || target=vda
		if [[ $storage == lun ]]; then
			disk_xml="<disk type='block' device='disk'><source dev='$path'/>"
		else
			disk_xml="<disk type='file' device='disk'><source file='$path'/>"
		fi
		disk_xml+="<driver name='qemu' type='$format' cache='none' io='native'/>"
		disk_xml+="<target dev='$target' bus='$bus'/></disk>"
	fi
	cat <<-END
		<domain type='qemu'>
		  <name>$name</name>
		  <memory unit='KiB'>$memory_kib</memory>
		  <vcpu>1</vcpu>
		  <os>
		    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
		    <kernel>$kernel</kernel>
		    $initrd_xml
		    <cmdline>$command_line</cmdline>
		  </os>
		  <features><acpi/></features>
		  <cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu>
		  <devices>
		    <emulator>/usr/bin/qemu-system-x86_64</emulator>
		    <controller type='usb' model='none'/>
		    $disk_xml
		    <interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
		    <serial type='file'><source path='$(console_of "$name")' append='on'/><target port='0'/></serial>
		    <serial type='pty'><target port='1'/></serial>
		    <memballoon model='none'/>
		  </devices>
		</domain>
	END
}

console_has_heartbeat() { grep -q -m1 '^hb ' "$(console_of "$1")" 2>/dev/null; }

command_vm() {
	local name='' host='' memory=128MiB working_set=16MiB dirty=1MiB/s storage=none disk=16MiB
	local linux=no persistent=no xml_only=no format=raw positional=()
	while (($# > 0)); do
		case $1 in
		--memory | --working-set | --dirty | --storage | --disk)
			(($# >= 2)) || usage_error "$1 needs a value"
			case $1 in
			--memory) memory=$2 ;;
			--working-set) working_set=$2 ;;
			--dirty) dirty=$2 ;;
			--storage) storage=$2 ;;
			--disk) disk=$2 ;;
			esac
			shift
			;;
		--linux) linux=yes ;;
		--qcow2) format=qcow2 ;;
		--persistent) persistent=yes ;;
		--xml-only) xml_only=yes ;;
		-*) usage_error "vm knows no option \"$1\"" ;;
		*) positional+=("$1") ;;
		esac
		shift
	done
	((${#positional[@]} == 2)) || usage_error "vm needs a NAME and a HOST"
	name=${positional[0]} host=${positional[1]}
	is_name "$name" || usage_error "\"$name\" is no guest name: $NAME_RULE"

	local memory_kib working_set_kib disk_kib rate
	memory_kib=$(parse_size_kib "$memory") || usage_error "--memory \"$memory\" is no size: write 128MiB or 1GiB"
	((memory_kib >= 8192)) || usage_error "--memory $memory is too little: at least 8MiB"
	working_set_kib=$(parse_size_kib "$working_set") ||
		usage_error "--working-set \"$working_set\" is no size: write 16MiB"
	[[ $linux == yes ]] || ((working_set_kib <= memory_kib - 5120)) ||
		usage_error "--working-set $working_set does not fit into --memory $memory, of which 5MiB are used otherwise"
	disk_kib=$(parse_size_kib "$disk") || usage_error "--disk \"$disk\" is no size: write 16MiB"
	((disk_kib >= 64)) || usage_error "--disk $disk is too little: at least 64KiB"
	case $dirty in
	max | 0) rate=$dirty ;;
	*/s) rate=$(parse_size_kib "${dirty%/s}") || usage_error "--dirty \"$dirty\" is no rate: write 1MiB/s, 0 or max" ;;
	*) usage_error "--dirty \"$dirty\" is no rate: write 1MiB/s, 0 or max" ;;
	esac
	case $storage in none | file | lun | local) ;; *)
		usage_error "--storage \"$storage\" is none of none, file, lun, local" ;;
	esac
	[[ $format == raw || $storage == file || $storage == local ]] ||
		usage_error "--qcow2 goes with --storage file or local"
	require_host "$host"

	local kernel initrd=- command_line bus=ide index seed
	seed=$((SRANDOM & 0x3fffffff))
	if [[ $linux == yes ]]; then
		((memory_kib >= 98304)) || usage_error "--memory $memory is too little for --linux: at least 96MiB"
		kernel=$STATE/images/vmlinuz initrd=$STATE/images/initramfs bus=virtio
		index=$((16#$(printf '%s' "$name" | sha256sum | head -c 4) % 200 + 10))
		command_line="console=ttyS0 quiet panic=1 drover.seed=$seed"
		command_line+=" drover.address=$GUEST_NET.$index/24 drover.gateway=$GUEST_NET.254"
	else
		kernel=$STATE/images/tiny.elf
		command_line="ws=$working_set_kib rate=$rate hb=100 seed=$seed"
	fi
	local xml
	xml=$(guest_xml "$name" "$memory_kib" "$kernel" "$initrd" "$command_line" "$storage" "$bus" "$format")
	if [[ $xml_only == yes ]]; then
		say "$xml"
		return 0
	fi

	lock shared
	local found file
	if found=$(guest_host "$name"); then
		die "there is a guest \"$name\" on $found: choose another name, or \"tools/lab rm $name\""
	fi
	# Copies: the guest must not see the cache change under it.
	for file in "$(tiny_image)" "$(linux_kernel)" "$(linux_initramfs)"; do
		[[ $linux == yes || $file == "$(tiny_image)" ]] || continue
		if [[ $linux == yes && ! -e $file ]]; then linux_build; fi
		if [[ ! -e $STATE/images/${file##*/} ]]; then
			cp "$file" "$STATE/images/.$name.$$"
			mv "$STATE/images/.$name.$$" "$STATE/images/${file##*/}"
		fi
	done
	rm -f "$(console_of "$name")"
	[[ $storage == none ]] || disk_create "$storage" "$name" "$disk_kib" "$host" "$format"
	say "$xml" >"$STATE/guests/$name.xml"
	say "$storage $format" >"$STATE/guests/$name.storage"
	local action=create error
	[[ $persistent == no ]] || action=define
	if ! error=$(virsh_on "$host" "$action" "$STATE/guests/$name.xml" 2>&1) ||
		{ [[ $persistent == yes ]] && ! error=$(virsh_on "$host" start "$name" 2>&1); }; then
		virsh_on "$host" undefine "$name" >/dev/null 2>&1 || true
		guest_forget "$name"
		die "libvirt on $host did not start \"$name\": $error"
	fi
	wait_until 60 console_has_heartbeat "$name" ||
		die "\"$name\" runs on $host but gave no heartbeat in 60 s: see $(console_of "$name")"
}

guest_forget() {
	disk_remove "$1"
	rm -f "$STATE/guests/$1".* "$(console_of "$1")"
}

command_rm() {
	(($# == 1)) || usage_error "rm needs a guest's NAME"
	local name=$1 host seen=no
	is_name "$name" || usage_error "\"$name\" is no guest name"
	require_up
	lock shared
	for host in $(hosts); do
		if virsh_on "$host" domstate "$name" >/dev/null 2>&1; then
			seen=yes
			virsh_on "$host" destroy "$name" >/dev/null 2>&1 || true
			virsh_on "$host" undefine "$name" >/dev/null 2>&1 || true
		fi
	done
	[[ $seen == yes || -e $STATE/guests/$name.xml ]] || die "no guest \"$name\" in lab \"$LAB\""
	guest_forget "$name"
}

# ---- commands to a guest ----

console_answers() { # NAME BYTES_BEFORE LINE
	tail -c "+$(($2 + 1))" "$(console_of "$1")" | tr -d '\r' | grep -q -x -F -e "ok $3" -e "error $3"
}

command_tell() {
	(($# >= 2)) || usage_error "tell needs a guest's NAME and settings such as rate=4096"
	local name=$1 host tty before line
	shift
	line=$*
	require_up
	host=$(guest_host "$name") || die "no guest \"$name\" in lab \"$LAB\""
	tty=$(virsh_on "$host" dumpxml "$name" |
		sed -n "/<serial type='pty'/,/<\/serial>/s/.*<source path='\([^']*\)'.*/\1/p" | head -n1)
	[[ -c $tty ]] || die "\"$name\" on $host has no second serial port to be told by"
	before=$(stat -c %s "$(console_of "$name")")
	# QEMU looks once a second whether somebody has opened the port: keep it open.
	exec 7<>"$tty"
	printf '%s\n' "$line" >&7
	wait_until 10 console_answers "$name" "$before" "$line" ||
		die "\"$name\" did not answer to \"$line\" within 10 s"
	exec 7>&-
	if tail -c "+$((before + 1))" "$(console_of "$name")" | tr -d '\r' | grep -q -x -F "error $line"; then
		die "\"$name\" did not understand \"$line\""
	fi
}

# ---- heartbeats ----

# Heartbeats of the console text on stdin, without "hb". The last line may still be being
# written: the mark behind it makes sure that half a line is none.
heartbeat_lines() {
	{ cat; say '#'; } |
		sed -nE 's/\r$//; s/^hb (nonce=[0-9a-f]{8} n=[0-9]+ .*disk=[0-9]+( [a-z]+=[0-9.]+)*)$/\1/p'
}
heartbeats() { heartbeat_lines <"$(console_of "$1")"; }
last_heartbeat() { tail -c 4096 "$(console_of "$1")" 2>/dev/null | heartbeat_lines | tail -n1; }

# Prints "NONCE N" of the heartbeat sector in FILE; false if there is none.
disk_sector() {
	local words
	# The loop devices and QEMU write around the page cache; so is it read.
	words=$(dd if="$1" bs=4096 skip=1 count=1 iflag=direct status=none |
		od -An -v -tx4 -N20 --endian=little | tr -s ' \n' ' ')
	read -r -a words <<<"$words"
	# "DROVERHB" as two little-endian words, then nonce, n, check.
	[[ ${words[0]-} == 564f5244 && ${words[1]-} == 42485245 ]] || return 1
	(((16#${words[2]} ^ 16#${words[3]} ^ 16#64726f76) == 16#${words[4]})) || return 1
	say "${words[2]} $((16#${words[3]}))"
}

field() { # LINE NAME
	[[ " $1 " =~ \ $2=([^ ]*)\  ]] && say "${BASH_REMATCH[1]}"
}

guest_backing() {
	local storage format host=-
	[[ -e $STATE/guests/$1.storage ]] || return 1
	read -r storage format <"$STATE/guests/$1.storage"
	# Where qcow2 has a sector is in QEMU's memory until it is flushed; the guest itself reads
	# back what it has written.
	[[ $storage != none && $format == raw ]] || return 1
	if [[ $storage == local ]]; then
		# A copy of it may lie where the guest was before.
		host=$(guest_host "$1") || return 1
	fi
	disk_backing "$storage" "$1" "$host"
}

command_counter() {
	local name='' check=no
	while (($# > 0)); do
		case $1 in
		--check) check=yes ;;
		-*) usage_error "counter knows no option \"$1\"" ;;
		*)
			[[ -z $name ]] || usage_error "counter needs one guest's NAME"
			name=$1
			;;
		esac
		shift
	done
	[[ -n $name ]] || usage_error "counter needs a guest's NAME"
	require_up
	[[ -e $(console_of "$name") ]] || die "no guest \"$name\" has written to a console in lab \"$LAB\""

	local last modified now_s backing sector='' word
	last=$(last_heartbeat "$name")
	[[ -n $last ]] || die "\"$name\" has given no heartbeat: see $(console_of "$name")"
	modified=$(stat -c %.3Y "$(console_of "$name")")
	now_s=$(date +%s.%3N)
	if backing=$(guest_backing "$name"); then
		sector=$(disk_sector "$backing") || sector=
	fi
	for word in $last; do say "$word"; done
	say "seen=$modified"
	say "age_ms=$((10#${now_s/./} - 10#${modified/./}))"
	if [[ -n $backing ]]; then
		say "disk_nonce=${sector% *}"
		say "disk_n=${sector#* }"
	fi
	[[ $check == no ]] || counter_check "$name" "$backing" "$last"
}

# The whole history: one nonce, n strictly increasing, nothing corrupt, and a disk
# sector that was written by this guest no earlier than the heartbeat seen before it.
counter_check() {
	local name=$1 backing=$2 before=$3 problem sector after n_before n_after disk_n
	problem=$(heartbeats "$name" | awk '
		function value(field) { sub(/^[^=]*=/, "", field); return field }
		{
			for (i = 1; i <= NF; i++) {
				if ($i ~ /^nonce=/) nonce = value($i)
				if ($i ~ /^n=/) n = value($i) + 0
				if ($i ~ /^corrupt=/) corrupt = value($i) + 0
			}
			if (NR == 1) first = nonce
			if (nonce != first) { print "restarted: nonce " nonce " after " first; exit }
			if (NR > 1 && n <= last) { print "ran twice: n " n " after " last; exit }
			if (corrupt) { print "corrupt: " corrupt " at n " n; exit }
			last = n
		}')
	[[ -z $problem ]] || die "\"$name\" $problem: see $(console_of "$name")"
	if grep -q -m1 '^CORRUPT' "$(console_of "$name")"; then
		die "\"$name\" reported $(grep -m1 '^CORRUPT' "$(console_of "$name")")"
	fi
	[[ -n $backing && $(field "$before" disk) != 0 ]] || return 0
	sector=$(disk_sector "$backing") || die "\"$name\": no whole heartbeat sector in $backing"
	after=$(last_heartbeat "$name")
	[[ ${sector% *} == "$(field "$before" nonce)" ]] ||
		die "\"$name\": its disk was last written by nonce ${sector% *}, not by $(field "$before" nonce)"
	n_before=$(field "$before" n) n_after=$(field "$after" n) disk_n=${sector#* }
	# The sector is written just before its heartbeat line.
	((disk_n >= n_before && disk_n <= n_after + 1)) ||
		die "\"$name\": its disk holds n $disk_n while the console went from $n_before to $n_after"
}
