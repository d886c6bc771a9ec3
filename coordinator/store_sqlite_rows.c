/* SPDX-License-Identifier: Apache-2.0 */
/* Records to SQLite rows and back. Lists (checks, names) are JSON in one column: they are always
 * read whole and never searched. */
#include "coordinator/store_sqlite_rows.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/utf8.h"
#include "coordinator/core/migration.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

const char store_schema_sql[] =
	"CREATE TABLE meta ("
	"  id INTEGER PRIMARY KEY CHECK (id = 1),"
	"  epoch INTEGER NOT NULL,"
	"  last_migration INTEGER NOT NULL,"
	"  last_drain INTEGER NOT NULL"
	") STRICT;"
	"INSERT INTO meta VALUES (1, 0, 0, 0);"
	"CREATE TABLE nodes ("
	"  name TEXT PRIMARY KEY, mesh_address TEXT NOT NULL, cordoned INTEGER NOT NULL,"
	"  maintenance INTEGER NOT NULL, drain_number INTEGER NOT NULL, reason TEXT NOT NULL"
	") STRICT;"
	"CREATE TABLE drains ("
	"  number INTEGER PRIMARY KEY, id BLOB NOT NULL, request_id BLOB NOT NULL,"
	"  node TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, leave TEXT NOT NULL,"
	"  leave_unmovable INTEGER NOT NULL, parallel INTEGER NOT NULL,"
	"  bandwidth INTEGER NOT NULL, created_wall_ms INTEGER NOT NULL,"
	"  ended_wall_ms INTEGER NOT NULL, left_count INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE migrations ("
	"  number INTEGER PRIMARY KEY, operation BLOB NOT NULL UNIQUE,"
	"  attempt_number INTEGER NOT NULL, attempt_epoch INTEGER NOT NULL,"
	"  request_id BLOB NOT NULL, vm_uuid TEXT NOT NULL, vm_name TEXT NOT NULL,"
	"  source TEXT NOT NULL, target TEXT NOT NULL, wanted_target TEXT NOT NULL,"
	"  state TEXT NOT NULL, over INTEGER NOT NULL, holds_slot INTEGER NOT NULL,"
	"  cancel_requested INTEGER NOT NULL, drain_number INTEGER NOT NULL,"
	"  need_bytes INTEGER NOT NULL, memory_bytes INTEGER NOT NULL,"
	"  settings TEXT NOT NULL, reason TEXT NOT NULL, report TEXT NOT NULL,"
	"  created_wall_ms INTEGER NOT NULL, ended_wall_ms INTEGER NOT NULL"
	") STRICT;"
	/* What the caps count, and what no two may have at once. */
	"CREATE INDEX migrations_slots ON migrations (source, target) WHERE holds_slot = 1;"
	"CREATE UNIQUE INDEX migrations_one_per_vm ON migrations (vm_uuid) WHERE over = 0;"
	"CREATE TABLE events ("
	"  id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, wall_ms INTEGER NOT NULL,"
	"  severity TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL"
	") STRICT;";

const char *const store_upgrade_sql[STORE_VERSION] = {
	/* 1 to 2: hosts that were declared dead */
	[1] = "ALTER TABLE nodes ADD COLUMN fenced INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE nodes ADD COLUMN fence_epoch INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE nodes ADD COLUMN fenced_by TEXT NOT NULL DEFAULT '';"
	      "ALTER TABLE nodes ADD COLUMN fenced_reason TEXT NOT NULL DEFAULT '';"
	      "ALTER TABLE nodes ADD COLUMN fenced_wall_ms INTEGER NOT NULL DEFAULT 0;",
	/* 2 to 3: drains that copy disks */
	[2] = "ALTER TABLE drains ADD COLUMN copy_disks INTEGER NOT NULL DEFAULT 0;",
	/* 3 to 4: what drains permit about guests that do not converge */
	[3] = "ALTER TABLE drains ADD COLUMN strategy INTEGER NOT NULL DEFAULT 0;",
	/* 4 to 5: limits of drains, and what is kept for a guest's next migration */
	[4] = "ALTER TABLE drains ADD COLUMN max_downtime_ms INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE drains ADD COLUMN completion_timeout_ms_per_gib INTEGER NOT NULL "
	      "DEFAULT 0;"
	      "ALTER TABLE drains ADD COLUMN progress_timeout_ms INTEGER NOT NULL DEFAULT 0;"
	      "CREATE TABLE vms ("
	      "  uuid TEXT PRIMARY KEY, name TEXT NOT NULL, bandwidth_given INTEGER NOT NULL,"
	      "  bandwidth INTEGER NOT NULL, max_downtime_given INTEGER NOT NULL,"
	      "  max_downtime_ms INTEGER NOT NULL, asked_by TEXT NOT NULL, wall_ms INTEGER NOT NULL"
	      ") STRICT;",
};

