/* SPDX-License-Identifier: Apache-2.0 */
/* Escaping, measuring, cutting, quoting, guessing. */
#include "tools/drover/text.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Nothing that a terminal or a reader would obey gets through; everything else does. */
static void test_escape(void **state)
{
	static const char reversed[] = { 'a', '\xe2', '\x80', '\xae', 'b', 0 };
	static const char isolated[] = { 'a', '\xe2', '\x81', '\xa6', 'b', 0 };
	static const struct {
		const char *in, *out;
		bool ascii;
	} rows[] = {
		{ "web1", "web1" },
		{ "", "" },
		{ "Prüfstand-雪", "Prüfstand-雪" },
		{ "a\033[2Jb", "a\\x1b[2Jb" },
		{ "two\nlines\ttab", "two\\nlines\\ttab" },
		{ "\x7f", "\\x7f" },
		{ "c1:\xc2\x9b"
		  "31m",
		  "c1:\\u{9b}31m" },
		{ reversed, "a\\u{202e}b" },
		{ isolated, "a\\u{2066}b" },
		{ "zero\xe2\x80\x8bwidth", "zero\\u{200b}width" },
		{ "not utf8 \xff\xc3", "not utf8 \\xff\\xc3" },
		{ "cut \xe2\x82", "cut \\xe2\\x82" },
		{ "%n%s", "%n%s" },
		{ "ü→", "\\u{fc}\\u{2192}", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *out = text_escape(rows[i].in, rows[i].ascii);

		assert_string_equal(out, rows[i].out);
	}
}

/* Width is counted in columns: wide characters take two, colours none. */
static void test_width(void **state)
{
	(void)state;
	assert_int_equal(text_width("web1"), 4);
	assert_int_equal(text_width("ü→"), 2);
	assert_int_equal(text_width("雪"), 2);
	assert_int_equal(text_width("\033[1;31mred\033[0m"), 3);
}

/* A cut line is never wider than asked, says that it was cut, and leaves no colour on. */
static void test_cut(void **state)
{
	_cleanup_free_ char *same = text_cut("web1", 4, "…");
	_cleanup_free_ char *cut = text_cut("webserver", 4, "…");
	_cleanup_free_ char *wide = text_cut("雪雪雪", 4, "…");
	_cleanup_free_ char *coloured = text_cut("\033[31mlong red\033[0m", 3, "…");
	_cleanup_free_ char *nothing = text_cut("web1", 0, "…");

	(void)state;
	assert_string_equal(same, "web1");
	assert_string_equal(cut, "web…");
	assert_string_equal(wide, "雪…");
	assert_string_equal(coloured, "\033[31mlo…\033[0m");
	assert_string_equal(nothing, "");
}

/* A proposed command does what it says when it is pasted, whatever the guest is called. */
static void test_shell_word(void **state)
{
	static const char *const rows[][2] = {
		{ "web1", "web1" },
		{ "$(reboot)", "'$(reboot)'" },
		{ "it's", "'it'\\''s'" },
		{ "--leave", "'--leave'" },
		{ "", "''" },
		{ "two words", "'two words'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *word = text_shell_word(rows[i][0]);

		assert_string_equal(word, rows[i][1]);
	}
}

static const char *name_at(size_t i, void *context)
{
	static const char *const names[] = { "drain", "undrain", "drains", "nodes", "migrate" };

	(void)context;
	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

/* A guess is offered when it is near, and none when nothing is. */
static void test_closest(void **state)
{
	(void)state;
	assert_string_equal(text_closest("drian", name_at, NULL), "drain");
	assert_string_equal(text_closest("Nodes", name_at, NULL), "nodes");
	assert_string_equal(text_closest("node", name_at, NULL), "nodes");
	assert_string_equal(text_closest("migr", name_at, NULL), "migrate");
	assert_null(text_closest("frobnicate", name_at, NULL));
	assert_null(text_closest("x", name_at, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),  cmocka_unit_test(test_width),
		cmocka_unit_test(test_cut),     cmocka_unit_test(test_shell_word),
		cmocka_unit_test(test_closest),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
