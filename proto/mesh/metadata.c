/* SPDX-License-Identifier: Apache-2.0 */
/* See metadata.h. What is against the rules is refused on both sides: by the sender, so that it is
 * the one who made the mistake that hears of it, and by the receiver, who believes nobody. */
#include "proto/mesh/metadata.h"

#include "common/alloc.h"
#include "proto/mesh/arena.h"
#include "proto/mesh/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_BYTES 128 /* of a detail's type name */

static bool key_is_valid(const char *key)
{
	size_t bytes = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.");

	return bytes > 0 && bytes <= MESH_METADATA_KEY_BYTES && !key[bytes];
}

int metadata_check(const struct mesh_metadata *metadata, struct error *err)
{
	size_t bytes = 0;

	if (metadata->count > MESH_METADATA_MAX)
		return error_set(err, ERROR_INVALID, "metadata: %zu keys; at most %d are allowed",
		                 metadata->count, MESH_METADATA_MAX);
	for (size_t i = 0; i < metadata->count; i++) {
		const struct mesh_metadata_item *item = &metadata->items[i];

		if (!key_is_valid(item->key))
			return error_set(err, ERROR_INVALID,
			                 "metadata: the key \"%.80s\" must be 1 to %d lower-case "
			                 "letters, digits and -_.",
			                 item->key, MESH_METADATA_KEY_BYTES);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(metadata->items[j].key, item->key) == 0)
				return error_set(err, ERROR_INVALID,
				                 "metadata: the key %s is there twice", item->key);
		}
		/* Each alone first, so that the sum cannot wrap. */
		if (item->bytes <= MESH_METADATA_BYTES)
			bytes += strlen(item->key) + item->bytes;
		if (item->bytes > MESH_METADATA_BYTES || bytes > MESH_METADATA_BYTES)
			return error_set(
				err, ERROR_INVALID,
				"metadata: keys and values have more than %d bytes (at %s)",
				MESH_METADATA_BYTES, item->key);
	}
	return 0;
}

struct mesh_metadata *metadata_copy(const struct mesh_metadata *metadata)
{
	size_t items_bytes = metadata->count * sizeof(struct mesh_metadata_item), bytes = 0;
	struct mesh_metadata_item *items;
	struct mesh_metadata *copy;
	char *at;

	if (metadata->count == 0)
		return NULL;
	for (size_t i = 0; i < metadata->count; i++)
		bytes += strlen(metadata->items[i].key) + 1 + metadata->items[i].bytes;
	copy = xmalloc(sizeof(*copy) + items_bytes + bytes);
	items = (struct mesh_metadata_item *)(copy + 1);
	at = (char *)items + items_bytes;
	for (size_t i = 0; i < metadata->count; i++) {
		const struct mesh_metadata_item *from = &metadata->items[i];
		size_t key_bytes = strlen(from->key) + 1;

		memcpy(at, from->key, key_bytes);
		if (from->bytes > 0)
			memcpy(at + key_bytes, from->value, from->bytes);
		items[i] = (struct mesh_metadata_item){ at, at + key_bytes, from->bytes };
		at += key_bytes + from->bytes;
	}
	*copy = (struct mesh_metadata){ items, metadata->count };
	return copy;
}

const struct mesh_metadata_item *mesh_metadata_find(const struct mesh_metadata *metadata,
                                                    const char *key)
{
	for (size_t i = 0; i < metadata->count; i++) {
		if (strcmp(metadata->items[i].key, key) == 0)
			return &metadata->items[i];
	}
	return NULL;
}

Drover__Mesh__Metadata **metadata_wrap(const struct mesh_metadata *metadata,
                                       struct metadata_wire *wire)
{
	assert(metadata->count <= MESH_METADATA_MAX);
	for (size_t i = 0; i < metadata->count; i++) {
		drover__mesh__metadata__init(&wire->rows[i]);
		wire->rows[i].key = (char *)metadata->items[i].key; /* only read, and so is */
		wire->rows[i].value.data = (uint8_t *)metadata->items[i].value;
		wire->rows[i].value.len = metadata->items[i].bytes;
		wire->pointers[i] = &wire->rows[i];
	}
	return wire->pointers;
}

