/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent needs from a hypervisor: the seam to libvirt.
 *
 *	agent.c (owner thread)  -- questions -->  courier threads  -->  struct hypervisor_ops
 *	                        <-- messages ---                        |-- hypervisor_libvirt
 *	                                                                '-- hypervisor_fake
 *
 * All operations may block and are called on courier threads, several at a time. Nothing of libvirt
 * passes through here but its words in error texts. Both implementations pass the conformance suite
 * (tests/conformance/hypervisor).
 *
 * A lost connection to libvirt is not "no guests": operations then fail with ERROR_UNREACHABLE and
 * nothing may be concluded from it (invariant I8).
 */
#pragma once

#include "agent/hypervisor/host_signature.h"
#include "common/check.h"
#include "common/error.h"
#include "common/fit.h"
#include "common/transfer.h"

#include <stdbool.h>
#include <stdint.h>

#define VM_NAME_BYTES     256
#define VM_UUID_BYTES     37
#define VM_PATH_BYTES     1024
#define VM_DISKS_MAX      32
#define VM_INTERFACES_MAX 16
#define VM_PLACES_MAX     16
#define VM_BINDINGS_MAX   16

enum vm_run_state {
	VM_UNKNOWN,
	VM_RUNNING,
	VM_PAUSED,   /* stopped vCPUs, memory complete */
	VM_INCOMING, /* paused, memory still arriving: not a second guest */
	VM_SHUTOFF,  /* defined, not active */
	VM_CRASHED,
	VM_RUN_STATES
};

const char *vm_run_state_name(enum vm_run_state state); /* "running" */

enum vm_pause_reason {
	VM_PAUSE_NONE,
	VM_PAUSE_USER,
	VM_PAUSE_MIGRATION, /* this guest is being switched over, or was and libvirt stopped */
	VM_PAUSE_POSTCOPY_FAILED,
	VM_PAUSE_IO_ERROR,
	VM_PAUSE_OTHER,
	VM_PAUSE_REASONS
};

const char *vm_pause_reason_name(enum vm_pause_reason reason); /* "migration" */

/* At the destination of a post-copy the guest runs before all of its memory is there. */
enum vm_postcopy {
	VM_POSTCOPY_NONE,
	VM_POSTCOPY_RECEIVING,
	VM_POSTCOPY_BROKEN, /* nothing more arrives until the transfer is resumed */
};

/* One guest as libvirt lists it. */
struct vm_summary {
	char uuid[VM_UUID_BYTES];
	char name[VM_NAME_BYTES];
	enum vm_run_state state;
	enum vm_pause_reason pause_reason;
	char reason[48]; /* libvirt's word, as virsh has it: "migrated", "migrating", "user" */
	uint64_t memory_bytes; /* maximum */
	uint32_t vcpus;
	bool active; /* a QEMU process exists */
	bool persistent;
	bool autostart;
	bool job_out;              /* an outgoing migration job runs */
	enum vm_postcopy postcopy; /* of what arrives here; its source is paused */
};

/* By what they say: bytes after a text's end do not count. */
bool vm_summary_equal(const struct vm_summary *a, const struct vm_summary *b);

struct vm_disk {
	char target[32]; /* "vda"; "vda[1]" is the image that vda's is built on */
	char type[16];   /* "file", "block", "network"; "none": an empty drive */
	char device[16]; /* "disk", "cdrom", "floppy" */
	char source[VM_PATH_BYTES];
	char format[16];
	bool read_only, shareable;
	/* Of a file that is written to, as its own host sees it (agent/storage/storage_image.h). */
	uint64_t capacity_bytes;  /* what the guest sees; 0 = not known */
	uint64_t allocated_bytes; /* what the file takes up now */
	uint64_t size_bytes;      /* as QEMU has it (struct vm_devices); 0 = not known */
	char copy_problem[128];   /* why it cannot be copied as it is; "" = nothing known */
	bool built_on_another;    /* by its own header */
};

