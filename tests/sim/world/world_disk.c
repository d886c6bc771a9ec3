/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. The disk under the journals: the twin of agent/journal/journal.c.
 *
 * A record is written, and some time later synced. A process that dies in between leaves a record
 * that may be there or not when the next one looks, and nobody was told of it. A torn record is one
 * that is not there: the real reader drops it (tests/unit/test_journal.c proves that). */
#include "agent/journal/journal.h"

#include "common/alloc.h"
#include "tests/sim/world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk_faults disk_faults;
bool disk_forgets;

struct kept_record {
	uint32_t type;
	uint8_t *payload;
	size_t bytes;
	bool synced;
};

struct disk {
	char path[256];
	unsigned host;
	struct kept_record *records;
	size_t count;
	struct disk *next;
};

struct journal {
	struct disk *disk;
	bool broken;
};

static struct disk *disks;
static bool full[NET_HOSTS];

static struct disk *get_disk(const char *path)
{
	struct disk *d;

	for (d = disks; d; d = d->next) {
		if (strcmp(d->path, path) == 0)
			return d;
	}
	d = xnew(struct disk);
	snprintf(d->path, sizeof(d->path), "%s", path);
	d->host = process_current()->host;
	d->next = disks;
	disks = d;
	return d;
}

static void sync_now(void)
{
	fiber_sleep(world_chance(disk_faults.slow_per_mille) ? world_draw(2000000)
	                                                     : 200 + world_draw(5000));
}

int journal_open(const char *path,
                 int (*record)(const struct journal_record *r, void *context, struct error *err),
                 void *context, struct journal **ret, struct journal_report *ret_report,
                 struct error *err)
{
	struct journal *j = xnew(struct journal);

	memset(ret_report, 0, sizeof(*ret_report));
	j->disk = get_disk(path);
	for (size_t i = 0; i < j->disk->count; i++) {
		struct kept_record *k = &j->disk->records[i];
		struct journal_record r = { k->type, k->payload, k->bytes };
		int rc = record(&r, context, err);

		if (rc < 0) {
			free(j);
			return rc;
		}
		ret_report->records++;
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	free(j);
}

static void add_record(struct disk *d, uint32_t type, const void *payload, size_t bytes)
{
	d->records = xreallocarray(d->records, d->count + 1, sizeof(*d->records));
	d->records[d->count++] = (struct kept_record){ type, bytes ? xmemdup(payload, bytes) : NULL,
		                                       bytes, false };
}

static void drop_record(struct disk *d, size_t i)
{
	free(d->records[i].payload);
	memmove(&d->records[i], &d->records[i + 1], (--d->count - i) * sizeof(*d->records));
}

int journal_append(struct journal *j, uint32_t type, const void *payload, size_t bytes,
                   struct error *err)
{
	struct disk *d = j->disk;

	if (j->broken)
		return error_set(err, ERROR_SYSTEM, "an earlier fsync of the journal failed");
	if (full[d->host])
		return error_set(err, ERROR_NO_SPACE, "writing %s: no space left on device",
		                 d->path);
	if (disk_forgets)
		return 0;
	add_record(d, type, payload, bytes);
	sync_now();
	if (world_chance(disk_faults.broken_per_mille)) {
		j->broken = true;
		return error_set(err, ERROR_SYSTEM, "syncing %s: input/output error", d->path);
	}
	d->records[d->count - 1].synced = true;
	return 0;
}

int journal_compact(struct journal *j, const struct journal_record *records, size_t n,
                    struct error *err)
{
	struct disk *d = j->disk;
	struct kept_record *old = d->records;
	size_t n_old = d->count;

	if (j->broken || full[d->host])
		return error_set(err, ERROR_NO_SPACE, "replacing %s", d->path);
	sync_now();
	d->records = NULL;
	d->count = 0;
	for (size_t i = 0; i < n; i++) {
		add_record(d, records[i].type, records[i].payload, records[i].bytes);
		d->records[i].synced = true;
	}
	for (size_t i = 0; i < n_old; i++)
		free(old[i].payload);
	free(old);
	return 0;
}

size_t journal_get_bytes(const struct journal *j)
{
	size_t bytes = 0;

	for (size_t i = 0; i < j->disk->count; i++)
		bytes += 20 + j->disk->records[i].bytes;
	return bytes;
}

void disk_set_full(unsigned host, bool is_full)
{
	full[host] = is_full;
}

void disk_process_died(const struct process *p)
{
	for (struct disk *d = disks; d; d = d->next) {
		for (size_t i = d->count; d->host == p->host && i-- > 0;) {
			if (d->records[i].synced)
				continue;
			if (world_chance(500))
				drop_record(d, i);
			else
				d->records[i].synced = true;
		}
	}
}

void disk_end(void)
{
	for (struct disk *d = disks, *next; d; d = next) {
		next = d->next;
		for (size_t i = 0; i < d->count; i++)
			free(d->records[i].payload);
		free(d->records);
		free(d);
	}
	disks = NULL;
	memset(full, 0, sizeof(full));
	disk_faults = (struct disk_faults){ 0 };
}
