/* SPDX-License-Identifier: Apache-2.0 */
/* Over tcp: peers with a good certificate whose messages are none, or far longer in memory than on the
 * wire. Each is refused alone, who goes on is cut off, nobody else notices. */
#include "tests/conformance/mesh/siege.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"
#include "proto/mesh/arena.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/malformed.h"
#include "proto/mesh/reflection.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_call(struct raw *r, uint32_t stream, const char *method, const void *payload,
                     size_t bytes)
{
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	struct frame_head head = { .stream = stream, .type = FRAME_OPEN };
	uint8_t header[256];

	open.method = (char *)method;
	head.header_bytes = (uint16_t)drover__mesh__open__pack(&open, header);
	head.length = head.header_bytes + (uint32_t)bytes;
	raw_add_head(r, &head);
	raw_add(r, header, head.header_bytes);
	raw_add(r, payload, bytes);
}

static Drover__Mesh__End *unpack_end(const struct frame *f)
{
	Drover__Mesh__End *end;

	assert_non_null(f);
	end = drover__mesh__end__unpack(NULL, f->head.header_bytes, f->body);
	assert_non_null(end);
	return end;
}

static void expect_end(const struct raw *r, unsigned n, enum mesh_status status, const char *words)
{
	const struct frame *f = raw_find(r, FRAME_END, n);
	Drover__Mesh__End *end;

	if (!f)
		fail_msg("no end %u after %zu bytes; %s; TLS \"%s\"; GOAWAY \"%s\"", n, r->in_bytes,
		         r->closed_by_peer ? "closed by the peer" : "open", r->tls_problem,
		         raw_goaway(r));
	end = unpack_end(f);
	if (end->code != status || !strstr(end->message, words))
		fail_msg("end %u is %s: %s", n, mesh_status_name((enum mesh_status)end->code),
		         end->message);
	drover__mesh__end__free_unpacked(end, NULL);
}

static struct raw raw_greeted(struct siege *s, const char *role, struct pki_leaf *ret_leaf)
{
	struct raw r = { .h = &s->h, .leaf = ret_leaf };
	char uri[64];

	snprintf(uri, sizeof(uri), "drover://test/%s/eve", role);
	pki_leaf_make(&s->h.ca, s->h.directory, "eve", uri, 3600, ret_leaf);
	raw_add_hello(&r, role, "eve", "test");
	return r;
}

/* --- messages that are none --- */

/* Nineteen unreadable messages within a minute fail alone; the twentieth costs the connection. */
static void f66_cut_after_twenty(void **state)
{
	struct siege *s = *state;
	struct pki_leaf leaf;
	struct mesh_counts counts;

	for (unsigned n = MALFORMED_MAX - 1; n <= MALFORMED_MAX; n++) {
		struct raw r = raw_greeted(s, "agent", &leaf);

		for (unsigned i = 0; i < n; i++)
			add_call(&r, 2 * i + 1, "drover.test.Test/UnaryCall", "\x22\x02\xc3\x28",
			         4);
		raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
		r.until_pong = true;
		raw_run(&r);
		for (unsigned i = 0; i < n; i++)
			expect_end(&r, i, MESH_INVALID_ARGUMENT, "is not valid UTF-8");
		assert_int_equal(r.closed_by_peer, n == MALFORMED_MAX);
		if (n == MALFORMED_MAX)
			assert_string_equal(raw_goaway(&r),
			                    "the peer sent 20 messages within 60 s that cannot be "
			                    "read, the last: drover.test.Test/UnaryCall: "
			                    "Request.text is not valid UTF-8");
		raw_free(&r);
	}
	mesh_get_counts(s->h.server.mesh, &counts);
	assert_int_equal(counts.malformed, 2 * MALFORMED_MAX - 1);
	siege_expect_in_log(s, "\"role\":\"agent\",\"who\":\"eve\",\"address\":\"127.0.0.1:");
	siege_expect_in_log(s, "\"outcome\":\"CUT_OFF\",\"reason\":\"the peer sent 20 messages");
	siege_expect_served(s);
}

