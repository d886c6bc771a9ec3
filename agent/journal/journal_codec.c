/* SPDX-License-Identifier: Apache-2.0 */
/* See journal_codec.h. Pure.
 *
 * The file is ours, but it is read after crashes and by other versions: every text and number is
 * checked before it goes into a fixed-size field.
 */
#include "agent/journal/journal_codec.h"

#include "agent/journal/journal.pb-c.h"
#include "agent/kernel/guard.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/strategy.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *pack(const ProtobufCMessage *m, size_t *ret_bytes)
{
	uint8_t *bytes = xmalloc(protobuf_c_message_get_packed_size(m) + 1);

	*ret_bytes = protobuf_c_message_pack(m, bytes);
	return bytes;
}

static void free_message(ProtobufCMessage *m)
{
	protobuf_c_message_free_unpacked(m, NULL);
}

DEFINE_CLEANUP(ProtobufCMessage *, free_message);
#define _cleanup_message_ _cleanup_(free_messagep)

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type,
                                const struct journal_record *r, struct error *err)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, r->bytes, r->payload);

	if (!m)
		error_set(err, ERROR_INVALID, "its payload is no %s", type->short_name);
	return m;
}

static int copy(const char *from, char *to, size_t bytes, const char *what, struct error *err)
{
	size_t n = strlen(from);

	if (n >= bytes)
		return error_set(err, ERROR_INVALID, "its %s has %zu bytes, at most %zu", what, n,
		                 bytes - 1);
	memcpy(to, from, n + 1);
	return 0;
}

/* The message borrows @a. */
static void fill_attempt(Drover__Journal__Attempt *m, const struct attempt_name *a)
{
	drover__journal__attempt__init(m);
	m->operation_id.data = (uint8_t *)a->operation.bytes;
	m->operation_id.len = ID_BYTES;
	m->number = a->number;
	m->epoch = a->epoch;
}

static int read_attempt(const Drover__Journal__Attempt *m, struct attempt_name *ret,
                        struct error *err)
{
	struct attempt_name a;

	if (!m || id_from_bytes(m->operation_id.data, m->operation_id.len, &a.operation) < 0 ||
	    m->number == 0 || m->number > ATTEMPT_NUMBER_MAX)
		return error_set(err, ERROR_INVALID, "it names no attempt");
	a.number = m->number;
	a.epoch = m->epoch;
	*ret = a;
	return 0;
}

uint8_t *journal_encode_attempt(const struct journal_attempt *a, size_t *ret_bytes)
{
	Drover__Journal__SourceAttempt m = DROVER__JOURNAL__SOURCE_ATTEMPT__INIT;
	Drover__Journal__Attempt name;

	fill_attempt(&name, &a->attempt);
	m.attempt = &name;
	m.phase = a->phase;
	m.vm_uuid = (char *)a->vm_uuid;
	m.vm_name = (char *)a->vm_name;
	m.target_node = (char *)a->target_node;
	m.target_address = (char *)a->target_address;
	m.guard = a->guard;
	m.state = a->state;
	m.error_code = a->error_code;
	m.reason = (char *)a->reason;
	m.bandwidth_bytes_per_s = a->bandwidth_bytes_per_s;
	m.max_downtime_ms = a->max_downtime_ms;
	m.completion_timeout_ms_per_gib = a->completion_timeout_ms_per_gib;
	m.progress_timeout_ms = a->progress_timeout_ms;
	m.tls = a->tls;
	m.no_guard = a->no_guard;
	m.lease_owed = a->lease_owed;
	m.persistent = a->persistent;
	m.autostart = a->autostart;
	m.wall_ms = a->wall_ms;
	m.paused = a->paused;
	m.duration_ms = a->duration_ms;
	m.downtime_ms = a->downtime_ms;
	m.transferred_bytes = a->transferred_bytes;
	m.wire_bytes = a->wire_bytes;
	m.strategy = a->strategy;
	m.rung = a->rung;
	m.bandwidth_tuned = a->bandwidth_tuned;
	m.max_downtime_tuned = a->max_downtime_tuned;
	m.post_copy = a->post_copy;
	m.paused_by_us = a->paused_by_us;
	m.ran_twice = a->ran_twice;
	m.source_went_on = a->source_went_on;
	m.decisions = (char *)a->decisions;
	m.verification = (char *)a->verification;
	m.copy_disks = a->copy_disks;
	m.copied = (char *)a->copied;
	m.connections = a->transfer.connections;
	m.compression = a->transfer.compression;
	m.copy_incremental = a->transfer.copy_incremental;
	m.copy_only = (char *)a->transfer.copy_only;
	m.unsafe = a->unsafe;
	m.stop_off_network = a->stop_off_network;
	m.shortest_first = a->shortest_first;
	m.waits_for_slot = a->waits_for_slot;
	m.migration_address = (char *)a->migration_address;
	m.port = a->port;
	m.disk_port = a->disk_port;
	return pack(&m.base, ret_bytes);
}

