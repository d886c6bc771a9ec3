/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hypervisor_fake*.c: the world behind the fake hypervisors.
 *
 * One lock guards all of it. Functions that end in _locked are called with it held.
 */
#pragma once

#include "agent/hypervisor/hypervisor_fake.h"

#include <pthread.h>

#define FAKE_STEP_MS      10
#define FAKE_NAME_BYTES   64
#define FAKE_WORDS_BYTES  256
#define FAKE_PREPARE_MS   300 /* QEMU's start at the destination (measured: 350-500) */
#define FAKE_TEARDOWN_MS  200 /* QEMU's end at the source */
#define FAKE_ABORT_MS     100
#define FAKE_KEEPALIVE_MS 4000 /* of an agent's connection to its libvirtd */
#define FAKE_SWITCH_MS    20   /* downtime besides the last bytes */
#define FAKE_UNLIMITED    UINT64_MAX
#define FAKE_NEVER        UINT64_MAX

/* What a guest is, wherever its copies are. */
struct fake_guest {
	struct fake_guest *next;
	struct vm_description description; /* its summary: name, uuid, sizes */
	uint64_t working_set_bytes, dirty_bytes_per_s;
	bool image_lock, cpu_bound;
	uint64_t shutdown_ms; /* it takes so long when asked; FAKE_NEVER: it ignores that */
	enum fake_fault fault;
	uint32_t most_running;
	uint64_t run_ms;
};

/* A guest as one host's libvirt knows it. */
struct fake_copy {
	struct fake_copy *next;
	struct fake_guest *guest;
	struct fake_host *host;
	enum vm_run_state state;
	enum vm_pause_reason pause_reason;
	char reason[48];
	bool persistent, autostart;
	enum vm_end end; /* told with the next change */
	bool doomed;     /* an incoming copy whose libvirtd died: killed when that returns */
	uint64_t max_downtime_ms; /* sticks to the copy, as libvirt's does */
	struct fake_move *move;   /* outgoing or incoming, or NULL */
	struct vm_job last_job;
	uint32_t sampling_s;    /* the window of the last sampling; 0 = there was none */
	uint64_t sampled_at_ms; /* when that is through */
	uint64_t off_at_ms;     /* it was asked to shut down and is off then; 0 = it was not */
};

struct fake_host {
	struct fake_host *next;
	char name[FAKE_NAME_BYTES];
	char socket[FAKE_NAME_BYTES + 8];
	uint64_t memory_bytes, link_bytes_per_s, keepalive_timeout_ms;
	uint32_t cpus;
	char cpu_missing[FAKE_WORDS_BYTES], machines[FAKE_WORDS_BYTES], networks[FAKE_WORDS_BYTES];
	char open_vswitches[FAKE_WORDS_BYTES], loaders[FAKE_WORDS_BYTES], qemu_version[24];
	char lock_manager[32], lockspace[VM_PATH_BYTES];
	uint32_t network_mtu, vcpus_max;
	uint64_t tsc_hz;
	bool swtpm, tsc_scaling;
	enum fake_libvirtd libvirtd;
	bool control_up;
	uint32_t callers_dropped; /* counts up: a waiter that sees it change gives up */
	struct fake_copy *copies;
};

/* Phases of a move, in their order:
 *
 *	                      .---> postcopy ---.<--> broken
 *	prepare -> disks -> copy -> switch -> teardown -> over
 *	   |         |       |        |  '--> reply_lost ---^
 *	   +---------+-------+--------+-----> rollback -----^
 */
enum fake_phase {
	FAKE_PHASE_PREPARE,
	FAKE_PHASE_DISKS, /* passed at once unless disks are copied */
	FAKE_PHASE_COPY,
	FAKE_PHASE_SWITCH,
	FAKE_PHASE_POSTCOPY, /* no way back from here */
	FAKE_PHASE_BROKEN,   /* its call has returned; libvirt keeps the job until it is resumed */
	FAKE_PHASE_TEARDOWN,
	FAKE_PHASE_REPLY_LOST,
	FAKE_PHASE_ROLLBACK,
	FAKE_PHASE_OVER,
};

struct fake_move {
	struct fake_move *next;
	struct fake_guest *guest;
	struct fake_host *source, *target;
	enum fake_phase phase;
	uint64_t started_ms, phase_started_ms;
	uint64_t control_lost_ms; /* 0: the control path is there */
	uint64_t iteration_started_ms;
	uint64_t bandwidth_bytes_per_s;
	uint64_t disk_bytes; /* to be copied */
	bool paused, persistent, auto_converge, post_copy;
	bool source_was_paused;
	unsigned hot_iterations; /* more than half of what was sent was written again */
	enum fake_fault fault;
	bool aborted;
	bool abandoned; /* its caller went away; freed when over */
	struct vm_job job;
	int result;
	struct error error;
};

struct fake_queued_event {
	struct fake_queued_event *next;
	struct hypervisor_event event;
};

/* One struct hypervisor. */
struct fake_handle {
	struct hypervisor base;
	struct fake_world *world;
	struct fake_host *host;
	struct fake_handle *next;
	void (*event)(const struct hypervisor_event *e, void *context);
	void *context;
	bool watching, closing, in_callback;
	pthread_t courier;
	struct fake_queued_event *first, **last;
};

struct fake_world {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* broadcast whenever anything did */
	uint64_t now_ms;
	struct fake_host *hosts;
	struct fake_guest *guests;
	struct fake_move *moves;
	struct fake_handle *handles;
	pthread_t clock;
	uint32_t speed;
	bool clock_running, closing;
};

