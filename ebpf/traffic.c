/* SPDX-License-Identifier: Apache-2.0 */
/* See traffic.h. Loads the counting program, keeps the endpoints, and reads the maps; attaching is
 * in traffic_attach.c.
 *
 * User space owns all keys: two per watched interface, and one for each endpoint on it. As a map never holds more
 * than its capacity, one lookup_batch reads all of it, for a fifth of what single lookups cost.
 */
#include "ebpf/traffic.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "ebpf/netlink.h"
#include "ebpf/permission.h"
#include "ebpf/rtnl.h"
#include "ebpf/traffic_private.h"

#include <arpa/inet.h>
#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

static_assert(sizeof(struct traffic_interface_value) == 56, "the same layout for both compilers");
static_assert(sizeof(struct traffic_endpoint_key) == 24, "no padding: keys are compared bytewise");

static const char *const source_names[] = {
	[TRAFFIC_SOURCE_NONE] = "none",
	[TRAFFIC_SOURCE_RTNL] = "rtnl",
	[TRAFFIC_SOURCE_CLSACT] = "ebpf-clsact",
	[TRAFFIC_SOURCE_TCX] = "ebpf-tcx",
};
static_assert(ARRAY_SIZE(source_names) == TRAFFIC_SOURCES, "every source has a name");

const char *traffic_source_name(enum traffic_source source)
{
	assert(source < TRAFFIC_SOURCES);
	return source_names[source];
}

/* ------------------------------------------------------------------ loading */

/* libbpf explains itself in lines on stderr; the first warning is the one that says what failed. */
static __thread char first_warning[256];

__attribute__((format(printf, 2, 0))) static int
keep_first_warning(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !first_warning[0]) {
		vsnprintf(first_warning, sizeof(first_warning), format, args);
		first_warning[strcspn(first_warning, "\n")] = '\0';
	}
	return 0;
}

static int load_programs(struct traffic *traffic, struct error *err)
{
	struct traffic_bpf *skeleton;
	int rc;

	first_warning[0] = '\0';
	skeleton = traffic_bpf__open();
	if (!skeleton)
		return error_set_errno(err, ERROR_UNSUPPORTED, errno,
		                       "cannot open the counting program");
	skeleton->rodata->port_low = traffic->options.port_low;
	skeleton->rodata->port_high = traffic->options.port_high;
	rc = traffic_bpf__load(skeleton);
	if (rc < 0) {
		traffic_bpf__destroy(skeleton);
		if (rc == -EPERM || rc == -EACCES)
			return permission_explain(first_warning, err);
		return error_set_errno(err, ERROR_UNSUPPORTED, -rc,
		                       "the kernel does not take the counting program (%s)",
		                       first_warning);
	}
	traffic->skeleton = skeleton;
	return 0;
}

int traffic_open(const struct traffic_options *options, struct traffic **ret_traffic,
                 struct error *err)
{
	size_t keys_bytes, values_bytes;
	struct traffic *traffic;
	int rc;

	if (options->port_low == 0 || options->port_low > options->port_high)
		return error_set(err, ERROR_INVALID,
		                 "%u-%u is no range of migration ports: give two ports, the lower "
		                 "one first",
		                 options->port_low, options->port_high);

	traffic = xnew(struct traffic);
	traffic->options = *options;
	traffic->rtnl_fd = -1;
	rc = netlink_open(NETLINK_ROUTE, &traffic->rtnl_fd, err);
	if (rc < 0) {
		traffic_close(traffic);
		return error_context(err, "measuring traffic");
	}

	libbpf_set_print(keep_first_warning);
	if (!traffic_may_try(traffic, TRAFFIC_SOURCE_CLSACT))
		error_set(&traffic->limit, ERROR_REFUSED, "eBPF is switched off by configuration");
	else if (load_programs(traffic, &traffic->limit) == 0)
		error_clear(&traffic->limit);

