/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a tunnel lets in: its twin of the same attempt, and nobody else. See tests/unit/tunnel_world.h. */
#include "tests/unit/tunnel_world.h"

#include "common/alloc.h"
#include "tests/shell.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool has_error(const struct tunnel_status *s, uint64_t unused)
{
	(void)unused;
	return s->error_text[0];
}

/* Each of these is refused, nobody gets through to libvirtd, and both ends know why. */
static void test_strangers_are_refused(void **state)
{
	static const struct {
		const char *what;
		const char *source_certificate, *source_ca, *source_expect, *target_expect;
		uint8_t operation;
		uint32_t number;
		const char *source_says, *target_says;
	} rows[] = {
		{ "another CA", "rogue", "ca.pem", "agent/host2", "agent/host1", 0xaa, 3,
		  "unknown ca", "unable to get local issuer certificate" },
		{ "an expired certificate", "expired", "ca.pem", "agent/host2", "agent/host1", 0xaa,
		  3, "certificate expired", "certificate has expired" },
		{ "a target of another CA", "host1", "rogue-ca.pem", "agent/host2", "agent/host1",
		  0xaa, 3, "unable to get local issuer certificate", "unknown ca" },
		{ "another node", "host2", "ca.pem", "agent/host2", "agent/host1", 0xaa, 3,
		  "it expects drover://lab/agent/host1 and not drover://lab/agent/host2",
		  "is drover://lab/agent/host2 and not drover://lab/agent/host1" },
		{ "another cluster", "other-cluster", "ca.pem", "agent/host2", "agent/host1", 0xaa,
		  3, "and not drover://prod/agent/host1", "is drover://prod/agent/host1" },
		{ "another role", "coordinator", "ca.pem", "agent/host2", "agent/host1", 0xaa, 3,
		  "and not drover://lab/coordinator/host1", "is drover://lab/coordinator/host1" },
		{ "a prefix of the name", "host1", "ca.pem", "agent/host2", "agent/host", 0xaa, 3,
		  "it expects drover://lab/agent/host and", "is drover://lab/agent/host1 and not" },
		{ "another target than expected", "host1", "ca.pem", "agent/host3", "agent/host1",
		  0xaa, 3, "is drover://lab/agent/host2 and not drover://lab/agent/host3",
		  "refused: it expects drover://lab/agent/host3" },
		{ "another operation", "host1", "ca.pem", "agent/host2", "agent/host1", 0xab, 3,
		  "this is the tunnel of attempt", "this is the tunnel of attempt" },
		{ "another attempt", "host1", "ca.pem", "agent/host2", "agent/host1", 0xaa, 4,
		  "this is the tunnel of attempt", "this is the tunnel of attempt" },
	};

	(void)state;
	tunnel_world_start_libvirtd();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tunnel_options t = tunnel_world_options(TUNNEL_TARGET),
				      s = tunnel_world_options(TUNNEL_SOURCE);
		struct pollfd called = { .fd = tunnel_world.libvirtd, .events = POLLIN };
		struct error err;

		t.expect = rows[i].target_expect;
		s.connect = tunnel_world_start_target(&t);
		s.ca_path = tunnel_world_path(rows[i].source_ca);
		tunnel_world_use_certificate(&s, rows[i].source_certificate);
		s.expect = rows[i].source_expect;
		s.attempt.operation.bytes[0] = rows[i].operation;
		s.attempt.number = rows[i].number;
		if (tunnel_spawn(&s, &tunnel_world.source, &tunnel_world.status, &err) == 0)
			fail_msg("%s was let in", rows[i].what);
		if (!strstr(err.text, rows[i].source_says))
			fail_msg("%s: the source says \"%s\"", rows[i].what, err.text);
		tunnel_world_wait(&tunnel_world.target, -1, has_error, 0);
		if (!strstr(tunnel_world.status.error_text, rows[i].target_says))
			fail_msg("%s: the target says \"%s\"", rows[i].what,
			         tunnel_world.status.error_text);
		/* The target waits on for its twin; libvirtd was not bothered. */
		assert_int_equal(tunnel_world.status.state, TUNNEL_LISTENING);
		assert_int_equal(poll(&called, 1, 0), 0);
		assert_int_equal(access(tunnel_world_path("source.status"), F_OK), -1);
		assert_int_equal(access(tunnel_world_path("libvirt.sock"), F_OK), -1);
		assert_int_equal(tunnel_stop(&tunnel_world.target, 2000, &err), 0);
	}
}

