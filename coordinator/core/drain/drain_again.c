/* SPDX-License-Identifier: Apache-2.0 */
/* A node that is drained already is to be drained. The same request, or one that asks for less, is that
 * drain. One that asks for something else is refused as a whole, with what that is: the last request that
 * was accepted holds, and nobody is to believe that another one does. So a command can be repeated, as after
 * a lost connection, and what it allows is never wider than what somebody has asked for at once. When it
 * should be over (--by) and why are no part of that: nothing hangs on them. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/core/drain/drain_set.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char **text, const char *format, ...)
{
	char *before = *text;
	char more[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(more, sizeof(more), format, args);
	va_end(args);
	*text = xasprintf("%s%s%s", before ? before : "", before ? ", " : "", more);
	free(before);
}

static bool stays(const struct drain_record *drain, const struct vm *vm)
{
	return drain_record_leaves(drain, vm->uuid, vm->name);
}

static bool shuts_down(const struct drain_record *drain, const struct vm *vm)
{
	return drain_record_find_shutdown(drain, vm->uuid) != NULL;
}

/* Guests of @node that @drain does not treat like that. */
static void add_guests(const struct node *node, const struct drain_record *drain,
                       const struct names *names, const char *option,
                       bool (*is_so)(const struct drain_record *drain, const struct vm *vm),
                       char **text)
{
	for (size_t i = 0; names && i < names->count; i++) {
		const struct sighting *s = drain_set_find_guest(node, names->items[i]);

		if (s && !is_so(drain, s->vm))
			add(text, "%s %.100s", option, names->items[i]);
	}
}

static void add_options(const struct event *event, const struct drain_record *drain, char **text)
{
	const struct {
		uint64_t asked, kept;
		const char *option;
	} figures[] = {
		{ event->drain.parallel, drain->parallel, "--parallel" },
		{ event->drain.bandwidth_bytes_per_s, drain->bandwidth_bytes_per_s, "--bandwidth" },
		{ event->drain.max_downtime_ms, drain->max_downtime_ms, "--max-downtime" },
		{ event->drain.completion_timeout_ms_per_gib, drain->completion_timeout_ms_per_gib,
		  "--completion-timeout" },
		{ event->drain.progress_timeout_ms, drain->progress_timeout_ms,
		  "--progress-timeout" },
		{ event->drain.shutdown_timeout_ms, drain->shutdown_timeout_ms,
		  "--shutdown-timeout" },
		{ strategy_pack(&event->drain.strategy), strategy_pack(&drain->strategy),
		  "another --ladder, --allow-... or --forbid-..." },
		{ event->drain.leave_unmovable, drain->leave_unmovable, "--unmovable leave" },
		{ event->drain.copy_disks, drain->copy_disks, "--copy-disks" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		if (figures[i].asked && figures[i].asked != figures[i].kept)
			add(text, "%s", figures[i].option);
	}
}

int drain_set_check_again(const struct fleet *fleet, const struct event *event,
                          const struct drain_set *set, struct error *err)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct node *node = set->nodes[i];
		const struct drain *drain = fleet_find_node_drain(fleet, node);
		_cleanup_free_ char *text = NULL;

		if (!drain)
			continue;
		add_guests(node, &drain->kept, event->drain.leave, "--leave", stays, &text);
		add_guests(node, &drain->kept, event->drain.shut_down, "--shutdown", shuts_down,
		           &text);
		add_options(event, &drain->kept, &text);
		if (text)
			return error_set(
				err, ERROR_REFUSED,
				"%s is being drained already, and this was not asked for then: "
				"%.200s; nothing was changed. To have it so: drover cancel "
				"drain/%" PRIu64 " (guests that have moved stay where they are), "
				"and the same command once more",
				node->kept.name, text, drain->kept.number);
	}
	return 0;
}
