/* SPDX-License-Identifier: Apache-2.0 */
/* See tcp_diag.h. The kernel sorts by port while it dumps; by address we do, for a socket of IPv6 may
 * carry IPv4. */
#include "ebpf/tcp_diag.h"

#include "ebpf/netlink.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>

#define ESTABLISHED 1 /* TCP_ESTABLISHED, in a header that does not go with the kernel's */

/* The kernel's little filter language: a comparison, the port in the slot behind it, and where to go
 * on. Past the end by four bytes is "no". */
struct port_filter {
	struct rtattr header;
	struct inet_diag_bc_op least, least_port, most, most_port;
};

struct dump_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 question;
	struct port_filter filter;
};

struct search {
	const struct traffic_endpoint *endpoint;
	struct tcp_connection *found;
	size_t count, room;
};

static bool is_mapped(const uint32_t address[4])
{
	return address[0] == 0 && address[1] == 0 && address[2] == htonl(0xffff);
}

static bool is_peer(const struct inet_diag_msg *m, const uint32_t address[4])
{
	if (m->idiag_family == AF_INET)
		return is_mapped(address) && m->id.idiag_dst[0] == address[3];
	return memcmp(m->id.idiag_dst, address, sizeof(m->id.idiag_dst)) == 0;
}

static const struct inet_diag_msg *open_answer(const struct nlmsghdr *answer)
{
	const struct inet_diag_msg *m = NLMSG_DATA(answer);

	if (answer->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return NULL;
	return m;
}

static void on_connection(const struct nlmsghdr *answer, void *userdata)
{
	const struct inet_diag_msg *m = open_answer(answer);
	struct search *s = userdata;

	if (!m || s->count == s->room || !is_peer(m, s->endpoint->remote_address))
		return;
	s->found[s->count++] = (struct tcp_connection){ .family = m->idiag_family, .id = m->id };
}

static struct port_filter filter_of(const struct traffic_endpoint *e)
{
	bool remote = e->port_is_remote;
	const unsigned op = sizeof(struct inet_diag_bc_op);

	return (struct port_filter){
		.header = { .rta_len = sizeof(struct port_filter),
		            .rta_type = INET_DIAG_REQ_BYTECODE },
		.least = { .code = remote ? INET_DIAG_BC_D_GE : INET_DIAG_BC_S_GE,
		           .yes = 2 * op,
		           .no = 4 * op + 4 },
		.least_port = { .no = e->port },
		.most = { .code = remote ? INET_DIAG_BC_D_LE : INET_DIAG_BC_S_LE,
		          .yes = 2 * op,
		          .no = 2 * op + 4 },
		.most_port = { .no = e->port },
	};
}

int tcp_diag_find(int fd, const struct traffic_endpoint *endpoint, struct tcp_connection *ret,
                  size_t room, size_t *ret_count, struct error *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct search search = { .endpoint = endpoint, .found = ret, .room = room };

	for (size_t i = 0; i < sizeof(families); i++) {
		struct dump_request request = {
			.header = { .nlmsg_len = sizeof(request),
			            .nlmsg_type = SOCK_DIAG_BY_FAMILY },
			.question = { .sdiag_family = families[i],
			              .sdiag_protocol = IPPROTO_TCP,
			              .idiag_states = 1U << ESTABLISHED },
			.filter = filter_of(endpoint),
		};
		int rc = netlink_dump(fd, &request.header, on_connection, &search, err);

		if (rc < 0)
			return error_context(err, "looking for connections at port %u",
			                     endpoint->port);
	}
	*ret_count = search.count;
	return 0;
}

struct reading {
	struct tcp_figures figures;
	bool found;
};

static void on_info(const struct nlmsghdr *answer, void *userdata)
{
	const struct inet_diag_msg *m = open_answer(answer);
	struct reading *reading = userdata;
	unsigned int left;

	if (!m)
		return;
	left = (unsigned int)(answer->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		struct tcp_info info = { 0 };
		size_t bytes = RTA_PAYLOAD(a);

		if (a->rta_type != INET_DIAG_INFO)
			continue;
		memcpy(&info, RTA_DATA(a), bytes < sizeof(info) ? bytes : sizeof(info));
		reading->found = true;
		reading->figures = (struct tcp_figures){
			.acked_bytes = info.tcpi_bytes_acked,
			.sent_bytes = info.tcpi_bytes_sent,
			.retransmitted_bytes = info.tcpi_bytes_retrans,
			.rtt_us = info.tcpi_rtt,
			.min_rtt_us = info.tcpi_min_rtt,
			.busy_us = info.tcpi_busy_time,
			.receiver_limited_us = info.tcpi_rwnd_limited,
			.buffer_limited_us = info.tcpi_sndbuf_limited,
			.known_bytes = bytes,
		};
	}
}

int tcp_diag_read(int fd, const struct tcp_connection *connection, struct tcp_figures *ret_figures,
                  struct error *err)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 question;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DIAG_BY_FAMILY },
		.question = { .sdiag_family = connection->family,
		              .sdiag_protocol = IPPROTO_TCP,
		              .idiag_ext = 1U << (INET_DIAG_INFO - 1),
		              .idiag_states = UINT32_MAX,
		              .id = connection->id },
	};
	struct reading reading = { 0 };
	int rc = netlink_ask(fd, &request.header, on_info, &reading, err);

	if (rc < 0)
		return error_context(err, "reading a connection to port %u",
		                     ntohs(connection->id.idiag_dport));
	if (!reading.found)
		return error_set(err, ERROR_NOT_FOUND, "a connection to port %u has ended",
		                 ntohs(connection->id.idiag_dport));
	*ret_figures = reading.figures;
	return 0;
}
