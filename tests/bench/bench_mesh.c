/* SPDX-License-Identifier: Apache-2.0 */
/* drover's side of `tools/bench mesh`: a server with the conformance suite's test service, and clients
 * that keep calls in flight, read a stream, or only stay connected. bench_grpc.cc is its twin.
 *
 *	bench_mesh server PORT PKI
 *	bench_mesh calls PORT PKI PID CONNECTIONS IN_FLIGHT BYTES SECONDS
 *	bench_mesh stream PORT PKI PID BYTES SECONDS
 *	bench_mesh idle PORT PKI CONNECTIONS      until its stdin ends
 *	bench_mesh first PORT PKI                 one call
 *
 * PORT of 127.0.0.1; PKI: a directory with ca.pem and {server,client}{,-key}.pem; PID of the server.
 */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/loop.h"
#include "proto/mesh/mesh.h"
#include "proto/methods.h"
#include "tests/bench/rpc_figures.h"
#include "tests/conformance/mesh/test.pb-c.h"

#include <string.h>
#include <unistd.h>

#define WARM_UP_NS ((uint64_t)300000000)

static const struct method methods[] = {
	{ "drover.test.Test/UnaryCall", &drover__test__request__descriptor,
	  &drover__test__reply__descriptor, false, MESH_ROLE_OPERATOR },
	{ "drover.test.Test/Flood", &drover__test__request__descriptor,
	  &drover__test__reply__descriptor, true, MESH_ROLE_OPERATOR },
};

static struct loop *loop;
static struct mesh *mesh;
static unsigned connected_count;

/* --- the server --- */

static void handle_unary(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	Drover__Test__Reply reply = DROVER__TEST__REPLY__INIT;

	(void)context;
	reply.payload = ((const Drover__Test__Request *)m)->payload;
	mesh_reply(in, &reply.base);
}

struct flood {
	struct mesh_incoming *in;
	Drover__Test__Reply reply;
	uint8_t data[];
};

static void flood_more(void *context)
{
	struct flood *flood = context;

	while (mesh_send(flood->in, &flood->reply.base))
		continue;
}

static void handle_flood(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	size_t bytes = ((const Drover__Test__Request *)m)->reply_bytes;
	struct flood *flood = xcalloc(1, sizeof(*flood) + bytes);

	(void)context;
	flood->in = in;
	drover__test__reply__init(&flood->reply);
	flood->reply.payload.data = flood->data;
	flood->reply.payload.len = bytes;
	mesh_incoming_on_cancel(in, free, flood);
	mesh_incoming_on_writable(in, flood_more, flood);
	flood_more(flood);
}

static const struct mesh_handler handlers[] = {
	{ "UnaryCall", handle_unary },
	{ "Flood", handle_flood },
};
static const struct mesh_service service = { &drover__test__test__descriptor, handlers,
	                                     ARRAY_SIZE(handlers) };
static const struct mesh_service *const services[] = { &service, NULL };

/* --- a mesh --- */

static void connected(struct mesh_connection *c, void *context)
{
	(void)c;
	(void)context;
	connected_count++;
}

static void start(const char *pki, const char *name)
{
	_cleanup_free_ char *ca = xasprintf("%s/ca.pem", pki);
	_cleanup_free_ char *certificate = xasprintf("%s/%s.pem", pki, name);
	_cleanup_free_ char *key = xasprintf("%s/%s-key.pem", pki, name);
	struct mesh_options options = {
		.tls_ca = ca,
		.tls_certificate = certificate,
		.tls_key = key,
		.services = services,
		.extra_methods = methods,
		.n_extra_methods = ARRAY_SIZE(methods),
		.connected = connected,
		/* All come from one address here. */
		.max_connections = 5000,
		.max_connections_per_address = 5000,
		.max_handshakes = 5000,
		.max_handshakes_per_address = 5000,
	};
	struct error err;

	loop = loop_new();
	loop_share(loop);
	options.loop = loop;
	mesh = mesh_new(&options, &err);
	if (!mesh) {
		fprintf(stderr, "bench_mesh: %s\n", err.text);
		exit(1);
	}
}

