/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the nng transport share: links (transport_nng.c) and the listening that
 * makes them (transport_nng_accept.c). nng's types stay in these two files. */
#pragma once

#include "proto/mesh/link.h"

#include <nng/nng.h>

/* Takes @stream. @secure: TLS, as the server. */
struct link *transport_nng_accept(struct link_group *group, nng_stream *stream, bool secure);

int transport_nng_listen(struct link_group *group, const char *url, bool secure,
                         void (*accepted)(struct link *l, void *context), void *context,
                         struct acceptor **ret_acceptor, struct error *err);
