/* SPDX-License-Identifier: Apache-2.0 */
/* The plans published with UCC'15: the same moves, each with its published rate and duration, in our order.
 *
 * Hosts 0 and 1 have 500 Mbit/s, hosts 2 and 3 1000 Mbit/s, each way. A plan is as long as its last
 * end; its bound is the fullest link. RAM (GB) and CPUs are those of the instance.
 */
#include "tests/bench/bench_plan.h"

#include "common/alloc.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS 4

static const double mbit[HOSTS] = { 500, 500, 1000, 1000 };

static double number(const json_t *object, uint32_t key)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", key);
	return json_number_value(json_object_get(object, text));
}

static const json_t *find_view(const json_t *origin, const char *resource)
{
	const json_t *view;
	size_t i;

	json_array_foreach(json_object_get(origin, "views"), i, view)
	{
		if (strcmp(json_string_value(json_object_get(view, "rcId")), resource) == 0)
			return view;
	}
	return NULL;
}

static uint32_t get(const json_t *action, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(action, key));
}

/* Returns the published makespan, or -1. */
static double make(const json_t *root, struct instance *in)
{
	const json_t *origin = json_object_get(root, "origin");
	const json_t *actions = json_object_get(root, "actions"), *action;
	const json_t *memory = find_view(origin, "mem"), *cpu = find_view(origin, "cpu");
	const json_t *nodes = json_object_get(json_object_get(origin, "mapping"), "onlineNodes");
	double makespan = -1;
	size_t i;

	if (!memory || !cpu || !nodes || !json_array_size(actions))
		return -1;
	instance_init(in, HOSTS, (uint32_t)json_object_size(json_object_get(memory, "vms")));
	for (uint32_t h = 0; h < HOSTS; h++) {
		struct instance_host *host = &in->hosts[h];
		const json_t *guests;
		char name[16];
		size_t k;

		snprintf(name, sizeof(name), "%u", h);
		guests = json_object_get(json_object_get(nodes, name), "runningVMs");
		host->in_bytes_per_s = host->out_bytes_per_s = mbit[h];
		host->free_bytes[0] = (uint64_t)number(json_object_get(memory, "nodes"), h);
		host->vcpu_room = (uint64_t)number(json_object_get(cpu, "nodes"), h);
		for (k = 0; k < json_array_size(guests); k++) {
			uint32_t v = (uint32_t)json_integer_value(json_array_get(guests, k));
			struct instance_vm *vm;

			if (v >= in->n_vms)
				return -1;
			vm = &in->vms[v];
			vm->home = h;
			vm->need_bytes = (uint64_t)number(json_object_get(memory, "vms"), v);
			vm->vcpus = (uint32_t)number(json_object_get(cpu, "vms"), v);
			host->free_bytes[0] -= vm->need_bytes;
			host->vcpu_room -= vm->vcpus;
		}
	}
	json_array_foreach(actions, i, action)
	{
		uint32_t v = get(action, "vm");
		struct instance_vm *vm = v < in->n_vms ? &in->vms[v] : NULL;

		if (!vm || vm->home != get(action, "from") || get(action, "to") >= HOSTS)
			return -1;
		vm->role = INSTANCE_LEAVES;
		vm->target = get(action, "to");
		vm->fixed_bytes_per_s = get(action, "bw");
		vm->fixed_s = get(action, "end") - get(action, "start");
		makespan = fmax(makespan, get(action, "end"));
	}
	instance_index(in);
	return makespan;
}

struct sums {
	unsigned n, worse;
	double ours, theirs, worst, worst_theirs, cpu_s;
};

static int plan_one(const char *path, struct sums *s)
{
	struct planner_options options = { .seed = 1,
		                           .effort = PLANNER_EFFORT,
		                           .rates = SCHEDULE_RESERVED };
	struct planner_plan plan;
	struct instance in = { 0 };
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	double published, bound, cpu_s;

	if (!root)
		return fprintf(stderr, "%s: %s\n", path, error.text), 1;
	published = make(root, &in);
	json_decref(root);
	if (published < 0) {
		instance_deinit(&in);
		return fprintf(stderr, "%s is no plan of UCC'15\n", path), 1;
	}
	cpu_s = bench_cpu_s();
	planner_make(&in, &options, &plan);
	s->cpu_s += bench_cpu_s() - cpu_s;
	/* Theirs: only the links. */
	bound = plan.bounds.link_s;
	if (plan.n_proofs)
		plan.schedule.makespan_s = INFINITY;
	s->n++;
	s->ours += plan.schedule.makespan_s / bound;
	s->theirs += published / bound;
	s->worst = fmax(s->worst, plan.schedule.makespan_s / bound);
	s->worst_theirs = fmax(s->worst_theirs, published / bound);
	s->worse += plan.schedule.makespan_s > published + 1e-9;
	planner_plan_deinit(&plan);
	instance_deinit(&in);
	return 0;
}

int bench_ucc15(const char *directory)
{
	struct sums s = { 0 };
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	int rc = 0;

	if (!dir)
		return fprintf(stderr, "%s: %m\n", directory), 1;
	while ((entry = readdir(dir)) && !rc) {
		size_t length = strlen(entry->d_name);
		char *path;

		if (length < 5 || strcmp(entry->d_name + length - 5, ".json") != 0)
			continue;
		path = xasprintf("%s/%s", directory, entry->d_name);
		rc = plan_one(path, &s);
		free(path);
	}
	closedir(dir);
	if (rc || !s.n)
		return rc ? rc : (fprintf(stderr, "%s has no plans\n", directory), 1);
	printf("ucc15 plans %u\nucc15 mean %.4f\nucc15 max %.4f\nucc15 worse %u\n"
	       "ucc15 published_mean %.4f\nucc15 published_max %.4f\nucc15 cpu_ms %.2f\n",
	       s.n, s.ours / s.n, s.worst, s.worse, s.theirs / s.n, s.worst_theirs,
	       s.cpu_s * 1e3 / s.n);
	return 0;
}
