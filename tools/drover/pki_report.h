/* SPDX-License-Identifier: Apache-2.0 */
/* What "drover pki status" knows (pki.c), and how it is printed (pki_print.c). */
#pragma once

#include "common/error.h"
#include "pki/authority.h"
#include "pki/certificate_list.h"
#include "tools/drover/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pki_state {
	PKI_GOOD,
	PKI_DUE, /* two thirds of its life are over, and it was not renewed; 30 days or more are left */
	PKI_ENDS_SOON, /* so, and less is left; or an authority, which does not renew itself */
	PKI_ENDED,
	PKI_NOT_YET,
	PKI_UNREADABLE,
	PKI_STATES
};

struct pki_row {
	char *path;                     /* owned */
	struct certificate_facts facts; /* zeros: it cannot be read */
	enum pki_state state;
	char problem[ERROR_TEXT_BYTES]; /* why it cannot be read */
	char *helps;                    /* owned; NULL: nothing needs to be done */
};

#define PKI_ROWS_MAX 16

struct pki_report {
	struct pki_row rows[PKI_ROWS_MAX];
	size_t n_rows;
	uint64_t now_ms; /* wall clock */
	bool has_authority;
	struct authority_progress progress;
	struct ledger book;                     /* of the authority: with names */
	struct certificate_list_entry *refused; /* owned; of a member: what it lets in no more */
	size_t n_refused;
};

void pki_report_print(const struct output *o, const struct pki_report *report);
void pki_report_print_json(const struct output *o, const struct pki_report *report);
