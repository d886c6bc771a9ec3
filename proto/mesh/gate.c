/* SPDX-License-Identifier: Apache-2.0 */
/* See gate.h. */
#include "proto/mesh/gate.h"

#include "common/alloc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

struct gate_place {
	char address[GATE_ADDRESS_BYTES];
	bool limited;
	uint32_t connections, handshakes;
	UT_hash_handle hh;
};

void gate_format_address(const char *address, char ret_text[GATE_ADDRESS_BYTES])
{
	char host[GATE_ADDRESS_BYTES], text[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	char *end;

	snprintf(host, sizeof(host), "%s", address + (address[0] == '['));
	end = address[0] == '[' ? strchr(host, ']') : strrchr(host, ':');
	if (end)
		*end = '\0';
	if (address[0] == '[' && strcmp(host, "::1") != 0 && inet_pton(AF_INET6, host, &ip) == 1 &&
	    !IN6_IS_ADDR_V4MAPPED(&ip)) {
		memset(ip.s6_addr + 8, 0, 8);
		inet_ntop(AF_INET6, &ip, text, sizeof(text));
		snprintf(ret_text, GATE_ADDRESS_BYTES, "%s/64", text);
	} else {
		snprintf(ret_text, GATE_ADDRESS_BYTES, "%s", host);
	}
}

static bool is_limited(const char *address)
{
	unsigned uid;

	if (sscanf(address, "uid %u", &uid) == 1)
		return uid != 0 && uid != geteuid();
	return strcmp(address, "127.0.0.1") != 0 && strcmp(address, "::1") != 0;
}

static enum gate_verdict judge(const struct gate *g, const struct gate_place *p)
{
	if (g->connections > g->limits.connections)
		return GATE_FULL;
	if (p->limited && p->connections > g->limits.connections_per_address)
		return GATE_ADDRESS_FULL;
	if (p->limited && p->handshakes > g->limits.handshakes_per_address)
		return GATE_ADDRESS_CROWDED;
	if (g->handshakes > g->limits.handshakes)
		return GATE_CROWDED;
	return GATE_OPEN;
}

struct gate_place *gate_enter(struct gate *g, const char *address, enum gate_verdict *ret_verdict)
{
	char text[GATE_ADDRESS_BYTES];
	struct gate_place *p;

	gate_format_address(address, text);
	HASH_FIND_STR(g->places, text, p);
	if (!p) {
		p = xnew(struct gate_place);
		memcpy(p->address, text, sizeof(p->address));
		p->limited = is_limited(text);
		HASH_ADD_STR(g->places, address, p);
	}
	p->connections++;
	p->handshakes++;
	g->connections++;
	g->handshakes++;
	*ret_verdict = judge(g, p);
	return p;
}

void gate_greet(struct gate *g, struct gate_place *place)
{
	assert(place->handshakes > 0 && g->handshakes > 0);
	place->handshakes--;
	g->handshakes--;
}

void gate_leave(struct gate *g, struct gate_place *place, bool greeted)
{
	if (!greeted)
		gate_greet(g, place);
	assert(place->connections > 0 && g->connections > 0);
	place->connections--;
	g->connections--;
	if (place->connections > 0)
		return;
	HASH_DEL(g->places, place);
	free(place);
}

const struct gate_place *gate_find_crowd(const struct gate *g, const struct gate_place *newcomer,
                                         enum gate_verdict verdict)
{
	const struct gate_place *most = newcomer;

	if (verdict == GATE_ADDRESS_CROWDED)
		return newcomer;
	for (const struct gate_place *p = g->places; p; p = p->hh.next) {
		if (p->handshakes > most->handshakes)
			most = p;
	}
	return most;
}

void gate_deinit(struct gate *g)
{
	struct gate_place *p, *next;

	HASH_ITER (hh, g->places, p, next) {
		HASH_DEL(g->places, p);
		free(p);
	}
}
