/* SPDX-License-Identifier: Apache-2.0 */
/* What ebpf/traffic.h counts, for tests that know from elsewhere what there was to count.
 *
 *	lab_counters INTERFACE [ADDRESS,PORT,remote|local]...
 *
 * Watches the interface from its start to its end (SIGTERM), as an agent does, beside which it may run.
 * Twenty times a second a line of JSON: the interface's counters, the kernel's own of the link, and those
 * of each endpoint; [received, sent]. Each has a number; who wants what is now waits for the line after
 * the next. The first line means that it counts.
 */
#include "common/alloc.h"
#include "ebpf/traffic.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_MS 50

static __attribute__((noreturn)) void give_up(const struct error *err)
{
	fprintf(stderr, "lab_counters: %s\n", err->text);
	exit(1);
}

static void put(const char *name, uint64_t received, uint64_t sent)
{
	printf(",\"%s\":[%llu,%llu]", name, (unsigned long long)received, (unsigned long long)sent);
}

static void print(const struct traffic_sample *sample, unsigned int number)
{
	const struct traffic_interface_sample *i = &sample->interfaces[0];
	const struct traffic_interface_value *in = &i->counters[TRAFFIC_RECEIVED];
	const struct traffic_interface_value *out = &i->counters[TRAFFIC_SENT];

	printf("{\"number\":%u,\"source\":\"%s\"", number, traffic_source_name(i->source));
	put("wire", in->wire_bytes, out->wire_bytes);
	put("frames", in->frames, out->frames);
	put("skbs", in->skbs, out->skbs);
	put("skbBytes", in->skb_bytes, out->skb_bytes);
	put("migration", in->migration_wire_bytes, out->migration_wire_bytes);
	put("unregistered", in->unregistered_wire_bytes, out->unregistered_wire_bytes);
	put("linkBytes", i->link.bytes[TRAFFIC_RECEIVED], i->link.bytes[TRAFFIC_SENT]);
	put("linkPackets", i->link.packets[TRAFFIC_RECEIVED], i->link.packets[TRAFFIC_SENT]);
	printf(",\"endpoints\":[");
	for (size_t n = 0; n < sample->n_endpoints; n++) {
		const struct traffic_endpoint_value *e = &sample->endpoints[n].counters;

		printf("%s{\"port\":%u", n ? "," : "", sample->endpoints[n].endpoint.port);
		put("wire", e->wire_bytes[TRAFFIC_RECEIVED], e->wire_bytes[TRAFFIC_SENT]);
		put("payload", e->payload_bytes[TRAFFIC_RECEIVED], e->payload_bytes[TRAFFIC_SENT]);
		put("frames", e->frames[TRAFFIC_RECEIVED], e->frames[TRAFFIC_SENT]);
		printf("}");
	}
	printf("]}\n");
	fflush(stdout);
}

static int count(struct traffic *traffic, char *text, struct error *err)
{
	struct traffic_endpoint endpoint;
	char *address, *port, *side, *at;

	address = strtok_r(text, ",", &at);
	port = strtok_r(NULL, ",", &at);
	side = strtok_r(NULL, ",", &at);
	if (!address || !port || !side)
		return error_set(err, ERROR_INVALID, "an endpoint is ADDRESS,PORT,remote|local");
	if (traffic_endpoint_parse(address, (uint16_t)strtoul(port, NULL, 10),
	                           strcmp(side, "remote") == 0, &endpoint, err) < 0)
		return -(int)err->code;
	return traffic_register(traffic, &endpoint, err);
}

int main(int argc, char **argv)
{
	struct traffic_options options = { .port_low = 49152, .port_high = 49153 };
	struct traffic_sample *sample = xnew(struct traffic_sample);
	struct traffic *traffic;
	struct error err;

	if (argc < 2) {
		fprintf(stderr, "usage: lab_counters INTERFACE [ADDRESS,PORT,remote|local]...\n");
		return 2;
	}
	if (traffic_open(&options, &traffic, &err) < 0 ||
	    traffic_watch_interface(traffic, argv[1], &err) < 0)
		give_up(&err);
	for (int i = 2; i < argc; i++)
		if (count(traffic, argv[i], &err) < 0)
			give_up(&err);
	for (unsigned int number = 1;; number++) {
		if (traffic_read(traffic, sample, &err) < 0)
			give_up(&err);
		print(sample, number);
		poll(NULL, 0, PERIOD_MS);
	}
}
