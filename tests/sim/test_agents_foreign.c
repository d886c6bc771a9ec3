/* SPDX-License-Identifier: Apache-2.0 */
/* An agent with a good certificate of its own, host9, speaks of what is none of its business: a move
 * from host1 to host2 whose operation it knows, because an earlier attempt of it came by. It is
 * refused by name each time, and the move goes on to its end. See tests/sim/agents.h. */
#include "tests/sim/agents.h"

#include "agent/wire.h"
#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_MS 10000

struct foreign {
	struct agents *t;
	struct mesh *mesh;
	struct mesh_dialer *dialer;
	bool done;
	enum mesh_status status;
	struct error error;
};

static bool is_connected(void *context)
{
	const struct foreign *f = context;

	return mesh_dialer_find_connection(f->dialer) != NULL;
}

static void foreign_begin(struct foreign *f, struct agents *t)
{
	struct mesh_options options = {
		.loop = t->loop, .role = MESH_ROLE_AGENT, .name = "host9", .cluster = "test"
	};
	struct error err;

	*f = (struct foreign){ .t = t };
	f->mesh = mesh_new(&options, &err);
	assert_non_null(f->mesh);
	f->dialer = mesh_dial(f->mesh, t->settings[1].listen, MESH_ROLE_AGENT, "host2");
	assert_true(agents_until(t, is_connected, f));
}

static void over(const struct mesh_result *result, void *context)
{
	struct foreign *f = context;

	f->done = true;
	f->status = result->status;
	f->error = result->error;
}

static bool is_over(void *context)
{
	return ((struct foreign *)context)->done;
}

static void expect_denied(struct foreign *f, const char *method, const ProtobufCMessage *request,
                          const char *words)
{
	f->done = false;
	mesh_call(mesh_dialer_find_connection(f->dialer), method, request, WAIT_MS, over, f);
	assert_true(agents_until(f->t, is_over, f));
	if (f->status != MESH_PERMISSION_DENIED || !strstr(f->error.text, words))
		fail_msg("%s: %s: %s", method, mesh_status_name(f->status), f->error.text);
}

/* All that an agent may ask another for, about somebody else's attempt. */
static void ask_all(struct foreign *f, const char *node, const char *words)
{
	struct attempt_name name = { .operation = f->t->operation,
		                     .number = 1,
		                     .epoch = f->t->epoch };
	Drover__V1__AttemptRequest attempt = DROVER__V1__ATTEMPT_REQUEST__INIT;
	Drover__V1__FinishTargetRequest finish = DROVER__V1__FINISH_TARGET_REQUEST__INIT;
	Drover__V1__AdmitRequest admit = DROVER__V1__ADMIT_REQUEST__INIT;
	Drover__V1__VmDescription vm = DROVER__V1__VM_DESCRIPTION__INIT;
	Drover__V1__Attempt *wire = wire_attempt_new(&name);

	attempt.attempt = finish.attempt = admit.attempt = wire;
	attempt.vm_uuid = finish.vm_uuid = vm.uuid = f->t->uuid;
	attempt.source_node = finish.source_node = admit.source_node = (char *)node;
	admit.vm = &vm;
	expect_denied(f, "drover.v1.Agent/RenewLease", &attempt.base, words);
	expect_denied(f, "drover.v1.Agent/ReleaseLease", &attempt.base, words);
	expect_denied(f, "drover.v1.Agent/Inspect", &attempt.base, words);
	expect_denied(f, "drover.v1.Agent/FinishTarget", &finish.base, words);
	expect_denied(f, "drover.v1.Agent/Admit", &admit.base, words);
	wire_free(wire);
}

/* In its own name and in that of the source; and it gives no orders. */
static void f71_foreign_attempt(void **state)
{
	struct fake_guest_settings guest = { .name = "web", .memory_bytes = 512 * MIB };
	Drover__V1__StartMigrationRequest start = DROVER__V1__START_MIGRATION_REQUEST__INIT;
	struct agents *t = agents_new(NULL);
	struct foreign f;

	(void)state;
	agents_add_guest(t, &guest);
	foreign_begin(&f, t);
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait_moving(t));
	assert_int_equal(agents_leases(t, 1), 1);

	ask_all(&f, "host9", "host9 has no part in this attempt: it moves web from host1 to host2");
	ask_all(&f, "host1", "agent host9 speaks for host1");
	start.vm_uuid = t->uuid;
	expect_denied(&f, "drover.v1.Agent/StartMigration", &start.base, "allowed: coordinator");

	assert_true(agents_wait(t, DROVER__V1__MIGRATION_STATE__DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	mesh_free(f.mesh);
	agents_free(t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(f71_foreign_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