/* F75: a twin whose certificate was revoked does not come in, whichever end looks; a list that revokes
 * somebody else hurts nobody. */
static void f75_revoked(void **state)
{
	struct error err;

	(void)state;
	tunnel_world_make_leaf("ca", "stolen", "drover://lab/agent/host1", 2);
	shell_run(
		"cd %s && : >index && echo 01 >number && printf "
		"'[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index"
		"\\ncrlnumber=number\\ndefault_md=sha256\\ndefault_crl_days=2\\n' >ca.cnf && "
		"openssl ca -config ca.cnf -keyfile ca-key.pem -cert ca.pem -revoke stolen.pem "
		">>openssl.log 2>&1 && openssl ca -config ca.cnf -keyfile ca-key.pem -cert ca.pem "
		"-gencrl -out crl.pem >>openssl.log 2>&1",
		tunnel_world.folder);
	tunnel_world_start_libvirtd();
	for (size_t stolen = 0; stolen < 2; stolen++) {
		struct tunnel_options t = tunnel_world_options(TUNNEL_TARGET),
				      s = tunnel_world_options(TUNNEL_SOURCE);

		t.crl_path = s.crl_path = tunnel_world_path("crl.pem");
		s.connect = tunnel_world_start_target(&t);
		if (stolen)
			tunnel_world_use_certificate(&s, "stolen");
		if ((tunnel_spawn(&s, &tunnel_world.source, &tunnel_world.status, &err) < 0) !=
		    (stolen == 1))
			fail_msg("%s: \"%s\"", stolen ? "let in" : "kept out", err.text);
		if (stolen) {
			tunnel_world_wait(&tunnel_world.target, -1, has_error, 0);
			assert_non_null(
				strstr(tunnel_world.status.error_text, "certificate revoked"));
		} else {
			assert_int_equal(tunnel_stop(&tunnel_world.source, 2000, &err), 0);
		}
		assert_int_equal(tunnel_stop(&tunnel_world.target, 2000, &err), 0);
	}
}

/* Connections that say nothing, or nonsense, do not keep the twin out; nor do many of them. */
static void test_noise_does_not_keep_the_twin_out(void **state)
{
	struct tunnel_options t = tunnel_world_options(TUNNEL_TARGET),
			      s = tunnel_world_options(TUNNEL_SOURCE);
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct error err;
	int noise[40];

	(void)state;
	tunnel_world_start_libvirtd();
	s.connect = tunnel_world_start_target(&t);
	at.sin_port = htons((uint16_t)tunnel_world.status.port);
	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	for (size_t i = 0; i < ARRAY_SIZE(noise); i++) {
		noise[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(noise[i], (struct sockaddr *)&at, sizeof(at)), 0);
		if (i % 2)
			(void)!send(noise[i], "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
	}
	if (tunnel_spawn(&s, &tunnel_world.source, &tunnel_world.status, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
		close(noise[i]);
	tunnel_world_wait(&tunnel_world.target, TUNNEL_LINKED, NULL, 0);
	assert_string_equal(tunnel_world.status.error_text, "");
}

#define T(test) cmocka_unit_test_teardown(test, tunnel_world_stop)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_strangers_are_refused),
		T(f75_revoked),
		T(test_noise_does_not_keep_the_twin_out),
	};

	tunnel_world_main(argc, argv);
	return cmocka_run_group_tests(tests, tunnel_world_make, tunnel_world_remove);
}