int journal_decode_attempt(const struct journal_record *r, struct journal_attempt *ret,
                           struct error *err)
{
	_cleanup_message_ ProtobufCMessage *base = unpack(
		&drover__journal__source_attempt__descriptor, r, err);
	const Drover__Journal__SourceAttempt *m = (void *)base;
	struct journal_attempt a = { 0 };
	struct strategy strategy;

	if (!base)
		return -ERROR_INVALID;
	if (read_attempt(m->attempt, &a.attempt, err) < 0 ||
	    copy(m->vm_uuid, a.vm_uuid, sizeof(a.vm_uuid), "UUID", err) < 0 ||
	    copy(m->vm_name, a.vm_name, sizeof(a.vm_name), "name", err) < 0 ||
	    copy(m->target_node, a.target_node, sizeof(a.target_node), "target", err) < 0 ||
	    copy(m->target_address, a.target_address, sizeof(a.target_address), "address", err) <
	            0 ||
	    copy(m->reason, a.reason, sizeof(a.reason), "reason", err) < 0 ||
	    copy(m->copied, a.copied, sizeof(a.copied), "disks", err) < 0 ||
	    copy(m->migration_address, a.migration_address, sizeof(a.migration_address),
	         "migration address", err) < 0 ||
	    copy(m->copy_only, a.transfer.copy_only, sizeof(a.transfer.copy_only),
	         "list of chosen disks", err) < 0 ||
	    copy(m->decisions, a.decisions, sizeof(a.decisions), "list of decisions", err) < 0 ||
	    copy(m->verification, a.verification, sizeof(a.verification), "verification", err) < 0)
		return -ERROR_INVALID;
	if (m->phase < JOURNAL_STARTED || m->phase > JOURNAL_TOMBSTONED)
		return error_set(err, ERROR_INVALID, "it has the unknown phase %u", m->phase);
	if (m->guard >= GUARDS)
		return error_set(err, ERROR_INVALID, "it has the unknown guard %u", m->guard);
	if (strategy_unpack(m->strategy, &strategy) < 0)
		return error_set(err, ERROR_INVALID, "it has the unknown strategy %#x",
		                 m->strategy);
	if (m->port > UINT16_MAX || m->disk_port > UINT16_MAX)
		return error_set(err, ERROR_INVALID, "its data goes to ports %u and %u", m->port,
		                 m->disk_port);
	if (m->compression >= COMPRESSIONS)
		return error_set(err, ERROR_INVALID, "it has the unknown compression %u",
		                 m->compression);
	a.phase = (enum journal_phase)m->phase;
	a.guard = m->guard;
	a.state = m->state;
	a.error_code = m->error_code;
	a.bandwidth_bytes_per_s = m->bandwidth_bytes_per_s;
	a.max_downtime_ms = m->max_downtime_ms;
	a.completion_timeout_ms_per_gib = m->completion_timeout_ms_per_gib;
	a.progress_timeout_ms = m->progress_timeout_ms;
	a.tls = m->tls;
	a.no_guard = m->no_guard;
	a.lease_owed = m->lease_owed;
	a.persistent = m->persistent;
	a.autostart = m->autostart;
	a.wall_ms = m->wall_ms;
	a.paused = m->paused;
	a.duration_ms = m->duration_ms;
	a.downtime_ms = m->downtime_ms;
	a.transferred_bytes = m->transferred_bytes;
	a.wire_bytes = m->wire_bytes;
	a.strategy = m->strategy;
	a.rung = m->rung;
	a.bandwidth_tuned = m->bandwidth_tuned;
	a.max_downtime_tuned = m->max_downtime_tuned;
	a.post_copy = m->post_copy;
	a.paused_by_us = m->paused_by_us;
	a.ran_twice = m->ran_twice;
	a.source_went_on = m->source_went_on;
	a.copy_disks = m->copy_disks;
	a.transfer.connections = m->connections;
	a.transfer.compression = (enum compression)m->compression;
	a.transfer.copy_incremental = m->copy_incremental;
	a.unsafe = m->unsafe;
	a.stop_off_network = m->stop_off_network;
	a.shortest_first = m->shortest_first;
	a.waits_for_slot = m->waits_for_slot;
	a.port = (uint16_t)m->port;
	a.disk_port = (uint16_t)m->disk_port;
	*ret = a;
	return 0;
}

