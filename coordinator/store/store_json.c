/* SPDX-License-Identifier: Apache-2.0 */
/* See store_json.h. */
#include "coordinator/store/store_json.h"

#include "common/alloc.h"
#include "common/utf8.h"

#include <string.h>

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

json_t *store_json_names_new(const struct names *names)
{
	json_t *list = json_array();

	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(list, json_text(names->items[i]));
	return list;
}

void store_json_read_names(const json_t *list, struct names *ret)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name)
			names_add(ret, name);
	}
}

json_t *store_json_shutdowns_new(const struct drain_record *drain)
{
	json_t *list = json_array();

	for (size_t i = 0; i < drain->n_shutdowns; i++) {
		const struct shutdown *s = &drain->shutdowns[i];
		json_t *item = json_object();
		char boot_id[ID_TEXT_BYTES];

		json_object_set_new(item, "uuid", json_text(s->uuid));
		json_object_set_new(item, "name", json_text(s->name));
		json_object_set_new(item, "phase", json_string(shutdown_phase_name(s->phase)));
		json_object_set_new(item, "boot", json_string(id_format(&s->boot_id, boot_id)));
		json_put(item, "need", s->need_bytes);
		json_put(item, "orders", s->orders);
		json_put(item, "asks", s->asks);
		json_put(item, "asked", s->asked_wall_ms);
		json_put(item, "off", s->off_wall_ms);
		json_array_append_new(list, item);
	}
	return list;
}

int store_json_read_shutdowns(const json_t *list, struct drain_record *ret)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		char uuid[VM_UUID_BYTES], name[VM_NAME_BYTES], phase[16], boot_id[ID_TEXT_BYTES];
		struct shutdown *s;

		json_get_text(item, "uuid", uuid, sizeof(uuid));
		json_get_text(item, "name", name, sizeof(name));
		json_get_text(item, "phase", phase, sizeof(phase));
		json_get_text(item, "boot", boot_id, sizeof(boot_id));
		s = drain_record_add_shutdown(ret, uuid, name);
		while (s->phase < SHUTDOWN_PHASES &&
		       strcmp(shutdown_phase_name(s->phase), phase) != 0)
			s->phase++;
		if (!uuid[0] || s->phase == SHUTDOWN_PHASES || id_parse(boot_id, &s->boot_id) < 0)
			return -ERROR_INVALID;
		s->need_bytes = json_number(item, "need");
		s->orders = (uint32_t)json_number(item, "orders");
		s->asks = (uint32_t)json_number(item, "asks");
		s->asked_wall_ms = json_number(item, "asked");
		s->off_wall_ms = json_number(item, "off");
	}
	return 0;
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

json_t *store_json_settings_new(const struct migration_settings *settings)
{
	json_t *object = json_object();

	json_put(object, "bandwidth_bytes_per_s", settings->bandwidth_bytes_per_s);
	json_put(object, "max_downtime_ms", settings->max_downtime_ms);
	json_put(object, "completion_timeout_ms_per_gib", settings->completion_timeout_ms_per_gib);
	json_put(object, "progress_timeout_ms", settings->progress_timeout_ms);
	json_put(object, "tls", settings->tls);
	json_put(object, "no_guard", settings->no_guard);
	json_put(object, "stop_off_network", settings->stop_off_network);
	json_put(object, "shortest_first", settings->shortest_first);
	json_put(object, "unsafe", settings->unsafe);
	json_put(object, "copy_disks", settings->copy_disks);
	json_put(object, "ignore_policies", settings->ignore_policies);
	json_put(object, "connections", settings->transfer.connections);
	json_put(object, "compression", settings->transfer.compression);
	json_put(object, "copy_incremental", settings->transfer.copy_incremental);
	json_object_set_new(object, "copy_only", json_text(settings->transfer.copy_only));
	json_put(object, "strategy", strategy_pack(&settings->strategy));
	json_put(object, "origins", origins_pack(settings));
	return object;
}

