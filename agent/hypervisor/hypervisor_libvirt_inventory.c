/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. Which guests there are, and what one of them is made of. Any thread.
 *
 * An incoming guest is told from a paused one by its job: libvirt answers a question for the
 * statistics of an incoming migration with VIR_ERR_OPERATION_UNSUPPORTED ("available only on the
 * source host"), from the moment the guest is listed until the migration's last step. The pause
 * reason would not do: it is "starting up" at first, then "migrating", which a source in its
 * switchover shows as well, and "user" for the last milliseconds of a move that stays paused.
 */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "agent/hypervisor/domain_blockers.h"
#include "agent/hypervisor/domain_xml.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* virsh's words, by libvirt's numbers. */
static const char *const running_words[] = {
	"unknown",       "booted",   "migrated",           "restored",
	"from snapshot", "unpaused", "migration canceled", "save canceled",
	"event wakeup",  "crashed",  "post-copy",          "post-copy failed",
};
static const char *const paused_words[] = {
	"unknown",   "user",        "migrating",     "saving",           "dumping",
	"I/O error", "watchdog",    "from snapshot", "shutting down",    "creating snapshot",
	"crashed",   "starting up", "post-copy",     "post-copy failed",
};
static const char *const shutoff_words[] = {
	"unknown", "shutdown", "destroyed",     "crashed", "migrated",
	"saved",   "failed",   "from snapshot", "daemon",
};

#define WORDS(table) table, ARRAY_SIZE(table)

static void put_word(char *to, size_t bytes, const char *const *words, size_t n_words, int number)
{
	if (number >= 0 && (size_t)number < n_words)
		snprintf(to, bytes, "%s", words[number]);
	else
		snprintf(to, bytes, "reason %d", number);
}

static enum vm_pause_reason pause_reason_of(int reason)
{
	switch (reason) {
	case VIR_DOMAIN_PAUSED_USER:
		return VM_PAUSE_USER;
	case VIR_DOMAIN_PAUSED_MIGRATION:
	case VIR_DOMAIN_PAUSED_POSTCOPY:
		return VM_PAUSE_MIGRATION;
	case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
		return VM_PAUSE_POSTCOPY_FAILED;
	case VIR_DOMAIN_PAUSED_IOERROR:
		return VM_PAUSE_IO_ERROR;
	default:
		return VM_PAUSE_OTHER;
	}
}

static void fill_state(int state, int reason, enum libvirt_job_kind job, struct vm_summary *s)
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
		s->state = VM_RUNNING;
		put_word(s->reason, sizeof(s->reason), WORDS(running_words), reason);
		if (reason == VIR_DOMAIN_RUNNING_POSTCOPY)
			s->postcopy = VM_POSTCOPY_RECEIVING;
		else if (reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)
			s->postcopy = VM_POSTCOPY_BROKEN;
		break;
	case VIR_DOMAIN_SHUTDOWN:
		/* On its way down its vCPUs still run. */
		s->state = VM_RUNNING;
		snprintf(s->reason, sizeof(s->reason), "shutting down");
		break;
	case VIR_DOMAIN_PAUSED:
		s->state = job == LIBVIRT_JOB_INCOMING ? VM_INCOMING : VM_PAUSED;
		s->pause_reason = pause_reason_of(reason);
		put_word(s->reason, sizeof(s->reason), WORDS(paused_words), reason);
		/* Paused there by somebody, meanwhile. */
		if (s->state == VM_INCOMING && reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
			s->postcopy = VM_POSTCOPY_BROKEN;
		break;
	case VIR_DOMAIN_PMSUSPENDED:
		s->state = VM_PAUSED;
		s->pause_reason = VM_PAUSE_OTHER;
		snprintf(s->reason, sizeof(s->reason), "suspended by the guest");
		break;
	case VIR_DOMAIN_SHUTOFF:
		s->state = VM_SHUTOFF;
		put_word(s->reason, sizeof(s->reason), WORDS(shutoff_words), reason);
		break;
	case VIR_DOMAIN_CRASHED:
		s->state = VM_CRASHED;
		snprintf(s->reason, sizeof(s->reason), "crashed");
		break;
	default:
		s->state = VM_UNKNOWN;
		snprintf(s->reason, sizeof(s->reason), "state %d", state);
	}
}

/* A guest that hangs must not hide the others, and what it is doing is not known: libvirt would still
 * say "running". */