uint8_t *journal_encode_taken(const struct reservation *r, size_t *ret_bytes)
{
	Drover__Journal__ReservationTaken m = DROVER__JOURNAL__RESERVATION_TAKEN__INIT;
	Drover__Journal__DiskRoom rooms[VM_DISKS_MAX], *room_pointers[VM_DISKS_MAX];
	Drover__Journal__Attempt name;

	for (size_t i = 0; i < r->n_disk_rooms; i++) {
		drover__journal__disk_room__init(&rooms[i]);
		rooms[i].device = r->disk_rooms[i].device;
		rooms[i].bytes = r->disk_rooms[i].bytes;
		room_pointers[i] = &rooms[i];
	}
	m.disk_port = r->disk_port;
	m.disk_rooms = room_pointers;
	m.n_disk_rooms = r->n_disk_rooms;
	fill_attempt(&name, &r->attempt);
	m.attempt = &name;
	m.vm_uuid = (char *)r->vm_uuid;
	m.vm_name = (char *)r->vm_name;
	m.source_node = (char *)r->source_node;
	m.memory_bytes = r->memory_bytes;
	m.port = r->port;
	m.ttl_ms = r->ttl_ms;
	m.guard = r->guard;
	m.arrives_paused = r->arrives_paused;
	m.arrives_autostart = r->arrives_autostart;
	m.bandwidth_bytes_per_s = r->bandwidth_bytes_per_s;
	m.page_bytes = r->page_bytes;
	m.vcpus = r->vcpus;
	m.taken_wall_ms = r->taken_wall_ms;
	m.has_run = r->has_run;
	m.source_address = (char *)r->source_address;
	return pack(&m.base, ret_bytes);
}

int journal_decode_taken(const struct journal_record *r, struct reservation *ret, struct error *err)
{
	_cleanup_message_ ProtobufCMessage *base = unpack(
		&drover__journal__reservation_taken__descriptor, r, err);
	const Drover__Journal__ReservationTaken *m = (void *)base;
	struct reservation v = { 0 };

	if (!base)
		return -ERROR_INVALID;
	if (read_attempt(m->attempt, &v.attempt, err) < 0 ||
	    copy(m->vm_uuid, v.vm_uuid, sizeof(v.vm_uuid), "UUID", err) < 0 ||
	    copy(m->vm_name, v.vm_name, sizeof(v.vm_name), "name", err) < 0 ||
	    copy(m->source_node, v.source_node, sizeof(v.source_node), "source", err) < 0 ||
	    copy(m->source_address, v.source_address, sizeof(v.source_address), "address", err) < 0)
		return -ERROR_INVALID;
	if (m->memory_bytes == 0 || m->port == 0 || m->port > UINT16_MAX)
		return error_set(err, ERROR_INVALID, "it reserves %llu bytes and port %u",
		                 (unsigned long long)m->memory_bytes, m->port);
	if (m->guard >= GUARDS)
		return error_set(err, ERROR_INVALID, "it has the unknown guard %u", m->guard);
	if (m->disk_port > UINT16_MAX || m->n_disk_rooms > VM_DISKS_MAX)
		return error_set(err, ERROR_INVALID, "it reserves port %u and %zu places for disks",
		                 m->disk_port, m->n_disk_rooms);
	for (size_t i = 0; i < m->n_disk_rooms; i++)
		v.disk_rooms[i] = (struct disk_room){ .device = m->disk_rooms[i]->device,
			                              .bytes = m->disk_rooms[i]->bytes };
	v.n_disk_rooms = m->n_disk_rooms;
	v.disk_port = (uint16_t)m->disk_port;
	v.memory_bytes = m->memory_bytes;
	v.port = (uint16_t)m->port;
	v.ttl_ms = m->ttl_ms;
	v.guard = (enum guard)m->guard;
	v.arrives_paused = m->arrives_paused;
	v.arrives_autostart = m->arrives_autostart;
	v.bandwidth_bytes_per_s = m->bandwidth_bytes_per_s;
	v.page_bytes = m->page_bytes;
	v.vcpus = m->vcpus;
	v.taken_wall_ms = m->taken_wall_ms;
	v.has_run = m->has_run;
	*ret = v;
	return 0;
}