static void handle(struct mesh_incoming *in, const ProtobufCMessage *request, void *context)
{
	struct error err;

	(void)context;
	assert_true(protobuf_c_message_check(request));
	error_set(&err, ERROR_REFUSED, "this is a test");
	mesh_fail_error(in, &err);
}

#define METHODS_MAX 64

/* A server of every method that there is. */
static void serve_all(struct siege *s)
{
	static struct mesh_handler handlers[METHODS_MAX];
	static struct mesh_service agent = { .descriptor = &drover__v1__agent__descriptor };
	static struct mesh_service coordinator = {
		.descriptor = &drover__v1__coordinator__descriptor
	};
	static struct mesh_service *const both[] = { &agent, &coordinator };
	static const struct mesh_service *const all[] = { &agent, &coordinator, &reflection_service,
		                                          &test_service, NULL };
	struct mesh_options options = harness_options(&s->h, &s->h.server, MESH_ROLE_COORDINATOR,
	                                              "c1");
	struct mesh_handler *room = handlers;

	for (size_t n = 0; n < ARRAY_SIZE(both); n++) {
		both[n]->handlers = room;
		both[n]->n_handlers = both[n]->descriptor->n_methods;
		for (unsigned i = 0; i < both[n]->n_handlers; i++)
			*room++ = (struct mesh_handler){
				.method = both[n]->descriptor->methods[i].name, .handle = handle
			};
	}
	assert_true(room <= handlers + METHODS_MAX);
	mesh_free(s->h.server.mesh);
	s->h.server.mesh = NULL;
	options.audit = s->audit;
	options.services = all;
	harness_start(&s->h, &s->h.server, &options, true);
}

static size_t read_file(const char *path, uint8_t *ret, size_t room)
{
	FILE *f = fopen(path, "re");
	size_t n;

	assert_non_null(f);
	n = fread(ret, 1, room, f);
	fclose(f);
	return n;
}

static const char *role_for(unsigned callers)
{
	static const enum mesh_role roles[] = { MESH_ROLE_AGENT, MESH_ROLE_COORDINATOR,
		                                MESH_ROLE_ADMIN };

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (callers & roles[i])
			return mesh_role_name(roles[i]);
	}
	fail();
	return NULL;
}

/* All that the fuzz targets start from, given to every method: whoever sends it is answered, call by
 * call, or cut off; the server goes on. */
static void f66_corpus_in_every_method(void **state)
{
	static uint8_t payload[64 * 1024];
	struct siege *s = *state;
	const struct method *methods;
	unsigned cut = 0, answered = 0;
	size_t n_methods;
	glob_t files;

	serve_all(s);
	assert_int_equal(glob("tests/fuzz/corpus/*/*", 0, NULL, &files), 0);
	methods = method_get_all(&n_methods);
	for (size_t m = 0; m < n_methods; m++) {
		struct pki_leaf leaf;
		struct raw r = raw_greeted(s, role_for(methods[m].callers), &leaf);

		for (size_t i = 0; i < files.gl_pathc; i++)
			add_call(&r, (uint32_t)(2 * i + 1), methods[m].name, payload,
			         read_file(files.gl_pathv[i], payload, sizeof(payload)));
		raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
		r.until_pong = true;
		raw_run(&r);
		assert_non_null(raw_find(&r, FRAME_END, 0));
		if (r.closed_by_peer)
			assert_non_null(strstr(raw_goaway(&r), "that cannot be read"));
		cut += r.closed_by_peer;
		answered += !r.closed_by_peer;
		raw_free(&r);
	}
	print_message("%zu methods, %zu files: %u connections cut off, %u not\n", n_methods,
	              files.gl_pathc, cut, answered);
	globfree(&files);
	assert_true(cut > 0);
	siege_expect_served(s);
	siege_expect_in_log(s, "\"outcome\":\"CUT_OFF\"");
}