struct vm_interface {
	char mac[24];
	char type[16];    /* "bridge", "network", "direct", "ethernet", "vhostuser", "user" ... */
	char source[128]; /* bridge, network, lower device or socket */
	char model[32];
	char target[32];        /* "vnet0" */
	char virtual_port[16];  /* "openvswitch", "802.1Qbh" ...; "" = none */
	uint32_t mtu;           /* 0 = whatever its bridge has */
	bool target_must_exist; /* its tap is made by somebody else than libvirt */
	bool socket_server;     /* QEMU makes the socket: only its directory must exist */
	bool failover;  /* the half of a failover pair that the guest unplugs before a move */
	bool link_down; /* its cable is unplugged, as the guest sees it */
};

/* What a guest starts with. */
struct vm_firmware {
	char loader[256];      /* "" = QEMU's own BIOS */
	uint64_t loader_bytes; /* of the file at its source; 0 = not looked at */
	char loader_digest[24];
	bool secure_boot;
	char nvram[VM_PATH_BYTES];
	char nvram_template[256];
	char tpm[16]; /* its backend: "emulator", "passthrough"; "" = none */
};

/* A thing of the host that the guest's XML names by address or path. */
enum vm_place_kind {
	VM_PLACE_ADDRESS,   /* listened at: must be an address of the host */
	VM_PLACE_DIRECTORY, /* a file is made in it */
	VM_PLACE_PATH,      /* a file or device that is opened: must exist */
	VM_PLACE_KINDS
};

const char *vm_place_kind_name(enum vm_place_kind kind); /* "address" */

struct vm_place {
	char name[32]; /* the XML's element: "graphics/vnc", "serial/0", "os/kernel" */
	enum vm_place_kind kind;
	char where[256];
};

/* RAM that may come from these NUMA nodes only: a strict <memory> or <memnode>. */
struct vm_binding {
	uint64_t nodes; /* bit n: node n */
	uint64_t bytes;
};

enum vm_agent_channel {
	VM_AGENT_NONE,         /* the guest has no channel for a guest agent */
	VM_AGENT_DISCONNECTED, /* it has, and nobody answers at its other end */
	VM_AGENT_CONNECTED,
	VM_AGENT_CHANNELS
};

const char *vm_agent_channel_name(enum vm_agent_channel channel); /* "connected" */

/* One guest in depth, from its live, migratable XML. */
struct vm_description {
	struct vm_summary summary;
	uint32_t vcpus_maximum; /* with those that could be plugged */
	bool job_other;         /* a backup, dump, save or snapshot runs on it */
	char disk_error[64];    /* "vda: no space"; "" = none */
	enum vm_agent_channel agent_channel;
	/* Why a shutdown would not leave it shut off, defined, on its host; "" = it would. */
	char no_shutdown[160];
	uint64_t overhead_bytes; /* QEMU's own memory, estimated: see agent/kernel/overhead.h */
	char arch[16];
	char machine[64];
	char virt_type[16];
	char emulator[256];
	char cpu_mode[24];
	char *cpu_xml; /* owned; the <cpu> element */
	/* Of its host; "" unless cpu_mode shows the guest all of that. */
	char host_signature[HOST_SIGNATURE_BYTES];
	uint64_t tsc_hz; /* it was told that its TSC runs at that; 0 = it was told nothing */
	uint64_t hugepage_bytes;
	struct vm_binding bindings[VM_BINDINGS_MAX];
	size_t n_bindings;
	struct vm_firmware firmware;
	struct vm_place places[VM_PLACES_MAX]; /* kernel, graphics, serials, channels */
	size_t n_places;
	struct vm_disk disks[VM_DISKS_MAX];
	size_t n_disks;
	struct vm_interface interfaces[VM_INTERFACES_MAX];
	size_t n_interfaces;
	/* CHECK_BLOCK: cannot move (host devices, snapshots ...); CHECK_FAIL: not now (a block job);
	 * CHECK_WARN: moves. Ids begin with "guest/". See agent/hypervisor/domain_blockers.h. */
	struct check_list blockers;
};

void vm_description_deinit(struct vm_description *d);

/* A transient guest is gone once it is off: into no_shutdown, unless that says something worse. */
void vm_description_judge_shutdown(struct vm_description *d);

struct vm_list {
	struct vm_summary *items; /* owned */
	size_t count;
};

void vm_list_deinit(struct vm_list *list);

