/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for encrypted migration that QEMU would stumble over are seen before the move: made here with
 * pki/, one thing wrong at a time. */
#include "agent/link/migration_tls.h"

#include "agent/wire.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "pki/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ADDRESS "10.78.0.2"

struct authority {
	char *certificate, *key;
};

static struct authority ours, theirs;
static char folder[] = "/tmp/drover-migration-tls-XXXXXX";
static struct error err;

static void put(const char *name, const char *text)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
	if (text && files_write(path, text, FILES_SECRET, &err) < 0)
		fail_msg("%s", err.text);
}

static void issue(const struct authority *by, const char *side, const char *address)
{
	struct certificate_order order = { .name = "host2",
		                           .addresses = { address },
		                           .server = true,
		                           .life_s = CERTIFICATE_LIFE_S };
	_cleanup_free_ char *key = certificate_new_key(), *certificate = NULL;
	char serial[CERTIFICATE_SERIAL_BYTES], name[40];
	struct bytes request = { 0 };

	assert_int_equal(certificate_new_request(key, &request, &err), 0);
	assert_int_equal(certificate_sign(by->certificate, by->key, &request, &order, &certificate,
	                                  serial, &err),
	                 0);
	free(request.data);
	snprintf(name, sizeof(name), "%s-cert.pem", side);
	put(name, certificate);
	snprintf(name, sizeof(name), "%s-key.pem", side);
	put(name, key);
}

static struct migration_tls look(const char *address)
{
	struct migration_tls t;

	migration_tls_look(folder, address, &t);
	return t;
}

static int start(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	certificate_new_authority("ours", &ours.certificate, &ours.key);
	certificate_new_authority("theirs", &theirs.certificate, &theirs.key);
	return 0;
}

static int end(void **state)
{
	static const char *const names[] = { "ca-cert.pem", "server-cert.pem", "server-key.pem",
		                             "client-cert.pem", "client-key.pem" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		put(names[i], NULL);
	rmdir(folder);
	free(ours.certificate);
	free(ours.key);
	free(theirs.certificate);
	free(theirs.key);
	return 0;
}

static int good(void **state)
{
	(void)state;
	put("ca-cert.pem", ours.certificate);
	issue(&ours, "server", ADDRESS);
	issue(&ours, "client", "10.78.0.1");
	return 0;
}

/* What join writes is good, and each side accepts the other. */
static void test_good(void **state)
{
	struct migration_tls server = look(ADDRESS), client = look(NULL);
	char why[MIGRATION_TLS_WHY_BYTES];

	(void)state;
	assert_true(server.looked && server.has_signer && client.looked && client.has_signer);
	assert_string_equal(server.problem, "");
	assert_string_equal(client.problem, "");
	assert_false(migration_tls_find_conflict(&server, &client, why));
}

/* A certificate of another host, of another authority, or without its key is named, with what is wrong. */
static void test_own_problems(void **state)
{
	struct migration_tls client = look(NULL), server;
	char why[MIGRATION_TLS_WHY_BYTES];

	(void)state;
	server = look("10.78.0.3");
	assert_non_null(strstr(server.problem, "server-cert.pem does not name 10.78.0.3"));
	assert_true(migration_tls_find_conflict(&server, &client, why));
	assert_string_equal(why, server.problem);
	/* The same from the other side says where. */
	assert_true(migration_tls_find_conflict(&client, &server, why));
	assert_non_null(strstr(why, "at the source: server-cert.pem"));

	issue(&theirs, "server", ADDRESS);
	assert_non_null(strstr(look(ADDRESS).problem, "signed by none of the authorities"));
	put("server-key.pem", ours.key);
	assert_non_null(strstr(look(ADDRESS).problem, "do not belong together"));
	issue(&theirs, "client", "10.78.0.1");
	assert_non_null(strstr(look(NULL).problem, "client-cert.pem is signed by none"));
}

/* Each is good by itself, and of another authority than the other trusts. */
static void test_strangers(void **state)
{
	struct migration_tls client = look(NULL), server;
	char why[MIGRATION_TLS_WHY_BYTES];
	_cleanup_free_ char *both = xasprintf("%s%s", theirs.certificate, ours.certificate);

	(void)state;
	put("ca-cert.pem", theirs.certificate);
	issue(&theirs, "server", ADDRESS);
	server = look(ADDRESS);
	assert_string_equal(server.problem, "");
	assert_true(migration_tls_find_conflict(&server, &client, why));
	assert_non_null(strstr(why, "the source does not know the authority"));
	/* While authorities are being replaced everybody trusts both. */
	put("ca-cert.pem", both);
	server = look(ADDRESS);
	client.trusted = server.trusted;
	assert_false(migration_tls_find_conflict(&server, &client, why));
	/* The source would take us, and we not it. */
	put("ca-cert.pem", theirs.certificate);
	server = look(ADDRESS);
	assert_true(migration_tls_find_conflict(&server, &client, why));
	assert_non_null(strstr(why, "lacks the authority that signed the source's client-cert"));
}

/* What is not there, or cannot be judged, is left to the check for files and to QEMU: no false alarm. */
static void test_unknown(void **state)
{
	struct migration_tls server = look(ADDRESS), client;
	char why[MIGRATION_TLS_WHY_BYTES];

	(void)state;
	put("client-cert.pem", NULL);
	client = look(NULL);
	assert_true(client.looked && !client.has_signer);
	assert_string_equal(client.problem, "");
	assert_false(migration_tls_find_conflict(&server, &client, why));
	put("ca-cert.pem", "no certificate");
	client = look(NULL);
	assert_false(client.looked);
	assert_false(migration_tls_find_conflict(&server, &client, why));
	put("ca-cert.pem", NULL);
	assert_false(look(ADDRESS).looked);
}

/* It survives the wire; a fingerprint of another length, or too many, do not get through. */
static void test_wire(void **state)
{
	struct migration_tls client = look(NULL), got;
	Drover__V1__MigrationTls *m = wire_migration_tls_new(&client);

	(void)state;
	assert_int_equal(wire_migration_tls_read(m, &got, &err), 0);
	assert_memory_equal(&got, &client, sizeof(got));
	m->signer.len--;
	assert_int_equal(wire_migration_tls_read(m, &got, &err), -ERROR_INVALID);
	m->signer.len++;
	m->trusted[0].len = 1;
	assert_int_equal(wire_migration_tls_read(m, &got, &err), -ERROR_INVALID);
	wire_free(m);
	m = wire_migration_tls_new(&client);
	m->n_trusted = CERTIFICATE_TRUSTED_MAX + 1;
	assert_int_equal(wire_migration_tls_read(m, &got, &err), -ERROR_TOO_LARGE);
	m->n_trusted = 1;
	wire_free(m);
	assert_int_equal(wire_migration_tls_read(NULL, &got, &err), 0);
	assert_false(got.looked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_good, good),
		cmocka_unit_test_setup(test_own_problems, good),
		cmocka_unit_test_setup(test_strangers, good),
		cmocka_unit_test_setup(test_unknown, good),
		cmocka_unit_test_setup(test_wire, good),
	};

	return cmocka_run_group_tests(tests, start, end);
}
