/* SPDX-License-Identifier: Apache-2.0 */
/* Records to SQLite rows and back. What is always read whole and never searched is JSON in one column
 * (store_json.h). */
#include "coordinator/store/store_sqlite_rows.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/core/move/migration.h"
#include "coordinator/store/store_json.h"

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
	/* 5 to 6: labels of hosts; drains together, with a time, and taken back */
	[5] = "ALTER TABLE nodes ADD COLUMN labels TEXT NOT NULL DEFAULT '';"
	      "ALTER TABLE drains ADD COLUMN set_number INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE drains ADD COLUMN by_wall_ms INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE migrations ADD COLUMN back_of INTEGER NOT NULL DEFAULT 0;",
	/* 6 to 7: what was predicted of migrations */
	[6] = "ALTER TABLE migrations ADD COLUMN prediction TEXT NOT NULL DEFAULT '{}';",
	/* 7 to 8: since which drain a host has been closed; of earlier ones only the latest is known */
	[7] = "ALTER TABLE nodes ADD COLUMN closed_since INTEGER NOT NULL DEFAULT 0;"
	      "UPDATE nodes SET closed_since = "
	      "(SELECT coalesce(max(number), 0) FROM drains WHERE drains.node = nodes.name) "
	      "WHERE drain_number != 0 OR maintenance != 0;",
	/* 8 to 9: what hosts have said of themselves */
	[8] = "ALTER TABLE nodes ADD COLUMN own_labels TEXT NOT NULL DEFAULT '';"
	      "ALTER TABLE nodes ADD COLUMN labels_heard INTEGER NOT NULL DEFAULT 0;",
	/* 9 to 10: what people want about where guests are */
	[9] = "CREATE TABLE policies ("
	      "  name TEXT PRIMARY KEY, kind TEXT NOT NULL, soft INTEGER NOT NULL,"
	      "  vms TEXT NOT NULL, vm_names TEXT NOT NULL, nodes TEXT NOT NULL,"
	      "  selector TEXT NOT NULL, asked_by TEXT NOT NULL, wall_ms INTEGER NOT NULL,"
	      "  violated_wall_ms INTEGER NOT NULL"
	      ") STRICT;",
	/* 10 to 11: guests that drains shut down */
	[10] = "ALTER TABLE drains ADD COLUMN shutdowns TEXT NOT NULL DEFAULT '[]';"
	       "ALTER TABLE drains ADD COLUMN shutdown_timeout_ms INTEGER NOT NULL DEFAULT 0;",
	/* 11 to 12: migrations that are prepared ahead of their slot */
	[11] = "ALTER TABLE migrations ADD COLUMN preparing INTEGER NOT NULL DEFAULT 0;",
	/* 12 to 13: what was told of drains' deadlines */
	[12] = "ALTER TABLE drains ADD COLUMN deadline_told INTEGER NOT NULL DEFAULT 0;",
};

