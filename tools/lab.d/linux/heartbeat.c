/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heartbeat - what the lab's Linux guest says about itself, ten times a second:
 *
 *   hb nonce=%08x n=%u t=%u pages=%u corrupt=%u disk=%u wall=SECONDS.MS net=%u
 *
 * The first six fields mean what they mean for the tiny guest (../guest/guest.c),
 * and the heartbeat sector of the disk is the same. `t` is the guest's boot clock,
 * `wall` its wall clock, `net` counts the echo replies from the gateway.
 *
 * One thread. It stays nearly idle on purpose: the guest has to be moved in one
 * pass (see ../guest/guest.c on what QEMU's TCG does in later ones).
 *
 *   heartbeat TTY SEED GATEWAY|- DISK
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_MS           100
#define PAGE_BYTES          4096
#define PAGES               256
#define PAGES_PER_HEARTBEAT 16
#define SECTOR_OFFSET       4096
#define SECTOR_CHECK        0x64726f76u

struct sector {
	char magic[8]; /* "DROVERHB" */
	uint32_t nonce;
	uint32_t n;
	uint32_t check; /* nonce ^ n ^ SECTOR_CHECK */
	uint32_t unused[123];
};
_Static_assert(sizeof(struct sector) == 512, "a sector has 512 bytes");

struct heartbeat {
	uint32_t nonce;
	uint32_t n;
	uint32_t pages;
	uint32_t corruptions;
	int disk_fd;     /* -1: no disk */
	uint32_t disk_n; /* the n on the disk, 0 before the first write */
	int echo_fd;     /* -1: no network */
	struct sockaddr_in gateway;
	uint32_t replies;
	uint32_t *memory; /* PAGES pages; [0, cursor) hold `generation`, the rest the one before */
	uint32_t cursor;
	uint32_t generation;
};

static void report(struct heartbeat *beat, const char *what, uint32_t found, uint32_t wanted)
{
	if (beat->corruptions++ < 5)
		printf("CORRUPT %s holds %08x wanted %08x\n", what, found, wanted);
}

static uint32_t page_word(const struct heartbeat *beat, uint32_t page, uint32_t generation)
{
	uint32_t value = page * 2654435761u ^ generation * 2246822519u ^ beat->nonce;

	return value ^ value >> 15;
}

static void rewrite_pages(struct heartbeat *beat, uint32_t count)
{
	while (count--) {
		volatile uint32_t *page = beat->memory + (size_t)beat->cursor * PAGE_BYTES / 4;
		uint32_t wanted = page_word(beat, beat->cursor, beat->generation - 1);

		if (beat->generation > 1 && page[0] != wanted)
			report(beat, "page", page[0], wanted);
		page[0] = page_word(beat, beat->cursor, beat->generation);
		beat->pages++;
		if (++beat->cursor == PAGES) {
			beat->cursor = 0;
			beat->generation++;
		}
	}
}

/* Around the page cache: what is read is what the disk holds. */
static void write_sector(struct heartbeat *beat)
{
	static struct sector sector __attribute__((aligned(PAGE_BYTES)));

	if (pread(beat->disk_fd, &sector, sizeof(sector), SECTOR_OFFSET) != sizeof(sector)) {
		report(beat, "unreadable sector", (uint32_t)errno, 0);
		return;
	}
	if (beat->disk_n && (sector.nonce != beat->nonce || sector.n != beat->disk_n))
		report(beat, "sector", sector.nonce != beat->nonce ? sector.nonce : sector.n,
		       sector.nonce != beat->nonce ? beat->nonce : beat->disk_n);
	memset(&sector, 0, sizeof(sector));
	memcpy(sector.magic, "DROVERHB", sizeof(sector.magic));
	sector.nonce = beat->nonce;
	sector.n = beat->n;
	sector.check = beat->nonce ^ beat->n ^ SECTOR_CHECK;
	if (pwrite(beat->disk_fd, &sector, sizeof(sector), SECTOR_OFFSET) != sizeof(sector))
		report(beat, "unwritable sector", (uint32_t)errno, 0);
	else
		beat->disk_n = beat->n;
}

/* Counts the replies that have come and asks again; no reply is no error here. */
static void echo(struct heartbeat *beat)
{
	struct icmphdr request = { .type = ICMP_ECHO };
	uint8_t packet[256];
	uint32_t sum;
	ssize_t got;

	while ((got = recv(beat->echo_fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0) {
		const struct ip *ip = (const struct ip *)packet;
		size_t header = (size_t)ip->ip_hl * 4;

		if ((size_t)got >= header + sizeof(struct icmphdr) &&
		    packet[header] == ICMP_ECHOREPLY)
			beat->replies++;
	}
	request.un.echo.sequence = htons((uint16_t)beat->n);
	sum = ICMP_ECHO + request.un.echo.sequence;
	sum = (sum & 0xffff) + (sum >> 16);
	/* The type is the low byte of the first word on this little-endian machine. */
	request.checksum = (uint16_t)~sum;
	if (sendto(beat->echo_fd, &request, sizeof(request), MSG_DONTWAIT,
	           (const struct sockaddr *)&beat->gateway, sizeof(beat->gateway)) < 0)
		return;
}

static void print_line(const struct heartbeat *beat)
{
	struct timespec boot, wall;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &wall);
	printf("hb nonce=%08x n=%u t=%lld pages=%u corrupt=%u disk=%u wall=%lld.%03ld net=%u\n",
	       beat->nonce, beat->n, boot.tv_sec * 1000LL + boot.tv_nsec / 1000000, beat->pages,
	       beat->corruptions, beat->disk_n, (long long)wall.tv_sec, wall.tv_nsec / 1000000,
	       beat->replies);
}

static int serial_open(const char *path)
{
	struct termios settings;
	int fd = open(path, O_WRONLY | O_NOCTTY);

	if (fd < 0 || tcgetattr(fd, &settings) < 0)
		return -1;
	/* Lines end with \n alone, as the tiny guest's do. */
	settings.c_oflag &= ~(tcflag_t)OPOST;
	return tcsetattr(fd, TCSANOW, &settings) < 0 ? -1 : fd;
}

int main(int argc, char **argv)
{
	struct heartbeat beat = { .disk_fd = -1, .echo_fd = -1, .generation = 1 };
	struct timespec next;
	int serial_fd;

	if (argc != 5) {
		fprintf(stderr, "usage: heartbeat TTY SEED GATEWAY|- DISK\n");
		return 2;
	}
	serial_fd = serial_open(argv[1]);
	if (serial_fd < 0 || dup2(serial_fd, STDOUT_FILENO) < 0) {
		fprintf(stderr, "heartbeat: cannot write to %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Early after boot the kernel has little randomness: the lab's seed tells guests apart. */
	if (getrandom(&beat.nonce, sizeof(beat.nonce), GRND_INSECURE) != sizeof(beat.nonce))
		beat.nonce = 0;
	clock_gettime(CLOCK_REALTIME, &next);
	beat.nonce ^= (uint32_t)strtoul(argv[2], NULL, 10) * 2654435761u;
	beat.nonce ^= (uint32_t)next.tv_sec ^ (uint32_t)next.tv_nsec;
	beat.memory = aligned_alloc(PAGE_BYTES, (size_t)PAGES * PAGE_BYTES);
	if (!beat.memory) {
		printf("ERROR no memory\n");
		return 1;
	}
	beat.disk_fd = open(argv[4], O_RDWR | O_DIRECT | O_DSYNC);
	if (strcmp(argv[3], "-") != 0) {
		beat.gateway.sin_family = AF_INET;
		if (inet_pton(AF_INET, argv[3], &beat.gateway.sin_addr) == 1)
			beat.echo_fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	}
	printf("READY nonce=%08x disk=%d net=%d\n", beat.nonce, beat.disk_fd >= 0,
	       beat.echo_fd >= 0);
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		beat.n++;
		rewrite_pages(&beat, PAGES_PER_HEARTBEAT);
		if (beat.disk_fd >= 0)
			write_sector(&beat);
		if (beat.echo_fd >= 0)
			echo(&beat);
		print_line(&beat);
		next.tv_nsec += PERIOD_MS * 1000000L;
		if (next.tv_nsec >= 1000000000L) {
			next.tv_nsec -= 1000000000L;
			next.tv_sec++;
		}
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
	}
}
