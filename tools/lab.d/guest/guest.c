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
 *   flush=0|1  see tlb_flush()
 *
 * One thread, no paging, no allocation; the only interrupt is the 100 Hz timer,
 * and its handler only counts. Invariant of the working set: pages [0, cursor)
 * hold generation G, pages [cursor, count) hold G-1, or nothing while G is 1.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

enum {
	COM1 = 0x3f8,
	COM2 = 0x2f8,
	ATA = 0x1f0,
	PIT_HZ = 1193182,
	TICK_HZ = 100,
	TICK_MS = 1000 / TICK_HZ,
	PAGE_SIZE = 4096,
	/* The working set begins above the image (1 MiB) and its zeroed data. */
	WORKING_SET_BASE = 0x400000,
	/* One word in 64 is written and checked: 16 places spread over the page. */
	PAGE_STRIDE = 64,
	/* 4 KiB into the disk: readable from outside with 4 KiB direct I/O. */
	HEARTBEAT_SECTOR = 8,
	/* After a pause (migration, SIGSTOP) the lost time is not made up for. */
	MAX_CATCH_UP_TICKS = 20,
	MAX_REPORTED_CORRUPTIONS = 5,
	LINE_SIZE = 256,
};

/* What the heartbeat sector holds; the lab reads it from the outside. */
struct sector {
	char magic[8]; /* "DROVERHB" */
	u32 nonce;
	u32 n;
	u32 check; /* nonce ^ n ^ SECTOR_CHECK: a torn or foreign sector does not pass */
	u32 unused[123];
};
_Static_assert(sizeof(struct sector) == 512, "a sector has 512 bytes");
#define SECTOR_CHECK 0x64726f76u

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
void *memset(void *to, int value, u32 count);

volatile u32 guest_ticks; /* counted by timer_stub in boot.S */

static u32 nonce;
static u32 memory_top; /* first byte after usable memory */
static u32 working_set_pages = 4 * 256;
static u32 rate_pages_per_s;
static int rate_is_max;
static u32 heartbeat_ticks = 10;
static int disk_wanted = 1;
static int disk_present;
static u32 disk_n; /* the n on the disk, 0 before the first write */
static int flush_wanted = 1;
static u32 seed;

static u32 cursor;
static u32 generation = 1;
static u32 pages_written;
static u32 corruptions;

