/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/tunnel_world.h. */
#include "tests/unit/tunnel_world.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/scratch.h"
#include "tests/shell.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_MS 10000

struct tunnel_world tunnel_world = { .folder = "/tmp/test_tunnel.XXXXXX", .libvirtd = -1 };

static char paths[16][128];
static size_t n_paths;
static unsigned int serial; /* of certificates: each has its own, or revoking one revokes another */

const char *tunnel_world_path(const char *name)
{
	char *path = paths[n_paths++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", tunnel_world.folder, name);
	return path;
}

static void make_ca(const char *name)
{
	shell_run("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
	          "-nodes -days 2 -keyout %s-key.pem -out %s.pem -subj /CN=%s >>openssl.log 2>&1",
	          tunnel_world.folder, name, name, name);
}

void tunnel_world_make_leaf(const char *ca, const char *name, const char *uri, int days)
{
	shell_run("cd %s && printf 'subjectAltName=URI:%s\\n' >ext && "
	          "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
	          "-keyout %s-key.pem -out csr -subj /CN=%s >>openssl.log 2>&1 && "
	          "openssl x509 -req -in csr -CA %s.pem -CAkey %s-key.pem -set_serial %u "
	          "-days %d -extfile ext -out %s.pem >>openssl.log 2>&1",
	          tunnel_world.folder, uri, name, name, ca, ca, ++serial, days, name);
}

int tunnel_world_make(void **state)
{
	(void)state;
	if (system("command -v openssl >/dev/null") != 0) {
		print_message("no openssl here\n");
		exit(77);
	}
	if (!mkdtemp(tunnel_world.folder))
		return -1;
	make_ca("ca");
	make_ca("rogue-ca");
	tunnel_world_make_leaf("ca", "host1", "drover://lab/agent/host1", 2);
	tunnel_world_make_leaf("ca", "host2", "drover://lab/agent/host2", 2);
	tunnel_world_make_leaf("ca", "other-cluster", "drover://prod/agent/host1", 2);
	tunnel_world_make_leaf("ca", "coordinator", "drover://lab/coordinator/host1", 2);
	tunnel_world_make_leaf("ca", "expired", "drover://lab/agent/host1", -1);
	tunnel_world_make_leaf("rogue-ca", "rogue", "drover://lab/agent/host1", 2);
	return 0;
}

int tunnel_world_remove(void **state)
{
	(void)state;
	return scratch_remove(tunnel_world.folder);
}

int tunnel_world_stop(void **state)
{
	(void)state;
	if (tunnel_world.source.pid)
		tunnel_stop(&tunnel_world.source, 0, NULL);
	if (tunnel_world.target.pid)
		tunnel_stop(&tunnel_world.target, 0, NULL);
	memset(&tunnel_world.source, 0, sizeof(tunnel_world.source));
	memset(&tunnel_world.target, 0, sizeof(tunnel_world.target));
	cleanup_close_fd(&tunnel_world.libvirtd);
	tunnel_world.libvirtd = -1;
	unlink(tunnel_world_path("libvirtd.sock"));
	return 0;
}

struct tunnel_options tunnel_world_options(enum tunnel_side side)
{
	struct tunnel_options o = {
		.side = side,
		.attempt = { .operation = { { 0xaa, 0xbb } }, .number = 3, .epoch = 1 },
		.cluster = "lab",
		.expect = side == TUNNEL_SOURCE ? "agent/host2" : "agent/host1",
		.ca_path = tunnel_world_path("ca.pem"),
		.cert_path = tunnel_world_path(side == TUNNEL_SOURCE ? "host1.pem" : "host2.pem"),
		.key_path = tunnel_world_path(side == TUNNEL_SOURCE ? "host1-key.pem"
		                                                    : "host2-key.pem"),
		.status_path = tunnel_world_path(side == TUNNEL_SOURCE ? "source.status"
		                                                       : "target.status"),
		.executable = tunnel_world.executable,
		.log_path = tunnel_world_path("tunnel.log"),
	};

	if (side == TUNNEL_SOURCE) {
		o.listen_unix = tunnel_world_path("libvirt.sock");
	} else {
		o.listen = "127.0.0.1:0";
		o.connect_unix = tunnel_world_path("libvirtd.sock");
	}
	return o;
}

void tunnel_world_use_certificate(struct tunnel_options *o, const char *name)
{
	char key[64], cert[64];

	snprintf(cert, sizeof(cert), "%s.pem", name);
	snprintf(key, sizeof(key), "%s-key.pem", name);
	o->cert_path = tunnel_world_path(cert);
	o->key_path = tunnel_world_path(key);
}

void tunnel_world_start_libvirtd(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	strcpy(at.sun_path, tunnel_world_path("libvirtd.sock"));
	unlink(at.sun_path);
	tunnel_world.libvirtd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(tunnel_world.libvirtd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(tunnel_world.libvirtd, 4), 0);
}

const char *tunnel_world_start_target(const struct tunnel_options *o)
{
	static char address[64];
	struct error err;

	if (tunnel_spawn(o, &tunnel_world.target, &tunnel_world.status, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(tunnel_world.status.state, TUNNEL_LISTENING);
	snprintf(address, sizeof(address), "127.0.0.1:%u", tunnel_world.status.port);
	return address;
}

void tunnel_world_start_pair(void)
{
	struct tunnel_options t = tunnel_world_options(TUNNEL_TARGET),
			      s = tunnel_world_options(TUNNEL_SOURCE);
	struct error err;

	tunnel_world_start_libvirtd();
	s.connect = tunnel_world_start_target(&t);
	if (tunnel_spawn(&s, &tunnel_world.source, &tunnel_world.status, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(tunnel_world.status.state, TUNNEL_LINKED);
}

int tunnel_world_call_libvirt(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, tunnel_world_path("libvirt.sock"));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

int tunnel_world_accept_libvirt(void)
{
	struct pollfd ready = { .fd = tunnel_world.libvirtd, .events = POLLIN };

	assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
	return accept4(tunnel_world.libvirtd, NULL, NULL, SOCK_CLOEXEC);
}

void tunnel_world_wait(const struct tunnel *t, int state,
                       bool (*until)(const struct tunnel_status *s, uint64_t context),
                       uint64_t context)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	struct error err;

	memset(&tunnel_world.status, 0, sizeof(tunnel_world.status));
	while (clock_now_ms() < deadline_ms) {
		int rc = tunnel_read_status(t, &tunnel_world.status, &err);

		if (rc == 0 && (state >= 0 ? (int)tunnel_world.status.state == state
		                           : until(&tunnel_world.status, context)))
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("waited for %d in vain: %s, \"%s\"", state,
	         tunnel_state_name((enum tunnel_state)tunnel_world.status.state),
	         tunnel_world.status.error_text);
}

void tunnel_world_main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s PATH-OF-DROVER-TUNNEL\n", argv[0]);
		exit(2);
	}
	tunnel_world.executable = argv[1];
	signal(SIGPIPE, SIG_IGN);
}
