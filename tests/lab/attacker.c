/* SPDX-License-Identifier: Apache-2.0 */
/* attacker - a hostile peer for the lab's tests (attacker.h).
 *
 *	attacker stall ADDRESS PORT COUNT              connects so often and says nothing
 *	attacker drip ADDRESS PORT COUNT               the same, with a byte of a handshake each second
 *	attacker mute ADDRESS PORT PKI                 ends the handshake, and says nothing
 *	attacker deaf ADDRESS PORT PKI                 says HELLO, and answers no PING
 *	attacker trickle ADDRESS PORT PKI              says HELLO, and begins a frame, a byte each second
 *	attacker lengths ADDRESS PORT PKI              frames of 2^64-1, 2^32-1 and 64 MiB
 *	attacker bombs ADDRESS PORT PKI METHOD COUNT   so many messages of up to 1 MiB, far more in memory
 *	attacker corpus ADDRESS PORT PKI FILE...       each file to every method
 *	attacker replay ADDRESS PORT FILE              what was captured, once more
 *	attacker capture INTERFACE PORT FILE           until it is ended
 *	attacker lie URL PKI UUID HOME                 as an agent, about a guest that is at home on HOME
 *	attacker order URL PKI OPERATION NUMBER EPOCH UUID TARGET URL
 *	                                               as a coordinator: to start that attempt, to cancel it
 */
#include "tests/lab/attacker.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/methods.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_MAX   1000
#define PATIENCE_MS 75000 /* the longest that anything here may be left alone is 60 s */
#define ANSWER_MS   10000

void attacker_die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "attacker: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

uint64_t attacker_now_ms(void)
{
	return clock_now_ms();
}

void attacker_ready(void)
{
	puts("ready");
	fflush(stdout);
}

/* --- before the handshake is over --- */

/* The head of a TLS record that announces a ClientHello of 512 bytes; then zeros. */
static uint8_t hello_byte(size_t at)
{
	static const uint8_t head[] = { 22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3 };

	return at < sizeof(head) ? head[at] : 0;
}

static bool is_closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t bytes[256];

	return poll(&p, 1, 0) > 0 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0;
}

/* Holds them until all are closed, and says when the last one was. */
static void stall(const char *address, const char *port, size_t count, bool drip)
{
	static int fds[COUNT_MAX];
	uint64_t begin_ms = attacker_now_ms(), next_ms = begin_ms + 1000;
	size_t open = 0, at = 0;

	if (count > COUNT_MAX)
		attacker_die("at most %d", COUNT_MAX);
	for (size_t i = 0; i < count; i++) {
		fds[i] = attacker_connect(address, port);
		open += fds[i] >= 0;
	}
	attacker_ready();
	while (open > 0 && attacker_now_ms() - begin_ms < PATIENCE_MS) {
		bool send_now = drip && attacker_now_ms() >= next_ms;
		uint8_t byte = hello_byte(at);

		for (size_t i = 0; i < count; i++) {
			if (fds[i] < 0)
				continue;
			if (send_now)
				(void)!send(fds[i], &byte, 1, MSG_NOSIGNAL);
			if (!is_closed(fds[i]))
				continue;
			close(fds[i]);
			fds[i] = -1;
			open--;
		}
		at += send_now;
		next_ms += send_now ? 1000 : 0;
		(void)poll(NULL, 0, 50);
	}
	printf("%zu of %zu closed after %llu ms\n", count - open, count,
	       (unsigned long long)(attacker_now_ms() - begin_ms));
}

/* --- with a good certificate --- */

static void wait_for_end(struct victim *v, bool trickle)
{
	struct frame_head head = { .length = 4096, .stream = 1, .type = FRAME_OPEN };
	uint64_t begin_ms = attacker_now_ms();
	uint8_t bytes[FRAME_BYTES] = { 0 };
	struct frame *f;
	size_t at = 0;

	frame_head_encode(&head, bytes);
	attacker_ready();
	while (attacker_now_ms() - begin_ms < PATIENCE_MS) {
		uint8_t byte = at < FRAME_BYTES ? bytes[at] : 0;

		if (trickle)
			(void)victim_send(v, &byte, 1);
		at++;
		f = victim_hear(v, 1000);
		frame_free(f);
		if (!f && (SSL_get_shutdown(v->ssl) || is_closed(v->fd)))
			break;
	}
	printf("closed after %llu ms\n", (unsigned long long)(attacker_now_ms() - begin_ms));
}

