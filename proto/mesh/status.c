/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's status codes: their names, and which of them stands for which of our errors. The error
 * travels beside the status, so the mapping back is for peers that sent a status alone. */
#include "proto/mesh/mesh.h"

#include "common/alloc.h"

#include <assert.h>

static const char *const names[] = {
	[MESH_OK] = "OK",
	[MESH_CANCELLED] = "CANCELLED",
	[MESH_STATUS_UNKNOWN] = "UNKNOWN",
	[MESH_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[MESH_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[MESH_NOT_FOUND] = "NOT_FOUND",
	[MESH_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[MESH_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[MESH_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[MESH_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[MESH_ABORTED] = "ABORTED",
	[MESH_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[MESH_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[MESH_INTERNAL] = "INTERNAL",
	[MESH_UNAVAILABLE] = "UNAVAILABLE",
	[MESH_DATA_LOSS] = "DATA_LOSS",
	[MESH_UNAUTHENTICATED] = "UNAUTHENTICATED",
};
static_assert(ARRAY_SIZE(names) == MESH_STATUSES, "every status has a name");

static const enum mesh_status from_error[] = {
	[ERROR_NONE] = MESH_OK,
	[ERROR_INVALID] = MESH_INVALID_ARGUMENT,
	[ERROR_NOT_FOUND] = MESH_NOT_FOUND,
	[ERROR_EXISTS] = MESH_ALREADY_EXISTS,
	[ERROR_REFUSED] = MESH_FAILED_PRECONDITION,
	[ERROR_BUSY] = MESH_RESOURCE_EXHAUSTED,
	[ERROR_UNREACHABLE] = MESH_UNAVAILABLE,
	[ERROR_UNKNOWN_OUTCOME] = MESH_STATUS_UNKNOWN,
	[ERROR_TIMEOUT] = MESH_DEADLINE_EXCEEDED,
	[ERROR_CANCELLED] = MESH_CANCELLED,
	[ERROR_PERMISSION] = MESH_PERMISSION_DENIED,
	[ERROR_IDENTITY] = MESH_UNAUTHENTICATED,
	[ERROR_PROTOCOL] = MESH_INTERNAL,
	[ERROR_TOO_LARGE] = MESH_RESOURCE_EXHAUSTED,
	[ERROR_STALE] = MESH_ABORTED,
	[ERROR_NO_SPACE] = MESH_RESOURCE_EXHAUSTED,
	[ERROR_HYPERVISOR] = MESH_INTERNAL,
	[ERROR_STORE] = MESH_INTERNAL,
	[ERROR_SYSTEM] = MESH_INTERNAL,
	[ERROR_UNSUPPORTED] = MESH_UNIMPLEMENTED,
};
static_assert(ARRAY_SIZE(from_error) == ERROR_CODES, "every error has a status");

static const enum error_code to_error[] = {
	[MESH_OK] = ERROR_NONE,
	[MESH_CANCELLED] = ERROR_CANCELLED,
	[MESH_STATUS_UNKNOWN] = ERROR_UNKNOWN_OUTCOME,
	[MESH_INVALID_ARGUMENT] = ERROR_INVALID,
	[MESH_DEADLINE_EXCEEDED] = ERROR_TIMEOUT,
	[MESH_NOT_FOUND] = ERROR_NOT_FOUND,
	[MESH_ALREADY_EXISTS] = ERROR_EXISTS,
	[MESH_PERMISSION_DENIED] = ERROR_PERMISSION,
	[MESH_RESOURCE_EXHAUSTED] = ERROR_BUSY,
	[MESH_FAILED_PRECONDITION] = ERROR_REFUSED,
	[MESH_ABORTED] = ERROR_STALE,
	[MESH_OUT_OF_RANGE] = ERROR_INVALID,
	[MESH_UNIMPLEMENTED] = ERROR_UNSUPPORTED,
	[MESH_INTERNAL] = ERROR_SYSTEM,
	/* The peer answered, so it was sent; only the mesh itself can know that nothing was. */
	[MESH_UNAVAILABLE] = ERROR_UNKNOWN_OUTCOME,
	[MESH_DATA_LOSS] = ERROR_UNKNOWN_OUTCOME,
	[MESH_UNAUTHENTICATED] = ERROR_IDENTITY,
};
static_assert(ARRAY_SIZE(to_error) == MESH_STATUSES, "every status has an error");

const char *mesh_status_name(enum mesh_status status)
{
	return (unsigned)status < MESH_STATUSES ? names[status] : "no such status";
}

enum mesh_status mesh_status_from_error(enum error_code code)
{
	return (unsigned)code < ERROR_CODES ? from_error[code] : MESH_STATUS_UNKNOWN;
}

enum error_code mesh_status_to_error(enum mesh_status status)
{
	return (unsigned)status < MESH_STATUSES ? to_error[status] : ERROR_UNKNOWN_OUTCOME;
}
