/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lab's tiny guest: boots in a blink under TCG, dirties memory at a settable
 * rate, and says about itself what a migration could have spoilt.
 *
 * COM1 (write only) gets READY, then one heartbeat line per period:
 *
 *   hb nonce=%08x n=%u t=%u pages=%u corrupt=%u disk=%u
 *
 *   nonce    random, drawn at boot: another nonce means that the guest restarted
 *   n        counts heartbeats from 1: a repeated or smaller n means a second copy
 *   t        milliseconds of guest time since boot
 *   pages    pages rewritten so far
 *   corrupt  pages or sectors that did not hold what this guest had last written
 *   disk     the n last written to the disk, 0 without a disk
 *
 * A disk (IDE, first channel, master) gets (nonce, n) in one sector at each
 * heartbeat. The sector is read back before it is overwritten, so a second
 * writer is seen by the guest itself.
 *
 * Settings come as words on the command line, and as lines on COM2 at any time
 * (answered on COM1 with "ok" or "error"):
 *
 *   ws=KIB     working set that is rewritten round and round
 *   rate=KIB   KiB rewritten per second; rate=max: as fast as it can
 *   hb=MS      heartbeat period, 0 for none; rounded to the 10 ms tick
 *   disk=0|1   write to the disk or not
 *   seed=N     mixed into the nonce (the machine has little randomness of its own)
 *   flush=0|1  see memory_flush_tlb()
 *   power=0|1  1: off when the power button is pressed; 0: says "power ignored"
 *
 * One thread, no paging, no allocation; the only interrupt is the 100 Hz timer,
 * and its handler only counts. This file has settings, start and the main loop;
 * memory.c the working set, disk.c the sector, serial.c the two ports, power.c the button.
 */
#include "disk.h"
#include "memory.h"
#include "port.h"
#include "power.h"
#include "serial.h"

enum {
	PIT_HZ = 1193182,
	TICK_HZ = 100,
	TICK_MS = 1000 / TICK_HZ,
	DEFAULT_WORKING_SET_KIB = 4096,
	/* After a pause (migration, SIGSTOP) the lost time is not made up for. */
	MAX_CATCH_UP_TICKS = 20,
	LINE_SIZE = 256,
};

/* The part of the multiboot information that is used. */
struct multiboot {
	u32 flags;
	u32 memory_lower_kib;
	u32 memory_upper_kib; /* above 1 MiB */
	u32 boot_device;
	const char *command_line;
};
enum { MULTIBOOT_HAS_MEMORY = 1, MULTIBOOT_HAS_COMMAND_LINE = 4 };

extern void timer_stub(void);
extern void ignore_stub(void);
void guest_main(u32 magic, const struct multiboot *info);

volatile u32 guest_ticks; /* counted by timer_stub in boot.S */

static u32 rate_pages_per_s;
static int rate_is_max;
static u32 heartbeat_ticks = 10;
static int disk_wanted = 1;
static u32 seed;

/* Moves *text past `name` if it begins with it. */
static int take_name(const char **text, const char *name)
{
	const char *at = *text;

	while (*name)
		if (*at++ != *name++)
			return 0;
	*text = at;
	return 1;
}

static int at_word_end(const char *text)
{
	return *text == 0 || *text == ' ';
}

/* -1 unless a whole word of digits below 2^31 stands there. */
static int take_number(const char **text, u32 *ret_value)
{
	const char *at = *text;
	u32 value = 0;

	while (*at >= '0' && *at <= '9') {
		if (value > 0x7fffffffu / 10 - 1)
			return -1;
		value = value * 10 + (u32)(*at++ - '0');
	}
	if (at == *text || !at_word_end(at))
		return -1;
	*text = at;
	*ret_value = value;
	return 0;
}

/* Applies one word; -1 and nothing changed when it is not understood. */
static int apply_word(const char *word)
{
	u32 value;

	if (take_name(&word, "rate=max") && at_word_end(word)) {
		rate_is_max = 1;
		return 0;
	}
	if (take_name(&word, "rate=")) {
		if (take_number(&word, &value))
			return -1;
		rate_is_max = 0;
		rate_pages_per_s = value / 4;
		return 0;
	}
	if (take_name(&word, "ws=")) {
		if (take_number(&word, &value))
			return -1;
		memory_set_working_set(value);
		return 0;
	}
	if (take_name(&word, "hb=")) {
		if (take_number(&word, &value))
			return -1;
		heartbeat_ticks = (value + TICK_MS - 1) / TICK_MS;
		return 0;
	}
	if (take_name(&word, "disk=")) {
		if (take_number(&word, &value) || value > 1)
			return -1;
		disk_wanted = (int)value;
		return 0;
	}
	if (take_name(&word, "seed="))
		return take_number(&word, &seed);
	if (take_name(&word, "flush=")) {
		if (take_number(&word, &value) || value > 1)
			return -1;
		memory_flush_wanted = (int)value;
		return 0;
	}
	if (take_name(&word, "power=")) {
		if (take_number(&word, &value) || value > 1)
			return -1;
		power_wanted = (int)value;
		return 0;
	}
	return -1;
}

/* 0 when every word was understood; the others are applied all the same. */
static int apply_words(const char *text)
{
	int result = 0;

	while (*text) {
		while (*text == ' ')
			text++;
		if (*text && apply_word(text))
			result = -1;
		while (!at_word_end(text))
			text++;
	}
	return result;
}

