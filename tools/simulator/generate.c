/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet that there is not: hosts and guests of a few kinds (generate_kinds.h), of the sizes that clouds
 * sell, most of them quiet; some have policies. The same text gives the same document. */
#include "tools/simulator/generate_kinds.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS_MAX 20000
#define VMS_MAX   400000

struct size {
	uint64_t hosts, vms, seed, fill_percent, link_bytes_per_s;
	uint64_t kinds_percent, policies_percent;
};

static int read_number(const char *key, const char *value, uint64_t least, uint64_t most,
                       uint64_t *ret, struct error *err)
{
	char *end;
	unsigned long long number = strtoull(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || number < least || number > most)
		return error_set(err, ERROR_INVALID,
		                 "%s must be a whole number from %" PRIu64 " to %" PRIu64
		                 ", and is \"%.40s\"",
		                 key, least, most, value);
	*ret = number;
	return 0;
}

static int read_pair(struct size *size, char *pair, struct error *err)
{
	char *value = strchr(pair, '=');

	if (value)
		*value++ = '\0';
	if (value && strcmp(pair, "hosts") == 0)
		return read_number(pair, value, 2, HOSTS_MAX, &size->hosts, err);
	if (value && strcmp(pair, "vms") == 0)
		return read_number(pair, value, 0, VMS_MAX, &size->vms, err);
	if (value && strcmp(pair, "seed") == 0)
		return read_number(pair, value, 0, UINT64_MAX, &size->seed, err);
	if (value && strcmp(pair, "fill") == 0)
		return read_number(pair, value, 1, 100, &size->fill_percent, err);
	if (value && strcmp(pair, "kinds") == 0)
		return read_number(pair, value, 0, 100, &size->kinds_percent, err);
	if (value && strcmp(pair, "policies") == 0)
		return read_number(pair, value, 0, 100, &size->policies_percent, err);
	if (value && strcmp(pair, "link") == 0)
		return units_parse_rate(value, &size->link_bytes_per_s, err);
	return error_set(err, ERROR_INVALID,
	                 "\"%.40s\" is not understood; it takes hosts=N,vms=N,seed=N,fill=PERCENT,"
	                 "link=RATE,kinds=PERCENT,policies=PERCENT",
	                 pair);
}

/* GiB, and how many of 100 have it. */
static const struct {
	uint64_t gib;
	unsigned share;
	uint32_t vcpus;
} flavours[] = { { 2, 35, 1 },  { 4, 25, 2 },  { 8, 20, 4 },
	         { 16, 12, 8 }, { 32, 6, 16 }, { 64, 2, 32 } };

static size_t draw_flavour(struct world *random)
{
	double x = world_draw(random) * 100;
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(flavours) && x >= flavours[i].share)
		x -= flavours[i++].share;
	return i;
}

static Drover__V1__Node *node_new(const struct size *size, size_t i, uint64_t capacity)
{
	Drover__V1__Node *node = xmalloc(sizeof(*node));
	Drover__V1__HostState *host = xmalloc(sizeof(*host));
	Drover__V1__InterfaceRate *link = xmalloc(sizeof(*link));

	drover__v1__node__init(node);
	drover__v1__host_state__init(host);
	drover__v1__interface_rate__init(link);
	node->name = xasprintf("host%05zu", i + 1);
	node->state = xstrdup("ready");
	node->known = true;
	node->host = host;
	host->node = xstrdup(node->name);
	host->agent_version = xstrdup("generated");
	host->mesh_address = xasprintf("tcp://%s:7788", node->name);
	host->boot_id.data = xcalloc(1, ID_BYTES);
	host->boot_id.len = ID_BYTES;
	host->boot_id.data[0] = 1;
	host->memory_capacity_bytes = capacity;
	host->memory_reserve_bytes = 4 * GIB;
	host->cpus = 128;
	host->libvirt_connected = true;
	host->port_pool = 8;
	host->preparing_max = 4;
	host->interfaces = xcalloc(1, sizeof(*host->interfaces));
	host->interfaces[host->n_interfaces++] = link;
	link->name = xstrdup("mig0");
	link->source = xstrdup("none");
	link->link_bytes_per_s = size->link_bytes_per_s;
	return node;
}

static Drover__V1__Vm *vm_new(struct world *random, size_t i)
{
	Drover__V1__Vm *vm = xmalloc(sizeof(*vm));
	Drover__V1__VmState *state = xmalloc(sizeof(*state));
	size_t flavour = draw_flavour(random);

	drover__v1__vm__init(vm);
	drover__v1__vm_state__init(state);
	vm->uuid = xasprintf("00000000-0000-4000-8000-%012zx", i + 1);
	vm->name = xasprintf("vm%06zu", i + 1);
	vm->movable = true;
	vm->state = state;
	state->uuid = xstrdup(vm->uuid);
	state->name = xstrdup(vm->name);
	state->state = xstrdup("running");
	state->memory_bytes = flavours[flavour].gib * GIB;
	state->overhead_bytes = 80 * MIB + state->memory_bytes / 500;
	state->vcpus = flavours[flavour].vcpus;
	state->persistent = true;
	return vm;
}

/* Three of four hardly write; the others up to 200 MB/s, to a part of their memory. */
static Drover__V1__GuestAssumption *assumption_new(struct world *random, const Drover__V1__Vm *vm)
{
	Drover__V1__GuestAssumption *a = xmalloc(sizeof(*a));
	double busy = world_draw(random), much = world_draw(random), part = world_draw(random);

	drover__v1__guest_assumption__init(a);
	a->uuid = xstrdup(vm->uuid);
	a->dirty_bytes_per_s = (uint64_t)(busy < 0.75 ? much * 5e6 : much * 200e6);
	a->working_set_bytes = (uint64_t)((0.01 + 0.3 * part) * (double)vm->state->memory_bytes);
	return a;
}