/* ---- ports ---- */

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outw(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline u16 inw(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* The compiler may call it for cleared structs; there is no libc. */
void *memset(void *to, int value, u32 count)
{
	u8 *byte = to;

	while (count--)
		*byte++ = (u8)value;
	return to;
}

/* ---- serial ---- */

static void serial_init(u16 port)
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

static void put_text(const char *text)
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
	put_text(digits + at);
}

static void put_hex(u32 value)
{
	int shift;

	for (shift = 28; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[value >> shift & 15]);
}

static void put_field(const char *name, u32 value)
{
	put_text(name);
	put_number(value);
}

static void report_corruption(const char *what, u32 where, u32 found, u32 wanted)
{
	if (corruptions++ >= MAX_REPORTED_CORRUPTIONS)
		return;
	put_text("CORRUPT ");
	put_text(what);
	put_field(" ", where);
	put_text(" holds ");
	put_hex(found);
	put_text(" wanted ");
	put_hex(wanted);
	put_text("\n");
}

/* ---- memory ---- */

/*
 * QEMU before 9.0 loses writes under TCG: when migration clears its dirty log,
 * entries of the guest's TLB that were already writable stay so, and later
 * writes to those pages are never logged. Changing CR4.PSE makes QEMU drop the
 * whole TLB, so the next write takes the slow path that marks the page. Without
 * this every migration of more than one pass corrupts the guest; with KVM the
 * bug does not exist. flush=0 shows it.
 */
static inline void tlb_flush(void)
{
	u32 value;

	if (!flush_wanted)
		return;
	__asm__ volatile("mov %%cr4, %0\n\t"
	                 "xor $0x10, %0\n\t"
	                 "mov %0, %%cr4"
	                 : "=r"(value)
	                 :
	                 : "memory");
}

/* What word `word` of page `page` holds in generation `of`: different everywhere. */
static inline u32 page_word(u32 page, u32 of, u32 word)
{
	u32 value = (page * 1024 + word) * 2654435761u ^ of * 2246822519u ^ nonce;

	return value ^ value >> 15;
}

static void rewrite_page(u32 page)
{
	volatile u32 *words = (volatile u32 *)(WORKING_SET_BASE + page * PAGE_SIZE);
	u32 word;

	if (generation > 1) {
		for (word = 0; word < PAGE_SIZE / 4; word += PAGE_STRIDE) {
			u32 wanted = page_word(page, generation - 1, word);

			if (words[word] != wanted) {
				report_corruption("page", page, words[word], wanted);
				break;
			}
		}
	}
	for (word = 0; word < PAGE_SIZE / 4; word += PAGE_STRIDE)
		words[word] = page_word(page, generation, word);
	pages_written++;
}

static void rewrite_pages(u32 count)
{
	while (count--) {
		tlb_flush();
		rewrite_page(cursor);
		if (++cursor >= working_set_pages) {
			cursor = 0;
			generation++;
		}
	}
}

/* ---- disk: IDE with programmed I/O, one sector at a time ---- */

/* 0 when the drive is not busy and has no error, -1 otherwise or after a long wait. */
static int disk_wait(void)
{
	u32 tries;

	for (tries = 0; tries < 10000000; tries++) {
		u8 status = inb(ATA + 7);

		if (status & 0x80)
			continue;
		return status & 0x21 ? -1 : 0;
	}
	return -1;
}

static int disk_wait_for_data(void)
{
	u32 tries;

	if (disk_wait())
		return -1;
	for (tries = 0; tries < 10000000; tries++) {
		u8 status = inb(ATA + 7);

		if (status & 0x21)
			return -1;
		if (status & 8)
			return 0;
	}
	return -1;
}

static int disk_command(u32 lba, u8 command)
{
	if (disk_wait())
		return -1;
	outb(ATA + 6, 0xe0 | (lba >> 24 & 15));
	outb(ATA + 2, 1);
	outb(ATA + 3, (u8)lba);
	outb(ATA + 4, (u8)(lba >> 8));
	outb(ATA + 5, (u8)(lba >> 16));
	outb(ATA + 7, command);
	return 0;
}

static int disk_read(u32 lba, struct sector *ret_sector)
{
	u16 *words = (u16 *)ret_sector;
	int i;

	if (disk_command(lba, 0x20) || disk_wait_for_data())
		return -1;
	for (i = 0; i < 256; i++)
		words[i] = inw(ATA);
	return disk_wait();
}

static int disk_write(u32 lba, const struct sector *sector)
{
	const u16 *words = (const u16 *)sector;
	int i;

	if (disk_command(lba, 0x30) || disk_wait_for_data())
		return -1;
	for (i = 0; i < 256; i++)
		outw(ATA, words[i]);
	return disk_wait();
}

static void disk_probe(void)
{
	u8 status;
	int i;

	outb(ATA + 6, 0xe0);
	status = inb(ATA + 7);
	/* 0: channel without this drive; 0xff: no controller. */
	if (status == 0 || status == 0xff)
		return;
	outb(ATA + 2, 0);
	outb(ATA + 3, 0);
	outb(ATA + 4, 0);
	outb(ATA + 5, 0);
	outb(ATA + 7, 0xec);
	if (inb(ATA + 7) == 0 || disk_wait_for_data())
		return;
	for (i = 0; i < 256; i++)
		inw(ATA);
	disk_present = 1;
}

static void disk_heartbeat(u32 n)
{
	static struct sector sector;
	const char *magic = "DROVERHB";
	int i;

	if (disk_read(HEARTBEAT_SECTOR, &sector)) {
		report_corruption("sector unreadable", HEARTBEAT_SECTOR, 0, disk_n);
		return;
	}
	/* Before the first write the sector holds whatever was there. */
	if (disk_n && (sector.nonce != nonce || sector.n != disk_n))
		report_corruption("sector", HEARTBEAT_SECTOR,
		                  sector.nonce != nonce ? sector.nonce : sector.n,
		                  sector.nonce != nonce ? nonce : disk_n);
	memset(&sector, 0, sizeof(sector));
	for (i = 0; i < 8; i++)
		sector.magic[i] = magic[i];
	sector.nonce = nonce;
	sector.n = n;
	sector.check = nonce ^ n ^ SECTOR_CHECK;
	if (disk_write(HEARTBEAT_SECTOR, &sector))
		report_corruption("sector unwritable", HEARTBEAT_SECTOR, 0, n);
	else
		disk_n = n;
}

/* ---- settings ---- */

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

static void set_working_set(u32 kib)
{
	u32 most = memory_top > WORKING_SET_BASE ? (memory_top - WORKING_SET_BASE) / PAGE_SIZE : 0;
	u32 pages = kib / 4;

	if (pages > most)
		pages = most;
	working_set_pages = pages ? pages : 1;
	/* Back to the start: the first round writes without checking. */
	cursor = 0;
	generation = 1;
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
		set_working_set(value);
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
		flush_wanted = (int)value;
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

	while (inb(COM2 + 5) & 1) {
		char c = (char)inb(COM2);

		if (c != '\n' && c != '\r') {
			if (length < LINE_SIZE - 1)
				line[length++] = c;
			continue;
		}
		line[length] = 0;
		if (length) {
			put_text(apply_words(line) ? "error " : "ok ");
			put_text(line);
			put_text("\n");
		}
		length = 0;
	}
}

/* ---- start ---- */

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
	nonce = value ^ value >> 16;
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
	if (disk_present && disk_wanted)
		disk_heartbeat(n);
	put_text("hb nonce=");
	put_hex(nonce);
	put_field(" n=", n);
	put_field(" t=", ticks * TICK_MS);
	put_field(" pages=", pages_written);
	put_field(" corrupt=", corruptions);
	put_field(" disk=", disk_n);
	put_text("\n");
}