	traffic->n_cpus = libbpf_num_possible_cpus();
	if (traffic->n_cpus < 1) {
		rc = error_set_errno(err, ERROR_SYSTEM, -traffic->n_cpus,
		                     "measuring traffic: cannot count the processors");
		traffic_close(traffic);
		return rc;
	}
	keys_bytes = TRAFFIC_MAP_ENDPOINT_KEYS * sizeof(struct traffic_endpoint_key);
	values_bytes = TRAFFIC_MAP_ENDPOINT_KEYS * sizeof(struct traffic_endpoint_value);
	static_assert(TRAFFIC_MAP_ENDPOINT_KEYS * sizeof(struct traffic_endpoint_key) >=
	                      TRAFFIC_MAP_INTERFACES * sizeof(struct traffic_interface_key),
	              "room for the keys of either map");
	static_assert(TRAFFIC_MAP_ENDPOINT_KEYS * sizeof(struct traffic_endpoint_value) >=
	                      TRAFFIC_MAP_INTERFACES * sizeof(struct traffic_interface_value),
	              "room for the values of either map");
	traffic->batch_keys = xmalloc(keys_bytes);
	traffic->batch_values = xcalloc((size_t)traffic->n_cpus, values_bytes);
	*ret_traffic = traffic;
	return 0;
}

const struct error *traffic_get_limit(const struct traffic *traffic)
{
	return &traffic->limit;
}

void traffic_close(struct traffic *traffic)
{
	if (!traffic)
		return;
	for (size_t i = 0; i < traffic->n_interfaces; i++)
		traffic_detach_interface(traffic, &traffic->interfaces[i]);
	traffic_bpf__destroy(traffic->skeleton);
	cleanup_close_fd(&traffic->rtnl_fd);
	free(traffic->batch_keys);
	free(traffic->batch_values);
	free(traffic);
}

/* ---------------------------------------------------------------- endpoints */

int traffic_endpoint_parse(const char *remote_address, uint16_t port, bool port_is_remote,
                           struct traffic_endpoint *ret_endpoint, struct error *err)
{
	struct traffic_endpoint endpoint = { .port = port, .port_is_remote = port_is_remote };
	struct in_addr ipv4;

	if (inet_pton(AF_INET, remote_address, &ipv4) == 1) {
		endpoint.remote_address[2] = htonl(0xffff);
		endpoint.remote_address[3] = ipv4.s_addr;
	} else if (inet_pton(AF_INET6, remote_address, endpoint.remote_address) != 1) {
		return error_set(err, ERROR_INVALID, "\"%.64s\" is no IPv4 or IPv6 address",
		                 remote_address);
	}
	*ret_endpoint = endpoint;
	return 0;
}

static struct traffic_endpoint_key key_of(const struct traffic_endpoint *endpoint)
{
	struct traffic_endpoint_key key = { .port = endpoint->port,
		                            .port_is_remote = endpoint->port_is_remote };

	memcpy(key.remote_address, endpoint->remote_address, sizeof(key.remote_address));
	return key;
}

/* @key on whatever interface. */
static struct endpoint *find_endpoint(struct traffic *traffic, struct traffic_endpoint_key key)
{
	key.ifindex = 0;
	for (size_t i = 0; i < traffic->n_endpoints; i++)
		if (memcmp(&traffic->endpoints[i].key, &key, sizeof(key)) == 0)
			return &traffic->endpoints[i];
	return NULL;
}

int traffic_create_endpoint_key(struct traffic *traffic, struct traffic_endpoint_key key,
                                uint32_t ifindex, struct error *err)
{
	int rc;

	key.ifindex = ifindex;
	memset(traffic->batch_values, 0,
	       (size_t)traffic->n_cpus * sizeof(struct traffic_endpoint_value));
	rc = bpf_map_update_elem(bpf_map__fd(traffic->skeleton->maps.endpoints), &key,
	                         traffic->batch_values, BPF_ANY);
	if (rc < 0)
		return error_set_errno(err, ERROR_SYSTEM, -rc,
		                       "cannot create the counters of port %u on link %u", key.port,
		                       ifindex);
	return 0;
}

void traffic_delete_endpoint_key(struct traffic *traffic, struct traffic_endpoint_key key,
                                 uint32_t ifindex)
{
	key.ifindex = ifindex;
	bpf_map_delete_elem(bpf_map__fd(traffic->skeleton->maps.endpoints), &key);
}

static void delete_endpoint_keys(struct traffic *traffic, struct traffic_endpoint_key key)
{
	for (size_t i = 0; i < traffic->n_interfaces; i++)
		if (traffic_source_is_ebpf(traffic->interfaces[i].source))
			traffic_delete_endpoint_key(traffic, key, traffic->interfaces[i].ifindex);
}

int traffic_register(struct traffic *traffic, const struct traffic_endpoint *endpoint,
                     struct error *err)
{
	struct traffic_endpoint_key key = key_of(endpoint);
	int rc;

