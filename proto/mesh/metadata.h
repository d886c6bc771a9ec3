/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata and details, between what users see and what frames carry. Owner thread. */
#pragma once

#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/mesh.h"

/* -ERROR_INVALID: too much, or a key that is none or is there twice. */
int metadata_check(const struct mesh_metadata *metadata, struct error *err);

/* One block of memory, to be freed; NULL if there is nothing in it. */
struct mesh_metadata *metadata_copy(const struct mesh_metadata *metadata);

/* As a field of a header, which is then good as long as this is. */
struct metadata_wire {
	Drover__Mesh__Metadata rows[MESH_METADATA_MAX];
	Drover__Mesh__Metadata *pointers[MESH_METADATA_MAX];
};

Drover__Mesh__Metadata **metadata_wrap(const struct mesh_metadata *metadata,
                                       struct metadata_wire *wire);

/* What a peer sent, checked; borrows from @from. -ERROR_PROTOCOL. */
struct metadata_view {
	struct mesh_metadata_item items[MESH_METADATA_MAX];
	struct mesh_metadata metadata;
};

int metadata_take(Drover__Mesh__Metadata *const *from, size_t count, struct metadata_view *ret_view,
                  struct error *err);

/* Packs as many of the details as may travel to somebody who takes @max_bytes; to be freed with
 * drover__mesh__details__free_unpacked. */
Drover__Mesh__Details *details_pack(const ProtobufCMessage *const *details, size_t count,
                                    size_t max_bytes, uint32_t *ret_left_out);

struct details_view {
	struct mesh_detail details[MESH_DETAILS_MAX];
	size_t count;
};

/* As metadata_take. */
int details_take(const Drover__Mesh__Details *from, struct details_view *ret_view,
                 struct error *err);
