/* SPDX-License-Identifier: Apache-2.0 */
/* "drover undrain": the end of a node's maintenance, and the way back of its guests.
 *
 * Each guest that comes back is a migration of its own, which goes on without us. They are asked for
 * once a second until all are over; a coordinator that is away is asked again. */
#include "tools/drover/undrain.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/drover/commands.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <string.h>

#define ASK_EVERY_MS 1000

/* How many of the plan are in that state. */
static size_t count_state(const Drover__V1__Drain *back, const char *state)
{
	size_t n = 0;

	for (size_t i = 0; back && i < back->n_vms; i++)
		n += strcmp(back->vms[i]->state, state) == 0;
	return n;
}

static void say_node(struct session *s, const char *node, const Drover__V1__NodeReply *reply)
{
	_cleanup_free_ char *shown = text_escape(node, s->out.ascii);

	if (!s->options->quiet && s->out.format == OUTPUT_TABLE)
		fprintf(s->out.file, "%s %s\n", shown,
		        reply->changed                       ? "takes guests again."
		        : reply->back && reply->back->number ? "takes guests already."
		                                             : "was not drained; nothing to do.");
}

/* Those that do not come, with the reason. */
static void say_who_stays(struct session *s, const Drover__V1__Drain *back)
{
	for (size_t i = 0; i < back->n_vms; i++) {
		const Drover__V1__DrainVm *vm = back->vms[i];

		if (strcmp(vm->state, "moving") != 0 && strcmp(vm->state, "starting") != 0)
			session_say(s, "  %s %s: %s", vm->name,
			            !vm->starts                         ? "stays"
			            : strcmp(vm->state, "blocked") == 0 ? "stays off"
			                                                : "is not started",
			            vm->reason);
	}
}

static const Drover__V1__Migration *find(const Drover__V1__MigrationList *list, uint64_t number)
{
	for (size_t i = 0; i < list->n_migrations; i++) {
		if (list->migrations[i]->number == number)
			return list->migrations[i];
	}
	return NULL;
}

static void say_end(struct session *s, const Drover__V1__Migration *m)
{
	char duration[OUTPUT_TEXT_BYTES], downtime[OUTPUT_TEXT_BYTES], when[CLOCK_TEXT_BYTES];

	clock_format_wall(clock_wall_ms(), when);
	if (m->state != DROVER__V1__MIGRATION_STATE__DONE || !m->report)
		session_say(s, "%s %s is not back: migration/%llu %s: %s", when, m->vm_name,
		            (unsigned long long)m->number, migration_state_name(m->state),
		            m->reason);
	else
		session_say(s, "%s %s is back on %s from %s: %s, downtime %s", when, m->vm_name,
		            m->target, m->source,
		            output_duration(&s->err, m->report->duration_ms, duration),
		            output_duration(&s->err, m->report->downtime_ms, downtime));
}

/* Tells of those that are over now. Returns how many are not. */
static size_t look(struct session *s, const Drover__V1__Drain *back,
                   const Drover__V1__MigrationList *list, bool *told, size_t *ret_failed)
{
	size_t open = 0;

	for (size_t i = 0; i < back->n_vms; i++) {
		const Drover__V1__Migration *m;

		if (strcmp(back->vms[i]->state, "moving") != 0 || told[i])
			continue;
		m = find(list, back->vms[i]->migration_number);
		if (m && !migration_is_over(m)) {
			open++;
			continue;
		}
		told[i] = true;
		if (m)
			say_end(s, m);
		else
			session_say(s,
			            "%s: the coordinator does not know migration/%llu any more: "
			            "drover explain vm/%s",
			            back->vms[i]->name,
			            (unsigned long long)back->vms[i]->migration_number,
			            back->vms[i]->name);
		*ret_failed += !m || m->state != DROVER__V1__MIGRATION_STATE__DONE;
	}
	return open;
}

static const Drover__V1__DrainVm *find_start(const Drover__V1__DrainList *list,
                                             const Drover__V1__DrainVm *wanted)
{
	for (size_t i = 0; i < list->n_drains; i++) {
		for (size_t n = 0;
		     list->drains[i]->number == wanted->shut_down_by && n < list->drains[i]->n_vms;
		     n++) {
			if (strcmp(list->drains[i]->vms[n]->uuid, wanted->uuid) == 0)
				return list->drains[i]->vms[n];
		}
	}
	return NULL;
}

