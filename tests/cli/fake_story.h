/* SPDX-License-Identifier: Apache-2.0 */
/* The one story that runs at a time in the coordinator whose answers are written down: a drain or a move,
 * told step by step to whoever watches it. It goes on only while somebody does, so no test depends on how
 * fast it is. */
#pragma once

#include "common/loop.h"
#include "proto/coordinator.pb-c.h"
#include "proto/mesh/mesh.h"

struct fake_drain {
	Drover__V1__Drain drain;
	Drover__V1__DrainVm vm[2];
	Drover__V1__DrainVm *vms[2];
};

/* Whether the latest request has named build7 to be shut down. */
extern bool fake_shut_down;

/* Drain @number, of the host of that number, as it is in @state: web1 and build7. */
void fake_drain_fill(struct fake_drain *d, uint64_t number, const char *state);
/* That build7 of host2 cannot move. */
void fake_blocker_fill(Drover__V1__Check *blocker);

/* Begins that story, from its first step; a drain that is being told goes on. */
void fake_story_drain(uint64_t number);
void fake_story_move(uint64_t number, const char *name);

void fake_watch(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);

void fake_story_start(struct loop *loop);
/* After the mesh: nobody watches any more. */
void fake_story_stop(void);
