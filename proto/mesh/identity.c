/* SPDX-License-Identifier: Apache-2.0 */
/* See identity.h. Names end up in logs, tables and URLs, so they are made of few characters. */
#include "proto/mesh/identity.h"

#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

static const struct {
	enum mesh_role role;
	const char *name;
} roles[] = {
	{ MESH_ROLE_COORDINATOR, "coordinator" },
	{ MESH_ROLE_AGENT, "agent" },
	{ MESH_ROLE_OPERATOR, "operator" },
	{ MESH_ROLE_VIEWER, "viewer" },
	{ MESH_ROLE_ADMIN, "admin" },
};

const char *mesh_role_name(enum mesh_role role)
{
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (roles[i].role == role)
			return roles[i].name;
	}
	return "none";
}

enum mesh_role mesh_role_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (strcmp(roles[i].name, name) == 0)
			return roles[i].role;
	}
	return MESH_ROLE_NONE;
}

bool identity_name_is_valid(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		".-_:@";
	size_t bytes = strlen(text);

	return bytes > 0 && bytes < MESH_NAME_BYTES && strspn(text, allowed) == bytes;
}

int identity_parse_uri(const char *uri, size_t bytes, struct mesh_identity *ret_identity,
                       struct error *err)
{
	static const char scheme[] = "drover://";
	struct mesh_identity id = { 0 };
	char text[3 * MESH_NAME_BYTES];
	char *role, *name;

	if (bytes >= sizeof(text) || memchr(uri, '\0', bytes))
		goto malformed;
	memcpy(text, uri, bytes);
	text[bytes] = '\0';
	if (strncmp(text, scheme, strlen(scheme)) != 0)
		goto malformed;
	role = strchr(text + strlen(scheme), '/');
	name = role ? strchr(role + 1, '/') : NULL;
	if (!name)
		goto malformed;
	*role++ = '\0';
	*name++ = '\0';

	id.role = mesh_role_from_name(role);
	if (id.role == MESH_ROLE_NONE || !identity_name_is_valid(name) ||
	    !identity_name_is_valid(text + strlen(scheme)))
		goto malformed;
	/* Both are valid names, so they fit. */
	memcpy(id.cluster, text + strlen(scheme), strlen(text + strlen(scheme)) + 1);
	memcpy(id.name, name, strlen(name) + 1);
	*ret_identity = id;
	return 0;

malformed:
	return error_set(err, ERROR_IDENTITY, "\"%.*s\" is not drover://CLUSTER/ROLE/NAME",
	                 bytes > 200 ? 200 : (int)bytes, uri);
}

char *identity_format(const struct mesh_identity *identity, char *ret_text)
{
	snprintf(ret_text, IDENTITY_TEXT_BYTES, "%s %s%s%s", mesh_role_name(identity->role),
	         identity->name[0] ? identity->name : "without a name",
	         identity->cluster[0] ? " of cluster " : "", identity->cluster);
	return ret_text;
}

char *identity_format_roles(unsigned set, char *ret_text)
{
	size_t used = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (set & roles[i].role)
			used += (size_t)snprintf(ret_text + used, IDENTITY_TEXT_BYTES - used,
			                         "%s%s", used ? ", " : "", roles[i].name);
	}
	return ret_text;
}