static void silence(struct victim *v, const char *how)
{
	if (!victim_open(v))
		attacker_die("not let in");
	if (strcmp(how, "mute") != 0 && !victim_greet(v))
		attacker_die("cut off");
	wait_for_end(v, strcmp(how, "trickle") == 0);
	victim_close(v);
}

/* Hears until the end of calls or of the connection; how many calls were ended with each status. */
struct tally {
	unsigned ends[MESH_STATUSES], cut;
	char last[ERROR_TEXT_BYTES]; /* what was said last */
};

static void keep_text(struct tally *t, const char *text)
{
	snprintf(t->last, sizeof(t->last), "%s", text);
}

static bool take_frame(struct tally *t, const struct frame *f)
{
	if (f->head.type == FRAME_END) {
		Drover__Mesh__End *end = drover__mesh__end__unpack(NULL, f->head.header_bytes,
		                                                   f->body);

		if (!end || end->code >= MESH_STATUSES)
			attacker_die("an END that cannot be read");
		t->ends[end->code]++;
		if (end->code != MESH_OK)
			keep_text(t, end->message);
		drover__mesh__end__free_unpacked(end, NULL);
		return true;
	}
	if (f->head.type == FRAME_GOAWAY) {
		Drover__Mesh__GoAway *g = drover__mesh__go_away__unpack(NULL, f->head.header_bytes,
		                                                        f->body);

		if (g)
			keep_text(t, g->reason);
		drover__mesh__go_away__free_unpacked(g, NULL);
	}
	return false;
}

static void hear_ends(struct victim *v, size_t calls, struct tally *t)
{
	while (calls > 0) {
		struct frame *f = victim_hear(v, ANSWER_MS);

		if (!f) {
			t->cut++;
			return;
		}
		calls -= take_frame(t, f);
		frame_free(f);
	}
}

static void print_tally(const struct tally *t)
{
	for (int i = 0; i < MESH_STATUSES; i++) {
		if (t->ends[i])
			printf("%u %s\n", t->ends[i], mesh_status_name((enum mesh_status)i));
	}
	printf("%u cut off\n%s\n", t->cut, t->last);
}

static void lengths(struct victim *v)
{
	static const struct frame_head heads[] = {
		{ UINT32_MAX, UINT32_MAX, UINT8_MAX, UINT8_MAX, UINT16_MAX,
		  UINT32_MAX }, /* 2^64-1 */
		{ .length = UINT32_MAX, .stream = 1, .type = FRAME_OPEN },
		{ .length = 64 * 1024 * 1024, .stream = 1, .type = FRAME_OPEN },
	};
	uint8_t head[FRAME_BYTES];

	attacker_ready();
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct tally t = { 0 };

		if (!victim_open(v) || !victim_greet(v))
			attacker_die("not let in");
		frame_head_encode(&heads[i], head);
		(void)victim_send(v, head, sizeof(head));
		hear_ends(v, 1, &t);
		if (!t.cut)
			attacker_die("it was answered");
		victim_close(v);
		puts("cut off");
	}
}

/* Each message of its own connection, and all of them on their way before any answer is looked at. */
static void bombs(const struct victim *like, const char *method, size_t count)
{
	static struct victim victims[COUNT_MAX];
	uint8_t *bomb = xmalloc(ATTACKER_BOMB_BYTES);
	struct tally t = { 0 };

	if (count > COUNT_MAX)
		attacker_die("at most %d", COUNT_MAX);
	for (size_t i = 0; i < count; i++) {
		victims[i] = *like;
		if (!victim_open(&victims[i]) || !victim_greet(&victims[i]))
			attacker_die("connection %zu was not let in", i);
	}
	attacker_ready();
	for (size_t i = 0; i < count; i++)
		(void)victim_call(&victims[i], 1, method, bomb, attacker_make_bomb(bomb, i % 3));
	for (size_t i = 0; i < count; i++) {
		hear_ends(&victims[i], 1, &t);
		victim_close(&victims[i]);
	}
	free(bomb);
	print_tally(&t);
}

