/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hypervisor_libvirt*.c: the connection, errors, and what each file contributes.
 *
 *	hypervisor_libvirt.c		opening a connection, errors, the table of operations
 *	hypervisor_libvirt_lend.c	the connections that questions and commands use
 *	hypervisor_libvirt_loop.c	libvirt's event loop
 *	hypervisor_libvirt_watch.c	reconnecting, events
 *	hypervisor_libvirt_inventory.c	list, find, describe
 *	hypervisor_libvirt_devices.c	what QEMU and the kernel have of a guest
 *	hypervisor_libvirt_host.c	facts of the host; may a guest come here
 *	hypervisor_libvirt_network.c	and where would it be plugged in
 *	hypervisor_libvirt_dirty.c	how a guest writes to its memory
 *	hypervisor_libvirt_migrate.c	moving, jobs, and the small commands
 *
 * Connections. A thread has a connection for itself while it uses it; between two calls it is anybody's.
 * libvirt's handles are thread-safe, and yet: where two threads wait on one connection for a libvirtd that
 * has stopped, and keepalive ends that wait, the client of libvirt up to 10.3 reads the stack of a
 * function that has returned (CVE-2024-4418), and the process dies of it. A move blocks for minutes
 * and has a connection of its own; so have events.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>

/* Connections for calls, of two file descriptors each: as many calls at a time as libvirtd would serve of
 * one connection (its max_client_requests). */
#define LIBVIRT_LOANS 5
/* A connection is taken for dead after three silent seconds, and asked again. */
#define LIBVIRT_KEEPALIVE_S 1

struct libvirt_loan; /* hypervisor_libvirt_lend.c */

struct hypervisor_libvirt {
	struct hypervisor base;
	char *uri;
	char *root; /* "" or where the host's files are looked up, for tests */

	pthread_mutex_t lock;
	pthread_cond_t wake;     /* the watcher's */
	pthread_cond_t returned; /* a connection came back, or all were withdrawn */
	/* Under lock. */
	struct libvirt_loan *loans; /* owned; NULL: there is none */
	struct error why;           /* while watching without a connection: why there is none */
	bool watching, closing;
	bool lacking;       /* one that was lent came back dead */
	bool lost;          /* the watched connection is dead */
	char lost_why[160]; /* libvirt's reason for that */

	/* Written before the watcher starts; event also under the lock of the subscriptions. */
	void (*event)(const struct hypervisor_event *e, void *context);
	void *context;
	pthread_t watcher;
};

/* One that was lent, or one's own, which is closed. */
void libvirt_give_back(virConnectPtr connection);

/* Cleaners of what libvirt hands out. */
static inline void libvirt_closep(virConnectPtr *connection)
{
	if (*connection)
		libvirt_give_back(*connection);
}

static inline void libvirt_domain_freep(virDomainPtr *domain)
{
	if (*domain)
		virDomainFree(*domain);
}

#define _cleanup_connection_ __attribute__((cleanup(libvirt_closep)))
#define _cleanup_domain_     __attribute__((cleanup(libvirt_domain_freep)))

static inline struct hypervisor_libvirt *libvirt_of(struct hypervisor *h)
{
	return (struct hypervisor_libvirt *)h;
}

/* Whether a failed call might have had an effect. */
enum libvirt_call { LIBVIRT_QUESTION, LIBVIRT_COMMAND };

/* Turns libvirt's last error on this thread into ours and returns it. The arguments must not call
 * libvirt: any call, also virDomainGetName, resets the error. When @connection itself is
 * dead, a question is unreachable, and a command has an unknown outcome. */
int libvirt_error(struct error *err, virConnectPtr connection, enum libvirt_call call,
                  const char *what_format, ...) __attribute__((format(printf, 4, 5)));

/* A new connection (owned) whose death is noticed after @keepalive_s * 3 seconds of silence. */
int libvirt_open(struct hypervisor_libvirt *h, unsigned int keepalive_s, virConnectPtr *ret,
                 struct error *err);

/* The watcher's: opens what is to be lent, all or none; closes it, what is lent when it comes back. */
int libvirt_lend(struct hypervisor_libvirt *h, struct error *err);
void libvirt_withdraw(struct hypervisor_libvirt *h);

/* A connection that nobody else uses until it is given back (_cleanup_connection_); waits for one. A
 * thread has one at a time. Without a watcher it is opened here; with one, opening is its business, and
 * this fails at once while there is none. */
