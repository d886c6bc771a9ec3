/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator over the in-process mesh, with its store in memory, and somebody who calls it. */
#pragma once

#include "coordinator/coordinator.h"

#define BENCH_PATIENCE_MS 5000

struct bench {
	struct loop *loop;
	struct store_memory_disk *disk;
	struct coordinator_settings settings;
	struct coordinator *coordinator;

	struct mesh *mesh; /* of whoever calls */
	struct mesh_dialer *dialer;
	bool answered;
	enum mesh_status status;
	struct error error;
	uint64_t number; /* of the answer, what the test asked about */
	char text[256];
	ProtobufCMessage *kept; /* the answer itself, where keep is set */
	bool keep;

	/* As an agent. */
	struct mesh_incoming *watch; /* the coordinator watches us */
	unsigned connections;
};

/* A coordinator, and somebody with that role and name who calls it. */
struct bench *bench_new(enum mesh_role role, const char *name);
void bench_free(struct bench *b);

/* As bench_new does it; for one that was stopped. It is ready once its epoch is stored. */
void bench_start_coordinator(struct bench *b);
bool bench_is_ready(void *context);

/* Calls and waits for the answer: b->status, b->error, and what b->number and b->text take of it. */
void bench_call(struct bench *b, const char *method, const ProtobufCMessage *request);
/* As bench_call; returns the whole answer, NULL where there is none. bench_forget frees it. */
const void *bench_ask(struct bench *b, const char *method, const ProtobufCMessage *request);
void bench_forget(struct bench *b);

/* As an agent: attaches in that name; whether the coordinator watches us. */
void bench_attach_as(struct bench *b, const char *node);
bool bench_is_watched(void *context);

/* As if an agent had said so: a host of 8 GiB with so many guests of 64 MiB. */
void bench_see_host(struct bench *b, const char *name, size_t guests);
