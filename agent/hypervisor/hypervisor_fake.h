/* SPDX-License-Identifier: Apache-2.0 */
/* A hypervisor in memory: several hosts in one world, guests that dirty memory, moves that take
 * time and go wrong on demand.
 *
 *	struct fake_world *world = fake_world_new();
 *	fake_world_add_host(world, &(struct fake_host_settings){ .name = "host1" });
 *	fake_world_add_host(world, &(struct fake_host_settings){ .name = "host2" });
 *	fake_world_add_guest(world, "host1", &(struct fake_guest_settings){ .name = "web" }, uuid);
 *	struct hypervisor *h = hypervisor_fake_new(world, "host1");
 *	h->ops->migrate(h, &(struct migrate_request){ .control_socket = "/fake/host2", ... }, &err);
 *
 * It behaves as libvirt 9.0 was measured to, also in its failures; the conformance suite holds it
 * to that. Time is the world's own: either it moves only in fake_world_advance, or, after
 * fake_world_run, as fast as told. Calls that wait (migrate, anything while libvirtd hangs) wait for
 * the world's time. A guest's identity exists once; each host has at most one copy of it, and the
 * world counts how many copies ever ran at the same time (invariant I1).
 *
 * Everything here may be called from any thread, but from an event callback.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"

struct fake_world;

struct fake_world *fake_world_new(void);
/* All of its hypervisors are freed by now. */
void fake_world_free(struct fake_world *world);

/* ---- time ---- */

/* In steps of 10 ms. Threads that wait for the result wake on their own. */
void fake_world_advance(struct fake_world *world, uint64_t ms);
/* From now on time passes by itself, @speed world milliseconds in each real one. */
void fake_world_run(struct fake_world *world, uint32_t speed);
uint64_t fake_world_get_now_ms(struct fake_world *world);
/* Returns once every event so far was handled by its callback. */
void fake_world_settle(struct fake_world *world);

/* ---- what there is; zero means the default in brackets ---- */

struct fake_host_settings {
	const char *name;           /* "host1" */
	uint64_t memory_bytes;      /* [4 GiB]; available = this minus the guests' RAM */
	uint64_t link_bytes_per_s;  /* [1 Gbit/s], shared by the moves that use it */
	uint32_t cpus;              /* [4] */
	const char *cpu_missing;    /* CPU features it lacks, separated by blanks ["avx512f"] */
	const char *machines;       /* machine types it has ["pc-i440fx-7.2 pc-q35-7.2"] */
	const char *qemu_version;   /* ["7.2.22"] */
	const char *networks;       /* bridges, networks, taps and sockets ["br0"] */
	const char *open_vswitches; /* those of them that are of Open vSwitch [""] */
	uint32_t network_mtu;       /* of all of them [1500] */
	uint32_t vcpus_max;         /* of one guest [255] */
	const char *loaders;        /* firmware that comes with its QEMU [""] */
	bool swtpm;
	uint64_t tsc_hz; /* [2.6 GHz] */
	bool tsc_scaling;
	const char *lock_manager;      /* [""] */
	const char *lockspace;         /* [""] */
	uint64_t keepalive_timeout_ms; /* a lost control path is noticed after [25 s] */
};

void fake_world_add_host(struct fake_world *world, const struct fake_host_settings *settings);

struct fake_guest_settings {
	const char *name;
	const char *uuid;           /* [made from the name] */
	uint64_t memory_bytes;      /* [256 MiB] */
	uint32_t vcpus;             /* [1] */
	uint64_t working_set_bytes; /* [half of the memory] */
	uint64_t dirty_bytes_per_s; /* [0] */
	bool cpu_bound;             /* what holds its CPUs back slows its writes, too */
	const char *cpu_xml;        /* [qemu64] */
	const char *cpu_mode;       /* ["custom"] */
	const char *machine;        /* ["pc-i440fx-7.2"] */
	bool persistent, autostart;
	bool shutoff;            /* defined only */
	bool image_lock;         /* its disk has a lock that is seen by all hosts */
	uint64_t shutdown_ms;    /* it takes so long when it is asked [200 ms] */
	bool ignores_shutdown;   /* it is asked in vain */
	const char *no_shutdown; /* why it would not stay shut off [""] */
	const struct vm_disk *disks;
	size_t n_disks;
	const struct vm_interface *interfaces;
	size_t n_interfaces;
	const struct check *blockers;
	size_t n_blockers;
	const struct vm_firmware *firmware; /* [QEMU's own] */
	enum vm_agent_channel agent_channel;
	uint64_t tsc_hz;
};

