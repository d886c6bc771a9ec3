/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of revoked certificates (CRL, RFC 5280): signed by the authority, checked and read by whoever
 * gets one. A file has the lists of all authorities that are trusted, one after the other.
 *
 * A list that does not pass would cut off every host that takes it, so what is taken is checked
 * first. There is no new list before somebody else is revoked, so none ever gets too old: each says
 * that it is good for as long as its authority. Any thread.
 */
#pragma once

#include "pki/certificate.h"

/* In one file, so that it stays below FILES_READ_MAX, and below the limit of a message. */
#define CERTIFICATE_LIST_MAX 5000

struct certificate_list_entry {
	char serial[CERTIFICATE_SERIAL_BYTES]; /* hex, as certificate_sign gives it */
	uint64_t revoked_ms;                   /* wall clock */
};

/* "0xab:CD" and the like as certificate_sign would write it, "ABCD". -ERROR_INVALID. */
int certificate_parse_serial(const char *text, char ret_serial[CERTIFICATE_SERIAL_BYTES],
                             struct error *err);

/* @number: counts the lists of this authority; a newer one has a greater one. *ret_list (PEM) is to be
 * freed. */
int certificate_list_sign(const char *authority, const char *authority_key,
                          const struct certificate_list_entry *entries, size_t count,
                          uint64_t number, char **ret_list, struct error *err);

/* Each list of @lists is signed by one of @authorities, and is for certificates; -ERROR_IDENTITY,
 * -ERROR_INVALID. *ret_number: the greatest of them, 0 if they have none. */
int certificate_list_check(const char *lists, const char *authorities, uint64_t *ret_number,
                           struct error *err);

/* Whatever they are signed by. *ret_entries is to be freed. */
int certificate_list_read(const char *lists, struct certificate_list_entry **ret_entries,
                          size_t *ret_count, struct error *err);
