/* SPDX-License-Identifier: Apache-2.0 */
/* What is foretold, in words: certain, not certain, not known; and what the two ends of an interval stand
 * for where they are not the same. */
#include "tools/drover/render.h"

#include "tests/unit/cli_story.h"

#include <string.h>

static Drover__V1__Prediction uncertain(Drover__V1__Prediction__End end)
{
	Drover__V1__Prediction p = DROVER__V1__PREDICTION__INIT;

	p.end = p.high_end = end;
	p.low_end = DROVER__V1__PREDICTION__END__CONVERGES;
	p.expected_ms = 60300;
	p.low_ms = 5600;
	p.high_ms = 69100;
	p.high_known = true;
	return p;
}

/* Each end has words for the one that is certain and for the one that is not, and they differ. */
static void test_certain_or_not(void **state)
{
	(void)state;
	for (int end = DROVER__V1__PREDICTION__END__CONVERGES;
	     end <= DROVER__V1__PREDICTION__END__GIVES_UP; end++) {
		Drover__V1__Prediction p = uncertain((Drover__V1__Prediction__End)end);
		const char *words = prediction_end_words(&p);

		p.certain = true;
		assert_string_not_equal(words, prediction_end_words(&p));
		assert_true(strncmp(words, "probably ", 9) == 0 ||
		            strncmp(words, "may not converge", 16) == 0);
	}
}

/* A dry run says both, and from when on; what is certain has no such line, nor what an older coordinator
 * tells. */
static void test_both_are_told(void **state)
{
	Drover__V1__Prediction p = uncertain(DROVER__V1__PREDICTION__END__GIVES_UP);
	char text[PREDICTION_TEXT_BYTES];
	struct screen s;

	(void)state;
	screen_init(&s);
	prediction_print_plan(&s.o, &p);
	assert_screen(
		&s,
		"  takes      1 min 0 s (5.6 s to 1 min 9 s); 0 B to send; no pause; may not "
		"converge\n"
		"  based on   0 B in use, 0 bit/s written, 0 bit/s for it\n"
		"  not certain: what was measured permits both: it converges within 5.6 s, or is "
		"given up after 1 min 9 s\n");
	p.high_known = false;
	assert_string_equal(
		prediction_uncertain(&s.o, &p, text),
		"what was measured permits both: it converges within 5.6 s, or is given up, "
		"and no end is in sight");
	p.certain = true;
	assert_string_equal(prediction_uncertain(&s.o, &p, text), "");
	p.certain = false;
	p.low_end = DROVER__V1__PREDICTION__END__UNKNOWN;
	assert_string_equal(prediction_uncertain(&s.o, &p, text), "");
	screen_deinit(&s);
}

/* A drain's dry run names whom it concerns: also one that is expected to converge, but not certain to. */
static void test_named_in_a_drain(void **state)
{
	Drover__V1__Prediction p = uncertain(DROVER__V1__PREDICTION__END__CONVERGES);
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	p.high_end = DROVER__V1__PREDICTION__END__GIVES_UP;
	t.vm[0].state = S("waiting");
	t.vm[0].prediction = &p;
	screen_init(&s);
	drain_plan_print(&s.o, &t.drain);
	fflush(s.o.file);
	assert_non_null(strstr(s.text,
	                       "\nweb1: probably converges; what was measured permits both: it "
	                       "converges within 5.6 s, or is given up after 1 min 9 s\n"));
	screen_deinit(&s);
	p.certain = true;
	screen_init(&s);
	drain_plan_print(&s.o, &t.drain);
	fflush(s.o.file);
	assert_null(strstr(s.text, "web1: "));
	screen_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certain_or_not),
		cmocka_unit_test(test_both_are_told),
		cmocka_unit_test(test_named_in_a_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