/* clang-format off */
const char *const store_node_columns[] = {
	"name", "mesh_address", "cordoned", "maintenance", "drain_number", "reason",
	"fenced", "fence_epoch", "fenced_by", "fenced_reason", "fenced_wall_ms", NULL
};
const char *const store_drain_columns[] = {
	"number", "id", "request_id", "node", "state", "reason", "leave", "leave_unmovable",
	"parallel", "bandwidth", "created_wall_ms", "ended_wall_ms", "left_count", "copy_disks",
	"strategy", "max_downtime_ms", "completion_timeout_ms_per_gib", "progress_timeout_ms", NULL
};
const char *const store_migration_columns[] = {
	"number", "operation", "attempt_number", "attempt_epoch", "request_id", "vm_uuid",
	"vm_name", "source", "target", "wanted_target", "state", "over", "holds_slot",
	"cancel_requested", "drain_number", "need_bytes", "memory_bytes", "settings", "reason",
	"report", "created_wall_ms", "ended_wall_ms", NULL
};
const char *const store_vm_columns[] = {
	"uuid", "name", "bandwidth_given", "bandwidth", "max_downtime_given", "max_downtime_ms",
	"asked_by", "wall_ms", NULL
};
const char *const store_event_columns[] = {
	"revision", "wall_ms", "severity", "subject", "text", NULL
};
/* clang-format on */

/* --- columns, counted up --- */

struct row {
	sqlite3_stmt *stmt;
	int column; /* of the next one: from 1 when binding, from 0 when reading */
	bool bad;
};

static void put_number(struct row *row, uint64_t value)
{
	int rc = sqlite3_bind_int64(row->stmt, row->column++, (sqlite3_int64)value);

	assert(rc == SQLITE_OK);
}

static void put_text(struct row *row, const char *text)
{
	int rc = sqlite3_bind_text(row->stmt, row->column++, text, -1, SQLITE_TRANSIENT);

	assert(rc == SQLITE_OK);
}

static void put_id(struct row *row, const struct id *id)
{
	int rc = sqlite3_bind_blob(row->stmt, row->column++, id->bytes, ID_BYTES, SQLITE_TRANSIENT);

	assert(rc == SQLITE_OK);
}

static void put_json(struct row *row, json_t *json)
{
	_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);

	assert(text);
	put_text(row, text);
	json_decref(json);
}

static uint64_t get_number(struct row *row)
{
	return (uint64_t)sqlite3_column_int64(row->stmt, row->column++);
}

static void get_text(struct row *row, char *ret, size_t bytes)
{
	const char *text = (const char *)sqlite3_column_text(row->stmt, row->column++);

	if (!text || strlen(text) >= bytes)
		row->bad = true;
	else
		memcpy(ret, text, strlen(text) + 1);
}

static void get_id(struct row *row, struct id *ret)
{
	const void *bytes = sqlite3_column_blob(row->stmt, row->column);
	int count = sqlite3_column_bytes(row->stmt, row->column++);

	if (!bytes || count < 0 || id_from_bytes(bytes, (size_t)count, ret) < 0)
		row->bad = true;
}

/* NULL, and the row is bad, unless it is JSON. json_decref it. */
static json_t *get_json(struct row *row)
{
	const char *text = (const char *)sqlite3_column_text(row->stmt, row->column++);
	json_t *json = text ? json_loads(text, 0, NULL) : NULL;

	if (!json)
		row->bad = true;
	return json;
}

/* --- JSON --- */

static json_t *json_text(const char *text)
{
	/* Texts were checked where they came in; one that was not must not spoil the store. */
	return json_stringn(text, utf8_valid_bytes(text, strlen(text)));
}