static void __attribute__((noreturn)) run(void)
{
	u32 last = guest_ticks, since_heartbeat = 0, credit = 0, n = 0;

	for (;;) {
		u32 now, passed;

		if (rate_is_max)
			rewrite_pages(256);
		else
			__asm__ volatile("hlt");
		/* Heartbeats and the stack are memory too. */
		tlb_flush();
		now = guest_ticks;
		if (now == last)
			continue;
		passed = now - last;
		last = now;
		if (passed > MAX_CATCH_UP_TICKS)
			passed = MAX_CATCH_UP_TICKS;
		if (!rate_is_max) {
			credit += rate_pages_per_s * passed;
			rewrite_pages(credit / TICK_HZ);
			credit %= TICK_HZ;
		}
		poll_commands();
		since_heartbeat += passed;
		if (heartbeat_ticks && since_heartbeat >= heartbeat_ticks) {
			since_heartbeat = 0;
			heartbeat(++n, now);
		}
	}
}

void guest_main(u32 magic, const struct multiboot *info)
{
	int words_understood = 0;

	serial_init(COM1);
	serial_init(COM2);
	if (magic != 0x2badb002 || !(info->flags & MULTIBOOT_HAS_MEMORY)) {
		put_text("ERROR not started by a multiboot loader\n");
		return;
	}
	memory_top = 0x100000 + info->memory_upper_kib * 1024;
	set_working_set(working_set_pages * 4);
	if (info->flags & MULTIBOOT_HAS_COMMAND_LINE) {
		const char *text = info->command_line;

		/* QEMU puts the kernel's path first. */
		while (!at_word_end(text))
			text++;
		words_understood = apply_words(text);
	}
	draw_nonce();
	disk_probe();
	interrupts_init();
	put_text("READY nonce=");
	put_hex(nonce);
	put_field(" memory_kib=", memory_top / 1024);
	put_field(" ws_kib=", working_set_pages * 4);
	put_field(" rate_kib=", rate_is_max ? ~0u : rate_pages_per_s * 4);
	put_field(" disk=", (u32)disk_present);
	put_text(words_understood ? " ERROR a word of the command line was not understood\n"
	                          : "\n");
	/* The whole set exists from the start: the first pass of a migration has it to send. */
	rewrite_pages(working_set_pages);
	__asm__ volatile("sti");
	run();
}
