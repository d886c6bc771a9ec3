/* SPDX-License-Identifier: Apache-2.0 */
/* See relay.h. */
#include "agent/tunnel/relay.h"

#include "agent/tunnel/failpoints.h"
#include "agent/tunnel/local.h"
#include "agent/tunnel/status.h"
#include "common/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Some whole frames each way. libvirt's control traffic is small; this is what a stall may hold. */
#define BUFFER_BYTES (4 * TUNNEL_FRAME_BYTES_MAX)

void tunnel_relay_init(struct tunnel_relay *r, struct tunnel_link *link, const char *connect_unix,
                       uint64_t now_ms)
{
	*r = (struct tunnel_relay){ .link = link,
		                    .local = -1,
		                    .connect_unix = connect_unix,
		                    .last_heard_ms = now_ms,
		                    .last_ping_ms = now_ms };
	tunnel_buffer_init(&r->in, TUNNEL_FRAME_BYTES_MAX);
	tunnel_buffer_init(&r->to_link, BUFFER_BYTES);
	tunnel_buffer_init(&r->to_local, BUFFER_BYTES);
}

void tunnel_relay_deinit(struct tunnel_relay *r)
{
	cleanup_close_fd(&r->local);
	r->local = -1;
	tunnel_buffer_deinit(&r->in);
	tunnel_buffer_deinit(&r->to_link);
	tunnel_buffer_deinit(&r->to_local);
}

void tunnel_relay_open(struct tunnel_relay *r, int fd)
{
	r->local = fd;
	r->opened = true;
	tunnel_frame_put(&r->to_link, TUNNEL_FRAME_OPEN, NULL, 0);
}

static bool room_for_frame(const struct tunnel_buffer *b)
{
	return b->capacity - tunnel_buffer_bytes(b) >=
	       TUNNEL_FRAME_BYTES_MAX + 2 * TUNNEL_FRAME_HEADER;
}

static bool wants_local_bytes(const struct tunnel_relay *r)
{
	return r->local >= 0 && !r->local_ended && room_for_frame(&r->to_link);
}

static bool wants_link_bytes(const struct tunnel_relay *r)
{
	return room_for_frame(&r->to_local);
}

void tunnel_relay_get_polls(const struct tunnel_relay *r, struct pollfd ret[2])
{
	unsigned int link_events = 0, local_events = 0;

	if (wants_link_bytes(r))
		link_events |= (unsigned int)tunnel_link_get_events(r->link);
	if (tunnel_buffer_bytes(&r->to_link))
		link_events |= POLLOUT;
	if (wants_local_bytes(r))
		local_events |= POLLIN;
	if (tunnel_buffer_bytes(&r->to_local))
		local_events |= POLLOUT;
	/* Without a wish they are not polled at all: a hang-up would wake us for ever. */
	ret[0] = (struct pollfd){ .fd = link_events ? tunnel_link_get_fd(r->link) : -1,
		                  .events = (short)link_events };
	ret[1] = (struct pollfd){ .fd = local_events ? r->local : -1,
		                  .events = (short)local_events };
}

/* libvirt's end of the connection is gone for good. */
static void lose_local(struct tunnel_relay *r)
{
	tunnel_buffer_consume(&r->to_local, tunnel_buffer_bytes(&r->to_local));
	r->local_shut = true;
	if (!r->local_ended && tunnel_frame_put(&r->to_link, TUNNEL_FRAME_END, NULL, 0))
		r->local_ended = true;
}

static void read_local(struct tunnel_relay *r)
{
	uint8_t data[TUNNEL_FRAME_DATA_MAX];

	while (wants_local_bytes(r)) {
		ssize_t n = read(r->local, data, sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			lose_local(r);
			return;
		}
		if (n == 0) {
			tunnel_frame_put(&r->to_link, TUNNEL_FRAME_END, NULL, 0);
			r->local_ended = true;
			return;
		}
		FAILPOINT(tunnel_out_stream);
		tunnel_frame_put(&r->to_link, TUNNEL_FRAME_DATA, data, (size_t)n);
		r->bytes_to_peer += (size_t)n;
	}
}

static void write_local(struct tunnel_relay *r)
{
	while (r->local >= 0 && tunnel_buffer_bytes(&r->to_local)) {
		ssize_t n = send(r->local, r->to_local.data + r->to_local.start,
		                 tunnel_buffer_bytes(&r->to_local), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			lose_local(r);
			return;
		}
		tunnel_buffer_consume(&r->to_local, (size_t)n);
	}
	if (r->peer_ended && !r->local_shut && !tunnel_buffer_bytes(&r->to_local)) {
		if (r->local >= 0)
			shutdown(r->local, SHUT_WR);
		r->local_shut = true;
	}
}

