/* SPDX-License-Identifier: Apache-2.0 */
/* See host_signature.h. */
#include "agent/hypervisor/host_signature.h"

#include "agent/kernel/reasons.h"
#include "common/alloc.h"
#include "common/crc32c.h"

#include <stdio.h>
#include <string.h>

bool host_signature_is_needed(const char *cpu_mode)
{
	return strcmp(cpu_mode, "host-passthrough") == 0 || strcmp(cpu_mode, "maximum") == 0;
}

/* What stands behind "@key\t: " in the first processor's block; @ret_bytes is 0 if there is none. */
static const char *find_value(const char *cpuinfo, const char *key, size_t *ret_bytes)
{
	const char *line = cpuinfo, *end = strstr(cpuinfo, "\n\n");

	*ret_bytes = 0;
	for (; line && (!end || line < end); line = strchr(line, '\n'), line += line != NULL) {
		size_t bytes = strlen(key);
		const char *colon;

		if (strncmp(line, key, bytes) != 0 ||
		    (line[bytes] != '\t' && line[bytes] != ' ' && line[bytes] != ':'))
			continue;
		colon = strchr(line, ':');
		if (!colon)
			return NULL;
		/* "cpu family" begins with the key of no other line, "model" with that of "model
		 * name": between key and colon is white space only. */
		if (strspn(line + bytes, " \t") != (size_t)(colon - line) - bytes)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		*ret_bytes = strcspn(colon, "\n");
		return colon;
	}
	return NULL;
}

struct part {
	char text[48];
};

static struct part part_of(const char *cpuinfo, const char *key)
{
	struct part part = { "?" };
	size_t bytes;
	const char *value = find_value(cpuinfo, key, &bytes);

	if (bytes > 0)
		snprintf(part.text, sizeof(part.text), "%.*s", (int)bytes, value);
	return part;
}

void host_signature_make(const char *cpuinfo, const char *kernel, const char *hypervisor,
                         const char *libvirt, char *ret)
{
	size_t bytes;
	const char *flags = find_value(cpuinfo, "flags", &bytes);

	ret[0] = '\0';
	if (!flags || bytes == 0)
		return;
	snprintf(ret, HOST_SIGNATURE_BYTES,
	         "cpu %s %s/%s/%s, microcode %s\nfeatures %08x\nkernel %.100s\nqemu %.30s\n"
	         "libvirt %.30s",
	         part_of(cpuinfo, "vendor_id").text, part_of(cpuinfo, "cpu family").text,
	         part_of(cpuinfo, "model").text, part_of(cpuinfo, "stepping").text,
	         part_of(cpuinfo, "microcode").text, crc32c(0, flags, bytes), kernel, hypervisor,
	         libvirt);
}

void host_signature_judge(const char *cpu_mode, const char *source, const char *own,
                          struct check *ret_cpu)
{
	struct check *c = ret_cpu;
	char difference[200];

	snprintf(c->id, sizeof(c->id), "cpu");
	snprintf(c->required, sizeof(c->required),
	         "a host equal to the source: mode '%.20s' shows the guest all of it", cpu_mode);
	snprintf(c->reason, sizeof(c->reason), "%s", reason_word(REASON_CPU_MODE));
	c->verdict = CHECK_FAIL;
	if (!source[0] || !own[0]) {
		snprintf(c->measured, sizeof(c->measured),
		         "not measured: the %s does not say what its processor is",
		         source[0] ? "destination" : "source");
		snprintf(c->remedy, sizeof(c->remedy),
		         "bring both agents to one version, or give the guest a named CPU model or "
		         "mode='host-model'");
	} else if (signatures_differ(source, own, difference, sizeof(difference))) {
		snprintf(c->measured, sizeof(c->measured), "it differs: %s", difference);
		snprintf(c->remedy, sizeof(c->remedy),
		         "choose an equal node, or give the guest a named CPU model or "
		         "mode='host-model'");
	} else {
		c->verdict = CHECK_PASS;
		c->reason[0] = '\0';
		snprintf(c->measured, sizeof(c->measured),
		         "equal in processor, features, kernel, QEMU and libvirt: %.*s",
		         (int)strcspn(own, "\n"), own);
	}
}
