/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a journal: reading them neither crashes nor leaks nor reads outside, a good part is
 * never longer than the file, and what was read once reads the same again.
 *
 * Checksums would stop the fuzzer at the first record, so the input is also given to the fold as
 * payloads: first byte the type, second the length, and so on. */
#include "agent/journal/journal_state.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scan(const uint8_t *data, size_t size)
{
	struct journal_state s = { 0 };
	size_t good, again;
	struct error err;
	bool damaged;

	journal_scan(data, size, journal_state_apply, &s, &good, &damaged, &err);
	assert(good <= size);
	journal_state_deinit(&s);
	journal_scan(data, good, journal_state_apply, &s, &again, &damaged, &err);
	assert(again == good && !damaged);
	journal_state_deinit(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_state s = { 0 };
	struct error err;

	scan(data, size);
	while (size >= 2) {
		struct journal_record r = { data[0] % 9, data + 2, data[1] };

		if (r.bytes > size - 2)
			r.bytes = size - 2;
		if (r.type)
			journal_state_apply(&r, &s, &err);
		data += 2 + r.bytes;
		size -= 2 + r.bytes;
	}
	journal_state_deinit(&s);
	return 0;
}