/* clang-format off */
const char *const store_node_columns[] = {
	"name", "mesh_address", "cordoned", "maintenance", "drain_number", "reason",
	"fenced", "fence_epoch", "fenced_by", "fenced_reason", "fenced_wall_ms",
	"labels", "closed_since", "own_labels", "labels_heard", NULL
};
const char *const store_drain_columns[] = {
	"number", "id", "request_id", "node", "state", "reason", "leave", "leave_unmovable",
	"parallel", "bandwidth", "created_wall_ms", "ended_wall_ms", "left_count", "copy_disks",
	"strategy", "max_downtime_ms", "completion_timeout_ms_per_gib", "progress_timeout_ms",
	"set_number", "by_wall_ms", "shutdowns", "shutdown_timeout_ms", "deadline_told", NULL
};
const char *const store_migration_columns[] = {
	"number", "operation", "attempt_number", "attempt_epoch", "request_id", "vm_uuid",
	"vm_name", "source", "target", "wanted_target", "state", "over", "holds_slot",
	"cancel_requested", "drain_number", "need_bytes", "memory_bytes", "settings", "reason",
	"report", "created_wall_ms", "ended_wall_ms", "back_of", "prediction", "preparing", NULL
};
const char *const store_vm_columns[] = {
	"uuid", "name", "bandwidth_given", "bandwidth", "max_downtime_given", "max_downtime_ms",
	"asked_by", "wall_ms", NULL
};
const char *const store_policy_columns[] = {
	"name", "kind", "soft", "vms", "vm_names", "nodes", "selector", "asked_by", "wall_ms",
	"violated_wall_ms", NULL
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
	put_text(&row, node->labels);
	put_number(&row, node->closed_since);
	put_text(&row, node->own_labels);
	put_number(&row, node->labels_heard);
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
	get_text(&row, ret->labels, sizeof(ret->labels));
	ret->closed_since = get_number(&row);
	get_text(&row, ret->own_labels, sizeof(ret->own_labels));
	ret->labels_heard = get_number(&row);
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
	put_json(&row, store_json_names_new(&drain->leave));
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
	put_number(&row, drain->set_number);
	put_number(&row, drain->by_wall_ms);
	put_json(&row, store_json_shutdowns_new(drain));
	put_number(&row, drain->shutdown_timeout_ms);
	put_number(&row, drain->deadline_told);
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
	json_t *leave, *shutdowns;

	ret->number = get_number(&row);
	get_id(&row, &ret->id);
	get_id(&row, &ret->request_id);
	get_text(&row, ret->node, sizeof(ret->node));
	get_text(&row, state, sizeof(state));
	ret->state = parse_drain_state(state);
	get_text(&row, ret->reason, sizeof(ret->reason));
	leave = get_json(&row);
	store_json_read_names(leave, &ret->leave);
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
	ret->set_number = get_number(&row);
	ret->by_wall_ms = get_number(&row);
	shutdowns = get_json(&row);
	row.bad |= store_json_read_shutdowns(shutdowns, ret) < 0;
	json_decref(shutdowns);
	ret->shutdown_timeout_ms = get_number(&row);
	ret->deadline_told = (enum deadline_told)get_number(&row);
	if (row.bad || ret->state == DRAIN_PLANNED || ret->deadline_told >= DEADLINE_TOLDS)
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
	put_json(&row, store_json_settings_new(&m->settings));
	put_text(&row, m->reason);
	put_json(&row, store_json_report_new(&m->report));
	put_number(&row, m->created_wall_ms);
	put_number(&row, m->ended_wall_ms);
	put_number(&row, m->back_of);
	put_json(&row, store_json_prediction_new(&m->prediction));
	put_number(&row, m->preparing);
}

int store_read_migration(sqlite3_stmt *stmt, struct migration_record *ret, struct error *err)
{
	struct row row = { .stmt = stmt };
	json_t *settings, *report, *prediction;
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
	store_json_read_settings(settings, &ret->settings);
	json_decref(settings);
	get_text(&row, ret->reason, sizeof(ret->reason));
	report = get_json(&row);
	store_json_read_report(report, ret, &ret->report);
	json_decref(report);
	ret->created_wall_ms = get_number(&row);
	ret->ended_wall_ms = get_number(&row);
	ret->back_of = get_number(&row);
	prediction = get_json(&row);
	store_json_read_prediction(prediction, &ret->prediction);
	json_decref(prediction);
	ret->preparing = get_number(&row);
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

void store_bind_policy(sqlite3_stmt *stmt, const struct policy_record *policy)
{
	struct row row = { .stmt = stmt, .column = 1 };

	put_text(&row, policy->name);
	put_text(&row, policy_kind_name(policy->kind));
	put_number(&row, policy->soft);
	put_json(&row, store_json_names_new(&policy->vms));
	put_json(&row, store_json_names_new(&policy->vm_names));
	put_json(&row, store_json_names_new(&policy->nodes));
	put_text(&row, policy->selector);
	put_text(&row, policy->by);
	put_number(&row, policy->wall_ms);
	put_number(&row, policy->violated_wall_ms);
}

static void get_names(struct row *row, struct names *ret)
{
	json_t *list = get_json(row);

	store_json_read_names(list, ret);
	json_decref(list);
}

int store_read_policy(sqlite3_stmt *stmt, struct policy_record *ret, struct error *err)
{
	struct row row = { .stmt = stmt };
	char kind[16] = "";

	get_text(&row, ret->name, sizeof(ret->name));
	get_text(&row, kind, sizeof(kind));
	ret->kind = policy_kind_parse(kind);
	ret->soft = get_number(&row);
	get_names(&row, &ret->vms);
	get_names(&row, &ret->vm_names);
	get_names(&row, &ret->nodes);
	get_text(&row, ret->selector, sizeof(ret->selector));
	get_text(&row, ret->by, sizeof(ret->by));
	ret->wall_ms = get_number(&row);
	ret->violated_wall_ms = get_number(&row);
	/* One that is read wrongly would let guests meet that must not. */
	if (row.bad || !ret->name[0] || ret->kind == POLICY_KINDS || !ret->vms.count ||
	    ret->vms.count != ret->vm_names.count)
		return error_set(err, ERROR_STORE, "the row of policy/%s makes no sense",
		                 ret->name);
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
