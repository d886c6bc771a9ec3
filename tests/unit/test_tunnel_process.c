/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a tunnel process: how it starts, what it survives, how it is known again and stopped. See
 * tests/unit/tunnel_world.h. */
#include "tests/unit/tunnel_world.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Nobody comes: each gives up by itself, and says for whom it waited. */
static void test_nobody_comes(void **state)
{
	struct tunnel_options t = tunnel_world_options(TUNNEL_TARGET),
			      s = tunnel_world_options(TUNNEL_SOURCE);
	struct error err;

	(void)state;
	t.wait_ms = 100;
	assert_int_equal(tunnel_spawn(&t, &tunnel_world.target, &tunnel_world.status, &err), 0);
	tunnel_world_wait(&tunnel_world.target, TUNNEL_FAILED, NULL, 0);
	assert_int_equal(tunnel_world.status.error_code, ERROR_TIMEOUT);
	assert_non_null(strstr(tunnel_world.status.error_text, "the other end did not come"));

	tunnel_world_start_libvirtd();
	t.wait_ms = 0;
	s.wait_ms = 1000;
	s.connect = tunnel_world_start_target(&t);
	assert_int_equal(tunnel_spawn(&s, &tunnel_world.source, &tunnel_world.status, &err), 0);
	tunnel_world_wait(&tunnel_world.source, TUNNEL_FAILED, NULL, 0);
	assert_non_null(strstr(tunnel_world.status.error_text, "libvirt did not call"));
	tunnel_world_wait(&tunnel_world.target, TUNNEL_FAILED, NULL, 0);
	/* And where nobody listens. */
	s.connect = "127.0.0.1:1";
	assert_int_equal(tunnel_spawn(&s, &tunnel_world.source, &tunnel_world.status, &err),
	                 -ERROR_UNREACHABLE);
	assert_non_null(strstr(err.text, "Connection refused"));
}

/* kill -9 of the agent, and of its whole process group, leaves the tunnel alone. */
static void test_survives_the_agent(void **state)
{
	_cleanup_close_ int client = -1, server = -1;
	struct tunnel_options t = tunnel_world_options(TUNNEL_TARGET),
			      s = tunnel_world_options(TUNNEL_SOURCE);
	int pipe_fds[2], code;
	char byte = 'x';
	pid_t agent;

	(void)state;
	tunnel_world_start_libvirtd();
	s.connect = tunnel_world_start_target(&t);
	assert_int_equal(pipe(pipe_fds), 0);
	fflush(NULL);
	agent = fork();
	if (agent == 0) {
		struct error err;

		setpgid(0, 0);
		if (tunnel_spawn(&s, &tunnel_world.source, &tunnel_world.status, &err) < 0)
			_exit(1);
		(void)!write(pipe_fds[1], &tunnel_world.source, sizeof(tunnel_world.source));
		pause();
	}
	assert_int_equal(read(pipe_fds[0], &tunnel_world.source, sizeof(tunnel_world.source)),
	                 sizeof(tunnel_world.source));
	kill(-agent, SIGKILL);
	waitpid(agent, &code, 0);
	assert_true(WIFSIGNALED(code));
	close(pipe_fds[0]);
	close(pipe_fds[1]);

	assert_true(tunnel_is_alive(&tunnel_world.source));
	assert_int_not_equal(getsid(tunnel_world.source.pid), getsid(0));
	client = tunnel_world_call_libvirt();
	server = tunnel_world_accept_libvirt();
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
	tunnel_world_start_pair();
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)tunnel_world.source.pid);
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
	tunnel_world_start_pair();
	other = tunnel_world.source;
	other.start_ticks++;
	strcpy(other.status_path, tunnel_world_path("none"));
	assert_false(tunnel_is_alive(&other));
	assert_int_equal(tunnel_stop(&other, 1000, &err), 0);
	assert_true(tunnel_is_alive(&tunnel_world.source));

	assert_int_equal(tunnel_stop(&tunnel_world.source, 5000, &err), 0);
	assert_false(tunnel_is_alive(&tunnel_world.source));
	assert_int_equal(access(tunnel_world.source.status_path, F_OK), -1);
	assert_int_equal(access(tunnel_world_path("libvirt.sock"), F_OK), -1);
	assert_int_equal(tunnel_stop(&tunnel_world.source, 5000, &err), 0);

	/* One that does not listen to reason. */
	kill(tunnel_world.target.pid, SIGSTOP);
	assert_int_equal(tunnel_stop(&tunnel_world.target, 50, &err), 0);
	assert_false(tunnel_is_alive(&tunnel_world.target));
}

/* A status of another tunnel at the same path is not taken for this one's. */
static void test_status_of_another(void **state)
{
	struct tunnel_options t = tunnel_world_options(TUNNEL_TARGET);
	struct tunnel first;
	struct error err;

	(void)state;
	tunnel_world_start_target(&t);
	first = tunnel_world.target;
	assert_int_equal(tunnel_stop(&tunnel_world.target, 2000, &err), 0);
	tunnel_world_start_target(&t);
	assert_int_equal(tunnel_read_status(&first, &tunnel_world.status, &err), -ERROR_INVALID);
	assert_int_equal(tunnel_read_status(&tunnel_world.target, &tunnel_world.status, &err), 0);
}

/* What cannot work is said at once, and leaves nothing. */
static void test_bad_options(void **state)
{
	struct tunnel_options o = tunnel_world_options(TUNNEL_TARGET);
	struct error err;

	(void)state;
	o.ca_path = tunnel_world_path("no-such-ca.pem");
	assert_int_equal(tunnel_spawn(&o, &tunnel_world.target, &tunnel_world.status, &err),
	                 -ERROR_INVALID);
	assert_non_null(strstr(err.text, "reading the CA"));
	assert_non_null(strstr(err.text, "no-such-ca.pem"));
	o = tunnel_world_options(TUNNEL_TARGET);
	o.key_path = tunnel_world_path("host1-key.pem");
	assert_int_equal(tunnel_spawn(&o, &tunnel_world.target, &tunnel_world.status, &err),
	                 -ERROR_INVALID);
	o = tunnel_world_options(TUNNEL_TARGET);
	o.listen = "192.0.2.1:0";
	assert_int_equal(tunnel_spawn(&o, &tunnel_world.target, &tunnel_world.status, &err),
	                 -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "192.0.2.1:0"));
	o = tunnel_world_options(TUNNEL_TARGET);
	o.attempt.number = 0;
	assert_int_equal(tunnel_spawn(&o, &tunnel_world.target, &tunnel_world.status, &err),
	                 -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "code 2"));
	o = tunnel_world_options(TUNNEL_TARGET);
	o.executable = "/nonexistent/drover-tunnel";
	assert_int_equal(tunnel_spawn(&o, &tunnel_world.target, &tunnel_world.status, &err),
	                 -ERROR_NOT_FOUND);
	o = tunnel_world_options(TUNNEL_TARGET);
	o.status_path = tunnel_world_path("no-such-folder/status");
	assert_true(tunnel_spawn(&o, &tunnel_world.target, &tunnel_world.status, &err) < 0);
	assert_int_equal(access(tunnel_world_path("target.status"), F_OK), -1);
	assert_int_equal(tunnel_world.target.pid, 0);
}

#define T(test) cmocka_unit_test_teardown(test, tunnel_world_stop)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_nobody_comes), T(test_survives_the_agent), T(test_inherits_nothing),
		T(test_stop),         T(test_status_of_another),  T(test_bad_options),
	};

	tunnel_world_main(argc, argv);
	return cmocka_run_group_tests(tests, tunnel_world_make, tunnel_world_remove);
}