void store_json_read_settings(const json_t *object, struct migration_settings *ret)
{
	ret->bandwidth_bytes_per_s = json_number(object, "bandwidth_bytes_per_s");
	ret->max_downtime_ms = json_number(object, "max_downtime_ms");
	ret->completion_timeout_ms_per_gib = json_number(object, "completion_timeout_ms_per_gib");
	ret->progress_timeout_ms = json_number(object, "progress_timeout_ms");
	ret->tls = json_number(object, "tls");
	ret->no_guard = json_number(object, "no_guard");
	ret->stop_off_network = json_number(object, "stop_off_network");
	ret->shortest_first = json_number(object, "shortest_first");
	ret->unsafe = json_number(object, "unsafe");
	ret->copy_disks = json_number(object, "copy_disks");
	ret->ignore_policies = json_number(object, "ignore_policies");
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

json_t *store_json_prediction_new(const struct prediction *p)
{
	json_t *object = json_object();

	/* Of none there is nothing to say, and reading takes what is missing as nothing. */
	if (!p->expected_ms)
		return object;
	json_object_set_new(object, "end", json_text(prediction_end_name(p->end)));
	json_object_set_new(object, "low_end", json_text(prediction_end_name(p->low_end)));
	json_object_set_new(object, "high_end", json_text(prediction_end_name(p->high_end)));
	json_put(object, "certain", p->certain);
	json_put(object, "high_known", p->high_known);
	json_put(object, "passes", p->passes);
	json_put(object, "expected_ms", p->expected_ms);
	json_put(object, "low_ms", p->low_ms);
	json_put(object, "high_ms", p->high_ms);
	json_put(object, "transfer_ms", p->transfer_ms);
	json_put(object, "transfer_low_ms", p->transfer_low_ms);
	json_put(object, "transfer_high_ms", p->transfer_high_ms);
	json_put(object, "bytes", p->bytes);
	json_put(object, "downtime_ms", p->downtime_ms);
	json_put(object, "downtime_high_ms", p->downtime_high_ms);
	json_put(object, "enough_bytes_per_s", p->enough_bytes_per_s);
	json_put(object, "bandwidth_bytes_per_s", p->bandwidth_bytes_per_s);
	json_put(object, "dirty_bytes_per_s", p->dirty_bytes_per_s);
	json_put(object, "touched_bytes", p->touched_bytes);
	return object;
}

static enum prediction_end get_end(const json_t *object, const char *key)
{
	const char *end = json_string_value(json_object_get(object, key));

	return end ? prediction_end_by_name(end) : PREDICTION_UNKNOWN;
}

void store_json_read_prediction(const json_t *object, struct prediction *ret)
{
	ret->end = get_end(object, "end");
	ret->low_end = get_end(object, "low_end");
	ret->high_end = get_end(object, "high_end");
	ret->certain = json_number(object, "certain");
	ret->high_known = json_number(object, "high_known");
	ret->passes = (uint32_t)json_number(object, "passes");
	ret->expected_ms = json_number(object, "expected_ms");
	ret->low_ms = json_number(object, "low_ms");
	ret->high_ms = json_number(object, "high_ms");
	ret->transfer_ms = json_number(object, "transfer_ms");
	ret->transfer_low_ms = json_number(object, "transfer_low_ms");
	ret->transfer_high_ms = json_number(object, "transfer_high_ms");
	ret->bytes = json_number(object, "bytes");
	ret->downtime_ms = json_number(object, "downtime_ms");
	ret->downtime_high_ms = json_number(object, "downtime_high_ms");
	ret->enough_bytes_per_s = json_number(object, "enough_bytes_per_s");
	ret->bandwidth_bytes_per_s = json_number(object, "bandwidth_bytes_per_s");
	ret->dirty_bytes_per_s = json_number(object, "dirty_bytes_per_s");
	ret->touched_bytes = json_number(object, "touched_bytes");
}

static json_t *times_to_json(const struct stage_times *times)
{
	json_t *object = json_object();

	json_put(object, "describing_ms", times->describing_ms);
	json_put(object, "admitting_ms", times->admitting_ms);
	json_put(object, "linking_ms", times->linking_ms);
	json_put(object, "moving_ms", times->moving_ms);
	json_put(object, "prepared_ms", times->prepared_ms);
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
	ret->prepared_ms = json_number(object, "prepared_ms");
	ret->resolving_ms = json_number(object, "resolving_ms");
	ret->cleaning_ms = json_number(object, "cleaning_ms");
}

static json_t *connection_to_json(const struct connection *c)
{
	json_t *object = json_object();

	json_put(object, "connections", c->connections);
	json_put(object, "bytes_per_s", c->bytes_per_s);
	json_put(object, "rtt_us", c->rtt_us);
	json_put(object, "min_rtt_us", c->min_rtt_us);
	json_put(object, "resent_ppm", c->resent_ppm);
	json_object_set_new(object, "limited_by", json_text(c->limited_by));
	json_put(object, "usual_bytes_per_s", c->usual_bytes_per_s);
	json_put(object, "collapsed", c->collapsed);
	return object;
}

static void connection_from_json(const json_t *object, struct connection *ret)
{
	ret->connections = (uint32_t)json_number(object, "connections");
	ret->bytes_per_s = json_number(object, "bytes_per_s");
	ret->rtt_us = json_number(object, "rtt_us");
	ret->min_rtt_us = json_number(object, "min_rtt_us");
	ret->resent_ppm = (uint32_t)json_number(object, "resent_ppm");
	json_get_text(object, "limited_by", ret->limited_by, sizeof(ret->limited_by));
	ret->usual_bytes_per_s = json_number(object, "usual_bytes_per_s");
	ret->collapsed = json_number(object, "collapsed");
}

static json_t *path_to_json(const struct path_proof *p)
{
	json_t *object = json_object(), *list = json_array();

	json_put(object, "verdict", p->verdict);
	json_put(object, "deviated", p->deviated);
	json_object_set_new(object, "text", json_text(p->text));
	for (size_t i = 0; i < p->n; i++) {
		const struct path_interface *from = &p->interfaces[i];
		json_t *item = json_object();

		json_object_set_new(item, "name", json_text(from->name));
		json_put(item, "migration", from->migration);
		json_put(item, "wire_bytes", from->wire_bytes);
		json_put(item, "bytes_per_s", from->bytes_per_s);
		json_put(item, "percent", from->percent);
		json_array_append_new(list, item);
	}
	json_object_set_new(object, "interfaces", list);
	return object;
}

static void path_from_json(const json_t *object, struct path_proof *ret)
{
	const json_t *list = json_object_get(object, "interfaces");

	ret->verdict = (enum path_verdict)json_number(object, "verdict");
	if ((unsigned)ret->verdict >= PATH_VERDICTS)
		ret->verdict = PATH_UNKNOWN;
	ret->deviated = json_number(object, "deviated");
	json_get_text(object, "text", ret->text, sizeof(ret->text));
	for (size_t i = 0; i < json_array_size(list) && ret->n < PATH_PROOF_INTERFACES; i++) {
		const json_t *item = json_array_get(list, i);
		struct path_interface *to = &ret->interfaces[ret->n++];

		json_get_text(item, "name", to->name, sizeof(to->name));
		to->migration = json_number(item, "migration");
		to->wire_bytes = json_number(item, "wire_bytes");
		to->bytes_per_s = json_number(item, "bytes_per_s");
		to->percent = (uint32_t)json_number(item, "percent");
	}
}

json_t *store_json_report_new(const struct attempt_report *report)
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
	json_object_set_new(object, "connection", connection_to_json(&report->progress.connection));
	json_put(object, "duration_ms", report->duration_ms);
	json_object_set_new(object, "times", times_to_json(&report->times));
	json_put(object, "downtime_ms", report->downtime_ms);
	json_put(object, "transferred_bytes", report->transferred_bytes);
	json_put(object, "wire_bytes", report->wire_bytes);
	json_put(object, "held_ms", report->held_ms);
	json_object_set_new(object, "path", path_to_json(&report->path));
	json_put(object, "tombstoned", report->tombstoned);
	json_object_set_new(object, "leftovers", store_json_names_new(&report->leftovers));
	json_object_set_new(object, "remnants", remnants_to_json(&report->remnants));
	json_object_set_new(object, "notes", store_json_names_new(&report->notes));
	json_object_set_new(object, "decisions", store_json_names_new(&report->decisions));
	json_object_set_new(object, "verification", checks_to_json(&report->verification));
	json_object_set_new(object, "not_verified", json_text(report->not_verified));
	json_put(object, "disk_total_bytes", report->progress.disk_total_bytes);
	json_put(object, "disk_processed_bytes", report->progress.disk_processed_bytes);
	json_put(object, "memory_verified", report->memory_verified);
	json_put(object, "alarm", report->alarm);
	return object;
}

