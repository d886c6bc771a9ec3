/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. How a guest writes to its memory, and how much of it is in use. Any thread.
 *
 * By page sampling only. The dirty bitmap kills a guest of QEMU 7.2 that has no KVM (measured: five of
 * five), and the dirty ring has to be there from the guest's start. Sampling compares checksums: a page
 * that is rewritten with what it held counts as not written, though a move sends it again.
 *
 * Figures are never worth a wait: a QEMU that somebody else waits for is not asked. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/units.h"

#include <string.h>

/* A command to a QEMU that does not answer has no end, and holds whoever gave it. */
static int check_answers(virConnectPtr connection, virDomainPtr domain, const char *uuid,
                         struct error *err)
{
	virDomainControlInfo info;

	if (virDomainGetControlInfo(domain, &info, 0) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "asking whether the QEMU of guest %s answers", uuid);
	if (info.state != VIR_DOMAIN_CONTROL_OK)
		return error_set(err, ERROR_BUSY,
		                 "guest %s: its QEMU is busy with another command, for %llu ms",
		                 uuid, (unsigned long long)info.stateTime);
	return 0;
}

int libvirt_start_dirty_rate(struct hypervisor *h, const char *uuid, uint32_t window_s,
                             struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	result = check_answers(connection, domain, uuid, err);
	if (result)
		return result;
	if (virDomainStartDirtyRateCalc(domain, (int)window_s,
	                                VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "sampling what guest %s writes in %u s", uuid, window_s);
	return 0;
}

static void take_figure(const virTypedParameter *p, struct vm_dirty_rate *ret)
{
	if (strcmp(p->field, "dirtyrate.calc_status") == 0 && p->type == VIR_TYPED_PARAM_INT) {
		ret->measuring = p->value.i == VIR_DOMAIN_DIRTYRATE_MEASURING;
		ret->measured = p->value.i == VIR_DOMAIN_DIRTYRATE_MEASURED;
	} else if (strcmp(p->field, "dirtyrate.calc_period") == 0 &&
	           p->type == VIR_TYPED_PARAM_INT) {
		ret->window_s = p->value.i > 0 ? (uint32_t)p->value.i : 0;
	} else if (strcmp(p->field, "dirtyrate.megabytes_per_second") == 0 &&
	           p->type == VIR_TYPED_PARAM_LLONG) {
		ret->bytes_per_s = p->value.l > 0 ? (uint64_t)p->value.l * MIB : 0;
	} else if (strcmp(p->field, "balloon.rss") == 0 && p->type == VIR_TYPED_PARAM_ULLONG) {
		ret->resident_bytes = p->value.ul * KIB;
	}
}

/* With NOWAIT: of a guest whose QEMU is busy with something else libvirt tells less, or nothing. */
int libvirt_dirty_rate(struct hypervisor *h, const char *uuid, struct vm_dirty_rate *ret,
                       struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	virDomainStatsRecordPtr *records = NULL;
	virDomainPtr domains[2] = { NULL, NULL };
	struct vm_dirty_rate rate = { 0 };
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);
	int active;

	if (result)
		return result;
	active = virDomainIsActive(domain);
	if (active < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading guest %s", uuid);
	if (!active)
		return error_set(err, ERROR_REFUSED, "guest %s is not active: it writes nothing",
		                 uuid);
	result = check_answers(connection, domain, uuid, err);
	if (result)
		return result;
	domains[0] = domain;
	if (virDomainListGetStats(domains, VIR_DOMAIN_STATS_DIRTYRATE | VIR_DOMAIN_STATS_BALLOON,
	                          &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "reading what guest %s writes", uuid);
	for (int i = 0; records && records[0] && i < records[0]->nparams; i++)
		take_figure(&records[0]->params[i], &rate);
	virDomainStatsRecordListFree(records);
	*ret = rate;
	return 0;
}
