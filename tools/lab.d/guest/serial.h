/* SPDX-License-Identifier: Apache-2.0 */
/* Text on COM1, and what the guest says when something has been spoilt. Output waits for the port. */
#pragma once

#include "port.h"

enum { COM1 = 0x3f8, COM2 = 0x2f8 };

void serial_init(u16 port);
void serial_put(const char *text);
void serial_put_hex(u32 value);
void serial_put_field(const char *name, u32 value); /* the name, then the value in decimal */

/* The next byte from COM2; false when there is none. */
int serial_take(char *ret_byte);

/* Counts a corruption, and prints the first ones: all of them would drown the heartbeats. */
void serial_report_corruption(const char *what, u32 where, u32 found, u32 wanted);
u32 serial_get_corruptions(void);
