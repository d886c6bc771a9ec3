/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that sees its host's CPU as it is goes to an equal host only. */
#include "agent/hypervisor/host_signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CPU(microcode, flags)                                                         \
	"processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n" \
	"model name\t: AMD EPYC\nstepping\t: 1\nmicrocode\t: " microcode              \
	"\nphysical id\t: 0\nflags\t\t: " flags "\n\nprocessor\t: 1\nvendor_id\t: Other\n"

static const char *make(const char *cpuinfo, const char *kernel, char *text)
{
	host_signature_make(cpuinfo, kernel, "7.2.22", "9.0.0", text);
	return text;
}

static struct check judge(const char *source, const char *own)
{
	struct check c = { 0 };

	host_signature_judge("host-passthrough", source, own, &c);
	return c;
}

/* The first processor speaks for the host: who made it, which it is, what it can. */
static void test_what_it_says(void **state)
{
	char text[HOST_SIGNATURE_BYTES], other[HOST_SIGNATURE_BYTES];

	(void)state;
	make(CPU("0xb002116", "fpu sse avx"), "6.1.0-18-amd64", text);
	assert_non_null(strstr(text, "cpu AuthenticAMD 26/2/1, microcode 0xb002116\nfeatures "));
	assert_non_null(strstr(text, "\nkernel 6.1.0-18-amd64\nqemu 7.2.22\nlibvirt 9.0.0"));
	make(CPU("0xb002116", "fpu sse avx2"), "6.1.0-18-amd64", other);
	assert_string_not_equal(text, other);
	/* Of other kinds of processors nothing is known. */
	assert_string_equal(make("", "6.1", text), "");
	assert_string_equal(make("processor\t: 0\nBogoMIPS\t: 50.00\n", "6.1", text), "");
	assert_string_equal(make("flags\n", "6.1", text), "");
}

/* Equal passes; any difference is named, with both sides; silence is not equality. */
static void test_judging(void **state)
{
	char a[HOST_SIGNATURE_BYTES], b[HOST_SIGNATURE_BYTES];
	struct check c;

	(void)state;
	make(CPU("0x1", "fpu"), "6.1", a);
	c = judge(a, a);
	assert_int_equal(c.verdict, CHECK_PASS);
	assert_string_equal(c.reason, "");
	assert_string_equal(c.remedy, "");
	assert_non_null(strstr(c.measured, "AuthenticAMD 26/2/1"));

	c = judge(a, make(CPU("0x2", "fpu"), "6.1", b));
	assert_int_equal(c.verdict, CHECK_FAIL);
	assert_non_null(strstr(c.measured, "here cpu AuthenticAMD 26/2/1, microcode 0x2, there "
	                                   "cpu AuthenticAMD 26/2/1, microcode 0x1"));
	assert_string_equal(c.reason, "CPUModeLiveMigratable");
	assert_true(c.remedy[0]);
	c = judge(a, make(CPU("0x1", "fpu"), "6.12", b));
	assert_non_null(strstr(c.measured, "here kernel 6.12, there kernel 6.1"));

	b[0] = '\0';
	assert_non_null(strstr(judge(b, a).measured, "the source does not say"));
	assert_non_null(strstr(judge(a, b).measured, "the destination does not say"));
	assert_int_equal(judge(b, b).verdict, CHECK_FAIL);
	/* One that is only the beginning of the other is another. */
	snprintf(b, sizeof(b), "%.20s", a);
	assert_int_equal(judge(a, b).verdict, CHECK_FAIL);
	snprintf(b, sizeof(b), "%s\nmore", a);
	assert_int_equal(judge(a, b).verdict, CHECK_FAIL);
}

/* Named models and host-model are spelled out; these two are not. */
static void test_modes(void **state)
{
	(void)state;
	assert_true(host_signature_is_needed("host-passthrough"));
	assert_true(host_signature_is_needed("maximum"));
	assert_false(host_signature_is_needed("host-model"));
	assert_false(host_signature_is_needed("custom"));
	assert_false(host_signature_is_needed(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_says),
		cmocka_unit_test(test_judging),
		cmocka_unit_test(test_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
