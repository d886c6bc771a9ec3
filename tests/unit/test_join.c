/* SPDX-License-Identifier: Apache-2.0 */
/* A host joins over a real connection: an authority in a directory of its own, the door with its
 * threads, and the client, in one process. */
#include "pki/join_client.h"
#include "pki/join_server.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/channel.h"
#include "pki/files.h"
#include "tests/scratch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

struct world {
	char directory[32];
	char *authority, *ca, *certificate, *key;
	struct loop *loop;
	struct join_server *server;
	unsigned good, refused;
	char last[1024];
};

static void told(const struct join_event *e, void *context)
{
	struct world *w = context;

	w->good += e->code == ERROR_NONE;
	w->refused += e->code != ERROR_NONE;
	snprintf(w->last, sizeof(w->last), "%s, as %s: %s", e->address, e->claim, e->text);
}

/* What stands at the door: a coordinator, unless the test wants somebody else there. */
static void start(struct world *w, enum mesh_role role)
{
	const struct authority_order order = { .role = role, .name = "c1", .address = "127.0.0.1" };
	struct join_server_options options = { .told = told, .context = w };
	_cleanup_(join_result_deinit) struct join_result r = { 0 };
	struct bytes requests[AUTHORITY_REQUESTS];
	struct error err;

	w->ca = xasprintf("%s/ca.pem", w->directory);
	w->certificate = xasprintf("%s/c1.pem", w->directory);
	w->key = xasprintf("%s/c1-key.pem", w->directory);
	assert_int_equal(join_new_keys(&r, requests, &err), 0);
	assert_int_equal(authority_issue(w->authority, &order, requests, &r.grant, &err), 0);
	join_requests_deinit(requests);
	assert_int_equal(files_write(w->ca, r.grant.ca, FILES_PUBLIC, &err), 0);
	assert_int_equal(files_write(w->certificate, r.grant.certificate, FILES_PUBLIC, &err), 0);
	assert_int_equal(files_write(w->key, r.key, FILES_SECRET, &err), 0);
	w->loop = loop_new();
	options.loop = w->loop;
	options.listen = "tcp://127.0.0.1:0";
	options.authority = w->authority;
	options.ca = w->ca;
	options.certificate = w->certificate;
	options.key = w->key;
	assert_int_equal(join_server_start(&options, &w->server, &err), 0);
}

