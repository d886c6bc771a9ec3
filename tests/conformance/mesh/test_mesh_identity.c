/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody is believed without proof: what certificates, uids and names must say, and what both
 * sides are told when they do not. */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A coordinator c1 that listens on tcp, and no client yet. */
static int setup_server(void **state)
{
	struct harness *h = xnew(struct harness);
	struct mesh_options options;

	harness_open(h, harness_transport);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	harness_start(h, &h->server, &options, true);
	*state = h;
	return 0;
}

static int setup_tcp(void **state)
{
	harness_transport = "tcp";
	return setup_server(state);
}

static int setup_ipc(void **state)
{
	harness_transport = "ipc";
	return setup_server(state);
}

static bool dial_is_over(void *context)
{
	const struct mesh_dialer *d = context;

	return mesh_dialer_get_error(d)->code != ERROR_UNREACHABLE ||
	       !strstr(mesh_dialer_get_error(d)->text, "connecting to");
}

/* The client dials and must not get in; @text is part of what it is told. */
static void expect_refused(struct harness *h, const struct mesh_options *options,
                           enum mesh_role expect_role, const char *expect_name, const char *text)
{
	struct mesh_dialer *d;

	harness_start(h, &h->client, options, false);
	d = mesh_dial(h->client.mesh, h->dial_url, expect_role, expect_name);
	assert_true(harness_wait(h, dial_is_over, d));
	if (!strstr(mesh_dialer_get_error(d)->text, text))
		fail_msg("told \"%s\" instead of \"%s\"", mesh_dialer_get_error(d)->text, text);
	assert_int_equal(mesh_dialer_get_error(d)->code, ERROR_IDENTITY);
	assert_null(mesh_dialer_find_connection(d));
	assert_int_equal(h->client.connects, 0);
}

static struct mesh_options client_options(struct harness *h)
{
	return harness_options(h, &h->client, MESH_ROLE_AGENT, "host1");
}

/* A good certificate gets in, and both sides know each other by it. */
static void test_both_know_each_other(void **state)
{
	struct harness *h = *state;
	struct mesh_options options = client_options(h);
	const struct mesh_identity *id;

	harness_start(h, &h->client, &options, false);
	mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &h->client.connects, 1);
	harness_wait_count(h, &h->server.connects, 1);
	id = mesh_connection_get_identity(h->server.connection);
	assert_int_equal(id->role, MESH_ROLE_AGENT);
	assert_string_equal(id->name, "host1");
	assert_string_equal(id->cluster, "test");
	assert_memory_equal(id->address, "127.0.0.1:", 10);
	id = mesh_connection_get_identity(h->client.connection);
	assert_int_equal(id->role, MESH_ROLE_COORDINATOR);
	assert_string_equal(id->name, "c1");
}

/* What the options leave out is taken from the certificate. */
static void test_certificate_says_who_we_are(void **state)
{
	struct harness *h = *state;
	struct mesh_options options = client_options(h);

	options.role = MESH_ROLE_NONE;
	options.name = options.cluster = NULL;
	harness_start(h, &h->client, &options, false);
	mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, NULL);
	harness_wait_count(h, &h->server.connects, 1);
	assert_string_equal(mesh_connection_get_identity(h->server.connection)->name, "host1");
}

/* Somebody else's CA: the dialler sees that the server's is unknown. */
static void test_rogue_client_sees_rogue_server(void **state)
{
	struct harness *h = *state;
	struct mesh_options options;
	struct pki_ca good = h->ca, rogue;

	pki_ca_init(&rogue, h->directory, "rogue");
	h->ca = rogue;
	options = client_options(h);
	h->ca = good;
	options.tls_ca = rogue.path;
	expect_refused(h, &options, MESH_ROLE_COORDINATOR, "c1",
	               "the peer's certificate is not signed by the cluster's CA");
	pki_ca_deinit(&rogue);
}

/* A rogue client that trusts us is refused by us, and told so. */
static void test_rogue_client(void **state)
{
	struct harness *h = *state;
	struct pki_leaf leaf;
	struct pki_ca rogue;
	struct raw r = { .h = h, .leaf = &leaf, .ca_path = h->ca.path };

	pki_ca_init(&rogue, h->directory, "rogue");
	pki_leaf_make(&rogue, h->directory, "rogue1", "drover://test/agent/host1", 3600, &leaf);
	raw_add_hello(&r, "agent", "host1", "test");
	raw_run(&r);
	assert_true(r.closed_by_peer);
	assert_string_equal(r.tls_problem, "tlsv1 alert unknown ca");
	assert_int_equal(r.in_bytes, 0);
	assert_int_equal(h->server.connects, 0);
	raw_free(&r);
	pki_ca_deinit(&rogue);
}

