/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to count what an interface carries, each of which can be put in place and taken away again
 * while the traffic goes on. For bench_slices.c; one at a time. Failures end the program. */
#pragma once

#include <stdint.h>

struct variant {
	const char *name;
	void (*put)(void);
	void (*take)(void);
};

/* Ends with a name of NULL. */
extern const struct variant slices_variants[];

/* Before anything is put in place. @peer: IPv4, which listens at @port. */
void slices_variants_prepare(const char *interface, const char *peer, uint16_t port);
