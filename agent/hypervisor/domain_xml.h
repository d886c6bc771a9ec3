/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's domain XML, read into a struct vm_description.
 *
 * Pure: text in, value out; any thread. The text comes from libvirt, but guests' definitions are
 * written by people and by other hosts, so it is treated as hostile: at most DOMAIN_XML_BYTES, no
 * DOCTYPE (so no entities), nothing fetched, and no field is ever cut short: a path that is
 * too long for its field would be another path.
 *
 * Two texts describe one running guest. The live XML names taps ("vnet0") and backing files; the
 * migratable XML has the CPU with every feature spelled out, as the destination needs it, and of
 * addresses and paths only those that somebody chose.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"

#include <stddef.h>

#define DOMAIN_XML_BYTES (1024 * 1024)

/* Fills @ret from @xml: all but the summary's state, which only libvirt knows, and blockers that
 * only libvirt knows. Files that a disk's image is built on appear as read-only disks named
 * "vda[1]", "vda[2]" ..., for the destination needs them as well. The caller deinits @ret after 0.
 *
 * ERROR_INVALID: malformed, or not a domain. ERROR_TOO_LARGE: the text, or a field of it. */
int domain_xml_parse(const char *xml, size_t bytes, struct vm_description *ret, struct error *err);

/* Replaces @d's cpu_mode, cpu_xml and places by those of @xml, the migratable text: what is in the
 * live one besides, libvirt makes up anew for each start. @d is untouched on failure. */
int domain_xml_parse_migratable(const char *xml, size_t bytes, struct vm_description *d,
                                struct error *err);