static void json_put(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static uint64_t json_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void json_get_text(const json_t *object, const char *key, char *ret, size_t bytes)
{
	const char *text = json_string_value(json_object_get(object, key));

	text_copy(ret, bytes, text ? text : "");
}

static json_t *names_to_json(const struct names *names)
{
	json_t *list = json_array();

	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(list, json_text(names->items[i]));
	return list;
}

static void names_from_json(const json_t *list, struct names *ret)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name)
			names_add(ret, name);
	}
}

static json_t *checks_to_json(const struct checks *checks)
{
	json_t *list = json_array();

	for (size_t i = 0; i < checks->count; i++) {
		const struct check *check = &checks->items[i];
		json_t *item = json_object();

		json_object_set_new(item, "id", json_text(check->id));
		json_put(item, "verdict", check->verdict);
		json_object_set_new(item, "measured", json_text(check->measured));
		json_object_set_new(item, "required", json_text(check->required));
		json_object_set_new(item, "remedy", json_text(check->remedy));
		json_object_set_new(item, "reason", json_text(check->reason));
		json_array_append_new(list, item);
	}
	return list;
}

static void checks_from_json(const json_t *list, struct checks *ret)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		struct check check = { .verdict = (enum check_verdict)json_number(item,
			                                                          "verdict") };

		json_get_text(item, "id", check.id, sizeof(check.id));
		json_get_text(item, "measured", check.measured, sizeof(check.measured));
		json_get_text(item, "required", check.required, sizeof(check.required));
		json_get_text(item, "remedy", check.remedy, sizeof(check.remedy));
		json_get_text(item, "reason", check.reason, sizeof(check.reason));
		checks_add(ret, &check);
	}
}

static json_t *remnants_to_json(const struct remnants *remnants)
{
	json_t *list = json_array();

	for (size_t i = 0; i < remnants->count; i++) {
		const struct remnant *r = &remnants->items[i];
		json_t *item = json_object();

		json_object_set_new(item, "thing", json_text(r->thing));
		json_object_set_new(item, "node", json_text(r->node));
		json_put(item, "verdict", r->verdict);
		json_object_set_new(item, "text", json_text(r->text));
		json_object_set_new(item, "remedy", json_text(r->remedy));
		json_array_append_new(list, item);
	}
	return list;
}

static void remnants_from_json(const json_t *list, struct remnants *ret)
{
	size_t count = json_array_size(list);

	if (!count)
		return;
	ret->items = xcalloc(count, sizeof(*ret->items));
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(list, i);
		struct remnant *r = &ret->items[ret->count++];

		json_get_text(item, "thing", r->thing, sizeof(r->thing));
		json_get_text(item, "node", r->node, sizeof(r->node));
		r->verdict = (enum remnant_verdict)json_number(item, "verdict");
		json_get_text(item, "text", r->text, sizeof(r->text));
		json_get_text(item, "remedy", r->remedy, sizeof(r->remedy));
	}
}

static json_t *settings_to_json(const struct migration_settings *settings)
{
	json_t *object = json_object();

	json_put(object, "bandwidth_bytes_per_s", settings->bandwidth_bytes_per_s);
	json_put(object, "max_downtime_ms", settings->max_downtime_ms);
	json_put(object, "completion_timeout_ms_per_gib", settings->completion_timeout_ms_per_gib);
	json_put(object, "progress_timeout_ms", settings->progress_timeout_ms);
	json_put(object, "tls", settings->tls);
	json_put(object, "no_guard", settings->no_guard);
	json_put(object, "unsafe", settings->unsafe);
	json_put(object, "copy_disks", settings->copy_disks);
	json_put(object, "connections", settings->transfer.connections);
	json_put(object, "compression", settings->transfer.compression);
	json_put(object, "copy_incremental", settings->transfer.copy_incremental);
	json_object_set_new(object, "copy_only", json_text(settings->transfer.copy_only));
	json_put(object, "strategy", strategy_pack(&settings->strategy));
	json_put(object, "origins", origins_pack(settings));
	return object;
}

