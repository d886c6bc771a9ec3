/* SPDX-License-Identifier: Apache-2.0 */
/* From a document to a world. A document is a stranger's, even if it is one's own of last year: what it
 * says is checked as agents' messages are (coordinator/facts_read.h), and an error names the place. */
#include "tools/simulator/world.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/core/plan/plan.h"
#include "coordinator/facts_read.h"
#include "proto/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* 200,000 guests with all that is said of each. */
#define DOCUMENT_BYTES_MAX ((size_t)1 << 30)
/* 1: without policies, and without what the coordinator had learned. */
#define FORMAT 2
/* What is left of a link for memory, as coordinator/core/plan/plan.c has it. */
#define PAYLOAD 0.9

/* --- the file --- */

static int read_all(FILE *from, char **ret, struct error *err)
{
	char *text = NULL;
	size_t used = 0, room = 0, n;

	do {
		if (room - used < 65536) {
			room = room ? 2 * room : 1 << 20;
			text = xreallocarray(text, room + 1, 1);
		}
		n = fread(text + used, 1, room - used, from);
		used += n;
	} while (n > 0 && used <= DOCUMENT_BYTES_MAX);
	text[used] = '\0';
	if (ferror(from)) {
		free(text);
		return error_set(err, ERROR_SYSTEM, "reading: %s", strerror(errno));
	}
	if (strlen(text) != used) {
		free(text);
		return error_set(err, ERROR_INVALID, "this is no text: there is a zero byte in it");
	}
	*ret = text;
	return 0;
}

int state_read(const char *path, Drover__V1__FleetState **ret, struct error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	_cleanup_fclose_ FILE *file = is_stdin ? NULL : fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	ProtobufCMessage *message = NULL;
	int rc;

	if (!is_stdin && !file)
		return error_set(err, ERROR_NOT_FOUND, "%.200s: %s", path, strerror(errno));
	rc = read_all(is_stdin ? stdin : file, &text, err);
	if (rc == 0)
		rc = json_read_up_to(text, DOCUMENT_BYTES_MAX, &drover__v1__fleet_state__descriptor,
		                     &message, err);
	if (rc < 0)
		return error_context(err, "%.200s: this is no document of drover export",
		                     is_stdin ? "standard input" : path);
	assert(message);
	*ret = (Drover__V1__FleetState *)message;
	if ((*ret)->format >= 1 && (*ret)->format <= FORMAT)
		return 0;
	error_set(err, ERROR_INVALID,
	          "%.200s: format is %u, and 1 to %d can be read here: a document of drover "
	          "export begins with \"format\": %d; export it again with this version",
	          is_stdin ? "standard input" : path, (*ret)->format, FORMAT, FORMAT);
	protobuf_c_message_free_unpacked(message, NULL);
	return -ERROR_INVALID;
}

/* --- notes --- */

struct notes {
	char **items;
	size_t count;
};

