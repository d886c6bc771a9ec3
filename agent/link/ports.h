/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of migration ports of this host, and who else sits on them.
 *
 * A port is tested by binding it on the exact migration address, as QEMU will do a moment later,
 * and never by connecting: QEMU takes the first connection for the migration (measured). Listing
 * listeners is not enough either: the local port of an outgoing connection, even one in TIME_WAIT,
 * makes QEMU's bind fail.
 *
 * ports_test is a few system calls, for any thread. ports_find_holder reads all of /proc: couriers.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* libvirt's first two. One for the RAM of each guest on its way in, and one for its disks if they are
 * copied. */
#define PORTS_FIRST_DEFAULT 49152
#define PORTS_LAST_DEFAULT  49153
/* A pool wider than libvirt's own range makes no sense. */
#define PORTS_MAX 64

struct port_pool {
	uint16_t first, last; /* both included; at most PORTS_MAX */
};

/* -ERROR_INVALID with the reason: order, width, below 1024. */
int port_pool_check(const struct port_pool *pool, struct error *err);

/* 0, or -ERROR_BUSY if it is taken, or -ERROR_INVALID if @address is not of this host. */
int ports_test(const char *address, uint16_t port, struct error *err);

struct port_holder {
	uint16_t port;
	bool taken;
	bool leased;      /* by one of our own reservations */
	bool outgoing;    /* the local end of a connection that this host made */
	uint32_t pid;     /* 0 = not known */
	char command[64]; /* "nginx" */
	char state[16];   /* "LISTEN", "ESTABLISHED", "TIME_WAIT" */
	char peer[64];    /* of an outgoing connection: "10.78.0.3:22" */
};

/* Who holds a port that ports_test found taken. Always fills @ret; pid 0 if nobody is found (a
 * TIME_WAIT has no process, and another network namespace cannot be seen). */
void ports_find_holder(const char *address, uint16_t port, struct port_holder *ret);

/* The whole pool, looked at: what admission needs. */
struct port_survey {
	struct port_pool pool;
	char address[64];
	bool measured;
	uint16_t free_port;        /* the first free and not leased; 0 = none */
	uint16_t second_free_port; /* the next one, for disks */
	uint32_t n_free, n_leased;
	struct port_holder first_taken; /* the first of those that somebody else holds */
	struct error error;             /* the address is not ours, for example */
};

/* @is_leased(port, context) says whether one of our reservations has it; NULL = none. Finds the
 * holder of the first port taken by others. Blocks. */
void ports_survey(const struct port_pool *pool, const char *address,
                  bool (*is_leased)(uint16_t port, void *context), void *context,
                  struct port_survey *ret);

/* "49152 is held by nginx (pid 812), listening" and what to do about it. */
void ports_explain(const struct port_holder *holder, char *ret_text, size_t bytes);
void ports_explain_remedy(const struct port_holder *holder, const struct port_pool *pool,
                          char *ret_text, size_t bytes);