static void settings_from_json(const json_t *object, struct migration_settings *ret)
{
	ret->bandwidth_bytes_per_s = json_number(object, "bandwidth_bytes_per_s");
	ret->max_downtime_ms = json_number(object, "max_downtime_ms");
	ret->completion_timeout_ms_per_gib = json_number(object, "completion_timeout_ms_per_gib");
	ret->progress_timeout_ms = json_number(object, "progress_timeout_ms");
	ret->tls = json_number(object, "tls");
	ret->no_guard = json_number(object, "no_guard");
	ret->unsafe = json_number(object, "unsafe");
	ret->copy_disks = json_number(object, "copy_disks");
	ret->transfer.connections = (uint32_t)json_number(object, "connections");
	ret->transfer.compression = (enum compression)json_number(object, "compression");
	if ((unsigned)ret->transfer.compression >= COMPRESSIONS)
		ret->transfer.compression = COMPRESSION_NONE;
	ret->transfer.copy_incremental = json_number(object, "copy_incremental");
	json_get_text(object, "copy_only", ret->transfer.copy_only,
	              sizeof(ret->transfer.copy_only));
	/* What a later version has stored and this one does not know is not permitted. */
	if (strategy_unpack((uint32_t)json_number(object, "strategy"), &ret->strategy) < 0)
		ret->strategy = (struct strategy){ 0 };
	origins_unpack(json_number(object, "origins"), ret);
	/* Nobody else can; records of before it had an origin do not say so. */
	if (ret->no_guard)
		ret->from[SETTING_NO_GUARD] = ORIGIN_REQUEST;
}

static json_t *times_to_json(const struct stage_times *times)
{
	json_t *object = json_object();

	json_put(object, "describing_ms", times->describing_ms);
	json_put(object, "admitting_ms", times->admitting_ms);
	json_put(object, "linking_ms", times->linking_ms);
	json_put(object, "moving_ms", times->moving_ms);
	json_put(object, "resolving_ms", times->resolving_ms);
	json_put(object, "cleaning_ms", times->cleaning_ms);
	return object;
}

static void times_from_json(const json_t *object, struct stage_times *ret)
{
	ret->describing_ms = json_number(object, "describing_ms");
	ret->admitting_ms = json_number(object, "admitting_ms");
	ret->linking_ms = json_number(object, "linking_ms");
	ret->moving_ms = json_number(object, "moving_ms");
	ret->resolving_ms = json_number(object, "resolving_ms");
	ret->cleaning_ms = json_number(object, "cleaning_ms");
}

/* The report without what the record itself has, and of its progress what was reached, not what was
 * expected. */
static json_t *report_to_json(const struct attempt_report *report)
{
	json_t *object = json_object();

	json_put(object, "attempt", report->attempt.number);
	json_put(object, "epoch", report->attempt.epoch);
	json_put(object, "state", report->state);
	json_object_set_new(object, "target", json_text(report->target));
	json_object_set_new(object, "reason", json_text(report->reason));
	json_put(object, "error_code", report->error_code);
	json_object_set_new(object, "checks", checks_to_json(&report->checks));
	json_put(object, "guard", report->guard);
	json_put(object, "percent", report->progress.percent);
	json_put(object, "iteration", report->progress.iteration);
	json_put(object, "memory_total_bytes", report->progress.memory_total_bytes);
	json_put(object, "memory_processed_bytes", report->progress.memory_processed_bytes);
	json_put(object, "memory_remaining_bytes", report->progress.memory_remaining_bytes);
	json_put(object, "elapsed_ms", report->progress.elapsed_ms);
	json_put(object, "transfer_bytes_per_s", report->progress.transfer_bytes_per_s);
	json_put(object, "dirty_bytes_per_s", report->progress.dirty_bytes_per_s);
	json_object_set_new(object, "rate_source", json_text(report->progress.rate_source));
	json_put(object, "duration_ms", report->duration_ms);
	json_object_set_new(object, "times", times_to_json(&report->times));
	json_put(object, "downtime_ms", report->downtime_ms);
	json_put(object, "transferred_bytes", report->transferred_bytes);
	json_put(object, "wire_bytes", report->wire_bytes);
	json_put(object, "tombstoned", report->tombstoned);
	json_object_set_new(object, "leftovers", names_to_json(&report->leftovers));
	json_object_set_new(object, "remnants", remnants_to_json(&report->remnants));
	json_object_set_new(object, "notes", names_to_json(&report->notes));
	json_object_set_new(object, "decisions", names_to_json(&report->decisions));
	json_object_set_new(object, "verification", checks_to_json(&report->verification));
	json_object_set_new(object, "not_verified", json_text(report->not_verified));
	json_put(object, "disk_total_bytes", report->progress.disk_total_bytes);
	json_put(object, "disk_processed_bytes", report->progress.disk_processed_bytes);
	json_put(object, "memory_verified", report->memory_verified);
	json_put(object, "alarm", report->alarm);
	return object;
}