static void poll_commands(void)
{
	static char line[LINE_SIZE];
	static u32 length;
	char c;

	while (serial_take(&c)) {
		if (c != '\n' && c != '\r') {
			if (length < LINE_SIZE - 1)
				line[length++] = c;
			continue;
		}
		line[length] = 0;
		if (length) {
			serial_put(apply_words(line) ? "error " : "ok ");
			serial_put(line);
			serial_put("\n");
		}
		length = 0;
	}
}

static u8 cmos(u8 index)
{
	outb(0x70, index);
	return inb(0x71);
}

/* The seed tells guests apart; clock and cycle counter tell boots of one guest apart. */
static void draw_nonce(void)
{
	u64 cycles;
	u32 value;

	__asm__ volatile("rdtsc" : "=A"(cycles));
	value = seed * 2654435761u ^ (u32)cycles ^ (u32)(cycles >> 32) * 97u;
	value ^= (u32)(cmos(0) | cmos(2) << 8 | cmos(4) << 16) << 8;
	value = (value ^ value >> 16) * 0x45d9f3bu;
	value = (value ^ value >> 16) * 0x45d9f3bu;
	memory_nonce = value ^ value >> 16;
}

static void interrupts_init(void)
{
	static u64 table[256];
	struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) pointer = { sizeof(table) - 1, (u32)table };
	u32 divisor = PIT_HZ / TICK_HZ;
	int i;

	for (i = 0; i < 256; i++) {
		u32 handler = i == 32 ? (u32)timer_stub : (u32)ignore_stub;

		/* Present 32-bit interrupt gate in code segment 8. */
		table[i] = (u64)(handler & 0xffff0000u) << 32 | 0x00008e0000000000ull | 8u << 16 |
		           (handler & 0xffffu);
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
	/* Both PICs: vectors 32 and 40, everything masked but the timer. */
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 32);
	outb(0xa1, 40);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, 0xfe);
	outb(0xa1, 0xff);
	/* PIT channel 0, rate generator. */
	outb(0x43, 0x34);
	outb(0x40, (u8)divisor);
	outb(0x40, (u8)(divisor >> 8));
}

static void heartbeat(u32 n, u32 ticks)
{
	if (disk_is_present() && disk_wanted)
		disk_heartbeat(memory_nonce, n);
	serial_put("hb nonce=");
	serial_put_hex(memory_nonce);
	serial_put_field(" n=", n);
	serial_put_field(" t=", ticks * TICK_MS);
	serial_put_field(" pages=", memory_get_pages_written());
	serial_put_field(" corrupt=", serial_get_corruptions());
	serial_put_field(" disk=", disk_get_n());
	serial_put("\n");
}

static void poll_power(void)
{
	if (!power_is_pressed())
		return;
	if (!power_wanted) {
		serial_put("power ignored\n");
		return;
	}
	serial_put("power off\n");
	power_off();
}

static void __attribute__((noreturn)) run(void)
{
	u32 last = guest_ticks, since_heartbeat = 0, credit = 0, n = 0;

	for (;;) {
		u32 now, passed;

		if (rate_is_max)
			memory_rewrite_pages(256);
		else
			__asm__ volatile("hlt");
		/* Heartbeats and the stack are memory too. */
		memory_flush_tlb();
		now = guest_ticks;
		if (now == last)
			continue;
		passed = now - last;
		last = now;
		if (passed > MAX_CATCH_UP_TICKS)
			passed = MAX_CATCH_UP_TICKS;
		if (!rate_is_max) {
			credit += rate_pages_per_s * passed;
			memory_rewrite_pages(credit / TICK_HZ);
			credit %= TICK_HZ;
		}
		poll_commands();
		poll_power();
		since_heartbeat += passed;
		if (heartbeat_ticks && since_heartbeat >= heartbeat_ticks) {
			since_heartbeat = 0;
			heartbeat(++n, now);
		}
	}
}

void guest_main(u32 magic, const struct multiboot *info)
{
	int words_result = 0;

	serial_init(COM1);
	serial_init(COM2);
	if (magic != 0x2badb002 || !(info->flags & MULTIBOOT_HAS_MEMORY)) {
		serial_put("ERROR not started by a multiboot loader\n");
		return;
	}
	memory_set_top(0x100000 + info->memory_upper_kib * 1024);
	memory_set_working_set(DEFAULT_WORKING_SET_KIB);
	if (info->flags & MULTIBOOT_HAS_COMMAND_LINE) {
		const char *text = info->command_line;

		/* QEMU puts the kernel's path first. */
		while (!at_word_end(text))
			text++;
		words_result = apply_words(text);
	}
	draw_nonce();
	disk_probe();
	interrupts_init();
	power_init();
	serial_put("READY nonce=");
	serial_put_hex(memory_nonce);
	serial_put_field(" memory_kib=", 1024 + info->memory_upper_kib);
	serial_put_field(" ws_kib=", memory_get_working_set_kib());
	serial_put_field(" rate_kib=", rate_is_max ? ~0u : rate_pages_per_s * 4);
	serial_put_field(" disk=", (u32)disk_is_present());
	serial_put(words_result ? " ERROR a word of the command line was not understood\n" : "\n");
	/* The whole set exists from the start: the first pass of a migration has it to send. */
	memory_rewrite_all();
	__asm__ volatile("sti");
	run();
}
