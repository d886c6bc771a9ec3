/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as it is typed: what is understood, what is refused and how. */
#include "tools/drover/command.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/strategy.h"
#include "tools/drover/help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 16

/* Parses "drain host1 -y", split at spaces; '_' stands for an empty argument. */
struct typed {
	char *line;
	char *argv[ARGUMENTS_MAX + 1];
	int argc;
};

static void split(struct typed *t, const char *text)
{
	*t = (struct typed){ .line = xasprintf("drover %s", text) };
	for (char *word = strtok(t->line, " "); word; word = strtok(NULL, " ")) {
		assert_true(t->argc < ARGUMENTS_MAX);
		t->argv[t->argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
	}
}

/* What stands first, last, or between is understood all the same. */
static void test_understood(void **state)
{
	static const char *const orders[] = {
		"drain host1 --leave build7 --parallel 2 -o json --timeout 90s",
		"-o json --timeout=1m30s drain --leave=build7 --parallel 2 host1",
		"drain -ojson --parallel=2 --leave build7 --timeout 90s -- host1",
		"evacuate host1 --leave build7 --parallel 2 -o json --timeout 90s",
		"maintenance enter host1 --leave build7 --parallel 2 -o json --timeout 90s",
		"maintenance -o json enter --timeout 90s host1 --leave build7 --parallel 2",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct invocation v;
		struct error err = { 0 };
		struct typed t;

		split(&t, orders[i]);
		assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
		assert_string_equal(v.command->name, "drain");
		assert_int_equal(v.words.count, 1);
		assert_string_equal(v.words.items[0], "host1");
		assert_int_equal(v.options.leave.count, 1);
		assert_string_equal(v.options.leave.items[0], "build7");
		assert_int_equal(v.options.parallel, 2);
		assert_int_equal(v.options.format, OUTPUT_JSON);
		assert_int_equal(v.options.timeout_ms, 90000);
		free(t.line);
	}
}

/* Without a command it is the status, and --version and -h need none. */
static void test_no_command(void **state)
{
	static const char *const rows[][2] = {
		{ "", "status" },
		{ "-o json", "status" },
		{ "--version", "version" },
		{ "-h", "help" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct invocation v;
		struct error err = { 0 };
		struct typed t;

		split(&t, rows[i][0]);
		assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
		assert_string_equal(v.command->name, rows[i][1]);
		free(t.line);
	}
}

/* The same word means a filter for vms and a policy for drain. */
static void test_unmovable(void **state)
{
	struct invocation v;
	struct error err = { 0 };
	struct typed t;

	(void)state;
	split(&t, "vms --unmovable");
	assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
	assert_true(v.options.only_unmovable);
	free(t.line);
	split(&t, "drain host1 --unmovable leave");
	assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
	assert_int_equal(v.options.unmovable, UNMOVABLE_LEAVE);
	free(t.line);
}

/* What the cluster permits can be taken back for one drain; no ladder is another word than nothing said. */
static void test_taken_back(void **state)
{
	struct invocation v;
	struct error err = { 0 };
	struct typed t;

	(void)state;
	split(&t, "drain host1 --ladder plain --no-post-copy --progress-timeout 30s");
	assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
	assert_int_equal(v.options.ladder, LADDERS);
	assert_true(v.options.forbid_post_copy);
	assert_false(v.options.forbid_pause);
	assert_int_equal(v.options.progress_timeout_ms, 30000);
	assert_int_equal(v.options.completion_timeout_ms_per_gib, 0);
	free(t.line);
	split(&t, "migrate web1 --ladder post-copy --completion-timeout 2m");
	assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
	assert_int_equal(v.options.ladder, LADDER_POST_COPY);
	assert_int_equal(v.options.completion_timeout_ms_per_gib, 120000);
	free(t.line);
	/* The same name: an amount for a drain, a text with its unit for tune. */
	split(&t, "tune web1 --bandwidth none --max-downtime 2s");
	assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
	assert_string_equal(v.options.tune_bandwidth, "none");
	assert_string_equal(v.options.tune_downtime, "2s");
	assert_int_equal(v.options.max_downtime_ms, 0);
	free(t.line);
}

/* Every wrong usage is refused with a sentence that says what is wrong and what was meant. */
static void test_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "drian host1", "there is no command \"drian\"; did you mean \"drain\"?" },
		{ "frobnicate", "there is no command \"frobnicate\"" },
		{ "_", "there is no command \"\"" },
		{ "undrain", "drover undrain needs NODE" },
		{ "undrain _", "NODE must not be empty" },
		{ "undrain host1 host2",
		  "drover undrain takes NODE and no more; \"host2\" is too much" },
		{ "status host1", "drover status takes no arguments, but got \"host1\"" },
		{ "drain host1 --dryrun",
		  "there is no option \"--dryrun\"; did you mean \"--dry-run\"?" },
		{ "drain host1 --leve=x",
		  "there is no option \"--leve\"; did you mean \"--leave\"?" },
		{ "drain host1 -x", "there is no option \"-x\"" },
		{ "drain host1 --leave", "--leave needs a value: VM" },
		{ "drain host1 -m", "--reason needs a value: TEXT" },
		{ "drain host1 --leave _", "--leave must not be empty" },
		{ "drain host1 --dry-run=yes", "--dry-run takes no value" },
		{ "drain host1 --parallel 0",
		  "--parallel: \"0\" is not a whole number from 1 to 999999999" },
		{ "drain host1 --parallel two",
		  "--parallel: \"two\" is not a whole number from 1 to 999999999" },
		{ "drain host1 --parallel -3",
		  "--parallel: \"-3\" is not a whole number from 1 to 999999999" },
		{ "drain host1 --bandwidth 500", "--bandwidth: \"500\" is not a rate; write for "
		                                 "example 1Gbit/s or 64MiB/s" },
		{ "drain host1 --bandwidth 0",
		  "--bandwidth: 0 is no rate; leave the option out for the "
		  "cluster's limit" },
		{ "drain host1 --timeout soon",
		  "--timeout: \"soon\" is not a duration; write for example 150s, 1m30s or 250ms" },
		{ "drain host1 --timeout 0", "--timeout: it must be longer than nothing" },
		{ "token create --ttl 15", "--ttl: \"15\" has no unit; write 15s for seconds, 15m "
		                           "for minutes, 15h for hours" },
		{ "roll host1 --hook-timeout 1.5",
		  "--hook-timeout: \"1.5\" has no unit; write 1.5s for seconds, 1.5m for minutes, "
		  "1.5h for hours" },
		{ "drain host1 --unmovable leav",
		  "--unmovable does not know \"leav\"; did you mean \"leave\"? (it takes refuse, "
		  "leave)" },
		{ "drain host1 -o wide",
		  "drover drain cannot print as wide, only as table, json, jsonl" },
		{ "nodes -o yaml",
		  "--output does not know \"yaml\"; it takes table, wide, json, jsonl, "
		  "name" },
		{ "cordon host1 --dry-run", "drover cordon does not take --dry-run" },
		{ "help --bytes", "drover help does not take --bytes" },
		{ "nodes -q", "drover nodes does not take --quiet" },
		{ "drain host1 --dry-run --detach",
		  "--dry-run and --detach exclude each other: nothing is started" },
		{ "drain host1 -y --unmovable refuse",
		  "--yes and --unmovable refuse contradict each other" },
		{ "events -f -o json",
		  "--follow has no end, so it cannot be one JSON document; use -o jsonl" },
		{ "maintenance",
		  "\"maintenance\" is a half command: maintenance enter, maintenance exit" },
		{ "maintenance leave host1", "there is no command \"maintenance leave\"" },
		{ "nodes -H http://x",
		  "\"http://x\" is not an address of a coordinator; write ipc:///PATH or "
		  "tcp://HOST:PORT" },
		{ "nodes -H tcp://x:1", "tcp://x:1 needs your operator certificate: --ca, --cert "
		                        "and --key, or DROVER_CA, "
		                        "DROVER_CERT and DROVER_KEY" },
		{ "undrain host\xff", "NODE is not valid UTF-8: \"host\\xff\"" },
		{ "drain\033[2J", "there is no command \"drain\\x1b[2J\"" },
		{ "--no-such", "there is no option \"--no-such\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct invocation v;
		struct error err = { 0 };
		struct typed t;

		split(&t, rows[i][0]);
		assert_int_equal(command_parse(t.argc, t.argv, &v, &err), -ERROR_INVALID);
		assert_string_equal(err.text, rows[i][1]);
		free(t.line);
	}
}

