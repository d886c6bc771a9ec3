/* SPDX-License-Identifier: Apache-2.0 */
/* See labels.h. Texts are short and read rarely: they are walked, item by item. */
#include "common/labels.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX 63

static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

static bool is_word(const char *text, size_t length, size_t least)
{
	return length >= least && length <= KEY_MAX && strspn(text, allowed) >= length;
}

int label_check(const char *label, struct error *err)
{
	size_t key = strcspn(label, "=");
	const char *value = label[key] ? label + key + 1 : "";

	if (!is_word(label, key, 1))
		return error_set(err, ERROR_INVALID,
		                 "\"%.80s\" is no label: write key=value, with a key of up to %d "
		                 "letters, digits and . _ - /",
		                 label, KEY_MAX);
	if (!is_word(value, strlen(value), 0))
		return error_set(err, ERROR_INVALID,
		                 "\"%.150s\" is no label: a value has up to %d letters, digits and "
		                 ". _ - /",
		                 label, KEY_MAX);
	return 0;
}

/* Behind an item of a list with commas. */
static const char *next_item(const char *item, size_t length)
{
	return item + length + (item[length] == ',');
}

static int compare_keys(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t shorter = a_length < b_length ? a_length : b_length;
	int order = strncmp(a, b, shorter);

	return order ? order : (a_length > b_length) - (a_length < b_length);
}

static bool append(char *to, const char *item, size_t length)
{
	size_t used = strlen(to);

	if (used + length + 2 > LABELS_BYTES)
		return false;
	snprintf(to + used, LABELS_BYTES - used, "%s%.*s", used ? "," : "", (int)length, item);
	return true;
}

/* @labels with @label in its place, or without its key. */
static bool put(const char *labels, const char *label, size_t key, bool remove, char *ret)
{
	size_t length;
	bool fits = true, placed = remove;

	ret[0] = '\0';
	for (const char *item = labels; *item; item = next_item(item, length)) {
		size_t item_key = strcspn(item, "=,");
		int order = compare_keys(item, item_key, label, key);

		length = strcspn(item, ",");
		if (!placed && order >= 0) {
			fits = append(ret, label, strlen(label)) && fits;
			placed = true;
		}
		if (order != 0)
			fits = append(ret, item, length) && fits;
	}
	if (!placed)
		fits = append(ret, label, strlen(label)) && fits;
	return fits;
}

int labels_change(char *labels, const char *change, bool *ret_changed, struct error *err)
{
	size_t length = strlen(change), key = strcspn(change, "=");
	bool remove = !change[key] && length > 1 && change[length - 1] == '-';
	char label[LABEL_BYTES], next[LABELS_BYTES];

	if (remove)
		key--;
	if (length + 2 > sizeof(label) || key > KEY_MAX)
		return error_set(
			err, ERROR_INVALID,
			"\"%.80s...\" is too long for a label: its key and its value have up "
			"to %d characters each",
			change, KEY_MAX);
	snprintf(label, sizeof(label), "%.*s%s", remove ? (int)key : (int)length, change,
	         !remove && change[key] ? "" : "=");
	if (label_check(label, err) < 0)
		return -(int)err->code;
	if (!put(labels, label, key, remove, next))
		return error_set(err, ERROR_TOO_LARGE,
		                 "with %s it would have more labels than fit (%d bytes)", label,
		                 LABELS_BYTES);
	*ret_changed = strcmp(labels, next) != 0;
	memcpy(labels, next, sizeof(next));
	return 0;
}

void labels_merge(const char *own, const char *given, char *ret)
{
	char next[LABELS_BYTES], label[LABEL_BYTES];
	size_t length;

	snprintf(ret, LABELS_BYTES, "%s", own);
	for (const char *item = given; *item; item = next_item(item, length)) {
		length = strcspn(item, ",");
		snprintf(label, sizeof(label), "%.*s", (int)length, item);
		if (put(ret, label, strcspn(label, "="), false, next))
			memcpy(ret, next, sizeof(next));
	}
}

bool labels_get(const char *labels, const char *key, char *ret)
{
	size_t length;

	for (const char *item = labels; *item; item = next_item(item, length)) {
		size_t item_key = strcspn(item, "=,");

		length = strcspn(item, ",");
		if (item_key != strlen(key) || strncmp(item, key, item_key) != 0)
			continue;
		if (ret)
			snprintf(ret, LABEL_BYTES, "%.*s",
			         (int)(length > item_key ? length - item_key - 1 : 0),
			         item + item_key + (length > item_key));
		return true;
	}
	return false;
}

/* One condition: "!key", "key", "key=value", "key!=value". */
struct condition {
	char key[LABEL_BYTES], value[LABEL_BYTES];
	bool negated, any_value;
};

static bool parse(const char *item, size_t length, struct condition *ret)
{
	const char *equals = memchr(item, '=', length);
	size_t key = equals ? (size_t)(equals - item) : length;

	*ret = (struct condition){ .any_value = !equals };
	if (!equals && length && *item == '!') {
		ret->negated = true;
		item++;
		key--;
		length--;
	} else if (equals && key && item[key - 1] == '!') {
		ret->negated = true;
	}
	if (equals) {
		size_t value = length - key - 1;

		if (value > KEY_MAX || strspn(equals + 1, allowed) < value)
			return false;
		snprintf(ret->value, sizeof(ret->value), "%.*s", (int)value, equals + 1);
		key -= ret->negated;
	}
	if (!is_word(item, key, 1))
		return false;
	snprintf(ret->key, sizeof(ret->key), "%.*s", (int)key, item);
	return true;
}

int selector_check(const char *selector, struct error *err)
{
	struct condition condition;
	size_t length;

	for (const char *item = selector; *item; item = next_item(item, length)) {
		length = strcspn(item, ",");
		if (!parse(item, length, &condition))
			return error_set(
				err, ERROR_INVALID,
				"\"%.*s\" selects no hosts: write KEY=VALUE, KEY!=VALUE, KEY "
				"or !KEY, several with commas",
				(int)(length > 80 ? 80 : length), item);
	}
	if (!*selector)
		return error_set(err, ERROR_INVALID, "an empty selector selects no hosts");
	return 0;
}

bool selector_matches(const char *selector, const char *labels)
{
	struct condition c;
	char value[LABEL_BYTES];
	size_t length;

	for (const char *item = selector; *item; item = next_item(item, length)) {
		bool holds;

		length = strcspn(item, ",");
		if (!parse(item, length, &c))
			return false;
		holds = labels_get(labels, c.key, value) &&
		        (c.any_value || strcmp(value, c.value) == 0);
		if (holds == c.negated)
			return false;
	}
	return true;
}
