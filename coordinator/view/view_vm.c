/* SPDX-License-Identifier: Apache-2.0 */
/* A guest in sentences: where it is, what of its memory is in use and how fast it writes. See view.h. */
#include "coordinator/view/view.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/predict/predict.h"
#include "coordinator/core/requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static char *where(const struct vm *vm)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	char memory[UNITS_TEXT_BYTES];

	if (!home)
		return xasprintf("no node that is heard lists it");
	return xasprintf("it is on %s: %s, %s, %" PRIu32 " vCPU%s, %s", vm->node->kept.name,
	                 home->state.state, units_format_bytes(home->state.memory_bytes, memory),
	                 home->state.vcpus, home->state.vcpus == 1 ? "" : "s",
	                 home->state.persistent ? "persistent" : "transient");
}

/* "5 MiB in 1 s, 14 MiB in 4 s": of different pages, so the longer time has less for each second. */
static void format_windows(const struct memory_used *use, char *ret, size_t bytes)
{
	int n = 0;

	*ret = '\0';
	for (size_t i = 0; i < use->n_windows && n >= 0 && (size_t)n < bytes; i++) {
		char written[UNITS_TEXT_BYTES];

		n += snprintf(ret + n, bytes - (size_t)n, "%s%s in %" PRIu32 " s", i ? ", " : "",
		              units_format_bytes(use->windows[i].bytes, written),
		              use->windows[i].seconds);
	}
}

static char *memory(const struct vm *vm, uint64_t now_ms)
{
	const struct memory_used *use = &vm->memory_use;
	char touched[UNITS_TEXT_BYTES], windows[PREDICT_TEXT_BYTES], age[UNITS_TEXT_BYTES];
	uint64_t newest_ms = UINT64_MAX;

	for (size_t i = 0; i < use->n_windows; i++) {
		uint64_t age_ms = use->windows[i].age_ms + (now_ms - vm->memory_use_ms);

		newest_ms = age_ms < newest_ms ? age_ms : newest_ms;
	}
	if (!use->n_windows)
		return xasprintf("memory: how it writes was not measured%s%s",
		                 use->problem[0] ? ": " : " yet", use->problem);
	format_windows(use, windows, sizeof(windows));
	return xasprintf("memory: %s in use, writes to %s (measured %s ago)",
	                 use->touched_bytes ? units_format_bytes(use->touched_bytes, touched)
	                                    : "not known how much",
	                 windows, units_format_duration(newest_ms, age));
}

/* From which bandwidth on it converges by itself. */
static char *convergence(const struct fleet *fleet, const struct vm *vm)
{
	struct migration_settings next = fleet->options.settings;
	char rate[UNITS_TEXT_BYTES], pause[UNITS_TEXT_BYTES];
	char least_rate[UNITS_TEXT_BYTES], most_rate[UNITS_TEXT_BYTES];
	uint64_t enough, least, most;

	tune_apply_kept(vm, &next);
	if (!vm->writes.known)
		return NULL;
	enough = prediction_enough_bytes_per_s(&vm->writes, next.max_downtime_ms);
	prediction_enough_range(&vm->writes, next.max_downtime_ms, &least, &most);
	return xasprintf(
		"it converges to a pause of %s from %s on (%s to %s, by the error of what was "
		"sampled)",
		units_format_duration(next.max_downtime_ms ? next.max_downtime_ms
	                                                   : PREDICTION_DOWNTIME_MS,
	                              pause),
		units_format_rate(enough, rate), units_format_rate(least, least_rate),
		units_format_rate(most, most_rate));
}

void view_add_vm_lines(const struct fleet *fleet, const struct vm *vm, uint64_t now_ms,
                       Drover__V1__Explanation *m)
{
	char *enough = convergence(fleet, vm);

	m->lines = xreallocarray(m->lines, m->n_lines + 3, sizeof(*m->lines));
	m->lines[m->n_lines++] = where(vm);
	m->lines[m->n_lines++] = memory(vm, now_ms);
	if (enough)
		m->lines[m->n_lines++] = enough;
}
