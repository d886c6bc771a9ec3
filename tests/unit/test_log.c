/* SPDX-License-Identifier: Apache-2.0 */
/* One event is one line, whatever a guest is called and however many threads write. */
#include "common/log.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Our stderr is a file while a test writes to the log. */
struct capture {
	int saved_fd;
	FILE *file;
};

static void capture_start(struct capture *c)
{
	fflush(stderr);
	c->file = tmpfile();
	assert_non_null(c->file);
	c->saved_fd = dup(STDERR_FILENO);
	assert_true(dup2(fileno(c->file), STDERR_FILENO) >= 0);
}

/* What was written; for the caller to free. */
static char *capture_stop(struct capture *c)
{
	long bytes;
	char *text;

	dup2(c->saved_fd, STDERR_FILENO);
	close(c->saved_fd);
	assert_int_equal(fseek(c->file, 0, SEEK_END), 0);
	bytes = ftell(c->file);
	rewind(c->file);
	text = xcalloc(1, (size_t)bytes + 1);
	assert_int_equal(fread(text, 1, (size_t)bytes, c->file), bytes);
	fclose(c->file);
	return text;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&regex, text, 0, NULL, 0) != 0)
		print_error("\"%s\" does not match %s\n", text, pattern);
	assert_int_equal(regexec(&regex, text, 0, NULL, 0), 0);
	regfree(&regex);
}

/* A line says when, who, how bad and what. */
static void test_line(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct capture c;

	(void)state;
	capture_start(&c);
	log_open("agent host1", LOG_LEVEL_INFO);
	log_info("migration %s: running", "web1");
	log_error("no store");
	text = capture_stop(&c);
	assert_matches(text, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z agent host1: "
	                     "migration web1: running\n"
	                     "[0-9T:-]+Z agent host1: error: no store\n$");
}

/* What is above the level is not written. */
static void test_level(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct capture c;

	(void)state;
	capture_start(&c);
	log_open("t", LOG_LEVEL_WARNING);
	log_debug("debug");
	log_info("info");
	log_warning("kept");
	text = capture_stop(&c);
	assert_matches(text, "^[^\n]* t: warning: kept\n$");
}

/* A name with control characters can neither forge a line nor reach the terminal. */
static void test_control_characters(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct capture c;

	(void)state;
	capture_start(&c);
	log_open("t", LOG_LEVEL_INFO);
	log_info("vm %s", "a\nb\x1b[2J\xff");
	text = capture_stop(&c);
	assert_matches(text, "^[^\n]* vm a\\?b\\?\\[2J\\?\n$");
}

/* A text that is too long is cut and still ends its line. */
static void test_long_text(void **state)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *longest = xmalloc(10001);
	struct capture c;

	(void)state;
	memset(longest, 'x', 10000);
	longest[10000] = '\0';
	capture_start(&c);
	log_open("t", LOG_LEVEL_INFO);
	log_info("%s", longest);
	log_info("next");
	text = capture_stop(&c);
	assert_matches(text, "^[^\n]*x\n[^\n]*next\n$");
}

/* In the journal a priority stands where the time stood; a stderr that only inherited the journal's
 * name in the environment is not the journal. */
static void test_journal(void **state)
{
	_cleanup_free_ char *journal = NULL, *inherited = NULL;
	char stream[64];
	struct capture c;
	struct stat info;

	(void)state;
	capture_start(&c);
	fstat(STDERR_FILENO, &info);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("t", LOG_LEVEL_INFO);
	log_warning("hot");
	journal = capture_stop(&c);

	capture_start(&c);
	setenv("JOURNAL_STREAM", "0:1", 1);
	log_open("t", LOG_LEVEL_INFO);
	log_warning("hot");
	inherited = capture_stop(&c);
	unsetenv("JOURNAL_STREAM");

	assert_string_equal(journal, "<4>t: hot\n");
	assert_matches(inherited, "Z t: warning: hot\n$");
}

static void *write_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < 200; i++)
		log_info("0123456789012345678901234567890123456789");
	return NULL;
}

/* Lines of several threads do not mix. */
static void test_threads(void **state)
{
	_cleanup_free_ char *text = NULL;
	pthread_t threads[4];
	struct capture c;
	size_t lines = 0;
	char *rest, *line;

	(void)state;
	capture_start(&c);
	log_open("t", LOG_LEVEL_INFO);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	text = capture_stop(&c);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		assert_matches(line, "^[0-9T:-]+Z t: (0123456789){4}$");
		lines++;
	}
	assert_int_equal(lines, 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