/* The same of those that are started: what is known of them is with the drain that had shut them down. */
static size_t look_at_starts(struct session *s, const Drover__V1__Drain *back,
                             const Drover__V1__DrainList *list, bool *told, size_t *ret_failed)
{
	char when[CLOCK_TEXT_BYTES];
	size_t open = 0;

	for (size_t i = 0; i < back->n_vms; i++) {
		const Drover__V1__DrainVm *vm;

		if (strcmp(back->vms[i]->state, "starting") != 0 || told[i])
			continue;
		vm = find_start(list, back->vms[i]);
		if (vm && strcmp(vm->power, "starting") == 0) {
			open++;
			continue;
		}
		told[i] = true;
		clock_format_wall(clock_wall_ms(), when);
		session_say(s, "%s %s %s", when, back->vms[i]->name,
		            vm ? vm->reason : "is of a drain that the coordinator does not know");
		*ret_failed += !vm || strcmp(vm->power, "over") != 0;
	}
	return open;
}

static bool never(void *context)
{
	(void)context;
	return false;
}

/* It may be back in a moment; any other refusal is an answer, and would be the same again. */
static bool is_away(const struct error *err)
{
	return err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT ||
	       err->code == ERROR_UNKNOWN_OUTCOME || err->code == ERROR_BUSY;
}

static enum exit_code follow(struct session *s, const char *node, const Drover__V1__Drain *back)
{
	_cleanup_free_ bool *told = xcalloc(back->n_vms + 1, sizeof(*told));
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	size_t open = count_state(back, "moving") + count_state(back, "starting"), failed = 0;
	bool lost = false;

	request.node = (char *)node;
	while (open) {
		_cleanup_reply_ Drover__V1__MigrationList *list = NULL;
		_cleanup_reply_ Drover__V1__DrainList *drains = NULL;
		struct error err;

		client_wait(s->client, ASK_EVERY_MS, never, NULL);
		if (client_is_interrupted(s->client) || client_is_overdue(s->client)) {
			session_say(s, "Stopped watching; the guests come back without us: drover "
			               "migrations --active");
			return client_is_interrupted(s->client) ? EXIT_INTERRUPTED : EXIT_TIMEOUT;
		}
		if (coordinator_ask_list_migrations(s->client, &request, &list, &err) < 0 ||
		    coordinator_ask_list_drains(s->client, &request, &drains, &err) < 0) {
			if (!is_away(&err))
				return session_fail(s, "watching the guests come back", &err);
			if (!lost)
				session_say(s,
				            "The coordinator is asked again until it answers "
				            "(%s); the guests come back without us.",
				            err.text);
			lost = true;
			continue;
		}
		lost = false;
		open = look(s, back, list, told, &failed) +
		       look_at_starts(s, back, drains, told, &failed);
	}
	return failed ? EXIT_FAILED : EXIT_DONE;
}

static enum exit_code ask(struct session *s, const char *node, bool bring_back, bool dry_run,
                          Drover__V1__NodeReply **ret_reply)
{
	Drover__V1__NodeRequest request = DROVER__V1__NODE_REQUEST__INIT;
	_cleanup_free_ char *what = xasprintf("undraining %s", node);
	struct error err = { 0 };

	request.node = (char *)node;
	request.bring_back = bring_back;
	request.dry_run = dry_run;
	if (coordinator_ask_undrain(s->client, &request, ret_reply, &err) == 0) {
		if (*ret_reply)
			return EXIT_DONE;
		error_set(&err, ERROR_PROTOCOL, "the coordinator answered nothing");
	}
	return client_is_interrupted(s->client) ? EXIT_INTERRUPTED
	                                        : session_fail_object(s, what, "node", node, &err);
}

static enum exit_code conclude(const Drover__V1__Drain *back, enum exit_code code)
{
	size_t there = 0;

