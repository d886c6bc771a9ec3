/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of migrations in words, each with where it comes from. Owner thread. */
#include "coordinator/view/view.h"

#include "common/alloc.h"
#include "coordinator/core/move/waiting.h"
#include "coordinator/core/requests.h"

#include <stdio.h>

/* @record NULL: of the next migration of @vm. */
static void format_origin(enum setting setting, enum origin origin,
                          const struct migration_record *record, const struct vm *vm, char *ret,
                          size_t bytes)
{
	switch (origin) {
	case ORIGIN_FILE:
		snprintf(ret, bytes, "the cluster's %s (coordinator.yaml)",
		         setting == SETTING_TLS ? "migration/tls" : "limits/");
		break;
	case ORIGIN_DRAIN:
		snprintf(ret, bytes, "drain/%llu",
		         record ? (unsigned long long)record->drain_number : 0);
		break;
	case ORIGIN_VM:
		if (vm)
			snprintf(ret, bytes, "kept for it by %.60s (drover tune)", vm->kept.by);
		else
			snprintf(ret, bytes, "kept for the guest (drover tune)");
		break;
	case ORIGIN_REQUEST:
		snprintf(ret, bytes, "asked for with it (drover migrate)");
		break;
	case ORIGIN_TUNED:
		snprintf(ret, bytes, "changed by hand (drover tune)");
		break;
	default:
		snprintf(ret, bytes, "built-in default");
		break;
	}
}

static size_t fill(const struct migration_settings *s, const struct migration_record *record,
                   const struct vm *vm, Drover__V1__Setting ***ret)
{
	Drover__V1__Setting **array = xcalloc(SETTINGS, sizeof(*array));
	char value[SETTING_TEXT_BYTES], from[128];

	for (enum setting i = 0; i < SETTINGS; i++) {
		setting_format(s, i, value);
		format_origin(i, (enum origin)s->from[i], record, vm, from, sizeof(from));
		array[i] = view_setting_new(setting_name(i), value, from);
	}
	*ret = array;
	return SETTINGS;
}

size_t view_settings_new(const struct migration_record *record, Drover__V1__Setting ***ret)
{
	return fill(&record->settings, record, NULL, ret);
}

size_t view_next_settings_new(const struct fleet *fleet, const struct vm *vm,
                              Drover__V1__Setting ***ret)
{
	struct migration_settings s = fleet->options.settings;

	tune_apply_kept(vm, &s);
	return fill(&s, NULL, vm, ret);
}

void view_add_waiting_lines(const struct fleet *fleet, const struct vm *vm,
                            Drover__V1__Explanation *to)
{
	struct names lines = { 0 };

	waiting_describe(fleet, vm, &lines);
	to->lines = xreallocarray(to->lines, to->n_lines + lines.count + 1, sizeof(*to->lines));
	for (size_t i = 0; i < lines.count; i++)
		to->lines[to->n_lines++] = xstrdup(lines.items[i]);
	names_deinit(&lines);
}
