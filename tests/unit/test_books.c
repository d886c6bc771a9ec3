/* SPDX-License-Identifier: Apache-2.0 */
/* Who may join: the judgement over the authority's books, and the books on disk. */
#include "pki/books.h"

#include "common/cleanup.h"
#include "pki/certificate.h"
#include "pki/files.h"
#include "pki/join_limit.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* One character too many for a name. */
#define A_WORD_OF_64 "0123456789012345678901234567890123456789012345678901234567890123"

static const uint8_t secret[TOKEN_SECRET_BYTES] = "twenty-four secret bytes";
static const uint8_t wrong[TOKEN_SECRET_BYTES] = "twenty-four other bytes.";
static const uint8_t id[TOKEN_ID_BYTES] = { 1, 2, 3, 4 };

/* One token that ends at 1000, good for two hosts; host1 has joined. */
static struct books example(const char *node)
{
	struct books books = { 0 };
	struct books_token t = { .created_ms = 1, .expires_ms = 1000, .uses_left = 2 };
	struct books_issued i = { .role = MESH_ROLE_AGENT,
		                  .name = "host1",
		                  .address = "2001:db8::1",
		                  .migration_address = "10.9.0.1",
		                  .issued_ms = 5,
		                  .expires_ms = 9000 };

	memcpy(t.id, id, sizeof(id));
	certificate_sha256(secret, sizeof(secret), t.secret_sha256);
	snprintf(t.node, sizeof(t.node), "%s", node);
	books_add_token(&books, &t);
	books_put_issued(&books, &i);
	return books;
}

static struct books_claim claim(const char *name)
{
	return (struct books_claim){ id, secret, name, "10.0.0.2", "10.9.0.2" };
}

static int judge(const char *node, const struct books_claim *c, uint64_t now_ms, struct error *err)
{
	_cleanup_(books_deinit) struct books books = example(node);
	struct books_token *token = NULL;
	int rc = books_judge(&books, c, now_ms, &token, err);

	assert_true((rc == 0) == (token != NULL));
	return rc;
}

/* F77: a good token lets a new name in until its end, and not after; a wrong secret never. */
static void f77_tokens_are_judged(void **state)
{
	struct books_claim c = claim("host2");
	_cleanup_(books_deinit) struct books books = example("");
	struct books_token *token;
	struct error err;

	(void)state;
	assert_int_equal(judge("", &c, 999, &err), 0);
	assert_int_equal(judge("", &c, 1000, &err), -ERROR_PERMISSION);
	assert_non_null(strstr(err.text, "expired"));
	c.token_secret = wrong;
	assert_int_equal(judge("", &c, 999, &err), -ERROR_PERMISSION);
	assert_non_null(strstr(err.text, "not known"));
	c = claim("host2");
	books.tokens[0].uses_left = 0;
	assert_int_equal(books_judge(&books, &c, 10, &token, &err), -ERROR_PERMISSION);
	assert_non_null(strstr(err.text, "used already"));
}

/* A name or an address that is taken is not given again, however it is written; a token that is bound
 * to a name may renew that name, and no other. */
static void test_names(void **state)
{
	struct books_claim c = claim("host1");
	struct error err;

	(void)state;
	assert_int_equal(judge("", &c, 10, &err), -ERROR_REFUSED);
	assert_int_equal(judge("host1", &c, 10, &err), 0);
	assert_int_equal(judge("host2", &c, 10, &err), -ERROR_REFUSED);
	c = claim("host2");
	c.address = "2001:0db8:0::0:1";
	assert_int_equal(judge("", &c, 10, &err), -ERROR_REFUSED);
	assert_int_equal(judge("host2", &c, 10, &err), -ERROR_REFUSED);
	c = claim("host2");
	c.migration_address = "10.9.0.1";
	assert_int_equal(judge("", &c, 10, &err), -ERROR_REFUSED);
}

/* What would be another line, another path or no host at all is no name; only IP addresses are. */
static void test_claims(void **state)
{
	static const char *const names[] = { "",     "-",   "a b", "a\nb",
		                             "../x", "a/b", "\"",  A_WORD_OF_64 };
	static const char *const addresses[] = { "",          "host2",      "10.0.0",
		                                 "10.0.0.1 ", "10.0.0.1:1", "fe80::1%eth0" };
	struct books_claim c = claim("host2");
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		c.name = names[i];
		assert_int_equal(judge("", &c, 10, &err), -ERROR_INVALID);
	}
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		c = claim("host2");
		c.address = addresses[i];
		assert_int_equal(judge("", &c, 10, &err), -ERROR_INVALID);
		c = claim("host2");
		c.migration_address = addresses[i];
		assert_int_equal(judge("", &c, 10, &err), -ERROR_INVALID);
	}
}

/* The books are read as they were written, for root alone; a line that makes no sense stops all. */
static void test_files(void **state)
{
	char directory[] = "/tmp/test_books.XXXXXX";
	_cleanup_(books_deinit) struct books books = example("host7"), read = { 0 }, none = { 0 };
	_cleanup_free_ char *path = NULL;
	struct error err;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(asprintf(&path, "%s/tokens", directory) > 0, 1);
	assert_int_equal(books_load(directory, &none, &err), 0);
	assert_int_equal(none.n_tokens + none.n_issued, 0);
	assert_int_equal(books_save_tokens(directory, &books, &err), 0);
	assert_int_equal(books_save_issued(directory, &books, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(books_load(directory, &read, &err), 0);
	assert_int_equal(read.n_tokens, 1);
	assert_memory_equal(read.tokens, books.tokens, sizeof(*read.tokens));
	assert_int_equal(read.n_issued, 1);
	assert_string_equal(read.issued[0].address, "2001:db8::1");
	assert_int_equal(files_write(path, "01020304 beef 1 2 3 - -\n",
	                             (struct file_mode){ 0600, (gid_t)-1, true }, &err),
	                 0);
	assert_int_equal(books_load(directory, &none, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "line 1"));
	/* What is there is only replaced where that is asked for. */
	assert_int_equal(files_write(path, "x", FILES_SECRET, &err), -ERROR_EXISTS);
	scratch_remove(directory);
}

/* F77: so many wrong tokens a minute are looked at and no more, and after it again so many. */
static void f77_wrong_tokens_are_limited(void **state)
{
	struct join_limit limit = { 0 };
	uint64_t wait_ms;
	unsigned looked = 0;

	(void)state;
	for (uint64_t now_ms = 1000; now_ms < 1000 + 120000; now_ms += 10) {
		if (!join_limit_allows(&limit, 10, 60000, now_ms, &wait_ms))
			continue;
		looked++;
		join_limit_count(&limit, now_ms);
	}
	assert_int_equal(looked, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f77_tokens_are_judged),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_files),
		cmocka_unit_test(f77_wrong_tokens_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
