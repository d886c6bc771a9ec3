/* SPDX-License-Identifier: Apache-2.0 */
/* Can this host take that guest? Every check, always, each with what was measured, what is
 * required, and the next step.
 *
 *	couriers measure            owner thread, one step
 *	  cpu, machine  ---.
 *	  disks, networks  |        reservations_get_totals
 *	  ports            +----->  admission_judge --> check_list --> admitted? reservations_take
 *	  guard, conflicts |
 *	  tls  ------------'
 *
 * Pure: no I/O, no clock, no state. What was not measured (a courier failed, libvirt is away) is a
 * failing check that says so, never a passing one. Values from peers are range-checked first, so a
 * guest of 2^63 bytes is refused and not added up.
 *
 * Order of the answers: limits, guest, memory, hugepages, vcpus, cpu, tsc, machine, version, firmware,
 * graphics, serial, port, slot, bandwidth, latency, disk/..., network/..., guard, conflict/uuid,
 * conflict/name, node, tls, and last what the source found in the guest (guest/...).
 *
 *	admission.c		the order; port, guard, conflicts, node, tls
 *	admission_disks.c	disk/...
 *	admission_memory.c	limits, memory, hugepages
 *	admission_guest.c	guest, vcpus, tsc: what the guest is, against what this host can give
 *	admission_host.c	version, firmware, graphics, serial: what must be installed here
 *	admission_network.c	network/...
 *	admission_postcopy.c	post-copy
 *	admission_link.c	slot, bandwidth, latency
 *	admission_start.c	what of this also holds for a guest that is started here by its definition
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/guard.h"
#include "agent/kernel/reservations.h"
#include "agent/link/ports.h"
#include "agent/link/round_trip.h"
#include "agent/storage/storage_proof.h"
#include "common/check.h"
#include "common/path.h"

/* No host of today holds a guest above this. */
#define ADMISSION_MEMORY_MAX_BYTES ((uint64_t)64 << 40)
#define ADMISSION_VCPUS_MAX        8192
/* Nor an image above this. */
#define ADMISSION_DISK_MAX_BYTES ((uint64_t)1 << 50)

/* Where one interface would be plugged in. */
struct network_finding {
	bool needed; /* false: type "user", no source */
	bool measured;
	struct network_facts facts;
	char why[160]; /* if not measured */
};

/* The files of the guest's firmware, as they are here. */
struct firmware_finding {
	bool measured; /* only looked at if the guest has a loader or NVRAM */
	bool loader_present;
	uint64_t loader_bytes;
	char loader_digest[24];
	bool nvram_present, template_present; /* the one, or the other to make it from */
	char nvram_problem[128];              /* why it cannot be written; "" = it can */
	char why[160];                        /* if not measured */
};

/* One address or path that the guest's XML names. */
struct place_finding {
	bool measured;
	bool usable;
	char text[128]; /* what is wrong with it, or why it was not measured */
};

/* What runs on a host, as "7.2.22"; "" = not told. */
struct versions {
	char agent[32], libvirt[24], hypervisor[24];
};

/* Where the image of a disk would be made here that is not the same as the source's. */
struct image_finding {
	bool measured;
	bool present;            /* its directory is here */
	bool writable;           /* and can be written to */
	bool exists;             /* a file of that name is in it */
	uint64_t device;         /* its file system: st_dev */
	uint64_t free_bytes;     /* for others than root */
	uint64_t promised_bytes; /* to images of other guests on their way, by the books */
	char filesystem[24];     /* "ext4" */
	char why[144];           /* why not measured, present or writable */
};

/* What libvirt here knows under the guest's UUID and name. */
struct conflict_finding {
	bool measured;
	bool uuid_active;    /* the same guest runs here: maybe a second copy */
	bool uuid_inactive;  /* a definition left from earlier */
	bool uuid_autostart; /* which this host would start when it boots */
	bool name_taken;     /* by another UUID */
	char name_uuid[VM_UUID_BYTES];
	char why[160]; /* if not measured */
};

/* The migration link as it is now, and what the move asks of it. */
struct link_finding {
	uint64_t link_bytes_per_s;  /* configured, or the device's word; 0 = unknown */
	bool measured;              /* other_bytes_per_s is known */
	bool classified;            /* and has no migrations inside */
	uint64_t other_bytes_per_s; /* received on it now */
	uint64_t
		received_bytes_per_s; /* the most that came in here in a probe; 0 = there was none */
	bool is_claimed;              /* link_bytes_per_s is the device's word, nobody's setting */
	uint64_t limit_bytes_per_s;   /* the move's own; 0 = none */
	uint64_t minimum_bytes_per_s;
	/* The way from the source, with what else this host receives; PATH_NONE = not known, why says
	 * why. What is only the links' speed is not used. */
	struct path_estimate path;
};

