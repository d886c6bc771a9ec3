/* SPDX-License-Identifier: Apache-2.0 */
/* See attempt.h. */
#include "agent/kernel/attempt.h"

#include "common/error.h"

#include <stdio.h>
#include <string.h>

char *attempt_name_format(const struct attempt_name *a, char *ret_text)
{
	char operation[ID_TEXT_BYTES];

	snprintf(ret_text, ATTEMPT_TEXT_BYTES, "%s-%u", id_format(&a->operation, operation),
	         a->number);
	return ret_text;
}

int attempt_name_parse(const char *text, struct attempt_name *ret_attempt)
{
	const char *digits = text + 2 * ID_BYTES + 1;
	struct attempt_name a = { .epoch = 0 };
	char operation[ID_TEXT_BYTES];

	if (strlen(text) < 2 * ID_BYTES + 2 || strlen(digits) > 7 || text[2 * ID_BYTES] != '-')
		return -ERROR_INVALID;
	memcpy(operation, text, 2 * ID_BYTES);
	operation[2 * ID_BYTES] = '\0';
	if (id_parse(operation, &a.operation) < 0)
		return -ERROR_INVALID;
	for (const char *p = digits; *p; p++) {
		if (*p < '0' || *p > '9')
			return -ERROR_INVALID;
		a.number = a.number * 10 + (uint32_t)(*p - '0');
	}
	if (a.number == 0 || a.number > ATTEMPT_NUMBER_MAX || digits[0] == '0')
		return -ERROR_INVALID;
	*ret_attempt = a;
	return 0;
}