static void report_from_json(const json_t *object, const struct migration_record *m,
                             struct attempt_report *ret)
{
	ret->attempt.number = (uint32_t)json_number(object, "attempt");
	if (!ret->attempt.number)
		return; /* none yet */
	ret->attempt.operation = m->attempt.operation;
	ret->attempt.epoch = json_number(object, "epoch");
	ret->state = (enum migration_state)json_number(object, "state");
	text_copy(ret->vm_uuid, sizeof(ret->vm_uuid), m->vm_uuid);
	text_copy(ret->vm_name, sizeof(ret->vm_name), m->vm_name);
	text_copy(ret->source, sizeof(ret->source), m->source);
	json_get_text(object, "target", ret->target, sizeof(ret->target));
	json_get_text(object, "reason", ret->reason, sizeof(ret->reason));
	ret->error_code = (uint32_t)json_number(object, "error_code");
	checks_from_json(json_object_get(object, "checks"), &ret->checks);
	ret->guard = (enum guard)json_number(object, "guard");
	ret->progress.percent = (uint32_t)json_number(object, "percent");
	ret->progress.iteration = (uint32_t)json_number(object, "iteration");
	ret->progress.memory_total_bytes = json_number(object, "memory_total_bytes");
	ret->progress.memory_processed_bytes = json_number(object, "memory_processed_bytes");
	ret->progress.memory_remaining_bytes = json_number(object, "memory_remaining_bytes");
	ret->progress.elapsed_ms = json_number(object, "elapsed_ms");
	ret->progress.transfer_bytes_per_s = json_number(object, "transfer_bytes_per_s");
	ret->progress.dirty_bytes_per_s = json_number(object, "dirty_bytes_per_s");
	json_get_text(object, "rate_source", ret->progress.rate_source,
	              sizeof(ret->progress.rate_source));
	ret->duration_ms = json_number(object, "duration_ms");
	times_from_json(json_object_get(object, "times"), &ret->times);
	ret->downtime_ms = json_number(object, "downtime_ms");
	ret->transferred_bytes = json_number(object, "transferred_bytes");
	ret->wire_bytes = json_number(object, "wire_bytes");
	ret->tombstoned = json_number(object, "tombstoned");
	names_from_json(json_object_get(object, "leftovers"), &ret->leftovers);
	remnants_from_json(json_object_get(object, "remnants"), &ret->remnants);
	names_from_json(json_object_get(object, "notes"), &ret->notes);
	names_from_json(json_object_get(object, "decisions"), &ret->decisions);
	checks_from_json(json_object_get(object, "verification"), &ret->verification);
	json_get_text(object, "not_verified", ret->not_verified, sizeof(ret->not_verified));
	ret->progress.disk_total_bytes = json_number(object, "disk_total_bytes");
	ret->progress.disk_processed_bytes = json_number(object, "disk_processed_bytes");
	ret->memory_verified = json_number(object, "memory_verified");
	ret->alarm = json_number(object, "alarm");
}

/* --- records --- */

void store_bind_node(sqlite3_stmt *stmt, const struct node_record *node)
{
	struct row row = { .stmt = stmt, .column = 1 };

	put_text(&row, node->name);
	put_text(&row, node->mesh_address);
	put_number(&row, node->cordoned);
	put_number(&row, node->maintenance);
	put_number(&row, node->drain_number);
	put_text(&row, node->reason);
	put_number(&row, node->fenced);
	put_number(&row, node->fence_epoch);
	put_text(&row, node->fenced_by);
	put_text(&row, node->fenced_reason);
	put_number(&row, node->fenced_wall_ms);
}

int store_read_node(sqlite3_stmt *stmt, struct node_record *ret, struct error *err)
{
	struct row row = { .stmt = stmt };

	get_text(&row, ret->name, sizeof(ret->name));
	get_text(&row, ret->mesh_address, sizeof(ret->mesh_address));
	ret->cordoned = get_number(&row);
	ret->maintenance = get_number(&row);
	ret->drain_number = get_number(&row);
	get_text(&row, ret->reason, sizeof(ret->reason));
	ret->fenced = get_number(&row);
	ret->fence_epoch = get_number(&row);
	get_text(&row, ret->fenced_by, sizeof(ret->fenced_by));
	get_text(&row, ret->fenced_reason, sizeof(ret->fenced_reason));
	ret->fenced_wall_ms = get_number(&row);
	if (row.bad || !ret->name[0])
		return error_set(err, ERROR_STORE, "a row of a node makes no sense");
	return 0;
}

