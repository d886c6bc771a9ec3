/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that an agent is told to shut down, or to start, by a libvirt that is slow: what was right when the
 * order came is looked at again before it is done. See tests/sim/agents.h. */
#include "tests/sim/agents.h"

#include "agent/host/power.h"
#include "common/alloc.h"
#include "common/units.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- a libvirt whose calls can be held up --- */

enum call { NO_CALL, DESCRIBED, START, SHUT_DOWN };

static struct gate {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	enum call holds; /* calls of that kind wait here, until it is another one */
	unsigned waiting, passed;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };

/* The linker sends here first what the fake's table names, and who has read a description. */
void __wrap_vm_description_deinit(struct vm_description *d);
void __real_vm_description_deinit(struct vm_description *d);
int __wrap_fake_start(struct hypervisor *h, const char *uuid, struct error *err);
int __wrap_fake_shut_down(struct hypervisor *h, const char *uuid, struct error *err);
int __real_fake_start(struct hypervisor *h, const char *uuid, struct error *err);
int __real_fake_shut_down(struct hypervisor *h, const char *uuid, struct error *err);

static void pass(enum call call)
{
	pthread_mutex_lock(&gate.lock);
	gate.waiting += gate.holds == call;
	while (gate.holds == call)
		pthread_cond_wait(&gate.moved, &gate.lock);
	gate.passed += call == SHUT_DOWN;
	pthread_mutex_unlock(&gate.lock);
}

static void hold_up(enum call call)
{
	pthread_mutex_lock(&gate.lock);
	gate.holds = call;
	gate.waiting = gate.passed = 0;
	pthread_mutex_unlock(&gate.lock);
}

static void let_go(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.holds = NO_CALL;
	pthread_cond_broadcast(&gate.moved);
	pthread_mutex_unlock(&gate.lock);
}

static unsigned count_waiting(void)
{
	unsigned n;

	pthread_mutex_lock(&gate.lock);
	n = gate.waiting;
	pthread_mutex_unlock(&gate.lock);
	return n;
}

static unsigned count_passed(void)
{
	unsigned n;

	pthread_mutex_lock(&gate.lock);
	n = gate.passed;
	pthread_mutex_unlock(&gate.lock);
	return n;
}

void __wrap_vm_description_deinit(struct vm_description *d)
{
	pass(DESCRIBED);
	__real_vm_description_deinit(d);
}

int __wrap_fake_start(struct hypervisor *h, const char *uuid, struct error *err)
{
	pass(START);
	return __real_fake_start(h, uuid, err);
}

int __wrap_fake_shut_down(struct hypervisor *h, const char *uuid, struct error *err)
{
	pass(SHUT_DOWN);
	return __real_fake_shut_down(h, uuid, err);
}

/* --- orders --- */

struct answer {
	bool here;
	enum mesh_status status;
	struct error error;
	uint32_t active;
};

static const struct id drain_id = { .bytes = { 7 } };

static void marked(const struct mesh_result *result, void *context)
{
	const Drover__V1__SetDrainMarkReply *r = (const Drover__V1__SetDrainMarkReply *)
	                                                 result->message;
	struct answer *a = context;

	a->here = true;
	a->status = result->status;
	a->active = r ? r->active_vms : 0;
}

static void send_mark(struct agents *t, bool draining, char **named, size_t n, struct answer *a)
{
	Drover__V1__SetDrainMarkRequest request = DROVER__V1__SET_DRAIN_MARK_REQUEST__INIT;
	Drover__V1__DrainMark mark = DROVER__V1__DRAIN_MARK__INIT;

	*a = (struct answer){ 0 };
	mark.epoch = t->epoch;
	mark.draining = draining;
	mark.drain_id.data = (uint8_t *)drain_id.bytes;
	mark.drain_id.len = ID_BYTES;
	mark.shut_down = named;
	mark.n_shut_down = n;
	request.mark = &mark;
	mesh_call(t->connections[0], "drover.v1.Agent/SetDrainMark", &request.base, 20000, marked,
	          a);
}

