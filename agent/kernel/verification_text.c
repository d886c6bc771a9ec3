/* SPDX-License-Identifier: Apache-2.0 */
/* A verification as the text that an attempt's journal record keeps: id, verdict, measured, required and
 * remedy of a check in a line, apart by tabs; and before them what could not be compared. Of fixed size
 * as all of that record, so the whole of a guest with many devices may not fit: what differs does. */
#include "agent/kernel/verification.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 5
/* For the line that says how many more there were. */
#define MORE_BYTES 64

/* Paths and names are the guest's: they may hold anything. */
static void put_field(const char *from, char *to)
{
	for (; *from; from++)
		*to++ = (char)(*from == '\t' || *from == '\n' ? ' ' : *from);
	*to = '\0';
}

/* False: there is no room for it. */
static bool put_check(const struct check *c, char *ret, size_t bytes)
{
	char id[sizeof(c->id)], measured[sizeof(c->measured)];
	char required[sizeof(c->required)], remedy[sizeof(c->remedy)];
	int n;

	put_field(c->id, id);
	put_field(c->measured, measured);
	put_field(c->required, required);
	put_field(c->remedy, remedy);
	n = snprintf(ret, bytes, "%s\t%d\t%s\t%s\t%s\n", id, (int)c->verdict, measured, required,
	             remedy);
	if ((size_t)n < bytes)
		return true;
	ret[0] = '\0';
	return false;
}

void verification_format(const struct verification *v, char *ret, size_t bytes)
{
	char why[VERIFICATION_WHY_BYTES];
	size_t left_out = 0, used;

	put_field(v->not_verified, why);
	snprintf(ret, bytes, "%s\n", why);
	used = strlen(ret);
	for (int passed = 0; passed <= 1; passed++) {
		for (size_t i = 0; i < v->checks.count; i++) {
			const struct check *c = &v->checks.items[i];

			if ((c->verdict == CHECK_PASS) != passed)
				continue;
			if (!put_check(c, ret + used, bytes - used - MORE_BYTES))
				left_out++;
			used += strlen(ret + used);
		}
	}
	if (left_out)
		snprintf(ret + used, bytes - used, "others\t%d\t%zu more\t\t\n", CHECK_PASS,
		         left_out);
}

static void take_field(const char *from, size_t n, char *to, size_t bytes)
{
	snprintf(to, bytes, "%.*s", (int)n, from);
}

/* One line without its end. */
static void take_line(const char *line, size_t bytes, struct check_list *list)
{
	struct check *c = &list->items[list->count];
	const char *fields[FIELDS], *end = line + bytes;
	size_t n[FIELDS];

	for (size_t i = 0; i < FIELDS; i++) {
		const char *tab = memchr(line, '\t', (size_t)(end - line));

		if (!tab && i < FIELDS - 1)
			return;
		fields[i] = line;
		n[i] = (size_t)((tab ? tab : end) - line);
		line = tab ? tab + 1 : end;
	}
	*c = (struct check){ 0 };
	c->verdict = (enum check_verdict)(fields[1][0] - '0');
	if (n[1] != 1 || c->verdict <= CHECK_UNSPECIFIED || c->verdict > CHECK_BLOCK)
		return;
	take_field(fields[0], n[0], c->id, sizeof(c->id));
	take_field(fields[2], n[2], c->measured, sizeof(c->measured));
	take_field(fields[3], n[3], c->required, sizeof(c->required));
	take_field(fields[4], n[4], c->remedy, sizeof(c->remedy));
	list->count++;
}

void verification_parse(const char *text, struct verification *ret)
{
	const char *end = strchrnul(text, '\n');

	*ret = (struct verification){ 0 };
	take_field(text, (size_t)(end - text), ret->not_verified, sizeof(ret->not_verified));
	while (*end && ret->checks.count < CHECKS_MAX) {
		const char *line = end + 1;

		end = strchrnul(line, '\n');
		take_line(line, (size_t)(end - line), &ret->checks);
	}
}
