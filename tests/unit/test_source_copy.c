/* SPDX-License-Identifier: Apache-2.0 */
/* What a source lets a destination say of disks to be copied: the guest's own, that it writes to, and only
 * if that was asked for; and what people are told when the guest is there. */
#include "agent/source/source.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct agent_settings settings = { .node = (char *)"host1" };
static struct agent agent = { .settings = &settings };
static struct error err;

/* vda is written to, hdc is a medium, vdb a device. */
static struct source_attempt *attempt_new(void)
{
	struct source_attempt *a = xnew(struct source_attempt);
	struct vm_description *d = xnew(struct vm_description);

	a->agent = &agent;
	a->order.copy_disks = true;
	strcpy(a->order.target_node, "host2");
	d->n_disks = 3;
	strcpy(d->disks[0].target, "vda");
	strcpy(d->disks[0].type, "file");
	strcpy(d->disks[0].source, "/srv/web1.qcow2");
	strcpy(d->disks[1].target, "hdc");
	strcpy(d->disks[1].type, "file");
	d->disks[1].read_only = true;
	strcpy(d->disks[2].target, "vdb");
	strcpy(d->disks[2].type, "block");
	source_copy_remember(a, d);
	free(d);
	return a;
}

static void attempt_free(struct source_attempt *a)
{
	free(a->disks);
	free(a);
}

static Drover__V1__AdmitReply answer(char **disks, size_t n)
{
	Drover__V1__AdmitReply r = DROVER__V1__ADMIT_REPLY__INIT;

	r.admitted = true;
	r.guard = DROVER__V1__GUARD__GUARD_TWO_STEP;
	r.memory_port = 49152;
	r.disk_port = 49153;
	r.copied_disks = disks;
	r.n_copied_disks = n;
	return r;
}

/* The guest's own disk is taken over, with the port, and named for people when the guest is there. */
static void test_taken_over(void **state)
{
	char *disks[] = { (char *)"vda" };
	struct source_attempt *a = attempt_new();
	Drover__V1__AdmitReply r = answer(disks, 1);
	char *note;

	(void)state;
	assert_int_equal(source_copy_read(a, &r, &err), 0);
	assert_int_equal(a->n_copied, 1);
	assert_string_equal(a->copied[0], "vda");
	assert_int_equal(a->disk_port, 49153);
	assert_string_equal(a->order.copied, "vda /srv/web1.qcow2");
	assert_null(source_copy_note_new(a));
	a->state = DROVER__V1__MIGRATION_STATE__DONE;
	note = source_copy_note_new(a);
	assert_non_null(strstr(note, "copied from host1"));
	assert_non_null(strstr(note, "/srv/web1.qcow2"));
	free(note);
	/* A later answer without any takes it back. */
	r.n_copied_disks = 0;
	assert_int_equal(source_copy_read(a, &r, &err), 0);
	assert_int_equal(a->n_copied, 0);
	assert_int_equal(a->disk_port, 0);
	assert_null(source_copy_note_new(a));
	attempt_free(a);
}

/* Anything else is refused: disks that are not the guest's to copy, ports that are none, another guard, or a
 * copy that nobody asked for. */
static void test_refused(void **state)
{
	char *others[] = { (char *)"hdc", (char *)"vdb", (char *)"sdz", (char *)"" };
	char *vda[] = { (char *)"vda" };
	char *many[VM_DISKS_MAX + 1];
	struct source_attempt *a = attempt_new();
	Drover__V1__AdmitReply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		r = answer(&others[i], 1);
		assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
		assert_non_null(strstr(err.text, "does not write to"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = vda[0];
	r = answer(many, ARRAY_SIZE(many));
	assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
	r = answer(vda, 1);
	r.disk_port = 0;
	assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
	r.disk_port = 65536;
	assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
	r.disk_port = r.memory_port;
	assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
	r = answer(vda, 1);
	r.guard = DROVER__V1__GUARD__GUARD_IMAGE_LOCK;
	assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
	r = answer(vda, 1);
	strcpy(a->order.transfer.copy_only, "vdb");
	assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
	assert_non_null(strstr(err.text, "was not chosen"));
	strcpy(a->order.transfer.copy_only, "vdb,vda");
	assert_int_equal(source_copy_read(a, &r, &err), 0);
	r = answer(vda, 1);
	a->order.copy_disks = false;
	assert_int_equal(source_copy_read(a, &r, &err), -ERROR_PROTOCOL);
	attempt_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_over),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