/* So is one without any certificate. */
static void test_client_without_certificate(void **state)
{
	struct harness *h = *state;
	struct raw r = { .h = h, .ca_path = h->ca.path };

	raw_add_hello(&r, "agent", "host1", "test");
	raw_run(&r);
	assert_true(r.closed_by_peer);
	assert_string_equal(r.tls_problem, "tlsv13 alert certificate required");
	assert_int_equal(h->server.connects, 0);
	raw_free(&r);
}

/* A certificate that expires while its owner runs is refused from then on. */
static void test_expired_client(void **state)
{
	struct harness *h = *state;
	struct mesh_options options = client_options(h);
	struct pki_leaf leaf;

	pki_leaf_make(&h->ca, h->directory, "short", "drover://test/agent/host1", 2, &leaf);
	options.tls_certificate = leaf.certificate_path;
	options.tls_key = leaf.key_path;
	harness_start(h, &h->client, &options, false);
	harness_run(h, 3100);
	mesh_free(h->client.mesh);
	h->client.mesh = NULL;
	assert_null(mesh_new(&options, &h->client.why));
	assert_int_equal(h->client.why.code, ERROR_IDENTITY);
	assert_non_null(strstr(h->client.why.text, "our own certificate expired on "));
}

/* The server refuses it, and the client is told which certificate is meant. */
static void test_expired_client_is_told(void **state)
{
	struct harness *h = *state;
	struct pki_leaf leaf;
	struct raw r = { .h = h, .leaf = &leaf, .ca_path = h->ca.path };

	pki_leaf_make(&h->ca, h->directory, "old", "drover://test/agent/host1", -60, &leaf);
	raw_add_hello(&r, "agent", "host1", "test");
	raw_run(&r);
	assert_true(r.closed_by_peer);
	assert_string_equal(r.tls_problem, "sslv3 alert certificate expired");
	assert_int_equal(h->server.connects, 0);
	raw_free(&r);
}

/* An expired server is refused by the client, with the date. */
static void test_expired_server(void **state)
{
	struct harness *h = *state;
	struct mesh_options options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	struct pki_leaf leaf;

	mesh_free(h->server.mesh);
	pki_leaf_make(&h->ca, h->directory, "short", "drover://test/coordinator/c1", 2, &leaf);
	options.tls_certificate = leaf.certificate_path;
	options.tls_key = leaf.key_path;
	harness_start(h, &h->server, &options, true);
	harness_run(h, 3100);
	options = client_options(h);
	expect_refused(h, &options, MESH_ROLE_COORDINATOR, "c1",
	               "the peer's certificate expired on ");
}

/* A certificate of the CA that names no peer of the mesh. */
static void test_certificate_without_uri(void **state)
{
	struct harness *h = *state;
	struct pki_leaf leaf;
	struct raw r = { .h = h, .leaf = &leaf };

	pki_leaf_make(&h->ca, h->directory, "nameless", NULL, 3600, &leaf);
	raw_add_hello(&r, "agent", "host1", "test");
	raw_run(&r);
	assert_string_equal(raw_goaway(&r), "the peer's certificate: the certificate has no URI "
	                                    "drover://CLUSTER/ROLE/NAME in its SAN");
	assert_int_equal(h->server.connects, 0);
	raw_free(&r);
}

/* The HELLO must say what the certificate says: name, role and cluster. */
static void test_hello_differs_from_certificate(void **state)
{
	static const char *const claims[][3] = {
		{ "agent", "host2", "test" },
		{ "admin", "host1", "test" },
		{ "agent", "host1", "other" },
		{ "", "", "" },
	};
	struct harness *h = *state;
	struct pki_leaf leaf;

	pki_leaf_make(&h->ca, h->directory, "host1", "drover://test/agent/host1", 3600, &leaf);
	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		struct raw r = { .h = h, .leaf = &leaf };

		raw_add_hello(&r, claims[i][0], claims[i][1], claims[i][2]);
		raw_run(&r);
		if (!strstr(raw_goaway(&r),
		            "but its certificate is that of agent host1 of cluster test"))
			fail_msg("told \"%s\"", raw_goaway(&r));
		raw_free(&r);
	}
	assert_int_equal(h->server.connects, 0);
}

/* A good certificate of another cluster, should two clusters share a CA. */
static void test_other_cluster(void **state)
{
	struct harness *h = *state;
	struct pki_leaf leaf;
	struct raw r = { .h = h, .leaf = &leaf };

	pki_leaf_make(&h->ca, h->directory, "far", "drover://far/agent/host1", 3600, &leaf);
	raw_add_hello(&r, "agent", "host1", "far");
	raw_run(&r);
	assert_string_equal(raw_goaway(&r),
	                    "the certificate is of cluster \"far\", this is cluster \"test\"");
	raw_free(&r);
}

/* Whoever dials says whom it wants; another good peer is not that. */
static void test_other_peer_answers(void **state)
{
	struct harness *h = *state;
	struct mesh_options options = client_options(h);
	char text[300];

	snprintf(text, sizeof(text),
	         "%s should be coordinator c2, but coordinator c1 of cluster test answered there",
	         h->dial_url);
	expect_refused(h, &options, MESH_ROLE_COORDINATOR, "c2", text);
}

