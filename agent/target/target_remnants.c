/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's part of "clean: n/n": a source whose attempt is over asks what of it is still here.
 *
 *	LookForRemnants --> courier: libvirt, processes, files, ports --> our own books --> reply
 *
 * The reservation and the images are in the owner's books, and asked last: they end while the courier
 * looks. Nothing is changed here. Owner thread, but for the look itself. See target.h. */
#include "agent/target/target.h"

#include "agent/garbage/remnants_look.h"
#include "agent/host/start_block.h"
#include "agent/target/target_images.h"
#include "agent/wire.h"
#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct looking {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	char source_node[128], vm_name[VM_NAME_BYTES];
	struct remnants_look look;
};

static void unwanted(void *context)
{
	((struct looking *)context)->in = NULL;
}

static void work(struct errand *e)
{
	remnants_look(&((struct looking *)e)->look);
}

static void look_into_books(struct looking *w)
{
	const struct reservation *r = reservations_find(w->agent->reservations, &w->look.attempt);
	struct remnant_sight *lease = &w->look.in.sights[REMNANT_LEASE];
	struct remnant_sight *images = &w->look.in.sights[REMNANT_IMAGES];
	char text[REMNANT_TEXT_BYTES];

	lease->sight = r ? SIGHT_THERE : SIGHT_NONE;
	if (r)
		snprintf(lease->text, sizeof(lease->text),
		         "the reservation of memory and port %u for %.64s still holds%s", r->port,
		         r->vm_name, r->in_use ? ", and its guest is here" : "");
	if (target_images_find_left(w->agent, &w->look.attempt, text, sizeof(text))) {
		images->sight = SIGHT_THERE;
		snprintf(images->text, sizeof(images->text), "%s", text);
	}
}

static void done(struct errand *e)
{
	struct looking *w = (struct looking *)e;
	Drover__V1__RemnantsReply reply = DROVER__V1__REMNANTS_REPLY__INIT;
	struct remnant items[REMNANT_THINGS];

	look_into_books(w);
	reply.n_remnants = remnants_judge(&w->look.in, items);
	reply.remnants = wire_remnants_new(items, reply.n_remnants);
	if (w->in)
		mesh_reply(w->in, &reply.base);
	for (size_t i = 0; i < reply.n_remnants; i++)
		wire_free(reply.remnants[i]);
	free(reply.remnants);
	free(w);
}

static bool may_start(const struct agent *agent, const char *vm_name)
{
	const struct journal_drain_mark *mark = &agent->drain_mark;
	const struct reservation *all;
	size_t count;

	for (size_t i = 0; i < mark->n_leave; i++) {
		if (strcmp(mark->leave[i], vm_name) == 0)
			return true;
	}
	all = reservations_get_all(agent->reservations, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(all[i].vm_name, vm_name) == 0)
			return true;
	}
	return false;
}

static void fill(struct looking *w, const Drover__V1__RemnantsRequest *r)
{
	const struct agent_settings *s = w->agent->settings;
	struct remnants_look *look = &w->look;
	struct remnants_input *in = &look->in;
	const struct reservation *own;

	snprintf(w->source_node, sizeof(w->source_node), "%s", r->source_node);
	snprintf(w->vm_name, sizeof(w->vm_name), "%s", r->vm_name);
	in->side = REMNANTS_TARGET;
	in->end = r->came ? REMNANTS_CAME : REMNANTS_STAYED;
	in->late = r->late;
	in->node = s->node;
	in->other_node = w->source_node;
	in->vm_name = w->vm_name;
	in->autostart = r->autostart;
	in->copied = r->copied;
	look->hypervisor = w->agent->hypervisor;
	snprintf(look->vm_uuid, sizeof(look->vm_uuid), "%s", r->vm_uuid);
	inbound_format_directory(w->agent, &look->attempt, look->directory);
	for (size_t i = 0; i < r->n_images && i < VM_DISKS_MAX; i++)
		remnants_look_add_place(look, r->images[i]);
	snprintf(look->migration_address, sizeof(look->migration_address), "%s",
	         s->migration_address);
	look->port = r->memory_port <= UINT16_MAX ? (uint16_t)r->memory_port : 0;
	look->disk_port = r->disk_port <= UINT16_MAX ? (uint16_t)r->disk_port : 0;
	look->pool_first = (uint16_t)s->port_first;
	look->pool_last = (uint16_t)s->port_last;
	own = reservations_find(w->agent->reservations, &look->attempt);
	for (unsigned port = look->pool_first; port <= look->pool_last; port++) {
		if (reservations_has_port(w->agent->reservations, (uint16_t)port) &&
		    !(own && (own->port == port || own->disk_port == port)))
			look->leased_ports |= (uint64_t)1 << (port - look->pool_first);
	}
	snprintf(look->start_block, sizeof(look->start_block), "%s/no-starts", s->run_dir);
	look->may_start = may_start(w->agent, w->vm_name);
}

void target_look_for_remnants(struct agent *agent, struct mesh_incoming *in,
                              const Drover__V1__RemnantsRequest *request)
{
	struct attempt_name name;
	struct looking *w;
	struct error err;

	if (target_check_source(agent, in, request->attempt, request->source_node, &name, &err) <
	    0) {
		mesh_fail_error(in, &err);
		return;
	}
	/* It follows from the reservations, and is brought up to date once a second. */
	start_block_update(agent);
	w = xnew(struct looking);
	w->errand.work = work;
	w->errand.done = done;
	w->agent = agent;
	w->in = in;
	w->look.attempt = name;
	fill(w, request);
	mesh_incoming_on_cancel(in, unwanted, w);
	courier_send(agent->couriers, &w->errand);
}