/* @ret_uuid (VM_UUID_BYTES) may be NULL. */
void fake_world_add_guest(struct fake_world *world, const char *host,
                          const struct fake_guest_settings *settings, char *ret_uuid);

/* One connection to @host's libvirtd; any number may be open. Its control socket, for the request
 * of a move to it, is "/fake/HOST". */
struct hypervisor *hypervisor_fake_new(struct fake_world *world, const char *host);

/* ---- what goes wrong ---- */

enum fake_fault {
	FAKE_FAULT_NONE,
	FAKE_FAULT_PREPARE,      /* the destination cannot start QEMU: a port is taken */
	FAKE_FAULT_TARGET_DIES,  /* the destination's QEMU is killed in the second iteration */
	FAKE_FAULT_SOURCE_DIES,  /* the source's QEMU is killed there */
	FAKE_FAULT_FINISH_REPLY, /* the destination resumes, the source never hears of it */
	FAKE_FAULT_POSTCOPY, /* the transfer breaks half-way through post-copy; both halves stay */
	FAKE_FAULT_SUCCESS_LOST, /* the call returns 0, and no guest is at the destination */
};

/* For the guest's next move. */
void fake_world_inject(struct fake_world *world, const char *uuid, enum fake_fault fault);

/* 0: the migration network is dead; bytes stop, and the rate that a job shows goes stale. */
void fake_world_set_link(struct fake_world *world, const char *host, uint64_t bytes_per_s);

/* Whether other hosts' libvirtds reach this one: the tunnel. */
void fake_world_set_control(struct fake_world *world, const char *host, bool up);

enum fake_libvirtd {
	FAKE_LIBVIRTD_UP,
	FAKE_LIBVIRTD_DOWN, /* killed: calls fail at once; moves fail; copies to it die on its return */
	FAKE_LIBVIRTD_HUNG, /* stopped: calls fail when keepalive gives up, after 4 s */
};

void fake_world_set_libvirtd(struct fake_world *world, const char *host, enum fake_libvirtd state);

/* As when the agent's process dies: calls that wait on @host return ERROR_UNKNOWN_OUTCOME; the moves
 * themselves go on. */
void fake_world_drop_callers(struct fake_world *world, const char *host);

/* A write of the guest's fails: QEMU pauses it. */
void fake_world_fail_disk(struct fake_world *world, const char *host, const char *uuid);

/* Somebody's hand, or a hook of libvirt's: the guest is another one from now on, wherever it is. @change
 * calls nothing of the world's. */
void fake_world_change_guest(struct fake_world *world, const char *uuid,
                             void (*change)(struct vm_description *d));

/* How long it takes to shut down from now on when asked; never: it ignores that. */
void fake_world_set_shutdown(struct fake_world *world, const char *uuid, bool never, uint64_t ms);

/* The operator's hand, past every check: destroys and starts nothing else. */
void fake_world_kill_guest(struct fake_world *world, const char *host, const char *uuid);
void fake_world_power_off_guest(struct fake_world *world, const char *host, const char *uuid);

/* ---- what happened ---- */

/* Copies of the guest whose vCPUs run now, and the most there ever were at once. */
uint32_t fake_world_count_running(struct fake_world *world, const char *uuid);
uint32_t fake_world_get_most_running(struct fake_world *world, const char *uuid);
/* Milliseconds for which the guest has run; a restart begins at 0 again. */
uint64_t fake_world_get_guest_run_ms(struct fake_world *world, const char *uuid);