static void note(struct notes *notes, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void note(struct notes *notes, const char *format, ...)
{
	char text[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	notes->items = xreallocarray(notes->items, notes->count + 1, sizeof(*notes->items));
	notes->items[notes->count++] = xstrdup(text);
}

/* --- hosts --- */

static double link_of(const struct world *w, const struct host_state *host)
{
	double rate = (double)w->options.link_bytes_per_s;

	for (size_t i = 0; rate <= 0 && i < host->n_interfaces; i++)
		rate = (double)host->interfaces[i].link_bytes_per_s;
	return rate > 0 ? rate * PAYLOAD : (double)PLAN_DEFAULT_BYTES_PER_S;
}

static int build_host(struct world *w, size_t i, const Drover__V1__Node *from, struct error *err)
{
	struct world_host *host = &w->hosts[i];
	struct node_record *record = &w->records[i];

	if (!from->name[0] || strlen(from->name) >= NODE_NAME_BYTES)
		return error_set(err, ERROR_INVALID, "nodes[%zu].name is empty or too long", i);
	if (!from->host)
		return error_set(err, ERROR_INVALID,
		                 "nodes[%zu] (%.64s) has no host: its memory is not known", i,
		                 from->name);
	if (facts_read_host(from->host, &host->facts, err) < 0)
		return error_context(err, "nodes[%zu] (%.64s)", i, from->name);
	host->document = from;
	if (intent_read_node(from, record, err) < 0) {
		host_state_deinit(&host->facts);
		return error_context(err, "nodes[%zu] (%.64s)", i, from->name);
	}
	text_copy(host->name, sizeof(host->name), from->name);
	host->reachable = strcmp(from->state, "unreachable") != 0 &&
	                  strcmp(from->state, "fenced") != 0;
	/* Promises of migrations that are not taken over. */
	free(take_pointer(host->facts.leases));
	host->facts.n_leases = 0;
	host->facts.memory_reserved_bytes = 0;
	host->facts.rooms.vcpus.reserved = 0;
	for (size_t p = 0; p < host->facts.rooms.n_pools; p++)
		host->facts.rooms.pools[p].promised_bytes = 0;
	host->facts.mark_told = false;
	host->facts.slots_out = 0;
	text_copy(record->name, sizeof(record->name), from->name);
	text_copy(record->mesh_address, sizeof(record->mesh_address), host->facts.mesh_address);
	text_copy(record->reason, sizeof(record->reason), from->reason);
	record->cordoned = strcmp(from->state, "cordoned") == 0;
	record->maintenance = strcmp(from->state, "maintenance") == 0;
	record->fenced = from->fenced;
	w->out[i] = w->in[i] = link_of(w, &host->facts);
	return 0;
}

/* --- guests --- */

#define WINDOWS_MAX 8

/* What its agent has measured. */
static void take_measured(struct world_guest *g, const Drover__V1__MemoryUse *use)
{
	struct dirty_point points[WINDOWS_MAX];
	size_t n = 0;

	if (!use)
		return;
	for (size_t i = 0; i < use->n_windows && n < WINDOWS_MAX; i++)
		points[n++] = (struct dirty_point){ use->windows[i]->seconds,
			                            (double)use->windows[i]->bytes,
			                            (double)use->windows[i]->error_bytes };
	dirty_curve_fit(points, n, &g->curve);
	g->dirty_known = g->curve.known;
	if (g->curve.known)
		g->dirty_bytes_per_s = dirty_curve_at(&g->curve, 1);
	if (use->touched_bytes && use->touched_bytes < g->facts.memory_bytes)
		g->in_use_bytes = (double)use->touched_bytes;
}

static int build_guest(struct world *w, size_t i, const Drover__V1__Vm *from, struct error *err)
{
	struct world_guest *g = &w->guests[w->n_guests];
	uint64_t need;

	*g = (struct world_guest){
		.document = from, .host = NOWHERE, .incoming = NOWHERE, .going = NOWHERE
	};
	if (!from->state || !from->node[0])
		return 0;
	g->host = g->first_host = world_find_host(w, from->node);
	if (g->host == NOWHERE)
		return error_set(err, ERROR_INVALID,
		                 "vms[%zu] (%.64s) is on %.64s, which is not among the nodes", i,
		                 from->name, from->node);
	if (facts_read_vm(from->state, &g->facts, err) < 0)
		return error_context(err, "vms[%zu] (%.64s)", i, from->name);
	if (strcmp(from->state->uuid, from->uuid) != 0) {
		vm_state_deinit(&g->facts);
		return error_set(err, ERROR_INVALID, "vms[%zu] (%.64s) has two uuids", i,
		                 from->name);
	}
	g->facts.migrating_out = g->facts.foreign_job = false;
	g->working_set_bytes = (double)g->facts.memory_bytes;
	g->in_use_bytes = (double)g->facts.memory_bytes;
	g->dirty_bytes_per_s = (double)w->options.dirty_bytes_per_s;
	take_measured(g, from->state->memory_use);
	need = vm_state_need_bytes(&g->facts);
	if (vm_state_is_active(&g->facts)) {
		w->hosts[g->host].guests_bytes += need;
		w->hosts[g->host].n_guests++;
	}
	w->n_guests++;
	return 0;
}

static int compare_guests(const void *a, const void *b)
{
	const struct world_guest *const *x = a, *const *y = b;

	return strcmp((*x)->facts.uuid, (*y)->facts.uuid);
}

struct by_uuid {
	struct world_guest **items;
	size_t count;
};

static struct world_guest *find(const struct by_uuid *by, const char *uuid)
{
	size_t low = 0, high = by->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(by->items[middle]->facts.uuid, uuid);

		if (order == 0)
			return by->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int sort_guests(struct world *w, struct by_uuid *by, struct error *err)
{
	by->items = xcalloc(w->n_guests + 1, sizeof(struct world_guest *));
	by->count = w->n_guests;
	for (size_t i = 0; i < w->n_guests; i++)
		by->items[i] = &w->guests[i];
	qsort(by->items, by->count, sizeof(*by->items), compare_guests);
	for (size_t i = 1; i < by->count; i++) {
		if (compare_guests(&by->items[i - 1], &by->items[i]) == 0)
			return error_set(err, ERROR_INVALID, "vms: the uuid %.40s is there twice",
			                 by->items[i]->facts.uuid);
	}
	return 0;
}

/* How they write: what the file assumes, else what was measured, else what their last migration saw. */
static void build_dirty(const Drover__V1__FleetState *state, const struct by_uuid *by)
{
	for (size_t i = 0; i < state->n_migrations; i++) {
		const Drover__V1__Migration *m = state->migrations[i];
		struct world_guest *g = find(by, m->vm_uuid);

		if (!g || g->dirty_known || !m->report || !m->report->progress ||
		    !m->report->progress->dirty_bytes_per_s)
			continue;
		g->dirty_bytes_per_s = (double)m->report->progress->dirty_bytes_per_s;
		g->dirty_known = true;
	}
	for (size_t i = 0; i < state->n_assumptions; i++) {
		const Drover__V1__GuestAssumption *a = state->assumptions[i];
		struct world_guest *g = find(by, a->uuid);

		if (!g)
			continue;
		g->curve.known = false;
		g->dirty_bytes_per_s = (double)a->dirty_bytes_per_s;
		if (a->working_set_bytes && a->working_set_bytes < g->facts.memory_bytes)
			g->working_set_bytes = (double)a->working_set_bytes;
		g->dirty_known = true;
	}
}

/* --- all of it --- */

static void tell_what_is_left_out(const struct world *w, const Drover__V1__FleetState *state,
                                  struct notes *notes)
{
	size_t active = 0, unknown = 0, twice = 0, refusals = 0;

	for (size_t i = 0; i < state->n_migrations; i++)
		active += !migration_state_is_final(
			(enum migration_state)state->migrations[i]->state);
	for (size_t i = 0; i < state->n_vms; i++)
		twice += state->vms[i]->n_seen_on > 1;
	for (size_t i = 0; i < state->n_vms; i++) {
		for (size_t k = 0; k < state->vms[i]->n_refusals; k++)
			refusals += !state->vms[i]->refusals[k]->lasting;
	}
	for (size_t i = 0; i < w->n_guests; i++)
		unknown += !w->guests[i].dirty_known;
	if (active)
		note(notes,
		     "%zu migrations were under way: their guests begin where they came from",
		     active);
	if (twice)
		note(notes, "%zu guests were seen on several nodes: each begins on one of them",
		     twice);
	if (refusals)
		note(notes,
		     "%zu times a node had refused a guest: why is not known here, so it is asked "
		     "again when its time has come, and says yes if it has room",
		     refusals);
	if (unknown)
		note(notes,
		     "%zu of %zu guests: nobody knows how fast they write; taken as %" PRIu64
		     " MiB/s (--dirty)",
		     unknown, w->n_guests, w->options.dirty_bytes_per_s / MIB);
	if (state->changed)
		note(notes, "the cluster changed while the document was made: its figures may not "
		            "fit together");
}

int world_build(struct world *w, const Drover__V1__FleetState *state, char ***ret_notes,
                size_t *ret_n_notes, struct error *err)
{
	struct by_uuid by = { 0 };
	struct notes notes = { 0 };
	int rc = 0;

	if (state->n_nodes == 0)
		return error_set(err, ERROR_INVALID, "nodes: there is none in the document");
	w->wall_ms = state->wall_ms;
	w->hosts = xcalloc(state->n_nodes, sizeof(*w->hosts));
	w->records = xcalloc(state->n_nodes, sizeof(*w->records));
	w->out = xcalloc(state->n_nodes, sizeof(*w->out));
	w->in = xcalloc(state->n_nodes, sizeof(*w->in));
	w->guests = xcalloc(state->n_vms + 1, sizeof(*w->guests));
	for (size_t i = 0; rc == 0 && i < state->n_nodes; i++) {
		rc = build_host(w, i, state->nodes[i], err);
		w->n_hosts += rc == 0;
	}
	if (rc == 0)
		rc = world_sort_hosts(w, err);
	for (size_t i = 0; rc == 0 && i < state->n_vms; i++)
		rc = build_guest(w, i, state->vms[i], err);
	if (rc == 0)
		rc = sort_guests(w, &by, err);
	if (rc == 0)
		rc = intent_read(w, state, err);
	if (rc < 0) {
		free(by.items);
		return rc;
	}
	for (size_t i = 0; i < w->n_hosts; i++) {
		struct world_host *h = &w->hosts[i];

		h->first_guest = NOWHERE;
		h->other_bytes = h->facts.memory_guests_bytes > h->guests_bytes
		                         ? h->facts.memory_guests_bytes - h->guests_bytes
		                         : 0;
	}
	for (size_t i = w->n_guests; i > 0; i--) {
		struct world_guest *g = &w->guests[i - 1];

		g->next_guest = w->hosts[g->host].first_guest;
		w->hosts[g->host].first_guest = i - 1;
	}
	policies_init(w);
	build_dirty(state, &by);
	free(by.items);
	fluid_init(&w->fluid, w->out, w->in, w->n_hosts);
	tell_what_is_left_out(w, state, &notes);
	*ret_notes = notes.items;
	*ret_n_notes = notes.count;
	return 0;
}
