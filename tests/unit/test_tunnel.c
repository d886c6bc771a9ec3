/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of real tunnel processes over real TLS, with a unix socket for libvirtd at one end and a
 * client for libvirt at the other. Certificates are made by openssl for each run.
 *
 *	test (client) -- unix -- [source tunnel] == TLS == [target tunnel] -- unix -- test (server)
 */
#include "agent/tunnel/spawn.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_MS 10000

static const char *executable;
static char folder[] = "/tmp/test_tunnel.XXXXXX";
static char paths[16][128];
static size_t n_paths;

/* A path in the test's folder; valid until the next test. */
static const char *in_folder(const char *name)
{
	char *path = paths[n_paths++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void make_ca(const char *name)
{
	run("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
	    "-keyout %s-key.pem -out %s.pem -subj /CN=%s >>openssl.log 2>&1",
	    folder, name, name, name);
}

static void make_leaf(const char *ca, const char *name, const char *uri, int days)
{
	run("cd %s && printf 'subjectAltName=URI:%s\\n' >ext && openssl req -newkey ec -pkeyopt "
	    "ec_paramgen_curve:P-256 -nodes -keyout %s-key.pem -out csr -subj /CN=%s >>openssl.log "
	    "2>&1 && openssl x509 -req -in csr -CA %s.pem -CAkey %s-key.pem -set_serial %u -days "
	    "%d "
	    "-extfile ext -out %s.pem >>openssl.log 2>&1",
	    folder, uri, name, name, ca, ca, (unsigned int)(n_paths + 1), days, name);
}

static int make_folder(void **state)
{
	(void)state;
	if (system("command -v openssl >/dev/null") != 0) {
		print_message("no openssl here\n");
		exit(77);
	}
	if (!mkdtemp(folder))
		return -1;
	make_ca("ca");
	make_ca("rogue-ca");
	make_leaf("ca", "host1", "drover://lab/agent/host1", 2);
	make_leaf("ca", "host2", "drover://lab/agent/host2", 2);
	make_leaf("ca", "other-cluster", "drover://prod/agent/host1", 2);
	make_leaf("ca", "coordinator", "drover://lab/coordinator/host1", 2);
	make_leaf("ca", "expired", "drover://lab/agent/host1", -1);
	make_leaf("rogue-ca", "rogue", "drover://lab/agent/host1", 2);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return scratch_remove(folder);
}

static struct tunnel source, target;
static struct tunnel_status status;
static int libvirtd = -1; /* listens where the target connects to */

static int teardown(void **state)
{
	(void)state;
	if (source.pid)
		tunnel_stop(&source, 0, NULL);
	if (target.pid)
		tunnel_stop(&target, 0, NULL);
	memset(&source, 0, sizeof(source));
	memset(&target, 0, sizeof(target));
	cleanup_close_fd(&libvirtd);
	libvirtd = -1;
	unlink(in_folder("libvirtd.sock"));
	return 0;
}

static struct tunnel_options options(enum tunnel_side side)
{
	struct tunnel_options o = {
		.side = side,
		.attempt = { .operation = { { 0xaa, 0xbb } }, .number = 3, .epoch = 1 },
		.cluster = "lab",
		.expect = side == TUNNEL_SOURCE ? "agent/host2" : "agent/host1",
		.ca_path = in_folder("ca.pem"),
		.cert_path = in_folder(side == TUNNEL_SOURCE ? "host1.pem" : "host2.pem"),
		.key_path = in_folder(side == TUNNEL_SOURCE ? "host1-key.pem" : "host2-key.pem"),
		.status_path = in_folder(side == TUNNEL_SOURCE ? "source.status" : "target.status"),
		.executable = executable,
		.log_path = in_folder("tunnel.log"),
	};

	if (side == TUNNEL_SOURCE) {
		o.listen_unix = in_folder("libvirt.sock");
	} else {
		o.listen = "127.0.0.1:0";
		o.connect_unix = in_folder("libvirtd.sock");
	}
	return o;
}

static void use_certificate(struct tunnel_options *o, const char *name)
{
	char key[64], cert[64];

	snprintf(cert, sizeof(cert), "%s.pem", name);
	snprintf(key, sizeof(key), "%s-key.pem", name);
	o->cert_path = in_folder(cert);
	o->key_path = in_folder(key);
}

static void start_libvirtd(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	strcpy(at.sun_path, in_folder("libvirtd.sock"));
	unlink(at.sun_path);
	libvirtd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(libvirtd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(libvirtd, 4), 0);
}

static const char *start_target(const struct tunnel_options *o)
{
	static char address[64];
	struct error err;

	if (tunnel_spawn(o, &target, &status, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(status.state, TUNNEL_LISTENING);
	snprintf(address, sizeof(address), "127.0.0.1:%u", status.port);
	return address;
}

/* Both, as they should be. */
static void start_pair(void)
{
	struct tunnel_options t = options(TUNNEL_TARGET), s = options(TUNNEL_SOURCE);
	struct error err;

	start_libvirtd();
	s.connect = start_target(&t);
	if (tunnel_spawn(&s, &source, &status, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(status.state, TUNNEL_LINKED);
}

static int call_libvirt(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, in_folder("libvirt.sock"));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static int accept_libvirt(void)
{
	struct pollfd ready = { .fd = libvirtd, .events = POLLIN };

	assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
	return accept4(libvirtd, NULL, NULL, SOCK_CLOEXEC);
}

/* Waits until the status of @t says @state; -1: until @until says so. */
static void wait_for(const struct tunnel *t, int state,
                     bool (*until)(const struct tunnel_status *s, uint64_t context),
                     uint64_t context)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	struct error err;

	memset(&status, 0, sizeof(status));
	while (clock_now_ms() < deadline_ms) {
		int rc = tunnel_read_status(t, &status, &err);

		if (rc == 0 && (state >= 0 ? (int)status.state == state : until(&status, context)))
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("waited for %d in vain: %s, \"%s\"", state,
	         tunnel_state_name((enum tunnel_state)status.state), status.error_text);
}

static void fill(uint8_t *data, size_t bytes, unsigned int seed)
{
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1103515245 + 12345;
		data[i] = (uint8_t)(seed >> 16);
	}
}

#define MEGABYTES (5 << 20)

/* A child that reads all until the end, then answers with all of it, then ends. */
static pid_t start_echo(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		uint8_t *data = xmalloc(MEGABYTES + 1);
		int fd = accept_libvirt();
		size_t got = 0;
		ssize_t n;

		while ((n = read(fd, data + got, MEGABYTES + 1 - got)) > 0)
			got += (size_t)n;
		for (size_t sent = 0; sent < got; sent += (size_t)n) {
			n = write(fd, data + sent, got - sent);
			if (n <= 0)
				_exit(1);
		}
		_exit(got == MEGABYTES ? 0 : 2);
	}
	return pid;
}

/* Megabytes pass both ways unchanged, one direction after the other has ended; both processes end
 * by themselves, in order, and leave no socket. */
static void test_bytes_and_half_close(void **state)
{
	uint8_t *sent = xmalloc(MEGABYTES), *got = xmalloc(MEGABYTES);
	size_t n_got = 0;
	int client, code;
	pid_t server;
	ssize_t n;

	(void)state;
	start_pair();
	server = start_echo();
	client = call_libvirt();
	fill(sent, MEGABYTES, 1);
	for (size_t at = 0; at < MEGABYTES; at += (size_t)n) {
		n = write(client, sent + at, MEGABYTES - at);
		assert_true(n > 0);
	}
	shutdown(client, SHUT_WR);
	while (n_got < MEGABYTES && (n = read(client, got + n_got, MEGABYTES - n_got)) > 0)
		n_got += (size_t)n;
	assert_int_equal(n_got, MEGABYTES);
	assert_int_equal(memcmp(sent, got, MEGABYTES), 0);
	assert_int_equal(read(client, got, 1), 0);
	close(client);
	waitpid(server, &code, 0);
	assert_int_equal(code, 0);
	free(sent);
	free(got);

	wait_for(&source, TUNNEL_CLOSED, NULL, 0);
	assert_int_equal(status.bytes_to_peer, MEGABYTES);
	assert_int_equal(status.bytes_from_peer, MEGABYTES);
	wait_for(&target, TUNNEL_CLOSED, NULL, 0);
	assert_int_equal(status.bytes_to_peer, MEGABYTES);
	assert_string_equal(status.error_text, "");
	assert_int_equal(access(in_folder("libvirt.sock"), F_OK), -1);
	while (tunnel_is_alive(&source) || tunnel_is_alive(&target))
		poll(NULL, 0, 5);
}

/* Who does not read stops the writer, within bounds; when he reads again everything is there. */
static void test_back_pressure(void **state)
{
	uint8_t data[65536], back[65536];
	struct pollfd writable;
	size_t sent = 0, got = 0;
	int client, server;

	(void)state;
	start_pair();
	client = call_libvirt();
	server = accept_libvirt();
	fill(data, sizeof(data), 2);
	fcntl(client, F_SETFL, O_NONBLOCK);
	writable = (struct pollfd){ .fd = client, .events = POLLOUT };
	/* Nothing moves for half a second: everything is full. */
	while (poll(&writable, 1, 500) == 1) {
		ssize_t n = write(client, data + sent % sizeof(data),
		                  sizeof(data) - sent % sizeof(data));

		if (n > 0)
			sent += (size_t)n;
		assert_true(sent < (32 << 20));
	}
	assert_true(sent > 65536);
	shutdown(client, SHUT_WR);
	for (;;) {
		size_t at = got % sizeof(data);
		ssize_t n = read(server, back, sizeof(back) - at);

		if (n <= 0)
			break;
		assert_memory_equal(back, data + at, n);
		got += (size_t)n;
	}
	assert_int_equal(got, sent);
	close(server);
	close(client);
	wait_for(&source, TUNNEL_CLOSED, NULL, 0);
}

static bool heard_after(const struct tunnel_status *s, uint64_t ms)
{
	return s->last_heard_ms > ms;
}

static bool silent_for(const struct tunnel_status *s, uint64_t ms)
{
	return s->updated_ms - s->last_heard_ms > ms;
}

/* Silence is seen within seconds, and only seen: the connection is held, and goes on. */
static void test_silence_is_seen_and_held(void **state)
{
	_cleanup_close_ int client = -1, server = -1;
	char byte = 'x';

	(void)state;
	start_pair();
	client = call_libvirt();
	server = accept_libvirt();
	wait_for(&source, TUNNEL_CONNECTED, NULL, 0);
	/* Idle: pings are heard. */
	wait_for(&source, -1, heard_after, status.last_heard_ms);
	wait_for(&target, -1, heard_after, status.last_heard_ms);

	kill(target.pid, SIGSTOP);
	wait_for(&source, -1, silent_for, 2500);
	assert_int_equal(status.state, TUNNEL_CONNECTED);
	assert_int_equal(write(client, &byte, 1), 1);
	kill(target.pid, SIGCONT);
	assert_int_equal(read(server, &byte, 1), 1);
	wait_for(&source, -1, heard_after, status.last_heard_ms);
	assert_int_equal(status.state, TUNNEL_CONNECTED);
}

static bool has_error(const struct tunnel_status *s, uint64_t unused)
{
	(void)unused;
	return s->error_text[0];
}

/* Each of these is refused, nobody gets through to libvirtd, and both ends know why. */
static void test_strangers_are_refused(void **state)
{
	static const struct {
		const char *what;
		const char *source_certificate, *source_ca, *source_expect, *target_expect;
		uint8_t operation;
		uint32_t number;
		const char *source_says, *target_says;
	} rows[] = {
		{ "another CA", "rogue", "ca.pem", "agent/host2", "agent/host1", 0xaa, 3,
		  "unknown ca", "unable to get local issuer certificate" },
		{ "an expired certificate", "expired", "ca.pem", "agent/host2", "agent/host1", 0xaa,
		  3, "certificate expired", "certificate has expired" },
		{ "a target of another CA", "host1", "rogue-ca.pem", "agent/host2", "agent/host1",
		  0xaa, 3, "unable to get local issuer certificate", "unknown ca" },
		{ "another node", "host2", "ca.pem", "agent/host2", "agent/host1", 0xaa, 3,
		  "it expects drover://lab/agent/host1 and not drover://lab/agent/host2",
		  "is drover://lab/agent/host2 and not drover://lab/agent/host1" },
		{ "another cluster", "other-cluster", "ca.pem", "agent/host2", "agent/host1", 0xaa,
		  3, "and not drover://prod/agent/host1", "is drover://prod/agent/host1" },
		{ "another role", "coordinator", "ca.pem", "agent/host2", "agent/host1", 0xaa, 3,
		  "and not drover://lab/coordinator/host1", "is drover://lab/coordinator/host1" },
		{ "a prefix of the name", "host1", "ca.pem", "agent/host2", "agent/host", 0xaa, 3,
		  "it expects drover://lab/agent/host and", "is drover://lab/agent/host1 and not" },
		{ "another target than expected", "host1", "ca.pem", "agent/host3", "agent/host1",
		  0xaa, 3, "is drover://lab/agent/host2 and not drover://lab/agent/host3",
		  "refused: it expects drover://lab/agent/host3" },
		{ "another operation", "host1", "ca.pem", "agent/host2", "agent/host1", 0xab, 3,
		  "this is the tunnel of attempt", "this is the tunnel of attempt" },
		{ "another attempt", "host1", "ca.pem", "agent/host2", "agent/host1", 0xaa, 4,
		  "this is the tunnel of attempt", "this is the tunnel of attempt" },
	};

	(void)state;
	start_libvirtd();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tunnel_options t = options(TUNNEL_TARGET), s = options(TUNNEL_SOURCE);
		struct pollfd called = { .fd = libvirtd, .events = POLLIN };
		struct error err;

		t.expect = rows[i].target_expect;
		s.connect = start_target(&t);
		s.ca_path = in_folder(rows[i].source_ca);
		use_certificate(&s, rows[i].source_certificate);
		s.expect = rows[i].source_expect;
		s.attempt.operation.bytes[0] = rows[i].operation;
		s.attempt.number = rows[i].number;
		if (tunnel_spawn(&s, &source, &status, &err) == 0)
			fail_msg("%s was let in", rows[i].what);
		if (!strstr(err.text, rows[i].source_says))
			fail_msg("%s: the source says \"%s\"", rows[i].what, err.text);
		wait_for(&target, -1, has_error, 0);
		if (!strstr(status.error_text, rows[i].target_says))
			fail_msg("%s: the target says \"%s\"", rows[i].what, status.error_text);
		/* The target waits on for its twin; libvirtd was not bothered. */
		assert_int_equal(status.state, TUNNEL_LISTENING);
		assert_int_equal(poll(&called, 1, 0), 0);
		assert_int_equal(access(in_folder("source.status"), F_OK), -1);
		assert_int_equal(access(in_folder("libvirt.sock"), F_OK), -1);
		assert_int_equal(tunnel_stop(&target, 2000, &err), 0);
	}
}

/* F75: a twin whose certificate was revoked does not come in, whichever end looks; a list that revokes
 * somebody else hurts nobody. */
static void f75_revoked(void **state)
{
	struct error err;

	(void)state;
	make_leaf("ca", "stolen", "drover://lab/agent/host1", 2);
	run("cd %s && : >index && echo 01 >number && printf "
	    "'[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index"
	    "\\ncrlnumber=number\\ndefault_md=sha256\\ndefault_crl_days=2\\n' >ca.cnf && "
	    "openssl ca -config ca.cnf -keyfile ca-key.pem -cert ca.pem -revoke stolen.pem "
	    ">>openssl.log 2>&1 && openssl ca -config ca.cnf -keyfile ca-key.pem -cert ca.pem "
	    "-gencrl -out crl.pem >>openssl.log 2>&1",
	    folder);
	start_libvirtd();
	for (size_t stolen = 0; stolen < 2; stolen++) {
		struct tunnel_options t = options(TUNNEL_TARGET), s = options(TUNNEL_SOURCE);

		t.crl_path = s.crl_path = in_folder("crl.pem");
		s.connect = start_target(&t);
		if (stolen)
			use_certificate(&s, "stolen");
		if ((tunnel_spawn(&s, &source, &status, &err) < 0) != (stolen == 1))
			fail_msg("%s: \"%s\"", stolen ? "let in" : "kept out", err.text);
		if (stolen) {
			wait_for(&target, -1, has_error, 0);
			assert_non_null(strstr(status.error_text, "certificate revoked"));
		} else {
			assert_int_equal(tunnel_stop(&source, 2000, &err), 0);
		}
		assert_int_equal(tunnel_stop(&target, 2000, &err), 0);
	}
}

/* Connections that say nothing, or nonsense, do not keep the twin out; nor do many of them. */
static void test_noise_does_not_keep_the_twin_out(void **state)
{
	struct tunnel_options t = options(TUNNEL_TARGET), s = options(TUNNEL_SOURCE);
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct error err;
	int noise[40];

	(void)state;
	start_libvirtd();
	s.connect = start_target(&t);
	at.sin_port = htons((uint16_t)status.port);
	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	for (size_t i = 0; i < ARRAY_SIZE(noise); i++) {
		noise[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(noise[i], (struct sockaddr *)&at, sizeof(at)), 0);
		if (i % 2)
			(void)!send(noise[i], "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
	}
	if (tunnel_spawn(&s, &source, &status, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
		close(noise[i]);
	wait_for(&target, TUNNEL_LINKED, NULL, 0);
	assert_string_equal(status.error_text, "");
}

/* A link that breaks ends both ends and libvirt's connections, with the reason. */
static void test_broken_link(void **state)
{
	_cleanup_close_ int client = -1, server = -1;
	struct error err;
	char byte;

	(void)state;
	start_pair();
	client = call_libvirt();
	server = accept_libvirt();
	wait_for(&source, TUNNEL_CONNECTED, NULL, 0);
	wait_for(&target, TUNNEL_CONNECTED, NULL, 0);
	kill(target.pid, SIGKILL);
	assert_int_equal(read(client, &byte, 1), 0);
	assert_int_equal(read(server, &byte, 1), 0);
	wait_for(&source, TUNNEL_FAILED, NULL, 0);
	assert_int_equal(status.error_code, ERROR_UNREACHABLE);
	assert_true(strlen(status.error_text) > 10);
	/* The killed one could not say anything: that it died is known all the same, once the
	 * kernel has taken all of it down. */
	while (tunnel_is_alive(&target))
		poll(NULL, 0, 5);
	assert_int_equal(tunnel_read_status(&target, &status, &err), -ERROR_NOT_FOUND);
	assert_non_null(strstr(err.text, "died while connected"));
	assert_false(tunnel_is_alive(&target));
}

static bool lacks_descriptors(const struct tunnel_status *s, uint64_t context)
{
	(void)context;
	return strstr(s->error_text, "Too many open files") != NULL;
}

/* Of its user and its system, in clock ticks. */
static unsigned long read_cpu(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file,
	                        "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
	                        &user, &system),
	                 2);
	fclose(file);
	return user + system;
}

/* The next one that it would get. */
static rlim_t find_free_descriptor(pid_t pid)
{
	char path[64], to[64];

	for (int fd = 0;; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		if (readlink(path, to, sizeof(to)) < 0)
			return (rlim_t)fd;
	}
}

static bool is_later(const struct tunnel_status *s, uint64_t context)
{
	return s->updated_ms >= context;
}

/* Without a descriptor for who calls, an end says so, waits for one at leisure, and goes on. */
static void test_no_descriptors(void **state)
{
	struct rlimit before, none;
	unsigned long cpu;
	int fd, server;

	(void)state;
	start_pair();
	assert_int_equal(prlimit(source.pid, RLIMIT_NOFILE, NULL, &before), 0);
	none = before;
	none.rlim_cur = find_free_descriptor(source.pid);
	assert_int_equal(prlimit(source.pid, RLIMIT_NOFILE, &none, NULL), 0);
	fd = call_libvirt();
	wait_for(&source, -1, lacks_descriptors, 0);
	cpu = read_cpu(source.pid);
	wait_for(&source, -1, is_later, status.updated_ms + 1000);
	assert_in_range(read_cpu(source.pid) - cpu, 0, (unsigned long)sysconf(_SC_CLK_TCK) / 5);
	assert_int_equal(prlimit(source.pid, RLIMIT_NOFILE, &before, NULL), 0);
	wait_for(&source, TUNNEL_CONNECTED, NULL, 0);
	assert_string_equal(status.error_text, "");
	server = accept_libvirt();
	assert_true(server >= 0);
	close(server);
	close(fd);
}

/* libvirtd that is not there is said at both ends, and libvirt gets an end. */
static void test_no_libvirtd(void **state)
{
	_cleanup_close_ int client = -1;
	char byte;

	(void)state;
	start_pair();
	cleanup_close_fd(&libvirtd);
	libvirtd = -1;
	unlink(in_folder("libvirtd.sock"));
	client = call_libvirt();
	assert_int_equal(read(client, &byte, 1), 0);
	wait_for(&target, TUNNEL_FAILED, NULL, 0);
	assert_non_null(strstr(status.error_text, "libvirtd.sock: No such file"));
	wait_for(&source, TUNNEL_FAILED, NULL, 0);
	assert_non_null(strstr(status.error_text, "libvirtd.sock: No such file"));
}

/* Nobody comes: each gives up by itself, and says for whom it waited. */
static void test_nobody_comes(void **state)
{
	struct tunnel_options t = options(TUNNEL_TARGET), s = options(TUNNEL_SOURCE);
	struct error err;

	(void)state;
	t.wait_ms = 100;
	assert_int_equal(tunnel_spawn(&t, &target, &status, &err), 0);
	wait_for(&target, TUNNEL_FAILED, NULL, 0);
	assert_int_equal(status.error_code, ERROR_TIMEOUT);
	assert_non_null(strstr(status.error_text, "the other end did not come"));

	start_libvirtd();
	t.wait_ms = 0;
	s.wait_ms = 1000;
	s.connect = start_target(&t);
	assert_int_equal(tunnel_spawn(&s, &source, &status, &err), 0);
	wait_for(&source, TUNNEL_FAILED, NULL, 0);
	assert_non_null(strstr(status.error_text, "libvirt did not call"));
	wait_for(&target, TUNNEL_FAILED, NULL, 0);
	/* And where nobody listens. */
	s.connect = "127.0.0.1:1";
	assert_int_equal(tunnel_spawn(&s, &source, &status, &err), -ERROR_UNREACHABLE);
	assert_non_null(strstr(err.text, "Connection refused"));
}

/* kill -9 of the agent, and of its whole process group, leaves the tunnel alone. */
static void test_survives_the_agent(void **state)
{
	_cleanup_close_ int client = -1, server = -1;
	struct tunnel_options t = options(TUNNEL_TARGET), s = options(TUNNEL_SOURCE);
	int pipe_fds[2], code;
	char byte = 'x';
	pid_t agent;

	(void)state;
	start_libvirtd();
	s.connect = start_target(&t);
	assert_int_equal(pipe(pipe_fds), 0);
	fflush(NULL);
	agent = fork();
	if (agent == 0) {
		struct error err;

		setpgid(0, 0);
		if (tunnel_spawn(&s, &source, &status, &err) < 0)
			_exit(1);
		(void)!write(pipe_fds[1], &source, sizeof(source));
		pause();
	}
	assert_int_equal(read(pipe_fds[0], &source, sizeof(source)), sizeof(source));
	kill(-agent, SIGKILL);
	waitpid(agent, &code, 0);
	assert_true(WIFSIGNALED(code));
	close(pipe_fds[0]);
	close(pipe_fds[1]);

	assert_true(tunnel_is_alive(&source));
	assert_int_not_equal(getsid(source.pid), getsid(0));
	client = call_libvirt();
	server = accept_libvirt();
	assert_int_equal(write(client, &byte, 1), 1);
	assert_int_equal(read(server, &byte, 1), 1);
}

/* Nothing that its parent had open is open in the tunnel. */
static void test_inherits_nothing(void **state)
{
	_cleanup_closedir_ DIR *fds = NULL;
	char path[64], link_path[512], target_path[128];
	int kept = open("/etc/passwd", O_RDONLY); /* not close-on-exec, by mistake */
	struct dirent *entry;

	(void)state;
	start_pair();
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)source.pid);
	fds = opendir(path);
	assert_non_null(fds);
	while ((entry = readdir(fds))) {
		ssize_t n;

		snprintf(link_path, sizeof(link_path), "%s/%s", path, entry->d_name);
		n = readlink(link_path, target_path, sizeof(target_path) - 1);
		if (n < 0)
			continue;
		target_path[n] = '\0';
		assert_null(strstr(target_path, "passwd"));
	}
	close(kept);
}

/* Stopped, it is gone with its files; a process that merely has its pid is left alone. */
static void test_stop(void **state)
{
	struct tunnel other;
	struct error err;

	(void)state;
	start_pair();
	other = source;
	other.start_ticks++;
	strcpy(other.status_path, in_folder("none"));
	assert_false(tunnel_is_alive(&other));
	assert_int_equal(tunnel_stop(&other, 1000, &err), 0);
	assert_true(tunnel_is_alive(&source));

	assert_int_equal(tunnel_stop(&source, 5000, &err), 0);
	assert_false(tunnel_is_alive(&source));
	assert_int_equal(access(source.status_path, F_OK), -1);
	assert_int_equal(access(in_folder("libvirt.sock"), F_OK), -1);
	assert_int_equal(tunnel_stop(&source, 5000, &err), 0);

	/* One that does not listen to reason. */
	kill(target.pid, SIGSTOP);
	assert_int_equal(tunnel_stop(&target, 50, &err), 0);
	assert_false(tunnel_is_alive(&target));
}

/* A status of another tunnel at the same path is not taken for this one's. */
static void test_status_of_another(void **state)
{
	struct tunnel_options t = options(TUNNEL_TARGET);
	struct tunnel first;
	struct error err;

	(void)state;
	start_target(&t);
	first = target;
	assert_int_equal(tunnel_stop(&target, 2000, &err), 0);
	start_target(&t);
	assert_int_equal(tunnel_read_status(&first, &status, &err), -ERROR_INVALID);
	assert_int_equal(tunnel_read_status(&target, &status, &err), 0);
}

/* What cannot work is said at once, and leaves nothing. */
static void test_bad_options(void **state)
{
	struct tunnel_options o = options(TUNNEL_TARGET);
	struct error err;

	(void)state;
	o.ca_path = in_folder("no-such-ca.pem");
	assert_int_equal(tunnel_spawn(&o, &target, &status, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "reading the CA"));
	assert_non_null(strstr(err.text, "no-such-ca.pem"));
	o = options(TUNNEL_TARGET);
	o.key_path = in_folder("host1-key.pem");
	assert_int_equal(tunnel_spawn(&o, &target, &status, &err), -ERROR_INVALID);
	o = options(TUNNEL_TARGET);
	o.listen = "192.0.2.1:0";
	assert_int_equal(tunnel_spawn(&o, &target, &status, &err), -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "192.0.2.1:0"));
	o = options(TUNNEL_TARGET);
	o.attempt.number = 0;
	assert_int_equal(tunnel_spawn(&o, &target, &status, &err), -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "code 2"));
	o = options(TUNNEL_TARGET);
	o.executable = "/nonexistent/drover-tunnel";
	assert_int_equal(tunnel_spawn(&o, &target, &status, &err), -ERROR_NOT_FOUND);
	o = options(TUNNEL_TARGET);
	o.status_path = in_folder("no-such-folder/status");
	assert_true(tunnel_spawn(&o, &target, &status, &err) < 0);
	assert_int_equal(access(in_folder("target.status"), F_OK), -1);
	assert_int_equal(target.pid, 0);
}

#define T(test) cmocka_unit_test_teardown(test, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_bytes_and_half_close),
		T(test_back_pressure),
		T(test_silence_is_seen_and_held),
		T(test_strangers_are_refused),
		T(f75_revoked),
		T(test_noise_does_not_keep_the_twin_out),
		T(test_broken_link),
		T(test_no_descriptors),
		T(test_no_libvirtd),
		T(test_nobody_comes),
		T(test_survives_the_agent),
		T(test_inherits_nothing),
		T(test_stop),
		T(test_status_of_another),
		T(test_bad_options),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test_tunnel PATH-OF-DROVER-TUNNEL\n");
		return 2;
	}
	executable = argv[1];
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