uint8_t *journal_encode_released(const struct attempt_name *a, size_t *ret_bytes)
{
	Drover__Journal__ReservationReleased m = DROVER__JOURNAL__RESERVATION_RELEASED__INIT;
	Drover__Journal__Attempt name;

	fill_attempt(&name, a);
	m.attempt = &name;
	return pack(&m.base, ret_bytes);
}

int journal_decode_released(const struct journal_record *r, struct attempt_name *ret,
                            struct error *err)
{
	_cleanup_message_ ProtobufCMessage *base = unpack(
		&drover__journal__reservation_released__descriptor, r, err);

	if (!base)
		return -ERROR_INVALID;
	return read_attempt(((Drover__Journal__ReservationReleased *)(void *)base)->attempt, ret,
	                    err);
}

uint8_t *journal_encode_thing(const struct journal_thing *t, size_t *ret_bytes)
{
	Drover__Journal__Thing m = DROVER__JOURNAL__THING__INIT;
	Drover__Journal__Attempt name;

	fill_attempt(&name, &t->attempt);
	m.attempt = &name;
	m.kind = t->kind;
	m.pid = t->pid;
	m.start_ticks = t->start_ticks;
	m.path = (char *)t->path;
	m.device = t->device;
	m.inode = t->inode;
	m.birth_ns = t->birth_ns;
	m.vm_uuid = (char *)t->vm_uuid;
	return pack(&m.base, ret_bytes);
}

int journal_decode_thing(const struct journal_record *r, struct journal_thing *ret,
                         struct error *err)
{
	_cleanup_message_ ProtobufCMessage *base = unpack(&drover__journal__thing__descriptor, r,
	                                                  err);
	const Drover__Journal__Thing *m = (void *)base;
	struct journal_thing t = { 0 };

	if (!base)
		return -ERROR_INVALID;
	if (read_attempt(m->attempt, &t.attempt, err) < 0 ||
	    copy(m->path, t.path, sizeof(t.path), "path", err) < 0 ||
	    copy(m->vm_uuid, t.vm_uuid, sizeof(t.vm_uuid), "UUID", err) < 0)
		return -ERROR_INVALID;
	if (m->kind < JOURNAL_TUNNEL || m->kind > JOURNAL_IMAGE)
		return error_set(err, ERROR_INVALID, "it has the unknown kind %u", m->kind);
	t.kind = (enum journal_thing_kind)m->kind;
	t.pid = m->pid;
	t.start_ticks = m->start_ticks;
	t.device = m->device;
	t.inode = m->inode;
	t.birth_ns = m->birth_ns;
	*ret = t;
	return 0;
}

uint8_t *journal_encode_epoch(uint64_t epoch, size_t *ret_bytes)
{
	Drover__Journal__Epoch m = DROVER__JOURNAL__EPOCH__INIT;

	m.epoch = epoch;
	return pack(&m.base, ret_bytes);
}

int journal_decode_epoch(const struct journal_record *r, uint64_t *ret, struct error *err)
{
	_cleanup_message_ ProtobufCMessage *base = unpack(&drover__journal__epoch__descriptor, r,
	                                                  err);

	if (!base)
		return -ERROR_INVALID;
	*ret = ((Drover__Journal__Epoch *)(void *)base)->epoch;
	return 0;
}