void store_bind_drain(sqlite3_stmt *stmt, const struct drain_record *drain)
{
	struct row row = { .stmt = stmt, .column = 1 };

	put_number(&row, drain->number);
	put_id(&row, &drain->id);
	put_id(&row, &drain->request_id);
	put_text(&row, drain->node);
	put_text(&row, drain_state_name(drain->state));
	put_text(&row, drain->reason);
	put_json(&row, names_to_json(&drain->leave));
	put_number(&row, drain->leave_unmovable);
	put_number(&row, drain->parallel);
	put_number(&row, drain->bandwidth_bytes_per_s);
	put_number(&row, drain->created_wall_ms);
	put_number(&row, drain->ended_wall_ms);
	put_number(&row, drain->left_count);
	put_number(&row, drain->copy_disks);
	put_number(&row, strategy_pack(&drain->strategy));
	put_number(&row, drain->max_downtime_ms);
	put_number(&row, drain->completion_timeout_ms_per_gib);
	put_number(&row, drain->progress_timeout_ms);
}

static enum drain_state parse_drain_state(const char *name)
{
	for (enum drain_state s = DRAIN_RUNNING; s < DRAIN_STATES; s++) {
		if (strcmp(drain_state_name(s), name) == 0)
			return s;
	}
	return DRAIN_PLANNED; /* never stored */
}

int store_read_drain(sqlite3_stmt *stmt, struct drain_record *ret, struct error *err)
{
	struct row row = { .stmt = stmt };
	char state[32] = "";
	json_t *leave;

	ret->number = get_number(&row);
	get_id(&row, &ret->id);
	get_id(&row, &ret->request_id);
	get_text(&row, ret->node, sizeof(ret->node));
	get_text(&row, state, sizeof(state));
	ret->state = parse_drain_state(state);
	get_text(&row, ret->reason, sizeof(ret->reason));
	leave = get_json(&row);
	names_from_json(leave, &ret->leave);
	json_decref(leave);
	ret->leave_unmovable = get_number(&row);
	ret->parallel = (uint32_t)get_number(&row);
	ret->bandwidth_bytes_per_s = get_number(&row);
	ret->created_wall_ms = get_number(&row);
	ret->ended_wall_ms = get_number(&row);
	ret->left_count = (uint32_t)get_number(&row);
	ret->copy_disks = get_number(&row);
	if (strategy_unpack((uint32_t)get_number(&row), &ret->strategy) < 0)
		ret->strategy = (struct strategy){ 0 };
	ret->max_downtime_ms = get_number(&row);
	ret->completion_timeout_ms_per_gib = get_number(&row);
	ret->progress_timeout_ms = get_number(&row);
	if (row.bad || ret->state == DRAIN_PLANNED)
		return error_set(err, ERROR_STORE, "the row of drain/%" PRIu64 " makes no sense",
		                 ret->number);
	return 0;
}

void store_bind_migration(sqlite3_stmt *stmt, const struct migration_record *m)
{
	struct row row = { .stmt = stmt, .column = 1 };

	put_number(&row, m->number);
	put_id(&row, &m->attempt.operation);
	put_number(&row, m->attempt.number);
	put_number(&row, m->attempt.epoch);
	put_id(&row, &m->request_id);
	put_text(&row, m->vm_uuid);
	put_text(&row, m->vm_name);
	put_text(&row, m->source);
	put_text(&row, m->target);
	put_text(&row, m->wanted_target);
	put_text(&row, migration_state_name(m->state));
	put_number(&row, migration_state_is_final(m->state));
	put_number(&row, m->holds_slot);
	put_number(&row, m->cancel_requested);
	put_number(&row, m->drain_number);
	put_number(&row, m->need_bytes);
	put_number(&row, m->memory_bytes);
	put_json(&row, settings_to_json(&m->settings));
	put_text(&row, m->reason);
	put_json(&row, report_to_json(&m->report));
	put_number(&row, m->created_wall_ms);
	put_number(&row, m->ended_wall_ms);
}