struct host_facts {
	char hostname[128];
	char libvirt_version[24];
	char hypervisor_version[24];
	char arch[16];
	uint32_t cpus;
	uint64_t memory_total_bytes;     /* /proc/meminfo; libvirt's own figures lag (measured) */
	uint64_t memory_available_bytes; /* MemAvailable */
	uint64_t oom_kills; /* processes that the kernel ended for want of memory since its boot */
	char lock_manager[32]; /* "", "lockd", "sanlock", as QEMU's driver has it */
	char lockspace[VM_PATH_BYTES];
	char migration_tls_dir[VM_PATH_BYTES]; /* where QEMU takes its migration certificates */
	char qemu_user[64]; /* as qemu.conf has it; "" = the one that libvirt was built with */
	int unprivileged_userfaultfd; /* the sysctl of that name; -1 = the kernel has none */
};

/* What this host's hypervisor can give to one guest, by its emulator and machine type. */
struct guest_capabilities {
	uint32_t vcpus_max; /* of that machine type; 0 = not told */
	bool loader_listed; /* its loader is one of those that come with this host's QEMU */
	bool tpm_emulator;  /* swtpm is installed */
	uint64_t tsc_hz;    /* of the host; 0 = not told */
	bool tsc_scaling;   /* and it can show a guest another */
};

/* A disk of an active guest, as its QEMU has it. */
struct vm_disk_state {
	bool opened;
	uint64_t size_bytes; /* that the guest sees; 0 = not known */
	char why[128];       /* if it is not opened, or nobody could tell */
};

/* Where the tap of an interface really is. */
struct vm_plug {
	bool known;      /* false: it has no tap, or @why */
	char device[16]; /* the bridge it is a port of, or the device below it; "" = none */
	char why[128];
};

enum vm_clock {
	VM_CLOCK_NOT_ASKED, /* the guest has no agent, or was not to be asked */
	VM_CLOCK_SILENT,    /* it has one, and was asked in vain */
	VM_CLOCK_KNOWN,
};

/* What an active guest has, where its XML only says what was wanted. In the order of its description. */
struct vm_devices {
	struct vm_disk_state disks[VM_DISKS_MAX];
	struct vm_plug plugs[VM_INTERFACES_MAX];
	enum vm_clock clock;
	int64_t clock_ahead_ms; /* KNOWN: of this host's */
	char clock_why[128];    /* SILENT */
};

/* A job as virDomainGetJobStats tells it. All zero with active false: no job. */
struct vm_job {
	bool active;
	uint64_t elapsed_ms;
	uint64_t memory_total_bytes, memory_processed_bytes, memory_remaining_bytes;
	uint64_t disk_total_bytes, disk_processed_bytes, disk_remaining_bytes;
	uint64_t transfer_bytes_per_s; /* stale when the network is dead: see libvirt's behaviour */
	uint64_t dirty_bytes_per_s;
	uint64_t page_bytes;
	uint32_t iteration;
	uint64_t expected_downtime_ms;
	uint64_t downtime_ms; /* completed jobs */
	uint32_t throttle_percent;
	bool completed; /* statistics of the last, finished job */
};

/* What QEMU found when it last sampled the pages of an active guest: 512 of each GiB, by checksum. */
struct vm_dirty_rate {
	bool measuring, measured; /* neither: nobody has asked since its QEMU began */
	uint32_t window_s;        /* that was asked for */
	uint64_t
		bytes_per_s; /* of different pages, whole MiB/s; 0 may be little, or a rare place */
	uint64_t resident_bytes; /* of its QEMU in the host's memory now; 0 = not known */
};

struct migrate_request {
	const char *uuid;
	const char *control_socket;  /* the local tunnel's socket: qemu+unix:///system?socket=... */
	const char *migrate_uri;     /* "tcp://10.78.0.2:49152" */
	const char *listen_address;  /* "10.78.0.2" */
	const char *tls_destination; /* name in the peer's migration certificate; NULL = address */
	uint64_t bandwidth_bytes_per_s;
	uint64_t max_downtime_ms;
	bool tls;
	bool paused;        /* two-step commit: stay paused at the destination */
	bool auto_converge; /* QEMU may hold the guest's CPUs back until it converges */
	bool post_copy;     /* start_postcopy may come; not with @paused */
	bool resume; /* a broken post-copy of the guest goes on; with the flags it was begun with */
	bool persistent; /* persist there, undefine here */
	/* Every disk is proved shared or copied, or an administrator says so: only then libvirt's own
	 * check of it is switched off. */
	bool storage_proved_shared;
	/* Disks whose contents go along, by target ("vda"); empty images of their format and size are at
	 * the destination already. libvirt leaks a port that is given by number (measured). */
	const char *disks_uri; /* "tcp://10.78.0.2:49153" */
	const char *const *copied_disks;
	size_t n_copied_disks;
	bool copy_incremental; /* of these, what the images that they are built on do not have */
	uint32_t connections;  /* for the memory; 0 or 1: one. Not with @post_copy */
	enum compression compression;
};

