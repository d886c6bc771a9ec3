/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator over tcp that keeps an audit log, and what is to hold while peers attack it: an honest
 * newcomer is served soon, memory stays bounded, the log knows who was refused and its chain is whole. */
#pragma once

#include "proto/audit/audit.h"
#include "tests/conformance/mesh/raw.h"

#define SIEGE_STALLED_MOST 1000
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIEGE_SERVED_MS 10000 /* the sanitizer's time is not the mesh's */
#else
#define SIEGE_SERVED_MS 2000
#endif

struct siege {
	struct harness h; /* first */
	struct audit *audit;
	char log[128];
	int fds[SIEGE_STALLED_MOST];
	size_t n_fds;
	struct mesh_counts counts;
};

/* For cmocka: a struct siege, whose handshakes may take 3 s and whose keepalive is 1 s. */
int siege_setup(void **state);
/* The same with the times that peers have by default: for attacks that keep the machine itself busy. */
int siege_setup_patient(void **state);
int siege_teardown(void **state);

/* A newcomer with a good certificate, from connecting to the answer of its call. */
void siege_expect_served(struct siege *s);
/* Waits for a line with @what in it; the chain holds. */
void siege_expect_in_log(struct siege *s, const char *what);

/* Of this process: now, and the most since siege_forget_peak. */
long siege_get_rss_kib(void);
long siege_get_peak_kib(void);
void siege_forget_peak(void);
