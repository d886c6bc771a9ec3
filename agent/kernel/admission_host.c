/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on what must be installed here: programs of a fitting version, firmware, the addresses and
 * paths that the guest's XML names. Pure. */
#include "agent/kernel/admission_internal.h"
#include "agent/kernel/reasons.h"
#include "common/units.h"

#include <stdio.h>
#include <string.h>

/* ---- versions ---- */

/* "7.2.22" as one number; 0 = not told. Parts over 999 do not exist. */
static uint64_t version_number(const char *text)
{
	unsigned int part[3] = { 0 };

	if (sscanf(text, "%3u.%3u.%3u", &part[0], &part[1], &part[2]) < 1)
		return 0;
	return ((uint64_t)part[0] * 1000 + part[1]) * 1000 + part[2];
}

/* Agents of one major version understand each other: within one, messages are only added to. */
static bool agents_are_compatible(const char *a, const char *b)
{
	return version_number(a) / 1000000 == version_number(b) / 1000000;
}

void admission_judge_version(const struct admission_input *in, struct check_list *list)
{
	const struct versions *source = &in->source_versions, *own = &in->versions;
	struct check *c = admission_add(list, "version");

	admission_required(c, "as %.40s: QEMU %s, libvirt %s, agent %s", in->source_node,
	                   source->hypervisor, source->libvirt, source->agent);
	if (!source->agent[0] || !version_number(source->hypervisor)) {
		admission_not_measured(c, "the source's agent does not say what it runs");
		admission_remedy(c, "bring its agent to the version of this one: %s", own->agent);
		return;
	}
	if (!version_number(own->hypervisor)) {
		admission_not_measured(c, "libvirt here does not say what it runs");
		return;
	}
	admission_measured(c, "QEMU %s, libvirt %s, agent %s", own->hypervisor, own->libvirt,
	                   own->agent);
	if (!agents_are_compatible(source->agent, own->agent)) {
		admission_remedy(c, "bring both agents to the same major version");
		return;
	}
	c->verdict = CHECK_PASS;
	if (version_number(own->hypervisor) < version_number(source->hypervisor)) {
		/* The machine type is what QEMU promises to keep between versions. */
		c->verdict = in->machine.verdict == CHECK_PASS ? CHECK_WARN : CHECK_FAIL;
		admission_remedy(c,
		                 c->verdict == CHECK_WARN
		                         ? "QEMU here is older than at the source: it has the "
		                           "machine type, but such moves are little tried"
		                         : "bring QEMU here to the source's version, or choose a "
		                           "node that has it");
	} else if (version_number(own->libvirt) < version_number(source->libvirt)) {
		c->verdict = CHECK_WARN;
		admission_remedy(c, "libvirt here is older than at the source: it refuses a guest "
		                    "whose XML it does not understand");
	}
}

/* ---- addresses and paths ---- */

static const char *const place_remedies[] = {
	[VM_PLACE_ADDRESS] = "give this host that address, or let the guest listen at 127.0.0.1",
	[VM_PLACE_DIRECTORY] = "make the directory here, writable for libvirt and QEMU",
	[VM_PLACE_PATH] = "let it be here under the same path, or detach it from the guest",
};

/* Which of our checks answers for an element: what it boots from is firmware's. */
static const char *check_of(const struct vm_place *p)
{
	if (strncmp(p->name, "graphics/", 9) == 0)
		return "graphics";
	return strncmp(p->name, "os/", 3) == 0 ? "firmware" : "serial";
}

/* All of those that @c answers for, or the first that is not well. */
static void judge_places(const struct admission_input *in, struct check *c)
{
	const struct vm_description *vm = in->vm;
	size_t count = 0;

	for (size_t i = 0; i < vm->n_places && i < VM_PLACES_MAX; i++) {
		const struct vm_place *p = &vm->places[i];
		const struct place_finding *f = &in->places[i];

		if (strcmp(check_of(p), c->id) != 0)
			continue;
		count++;
		if (f->measured && f->usable)
			continue;
		admission_required(c, "%s: %s %.80s", p->name, vm_place_kind_name(p->kind),
		                   p->where);
		c->verdict = CHECK_FAIL;
		if (!f->measured) {
			admission_not_measured(c, f->text);
			return;
		}
		admission_measured(c, "<%.20s>: %.60s: %.100s", p->name, p->where, f->text);
		admission_remedy(c, "%s", place_remedies[p->kind]);
		return;
	}
	c->verdict = CHECK_PASS;
	if (count) {
		admission_required(c, "what its XML names: %zu %s", count,
		                   count == 1 ? "address or path" : "addresses and paths");
		admission_measured(c, "%s", count == 1 ? "it is here" : "all are here");
	} else if (strcmp(c->id, "firmware") == 0) {
		admission_measured(c, "QEMU's own BIOS, no TPM");
	} else {
		admission_measured(c, "its XML names no address or path of a host");
	}
}