	if (endpoint->port < traffic->options.port_low ||
	    endpoint->port > traffic->options.port_high)
		return error_set(err, ERROR_INVALID,
		                 "port %u is outside the migration ports %u-%u and would not be "
		                 "counted",
		                 endpoint->port, traffic->options.port_low,
		                 traffic->options.port_high);
	if (find_endpoint(traffic, key))
		return 0;
	if (traffic->n_endpoints == TRAFFIC_ENDPOINTS)
		return error_set(err, ERROR_NO_SPACE,
		                 "cannot count port %u: %d endpoints are counted already",
		                 endpoint->port, TRAFFIC_ENDPOINTS);
	for (size_t i = 0; i < traffic->n_interfaces; i++) {
		if (!traffic_source_is_ebpf(traffic->interfaces[i].source))
			continue;
		rc = traffic_create_endpoint_key(traffic, key, traffic->interfaces[i].ifindex, err);
		if (rc < 0) {
			delete_endpoint_keys(traffic, key);
			return rc;
		}
	}
	traffic->endpoints[traffic->n_endpoints++] = (struct endpoint){
		.key = key, .epoch = ++traffic->last_epoch
	};
	return 0;
}

void traffic_unregister(struct traffic *traffic, const struct traffic_endpoint *endpoint)
{
	struct traffic_endpoint_key key = key_of(endpoint);
	struct endpoint *found = find_endpoint(traffic, key);

	if (!found)
		return;
	delete_endpoint_keys(traffic, key);
	*found = traffic->endpoints[--traffic->n_endpoints];
}

void traffic_find_route(const struct traffic *traffic, const struct traffic_endpoint *endpoint,
                        char ret_name[IF_NAMESIZE])
{
	uint32_t ifindex;
	struct error why; /* an address without a route has no interface: that is an answer */

	if (rtnl_read_route(traffic->rtnl_fd, endpoint->remote_address, &ifindex, &why) < 0 ||
	    !if_indextoname(ifindex, ret_name))
		ret_name[0] = '\0';
}

/* ------------------------------------------------------------------ reading */

/* Reads all of @map into the batch buffers. */
static int read_map(struct traffic *traffic, const struct bpf_map *map, uint32_t *ret_count,
                    struct error *err)
{
	uint32_t count = bpf_map__max_entries(map);
	uint32_t next;
	int rc;

	rc = bpf_map_lookup_batch(bpf_map__fd(map), NULL, &next, traffic->batch_keys,
	                          traffic->batch_values, &count, NULL);
	/* ENOENT says that this was all. */
	if (rc < 0 && rc != -ENOENT)
		return error_set_errno(err, ERROR_SYSTEM, -rc, "cannot read the map \"%s\"",
		                       bpf_map__name(map));
	*ret_count = count;
	return 0;
}

/* Values consist of u64 counters only, of which the kernel gives one copy per processor. */
static void sum_cpus(const struct traffic *traffic, uint32_t index, size_t value_bytes,
                     void *ret_value)
{
	const size_t n_counters = value_bytes / sizeof(uint64_t);
	const uint64_t *copies = (const uint64_t *)traffic->batch_values +
	                         (size_t)index * (size_t)traffic->n_cpus * n_counters;
	uint64_t *sums = ret_value;

	memset(sums, 0, value_bytes);
	for (int cpu = 0; cpu < traffic->n_cpus; cpu++)
		for (size_t i = 0; i < n_counters; i++)
			sums[i] += copies[(size_t)cpu * n_counters + i];
}

static int read_interfaces(struct traffic *traffic, struct traffic_sample *sample,
                           struct error *err)
{
	const struct traffic_interface_key *keys = traffic->batch_keys;
	uint32_t count;
	int rc;

	rc = read_map(traffic, traffic->skeleton->maps.interfaces, &count, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < count; i++)
		for (size_t n = 0; n < sample->n_interfaces; n++)
			if (sample->interfaces[n].ifindex == keys[i].ifindex)
				sum_cpus(traffic, i, sizeof(struct traffic_interface_value),
				         &sample->interfaces[n].counters[keys[i].direction]);
	return 0;
}

static uint64_t wire_bytes_of(const struct traffic_endpoint_value *value)
{
	return value->wire_bytes[TRAFFIC_RECEIVED] + value->wire_bytes[TRAFFIC_SENT];
}

