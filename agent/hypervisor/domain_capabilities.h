/* SPDX-License-Identifier: Apache-2.0 */
/* What libvirt says a host can do, read out of its two texts: the domain capabilities (for one
 * emulator and machine type) and the capabilities (of the host).
 *
 * Pure: text in, values out; any thread. Both are bounded and parsed as domain XML is. */
#pragma once

#include "agent/hypervisor/hypervisor.h"

#include <stddef.h>

/* Fills vcpus_max, loader_listed (is @loader among those that come with QEMU?) and tpm_emulator. */
int domain_capabilities_parse(const char *xml, size_t bytes, const char *loader,
                              struct guest_capabilities *ret, struct error *err);

/* Fills tsc_hz and tsc_scaling; both stay as they are if the text does not say. */
int domain_capabilities_parse_host(const char *xml, size_t bytes, struct guest_capabilities *ret,
                                   struct error *err);

/* Appends the machine types of every emulator and what runs them: machines and types of @ret. */
int domain_capabilities_parse_machines(const char *xml, size_t bytes, struct host_offers *ret,
                                       struct error *err);
