/* SPDX-License-Identifier: Apache-2.0 */
/* The files of libvirt's remote connection (qemu+tls://), where libvirt looks unless told otherwise. The
 * client's places are libvirt's own and cannot be set, the server's can; an administrator who has set
 * any of them, or has an authority of another origin there, keeps all of them as they are: half of
 * one and half of another would serve neither. libvirtd does not listen because of them. */
#include "pki/host.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/libvirt_conf.h"
#include "pki/files.h"

#include <limits.h>

static int find_settings(const struct host_paths *p, bool *ret_set, struct error *err)
{
	/* Who listens is libvirtd, or virtproxyd where each driver has a daemon of its own. */
	static const char *const daemons[] = { "libvirtd", "virtproxyd" };
	static const char *const keys[] = { "ca_file", "cert_file", "key_file" };

	for (size_t i = 0; i < ARRAY_SIZE(daemons) * ARRAY_SIZE(keys); i++) {
		_cleanup_free_ char *conf = xasprintf("%s/etc/libvirt/%s.conf", p->prefix,
		                                      daemons[i / ARRAY_SIZE(keys)]);
		char value[PATH_MAX];
		int rc = libvirt_conf_get_string(conf, keys[i % ARRAY_SIZE(keys)], value,
		                                 sizeof(value), err);

		if (rc < 0)
			return rc;
		if (value[0])
			*ret_set = true;
	}
	return 0;
}

int host_find_libvirt_tls(struct host_paths *p, struct error *err)
{
	_cleanup_free_ char *ca = NULL, *server = NULL, *client = NULL;
	bool set = false;
	int rc = find_settings(p, &set, err);

	if (rc < 0)
		return rc;
	p->libvirt_pki = xasprintf("%s/etc/pki", p->prefix);
	ca = xasprintf("%s/CA/cacert.pem", p->libvirt_pki);
	server = xasprintf("%s/libvirt/servercert.pem", p->libvirt_pki);
	client = xasprintf("%s/libvirt/clientcert.pem", p->libvirt_pki);
	p->libvirt_tls_is_foreign = set || host_is_foreign_authority(ca, AUTHORITY_LIBVIRT_NAME) ||
	                            (!files_exist(ca) &&
	                             (files_exist(server) || files_exist(client)));
	return 0;
}

int host_write_libvirt_tls(const struct host_paths *p, const struct join_result *result,
                           struct error *err)
{
	const struct file_mode public = { 0644, (gid_t)-1, true };
	const struct file_mode secret = { 0600, (gid_t)-1, true };
	const struct {
		const char *name, *text;
		struct file_mode mode;
	} files[] = {
		{ "CA/cacert.pem", result->grant.libvirt_ca, public },
		{ "libvirt/private/serverkey.pem", result->libvirt_key, secret },
		{ "libvirt/servercert.pem", result->grant.libvirt_certificate, public },
		{ "libvirt/private/clientkey.pem", result->libvirt_key, secret },
		{ "libvirt/clientcert.pem", result->grant.libvirt_certificate, public },
	};
	_cleanup_free_ char *ca = xasprintf("%s/CA", p->libvirt_pki);
	_cleanup_free_ char *own = xasprintf("%s/libvirt", p->libvirt_pki);
	_cleanup_free_ char *private = xasprintf("%s/libvirt/private", p->libvirt_pki);
	int rc;

	if (p->libvirt_tls_is_foreign || !result->grant.libvirt_certificate)
		return 0;
	rc = files_make_directory(ca, 0755, err);
	if (rc == 0)
		rc = files_make_directory(own, 0755, err);
	if (rc == 0)
		rc = files_make_directory(private, 0700, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->libvirt_pki, files[i].name);

		rc = files_write(path, files[i].text, files[i].mode, err);
	}
	return rc;
}