/* A bond and its members, a bridge and its port see the same packets: no sum makes sense. */
static void take_most(struct traffic_endpoint_sample *endpoint, size_t n_interfaces)
{
	for (size_t i = 0; i < n_interfaces; i++)
		if (wire_bytes_of(&endpoint->by_interface[i]) > wire_bytes_of(&endpoint->counters))
			endpoint->counters = endpoint->by_interface[i];
}

static int read_endpoints(struct traffic *traffic, struct traffic_sample *sample, struct error *err)
{
	const struct traffic_endpoint_key *keys = traffic->batch_keys;
	uint32_t count;
	int rc;

	rc = read_map(traffic, traffic->skeleton->maps.endpoints, &count, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < count; i++) {
		const struct endpoint *endpoint = find_endpoint(traffic, keys[i]);
		struct traffic_endpoint_sample *to;

		if (!endpoint)
			continue;
		to = &sample->endpoints[endpoint - traffic->endpoints];
		for (size_t n = 0; n < sample->n_interfaces; n++)
			if (sample->interfaces[n].ifindex == keys[i].ifindex)
				sum_cpus(traffic, i, sizeof(struct traffic_endpoint_value),
				         &to->by_interface[n]);
	}
	for (size_t i = 0; i < sample->n_endpoints; i++)
		take_most(&sample->endpoints[i], sample->n_interfaces);
	return 0;
}

static void describe(const struct traffic *traffic, struct traffic_sample *sample)
{
	sample->n_interfaces = traffic->n_interfaces;
	for (size_t i = 0; i < traffic->n_interfaces; i++) {
		const struct interface *from = &traffic->interfaces[i];
		struct traffic_interface_sample *to = &sample->interfaces[i];

		memcpy(to->name, from->name, sizeof(to->name));
		to->ifindex = from->ifindex;
		to->source = from->source;
		to->epoch = from->epoch;
	}
	sample->n_endpoints = traffic->n_endpoints;
	for (size_t i = 0; i < traffic->n_endpoints; i++) {
		const struct endpoint *from = &traffic->endpoints[i];
		struct traffic_endpoint_sample *to = &sample->endpoints[i];

		memcpy(to->endpoint.remote_address, from->key.remote_address,
		       sizeof(to->endpoint.remote_address));
		to->endpoint.port = from->key.port;
		to->endpoint.port_is_remote = from->key.port_is_remote;
		to->epoch = from->epoch;
		for (size_t n = 0; n < traffic->n_interfaces; n++)
			to->counted |= traffic_source_is_ebpf(traffic->interfaces[n].source);
	}
}

int traffic_read_links(struct traffic *traffic, struct link_counters **ret_links, size_t *ret_count,
                       struct error *err)
{
	return link_stats_read_all(traffic->rtnl_fd, ret_links, ret_count, err);
}

int traffic_read(struct traffic *traffic, struct traffic_sample *ret_sample, struct error *err)
{
	_cleanup_free_ struct traffic_sample *sample = xnew(struct traffic_sample);
	uint64_t before_ns;
	int rc;

	for (size_t i = 0; i < traffic->n_interfaces; i++)
		traffic_refresh_interface(traffic, &traffic->interfaces[i]);
	describe(traffic, sample);

	before_ns = clock_now_ns();
	if (traffic->skeleton) {
		rc = read_interfaces(traffic, sample, err);
		if (rc < 0)
			return rc;
		rc = read_endpoints(traffic, sample, err);
		if (rc < 0)
			return rc;
		sample->unknown_interface_skbs = traffic->skeleton->bss->unknown_interface_skbs;
	}
	for (size_t i = 0; i < sample->n_interfaces; i++) {
		struct traffic_interface_sample *interface = &sample->interfaces[i];
		struct error why;

		if (!interface->ifindex)
			continue;
		rc = link_stats_read(traffic->rtnl_fd, interface->ifindex, &interface->link, &why);
		if (rc == -ERROR_NOT_FOUND) {
			/* Deleted this very moment; the next reading sees it by its name. */
			interface->ifindex = 0;
			interface->source = TRAFFIC_SOURCE_NONE;
		} else if (rc < 0) {
			if (err)
				*err = why;
			return error_context(err, "measuring interface %s", interface->name);
		}
	}
	sample->read_ns = clock_now_ns() - before_ns;
	sample->at_ns = before_ns + sample->read_ns / 2;
	*ret_sample = *sample;
	return 0;
}
