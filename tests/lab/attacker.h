/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile peer for the lab, against addresses of the lab only. Each attack says "ready" on a line once
 * it is under way, and then what became of it. Whatever cannot be done at all ends it with exit code 1. */
#pragma once

#include "proto/mesh/frame.h"
#include "proto/mesh/mesh.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One connection. */
struct victim {
	const char *address, *port;
	const char *pki; /* "/etc/drover/agent": of -key.pem, .pem, and ca.pem beside; NULL: none */
	int fd;
	SSL *ssl;
	struct mesh_identity identity; /* what the certificate says */
	struct frame_reader reader;
};

void __attribute__((format(printf, 1, 2), noreturn)) attacker_die(const char *format, ...);

uint64_t attacker_now_ms(void);
void attacker_ready(void);

/* --- attacker_peer.c --- */

/* -1 if nobody answers. */
int attacker_connect(const char *address, const char *port);
/* What its certificate says. */
void victim_read_identity(struct victim *v);
/* Connects, with TLS; false if it was refused. */
bool victim_open(struct victim *v);
void victim_close(struct victim *v);
bool victim_send(struct victim *v, const void *bytes, size_t count);
/* Preface and HELLO, as the certificate's owner. */
bool victim_greet(struct victim *v);
bool victim_call(struct victim *v, uint32_t stream, const char *method, const void *payload,
                 size_t bytes);
/* The next frame, to be freed with frame_free; NULL once the peer has closed, or after @wait_ms. */
struct frame *victim_hear(struct victim *v, uint64_t wait_ms);

/* --- attacker_bomb.c --- */

#define ATTACKER_BOMB_BYTES (1024 * 1024)

/* The payload of an Admit, of one of three kinds: lists of empty messages, the same with a long text,
 * fields that nobody knows; returns its bytes. */
size_t attacker_make_bomb(uint8_t *bomb, unsigned kind);

/* --- attacker_agent.c --- */

/* Becomes the agent that the certificate names, and tells lies until somebody ends it. */
void attacker_lie(const char *url, const char *pki, const char *uuid, const char *home);

/* --- attacker_order.c --- */

/* A peer that keeps to the mesh's rules, with the services and the like of @options; for ever. */
void attacker_join(struct mesh_options *options, const char *url, const char *pki,
                   enum mesh_role role);

struct attacker_order {
	const char *operation; /* 32 hex digits */
	uint32_t number;
	uint64_t epoch;
	const char *uuid, *target, *target_url;
};

/* Start, then cancel, and a line for what the agent says to each. */
void attacker_order(const char *url, const char *pki, const struct attacker_order *order);

/* --- attacker_capture.c --- */

void attacker_capture(const char *interface, const char *port, const char *path);
