/* SPDX-License-Identifier: Apache-2.0 */
/* Private to journal.c and journal_scan.c: the bytes of the file. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_MAGIC        "drvjrnl1"
#define JOURNAL_MAGIC_BYTES  8
#define JOURNAL_HEADER_BYTES 16 /* length, type, crc of these, crc of the payload */

/* Writes a record's header into @ret (JOURNAL_HEADER_BYTES). */
void journal_format_header(uint32_t type, const void *payload, size_t bytes, uint8_t *ret);