/* ---- firmware ---- */

/* Whether the loader here is the one that the guest started with. Its content comes along with the
 * move, so the size must be the same; another content shows at the guest's next start only. */
static void judge_loader(const struct vm_firmware *f, const struct admission_input *in,
                         struct check *c)
{
	const struct firmware_finding *here = &in->firmware;
	char there_text[UNITS_TEXT_BYTES], here_text[UNITS_TEXT_BYTES];

	if (!here->loader_present) {
		admission_measured(c, "%.150s is missing here", f->loader);
		admission_remedy(c, "install the package that has it (Debian: ovmf), or copy it "
		                    "here under the same path");
		return;
	}
	if (!f->loader_bytes || !f->loader_digest[0]) {
		if (in->capabilities.loader_listed)
			c->verdict = CHECK_PASS;
		else
			admission_not_measured(c, "the source could not read its firmware file");
		return;
	}
	if (here->loader_bytes != f->loader_bytes) {
		admission_measured(c, "%.100s has %s here, %s at the source", f->loader,
		                   units_format_bytes(here->loader_bytes, here_text),
		                   units_format_bytes(f->loader_bytes, there_text));
		admission_remedy(c, "install the same version of the firmware on both hosts: QEMU "
		                    "does not load it into another size");
		return;
	}
	if (strcmp(here->loader_digest, f->loader_digest) == 0) {
		c->verdict = CHECK_PASS;
		return;
	}
	admission_measured(c, "%.90s: %s here, %s at the source", f->loader, here->loader_digest,
	                   f->loader_digest);
	admission_remedy(c, "install the same version of the firmware on both hosts");
	if (in->capabilities.loader_listed)
		c->verdict = CHECK_WARN;
}

static void judge_nvram(const struct admission_input *in, struct check *c)
{
	const struct vm_firmware *f = &in->vm->firmware;
	const struct firmware_finding *here = &in->firmware;

	if (here->nvram_problem[0]) {
		c->verdict = CHECK_FAIL;
		admission_measured(c, "NVRAM %.60s: %.100s", f->nvram, here->nvram_problem);
		admission_remedy(c, "let the directory be there and writable for libvirt");
	} else if (!here->nvram_present && !here->template_present) {
		c->verdict = CHECK_FAIL;
		admission_measured(c, "neither the NVRAM nor a template to make it from: %.120s",
		                   f->nvram_template[0] ? f->nvram_template : f->nvram);
		admission_remedy(c, "install the package that has the template, or copy the NVRAM "
		                    "here under the same path");
	}
}

static void judge_tpm(const struct admission_input *in, struct check *c)
{
	if (!in->capabilities_known) {
		admission_not_measured(c, in->capabilities_why);
	} else if (strcmp(in->vm->firmware.tpm, "emulator") == 0 &&
	           !in->capabilities.tpm_emulator) {
		c->verdict = CHECK_FAIL;
		admission_measured(c, "libvirt here finds no swtpm");
		admission_remedy(c, "install swtpm and swtpm-tools on this host");
	}
}

void admission_judge_firmware(const struct admission_input *in, struct check_list *list)
{
	const struct vm_firmware *f = &in->vm->firmware;
	struct check *c = admission_add(list, "firmware");

	if (strcmp(f->tpm, "passthrough") == 0) {
		c->verdict = CHECK_BLOCK;
		snprintf(c->reason, sizeof(c->reason), "%s", reason_word(REASON_HOST_DEVICE));
		admission_measured(c, "the source's own TPM is passed through");
		admission_remedy(c, "use an emulated TPM: <backend type='emulator'/>");
		return;
	}
	/* A kernel or initrd that it boots from, if any; then what the rest of it needs. */
	judge_places(in, c);
	if (c->verdict == CHECK_FAIL || (!f->loader[0] && !f->nvram[0] && !f->tpm[0]))
		return;
	admission_required(c, "%.70s%s%s%s", f->loader[0] ? f->loader : "QEMU's own BIOS",
	                   f->secure_boot ? ", secure boot" : "", f->tpm[0] ? ", TPM " : "",
	                   f->tpm);
	if ((f->loader[0] || f->nvram[0]) && !in->firmware.measured) {
		admission_not_measured(c, in->firmware.why);
		return;
	}
	admission_measured(c, "present%s", in->firmware.nvram_present ? ", with its NVRAM" : "");
	if (f->loader[0]) {
		c->verdict = CHECK_FAIL;
		judge_loader(f, in, c);
	}
	if (c->verdict != CHECK_FAIL && f->nvram[0])
		judge_nvram(in, c);
	if (c->verdict != CHECK_FAIL && f->tpm[0])
		judge_tpm(in, c);
}

void admission_judge_places(const struct admission_input *in, struct check_list *list)
{
	judge_places(in, admission_add(list, "graphics"));
	judge_places(in, admission_add(list, "serial"));
}
