/* SPDX-License-Identifier: Apache-2.0 */
/* See veth_peer.h. The peer obeys orders from a socket pair, one after the other; each order is
 * answered when it is done. To be a listener takes two answers: "listening" and "all received". */
#include "tests/unit/veth_peer.h"

#include "tests/shell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/if_packet.h>
#include <linux/tcp.h>

#define DEADLINE_S  20
#define CHUNK_BYTES 65536
#define FRAME_BYTES 9100

enum order_kind { ORDER_COMMAND, ORDER_RECEIVE, ORDER_SEND, ORDER_RAW };

struct order {
	enum order_kind kind;
	bool v6;
	uint16_t port;
	size_t bytes;
	char text[FRAME_BYTES]; /* a command, or a frame */
};

struct answer {
	bool ok;
	size_t bytes;
};

static pid_t peer_pid;
static int peer_fd = -1;

/* ------------------------------------------------- what both sides can do */

static socklen_t fill_address(bool v6, const char *text4, const char *text6, uint16_t port,
                              struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ret_address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;

	memset(ret_address, 0, sizeof(*ret_address));
	if (v6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		inet_pton(AF_INET6, text6, &in6->sin6_addr);
		return sizeof(*in6);
	}
	in4->sin_family = AF_INET;
	in4->sin_port = htons(port);
	inet_pton(AF_INET, text4, &in4->sin_addr);
	return sizeof(*in4);
}

static int open_tcp(bool v6)
{
	struct timeval deadline = { .tv_sec = DEADLINE_S };
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	}
	return fd;
}

static int start_listening(bool v6, const char *own4, const char *own6, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t bytes = fill_address(v6, own4, own6, port, &address);
	int fd = open_tcp(v6);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, bytes) < 0 || listen(fd, 1) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Accepts one connection and reads it to its end. */
static size_t receive_all(int listener)
{
	static char buffer[CHUNK_BYTES];
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	size_t total = 0;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
		total += (size_t)n;
	if (fd >= 0)
		close(fd);
	close(listener);
	return total;
}

/* Returns only when the other side has closed, which it does after the last byte: so nothing is
 * retransmitted any more. @ret_sent: with retransmissions. */
static bool send_all(bool v6, const char *to4, const char *to6, uint16_t port, size_t bytes,
                     size_t *ret_sent)
{
	static char buffer[CHUNK_BYTES];
	struct sockaddr_storage address;
	socklen_t address_bytes = fill_address(v6, to4, to6, port, &address);
	struct tcp_info info = { 0 };
	socklen_t info_bytes = sizeof(info);
	int fd = open_tcp(v6);
	bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&address, address_bytes) == 0;

	while (ok && bytes > 0) {
		ssize_t n = write(fd, buffer, bytes < sizeof(buffer) ? bytes : sizeof(buffer));

		ok = n > 0;
		if (ok)
			bytes -= (size_t)n;
	}
	ok = ok && shutdown(fd, SHUT_WR) == 0 && read(fd, buffer, 1) == 0 &&
	     getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) == 0;
	if (fd >= 0)
		close(fd);
	*ret_sent = info.tcpi_bytes_sent;
	return ok;
}

static bool send_raw(const char *interface, const void *frame, size_t bytes)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
		                  .sll_ifindex = (int)if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 &&
	          sendto(fd, frame, bytes, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)bytes;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* ---------------------------------------------------------------- the peer */

static void obey(int fd, const struct order *order)
{
	struct answer answer = { .ok = true };
	int listener;

	switch (order->kind) {
	case ORDER_COMMAND:
		answer.ok = system(order->text) == 0;
		break;
	case ORDER_RECEIVE:
		listener = start_listening(order->v6, VETH_PEER4, VETH_PEER6, order->port);
		answer.ok = listener >= 0;
		if (write(fd, &answer, sizeof(answer)) != sizeof(answer))
			_exit(1);
		if (listener >= 0)
			answer.bytes = receive_all(listener);
		break;
	case ORDER_SEND:
		answer.ok = send_all(order->v6, VETH_OURS4, VETH_OURS6, order->port, order->bytes,
		                     &answer.bytes);
		break;
	case ORDER_RAW:
		answer.ok = send_raw(VETH_PEER, order->text, order->bytes);
		break;
	}
	if (write(fd, &answer, sizeof(answer)) != sizeof(answer))
		_exit(1);
}

static void be_the_peer(int fd)
{
	static struct order order;
	char ready = 'r';

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0 ||
	    write(fd, &ready, 1) != 1)
		_exit(1);
	while (read(fd, &order, sizeof(order)) == sizeof(order))
		obey(fd, &order);
	_exit(0);
}

static void give_order(const struct order *order)
{
	assert_int_equal(write(peer_fd, order, sizeof(*order)), sizeof(*order));
}

static struct answer wait_for_answer(void)
{
	struct answer answer;

	assert_int_equal(read(peer_fd, &answer, sizeof(answer)), sizeof(answer));
	return answer;
}