static uint64_t need_of(const Drover__V1__Vm *vm)
{
	return vm->state->memory_bytes + vm->state->overhead_bytes;
}

/* One of those that suit it, as far as there is one near. */
static size_t draw_suiting(struct world *random, const struct size *size,
                           const struct host_kind *kinds, enum guest_kind kind)
{
	size_t host = (size_t)(world_draw(random) * (double)size->hosts);

	for (size_t i = 0; i < size->hosts && !kinds_suit(kind, &kinds[host]); i++)
		host = (host + 1) % size->hosts;
	return host;
}

/* A few hosts at random, the emptiest of them. */
static size_t draw_host(struct world *random, const struct size *size, const uint64_t *used,
                        const struct host_kind *kinds, enum guest_kind kind)
{
	size_t best = draw_suiting(random, size, kinds, kind);

	for (int i = 0; i < 2; i++) {
		size_t other = draw_suiting(random, size, kinds, kind);

		if (used[other] < used[best])
			best = other;
	}
	return best;
}

/* One that no host suits is plain. */
static enum guest_kind draw_guest(struct world *random, const struct size *size,
                                  const struct host_kind *kinds)
{
	enum guest_kind kind = size->kinds_percent
	                               ? kinds_draw_guest(random, (unsigned)size->kinds_percent)
	                               : GUEST_PLAIN;

	for (size_t i = 0; i < size->hosts; i++) {
		if (kinds_suit(kind, &kinds[i]))
			return kind;
	}
	return GUEST_PLAIN;
}

static void fill(Drover__V1__FleetState *m, const struct size *size)
{
	_cleanup_free_ uint64_t *used = xcalloc(size->hosts, sizeof(*used));
	_cleanup_free_ struct host_kind *kinds = xcalloc(size->hosts, sizeof(*kinds));
	_cleanup_free_ size_t *host_of = xcalloc(size->vms + 1, sizeof(*host_of));
	struct world_options options = { .seed = size->seed };
	struct world random;
	uint64_t sum = 0, most = 0, capacity;

	assert(size->hosts > 0 && size->fill_percent > 0);
	world_init(&random, &options);
	for (size_t i = 0; size->kinds_percent && i < size->hosts; i++)
		kinds_draw_host(&random, &kinds[i]);
	m->vms = xcalloc(size->vms + 1, sizeof(*m->vms));
	m->assumptions = xcalloc(size->vms + 1, sizeof(*m->assumptions));
	for (size_t i = 0; i < size->vms; i++) {
		enum guest_kind kind = draw_guest(&random, size, kinds);
		size_t host = host_of[i] = draw_host(&random, size, used, kinds, kind);
		Drover__V1__Vm *vm = vm_new(&random, i);

		if (size->kinds_percent)
			kinds_fill_guest(vm->state, kind);
		vm->node = xasprintf("host%05zu", host + 1);
		vm->seen_on = xcalloc(1, sizeof(*vm->seen_on));
		vm->seen_on[vm->n_seen_on++] = xstrdup(vm->node);
		used[host] += need_of(vm);
		sum += need_of(vm);
		m->vms[m->n_vms++] = vm;
		m->assumptions[m->n_assumptions++] = assumption_new(&random, vm);
	}
	for (size_t i = 0; i < size->hosts; i++)
		most = used[i] > most ? used[i] : most;
	/* As full as was asked for on the average, and nobody overfull. */
	capacity = sum / size->hosts * 100 / size->fill_percent;
	capacity = (capacity > most ? capacity : most) / GIB * GIB + 5 * GIB;
	m->nodes = xcalloc(size->hosts, sizeof(*m->nodes));
	for (size_t i = 0; i < size->hosts; i++) {
		m->nodes[i] = node_new(size, i, capacity);
		m->nodes[i]->host->memory_guests_bytes = used[i];
		if (size->kinds_percent)
			kinds_fill_host(m->nodes[i]->host, i, &kinds[i]);
		m->n_nodes++;
	}
	if (size->policies_percent)
		kinds_draw_policies(&random, m, (unsigned)size->policies_percent, host_of, kinds);
}

int generate(const char *text, Drover__V1__FleetState **ret, struct error *err)
{
	struct size size = { .hosts = 10,
		             .vms = 150,
		             .seed = 1,
		             .fill_percent = 70,
		             .link_bytes_per_s = 3125000000,
		             .kinds_percent = 20,
		             .policies_percent = 10 };
	_cleanup_free_ char *copy = xstrdup(text);
	Drover__V1__FleetState *m;
	char *rest = NULL;

	for (char *pair = strtok_r(copy, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
		if (read_pair(&size, pair, err) < 0)
			return error_context(err, "--generate");
	}
	m = xmalloc(sizeof(*m));
	drover__v1__fleet_state__init(m);
	m->format = 2;
	m->cluster = xstrdup("generated");
	m->version = xstrdup(DROVER_VERSION);
	m->limits = xmalloc(sizeof(*m->limits));
	drover__v1__fleet_limits__init(m->limits);
	m->limits->cluster = 5;
	m->limits->outbound = m->limits->inbound = 2;
	m->limits->preparing = 1;
	m->settings = xmalloc(sizeof(*m->settings));
	drover__v1__migration_settings__init(m->settings);
	m->settings->max_downtime_ms = 300;
	m->settings->completion_timeout_ms_per_gib = 800000;
	m->settings->progress_timeout_ms = 150000;
	m->settings->shortest_first = true;
	fill(m, &size);
	*ret = m;
	return 0;
}