/* --- messages that grow --- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BOMBS 9 /* the sanitizer's time is not the mesh's; three of each kind */
#else
#define BOMBS 50
#endif
#define BOMB_BYTES (1024 * 1024)

/* What they may take: their bytes as they come in, and the one arena. */
#define BOMBS_KIB ((long)BOMBS * BOMB_BYTES / 1024 + (long)ARENA_MOST / 1024)

static void fill(uint8_t *bomb, unsigned kind)
{
	static const uint8_t length[] = { 0xfc, 0xff, 0x3f }; /* BOMB_BYTES - 4 */

	switch (kind) {
	case 0: /* empty messages */
		for (size_t i = 0; i < BOMB_BYTES; i += 2)
			memcpy(bomb + i, "\x3a\x00", 2);
		break;
	case 1: /* fields that nobody knows */
		for (size_t i = 0; i < BOMB_BYTES; i += 2)
			memcpy(bomb + i, "\x78\x01", 2);
		break;
	case 2: /* one field with a million of truths; its length in three bytes */
		memset(bomb, 1, BOMB_BYTES);
		bomb[0] = 0x42;
		memcpy(bomb + 1, length, sizeof(length));
		break;
	}
}

/* BOMBS at once, each of a million bytes on the wire and of up to 71 times that in memory. */
static void f68_bombs(void **state)
{
	static uint8_t bomb[BOMB_BYTES];
	struct siege *s = *state;
	struct raw bombs[BOMBS];
	struct pki_leaf leaf;
	long before_kib;

	for (unsigned i = 0; i < BOMBS; i++) {
		bombs[i] = raw_greeted(s, "agent", &leaf);
		fill(bomb, i % 3);
		add_call(&bombs[i], 1, "drover.test.Test/UnaryCall", bomb, BOMB_BYTES);
		raw_add_frame(&bombs[i], FRAME_PING, 0, NULL, NULL);
		bombs[i].until_pong = true;
	}
	siege_expect_served(s);
	before_kib = siege_get_rss_kib();
	siege_forget_peak();
	for (unsigned i = 0; i < BOMBS; i++)
		raw_start(&bombs[i]);
	siege_expect_served(s);
	for (unsigned i = 0; i < BOMBS; i++) {
		raw_finish(&bombs[i]);
		expect_end(&bombs[i], 0, MESH_INVALID_ARGUMENT, "too many");
		raw_free(&bombs[i]);
	}
	print_message("%d bombs: %ld KiB before, %ld KiB at most, %ld KiB allowed\n", BOMBS,
	              before_kib, siege_get_peak_kib(), before_kib + BOMBS_KIB);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_in_range(siege_get_peak_kib(), 0, before_kib + BOMBS_KIB);
#endif
	siege_expect_served(s);
}

/* Not too many of anything, but too much altogether: it is said so, and by how much. */
static void f68_too_complex(void **state)
{
	static uint8_t bomb[2 * 9999];
	struct siege *s = *state;
	struct pki_leaf leaf;
	struct raw r = raw_greeted(s, "agent", &leaf);

	for (size_t i = 0; i < sizeof(bomb); i += 2)
		memcpy(bomb + i, "\x3a\x00", 2);
	add_call(&r, 1, "drover.test.Test/UnaryCall", bomb, sizeof(bomb));
	raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	r.until_pong = true;
	raw_run(&r);
	expect_end(&r, 0, MESH_RESOURCE_EXHAUSTED,
	           "Request is too complex: its 19998 bytes need more than 159984 of memory");
	raw_free(&r);
	siege_expect_in_log(s, "is too complex");
	siege_expect_served(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, siege_setup_patient, siege_teardown)
		CASE(f66_cut_after_twenty),
		CASE(f66_corpus_in_every_method),
		CASE(f68_bombs),
		CASE(f68_too_complex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
