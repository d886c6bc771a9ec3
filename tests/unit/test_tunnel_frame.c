/* SPDX-License-Identifier: Apache-2.0 */
/* What two tunnel processes say to each other, and the status that one writes. */
#include "agent/tunnel/frame.h"
#include "agent/tunnel/local.h"
#include "agent/tunnel/process.h"
#include "agent/tunnel/status.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every kind of frame comes out as it went in, however the bytes are cut. */
static void test_round_trip(void **state)
{
	static const struct {
		enum tunnel_frame_kind kind;
		const char *data;
	} frames[] = {
		{ TUNNEL_FRAME_OPEN, "" },   { TUNNEL_FRAME_DATA, "x" },
		{ TUNNEL_FRAME_PING, "" },   { TUNNEL_FRAME_DATA, "some more bytes" },
		{ TUNNEL_FRAME_REFUSE, "" }, { TUNNEL_FRAME_REFUSE, "this is why" },
		{ TUNNEL_FRAME_END, "" },
	};
	struct tunnel_buffer out;
	struct tunnel_frame f;
	size_t at = 0;

	(void)state;
	tunnel_buffer_init(&out, 256);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		assert_true(tunnel_frame_put(&out, frames[i].kind, frames[i].data,
		                             strlen(frames[i].data)));
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		for (size_t have = 0;; have++) {
			/* Exactly as much memory as there is: reading beyond it is seen. */
			uint8_t *cut = xmemdup(out.data + at, have ? have : 1);

			tunnel_frame_parse(cut, have, &f);
			if (f.kind != TUNNEL_FRAME_INCOMPLETE) {
				assert_int_equal(f.kind, frames[i].kind);
				assert_int_equal(f.bytes, strlen(frames[i].data));
				if (f.bytes)
					assert_memory_equal(f.data, frames[i].data, f.bytes);
				assert_int_equal(f.consumed, have);
				free(cut);
				break;
			}
			free(cut);
		}
		at += f.consumed;
	}
	assert_int_equal(at, tunnel_buffer_bytes(&out));
	tunnel_buffer_deinit(&out);
}

/* A length that is neither data nor a word of the protocol is refused before anything is read. */
static void test_bad_lengths(void **state)
{
	struct tunnel_frame f;

	(void)state;
	for (unsigned int code = 0; code <= 0xffff; code++) {
		uint8_t bytes[4] = { (uint8_t)(code >> 8), (uint8_t)code, 0xff, 0xff };

		tunnel_frame_parse(bytes, sizeof(bytes), &f);
		if (code > TUNNEL_FRAME_DATA_MAX && code < 0xfffe)
			assert_int_equal(f.kind, TUNNEL_FRAME_BAD);
		else
			assert_int_not_equal(f.kind, TUNNEL_FRAME_BAD);
	}
}

/* A buffer holds what it holds: what does not fit is not taken, and nothing is half taken. */
static void test_buffer_is_bounded(void **state)
{
	uint8_t data[100] = { 0 };
	struct tunnel_buffer b;

	(void)state;
	tunnel_buffer_init(&b, 250);
	assert_true(tunnel_frame_put(&b, TUNNEL_FRAME_DATA, data, 100));
	assert_true(tunnel_frame_put(&b, TUNNEL_FRAME_DATA, data, 100));
	assert_false(tunnel_frame_put(&b, TUNNEL_FRAME_DATA, data, 100));
	assert_int_equal(tunnel_buffer_bytes(&b), 204);
	tunnel_buffer_consume(&b, 102);
	assert_true(tunnel_frame_put(&b, TUNNEL_FRAME_DATA, data, 100));
	tunnel_buffer_consume(&b, 204);
	assert_int_equal(tunnel_buffer_bytes(&b), 0);
	tunnel_buffer_deinit(&b);
}

/* A status comes back whole; what is torn, short or something else is not taken for one. */
static void test_status(void **state)
{
	char path[] = "/tmp/test_tunnel_status.XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);
	struct tunnel_status s = { .pid = 7, .state = TUNNEL_LINKED, .port = 40123 }, back;
	struct error err;

	(void)state;
	strcpy(s.error_text, "why");
	assert_int_equal(tunnel_status_read(path, &back, &err), -ERROR_INVALID);
	assert_int_equal(tunnel_status_write(fd, &s, &err), 0);
	assert_int_equal(tunnel_status_read(path, &back, &err), 0);
	assert_memory_equal(&s, &back, sizeof(s));
	for (size_t at = 0; at < offsetof(struct tunnel_status, zero); at++) {
		uint8_t flipped = ((uint8_t *)&s)[at] ^ 1;

		assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
		assert_int_equal(tunnel_status_read(path, &back, &err), -ERROR_INVALID);
		assert_int_equal(pwrite(fd, (uint8_t *)&s + at, 1, (off_t)at), 1);
	}
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(tunnel_status_read(path, &back, &err), -ERROR_INVALID);
	unlink(path);
	assert_int_equal(tunnel_status_read(path, &back, &err), -ERROR_NOT_FOUND);
	assert_string_equal(tunnel_state_name(TUNNEL_CONNECTED), "connected");
	assert_string_equal(tunnel_state_name((enum tunnel_state)99), "unknown");
}

/* Addresses are numbers; everything else is refused with an example. */
static void test_addresses(void **state)
{
	static const char *const bad[] = { "",
		                           "10.0.0.1",
		                           ":80",
		                           "host:80",
		                           "10.0.0.1:",
		                           "10.0.0.1:x",
		                           "10.0.0.1:65536",
		                           "10.0.0.1:-1",
		                           "fd00::2:80",
		                           "[fd00::2]",
		                           "[fd00::2:80",
		                           "10.0.0.1:8 ",
		                           "[10.0.0.1]:80",
		                           "10.0.0.1: 80",
		                           "1.2.3.4.5:80" };
	struct error err;
	uint16_t port;
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(tunnel_tcp_dial(bad[i], &fd, &err), -ERROR_INVALID);
		assert_int_equal(tunnel_tcp_listen(bad[i], &fd, &port, &err), -ERROR_INVALID);
		assert_non_null(strstr(err.text, "10.77.0.2:40123"));
	}
	assert_int_equal(tunnel_tcp_listen("127.0.0.1:0", &fd, &port, &err), 0);
	assert_int_not_equal(port, 0);
	close(fd);
	assert_int_equal(tunnel_local_connect("relative", &fd, &err), -ERROR_INVALID);
	assert_int_equal(tunnel_local_connect("/nonexistent/socket", &fd, &err),
	                 -ERROR_UNREACHABLE);
}

/* A process has one start time, and a pid without a process has none. */
static void test_start_ticks(void **state)
{
	uint64_t one, two;

	(void)state;
	assert_int_equal(tunnel_process_start_ticks(getpid(), &one), 0);
	assert_int_equal(tunnel_process_start_ticks(getpid(), &two), 0);
	assert_true(one > 0);
	assert_int_equal(one, two);
	assert_int_equal(tunnel_process_start_ticks(-1, &one), -ERROR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),        cmocka_unit_test(test_bad_lengths),
		cmocka_unit_test(test_buffer_is_bounded), cmocka_unit_test(test_status),
		cmocka_unit_test(test_addresses),         cmocka_unit_test(test_start_ticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