/* Pages of the size that the guest needs, as the kernel counts them now. */
#define HUGEPAGE_NODES_MAX 64
struct hugepage_finding {
	bool measured;       /* only looked at if the guest wants them, or certain NUMA nodes */
	uint64_t free_bytes; /* not in use and not promised to a running process */
	uint64_t nodes;      /* bit n: NUMA node n is there */
	uint64_t node_free_bytes[HUGEPAGE_NODES_MAX]; /* per NUMA node */
};

struct admission_input {
	const struct vm_description *vm;
	const char *source_node;
	const char *node; /* this one */

	struct memory_totals memory; /* taken in the same step as the judgement */
	uint64_t available_bytes; /* MemAvailable: a warning when less than needed; 0 = unknown */
	struct hugepage_finding hugepages;
	uint64_t hugepages_promised_bytes; /* of that size, to guests on their way here */
	const char *memory_problem;        /* suspect figures, or pressure; NULL or "" = none */
	struct lease_totals leases;        /* in the same step, too */
	struct link_finding link;
	struct round_trip round_trip;
	uint64_t round_trip_limit_ms;

	struct guest_capabilities capabilities;
	bool capabilities_known;
	char capabilities_why[160]; /* if not */
	struct vcpu_totals vcpus;
	struct versions source_versions, versions;
	struct firmware_finding firmware;
	const struct place_finding *places; /* vm->n_places */

	struct check cpu, machine; /* hypervisor's compare_cpu; CHECK_UNSPECIFIED = not measured */
	char cpu_why[160];         /* why it could not be */

	struct port_survey port;
	const struct storage_finding *disks; /* vm->n_disks */
	bool copy_disks;                     /* was asked for */
	const struct transfer *transfer;     /* which, and how; NULL = all, whole */
	bool unsafe;       /* an administrator's word stands for a proof that cannot be had */
	bool copies_disks; /* and is needed: admission_copies_disk of any */
	const struct image_finding *images;     /* vm->n_disks; NULL = nobody looked */
	const struct network_finding *networks; /* vm->n_interfaces */
	enum guard guard;
	bool guard_waived;        /* an administrator goes without one */
	struct check guard_check; /* guard_choose */
	struct conflict_finding conflict;

	bool cordoned, draining, maintenance;
	const char *node_reason; /* what the operator said; may be NULL */
	bool incoming_allowed;   /* false: this agent is in safe mode or going down */

	bool tls_required; /* by policy or by the request */
	bool tls_ready;    /* certificates for migration are installed here */
	char tls_problem[160];

	bool post_copy;               /* it may switch to it */
	int unprivileged_userfaultfd; /* as host_facts has them */
	const char *qemu_user;

	bool already_reserved; /* this attempt has a reservation: memory and port are its own */
	uint16_t reserved_port, reserved_disk_port;
	uint64_t reserved_bytes_per_s;
};

void admission_judge(const struct admission_input *in, struct check_list *ret);

/* A guest of this host that is to be started by its definition, in no move, has its vCPUs and huge pages as
 * one that moves here would: else -ERROR_NO_SPACE, with the figures and the remedy. Needs of @in: vm,
 * hugepages, hugepages_promised_bytes, vcpus. Memory is reservations_hold's to refuse. */
int admission_check_start(const struct admission_input *in, struct error *err);

/* No FAIL and no BLOCK, and nothing left unspecified. */
bool admission_passes(const struct check_list *checks);

/* What a lease takes of the migration link; 0 = no figure. */
uint64_t admission_bandwidth_share(const struct admission_input *in);

/* Maximum memory and overhead, or 0 if the values make no sense (memory 0, above the maximum). */
uint64_t admission_memory_needed(const struct vm_description *vm);

/* The disk is not the same here, and is among those that @transfer (NULL = all) chooses: it is copied
 * where copying is asked for. Whether it can be is for the check to say. */
bool admission_copies_disk(const struct vm_disk *d, const struct storage_finding *f,
                           const struct transfer *transfer);

/* The image that @d's is built on, or NULL: none, or none that is known. */
const struct vm_disk *admission_find_backing(const struct vm_description *vm,
                                             const struct vm_disk *d);

/* What its image may grow to, or 0 if its size is not known or makes no sense. */
uint64_t admission_image_bytes(const struct vm_disk *d);

/* Room that copies of a guest's disks take where copying is asked for, by file system: at most
 * VM_DISKS_MAX of them. */
size_t admission_disk_rooms(const struct vm_description *vm, const struct storage_finding *disks,
                            const struct transfer *transfer, const struct image_finding *images,
                            struct disk_room *ret);

/* The interface needs a bridge or network here: not "user", "null", "hostdev". */
bool admission_interface_needs_network(const struct vm_interface *i);
