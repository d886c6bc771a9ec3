/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. Moving a guest, and its jobs. migrate blocks its thread for as long as
 * the move takes, on a connection of its own; everything else is short.
 *
 * The move is libvirt's peer-to-peer one: the source's libvirtd drives it, so it goes on when the
 * caller dies. Control goes through a socket that the caller provides, data straight to the address
 * given. All limits are set at every start, for libvirt keeps them from one move to the next.
 */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Three silent times five seconds: the call's connection must not give up before the move. */
#define MIGRATE_KEEPALIVE_S 5

/* "No limit" as libvirt itself writes it: INT64_MAX in MiB. Zero would mean "as last time". */
#define UNLIMITED_MIB_PER_S (INT64_MAX / MIB)

/* A command to QEMU takes milliseconds. */
#define STUCK_MS 1000

/* QEMU's limit. */
#define DOWNTIME_MAX_MS (2000 * 1000)

/* ---- jobs ---- */

static const struct {
	const char *name;
	size_t offset;
} job_fields[] = {
	{ VIR_DOMAIN_JOB_TIME_ELAPSED, offsetof(struct vm_job, elapsed_ms) },
	{ VIR_DOMAIN_JOB_MEMORY_TOTAL, offsetof(struct vm_job, memory_total_bytes) },
	{ VIR_DOMAIN_JOB_MEMORY_PROCESSED, offsetof(struct vm_job, memory_processed_bytes) },
	{ VIR_DOMAIN_JOB_MEMORY_REMAINING, offsetof(struct vm_job, memory_remaining_bytes) },
	{ VIR_DOMAIN_JOB_DISK_TOTAL, offsetof(struct vm_job, disk_total_bytes) },
	{ VIR_DOMAIN_JOB_DISK_PROCESSED, offsetof(struct vm_job, disk_processed_bytes) },
	{ VIR_DOMAIN_JOB_DISK_REMAINING, offsetof(struct vm_job, disk_remaining_bytes) },
	{ VIR_DOMAIN_JOB_MEMORY_BPS, offsetof(struct vm_job, transfer_bytes_per_s) },
	{ VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, offsetof(struct vm_job, page_bytes) },
};

void libvirt_fill_job(virTypedParameterPtr parameters, int n_parameters, bool completed,
                      struct vm_job *ret)
{
	struct vm_job job = { .active = !completed, .completed = completed };
	unsigned long long downtime_ms = 0, dirty_pages_per_s = 0, iteration = 0;
	int throttle = 0;

	for (size_t i = 0; i < ARRAY_SIZE(job_fields); i++) {
		unsigned long long value;

		if (virTypedParamsGetULLong(parameters, n_parameters, job_fields[i].name, &value) >
		    0)
			*(uint64_t *)((char *)&job + job_fields[i].offset) = value;
	}
	/* One field for two things: what is expected while it runs, what it was afterwards. */
	virTypedParamsGetULLong(parameters, n_parameters, VIR_DOMAIN_JOB_DOWNTIME, &downtime_ms);
	*(completed ? &job.downtime_ms : &job.expected_downtime_ms) = downtime_ms;
	virTypedParamsGetULLong(parameters, n_parameters, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE,
	                        &dirty_pages_per_s);
	job.dirty_bytes_per_s = dirty_pages_per_s * job.page_bytes;
	virTypedParamsGetULLong(parameters, n_parameters, VIR_DOMAIN_JOB_MEMORY_ITERATION,
	                        &iteration);
	job.iteration = (uint32_t)iteration;
	virTypedParamsGetInt(parameters, n_parameters, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE,
	                     &throttle);
	job.throttle_percent = (uint32_t)throttle;
	*ret = job;
}

/* Whether somebody's command to the guest's QEMU has been without an answer for so long that asking
 * another thing would hold this thread for libvirt's 30 seconds. */
static bool is_stuck(virDomainPtr domain, unsigned long long *ret_ms)
{
	virDomainControlInfo info;

	if (virDomainGetControlInfo(domain, &info, 0) < 0 ||
	    info.state != VIR_DOMAIN_CONTROL_OCCUPIED || info.stateTime < STUCK_MS)
		return false;
	*ret_ms = info.stateTime;
	return true;
}

int libvirt_read_job(virConnectPtr connection, virDomainPtr domain, enum libvirt_job_kind *ret_kind,
                     struct vm_job *ret_job, struct error *err)
{
	/* Before the call that may fail: even this one resets libvirt's last error. */
	const char *name = virDomainGetName(domain);
	virTypedParameterPtr parameters = NULL;
	int n_parameters = 0, type = 0, operation = 0;
	unsigned long long stuck_ms;