static int summarize_stuck(const virDomainInfo *info, int persistent, int autostart,
                           struct vm_summary *s, struct vm_summary *ret)
{
	s->state = VM_UNKNOWN;
	snprintf(s->reason, sizeof(s->reason), "QEMU does not answer");
	s->memory_bytes = (uint64_t)info->maxMem * KIB;
	s->vcpus = info->nrVirtCpu;
	s->active = true;
	s->persistent = persistent;
	s->autostart = autostart;
	*ret = *s;
	return 0;
}

static int summarize(virConnectPtr connection, virDomainPtr domain, struct vm_summary *ret,
                     struct error *err)
{
	struct vm_summary s = { 0 };
	enum libvirt_job_kind job = LIBVIRT_JOB_NONE;
	const char *name = virDomainGetName(domain);
	int active, persistent, autostart = 0, state, reason, result;
	virDomainInfo info;

	if (!name || virDomainGetUUIDString(domain, s.uuid) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading a guest's name");
	snprintf(s.name, sizeof(s.name), "%s", name);
	active = virDomainIsActive(domain);
	persistent = active < 0 ? -1 : virDomainIsPersistent(domain);
	if (persistent < 0 || virDomainGetAutostart(domain, &autostart) < 0 ||
	    virDomainGetInfo(domain, &info) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading guest %s", s.name);
	/* The job first: when it ends in between, the state that is read then is the final one. */
	if (active) {
		struct error why = { 0 };

		result = libvirt_read_job(connection, domain, &job, NULL, &why);
		if (result == -ERROR_BUSY)
			return summarize_stuck(&info, persistent, autostart, &s, ret);
		if (result && err)
			*err = why;
		if (result)
			return result;
	}
	if (virDomainGetState(domain, &state, &reason, 0) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading guest %s", s.name);
	fill_state(state, reason, job, &s);
	s.memory_bytes = (uint64_t)info.maxMem * KIB;
	s.vcpus = info.nrVirtCpu;
	s.active = active && state != VIR_DOMAIN_SHUTOFF;
	s.persistent = persistent;
	s.autostart = autostart;
	s.job_out = job == LIBVIRT_JOB_OUT;
	*ret = s;
	return 0;
}

int libvirt_find(struct hypervisor *h, const char *uuid, struct vm_summary *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	return result ? result : summarize(connection, domain, ret, err);
}

static void free_domains(virDomainPtr *domains, int count)
{
	for (int i = 0; i < count; i++)
		virDomainFree(domains[i]);
	free(domains);
}

int libvirt_list(struct hypervisor *h, struct vm_list *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	struct vm_list list = { 0 };
	virDomainPtr *domains = NULL;
	int result = libvirt_get_connection(libvirt_of(h), &connection, err), count;

	if (result)
		return result;
	count = virConnectListAllDomains(connection, &domains, 0);
	if (count < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "listing guests");
	list.items = xcalloc((size_t)count + 1, sizeof(*list.items));
	for (int i = 0; i < count && !result; i++) {
		struct error why = { 0 };

		result = summarize(connection, domains[i], &list.items[list.count], &why);
		if (!result)
			list.count++;
		else if (result == -ERROR_NOT_FOUND)
			result = 0; /* gone since the list was made */
		else if (err)
			*err = why;
	}
	free_domains(domains, count);
	if (result) {
		vm_list_deinit(&list);
		return result;
	}
	*ret = list;
	return 0;
}

/* ---- one guest in depth ---- */

/* The first disk whose reads or writes failed; QEMU goes on, or has paused the guest. One that libvirt
 * cannot be asked about has none that is known: the state tells of a pause. */
static void read_disk_error(virDomainPtr domain, struct vm_description *d)
{
	virDomainDiskError errors[VM_DISKS_MAX];
	int count = virDomainGetDiskErrors(domain, errors, VM_DISKS_MAX, 0);

	for (int i = 0; i < count; i++) {
		if (!d->disk_error[0] && errors[i].error != VIR_DOMAIN_DISK_ERROR_NONE)
			snprintf(d->disk_error, sizeof(d->disk_error), "%.40s: %s", errors[i].disk,
			         errors[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE ? "no space"
			                                                           : "I/O error");
		free(errors[i].disk);
	}
}

/* What only libvirt knows, and what it or QEMU would refuse a move for. */
static int add_blockers(virConnectPtr connection, virDomainPtr domain, struct vm_description *d,
                        struct error *err)
{
	struct check_list *list = &d->blockers;
	enum libvirt_job_kind job = LIBVIRT_JOB_NONE;
	int snapshots = virDomainSnapshotNum(domain, 0), checkpoints, saved, result;

	if (snapshots < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "counting snapshots");
	if (snapshots)
		domain_blockers_add(list, CHECK_BLOCK, "snapshots", REASON_NOT_MIGRATABLE,
		                    "delete them: virsh snapshot-delete",
		                    "%d snapshots, which libvirt does not move", snapshots);
	checkpoints = virDomainListAllCheckpoints(domain, NULL, 0);
	if (checkpoints < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "counting checkpoints");
	/* Unlike with snapshots, libvirt moves the guest, and its bitmaps with the image, but not
	 * its own record of them (measured). */
	if (checkpoints)
		domain_blockers_add(list, CHECK_WARN, "checkpoints", REASON_NONE,
		                    "plan a full backup after the move",
		                    "%d checkpoints, which the destination will not know",
		                    checkpoints);
	saved = virDomainHasManagedSaveImage(domain, 0);
	if (saved < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "looking for a saved image");
	if (saved)
		domain_blockers_add(list, CHECK_BLOCK, "managed-save", REASON_NOT_MIGRATABLE,
		                    "remove it: virsh managedsave-remove",
		                    "a saved image would start it here again");
	/* Nobody moves on a guest that is still arriving, and libvirt would not answer: asked for a
	 * disk's job it waits half a minute for the end of the migration (measured). */
	if (!d->summary.active || d->summary.state == VM_INCOMING)
		return 0;
	result = libvirt_read_job(connection, domain, &job, NULL, err);
	if (result)
		return result;
	/* In post-copy it runs already. */
	if (job == LIBVIRT_JOB_INCOMING) {
		domain_blockers_add(list, CHECK_FAIL, "job", REASON_NOT_MIGRATABLE,
		                    "wait until all of it is here",
		                    "in post-copy: a part of its memory is still at its source");
		return 0;
	}
	d->job_other = job == LIBVIRT_JOB_OTHER;
	read_disk_error(domain, d);
	if (job == LIBVIRT_JOB_OTHER)
		domain_blockers_add(list, CHECK_FAIL, "job", REASON_NOT_MIGRATABLE,
		                    "wait for it, or: virsh domjobabort",
		                    "another job runs: a backup, dump, save or snapshot");
	for (size_t i = 0; i < d->n_disks; i++) {
		virDomainBlockJobInfo info;
		const struct vm_disk *disk = &d->disks[i];

		if (!strcmp(disk->type, "none") || strchr(disk->target, '['))
			continue;
		if (virDomainGetBlockJobInfo(domain, disk->target, &info, 0) > 0)
			domain_blockers_add(list, CHECK_FAIL, "block-job", REASON_DISKS,
			                    "wait for it, or: virsh blockjob --abort",
			                    "a block job runs on disk %s", disk->target);
	}
	return 0;
}

/* Both texts of one guest: the live one, and the CPU of the migratable one. */
static int read_texts(virConnectPtr connection, virDomainPtr domain, struct vm_description *d,
                      struct error *err)
{
	_cleanup_free_ char *live = virDomainGetXMLDesc(domain, 0);
	_cleanup_free_ char *migratable = NULL;
	int result;

	if (!live)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading its XML");
	migratable = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_MIGRATABLE);
	if (!migratable)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "reading its migratable XML");
	result = domain_xml_parse(live, strlen(live), d, err);
	if (result)
		return result;
	return domain_xml_parse_migratable(migratable, strlen(migratable), d, err);
}

int libvirt_describe(struct hypervisor *h, const char *uuid, struct vm_description *ret,
                     struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	_cleanup_free_ struct vm_description *d = xnew(struct vm_description);
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	result = read_texts(connection, domain, d, err);
	if (!result)
		result = summarize(connection, domain, &d->summary, err);
	if (!result)
		vm_description_judge_shutdown(d);
	if (!result)
		result = add_blockers(connection, domain, d, err);
	if (!result && host_signature_is_needed(d->cpu_mode))
		result = libvirt_read_signature(libvirt_of(h), connection, d->host_signature, err);
	if (result) {
		vm_description_deinit(d);
		error_context(err, "describing guest %s", uuid);
		return result;
	}
	*ret = *d;
	return 0;
}