static void powered(const struct mesh_result *result, void *context)
{
	struct answer *a = context;

	a->here = true;
	a->status = result->status;
	a->error = result->error;
}

static void send_order(struct agents *t, const char *method, const char *uuid, uint32_t number,
                       struct answer *a)
{
	Drover__V1__GuestPowerRequest request = DROVER__V1__GUEST_POWER_REQUEST__INIT;
	char *path = xasprintf("drover.v1.Agent/%s", method);

	*a = (struct answer){ 0 };
	request.drain_id.data = (uint8_t *)drain_id.bytes;
	request.drain_id.len = ID_BYTES;
	request.vm_uuid = (char *)uuid;
	request.number = number;
	request.epoch = t->epoch;
	mesh_call(t->connections[0], path, &request.base, 20000, powered, a);
	free(path);
}

static bool is_here(void *context)
{
	return ((struct answer *)context)->here;
}

static bool is_draining(void *context)
{
	return ((struct agents *)context)->agents[0]->drain_mark.draining;
}

static bool is_open(void *context)
{
	return !is_draining(context);
}

static bool is_held_up(void *context)
{
	return count_waiting() >= *(unsigned *)context;
}

static void wait_held_up(struct agents *t, unsigned n)
{
	assert_true(agents_until(t, is_held_up, &n));
}

static struct agents *begin(void)
{
	struct fake_guest_settings guest = { .name = "db1", .persistent = true, .shutoff = true };
	struct agents *t = agents_new(NULL);

	agents_add_guest(t, &guest);
	inventory_refresh(&t->agents[0]->inventory);
	return t;
}

static bool is_listed(void *context)
{
	const struct agents *t = context;

	return inventory_find(&t->agents[0]->inventory, t->uuid) != NULL;
}

static uint64_t wanted_readings;

static bool is_read(void *context)
{
	struct agents *t = context;

	inventory_refresh(&t->agents[0]->inventory);
	return t->agents[0]->inventory.readings >= wanted_readings;
}

/* --- stories --- */

/* A drain that begins while libvirt takes its time over the size of a guest that is to start: it is not
 * started after that. */
static void test_drain_overtakes_start(void **state)
{
	struct agents *t = begin();
	struct answer started, mark;

	(void)state;
	assert_true(agents_until(t, is_listed, t));
	hold_up(DESCRIBED);
	send_order(t, "StartGuest", t->uuid, 1, &started);
	send_mark(t, true, NULL, 0, &mark);
	assert_true(agents_until(t, is_draining, t));
	let_go();
	assert_true(agents_until(t, is_here, &started));
	assert_int_not_equal(started.status, MESH_OK);
	assert_non_null(strstr(started.error.text, "being drained"));
	assert_true(agents_until(t, is_here, &mark));
	assert_int_equal(mark.active, 0);
	assert_int_equal(agents_state_on(t, 0), VM_SHUTOFF);
	agents_free(t);
}

/* One that libvirt is starting when the drain begins counts: a host that is about to have a guest is not
 * called empty. */
static void test_start_counts(void **state)
{
	struct agents *t = begin();
	struct answer started, mark;

	(void)state;
	assert_true(agents_until(t, is_listed, t));
	hold_up(START);
	send_order(t, "StartGuest", t->uuid, 1, &started);
	wait_held_up(t, 1);
	send_mark(t, true, NULL, 0, &mark);
	assert_true(agents_until(t, is_draining, t));
	/* Lists are taken meanwhile, and none of them shows it. */
	wanted_readings = t->agents[0]->inventory.readings + 3;
	assert_true(agents_until(t, is_read, t));
	assert_false(mark.here);
	let_go();
	assert_true(agents_until(t, is_here, &mark));
	assert_int_equal(mark.active, 1);
	assert_true(agents_until(t, is_here, &started));
	assert_int_equal(started.status, MESH_OK);
	agents_free(t);
}

