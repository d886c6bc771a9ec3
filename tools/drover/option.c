/* SPDX-License-Identifier: Apache-2.0 */
/* The values of options, by their type. A value that is not understood leaves the field as it was and
 * is answered with what would be. */
#include "tools/drover/option.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "common/utf8.h"
#include "tools/drover/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *choice_at(size_t i, void *context)
{
	return ((const char *const *)context)[i];
}

static int set_choice(const struct option *option, const char *value, int *ret_choice,
                      struct error *err)
{
	char accepted[160] = "";
	const char *meant;
	_cleanup_free_ char *shown = NULL;

	for (int i = 0; option->choices[i]; i++) {
		if (*value && strcmp(option->choices[i], value) == 0) {
			*ret_choice = i;
			return 0;
		}
		if (*option->choices[i])
			snprintf(accepted + strlen(accepted), sizeof(accepted) - strlen(accepted),
			         "%s%s", *accepted ? ", " : "", option->choices[i]);
	}
	shown = text_escape(value, false);
	meant = text_closest(value, choice_at, (void *)option->choices);
	if (meant && *meant)
		return error_set(err, ERROR_INVALID,
		                 "--%s does not know \"%s\"; did you mean \"%s\"? (it takes %s)",
		                 option->name, shown, meant, accepted);
	return error_set(err, ERROR_INVALID, "--%s does not know \"%s\"; it takes %s", option->name,
	                 shown, accepted);
}

static int set_number(const char *value, uint64_t *ret_number, struct error *err)
{
	_cleanup_free_ char *shown = NULL;
	size_t digits = strspn(value, "0123456789");

	if (digits == strlen(value) && digits > 0 && digits <= 9 && strtoul(value, NULL, 10) > 0) {
		*ret_number = strtoul(value, NULL, 10);
		return 0;
	}
	shown = text_escape(value, false);
	return error_set(err, ERROR_INVALID, "\"%s\" is not a whole number from 1 to 999999999",
	                 shown);
}

int option_check_text(const char *what, const char *value, struct error *err)
{
	if (!*value)
		return error_set(err, ERROR_INVALID, "%s must not be empty", what);
	if (utf8_valid_bytes(value, strlen(value)) != strlen(value)) {
		_cleanup_free_ char *shown = text_escape(value, false);

		return error_set(err, ERROR_INVALID, "%s is not valid UTF-8: \"%s\"", what, shown);
	}
	return 0;
}

/* A bare number is refused: of a pause it may be meant in milliseconds, as virsh takes it, of a token's
 * time in minutes. */
static int set_duration(const struct option *option, const char *value, uint64_t *ret_ms,
                        struct error *err)
{
	bool has_unit = value[strcspn(value, "abcdefghijklmnopqrstuvwxyz")];
	uint64_t ms = 0;
	int rc = units_parse_duration(value, &ms, err);

	if (rc < 0)
		return rc;
	if (ms == 0)
		return error_set(err, ERROR_INVALID, "it must be longer than nothing");
	if (!has_unit && option->id == OPTION_MAX_DOWNTIME)
		return error_set(err, ERROR_INVALID,
		                 "\"%s\" has no unit; write for example 500ms or 2s", value);
	if (!has_unit)
		return error_set(err, ERROR_INVALID,
		                 "\"%s\" has no unit; write %ss for seconds, %sm for minutes, %sh "
		                 "for hours",
		                 value, value, value, value);
	*ret_ms = ms;
	return 0;
}

int option_set(struct options *options, const struct option *option, const char *value,
               struct error *err)
{
	void *field = (char *)options + option->offset;
	char name[40];
	int rc = 0;

	snprintf(name, sizeof(name), "--%s", option->name);
	switch (option->type) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTION_CHOICE:
		return set_choice(option, value, field, err);
	case OPTION_TEXT:
		rc = option_check_text(name, value, err);
		if (rc == 0)
			*(const char **)field = value;
		return rc;
	case OPTION_WORDS: {
		struct word_list *list = field;

		if (list->count == WORDS_MAX)
			return error_set(err, ERROR_TOO_LARGE, "%s is given more than %d times",
			                 name, WORDS_MAX);
		rc = option_check_text(name, value, err);
		if (rc == 0)
			list->items[list->count++] = value;
		return rc;
	}
	case OPTION_NUMBER:
		rc = set_number(value, field, err);
		break;
	case OPTION_DURATION:
		rc = set_duration(option, value, field, err);
		break;
	case OPTION_RATE: {
		uint64_t rate = 0;

		/* On the wire 0 means that nothing was said, so it cannot lift the cluster's limit. */
		rc = units_parse_rate(value, &rate, err);
		if (rc == 0 && rate == 0)
			rc = error_set(
				err, ERROR_INVALID,
				"0 is no rate; leave the option out for the cluster's limit");
		if (rc == 0)
			*(uint64_t *)field = rate;
		break;
	}
	}
	return rc < 0 ? error_context(err, "%s", name) : 0;
}