/* Options that contradict our own certificate are refused at the start. */
static void test_options_differ_from_certificate(void **state)
{
	struct harness *h = *state;
	struct mesh_options options = client_options(h);
	struct error err;

	options.name = "host2";
	assert_null(mesh_new(&options, &err));
	assert_int_equal(err.code, ERROR_IDENTITY);
	assert_non_null(strstr(err.text, "we are to be agent host2 of cluster test, but the "
	                                 "certificate "));
}

/* Files that are not there, or not what they should be, are named. */
static void test_bad_files(void **state)
{
	struct harness *h = *state;
	struct mesh_options options = client_options(h);
	struct error err;

	options.tls_ca = "/nonexistent/ca.pem";
	assert_null(mesh_new(&options, &err));
	assert_non_null(strstr(err.text, "cannot read the CA's certificate /nonexistent/ca.pem"));
	options = client_options(h);
	options.tls_key = options.tls_certificate;
	assert_null(mesh_new(&options, &err));
	assert_non_null(strstr(err.text, "cannot use the private key"));
	options = client_options(h);
	options.tls_key = NULL;
	assert_null(mesh_new(&options, &err));
	assert_int_equal(err.code, ERROR_INVALID);
}

/* --- ipc --- */

static struct raw ipc_peer(struct harness *h, unsigned uid, const char *role)
{
	struct raw r = { .h = h, .become_uid = uid };
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;

	if (uid) {
		assert_int_equal(chmod(h->directory, 0755), 0);
		assert_int_equal(chmod(h->dial_url + strlen("ipc://"), 0666), 0);
	}
	raw_add_hello(&r, role, "somebody", "");
	raw_add_open(&r, 1, "drover.test.Test/EmptyCall", &request.base);
	raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	r.until_pong = true;
	r.hold = true;
	return r;
}

static enum mesh_role role_given(struct harness *h, unsigned uid, const char *claim)
{
	struct raw r = ipc_peer(h, uid, claim);
	enum mesh_role role;

	raw_start(&r);
	harness_wait_count(h, &h->server.connects, h->server.connects + 1);
	role = mesh_connection_get_identity(h->server.connection)->role;
	raw_finish(&r);
	raw_free(&r);
	return role;
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("needs root, to be other users\n");
		skip();
	}
}

/* Root may say who it is, and is admin if it says nothing. */
static void test_root_over_ipc(void **state)
{
	need_root();
	assert_int_equal(role_given(*state, 0, ""), MESH_ROLE_ADMIN);
	assert_int_equal(role_given(*state, 0, "operator"), MESH_ROLE_OPERATOR);
	assert_int_equal(role_given(*state, 0, "coordinator"), MESH_ROLE_COORDINATOR);
}

/* Whatever another user says, it may only look. */
static void test_others_over_ipc(void **state)
{
	need_root();
	assert_int_equal(role_given(*state, 65534, ""), MESH_ROLE_VIEWER);
	assert_int_equal(role_given(*state, 65534, "viewer"), MESH_ROLE_VIEWER);
	assert_int_equal(role_given(*state, 65534, "admin"), MESH_ROLE_VIEWER);
}

/* And it cannot pass for a machine of the cluster. */
static void test_others_are_no_agents(void **state)
{
	struct harness *h = *state;
	struct raw r;

	need_root();
	r = ipc_peer(h, 65534, "agent");
	r.hold = false;
	raw_run(&r);
	assert_string_equal(raw_goaway(&r),
	                    "it says that it is agent somebody, but is a process of uid 65534; "
	                    "over ipc:// only root and uid 0 can be that");
	assert_int_equal(h->server.connects, 0);
	raw_free(&r);
}

/* The socket file is for owner and group. */
static void test_socket_mode(void **state)
{
	struct harness *h = *state;
	struct stat st;

	assert_int_equal(stat(h->dial_url + strlen("ipc://"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TCP(name) cmocka_unit_test_setup_teardown(name, setup_tcp, harness_teardown)
#define IPC(name) cmocka_unit_test_setup_teardown(name, setup_ipc, harness_teardown)
		TCP(test_both_know_each_other),
		TCP(test_certificate_says_who_we_are),
		TCP(test_rogue_client_sees_rogue_server),
		TCP(test_rogue_client),
		TCP(test_client_without_certificate),
		TCP(test_expired_client),
		TCP(test_expired_client_is_told),
		TCP(test_expired_server),
		TCP(test_certificate_without_uri),
		TCP(test_hello_differs_from_certificate),
		TCP(test_other_cluster),
		TCP(test_other_peer_answers),
		TCP(test_options_differ_from_certificate),
		TCP(test_bad_files),
		IPC(test_root_over_ipc),
		IPC(test_others_over_ipc),
		IPC(test_others_are_no_agents),
		IPC(test_socket_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