int store_read_migration(sqlite3_stmt *stmt, struct migration_record *ret, struct error *err)
{
	struct row row = { .stmt = stmt };
	json_t *settings, *report;
	char state[32] = "";

	ret->number = get_number(&row);
	get_id(&row, &ret->attempt.operation);
	ret->attempt.number = (uint32_t)get_number(&row);
	ret->attempt.epoch = get_number(&row);
	get_id(&row, &ret->request_id);
	get_text(&row, ret->vm_uuid, sizeof(ret->vm_uuid));
	get_text(&row, ret->vm_name, sizeof(ret->vm_name));
	get_text(&row, ret->source, sizeof(ret->source));
	get_text(&row, ret->target, sizeof(ret->target));
	get_text(&row, ret->wanted_target, sizeof(ret->wanted_target));
	get_text(&row, state, sizeof(state));
	ret->state = migration_state_parse(state);
	row.bad |= get_number(&row) != migration_state_is_final(ret->state);
	ret->holds_slot = get_number(&row);
	ret->cancel_requested = get_number(&row);
	ret->drain_number = get_number(&row);
	ret->need_bytes = get_number(&row);
	ret->memory_bytes = get_number(&row);
	settings = get_json(&row);
	settings_from_json(settings, &ret->settings);
	json_decref(settings);
	get_text(&row, ret->reason, sizeof(ret->reason));
	report = get_json(&row);
	report_from_json(report, ret, &ret->report);
	json_decref(report);
	ret->created_wall_ms = get_number(&row);
	ret->ended_wall_ms = get_number(&row);
	if (row.bad || ret->state == MIGRATION_NO_STATE)
		return error_set(err, ERROR_STORE,
		                 "the row of migration/%" PRIu64 " makes no sense", ret->number);
	return 0;
}

void store_bind_vm(sqlite3_stmt *stmt, const struct vm_record *vm)
{
	struct row row = { .stmt = stmt, .column = 1 };

	put_text(&row, vm->uuid);
	put_text(&row, vm->name);
	put_number(&row, vm->bandwidth_given);
	put_number(&row, vm->bandwidth_bytes_per_s);
	put_number(&row, vm->max_downtime_given);
	put_number(&row, vm->max_downtime_ms);
	put_text(&row, vm->by);
	put_number(&row, vm->wall_ms);
}

int store_read_vm(sqlite3_stmt *stmt, struct vm_record *ret, struct error *err)
{
	struct row row = { .stmt = stmt };

	get_text(&row, ret->uuid, sizeof(ret->uuid));
	get_text(&row, ret->name, sizeof(ret->name));
	ret->bandwidth_given = get_number(&row);
	ret->bandwidth_bytes_per_s = get_number(&row);
	ret->max_downtime_given = get_number(&row);
	ret->max_downtime_ms = get_number(&row);
	get_text(&row, ret->by, sizeof(ret->by));
	ret->wall_ms = get_number(&row);
	if (row.bad || !ret->uuid[0])
		return error_set(err, ERROR_STORE, "a row of a guest makes no sense");
	return 0;
}

void store_bind_event(sqlite3_stmt *stmt, const struct event_record *event)
{
	struct row row = { .stmt = stmt, .column = 1 };

	put_number(&row, event->revision);
	put_number(&row, event->wall_ms);
	put_text(&row, severity_name(event->severity));
	put_text(&row, event->subject);
	put_text(&row, event->text);
}

int store_read_event(sqlite3_stmt *stmt, struct event_record *ret, struct error *err)
{
	struct row row = { .stmt = stmt };
	char severity[16] = "";

	ret->revision = get_number(&row);
	ret->wall_ms = get_number(&row);
	get_text(&row, severity, sizeof(severity));
	get_text(&row, ret->subject, sizeof(ret->subject));
	get_text(&row, ret->text, sizeof(ret->text));
	for (ret->severity = SEVERITY_INFO; ret->severity < SEVERITIES; ret->severity++) {
		if (strcmp(severity_name(ret->severity), severity) == 0)
			break;
	}
	if (row.bad || ret->severity == SEVERITIES)
		return error_set(err, ERROR_STORE, "a row of an event makes no sense");
	return 0;
}
