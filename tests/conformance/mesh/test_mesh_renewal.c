/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates are renewed, replaced and revoked while everybody is connected. Over tcp. */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS   50
#define KEEPALIVE_MS 400

struct world {
	struct harness h;
	struct pki_ca next_ca;
	struct pki_leaf server_leaf, client_leaf;
	char ca_path[128], crl_path[128];
};

static void leaf_make(struct world *w, const struct pki_ca *ca, const char *role, const char *name,
                      struct pki_leaf *leaf)
{
	char uri[128];

	snprintf(uri, sizeof(uri), "drover://test/%s/%s", role, name);
	pki_leaf_make(ca, w->h.directory, name, uri, 3600, leaf);
}

static struct mesh_options options_of(struct world *w, struct side *side, enum mesh_role role,
                                      const char *name, struct pki_leaf *leaf)
{
	struct mesh_options options = harness_options(&w->h, side, role, name);

	leaf_make(w, &w->h.ca, mesh_role_name(role), name, leaf);
	options.tls_ca = w->ca_path;
	options.tls_certificate = leaf->certificate_path;
	options.tls_key = leaf->key_path;
	options.tls_crl = w->crl_path;
	options.tls_refresh_ms = REFRESH_MS;
	options.keepalive_ms = KEEPALIVE_MS;
	return options;
}

static void expect_ok(struct world *w)
{
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o;

	harness_unary(&w->h, w->h.client.connection, "drover.test.Test/EmptyCall", &request.base,
	              &o);
	assert_string_equal(o.error.text, "");
	assert_int_equal(o.status, MESH_OK);
}

static int setup(void **state)
{
	struct world *w = xnew(struct world);
	struct harness *h = &w->h;
	struct mesh_options options;

	harness_open(h, "tcp");
	snprintf(w->ca_path, sizeof(w->ca_path), "%s/trusted.pem", h->directory);
	snprintf(w->crl_path, sizeof(w->crl_path), "%s/crl.pem", h->directory);
	pki_bundle_write(&h->ca, NULL, w->ca_path);
	pki_ca_init(&w->next_ca, h->directory, "next-ca");
	options = options_of(w, &h->server, MESH_ROLE_COORDINATOR, "c1", &w->server_leaf);
	harness_start(h, &h->server, &options, true);
	options = options_of(w, &h->client, MESH_ROLE_AGENT, "host1", &w->client_leaf);
	harness_start(h, &h->client, &options, false);
	h->dialer = mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &h->client.connects, 1);
	harness_wait_count(h, &h->server.connects, 1);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	harness_close(&w->h);
	pki_ca_deinit(&w->next_ca);
	free(w);
	return 0;
}

/* Long enough for new files to be seen and for every connection to be judged by them. */
static void settle(struct world *w)
{
	harness_run(&w->h, REFRESH_MS * 3 + KEEPALIVE_MS);
}

/* A revoked certificate loses its live connection, and gets no new one; a list that revokes nobody
 * hurts nobody. */
static void f75_revoked(void **state)
{
	struct world *w = *state;
	struct harness *h = &w->h;

	pki_crl_write(&h->ca, NULL, w->crl_path);
	settle(w);
	expect_ok(w);
	assert_int_equal(h->client.disconnects, 0);

	pki_crl_write(&h->ca, &w->client_leaf, w->crl_path);
	harness_wait_count(h, &h->server.disconnects, 1);
	assert_string_equal(h->server.why.text,
	                    "the peer's certificate was revoked; it must be issued anew");
	harness_wait_count(h, &h->client.disconnects, 1);
	assert_non_null(strstr(h->client.why.text, "revoked"));
	harness_run(h, 1500);
	assert_int_equal(h->server.connects, 1);
	assert_non_null(strstr(mesh_dialer_get_error(h->dialer)->text, "revoked"));

	/* A new one gets in. */
	leaf_make(w, &h->ca, "agent", "host1", &w->client_leaf);
	harness_wait_count(h, &h->server.connects, 2);
}

/* Files that are no good, or that are half written, change nothing. */
static void test_bad_files(void **state)
{
	struct world *w = *state;
	struct harness *h = &w->h;
	struct pki_leaf leaf;
	FILE *file = fopen(w->ca_path, "w");

	assert_non_null(file);
	fputs("-----BEGIN CERTI", file);
	fclose(file);
	leaf_make(w, &h->ca, "agent", "somebody-else", &leaf);
	assert_int_equal(rename(leaf.certificate_path, w->client_leaf.certificate_path), 0);
	settle(w);
	expect_ok(w);
	mesh_connection_close(h->client.connection);
	harness_wait_count(h, &h->client.connects, 2);
	expect_ok(w);
}

/* The CA is replaced in three steps: trust both, new certificates, trust the new one only. Nobody
 * loses a connection before the last step, and then whoever still used an old certificate is back
 * at once with the new one. */
static void f76_new_ca(void **state)
{
	struct world *w = *state;
	struct harness *h = &w->h;

	pki_bundle_write(&h->ca, &w->next_ca, w->ca_path);
	settle(w);
	expect_ok(w);
	leaf_make(w, &w->next_ca, "coordinator", "c1", &w->server_leaf);
	leaf_make(w, &w->next_ca, "agent", "host1", &w->client_leaf);
	settle(w);
	expect_ok(w);
	assert_int_equal(h->client.disconnects, 0);
	pki_bundle_write(&w->next_ca, NULL, w->ca_path);
	harness_wait_count(h, &h->client.connects, 2);
	expect_ok(w);
	settle(w);
	assert_int_equal(h->client.disconnects, 1);
	expect_ok(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(f75_revoked),
		CASE(test_bad_files),
		CASE(f76_new_ca),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