	if (is_stuck(domain, &stuck_ms))
		return error_set(err, ERROR_BUSY, "guest %s: QEMU has not answered for %llu ms",
		                 name, stuck_ms);
	if (virDomainGetJobStats(domain, &type, &parameters, &n_parameters, 0) < 0) {
		switch (virGetLastErrorCode()) {
		case VIR_ERR_OPERATION_UNSUPPORTED:
			*ret_kind = LIBVIRT_JOB_INCOMING;
			return 0;
		case VIR_ERR_OPERATION_INVALID:
			/* It stopped running since it was asked. */
			*ret_kind = LIBVIRT_JOB_NONE;
			return 0;
		default:
			return libvirt_error(err, connection, LIBVIRT_QUESTION,
			                     "asking for the job of guest %s", name);
		}
	}
	virTypedParamsGetInt(parameters, n_parameters, VIR_DOMAIN_JOB_OPERATION, &operation);
	if (type != VIR_DOMAIN_JOB_BOUNDED && type != VIR_DOMAIN_JOB_UNBOUNDED)
		*ret_kind = LIBVIRT_JOB_NONE;
	else if (operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)
		*ret_kind = LIBVIRT_JOB_OUT;
	else
		*ret_kind = LIBVIRT_JOB_OTHER;
	if (ret_job && *ret_kind == LIBVIRT_JOB_OUT)
		libvirt_fill_job(parameters, n_parameters, false, ret_job);
	virTypedParamsFree(parameters, n_parameters);
	return 0;
}

int libvirt_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	struct vm_job job = { 0 };
	enum libvirt_job_kind kind;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (!result)
		result = libvirt_read_job(connection, domain, &kind, &job, err);
	if (!result)
		*ret = job;
	return result;
}

int libvirt_last_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	virTypedParameterPtr parameters = NULL;
	int n_parameters = 0, type = 0;
	struct vm_job job = { 0 };
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	/* Kept, so that asking twice gives the same answer. */
	if (virDomainGetJobStats(domain, &type, &parameters, &n_parameters,
	                         VIR_DOMAIN_JOB_STATS_COMPLETED |
	                                 VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "asking for the last job of guest %s", uuid);
	if (type == VIR_DOMAIN_JOB_COMPLETED)
		libvirt_fill_job(parameters, n_parameters, true, &job);
	virTypedParamsFree(parameters, n_parameters);
	*ret = job;
	return 0;
}

int libvirt_abort_job(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainAbortJob(domain) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "aborting the job of guest %s", uuid);
	return 0;
}

static int set_max_downtime(virConnectPtr connection, virDomainPtr domain, const char *uuid,
                            uint64_t ms, struct error *err)
{
	if (ms > DOWNTIME_MAX_MS)
		return error_set(err, ERROR_INVALID,
		                 "a downtime of %llu ms is over QEMU's limit of %d ms",
		                 (unsigned long long)ms, DOWNTIME_MAX_MS);
	if (virDomainMigrateSetMaxDowntime(domain, ms, 0) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "setting the downtime of guest %s", uuid);
	return 0;
}

int libvirt_set_max_downtime(struct hypervisor *h, const char *uuid, uint64_t ms, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	return result ? result : set_max_downtime(connection, domain, uuid, ms, err);
}

/* In libvirt's unit. */
static unsigned long long speed_of(uint64_t bytes_per_s)
{
	return bytes_per_s ? hypervisor_round_speed(bytes_per_s) / MIB : UNLIMITED_MIB_PER_S;
}

int libvirt_set_max_speed(struct hypervisor *h, const char *uuid, uint64_t bytes_per_s,
                          struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainMigrateSetMaxSpeed(domain, speed_of(bytes_per_s), 0) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "setting the bandwidth of guest %s", uuid);
	return 0;
}

int libvirt_start_postcopy(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);
	enum libvirt_job_kind kind = LIBVIRT_JOB_NONE;
	struct vm_job job = { 0 };

	if (!result)
		result = libvirt_read_job(connection, domain, &kind, &job, err);
	if (result)
		return result;
	/* QEMU's own words for it are an internal error to libvirt. */
	if (kind != LIBVIRT_JOB_OUT || job.iteration == 0)
		return error_set(err, ERROR_REFUSED,
		                 "guest %s has no memory under way: post-copy can only follow a "
		                 "pre-copy that has begun",
		                 uuid);
	if (virDomainMigrateStartPostCopy(domain, 0) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "switching guest %s to post-copy", uuid);
	return 0;
}

int libvirt_break_postcopy(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainAbortJobFlags(domain, VIR_DOMAIN_ABORT_JOB_POSTCOPY) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "breaking the stalled post-copy of guest %s", uuid);
	return 0;
}

/* ---- moving ---- */

struct parameters {
	virTypedParameterPtr items;
	int count, capacity;
};

static void free_parameters(struct parameters *p)
{
	virTypedParamsFree(p->items, p->count);
}