static int take_refusal(struct tunnel_relay *r, const struct tunnel_frame *frame, struct error *err)
{
	char text[TUNNEL_FRAME_TEXT_MAX + 1];

	for (size_t i = 0; i < frame->bytes; i++)
		text[i] = (char)(frame->data[i] < ' ' || frame->data[i] > '~' ? '?'
		                                                              : frame->data[i]);
	text[frame->bytes] = '\0';
	return error_set(err, ERROR_REFUSED, "%s: %s", tunnel_link_get_peer(r->link), text);
}

static int open_local(struct tunnel_relay *r, struct error *err)
{
	int rc;

	if (!r->connect_unix || r->opened)
		return error_set(err, ERROR_PROTOCOL, "%s opened a second connection",
		                 tunnel_link_get_peer(r->link));
	FAILPOINT(tunnel_before_connected);
	rc = tunnel_local_connect(r->connect_unix, &r->local, err);
	if (rc < 0) {
		tunnel_link_refuse(r->link, err->text);
		return rc;
	}
	r->opened = true;
	return 0;
}

static int take_frame(struct tunnel_relay *r, const struct tunnel_frame *frame, struct error *err)
{
	switch (frame->kind) {
	case TUNNEL_FRAME_PING:
		return 0;
	case TUNNEL_FRAME_OPEN:
		return open_local(r, err);
	case TUNNEL_FRAME_DATA:
		if (!r->opened || r->peer_ended)
			break;
		if (FAILPOINT_ERROR(tunnel_in_stream, err) < 0)
			return -ERROR_SYSTEM;
		r->bytes_from_peer += frame->bytes;
		/* libvirt here has hung up: the twin will hear of it, these bytes have no reader. */
		if (!r->local_shut)
			tunnel_buffer_put(&r->to_local, frame->data, frame->bytes);
		return 0;
	case TUNNEL_FRAME_END:
		if (!r->opened || r->peer_ended)
			break;
		r->peer_ended = true;
		return 0;
	case TUNNEL_FRAME_REFUSE:
		return take_refusal(r, frame, err);
	default:
		break;
	}
	return error_set(err, ERROR_PROTOCOL, "%s broke the tunnel's protocol",
	                 tunnel_link_get_peer(r->link));
}

static int read_link(struct tunnel_relay *r, uint64_t now_ms, struct error *err)
{
	for (;;) {
		struct tunnel_frame frame;
		size_t room;
		int rc;

		for (;;) {
			if (!wants_link_bytes(r))
				return 0;
			tunnel_buffer_make_room(&r->to_local);
			tunnel_frame_parse(r->in.data + r->in.start, tunnel_buffer_bytes(&r->in),
			                   &frame);
			if (frame.kind == TUNNEL_FRAME_INCOMPLETE)
				break;
			rc = take_frame(r, &frame, err);
			if (rc < 0)
				return rc;
			tunnel_buffer_consume(&r->in, frame.consumed);
		}
		room = tunnel_buffer_make_room(&r->in);
		rc = tunnel_link_read(r->link, r->in.data + r->in.end, room, err);
		if (rc == -ERROR_UNREACHABLE && r->peer_ended && r->local_ended &&
		    !tunnel_buffer_bytes(&r->to_link))
			return 0;
		if (rc <= 0)
			return rc;
		r->in.end += (size_t)rc;
		r->last_heard_ms = now_ms;
	}
}

static int write_link(struct tunnel_relay *r, struct error *err)
{
	while (tunnel_buffer_bytes(&r->to_link)) {
		int n = tunnel_link_write(r->link, r->to_link.data + r->to_link.start,
		                          tunnel_buffer_bytes(&r->to_link), err);

		if (n <= 0)
			return n;
		tunnel_buffer_consume(&r->to_link, (size_t)n);
	}
	return 0;
}

int tunnel_relay_run(struct tunnel_relay *r, uint64_t now_ms, struct error *err)
{
	bool was_full;

	/* Bytes that TLS has decrypted already wake no poll: as soon as there is room again, they
	 * have to be fetched. */
	do {
		int rc = read_link(r, now_ms, err);

		if (rc < 0)
			return rc;
		was_full = !wants_link_bytes(r);
		write_local(r);
	} while (was_full && wants_link_bytes(r));
	read_local(r);
	/* A link that takes nothing at the moment has enough to do without pings. */
	if (now_ms - r->last_ping_ms >= TUNNEL_PING_INTERVAL_MS) {
		r->last_ping_ms = now_ms;
		if (!tunnel_buffer_bytes(&r->to_link))
			tunnel_frame_put(&r->to_link, TUNNEL_FRAME_PING, NULL, 0);
	}
	return write_link(r, err);
}

bool tunnel_relay_is_done(const struct tunnel_relay *r)
{
	return r->opened && r->local_ended && r->peer_ended && r->local_shut &&
	       !tunnel_buffer_bytes(&r->to_link);
}