int metadata_take(Drover__Mesh__Metadata *const *from, size_t count, struct metadata_view *ret_view,
                  struct error *err)
{
	if (count > MESH_METADATA_MAX)
		return error_set(err, ERROR_PROTOCOL, "metadata: %zu keys; at most %d are allowed",
		                 count, MESH_METADATA_MAX);
	for (size_t i = 0; i < count; i++)
		ret_view->items[i] = (struct mesh_metadata_item){ from[i]->key, from[i]->value.data,
			                                          from[i]->value.len };
	ret_view->metadata = (struct mesh_metadata){ ret_view->items, count };
	if (metadata_check(&ret_view->metadata, err) == 0)
		return 0;
	if (err)
		err->code = ERROR_PROTOCOL;
	return -ERROR_PROTOCOL;
}

/* --- details --- */

Drover__Mesh__Details *details_pack(const ProtobufCMessage *const *details, size_t count,
                                    size_t max_bytes, uint32_t *ret_left_out)
{
	Drover__Mesh__Details *packed = xnew(Drover__Mesh__Details);
	size_t n = 0;

	if (max_bytes > MESH_DETAILS_BYTES)
		max_bytes = MESH_DETAILS_BYTES;
	drover__mesh__details__init(packed);
	packed->details = xcalloc(MESH_DETAILS_MAX, sizeof(*packed->details));
	for (; n < count && n < MESH_DETAILS_MAX; n++) {
		size_t bytes = protobuf_c_message_get_packed_size(details[n]);
		Drover__Mesh__Detail *row = xnew(Drover__Mesh__Detail);

		drover__mesh__detail__init(row);
		row->type = xstrdup(details[n]->descriptor->name);
		row->value.data = xmalloc(bytes + 1);
		row->value.len = protobuf_c_message_pack(details[n], row->value.data);
		packed->details[n] = row;
		packed->n_details = n + 1;
		if (drover__mesh__details__get_packed_size(packed) > max_bytes) {
			packed->n_details = n;
			drover__mesh__detail__free_unpacked(row, NULL);
			break;
		}
	}
	*ret_left_out = (uint32_t)(count - n);
	return packed;
}

static bool type_is_valid(const char *type)
{
	size_t bytes = strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                            "0123456789_.");

	return bytes > 0 && bytes < TYPE_BYTES && !type[bytes];
}

int details_take(const Drover__Mesh__Details *from, struct details_view *ret_view,
                 struct error *err)
{
	if (from->n_details > MESH_DETAILS_MAX)
		return error_set(err, ERROR_PROTOCOL, "%zu details; at most %d are allowed",
		                 from->n_details, MESH_DETAILS_MAX);
	for (size_t i = 0; i < from->n_details; i++) {
		const Drover__Mesh__Detail *row = from->details[i];

		if (!type_is_valid(row->type))
			return error_set(err, ERROR_PROTOCOL,
			                 "a detail's type \"%.80s\" is no message's name",
			                 row->type);
		ret_view->details[i] = (struct mesh_detail){ row->type, row->value.data,
			                                     row->value.len };
	}
	ret_view->count = from->n_details;
	return 0;
}

const ProtobufCMessage *mesh_result_find_detail(const struct mesh_result *result,
                                                const ProtobufCMessageDescriptor *type,
                                                struct error *err)
{
	ProtobufCMessage *message;

	error_clear(err);
	for (size_t i = 0; i < result->n_details; i++) {
		const struct mesh_detail *d = &result->details[i];

		if (strcmp(d->type, type->name) != 0)
			continue;
		if (message_decode(type, d->value, d->bytes, result->arena, &message, err) < 0)
			return NULL;
		return message;
	}
	return NULL;
}