int libvirt_get_connection(struct hypervisor_libvirt *h, virConnectPtr *ret, struct error *err);

/* As libvirt_get_connection, and a guest there; -ERROR_NOT_FOUND if libvirt does not know the guest. */
int libvirt_find_domain(struct hypervisor_libvirt *h, const char *uuid,
                        virConnectPtr *ret_connection, virDomainPtr *ret, struct error *err);

/* What a domain's job looks like at this moment. */
enum libvirt_job_kind {
	LIBVIRT_JOB_NONE,
	LIBVIRT_JOB_OUT,      /* an outgoing migration */
	LIBVIRT_JOB_INCOMING, /* an incoming one; has no statistics */
	LIBVIRT_JOB_OTHER,    /* save, dump, backup ... */
};

/* @ret_job may be NULL. ERROR_BUSY: the guest's QEMU does not answer. */
/* What this host shows to a guest whose CPU is not spelled out (host_signature.h). */
int libvirt_read_signature(struct hypervisor_libvirt *h, virConnectPtr connection, char *ret,
                           struct error *err);
int libvirt_read_job(virConnectPtr connection, virDomainPtr domain, enum libvirt_job_kind *ret_kind,
                     struct vm_job *ret_job, struct error *err);

/* Statistics as libvirt lists them, for running jobs and finished ones. */
void libvirt_fill_job(virTypedParameterPtr parameters, int n_parameters, bool completed,
                      struct vm_job *ret);

int libvirt_watch(struct hypervisor *h,
                  void (*event)(const struct hypervisor_event *e, void *context), void *context,
                  struct error *err);
void libvirt_hush(struct hypervisor *base);
/* Ends watching; no callback runs after it. */
void libvirt_unwatch(struct hypervisor_libvirt *h);
/* Once per process: libvirt's default event loop and the thread that runs it. Before any open. */
void libvirt_start_loop(void);

int libvirt_host_facts(struct hypervisor *h, struct host_facts *ret, struct error *err);
int libvirt_compare_cpu(struct hypervisor *h, const struct vm_description *d, struct check *ret_cpu,
                        struct check *ret_machine, struct error *err);
int libvirt_capabilities(struct hypervisor *h, const struct vm_description *d,
                         struct guest_capabilities *ret, struct error *err);
int libvirt_offers(struct hypervisor *h, struct host_offers **ret, struct error *err);
int libvirt_find_network(struct hypervisor *h, const struct vm_interface *interface,
                         struct network_facts *ret, struct error *err);

/* A device of the kernel; of one that is not there nothing is present. */
int libvirt_find_device(const char *name, struct network_facts *ret, struct error *err);
/* An active network. */
int libvirt_find_bridge(virNetworkPtr network, struct network_facts *ret, struct error *err);

int libvirt_list(struct hypervisor *h, struct vm_list *ret, struct error *err);
int libvirt_find(struct hypervisor *h, const char *uuid, struct vm_summary *ret, struct error *err);
int libvirt_describe(struct hypervisor *h, const char *uuid, struct vm_description *ret,
                     struct error *err);

int libvirt_devices(struct hypervisor *h, const struct vm_description *d, bool ask_clock,
                    struct vm_devices *ret, struct error *err);

int libvirt_migrate(struct hypervisor *h, const struct migrate_request *r, struct error *err);
int libvirt_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err);
int libvirt_last_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err);
int libvirt_abort_job(struct hypervisor *h, const char *uuid, struct error *err);
int libvirt_start_postcopy(struct hypervisor *h, const char *uuid, struct error *err);
int libvirt_break_postcopy(struct hypervisor *h, const char *uuid, struct error *err);
int libvirt_set_max_speed(struct hypervisor *h, const char *uuid, uint64_t bytes_per_s,
                          struct error *err);
int libvirt_set_max_downtime(struct hypervisor *h, const char *uuid, uint64_t ms,
                             struct error *err);
int libvirt_shut_down(struct hypervisor *h, const char *uuid, struct error *err);
int libvirt_start(struct hypervisor *h, const char *uuid, struct error *err);
int libvirt_start_dirty_rate(struct hypervisor *h, const char *uuid, uint32_t window_s,
                             struct error *err);
int libvirt_dirty_rate(struct hypervisor *h, const char *uuid, struct vm_dirty_rate *ret,
                       struct error *err);