/* A connection for each method; whoever cuts it off has its reasons, the next one is a new one. */
static void corpus(struct victim *v, char **files, size_t n_files)
{
	static uint8_t bytes[64 * 1024];
	const struct method *methods;
	struct tally t = { 0 };
	size_t n_methods;

	methods = method_get_all(&n_methods);
	attacker_ready();
	for (size_t m = 0; m < n_methods; m++) {
		size_t sent = 0;

		if (!victim_open(v) || !victim_greet(v))
			attacker_die("not let in");
		for (size_t i = 0; i < n_files; i++) {
			FILE *f = fopen(files[i], "re");
			size_t n;

			if (!f)
				attacker_die("cannot read %s", files[i]);
			n = fread(bytes, 1, sizeof(bytes), f);
			fclose(f);
			if (!victim_call(v, (uint32_t)(2 * i + 1), methods[m].name, bytes, n))
				break;
			sent++;
		}
		hear_ends(v, methods[m].server_streaming ? 1 : sent, &t);
		victim_close(v);
	}
	print_tally(&t);
}

/* --- */

static void replay(const char *address, const char *port, const char *path)
{
	struct victim v = { .address = address, .port = port };
	FILE *f = fopen(path, "re");
	uint8_t bytes[16384];
	size_t n, sent = 0;

	if (!f || !victim_open(&v))
		attacker_die("cannot replay %s", path);
	attacker_ready();
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0 && victim_send(&v, bytes, n))
		sent += n;
	fclose(f);
	while (recv(v.fd, bytes, sizeof(bytes), 0) > 0)
		;
	printf("closed after %zu bytes of %s\n", sent, path);
	victim_close(&v);
}

static void run(size_t count, char **words)
{
	const char *what = words[0];
	struct victim v = { .address = words[1], .port = words[2], .pki = words[3] };

	if ((strcmp(what, "stall") == 0 || strcmp(what, "drip") == 0) && count == 4)
		stall(words[1], words[2], strtoul(words[3], NULL, 10), what[0] == 'd');
	else if ((strcmp(what, "mute") == 0 || strcmp(what, "deaf") == 0 ||
	          strcmp(what, "trickle") == 0) &&
	         count == 4)
		silence(&v, what);
	else if (strcmp(what, "lengths") == 0 && count == 4)
		lengths(&v);
	else if (strcmp(what, "bombs") == 0 && count == 6)
		bombs(&v, words[4], strtoul(words[5], NULL, 10));
	else if (strcmp(what, "corpus") == 0 && count > 4)
		corpus(&v, words + 4, count - 4);
	else if (strcmp(what, "replay") == 0 && count == 4)
		replay(words[1], words[2], words[3]);
	else if (strcmp(what, "capture") == 0 && count == 4)
		attacker_capture(words[1], words[2], words[3]);
	else if (strcmp(what, "lie") == 0 && count == 5)
		attacker_lie(words[1], words[2], words[3], words[4]);
	else if (strcmp(what, "order") == 0 && count == 9)
		attacker_order(words[1], words[2],
		               &(struct attacker_order){
				       .operation = words[3],
				       .number = (uint32_t)strtoul(words[4], NULL, 10),
				       .epoch = strtoull(words[5], NULL, 10),
				       .uuid = words[6],
				       .target = words[7],
				       .target_url = words[8],
			       });
	else
		attacker_die("what is that? Its first lines say what there is");
}

int main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		attacker_die("what to do?");
	run((size_t)argc - 1, argv + 1);
	return 0;
}