static int setup(void **state)
{
	struct world *w = xnew(struct world);
	const struct authority_place place = { "lab7", "tcp://127.0.0.1:7780", "127.0.0.1:7781" };
	struct error err;

	signal(SIGPIPE, SIG_IGN);
	snprintf(w->directory, sizeof(w->directory), "/tmp/test_join.XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	w->authority = xasprintf("%s/pki", w->directory);
	assert_int_equal(authority_create(w->authority, &place, &err), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	join_server_stop(w->server);
	if (w->loop) {
		loop_run_until(w->loop, 1, NULL, NULL);
		loop_free(w->loop);
	}
	scratch_remove(w->directory);
	free(w->authority);
	free(w->ca);
	free(w->certificate);
	free(w->key);
	free(w);
	return 0;
}

static struct token new_token(struct world *w)
{
	const struct authority_token_order order = { NULL, MINUTES_MS(10), 1 };
	struct token token;
	struct error err;

	assert_int_equal(authority_create_token(w->authority, &order, &token, &err), 0);
	assert_string_equal(token.address, "127.0.0.1:7781");
	snprintf(token.address, sizeof(token.address), "127.0.0.1:%u",
	         join_server_get_port(w->server));
	return token;
}

static int ask(const struct token *token, const char *name, const char *address, struct error *err)
{
	const struct join_order order = {
		.name = name, .address = address, .migration_address = address, .timeout_ms = 20000
	};
	_cleanup_(join_result_deinit) struct join_result result = { 0 };
	int rc = join_ask(token, &order, &result, err);

	assert_true((rc == 0) == (result.key != NULL));
	if (rc == 0)
		assert_string_equal(result.grant.coordinator, "tcp://127.0.0.1:7780");
	return rc;
}

static bool all_told(void *context)
{
	const struct world *w = context;

	return w->good + w->refused >= 2;
}

/* F77: a token lets one host in; the second time it is refused by name, and both are told. */
static void f77_used_once(void **state)
{
	struct world *w = *state;
	struct token token;
	struct error err;

	start(w, MESH_ROLE_COORDINATOR);
	token = new_token(w);
	assert_int_equal(ask(&token, "host2", "10.0.0.2", &err), 0);
	assert_int_equal(ask(&token, "host3", "10.0.0.3", &err), -ERROR_PERMISSION);
	assert_non_null(strstr(err.text, "used already, by host2"));
	assert_true(loop_run_until(w->loop, 20000, all_told, w));
	assert_int_equal(w->good, 1);
	assert_int_equal(w->refused, 1);
	assert_non_null(strstr(w->last, "127.0.0.1, as host3: the token was used already"));
}

/* F77: ten guesses a minute are looked at; then nobody is let in, not even with a good token, which
 * stays good. */
static void f77_guessed(void **state)
{
	struct world *w = *state;
	_cleanup_(books_deinit) struct books books = { 0 };
	struct token token, guess;
	struct error err;

	start(w, MESH_ROLE_COORDINATOR);
	token = new_token(w);
	for (unsigned i = 0; i < JOIN_WRONG_MAX + 5; i++) {
		guess = token;
		guess.secret[i] ^= 1;
		assert_int_equal(ask(&guess, "host2", "10.0.0.2", &err),
		                 i < JOIN_WRONG_MAX ? -ERROR_PERMISSION : -ERROR_BUSY);
	}
	assert_int_equal(ask(&token, "host2", "10.0.0.2", &err), -ERROR_BUSY);
	assert_non_null(strstr(err.text, "wrong tokens"));
	assert_int_equal(authority_list(w->authority, &books, &err), 0);
	assert_int_equal(books.tokens[0].uses_left, 1);
}

/* Nothing is said to one who is not the coordinator of the token: another CA, or another role. */
static void test_impostors(void **state)
{
	struct world *w = *state;
	struct token token;
	struct error err;

	start(w, MESH_ROLE_AGENT);
	token = new_token(w);
	assert_int_equal(ask(&token, "host2", "10.0.0.2", &err), -ERROR_IDENTITY);
	token.ca_sha256[7] ^= 1;
	assert_int_equal(ask(&token, "host2", "10.0.0.2", &err), -ERROR_IDENTITY);
	loop_run_until(w->loop, 50, NULL, NULL);
	assert_int_equal(w->good + w->refused, 0);
}

static int dial(const struct world *w)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_port = htons(join_server_get_port(w->server)),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* Those who say nothing, nonsense or too much are dropped, and others are served all the while. */
static void test_nonsense(void **state)
{
	struct world *w = *state;
	_cleanup_close_ int silent = -1, loud = -1;
	_cleanup_free_ uint8_t *reply = NULL;
	struct channel *channel;
	struct token token;
	struct error err;
	uint64_t until_ms = clock_now_ms() + 20000;
	char byte;
	size_t count;
	int rc;

	start(w, MESH_ROLE_COORDINATOR);
	token = new_token(w);
	loud = dial(w);
	assert_int_equal(write(loud, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	while (read(loud, &byte, 1) > 0)
		;
	assert_int_equal(channel_connect(token.address, token.ca_sha256, clock_now_ms() + 20000,
	                                 &channel, &err),
	                 0);
	assert_int_equal(channel_send(channel, "\x0a\xff\xff\xff\xff\x0f", 6, &err), 0);
	assert_int_equal(channel_receive(channel, &reply, &count, &err), -ERROR_PROTOCOL);
	channel_free(channel);
	silent = dial(w);
	/* It holds one of the two places of this address; the other serves, once the server has seen that
	 * those before have gone. */
	do
		rc = ask(&token, "host2", "10.0.0.2", &err);
	while (rc == -ERROR_PROTOCOL && clock_now_ms() < until_ms);
	assert_int_equal(rc, 0);
	while (read(silent, &byte, 1) > 0)
		;
}

/* A request that is not one, or of a weak or foreign key, is refused before it costs the token. */
static void test_requests(void **state)
{
	struct bytes request = { (uint8_t *)"\x30\x03\x02\x01\x01", 5 }, good;
	_cleanup_free_ char *key = certificate_new_key();
	struct error err;

	(void)state;
	assert_int_equal(certificate_check_request(&request, &err), -ERROR_INVALID);
	assert_int_equal(certificate_new_request(key, &good, &err), 0);
	assert_int_equal(certificate_check_request(&good, &err), 0);
	/* The signature covers each byte of it. */
	good.data[good.count / 2] ^= 1;
	assert_int_equal(certificate_check_request(&good, &err), -ERROR_INVALID);
	free(good.data);
}

/* The authority appears whole, for root alone, and never in the place of another. */
static void test_authority(void **state)
{
	struct world *w = *state;
	const struct authority_place place = { "other", "tcp://10.0.0.1:7780", "10.0.0.1:7781" };
	_cleanup_free_ char *key = xasprintf("%s/ca-key.pem", w->authority);
	struct error err;
	struct stat st;

	assert_int_equal(authority_create(w->authority, &place, &err), -ERROR_EXISTS);
	assert_int_equal(stat(w->authority, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(authority_revoke_token(w->authority, "00000000", &err), -ERROR_NOT_FOUND);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(f77_used_once), WORLD(f77_guessed),    WORLD(test_impostors),
		WORLD(test_nonsense), WORLD(test_authority), cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