enum hypervisor_event_kind {
	HYPERVISOR_VM_CHANGED,    /* uuid: list it again */
	HYPERVISOR_ITERATION,     /* uuid, iteration */
	HYPERVISOR_JOB_COMPLETED, /* uuid, job: the final statistics; on success only */
	HYPERVISOR_CONNECTED,
	HYPERVISOR_DISCONNECTED, /* error says why */
};

/* What ended a guest, by libvirt's word; a guest that moved has not ended. */
enum vm_end {
	VM_END_NONE,
	VM_END_POWERED_OFF, /* by itself, or because it was asked to (virsh shutdown) */
	VM_END_DESTROYED,   /* by somebody's hand */
	VM_END_DIED,        /* it crashed, or its QEMU ended */
	VM_ENDS
};

/* "somebody ended the guest at its source during the move (virsh destroy)" */
const char *vm_end_sentence(enum vm_end end);

struct hypervisor_event {
	enum hypervisor_event_kind kind;
	char uuid[VM_UUID_BYTES];
	enum vm_end end; /* VM_CHANGED: it has ended here; it did not move */
	bool switchover; /* VM_CHANGED: its vCPUs were stopped here for the switchover ... */
	uint64_t at_ms;  /* ... at this time, clock_now_ms scale */
	bool runs;       /* VM_CHANGED: its vCPUs go on here, after a move or a pause */
	uint32_t iteration;
	struct vm_job job;
	struct error error;
};

/* What becomes of a limit: whole MiB/s, rounded down so that it is kept, but never to nothing; 0
 * stays "no limit". */
uint64_t hypervisor_round_speed(uint64_t bytes_per_s);

struct hypervisor; /* each implementation embeds it first */

struct hypervisor_ops {
	void (*free)(struct hypervisor *h);

	/* Starts watching: @event is called on a courier thread (never concurrently), first with
	 * CONNECTED or DISCONNECTED; reconnects by itself, at least every second. The callback posts
	 * a message and calls no operation of @h. */
	int (*watch)(struct hypervisor *h,
	             void (*event)(const struct hypervisor_event *e, void *context), void *context,
	             struct error *err);
	/* From its return on that callback is not called any more. Waits for one under way, and for
	 * nothing else: not for libvirt. Harmless where nothing is watched. */
	void (*hush)(struct hypervisor *h);

	int (*host_facts)(struct hypervisor *h, struct host_facts *ret, struct error *err);

	/* All guests, active and defined. */
	int (*list)(struct hypervisor *h, struct vm_list *ret, struct error *err);

	/* -ERROR_NOT_FOUND when libvirt does not know it: that is evidence of absence. */
	int (*find)(struct hypervisor *h, const char *uuid, struct vm_summary *ret,
	            struct error *err);
	int (*describe)(struct hypervisor *h, const char *uuid, struct vm_description *ret,
	                struct error *err);

	/* Of an active guest that was described as @d here. What cannot be told about a single device
	 * is told with it. With @ask_clock its agent is waited for, if it has one: some seconds. */
	int (*devices)(struct hypervisor *h, const struct vm_description *d, bool ask_clock,
	               struct vm_devices *ret, struct error *err);

	/* Could this host run a guest with this CPU and machine? Fills two checks, "cpu" and
	 * "machine", with what is missing. An error means that it could not be asked. */
	int (*compare_cpu)(struct hypervisor *h, const struct vm_description *d,
	                   struct check *ret_cpu, struct check *ret_machine, struct error *err);

	/* What could that guest have here? With an unknown machine type: any guest. */
	int (*capabilities)(struct hypervisor *h, const struct vm_description *d,
	                    struct guest_capabilities *ret, struct error *err);