/* What was typed can be proposed again, as words of a shell, but for what it would be silly to repeat. */
static void test_repeated(void **state)
{
	char *argv[] = { (char *)"drover",     (char *)"-ojson",   (char *)"drain",
		         (char *)"host1",      (char *)"--leave",  (char *)"my guest",
		         (char *)"--leave",    (char *)"b",        (char *)"-y",
		         (char *)"--by=02:30", (char *)"--dry-run" };
	struct invocation v;
	struct error err = { 0 };
	_cleanup_free_ char *all = NULL, *some = NULL;

	(void)state;
	assert_int_equal(command_parse(ARRAY_SIZE(argv), argv, &v, &err), 0);
	all = command_repeat(&v, 0);
	assert_string_equal(all, "drover drain host1 -o json --leave 'my guest' --leave b -y --by "
	                         "02:30 --dry-run");
	some = command_repeat(&v, OPTION_BIT(OPTION_DRY_RUN) | OPTION_BIT(OPTION_OUTPUT));
	assert_string_equal(some, "drover drain host1 --leave 'my guest' --leave b -y --by 02:30");
}

/* Too many of anything is an error, not an overflow. */
static void test_too_many(void **state)
{
	char *argv[WORDS_MAX + 4] = { (char *)"drover", (char *)"nodes" };
	struct invocation v;
	struct error err = { 0 };

	(void)state;
	for (size_t i = 2; i < WORDS_MAX + 3; i++)
		argv[i] = (char *)"n";
	assert_int_equal(command_parse(WORDS_MAX + 2, argv, &v, &err), 0);
	assert_int_equal(command_parse(WORDS_MAX + 3, argv, &v, &err), -ERROR_TOO_LARGE);
	argv[1] = (char *)"drain";
	for (size_t i = 2; i < WORDS_MAX + 3; i++)
		argv[i] = (char *)"--leave=vm";
	assert_int_equal(command_parse(WORDS_MAX + 2, argv, &v, &err), 0);
	assert_int_equal(command_parse(WORDS_MAX + 3, argv, &v, &err), -ERROR_TOO_LARGE);
	for (size_t i = 2; i < WORDS_MAX + 3; i++)
		argv[i] = (char *)"-yyyyy";
	assert_int_equal(command_parse(WORDS_MAX + 3, argv, &v, &err), -ERROR_TOO_LARGE);
}