/* All find functions return NULL if there is none; the get ones abort: a test named nonsense. */
struct fake_host *fake_world_find_host_locked(struct fake_world *world, const char *name);
struct fake_host *fake_world_get_host_locked(struct fake_world *world, const char *name);
struct fake_guest *fake_world_find_guest_locked(struct fake_world *world, const char *uuid);
struct fake_guest *fake_world_get_guest_locked(struct fake_world *world, const char *uuid);
/* NULL: the guest has no such disk. */
const struct vm_disk *fake_guest_find_disk(const struct fake_guest *guest, const char *target);
struct fake_copy *fake_host_find_copy_locked(struct fake_host *host, const char *uuid);

/* Changes what a copy does, counts who runs, and tells the watchers of its host. */
void fake_copy_set_locked(struct fake_world *world, struct fake_copy *copy, enum vm_run_state state,
                          enum vm_pause_reason pause_reason, const char *reason);
struct fake_copy *fake_copy_add_locked(struct fake_world *world, struct fake_host *host,
                                       struct fake_guest *guest);
void fake_copy_remove_locked(struct fake_world *world, struct fake_copy *copy);

/* To every handle that watches @host. */
void fake_host_tell_locked(struct fake_world *world, struct fake_host *host,
                           const struct hypervisor_event *event);

struct fake_move *fake_move_start_locked(struct fake_world *world, struct fake_copy *source,
                                         struct fake_host *target, const struct migrate_request *r);
/* A broken post-copy goes on. */
void fake_move_resume_locked(struct fake_world *world, struct fake_move *move);
/* Both halves stay as they are, and neither is a guest. */
void fake_move_break_locked(struct fake_world *world, struct fake_move *move, const char *text);
/* The guest runs on at the destination from now on. */
void fake_move_switch_to_postcopy_locked(struct fake_world *world, struct fake_move *move);
void fake_move_step_locked(struct fake_world *world, struct fake_move *move);
/* A libvirtd of the move's hosts has died. */
void fake_move_lose_libvirtd_locked(struct fake_world *world, struct fake_move *move,
                                    struct fake_host *host);
/* One of its copies' QEMU is gone. */
void fake_move_lose_copy_locked(struct fake_world *world, struct fake_copy *copy);

/* ---- the way into a libvirtd ---- */

static inline struct fake_handle *fake_handle_of(struct hypervisor *h)
{
	return (struct fake_handle *)h;
}

static inline bool fake_is_active(const struct fake_copy *copy)
{
	return copy->state != VM_SHUTOFF;
}

static inline bool fake_has_job_out(const struct fake_copy *copy)
{
	return copy->move && copy->move->source == copy->host;
}

/* Takes the world's lock, unless it returns an error; fake_leave gives it back. A hung libvirtd
 * holds callers until the keepalive of their connection gives up. */
int fake_enter(struct fake_handle *handle, struct error *err);
void fake_leave(struct fake_handle *handle);

/* As fake_enter, and finds the copy. */
int fake_enter_copy(struct fake_handle *handle, const char *uuid, struct fake_copy **ret,
                    struct error *err);

/* libvirt's "Requested operation is not valid". */
int fake_refuse(struct error *err, const char *text);

/* What a guest on that host sees of it: hosts that lack the same features are equal. */
void fake_host_signature(const struct fake_host *host, char *ret);

/* Operations that hypervisor_fake_admission.c has. */
int fake_compare_cpu(struct hypervisor *h, const struct vm_description *d, struct check *ret_cpu,
                     struct check *ret_machine, struct error *err);
int fake_capabilities(struct hypervisor *h, const struct vm_description *d,
                      struct guest_capabilities *ret, struct error *err);
int fake_offers(struct hypervisor *h, struct host_offers **ret, struct error *err);
int fake_find_network(struct hypervisor *h, const struct vm_interface *interface,
                      struct network_facts *ret, struct error *err);

/* Operations that hypervisor_fake_commands.c has. */
int fake_migrate(struct hypervisor *h, const struct migrate_request *r, struct error *err);
int fake_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err);
int fake_last_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err);
int fake_abort_job(struct hypervisor *h, const char *uuid, struct error *err);
int fake_start_postcopy(struct hypervisor *h, const char *uuid, struct error *err);
int fake_break_postcopy(struct hypervisor *h, const char *uuid, struct error *err);
int fake_set_max_downtime(struct hypervisor *h, const char *uuid, uint64_t ms, struct error *err);
int fake_set_max_speed(struct hypervisor *h, const char *uuid, uint64_t bytes_per_s,
                       struct error *err);
int fake_suspend(struct hypervisor *h, const char *uuid, struct error *err);
int fake_resume(struct hypervisor *h, const char *uuid, struct error *err);
int fake_destroy(struct hypervisor *h, const char *uuid, struct error *err);
int fake_undefine(struct hypervisor *h, const char *uuid, struct error *err);
int fake_set_autostart(struct hypervisor *h, const char *uuid, bool on, struct error *err);

/* Operations that hypervisor_fake_power.c has. */
/* Those that were asked to shut down, and whose time has come. */
void fake_power_step_locked(struct fake_world *world);
int fake_shut_down(struct hypervisor *h, const char *uuid, struct error *err);
int fake_start(struct hypervisor *h, const char *uuid, struct error *err);

/* Operations that hypervisor_fake_dirty.c has. */
int fake_start_dirty_rate(struct hypervisor *h, const char *uuid, uint32_t window_s,
                          struct error *err);
int fake_dirty_rate(struct hypervisor *h, const char *uuid, struct vm_dirty_rate *ret,
                    struct error *err);