uint8_t *journal_encode_drain_mark(const struct journal_drain_mark *d, size_t *ret_bytes)
{
	Drover__Journal__DrainMark m = DROVER__JOURNAL__DRAIN_MARK__INIT;
	char *leave[JOURNAL_LEAVE_MAX], *shut_down[JOURNAL_LEAVE_MAX];

	m.drain_id.data = (uint8_t *)d->drain_id.bytes;
	m.drain_id.len = ID_BYTES;
	m.epoch = d->epoch;
	m.draining = d->draining;
	m.cordoned = d->cordoned;
	m.reason = (char *)d->reason;
	for (size_t i = 0; i < d->n_leave; i++)
		leave[i] = (char *)d->leave[i];
	m.leave = leave;
	m.n_leave = d->n_leave;
	for (size_t i = 0; i < d->n_shut_down; i++)
		shut_down[i] = (char *)d->shut_down[i];
	m.shut_down = shut_down;
	m.n_shut_down = d->n_shut_down;
	m.shutdown_timeout_ms = d->shutdown_timeout_ms;
	m.leave_unmovable = d->leave_unmovable;
	m.copy_disks = d->copy_disks;
	m.strategy = d->strategy;
	m.parallel = d->parallel;
	m.bandwidth_bytes_per_s = d->bandwidth_bytes_per_s;
	m.max_downtime_ms = d->max_downtime_ms;
	m.completion_timeout_ms_per_gib = d->completion_timeout_ms_per_gib;
	m.progress_timeout_ms = d->progress_timeout_ms;
	m.maintenance = d->maintenance;
	return pack(&m.base, ret_bytes);
}

int journal_decode_drain_mark(const struct journal_record *r, struct journal_drain_mark *ret,
                              struct error *err)
{
	_cleanup_message_ ProtobufCMessage *base = unpack(&drover__journal__drain_mark__descriptor,
	                                                  r, err);
	const Drover__Journal__DrainMark *m = (void *)base;
	_cleanup_free_ struct journal_drain_mark *d = xnew(struct journal_drain_mark);

	if (!base)
		return -ERROR_INVALID;
	if (id_from_bytes(m->drain_id.data, m->drain_id.len, &d->drain_id) < 0)
		return error_set(err, ERROR_INVALID, "its drain has no id");
	if (m->n_leave > JOURNAL_LEAVE_MAX)
		return error_set(err, ERROR_INVALID, "it leaves %zu guests, at most %d", m->n_leave,
		                 JOURNAL_LEAVE_MAX);
	if (m->n_shut_down > JOURNAL_LEAVE_MAX)
		return error_set(err, ERROR_INVALID, "it shuts down %zu guests, at most %d",
		                 m->n_shut_down, JOURNAL_LEAVE_MAX);
	if (copy(m->reason, d->reason, sizeof(d->reason), "reason", err) < 0)
		return -ERROR_INVALID;
	for (size_t i = 0; i < m->n_shut_down; i++)
		if (copy(m->shut_down[i], d->shut_down[i], sizeof(d->shut_down[i]), "guest's uuid",
		         err) < 0)
			return -ERROR_INVALID;
	d->n_shut_down = m->n_shut_down;
	d->shutdown_timeout_ms = m->shutdown_timeout_ms;
	for (size_t i = 0; i < m->n_leave; i++)
		if (copy(m->leave[i], d->leave[i], sizeof(d->leave[i]), "guest's name", err) < 0)
			return -ERROR_INVALID;
	d->n_leave = m->n_leave;
	d->epoch = m->epoch;
	d->draining = m->draining;
	d->cordoned = m->cordoned;
	d->leave_unmovable = m->leave_unmovable;
	d->copy_disks = m->copy_disks;
	d->strategy = m->strategy;
	d->parallel = m->parallel;
	d->bandwidth_bytes_per_s = m->bandwidth_bytes_per_s;
	d->max_downtime_ms = m->max_downtime_ms;
	d->completion_timeout_ms_per_gib = m->completion_timeout_ms_per_gib;
	d->progress_timeout_ms = m->progress_timeout_ms;
	d->maintenance = m->maintenance;
	*ret = *d;
	return 0;
}

uint8_t *journal_encode_fence(const struct fence *f, size_t *ret_bytes)
{
	Drover__Journal__Fence m = DROVER__JOURNAL__FENCE__INIT;

	m.node = (char *)f->node;
	m.epoch = f->epoch;
	return pack(&m.base, ret_bytes);
}

int journal_decode_fence(const struct journal_record *r, struct fence *ret, struct error *err)
{
	_cleanup_message_ ProtobufCMessage *base = unpack(&drover__journal__fence__descriptor, r,
	                                                  err);
	const Drover__Journal__Fence *m = (void *)base;
	struct fence f = { 0 };

	if (!base)
		return -ERROR_INVALID;
	if (copy(m->node, f.node, sizeof(f.node), "fenced node", err) < 0)
		return -ERROR_INVALID;
	if (!f.node[0])
		return error_set(err, ERROR_INVALID, "it fences no host");
	f.epoch = m->epoch;
	*ret = f;
	return 0;
}
