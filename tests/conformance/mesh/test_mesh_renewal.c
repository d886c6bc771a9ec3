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

	pki_crl_write(&h->ca, NULL, -60, w->crl_path);
	settle(w);
	expect_ok(w);
	assert_int_equal(h->client.disconnects, 0);
	/* Of an authority whose clock is an hour ahead: what it says holds, and hurts nobody else. */
	pki_crl_write(&h->ca, NULL, 3600, w->crl_path);
	settle(w);
	expect_ok(w);
	assert_int_equal(h->client.disconnects, 0);

	pki_crl_write(&h->ca, &w->client_leaf, 3600, w->crl_path);
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

/* --- under load --- */

#define AT_ONCE 4

/* Calls in one direction, a few at a time, each over the newest connection that its side has. */
struct load {
	struct world *world;
	bool from_client;
	bool stop;
	unsigned under_way, good, failed;
	struct error why; /* of the first that failed */
};

static void load_begin(struct load *l);

static void load_done(const struct mesh_result *result, void *context)
{
	struct load *l = context;

	l->under_way--;
	if (result->status == MESH_OK) {
		l->good++;
	} else if (l->failed++ == 0) {
		l->why = result->error;
	}
	if (!l->stop && l->failed == 0)
		load_begin(l);
}

static void load_begin(struct load *l)
{
	struct harness *h = &l->world->h;
	struct mesh_connection *c = l->from_client ? mesh_dialer_find_connection(h->dialer)
	                                           : h->server.connection;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;

	assert_non_null(c);
	l->under_way++;
	mesh_call(c, "drover.test.Test/EmptyCall", &request.base, WAIT_MS, load_done, l);
}

static bool load_is_over(void *context)
{
	return ((struct load *)context)->under_way == 0;
}

static void load_start(struct load *l, struct world *w, bool from_client)
{
	*l = (struct load){ .world = w, .from_client = from_client };
	for (unsigned i = 0; i < AT_ONCE; i++)
		load_begin(l);
}

static void load_stop(struct load *l)
{
	l->stop = true;
	assert_true(harness_wait(&l->world->h, load_is_over, l));
	assert_string_equal(l->why.text, "");
	assert_int_equal(l->failed, 0);
	assert_true(l->good > 100);
}

/* The CA is replaced in three steps: trust both, new certificates, trust the new one only. Both sides
 * call each other all the time, and a long call is under way; not one fails. Whoever has a new
 * certificate makes a connection with it beside the old one, which goes when nobody needs it. */
static void f76_rotation_under_load(void **state)
{
	struct world *w = *state;
	struct harness *h = &w->h;
	struct load up, down;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome slow = { 0 };

	load_start(&up, w, true);
	load_start(&down, w, false);
	mesh_call(h->client.connection, "drover.test.Test/Sleep", &request.base, 60000,
	          outcome_done, &slow);
	harness_wait_count(h, &h->server.sleeping, 1);
	pki_bundle_write(&h->ca, &w->next_ca, w->ca_path);
	settle(w);
	leaf_make(w, &w->next_ca, "coordinator", "c1", &w->server_leaf);
	settle(w);
	leaf_make(w, &w->next_ca, "agent", "host1", &w->client_leaf);
	harness_wait_count(h, &h->client.connects, 2);
	settle(w);
	pki_bundle_write(&w->next_ca, NULL, w->ca_path);
	/* Longer than a peer whose old certificate does not pass any more is put up with: the long
	 * call is over by then, and so is the connection. */
	harness_run(h, 2000);
	assert_int_equal(h->client.disconnects, 0);
	mesh_reply(h->server.last_sleeper, &request.base);
	harness_wait_flag(h, &slow.done);
	assert_int_equal(slow.status, MESH_OK);
	harness_wait_count(h, &h->client.disconnects, 1);
	assert_non_null(strstr(h->client.why.text, "newer connection"));
	harness_wait_count(h, &h->server.disconnects, 1);
	settle(w);
	assert_int_equal(h->client.disconnects, 1);
	load_stop(&up);
	load_stop(&down);
}

/* A peer that trusts nobody else, and never comes with a new certificate, is cut off in the end. */
static void f76_left_behind(void **state)
{
	struct world *w = *state;
	struct harness *h = &w->h;

	pki_bundle_write(&h->ca, &w->next_ca, w->ca_path);
	settle(w);
	leaf_make(w, &w->next_ca, "coordinator", "c1", &w->server_leaf);
	settle(w);
	/* Only the server's side drops the old authority, whose certificate the client still has. */
	pki_bundle_write(&w->next_ca, NULL, w->ca_path);
	harness_wait_count(h, &h->server.disconnects, 1);
	assert_non_null(strstr(h->server.why.text, "not signed by the cluster's CA"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(f75_revoked),
		CASE(test_bad_files),
		CASE(f76_rotation_under_load),
		CASE(f76_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
