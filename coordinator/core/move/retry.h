/* SPDX-License-Identifier: Apache-2.0 */
/* What a failed attempt says about the next one, in one table: whose fault it was, whether another
 * destination is better, and whether time helps. Pure.
 *
 *	whose          example                              next
 *	destination    no room, a port taken, no answer     elsewhere, at once
 *	network        the copy broke off                   elsewhere if there is one, and later
 *	guest          writes too fast; a job is running    the same, later each time
 *	nobody         an agent was restarted               the same, at once
 *
 * A destination that is avoided is asked again after a while: it may be the only one.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>

enum retry_fault { FAULT_NOBODY, FAULT_GUEST, FAULT_NETWORK, FAULT_DESTINATION, FAULTS };

struct retry_rule {
	enum retry_fault fault;
	bool elsewhere; /* avoid that destination for a while */
	bool later;     /* back off, longer each time */
};

/* Of an attempt that ended with @code; @ran: memory was copied. A code that is not known here is the
 * guest's: the same, later. Borrowed, for ever. */
const struct retry_rule *retry_of(enum error_code code, bool ran);

const char *retry_fault_name(enum retry_fault fault); /* "destination" */
