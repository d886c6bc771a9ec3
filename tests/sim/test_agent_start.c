/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that cannot start says why, and leaves nothing behind; unless somebody still asks libvirt: then it says
 * that, and what is asked with stays. */
#include "agent/agent.h"

#include "agent/hypervisor/hypervisor_fake.h"
#include "common/alloc.h"
#include "common/courier.h"
#include "tests/scratch.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct start {
	char directory[32];
	struct agent_settings settings;
	struct fake_world *world;
	struct loop *loop;
	struct hypervisor *hypervisor;
	struct hypervisor_ops ops; /* its own, one of which fails */
	struct agent *agent;
};

static int set_up(void **state)
{
	struct start *t = xnew(struct start);
	struct agent_settings *s = &t->settings;

	snprintf(t->directory, sizeof(t->directory), "/tmp/drover-start-XXXXXX");
	assert_non_null(mkdtemp(t->directory));
	s->node = xstrdup("host1");
	s->cluster = xstrdup("test");
	s->run_dir = xasprintf("%s/run", t->directory);
	s->state_dir = xasprintf("%s/state", t->directory);
	s->listen = xasprintf("inproc://host1%s", t->directory);
	s->memory_capacity_bytes = (uint64_t)4 << 30;
	s->migration_address = xstrdup("127.0.0.1");
	s->migration_interface = xstrdup("lo");
	s->port_first = 26152;
	s->port_last = 26153;
	s->parallel_inbound = 2;
	s->parallel_outbound = 2;
	t->world = fake_world_new();
	fake_world_add_host(t->world, &(struct fake_host_settings){ .name = "host1",
	                                                            .lock_manager = "",
	                                                            .lockspace = "" });
	t->loop = loop_new();
	t->hypervisor = hypervisor_fake_new(t->world, "host1");
	t->ops = *t->hypervisor->ops;
	t->hypervisor->ops = &t->ops;
	*state = t;
	return 0;
}

/* What the process would leave to its end. */
static int tear_down(void **state)
{
	struct start *t = *state;

	t->hypervisor->ops->free(t->hypervisor);
	loop_free(t->loop);
	fake_world_free(t->world);
	agent_settings_deinit(&t->settings);
	scratch_remove(t->directory);
	free(t);
	return 0;
}

static int start(struct start *t, struct error *err)
{
	static const struct mesh_options plain = { 0 };

	return agent_start(&(struct agent_options){ .settings = &t->settings,
	                                            .loop = t->loop,
	                                            .hypervisor = t->hypervisor,
	                                            .mesh_override = &plain },
	                   &t->agent, err);
}

/* Nothing was made yet that would have to be stopped. */
static void test_no_directory(void **state)
{
	struct start *t = *state;
	struct error err;

	free(t->settings.run_dir);
	t->settings.run_dir = xasprintf("%s/not/there", t->directory);
	assert_true(start(t, &err) < 0);
	assert_non_null(strstr(err.text, "/not/there"));
	assert_null(t->agent);
	assert_true(agent_stop(t->agent));
}

static void test_cannot_listen(void **state)
{
	struct start *t = *state;
	struct error err;

	free(t->settings.listen);
	t->settings.listen = xstrdup("nowhere://host1");
	assert_true(start(t, &err) < 0);
	assert_true(err.text[0]);
	assert_true(agent_stop(t->agent));
}

static int refuse(struct hypervisor *h,
                  void (*event)(const struct hypervisor_event *e, void *context), void *context,
                  struct error *err)
{
	(void)h;
	(void)event;
	(void)context;
	return error_set(err, ERROR_SYSTEM, "no thread to watch libvirt with");
}

static void test_cannot_watch(void **state)
{
	struct start *t = *state;
	struct error err;

	t->ops.watch = refuse;
	assert_true(start(t, &err) < 0);
	assert_string_equal(err.text, "no thread to watch libvirt with");
	assert_true(agent_stop(t->agent));
}

/* --- a libvirt that does not answer --- */

static sem_t asked, let_go, answered;

struct question {
	struct errand errand;
	struct hypervisor *hypervisor;
};

static void ask(struct errand *e)
{
	struct question *q = (struct question *)e;
	struct host_facts facts;
	struct error err;

	sem_post(&asked);
	sem_wait(&let_go);
	(void)q->hypervisor->ops->host_facts(q->hypervisor, &facts, &err);
}

static void told(struct errand *e)
{
	free(e);
	sem_post(&answered);
}

/* Whom agent_stop does not wait for. */
static struct courier_pool *couriers;

static int refuse_while_asked(struct hypervisor *h,
                              void (*event)(const struct hypervisor_event *e, void *context),
                              void *context, struct error *err)
{
	struct question *q = xnew(struct question);
	struct agent *agent = context;

	q->errand.work = ask;
	q->errand.done = told;
	q->hypervisor = h;
	couriers = agent->couriers;
	courier_send(couriers, &q->errand);
	sem_wait(&asked);
	return refuse(h, event, context, err);
}

static bool is_answered(void *context)
{
	(void)context;
	return sem_trywait(&answered) == 0;
}

/* Its answer comes after all: to a hypervisor and a loop that are still there, for it was said that they are to be. */
static void test_cannot_watch_and_is_asked(void **state)
{
	static struct agent *volatile left; /* to the end of the process */
	struct start *t = *state;
	struct error err;

	sem_init(&asked, 0, 0);
	sem_init(&let_go, 0, 0);
	sem_init(&answered, 0, 0);
	t->ops.watch = refuse_while_asked;
	assert_true(start(t, &err) < 0);
	assert_non_null(t->agent);
	left = t->agent;
	assert_false(agent_stop(left));
	sem_post(&let_go);
	assert_true(loop_run_until(t->loop, 20000, is_answered, NULL));
	assert_true(courier_pool_free_within(couriers, 20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cannot_listen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cannot_watch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cannot_watch_and_is_asked, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
