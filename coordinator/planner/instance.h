/* SPDX-License-Identifier: Apache-2.0 */
/* A planning problem as plain arrays: hosts, guests, who may go where, how fast.
 *
 * Nothing here knows of a fleet, a drain or an agent: whoever has a question builds an instance and
 * asks planner_make (planner.h). Hosts and guests are their indexes. The instance is read only while
 * it is planned on.
 *
 *	rooms     are what may still be given now: what stays and what is on its way in is taken off
 *	rates     bytes per second of payload, as doubles; times are seconds from now
 *	classes   interned: a guest's class is the set of hosts that can run it at all (CPU model,
 *	          machine type, storage, networks, labels). Class 0 is every host
 *	keys      what ties are broken by (a hash of the name): so the order of the arrays decides nothing
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ordinary pages, and three sizes of hugepages. */
#define INSTANCE_POOLS    4
#define INSTANCE_NONE     UINT32_MAX
#define INSTANCE_NO_LIMIT UINT32_MAX
/* With auto-converge a guest that dirties faster than it is sent still gets ahead this much. */
#define INSTANCE_LEAST_PROGRESS 0.1
/* Of a path nobody knows anything of: slow, not endless. */
#define INSTANCE_LEAST_BYTES_PER_S 1.0

enum instance_role {
	INSTANCE_STAYS,
	INSTANCE_LEAVES,  /* goes elsewhere: to `target`, or where there is room if that is NONE */
	INSTANCE_RUNNING, /* on its way to `target`; its room and ports there are taken already */
};

struct instance_host {
	uint64_t key;
	uint64_t free_bytes[INSTANCE_POOLS];
	uint64_t capacity_bytes; /* for comparison of how full hosts are; 0 = unknown */
	uint64_t vcpu_room;      /* UINT64_MAX = no limit */
	double out_bytes_per_s, in_bytes_per_s;
	uint32_t slots_out, slots_in, ports; /* in all, those of running moves included */
	bool open;                           /* takes guests */
	bool lanes; /* its agent lets the shortest of those that leave go first (hold.c) */
};

struct instance_vm {
	uint64_t key;
	enum instance_role role;
	uint32_t home, target;
	uint32_t hint;           /* where it was to go by the plan before; a wish, NONE: nowhere */
	uint64_t need_bytes;     /* of `pool`; of pool 0 with QEMU's own */
	uint64_t overhead_bytes; /* of pool 0, where the guest's RAM is of another */
	uint8_t pool;
	uint8_t ports;    /* 1, or 2 if disks are copied, too */
	uint8_t priority; /* higher goes first */
	uint32_t vcpus;
	uint32_t class_id;
	double work_bytes; /* still to be sent, were nothing dirtied */
	double dirty_bytes_per_s;
	double limit_bytes_per_s; /* of one migration; 0 = none */
	double overhead_s;        /* before bytes flow: admission, tunnel, switchover, clean-up */
	double prepare_s;         /* of that: done by then if it has waited for its slot */
	double fixed_s;           /* with reserved rates: known beforehand; 0 = not */
	double fixed_bytes_per_s; /* and the rate that goes with it */
	bool switched;            /* RUNNING and past its switchover */
};

enum instance_group_kind {
	INSTANCE_TOGETHER,
	INSTANCE_APART,
	INSTANCE_ON, /* a wish of hosts; where it must be so it is a class */
};

struct instance_group {
	enum instance_group_kind kind;
	bool hard;
	uint32_t class_id; /* ON: these hosts */
	uint32_t *vms;     /* owned */
	uint32_t n_vms;
};

struct instance {
	struct instance_host *hosts; /* owned, as all arrays here */
	uint32_t n_hosts;
	struct instance_vm *vms;
	uint32_t n_vms;
	struct instance_group *groups;
	uint32_t n_groups;
	uint64_t *classes; /* n_classes rows of `words` words, a bit per host */
	uint32_t n_classes, words;
	uint32_t slots; /* of the cluster */
	/* By instance_index: the groups of guest v are group_of[group_first[v] .. [v + 1]). */
	uint32_t *group_first, *group_of;
};

/* Hosts that take guests and have no limits but room (which is 0), guests that stay on host 0. */
void instance_init(struct instance *in, uint32_t n_hosts, uint32_t n_vms);
void instance_deinit(struct instance *in);

/* A new class of guests: all hosts, until some are forbidden. */
uint32_t instance_add_class(struct instance *in);
void instance_forbid(struct instance *in, uint32_t class_id, uint32_t host);

static inline bool instance_allows(const struct instance *in, uint32_t class_id, uint32_t host)
{
	return in->classes[(size_t)class_id * in->words + host / 64] >> host % 64 & 1;
}

/* @vms is copied. Call instance_index after the last. */
void instance_add_group(struct instance *in, enum instance_group_kind kind, bool hard,
                        const uint32_t *vms, uint32_t n_vms);
/* These guests would best be on hosts of that class. */
void instance_add_wish(struct instance *in, uint32_t class_id, const uint32_t *vms, uint32_t n_vms);
void instance_index(struct instance *in);

/* All that do not stay, in the order of the array; *ret_n of them. Freed by free(). */
uint32_t *instance_list_movers(const struct instance *in, uint32_t *ret_n);

/* What follows is asked millions of times in a plan. */

/* What a guest takes of that pool. */
static inline uint64_t instance_need(const struct instance_vm *vm, unsigned pool)
{
	return (vm->pool == pool ? vm->need_bytes : 0) +
	       (pool == 0 && vm->pool ? vm->overhead_bytes : 0);
}

/* The most that @vm alone gets from @from to @to. */
static inline double instance_path(const struct instance *in, const struct instance_vm *vm,
                                   uint32_t from, uint32_t to)
{
	double out = in->hosts[from].out_bytes_per_s, inbound = in->hosts[to].in_bytes_per_s;
	double rate = out < inbound ? out : inbound;

	if (vm->fixed_bytes_per_s > 0)
		return vm->fixed_bytes_per_s;
	if (vm->limit_bytes_per_s > 0 && vm->limit_bytes_per_s < rate)
		rate = vm->limit_bytes_per_s;
	return rate > INSTANCE_LEAST_BYTES_PER_S ? rate : INSTANCE_LEAST_BYTES_PER_S;
}

/* How fast what is left shrinks at that rate. */
static inline double instance_progress(const struct instance_vm *vm, double bytes_per_s)
{
	double left = bytes_per_s - vm->dirty_bytes_per_s;
	double slow = bytes_per_s * INSTANCE_LEAST_PROGRESS;

	return left > slow ? left : slow;
}

/* Seconds that bytes flow when @vm has its path for itself, and the bytes that this takes. */
static inline double instance_seconds(const struct instance *in, const struct instance_vm *vm,
                                      uint32_t from, uint32_t to)
{
	if (vm->fixed_s > 0)
		return vm->fixed_s;
	return vm->work_bytes / instance_progress(vm, instance_path(in, vm, from, to));
}

static inline double instance_bytes(const struct instance *in, const struct instance_vm *vm,
                                    uint32_t from, uint32_t to)
{
	return instance_seconds(in, vm, from, to) * instance_path(in, vm, from, to);
}

/* Well mixed: noise that a seed and a key decide. */
uint64_t instance_mix(uint64_t seed, uint64_t key);