void store_json_read_report(const json_t *object, const struct migration_record *m,
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
	connection_from_json(json_object_get(object, "connection"), &ret->progress.connection);
	ret->duration_ms = json_number(object, "duration_ms");
	times_from_json(json_object_get(object, "times"), &ret->times);
	ret->downtime_ms = json_number(object, "downtime_ms");
	ret->transferred_bytes = json_number(object, "transferred_bytes");
	ret->wire_bytes = json_number(object, "wire_bytes");
	ret->held_ms = json_number(object, "held_ms");
	path_from_json(json_object_get(object, "path"), &ret->path);
	ret->tombstoned = json_number(object, "tombstoned");
	store_json_read_names(json_object_get(object, "leftovers"), &ret->leftovers);
	remnants_from_json(json_object_get(object, "remnants"), &ret->remnants);
	store_json_read_names(json_object_get(object, "notes"), &ret->notes);
	store_json_read_names(json_object_get(object, "decisions"), &ret->decisions);
	checks_from_json(json_object_get(object, "verification"), &ret->verification);
	json_get_text(object, "not_verified", ret->not_verified, sizeof(ret->not_verified));
	ret->progress.disk_total_bytes = json_number(object, "disk_total_bytes");
	ret->progress.disk_processed_bytes = json_number(object, "disk_processed_bytes");
	ret->memory_verified = json_number(object, "memory_verified");
	ret->alarm = json_number(object, "alarm");
}