static unsigned int flags_of(const struct migrate_request *r)
{
	/* A guest whose disk fails while it moves stays where the failure can be seen. */
	unsigned int flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_ABORT_ON_ERROR;

	if (r->tls)
		flags |= VIR_MIGRATE_TLS;
	if (r->paused)
		flags |= VIR_MIGRATE_PAUSED;
	if (r->auto_converge)
		flags |= VIR_MIGRATE_AUTO_CONVERGE;
	if (r->post_copy)
		flags |= VIR_MIGRATE_POSTCOPY;
	if (r->resume)
		flags |= VIR_MIGRATE_POSTCOPY_RESUME;
	if (r->persistent)
		flags |= VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE;
	if (r->storage_proved_shared)
		flags |= VIR_MIGRATE_UNSAFE;
	if (r->n_copied_disks)
		flags |= r->copy_incremental ? VIR_MIGRATE_NON_SHARED_INC
		                             : VIR_MIGRATE_NON_SHARED_DISK;
	if (r->connections > 1)
		flags |= VIR_MIGRATE_PARALLEL;
	if (r->compression != COMPRESSION_NONE)
		flags |= VIR_MIGRATE_COMPRESSED;
	return flags;
}

static int fill_parameters(const struct migrate_request *r, struct parameters *p)
{
	int failed = virTypedParamsAddString(&p->items, &p->count, &p->capacity,
	                                     VIR_MIGRATE_PARAM_URI, r->migrate_uri);

	/* Without it QEMU would listen on every network. */
	failed |= virTypedParamsAddString(&p->items, &p->count, &p->capacity,
	                                  VIR_MIGRATE_PARAM_LISTEN_ADDRESS, r->listen_address);
	failed |= virTypedParamsAddULLong(&p->items, &p->count, &p->capacity,
	                                  VIR_MIGRATE_PARAM_BANDWIDTH,
	                                  speed_of(r->bandwidth_bytes_per_s));
	for (size_t i = 0; i < r->n_copied_disks; i++)
		failed |= virTypedParamsAddString(&p->items, &p->count, &p->capacity,
		                                  VIR_MIGRATE_PARAM_MIGRATE_DISKS,
		                                  r->copied_disks[i]);
	if (r->n_copied_disks)
		failed |= virTypedParamsAddString(&p->items, &p->count, &p->capacity,
		                                  VIR_MIGRATE_PARAM_DISKS_URI, r->disks_uri);
	if (r->connections > 1)
		failed |= virTypedParamsAddInt(&p->items, &p->count, &p->capacity,
		                               VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS,
		                               (int)r->connections);
	/* libvirt's names are ours. */
	if (r->compression != COMPRESSION_NONE)
		failed |= virTypedParamsAddString(&p->items, &p->count, &p->capacity,
		                                  VIR_MIGRATE_PARAM_COMPRESSION,
		                                  compression_name(r->compression));
	if (r->tls && r->tls_destination)
		failed |= virTypedParamsAddString(&p->items, &p->count, &p->capacity,
		                                  VIR_MIGRATE_PARAM_TLS_DESTINATION,
		                                  r->tls_destination);
	return failed;
}

int libvirt_migrate(struct hypervisor *base, const struct migrate_request *r, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	__attribute__((cleanup(free_parameters))) struct parameters p = { 0 };
	_cleanup_free_ char *uri = xasprintf("qemu+unix:///system?socket=%s", r->control_socket);
	int result;

	if (r->paused && r->post_copy)
		return error_set(err, ERROR_INVALID,
		                 "a destination that stays paused cannot fetch what is missing: "
		                 "post-copy and a two-step commit exclude each other");
	if (r->connections > 1 && r->post_copy)
		return error_set(
			err, ERROR_INVALID,
			"parallel connections and post-copy exclude each other: QEMU loses "
			"the guest at the switch");
	result = libvirt_open(libvirt_of(base), MIGRATE_KEEPALIVE_S, &connection, err);
	if (result)
		return result;
	domain = virDomainLookupByUUIDString(connection, r->uuid);
	if (!domain)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "looking up guest %.40s",
		                     r->uuid);
	/* There is no switchover any more. */
	if (!r->resume)
		result = set_max_downtime(connection, domain, r->uuid, r->max_downtime_ms, err);
	if (result)
		return result;
	if (fill_parameters(r, &p) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "preparing the move of guest %s", r->uuid);
	if (virDomainMigrateToURI3(domain, uri, p.items, (unsigned int)p.count, flags_of(r)) == 0)
		return 0;
	/* In QEMU's words; whose fault it nearly always is they do not say. */
	if (strstr(virGetLastErrorMessage(), "Unable to access credentials"))
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "certificates for encrypted migration are missing at the "
		                     "source or the destination, or came after its libvirtd had "
		                     "started (restart it: guests go on); moving guest %s to %s",
		                     r->uuid, r->migrate_uri);
	return libvirt_error(err, connection, LIBVIRT_COMMAND, "moving guest %s to %s", r->uuid,
	                     r->migrate_uri);
}