	/* What this host has for any guest: machine types, bridges and networks, its processor. What
	 * cannot be told of it is left out as not known. Asks as much as capabilities does. */
	int (*offers)(struct hypervisor *h, struct host_offers **ret, struct error *err);

	/* Where would that interface be plugged in here? */
	int (*find_network)(struct hypervisor *h, const struct vm_interface *interface,
	                    struct network_facts *ret, struct error *err);

	/* Blocks until libvirt's call returns, on a connection of its own. The return value is no
	 * proof of anything: look at both hosts. */
	int (*migrate)(struct hypervisor *h, const struct migrate_request *r, struct error *err);

	int (*job)(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err);
	int (*last_job)(struct hypervisor *h, const char *uuid, struct vm_job *ret,
	                struct error *err);
	int (*abort_job)(struct hypervisor *h, const char *uuid, struct error *err);
	int (*set_max_downtime)(struct hypervisor *h, const char *uuid, uint64_t ms,
	                        struct error *err);
	/* Of the move that runs, from now on; 0 = no limit. In whole MiB/s, as hypervisor_round_speed
	 * says. Without a move it changes nothing: each one sets its own limit when it begins. */
	int (*set_max_speed)(struct hypervisor *h, const char *uuid, uint64_t bytes_per_s,
	                     struct error *err);
	/* QEMU samples the guest's pages now and once more after @window_s (1 to 60): the call does
	 * not wait. A look, that costs a guest of 1 GiB two times 512 checksums. Not while it is
	 * being moved: the answer would be the move's, too. -ERROR_REFUSED: it is not active. */
	int (*start_dirty_rate)(struct hypervisor *h, const char *uuid, uint32_t window_s,
	                        struct error *err);
	/* What the last sampling has found, whoever has asked for it. */
	int (*dirty_rate)(struct hypervisor *h, const char *uuid, struct vm_dirty_rate *ret,
	                  struct error *err);

	/* Of a move that was begun with @post_copy: the guest runs on at the destination, which
	 * fetches what is missing. There is no way back: neither half is a guest without the other.
	 * -ERROR_REFUSED before its memory is being sent. */
	int (*start_postcopy)(struct hypervisor *h, const char *uuid, struct error *err);

	/* Breaks the transfer of a post-copy, asked at the source: both halves stay as they are, and
	 * migrate with @resume goes on with it, perhaps over a connection that is not dead. The call
	 * of the move returns when the destination has noticed, too. -ERROR_REFUSED: there is none; any
	 * other error if it is broken already. */
	int (*break_postcopy)(struct hypervisor *h, const char *uuid, struct error *err);

	int (*suspend)(struct hypervisor *h, const char *uuid, struct error *err);
	int (*resume)(struct hypervisor *h, const char *uuid, struct error *err);
	/* Asks the guest to shut down: by its agent if that is connected, else, or if that fails, by its
	 * power button (ACPI). It may take its time, or ignore it: the host's list shows what came of it.
	 * -ERROR_REFUSED: it is not active, or would not stay shut off (vm_description.no_shutdown). */
	int (*shut_down)(struct hypervisor *h, const char *uuid, struct error *err);
	/* Starts a guest that is defined here. 0 if it is active already. */
	int (*start)(struct hypervisor *h, const char *uuid, struct error *err);
	/* Kills its QEMU. Callers ask may_destroy() first; see agent/kernel/resolve.h. */
	int (*destroy)(struct hypervisor *h, const char *uuid, struct error *err);
	/* Removes the definition; also clears libvirt's "shut off (migrated)" ghost of a transient
	 * guest (define, then undefine). */
	int (*undefine)(struct hypervisor *h, const char *uuid, struct error *err);
	int (*set_autostart)(struct hypervisor *h, const char *uuid, bool on, struct error *err);
};

struct hypervisor {
	const struct hypervisor_ops *ops;
};

/* @uri: "qemu:///system". Nothing is connected until watch or the first question. */
struct hypervisor *hypervisor_libvirt_new(const char *uri);

/* For tests: files of the host (/etc/libvirt, /proc/meminfo) are looked up under @root. */
void hypervisor_libvirt_set_root(struct hypervisor *h, const char *root);
