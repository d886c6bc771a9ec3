/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sees of its host when its CPU is not spelled out (host-passthrough, maximum).
 *
 * Such a guest can only move to a host that is equal in everything that decides what it sees: the
 * processor and its microcode, the features that the kernel found, kernel, QEMU and libvirt. libvirt
 * calls every host compatible (measured), so the source says what it is, and the destination compares.
 *
 *	"cpu AuthenticAMD 26/2/1, microcode 0xb002116\nfeatures 5a3f90c1\nkernel 6.1.0-18-amd64\n..."
 *
 * Pure. Made by the edge (hypervisor_libvirt_host.c), compared byte for byte, line by line.
 */
#pragma once

#include "common/check.h"
#include "common/fit.h"

#include <stdbool.h>
#include <stddef.h>

/* Is that CPU mode one that shows the host as it is? */
bool host_signature_is_needed(const char *cpu_mode);

/* @cpuinfo: the text of /proc/cpuinfo. @ret (HOST_SIGNATURE_BYTES) is empty if it does not say what
 * processor this is. */
void host_signature_make(const char *cpuinfo, const char *kernel, const char *hypervisor,
                         const char *libvirt, char *ret);

/* The "cpu" check of a guest with such a mode: what differs, and what to do. "" is a signature that
 * nobody made, and equal to none. */
void host_signature_judge(const char *cpu_mode, const char *source, const char *own,
                          struct check *ret_cpu);
