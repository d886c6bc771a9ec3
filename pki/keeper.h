/* SPDX-License-Identifier: Apache-2.0 */
/* A member's side of its own certificates: looks at the files, and puts into them what the authority
 * gives, in an order in which a crash leaves something that works.
 *
 * Keys stay what they are: only certificates change, each file as a whole, so none is ever there
 * without its key. Authorities come before the certificates that they have signed. What would not
 * pass the next start is refused, and the files stay. All calls block; any thread.
 */
#pragma once

#include "pki/authority.h"

struct keeper_files {
	struct keeper_kind {
		char *ca;  /* NULL: there are none that are drover's; all are owned */
		char *crl; /* revoked ones, need not exist; NULL: nobody here looks */
		char *certificates[2], *keys[2]; /* the second: of the other side, or NULL */
	} of[AUTHORITY_REQUESTS];
};

/* @crl: NULL: this one trusts nobody, it only shows its own. @qemu: directory of what join wrote for QEMU's TLS; @libvirt: the same, usually /etc/pki; NULL: not
 * drover's. */
void keeper_files_init(struct keeper_files *files, const char *ca, const char *certificate,
                       const char *key, const char *crl, const char *qemu, const char *libvirt);
void keeper_files_deinit(struct keeper_files *files);

struct keeper_view {
	struct authority_holdings holdings;
	char uri[384];                         /* whose they are */
	char serial[CERTIFICATE_SERIAL_BYTES]; /* of the mesh's */
	bool due;                              /* the time to renew has come */
};

int keeper_look(const struct keeper_files *files, struct keeper_view *ret, struct error *err);

/* @trusted: by kind, NULL or "" = nothing is said. *ret_changed: whether a file was written. */
int keeper_take_trusted(const struct keeper_files *files, char *const *trusted, bool *ret_changed,
                        struct error *err);

/* @lists: of revoked certificates, by kind, NULL or "" = nothing is said. One that does not pass by what
 * is trusted is refused: with it nobody would be let in any more. An older one than is there is not
 * taken. */
int keeper_take_revoked(const struct keeper_files *files, char *const *lists, bool *ret_changed,
                        struct error *err);

/* For the keys that are there; empty for a kind without files. Their data are to be freed with
 * keeper_requests_deinit. */
int keeper_make_requests(const struct keeper_files *files,
                         struct bytes ret_requests[AUTHORITY_REQUESTS], struct error *err);
void keeper_requests_deinit(struct bytes requests[AUTHORITY_REQUESTS]);

/* @certificates: by kind, NULL or "" = none. */
int keeper_take_certificates(const struct keeper_files *files, char *const *certificates,
                             struct error *err);

/* Everything, for one who lives beside the authority. @ret_view: as it was before. */
int keeper_sync(const struct keeper_files *files, const char *authority,
                struct keeper_view *ret_view, bool *ret_changed, struct error *err);