static int serve(const char *port, const char *pki)
{
	_cleanup_free_ char *url = xasprintf("tcp://127.0.0.1:%s", port);
	struct error err;

	start(pki, "server");
	if (mesh_listen(mesh, url, &err) < 0) {
		fprintf(stderr, "bench_mesh: %s\n", err.text);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	loop_run(loop);
	return 0;
}

/* --- clients --- */

static bool all_connected(void *context)
{
	return connected_count == *(const unsigned *)context;
}

static struct mesh_dialer **dial(const char *port, unsigned n)
{
	_cleanup_free_ char *url = xasprintf("tcp://127.0.0.1:%s", port);
	struct mesh_dialer **dialers = xcalloc(n, sizeof(struct mesh_dialer *));

	for (unsigned i = 0; i < n; i++)
		dialers[i] = mesh_dial(mesh, url, MESH_ROLE_COORDINATOR, "c1");
	if (!loop_run_until(loop, 60000, all_connected, &n)) {
		fprintf(stderr, "bench_mesh: %u of %u connections\n", connected_count, n);
		exit(1);
	}
	return dialers;
}

struct chain {
	struct mesh_connection *connection;
	uint64_t asked_ns;
};

static Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
static struct figures figures;
static pid_t server_pid;
static uint64_t measure_from_ns, end_ns;
static bool is_measuring, is_over;

/* The measured time begins after a warm-up and ends by itself. */
static void note(uint64_t now_ns, uint64_t took_ns)
{
	if (!is_measuring && now_ns >= measure_from_ns) {
		is_measuring = true;
		figures_begin(&figures, server_pid);
	} else if (is_measuring && !is_over) {
		figures_add(&figures, took_ns);
		is_over = now_ns >= end_ns;
	}
}

static void ask(struct chain *chain);

static void answered(const struct mesh_result *result, void *context)
{
	struct chain *chain = context;
	uint64_t now_ns = figures_now_ns();

	if (result->status != MESH_OK) {
		fprintf(stderr, "bench_mesh: %s\n", result->error.text);
		exit(1);
	}
	note(now_ns, now_ns - chain->asked_ns);
	if (!is_over)
		ask(chain);
}

static void ask(struct chain *chain)
{
	chain->asked_ns = figures_now_ns();
	mesh_call(chain->connection, methods[0].name, &request.base, 10000, answered, chain);
}

static bool is_done(void *context)
{
	(void)context;
	return is_over;
}

static void set_time(const char *seconds)
{
	measure_from_ns = figures_now_ns() + WARM_UP_NS;
	end_ns = measure_from_ns + (uint64_t)(strtod(seconds, NULL) * 1e9);
}

static void run_until_over(void)
{
	if (!loop_run_until(loop, 120000, is_done, NULL)) {
		fprintf(stderr, "bench_mesh: it does not end\n");
		exit(1);
	}
	figures_print(&figures);
}

static int calls(char **argv)
{
	unsigned n = (unsigned)atoi(argv[5]), in_flight = (unsigned)atoi(argv[6]);
	struct mesh_dialer **dialers;
	struct chain *chains = xcalloc(in_flight, sizeof(*chains));

	start(argv[3], "client");
	server_pid = (pid_t)atoi(argv[4]);
	dialers = dial(argv[2], n);
	request.payload.len = (size_t)atoi(argv[7]);
	request.payload.data = xcalloc(1, request.payload.len);
	set_time(argv[8]);
	for (unsigned i = 0; i < in_flight; i++) {
		chains[i].connection = mesh_dialer_find_connection(dialers[i % n]);
		ask(&chains[i]);
	}
	run_until_over();
	return 0;
}

static void streamed(const ProtobufCMessage *m, void *context)
{
	(void)m;
	(void)context;
	note(figures_now_ns(), 0);
}

static void stream_ended(const struct mesh_result *result, void *context)
{
	(void)context;
	fprintf(stderr, "bench_mesh: the stream ended: %s\n", result->error.text);
	exit(1);
}

static int stream(char **argv)
{
	struct mesh_dialer **dialers;

	start(argv[3], "client");
	server_pid = (pid_t)atoi(argv[4]);
	dialers = dial(argv[2], 1);
	request.reply_bytes = (uint32_t)atoi(argv[5]);
	set_time(argv[6]);
	mesh_call_stream(mesh_dialer_find_connection(dialers[0]), methods[1].name, &request.base, 0,
	                 streamed, stream_ended, NULL);
	run_until_over();
	return 0;
}

static void stdin_ended(uint32_t events, void *context)
{
	(void)events;
	(void)context;
	is_over = true;
}

static int stay(char **argv, bool call_once)
{
	struct error err;
	struct chain chain = { 0 };
	struct mesh_dialer **dialers;

	start(argv[3], "client");
	dialers = dial(argv[2], call_once ? 1 : (unsigned)atoi(argv[4]));
	if (call_once) {
		server_pid = getpid();
		chain.connection = mesh_dialer_find_connection(dialers[0]);
		is_measuring = true;
		figures_begin(&figures, server_pid);
		ask(&chain);
	} else if (loop_watch_fd(loop, STDIN_FILENO, 1, stdin_ended, NULL, &err) < 0) {
		return 1;
	}
	puts("ready");
	fflush(stdout);
	return loop_run_until(loop, 120000, is_done, NULL) ? 0 : 1;
}

int main(int argc, char **argv)
{
	int rc = 2;

	log_open("bench_mesh", LOG_LEVEL_WARNING);
	if (argc == 4 && strcmp(argv[1], "server") == 0)
		rc = serve(argv[2], argv[3]);
	else if (argc == 9 && strcmp(argv[1], "calls") == 0)
		rc = calls(argv);
	else if (argc == 7 && strcmp(argv[1], "stream") == 0)
		rc = stream(argv);
	else if (argc == 5 && strcmp(argv[1], "idle") == 0)
		rc = stay(argv, false);
	else if (argc == 4 && strcmp(argv[1], "first") == 0)
		rc = stay(argv, true);
	else
		fprintf(stderr, "bench_mesh: see tests/bench/bench_mesh.c\n");
	/* What is connected is left to the kernel: taking them down is not measured. */
	fflush(stdout);
	_exit(rc);
}
