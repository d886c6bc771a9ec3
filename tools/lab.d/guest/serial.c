/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's two 16550 ports, polled: COM1 for what it says, COM2 for what it is
 * told. No interrupts and no buffers of our own, so a migration has nothing to lose
 * here but what the device itself carries over.
 */
#include "serial.h"

enum { MAX_REPORTED_CORRUPTIONS = 5 };

static u32 corruptions;

void serial_init(u16 port)
{
	outb(port + 1, 0);    /* no interrupts: the main loop polls */
	outb(port + 3, 0x80); /* divisor latch */
	outb(port + 0, 1);    /* 115200 baud */
	outb(port + 1, 0);
	outb(port + 3, 3);    /* 8N1 */
	outb(port + 2, 0xc7); /* FIFOs on and cleared */
	outb(port + 4, 0x0b);
}

static void put_char(char c)
{
	while (!(inb(COM1 + 5) & 0x20))
		;
	outb(COM1, (u8)c);
}

void serial_put(const char *text)
{
	while (*text)
		put_char(*text++);
}

static void put_number(u32 value)
{
	char digits[11];
	int at = 10;

	digits[at] = 0;
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	serial_put(digits + at);
}

void serial_put_hex(u32 value)
{
	int shift;

	for (shift = 28; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[value >> shift & 15]);
}

void serial_put_field(const char *name, u32 value)
{
	serial_put(name);
	put_number(value);
}

int serial_take(char *ret_byte)
{
	if (!(inb(COM2 + 5) & 1))
		return 0;
	*ret_byte = (char)inb(COM2);
	return 1;
}

void serial_report_corruption(const char *what, u32 where, u32 found, u32 wanted)
{
	if (corruptions++ >= MAX_REPORTED_CORRUPTIONS)
		return;
	serial_put("CORRUPT ");
	serial_put(what);
	serial_put_field(" ", where);
	serial_put(" holds ");
	serial_put_hex(found);
	serial_put(" wanted ");
	serial_put_hex(wanted);
	serial_put("\n");
}

u32 serial_get_corruptions(void)
{
	return corruptions;
}