static void run_in_peer(const char *command)
{
	struct order *order = calloc(1, sizeof(*order));

	assert_non_null(order);
	order->kind = ORDER_COMMAND;
	snprintf(order->text, sizeof(order->text), "%s", command);
	give_order(order);
	free(order);
	if (!wait_for_answer().ok)
		fail_msg("in the peer: %s", command);
}

/* ---------------------------------------------------------------- the test */

const char *veth_peer_start(void)
{
	struct timeval deadline = { .tv_sec = DEADLINE_S };
	char ready;
	int fds[2];

	if (geteuid() != 0)
		return "needs root for network namespaces";
	if (system("command -v ip tc >/dev/null") != 0)
		return "needs ip and tc (package iproute2)";
	if (unshare(CLONE_NEWNET) < 0)
		return "a network namespace is not permitted here";
	if (system("ip link set lo up && ip link add probe0 type veth peer name probe1 && "
	           "ip link del probe0") != 0)
		return "veth interfaces cannot be made here";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return strerror(errno);
	peer_pid = fork();
	if (peer_pid == 0) {
		close(fds[0]);
		be_the_peer(fds[1]);
	}
	close(fds[1]);
	peer_fd = fds[0];
	setsockopt(peer_fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
	return peer_pid > 0 && read(peer_fd, &ready, 1) == 1 ? NULL : "no second namespace";
}

void veth_peer_stop(void)
{
	if (peer_fd >= 0)
		close(peer_fd);
	peer_fd = -1;
	if (peer_pid > 0 && kill(peer_pid, SIGKILL) == 0)
		waitpid(peer_pid, NULL, 0);
	peer_pid = 0;
}

int veth_count_lines(const char *command, const char *word)
{
	FILE *output = popen(command, "re");
	char line[1024];
	int count = 0;

	assert_non_null(output);
	while (fgets(line, sizeof(line), output))
		count += strstr(line, word) != NULL;
	assert_int_equal(pclose(output), 0);
	return count;
}

void veth_create(void)
{
	shell_run("ip link add %s type veth peer name %s", VETH_OURS, VETH_PEER);
	shell_run("ip link set %s netns %d", VETH_PEER, peer_pid);
	shell_run("ip addr add %s/24 dev %s", VETH_OURS4, VETH_OURS);
	shell_run("ip addr add %s/64 dev %s nodad", VETH_OURS6, VETH_OURS);
	run_in_peer("ip addr add " VETH_PEER4 "/24 dev " VETH_PEER);
	run_in_peer("ip addr add " VETH_PEER6 "/64 dev " VETH_PEER " nodad");
}

/* An interface that is up drops what it is given until its real queue takes the place of "noop". */
#define WAIT_FOR_QUEUE "timeout 10 sh -c 'until tc qdisc show dev %s | grep -q noqueue; do :; done'"

void veth_bring_up(void)
{
	char command[128];

	run_in_peer("ip link set " VETH_PEER " up");
	shell_run("ip link set %s up", VETH_OURS);
	snprintf(command, sizeof(command), WAIT_FOR_QUEUE, VETH_PEER);
	run_in_peer(command);
	shell_run(WAIT_FOR_QUEUE, VETH_OURS);
}

void veth_set_mtu(unsigned int bytes)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link set %s mtu %u", VETH_PEER, bytes);
	run_in_peer(command);
	shell_run("ip link set %s mtu %u", VETH_OURS, bytes);
}

void veth_delete(void)
{
	if (if_nametoindex(VETH_OURS))
		shell_run("ip link del %s", VETH_OURS);
}

uint64_t veth_transfer(bool to_peer, bool v6, uint16_t port, size_t bytes)
{
	struct order *order = calloc(1, sizeof(*order));
	struct answer answer;
	size_t sent = 0;
	int listener;

	assert_non_null(order);
	order->kind = to_peer ? ORDER_RECEIVE : ORDER_SEND;
	order->v6 = v6;
	order->port = port;
	order->bytes = bytes;
	if (to_peer) {
		give_order(order);
		assert_true(wait_for_answer().ok);
		assert_true(send_all(v6, VETH_PEER4, VETH_PEER6, port, bytes, &sent));
		assert_int_equal(wait_for_answer().bytes, bytes);
	} else {
		listener = start_listening(v6, VETH_OURS4, VETH_OURS6, port);
		assert_true(listener >= 0);
		give_order(order);
		assert_int_equal(receive_all(listener), bytes);
		answer = wait_for_answer();
		assert_true(answer.ok);
		sent = answer.bytes;
	}
	free(order);
	return sent;
}

void veth_send_raw(const void *frame, size_t bytes)
{
	assert_true(send_raw(VETH_OURS, frame, bytes));
}

void veth_peer_send_raw(const void *frame, size_t bytes)
{
	struct order *order = calloc(1, sizeof(*order));

	assert_non_null(order);
	assert_true(bytes <= sizeof(order->text));
	order->kind = ORDER_RAW;
	order->bytes = bytes;
	memcpy(order->text, frame, bytes);
	give_order(order);
	free(order);
	assert_true(wait_for_answer().ok);
}
