/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent does about its guests' power: only for its own drain, only those that are named, each
 * order once. See tests/sim/agents.h. */
#include "tests/sim/agents.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is_answered(void *context)
{
	return ((struct agents *)context)->answered;
}

static void mark_answered(const struct mesh_result *result, void *context)
{
	struct agents *t = context;

	t->answered = true;
	t->status = result->status;
	t->error = result->error;
}

static void power_answered(const struct mesh_result *result, void *context)
{
	const Drover__V1__GuestPowerReply *r = (const Drover__V1__GuestPowerReply *)result->message;
	struct agents *t = context;

	mark_answered(result, context);
	t->accepted = r && !r->already;
}

static void set_mark(struct agents *t, bool draining, const char *shut_down)
{
	Drover__V1__SetDrainMarkRequest request = DROVER__V1__SET_DRAIN_MARK_REQUEST__INIT;
	Drover__V1__DrainMark mark = DROVER__V1__DRAIN_MARK__INIT;
	char *names[] = { (char *)shut_down };
	struct id id = { { 7 } };

	mark.drain_id.data = id.bytes;
	mark.drain_id.len = ID_BYTES;
	mark.epoch = t->epoch;
	mark.draining = draining;
	mark.shut_down = names;
	mark.n_shut_down = shut_down ? 1 : 0;
	request.mark = &mark;
	t->answered = false;
	mesh_call(t->connections[0], "drover.v1.Agent/SetDrainMark", &request.base, 5000,
	          mark_answered, t);
	assert_true(agents_until(t, is_answered, t));
	assert_int_equal(t->status, MESH_OK);
}

static enum error_code order(struct agents *t, const char *method, uint8_t drain, uint32_t number)
{
	Drover__V1__GuestPowerRequest request = DROVER__V1__GUEST_POWER_REQUEST__INIT;
	struct id id = { { drain } };

	request.drain_id.data = id.bytes;
	request.drain_id.len = ID_BYTES;
	request.vm_uuid = t->uuid;
	request.number = number;
	request.epoch = t->epoch;
	t->answered = t->accepted = false;
	mesh_call(t->connections[0], method, &request.base, 20000, power_answered, t);
	assert_true(agents_until(t, is_answered, t));
	return t->status == MESH_OK ? ERROR_NONE : t->error.code;
}

#define SHUT_DOWN "drover.v1.Agent/ShutDownGuest"
#define START     "drover.v1.Agent/StartGuest"

static bool is_off(void *context)
{
	return agents_state_on(context, 0) == VM_SHUTOFF;
}

static struct agents *with_guest(bool ignores)
{
	struct agents *t = agents_new(NULL);

	agents_add_guest(t, &(struct fake_guest_settings){ .name = "db1",
	                                                   .persistent = true,
	                                                   .ignores_shutdown = ignores });
	set_mark(t, false, NULL); /* answered when its host has listed it */
	return t;
}

/* Without a drain of this host that names the guest nobody is asked to shut down, whoever orders it. */
static void test_only_by_name(void **state)
{
	struct agents *t = with_guest(false);

	(void)state;
	assert_int_equal(order(t, SHUT_DOWN, 7, 1), ERROR_REFUSED);
	set_mark(t, true, NULL);
	assert_int_equal(order(t, SHUT_DOWN, 7, 2), ERROR_REFUSED);
	set_mark(t, true, "6c7f9a42-0000-4000-8000-000000000000");
	assert_int_equal(order(t, SHUT_DOWN, 7, 3), ERROR_REFUSED);
	set_mark(t, true, t->uuid);
	assert_int_equal(order(t, SHUT_DOWN, 8, 1), ERROR_REFUSED); /* of another drain */
	set_mark(t, false, t->uuid);
	assert_int_equal(order(t, SHUT_DOWN, 7, 4), ERROR_REFUSED); /* of one that is over */
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(fake_world_count_running(t->world, t->uuid), 1);
	/* What was refused was no order: named, it goes. */
	set_mark(t, true, t->uuid);
	assert_int_equal(order(t, SHUT_DOWN, 7, 1), ERROR_NONE);
	assert_true(agents_until_looking(t, is_off));
	agents_free(t);
}

/* An order that comes again is answered and not carried out again; the next one is. The permission is on
 * the disk: an agent that has started anew has it. */
static void test_each_once(void **state)
{
	struct agents *t = with_guest(true);

	(void)state;
	set_mark(t, true, t->uuid);
	assert_int_equal(order(t, SHUT_DOWN, 7, 1), ERROR_NONE);
	assert_true(t->accepted);
	fake_world_set_shutdown(t->world, t->uuid, false, 100);
	assert_int_equal(order(t, SHUT_DOWN, 7, 1), ERROR_NONE);
	assert_false(t->accepted);
	agents_kill(t, 0);
	agents_start(t, 0);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(order(t, SHUT_DOWN, 7, 2), ERROR_NONE);
	assert_true(agents_until_looking(t, is_off));
	agents_free(t);
}

/* It is started when the host takes guests again, and answered when the host lists it; the order that
 * comes again starts nothing, though somebody has ended the guest meanwhile. */
static void test_started_once(void **state)
{
	struct agents *t = with_guest(false);

	(void)state;
	set_mark(t, true, t->uuid);
	assert_int_equal(order(t, SHUT_DOWN, 7, 1), ERROR_NONE);
	assert_true(agents_until_looking(t, is_off));
	assert_int_equal(order(t, START, 7, 2), ERROR_REFUSED);
	set_mark(t, false, NULL);
	assert_int_equal(order(t, START, 7, 2), ERROR_NONE);
	assert_true(t->accepted);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	t->hypervisors[0]->ops->destroy(t->hypervisors[0], t->uuid, NULL);
	assert_int_equal(order(t, START, 7, 2), ERROR_NONE);
	assert_false(t->accepted);
	assert_int_equal(agents_state_on(t, 0), VM_SHUTOFF);
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	agents_free(t);
}

/* There is no room for it: it stays off, and the answer has the arithmetic. */
static void test_no_room(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &(struct fake_guest_settings){
				    .name = "huge", .shutoff = true, .memory_bytes = 64 * GIB });
	set_mark(t, false, NULL);
	assert_int_equal(order(t, START, 7, 1), ERROR_NO_SPACE);
	assert_non_null(strstr(t->error.text, "needed"));
	assert_int_equal(agents_state_on(t, 0), VM_SHUTOFF);
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_by_name),
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_started_once),
		cmocka_unit_test(test_no_room),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
