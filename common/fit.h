/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a guest fits a host: the rules, for the destination that has measured and for whoever plans.
 *
 *	destination's admission     measures for one guest, and asks these rules
 *	its agent beforehand        says what it has for any guest (struct host_offers)
 *	source's agent              says what its guest wants (struct guest_needs)
 *	coordinator                 asks the same rules about both
 *
 * So a plan that fits is not refused for what could be known, and a rule cannot be one thing here and
 * another there. What nobody has told does not refuse: the destination has the last word. What only the
 * destination's own eyes can judge (whether a disk is the same, how far away a host is) is no rule here.
 *
 * Pure; plain values. An all-zero value is a valid one: nothing is known.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIT_TEXT_BYTES       256
#define HOST_SIGNATURE_BYTES 512

/* --- vCPUs --- */

/* As promised: a host gives more than it has, but not without a limit that somebody set. */
struct vcpu_totals {
	uint32_t cpus;               /* of this host; 0 = not known */
	uint32_t guests, reserved;   /* of active guests; of those on their way here */
	uint32_t overcommit_percent; /* 0 = no limit */
};

/* UINT64_MAX: no limit. */
uint64_t vcpus_get_limit(const struct vcpu_totals *t);
uint64_t vcpus_get_room(const struct vcpu_totals *t);

/* --- huge pages --- */

struct hugepage_pool {
	uint64_t page_bytes;
	uint64_t free_bytes;     /* in no process, mapped or touched */
	uint64_t promised_bytes; /* of them, to guests on their way here */
};

uint64_t hugepages_get_room(uint64_t free_bytes, uint64_t promised_bytes);

/* --- networks --- */

enum network_kind {
	NETWORK_OTHER, /* a device that is no bridge, a socket, or not told */
	NETWORK_BRIDGE,
	NETWORK_OPEN_VSWITCH,
};

/* Where one interface of a guest would be plugged in. */
struct network_facts {
	bool present;           /* and up, or active */
	enum network_kind kind; /* of the device */
	uint32_t mtu;           /* of the bridge or lower device; 0 = there is none to ask */
	char device[16];        /* the bridge of a libvirt network; "" = what was asked for */
};

enum network_fit {
	NETWORK_FITS,
	NETWORK_IS_MISSING,
	NETWORK_IS_OTHER,  /* a bridge of the wrong kind */
	NETWORK_IS_NARROW, /* its MTU is less than the guest's */
};

/* @type, @virtual_port: as in the domain XML; @mtu: the guest's, 0 = whatever there is. */
enum network_fit network_judge(const char *type, const char *virtual_port, uint32_t mtu,
                               const struct network_facts *facts);
enum network_kind network_get_wanted(const char *virtual_port);
const char *network_kind_name(enum network_kind kind); /* "a bridge of Open vSwitch" */

/* --- processors --- */

/* Signatures of hosts (agent/hypervisor/host_signature.h) are compared byte for byte; "" is equal to
 * none. @ret_text (may be NULL): the first line in which they differ, "here ..., there ...". */
bool signatures_differ(const char *source, const char *own, char *ret_text, size_t bytes);

/* --- what a guest wants of any host --- */

struct needed_network {
	char type[16];         /* "bridge", "network", "direct": those that a host lists */
	char source[128];      /* bridge, network or lower device */
	char virtual_port[16]; /* "openvswitch" */
	uint32_t mtu;          /* 0 = whatever its bridge has */
};

/* Readers of JSON have signed integers, and an exported fleet is to be read again. */
#define DIGEST_MAX ((uint64_t)INT64_MAX)

struct guest_needs {
	bool known;
	uint32_t vcpus_maximum;  /* with those that could be plugged */
	uint64_t hugepage_bytes; /* page size; 0 = none */
	char arch[16], virt_type[16], machine[64];
	bool sees_host; /* its CPU is not spelled out: it can only go to an equal host */
	/* Of its CPU, machine, emulator and TSC, up to DIGEST_MAX: one that is refused is so for all alike. */
	uint64_t digest;
	struct needed_network *networks; /* owned */
	size_t n_networks;
};

void guest_needs_copy(struct guest_needs *to, const struct guest_needs *from);
void guest_needs_deinit(struct guest_needs *needs);
bool guest_needs_equal(const struct guest_needs *a, const struct guest_needs *b);
/* Equal needs have equal hashes. */
uint64_t guest_needs_hash(const struct guest_needs *needs);

/* --- what a host has for any guest --- */

struct offered_machine {
	char arch[16], name[64];
	uint32_t vcpus_max; /* of one guest; 0 = not told */
};

/* One that is present and active. */
struct offered_network {
	bool device; /* of the kernel; else a network of libvirt's */
	char name[128];
	enum network_kind kind;
	uint32_t mtu;
};

struct host_offers {
	bool machines_known, networks_known;
	struct offered_machine *machines; /* owned; in the order of host_offers_sort */
	size_t n_machines;
	char (*types)[32]; /* owned; "x86_64 kvm" */
	size_t n_types;
	struct offered_network *networks; /* owned; likewise sorted */
	size_t n_networks;
	char signature[HOST_SIGNATURE_BYTES];
	uint64_t hash; /* of all of it: hosts alike are judged once; by host_offers_sort */
};

/* After the last was added. */
void host_offers_sort(struct host_offers *offers);
struct host_offers *host_offers_copy(const struct host_offers *offers);
void host_offers_free(struct host_offers *offers);
bool host_offers_equal(const struct host_offers *a, const struct host_offers *b);

#define HOST_POOLS_MAX 8

/* What a host can still give besides memory. */
struct host_rooms {
	bool known; /* false: its agent does not tell */
	struct vcpu_totals vcpus;
	bool pools_known;
	struct hugepage_pool pools[HOST_POOLS_MAX];
	size_t n_pools;
};

enum fit {
	FIT_YES,
	FIT_NO_MACHINE, /* machine type, architecture or accelerator */
	FIT_VCPUS,      /* more than its QEMU gives one guest */
	FIT_CPU,
	FIT_NETWORK,
	FITS
};

/* @home: what the guest's own host offers. Either may be NULL: it has not told. @ret_text (FIT_TEXT_BYTES,
 * may be NULL): what stands behind "host2 has ...". */
enum fit fit_judge(const struct guest_needs *needs, const struct host_offers *home,
                   const struct host_offers *offers, char *ret_text);
