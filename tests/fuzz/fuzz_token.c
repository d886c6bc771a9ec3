/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a token: what is taken is written again exactly as it was read. */
#include "common/alloc.h"
#include "pki/token.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = xstrndup((const char *)data, bytes);
	char again[TOKEN_TEXT_BYTES];
	struct token token;

	if (token_parse(text, &token, NULL) == 0) {
		assert(strlen(token.address) < sizeof(token.address));
		assert(strcmp(token_format(&token, again), text) == 0);
	}
	free(text);
	return 0;
}
