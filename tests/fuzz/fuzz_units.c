/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as an amount: what is taken can be shown, and only text that says 0 is 0. */
#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = xstrndup((const char *)data, bytes);
	char shown[UNITS_TEXT_BYTES];
	uint64_t value = 77;

	if (units_parse_bytes(text, &value, NULL) == 0) {
		assert(value || !strpbrk(text, "123456789"));
		assert(strlen(units_format_bytes(value, shown)) < sizeof(shown));
	}
	if (units_parse_rate(text, &value, NULL) == 0) {
		assert(value || !strpbrk(text, "123456789"));
		assert(strlen(units_format_rate(value, shown)) < sizeof(shown));
	}
	if (units_parse_duration(text, &value, NULL) == 0) {
		assert(value || !strpbrk(text, "123456789"));
		assert(strlen(units_format_duration(value, shown)) < sizeof(shown));
	}
	free(text);
	return 0;
}
