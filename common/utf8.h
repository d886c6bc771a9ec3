/* SPDX-License-Identifier: Apache-2.0 */
/* Whether bytes from outside are text. Names of guests, file contents and wire strings go to
 * terminals, JSON and the store, all of which expect UTF-8. */
#pragma once

#include <stddef.h>

/* How many of the first bytes are whole, valid UTF-8: @bytes if all are. Overlong forms, surrogates
 * and values above U+10FFFF are not valid. */
size_t utf8_valid_bytes(const char *text, size_t bytes);

/* Replaces what a terminal would act on instead of showing (C0 and C1 control characters, DEL) and
 * bytes that are not UTF-8 by question marks. The text never gets longer. */
void utf8_make_printable(char *text);