	/* Who is there already needs not come. */
	for (size_t i = 0; i < back->n_vms; i++)
		there += strstr(back->vms[i]->reason, "again already") != NULL;
	if (code == EXIT_DONE &&
	    count_state(back, "moving") + count_state(back, "starting") + there < back->n_vms)
		return EXIT_PARTLY;
	return code;
}

static size_t count_off(const Drover__V1__Drain *back)
{
	size_t n = 0;

	for (size_t i = 0; i < back->n_vms; i++)
		n += back->vms[i]->starts && strcmp(back->vms[i]->state, "blocked") == 0;
	return n;
}

enum exit_code undrain_bring_back(struct session *s, const char *node, size_t *ret_off)
{
	_cleanup_reply_ Drover__V1__NodeReply *reply = NULL;
	enum exit_code code = ask(s, node, true, false, &reply);
	size_t n;

	if (code != EXIT_DONE || !reply)
		return code;
	say_node(s, node, reply);
	/* A rolling operation prints one object of its own. */
	if (s->out.format == OUTPUT_JSON && !ret_off)
		output_message(&s->out, &reply->base);
	if (!reply->back || !reply->back->number) {
		session_say(s, "No drain of %s is known that has moved a guest away.", node);
		return EXIT_DONE;
	}
	n = count_state(reply->back, "moving");
	if (n)
		session_say(s, "%zu %s to %s.", n, n == 1 ? "guest comes back" : "guests come back",
		            node);
	n = count_state(reply->back, "starting");
	if (n)
		session_say(s, "%zu %s on %s.", n,
		            n == 1 ? "guest is started again" : "guests are started again", node);
	say_who_stays(s, reply->back);
	if (ret_off)
		*ret_off = count_off(reply->back);
	if (s->options->detach)
		return conclude(reply->back, EXIT_DONE);
	return conclude(reply->back, follow(s, node, reply->back));
}

static enum exit_code show_way_back(struct session *s, const char *node)
{
	_cleanup_reply_ Drover__V1__NodeReply *reply = NULL;
	enum exit_code code = ask(s, node, true, true, &reply);

	if (code != EXIT_DONE || !reply)
		return code;
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &reply->base);
	else if (!reply->back || !reply->back->n_vms)
		session_say(s, "No drain of %s is known that has moved a guest away.", node);
	else
		drain_plan_print(&s->out, reply->back);
	return reply->back && count_state(reply->back, "blocked") ? EXIT_REFUSED : EXIT_DONE;
}

/* Those that its drains have shut down, and that nobody has asked to start. */
static void say_off(struct session *s, const char *node, const Drover__V1__NodeReply *reply)
{
	_cleanup_free_ char *word = text_shell_word(node);

	if (!reply->n_off)
		return;
	session_say(s, "%zu %s off since %s was drained:", reply->n_off,
	            reply->n_off == 1 ? "guest is" : "guests are", node);
	for (size_t i = 0; i < reply->n_off; i++)
		session_say(s, "  %s", reply->off[i]);
	session_say(s, "  start %s   drover undrain %s --bring-back",
	            reply->n_off == 1 ? "it  " : "them", word);
}

static enum exit_code end_maintenance(struct session *s, const char *node)
{
	_cleanup_reply_ Drover__V1__NodeReply *reply = NULL;
	enum exit_code code = ask(s, node, false, false, &reply);

	if (code != EXIT_DONE || !reply)
		return code;
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &reply->base);
	else
		say_node(s, node, reply);
	say_off(s, node, reply);
	return EXIT_DONE;
}

enum exit_code undrain_run(const struct invocation *invocation)
{
	const struct options *options = &invocation->options;
	struct session s;
	const char *node;
	enum exit_code code;

	session_init(&s, invocation);
	node = session_name_of_kind(&s, "node", invocation->words.items[0]);
	if (!node)
		return EXIT_USAGE;
	if (!options->bring_back && (options->dry_run || options->detach)) {
		fprintf(s.err.file,
		        "drover: undrain is done at once; --dry-run and --detach go with "
		        "--bring-back\n");
		return EXIT_USAGE;
	}
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = !options->bring_back ? end_maintenance(&s, node)
		       : options->dry_run   ? show_way_back(&s, node)
		                            : undrain_bring_back(&s, node, NULL);
	session_close(&s);
	return code;
}
