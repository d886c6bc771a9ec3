/* SPDX-License-Identifier: Apache-2.0 */
/* See drain_command.h. Words are those of tools/drover/option_table.c; values are exact, so what is read back
 * is what was asked for. */
#include "coordinator/core/drain/drain_command.h"

#include "common/alloc.h"
#include "common/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char **text, const char *format, ...)
{
	char *more, *longer;
	va_list args;

	va_start(args, format);
	if (vasprintf(&more, format, args) < 0)
		abort();
	va_end(args);
	longer = xasprintf("%s %s", *text, more);
	free(more);
	free(*text);
	*text = longer;
}

/* As a shell reads one word. */
static void add_word(char **text, const char *option, const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,";
	char *quoted = xmalloc(4 * strlen(word) + 3), *to = quoted;
	bool quotes = !word[0] || word[0] == '-' || word[strspn(word, plain)];

	if (quotes)
		*to++ = '\'';
	for (; *word; word++) {
		if (*word == '\'')
			to = stpcpy(to, "'\\''");
		else
			*to++ = *word;
	}
	if (quotes)
		*to++ = '\'';
	*to = '\0';
	add(text, "%s %s", option, quoted);
	free(quoted);
}

static void add_rate(char **text, const char *option, uint64_t bytes_per_s)
{
	if (!bytes_per_s)
		return;
	if (bytes_per_s % MIB == 0)
		add(text, "%s %" PRIu64 "MiB/s", option, bytes_per_s / MIB);
	else if (bytes_per_s % 125000 == 0)
		add(text, "%s %" PRIu64 "Mbit/s", option, bytes_per_s / 125000);
	else
		add(text, "%s %" PRIu64 "bit/s", option, 8 * bytes_per_s);
}

static void add_duration(char **text, const char *option, uint64_t ms)
{
	if (!ms)
		return;
	if (ms % 60000 == 0)
		add(text, "%s %" PRIu64 "m", option, ms / 60000);
	else if (ms % 1000 == 0)
		add(text, "%s %" PRIu64 "s", option, ms / 1000);
	else
		add(text, "%s %" PRIu64 "ms", option, ms);
}

/* Its name, if that means it alone. */
static void add_guest(char **text, const struct fleet *fleet, const char *option, const char *uuid)
{
	const struct vm *vm = fleet_find_vm(fleet, uuid);
	struct vm *found = NULL;
	struct error err;
	bool alone = vm && fleet_get_vm(fleet, vm->name, &found, &err) == 0 && found == vm;

	add_word(text, option, alone ? vm->name : uuid);
}

static void add_strategy(char **text, const struct strategy *s)
{
	const struct {
		bool given;
		const char *option;
	} flags[] = {
		{ s->allow_auto_converge, "--allow-auto-converge" },
		{ s->allow_post_copy, "--allow-post-copy" },
		{ s->allow_disruption, "--allow-pause" },
		{ s->forbid_auto_converge, "--no-auto-converge" },
		{ s->forbid_post_copy, "--no-post-copy" },
		{ s->forbid_disruption, "--no-pause" },
	};

	if (s->plain)
		add(text, "--ladder plain");
	else if (s->ladder)
		add(text, "--ladder %s", strategy_ladder_name(s->ladder));
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (flags[i].given)
			add(text, "%s", flags[i].option);
	}
}

char *drain_command(const struct fleet *fleet, const char *nodes,
                    const struct drain_record *records, size_t count, uint64_t now_wall_ms)
{
	const struct drain_record *first = &records[0];
	char *text = xasprintf("drover drain %s", nodes);

	for (size_t r = 0; r < count; r++) {
		for (size_t i = 0; i < records[r].leave.count; i++)
			add_guest(&text, fleet, "--leave", records[r].leave.items[i]);
	}
	for (size_t r = 0; r < count; r++) {
		for (size_t i = 0; i < records[r].n_shutdowns; i++)
			add_guest(&text, fleet, "--shutdown", records[r].shutdowns[i].uuid);
	}
	add_duration(&text, "--shutdown-timeout", first->shutdown_timeout_ms);
	if (first->leave_unmovable)
		add(&text, "--unmovable leave");
	if (first->copy_disks)
		add(&text, "--copy-disks");
	if (first->parallel)
		add(&text, "--parallel %u", first->parallel);
	add_rate(&text, "--bandwidth", first->bandwidth_bytes_per_s);
	add_duration(&text, "--max-downtime", first->max_downtime_ms);
	add_duration(&text, "--completion-timeout", first->completion_timeout_ms_per_gib);
	add_duration(&text, "--progress-timeout", first->progress_timeout_ms);
	add_strategy(&text, &first->strategy);
	/* Which hour that is where the reader sits is not known here; how long it still is, is. */
	if (first->by_wall_ms > now_wall_ms)
		add(&text, "--by %" PRIu64 "s", (first->by_wall_ms - now_wall_ms + 999) / 1000);
	if (first->reason[0])
		add_word(&text, "--reason", first->reason);
	return text;
}
