# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# linux - the real guest's images, from Debian's packages, in the lab's cache.

linux_kernel() { say "$IMAGES_DIR/vmlinuz"; }
linux_initramfs() { say "$IMAGES_DIR/initramfs"; }
linux_build() { die "the linux guest is not there yet"; }
