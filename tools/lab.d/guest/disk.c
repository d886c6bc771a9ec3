/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDE with programmed I/O, one sector at a time, first channel, master: the disk that
 * every PC machine has had for thirty years, and QEMU carries over whole.
 *
 * The sector is read back before each write. What is there must be what this guest
 * wrote last: anything else was written by a second copy of it, or lost on the way.
 */
#include "disk.h"

#include "serial.h"

enum {
	ATA = 0x1f0,
	/* 4 KiB into the disk: readable from outside with 4 KiB direct I/O. */
	HEARTBEAT_SECTOR = 8,
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

void *memset(void *to, int value, u32 count);

static int disk_present;
static u32 disk_n;

/* The compiler may call it for cleared structs; there is no libc. */
void *memset(void *to, int value, u32 count)
{
	u8 *byte = to;

	while (count--)
		*byte++ = (u8)value;
	return to;
}

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

void disk_probe(void)
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

void disk_heartbeat(u32 nonce, u32 n)
{
	static struct sector sector;
	const char *magic = "DROVERHB";
	int i;

	if (disk_read(HEARTBEAT_SECTOR, &sector)) {
		serial_report_corruption("sector unreadable", HEARTBEAT_SECTOR, 0, disk_n);
		return;
	}
	/* Before the first write the sector holds whatever was there. */
	if (disk_n && (sector.nonce != nonce || sector.n != disk_n))
		serial_report_corruption("sector", HEARTBEAT_SECTOR,
		                         sector.nonce != nonce ? sector.nonce : sector.n,
		                         sector.nonce != nonce ? nonce : disk_n);
	sector = (struct sector){ .nonce = nonce, .n = n, .check = nonce ^ n ^ SECTOR_CHECK };
	for (i = 0; i < 8; i++)
		sector.magic[i] = magic[i];
	if (disk_write(HEARTBEAT_SECTOR, &sector))
		serial_report_corruption("sector unwritable", HEARTBEAT_SECTOR, 0, n);
	else
		disk_n = n;
}

int disk_is_present(void)
{
	return disk_present;
}

u32 disk_get_n(void)
{
	return disk_n;
}
