/* SPDX-License-Identifier: Apache-2.0 */
/* What drover keeps on a host: where the files are, and what is in them.
 *
 *	/etc/drover/       coordinator.yaml agent.yaml, and for each of coordinator, agent, admin
 *	                   NAME.pem NAME-key.pem; ca.pem
 *	/var/lib/drover/   pki/ the cluster's authority, on its host only; the daemons' own state
 *	(qemu.conf says)   ca-cert.pem {server,client}-{cert,key}.pem for QEMU's encrypted migration
 *	/etc/pki/          CA/cacert.pem libvirt/{server,client}cert.pem
 *	                   libvirt/private/{server,client}key.pem for libvirt's remote connection
 *
 * All of it lies below a prefix, "" on a real host. Files that are there are never overwritten.
 */
#pragma once

#include "common/error.h"
#include "pki/join_client.h"

#include <stdbool.h>
#include <sys/types.h>

#define HOST_JOIN_PORT 7781

struct host_paths {
	char *prefix;            /* "" or an absolute path; all are owned */
	char *etc, *state, *run; /* directories */
	char *authority;         /* directory */
	char *coordinator_yaml, *agent_yaml;
	char *ca;
	char *qemu_tls;              /* directory, where qemu.conf says that QEMU looks */
	gid_t qemu_group;            /* may read the keys there; (gid_t)-1: root alone */
	bool qemu_tls_is_new;        /* libvirt has to start again to see it */
	bool qemu_tls_is_foreign;    /* it has certificates that drover did not make: left alone */
	char *libvirt_pki;           /* directory */
	bool libvirt_tls_is_foreign; /* the same for libvirt's remote connection */
};

/* Whether the authority in the file @path, if there is one, is another than drover's whose name begins
 * with @name. */
bool host_is_foreign_authority(const char *path, const char *name);
/* Fills what host_paths has of libvirt's remote connection. */
int host_find_libvirt_tls(struct host_paths *paths, struct error *err);

/* @prefix: NULL or "" for the host itself. */
int host_find_paths(const char *prefix, struct host_paths *ret, struct error *err);
void host_paths_deinit(struct host_paths *paths);

/* "NAME.pem", "NAME-key.pem" in etc; to be freed. */
char *host_certificate_path(const struct host_paths *paths, const char *name);
char *host_key_path(const struct host_paths *paths, const char *name);

struct host_agent {
	const char *name, *address, *migration_address, *migration_interface;
};

/* -ERROR_REFUSED, naming it, if a file of @name ("agent", "coordinator", "admin") or its
 * configuration is there. */
int host_check_free(const struct host_paths *paths, const char *name, struct error *err);

/* NAME.pem, NAME-key.pem, and ca.pem, which may be there if it is the same. */
int host_write_identity(const struct host_paths *paths, const char *name,
                        const struct join_result *result, struct error *err);
/* Replaces what drover wrote there earlier; does nothing if qemu_tls_is_foreign: they may serve other
 * things of QEMU's, too. */
int host_write_qemu_tls(const struct host_paths *paths, const struct join_result *result,
                        struct error *err);
/* The same for libvirt's remote connection; nothing also if the grant has nothing for it. The server's
 * and the client's certificate are one, for root alone. */
int host_write_libvirt_tls(const struct host_paths *paths, const struct join_result *result,
                           struct error *err);
int host_write_agent_yaml(const struct host_paths *paths, const struct host_agent *agent,
                          const struct authority_grant *grant, struct error *err);
int host_write_coordinator_yaml(const struct host_paths *paths, const char *name,
                                const char *address, const struct authority_grant *grant,
                                struct error *err);

/* tcp://ADDRESS:7780, and ADDRESS:7781; to be freed. */
char *host_coordinator_url(const char *address);
char *host_join_address(const char *address);