/* Of those that wait behind a guest's agent that hangs none is asked once the drain is cancelled. */
static void test_cancelled_in_the_queue(void **state)
{
	static const char *const names[] = { "one", "two", "three" };
	struct agents *t = agents_new(NULL);
	char uuids[3][VM_UUID_BYTES], *named[] = { uuids[0], uuids[1], uuids[2] };
	struct answer a[3], mark;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fake_guest_settings guest = { .name = names[i], .persistent = true };

		agents_add_guest(t, &guest);
		memcpy(uuids[i], t->uuid, VM_UUID_BYTES);
	}
	inventory_refresh(&t->agents[0]->inventory);
	assert_true(agents_until(t, is_listed, t));
	send_mark(t, true, named, 3, &mark);
	assert_true(agents_until(t, is_here, &mark));
	hold_up(SHUT_DOWN);
	for (size_t i = 0; i < 3; i++)
		send_order(t, "ShutDownGuest", uuids[i], 1, &a[i]);
	wait_held_up(t, 2);
	send_mark(t, false, NULL, 0, &mark);
	assert_true(agents_until(t, is_open, t));
	let_go();
	assert_true(agents_until(t, is_here, &a[2]));
	assert_int_not_equal(a[2].status, MESH_OK);
	assert_non_null(strstr(a[2].error.text, "is over"));
	assert_true(agents_until(t, is_here, &a[0]));
	assert_true(agents_until(t, is_here, &a[1]));
	assert_int_equal(count_passed(), 2);
	agents_free(t);
}

/* One with a saved image would not boot but go on from when that was made, on disks that have changed. */
static void test_saved_image(void **state)
{
	const struct check saved = { .id = "guest/managed-save", .verdict = CHECK_BLOCK };
	struct fake_guest_settings guest = { .name = "db1",
		                             .persistent = true,
		                             .shutoff = true,
		                             .blockers = &saved,
		                             .n_blockers = 1 };
	struct agents *t = agents_new(NULL);
	struct answer a;

	(void)state;
	agents_add_guest(t, &guest);
	inventory_refresh(&t->agents[0]->inventory);
	assert_true(agents_until(t, is_listed, t));
	send_order(t, "StartGuest", t->uuid, 1, &a);
	assert_true(agents_until(t, is_here, &a));
	assert_int_not_equal(a.status, MESH_OK);
	assert_non_null(strstr(a.error.text, "saved image"));
	assert_int_equal(agents_state_on(t, 0), VM_SHUTOFF);
	agents_free(t);
}

/* What libvirt is starting has its vCPUs already: a second guest that wants them stays off, and the answer
 * has the figures. */
static void test_start_holds_vcpus(void **state)
{
	struct fake_guest_settings guest = { .name = "db1", .shutoff = true, .vcpus = 3 };
	struct agents *t = agents_new(NULL);
	struct answer first, second;
	char uuid[VM_UUID_BYTES];

	(void)state;
	t->settings[0].cpu_overcommit_percent = 100; /* of 4 CPUs */
	agents_add_guest(t, &guest);
	memcpy(uuid, t->uuid, sizeof(uuid));
	guest.name = "db2";
	guest.vcpus = 2;
	agents_add_guest(t, &guest);
	inventory_refresh(&t->agents[0]->inventory);
	assert_true(agents_until(t, is_listed, t));
	hold_up(START);
	send_order(t, "StartGuest", uuid, 1, &first);
	wait_held_up(t, 1);
	send_order(t, "StartGuest", t->uuid, 1, &second);
	assert_true(agents_until(t, is_here, &second));
	assert_int_equal(second.error.code, ERROR_NO_SPACE);
	assert_non_null(strstr(second.error.text, "vcpus: 3 of 4 promised: 4 CPUs x 1.00; 3 on "
	                                          "their way; needed: 2 vCPUs"));
	assert_int_equal(agents_state_on(t, 0), VM_SHUTOFF);
	let_go();
	assert_true(agents_until(t, is_here, &first));
	assert_int_equal(first.status, MESH_OK);
	assert_int_equal(reservations_get_vcpus(t->agents[0]->reservations), 0);
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain_overtakes_start),  cmocka_unit_test(test_start_counts),
		cmocka_unit_test(test_cancelled_in_the_queue), cmocka_unit_test(test_saved_image),
		cmocka_unit_test(test_start_holds_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
