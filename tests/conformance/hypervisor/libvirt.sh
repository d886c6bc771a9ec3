#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The conformance suite on libvirt, in a lab of its own.
#
#   libvirt.sh BUILD_DIR/tests/test_hypervisor_libvirt
#
# The program runs inside host1, as an agent does. What it asks of the lab runs out here: it is
# given the way back into this shell's namespaces.
set -euo pipefail
program=$(realpath "$1")
lab=$(realpath "$(dirname "$0")/../../../tools/lab")

if ((EUID != 0)); then
	echo "the lab needs root"
	exit 77
fi
export DROVER_LAB=conform-$$
trap '"$lab" down' EXIT
"$lab" up 2
"$lab" shell host1 "$program" "/var/lib/drover-lab/$DROVER_LAB" \
	nsenter --target $$ --mount --uts --net -- env -u DROVER_HOST "DROVER_LAB=$DROVER_LAB" "$lab"