/* The environment stands in for an option, and the option wins. */
static void test_environment(void **state)
{
	struct invocation v;
	struct error err = { 0 };
	struct typed t;

	(void)state;
	setenv("DROVER_SERVER", "ipc:///tmp/a.sock", 1);
	split(&t, "nodes");
	assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
	assert_string_equal(v.options.server, "ipc:///tmp/a.sock");
	free(t.line);
	split(&t, "nodes -H ipc:///tmp/b.sock");
	assert_int_equal(command_parse(t.argc, t.argv, &v, &err), 0);
	assert_string_equal(v.options.server, "ipc:///tmp/b.sock");
	free(t.line);
	unsetenv("DROVER_SERVER");
}

/* With one space wherever there is some. */
static void squeeze(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		bool space = *from == ' ' || *from == '\n';

		if (!space)
			*to++ = *from;
		else if (to > text && to[-1] != ' ')
			*to++ = ' ';
	}
	*to = '\0';
}

/* Wherever a description is broken into lines, its words stay words. */
static void test_words_stay_apart(void **state)
{
	const struct command *all;
	size_t count;

	(void)state;
	all = command_get_all(&count);
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *help = NULL, *text = NULL;
		size_t bytes;
		FILE *to;

		if (!all[i].description || all[i].alias_of)
			continue;
		to = open_memstream(&help, &bytes);
		assert_non_null(to);
		help_print(to, &all[i]);
		fclose(to);
		text = xstrdup(all[i].description);
		squeeze(text);
		squeeze(help);
		if (!strstr(help, text))
			fail_msg("the description of %s is not in its help", all[i].name);
	}
}

/* Half of a command is answered with the whole ones. */
static void test_help_family(void **state)
{
	_cleanup_free_ char *help = NULL;
	size_t bytes;
	FILE *to = open_memstream(&help, &bytes);

	(void)state;
	assert_true(help_print_family(to, "policy"));
	assert_false(help_print_family(to, "poli"));
	assert_false(help_print_family(to, "drain"));
	fclose(to);
	assert_non_null(strstr(help, "policy apart"));
	assert_non_null(strstr(help, "policy remove"));
	assert_null(strstr(help, "policies"));
}

/* Every command explains itself, and its help and man page name each option that it takes. */
static void test_help(void **state)
{
	size_t n, n_options;
	const struct command *all = command_get_all(&n);
	const struct option *options = command_get_options(&n_options);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *help = NULL, *man = NULL;
		size_t help_bytes, man_bytes;
		FILE *to;

		if (!all[i].group)
			continue;
		to = open_memstream(&help, &help_bytes);
		help_print(to, &all[i]);
		fclose(to);
		to = open_memstream(&man, &man_bytes);
		help_print_scdoc(to, &all[i]);
		fclose(to);
		assert_non_null(strstr(help, all[i].summary));
		for (size_t o = 0; o < n_options; o++) {
			_cleanup_free_ char *flag = xasprintf("--%s", options[o].name);

			if (!(all[i].options & OPTION_BIT(options[o].id)) ||
			    all[i].options == OPTION_BIT(OPTION_HELP))
				continue;
			assert_non_null(strstr(help, flag));
			assert_non_null(strstr(man, flag));
		}
	}
}

/* Each row can be found by its name, and can be run. */
static void test_rows(void **state)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		const struct command *found = command_find(all[i].name);

		assert_non_null(found);
		assert_non_null(found->run);
		assert_non_null(found->summary);
		assert_true(all[i].alias_of ? found != &all[i] : found == &all[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_understood),  cmocka_unit_test(test_no_command),
		cmocka_unit_test(test_unmovable),   cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_refused),     cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_environment), cmocka_unit_test(test_help),
		cmocka_unit_test(test_help_family), cmocka_unit_test(test_words_stay_apart),
		cmocka_unit_test(test_rows),        cmocka_unit_test(test_repeated),
	};

	unsetenv("DROVER_SERVER");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
