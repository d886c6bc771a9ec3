/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake_world.h. One move as a small state machine that is stepped with the world's
 * time, under its lock. The order of events and states, and the texts, are libvirt 9.0's as
 * measured. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include "common/alloc.h"

#include <assert.h>
#include <string.h>

static struct fake_copy *get_source(struct fake_move *move)
{
	return fake_host_find_copy_locked(move->source, move->guest->description.summary.uuid);
}

static struct fake_copy *get_target(struct fake_move *move)
{
	return fake_host_find_copy_locked(move->target, move->guest->description.summary.uuid);
}

static void enter(struct fake_world *world, struct fake_move *move, enum fake_phase phase)
{
	move->phase = phase;
	move->phase_started_ms = world->now_ms;
}

static void finish(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *source = get_source(move), *target = get_target(move);

	if (source)
		source->move = NULL;
	if (target)
		target->move = NULL;
	move->job.active = false;
	enter(world, move, FAKE_PHASE_OVER);
	pthread_cond_broadcast(&world->changed);
}

/* The source resumes if the move had stopped it, and the incoming copy goes. */
static void roll_back(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *source = get_source(move), *target = get_target(move);

	if (target && target->move == move && !target->doomed) {
		target->move = NULL;
		/* A definition that was there before stays. */
		if (target->persistent)
			fake_copy_set_locked(world, target, VM_SHUTOFF, VM_PAUSE_NONE, "failed");
		else
			fake_copy_remove_locked(world, target);
	}
	/* Also one that was paused meanwhile: libvirt knows only that it ran when the move began. */
	if (source && source->state == VM_PAUSED &&
	    (source->pause_reason == VM_PAUSE_MIGRATION ||
	     (source->pause_reason == VM_PAUSE_USER && !move->source_was_paused)))
		fake_copy_set_locked(world, source, VM_RUNNING, VM_PAUSE_NONE,
		                     "migration canceled");
	finish(world, move);
}

static void fail(struct fake_world *world, struct fake_move *move, enum error_code code,
                 const char *text, int libvirt_code)
{
	if (move->phase == FAKE_PHASE_ROLLBACK)
		return;
	error_clear(&move->error);
	move->result = error_set(&move->error, code, "libvirt: %s (libvirt error %d)", text,
	                         libvirt_code);
	enter(world, move, FAKE_PHASE_ROLLBACK);
}

struct fake_move *fake_move_start_locked(struct fake_world *world, struct fake_copy *source,
                                         struct fake_host *target, const struct migrate_request *r)
{
	struct fake_move *move = xnew(struct fake_move);
	struct fake_copy *copy = fake_host_find_copy_locked(target, r->uuid);

	move->guest = source->guest;
	move->source = source->host;
	move->target = target;
	move->started_ms = world->now_ms;
	move->bandwidth_bytes_per_s = r->bandwidth_bytes_per_s
	                                      ? hypervisor_round_speed(r->bandwidth_bytes_per_s)
	                                      : FAKE_UNLIMITED;
	move->persistent = r->persistent && source->persistent;
	/* A guest that is paused when its move begins stays so. */
	move->source_was_paused = source->state == VM_PAUSED;
	move->paused = r->paused || move->source_was_paused;
	move->auto_converge = r->auto_converge;
	move->post_copy = r->post_copy;
	move->fault = move->guest->fault;
	move->guest->fault = FAKE_FAULT_NONE;
	move->job = (struct vm_job){ .active = true, .page_bytes = 4096 };
	for (size_t i = 0; i < r->n_copied_disks; i++)
		move->disk_bytes +=
			fake_guest_find_disk(move->guest, r->copied_disks[i])->capacity_bytes;
	source->max_downtime_ms = r->max_downtime_ms;
	source->move = move;
	if (!copy)
		copy = fake_copy_add_locked(world, target, move->guest);
	copy->move = move;
	fake_copy_set_locked(world, copy, VM_INCOMING, VM_PAUSE_OTHER, "starting up");
	enter(world, move, FAKE_PHASE_PREPARE);
	move->next = world->moves;
	world->moves = move;
	return move;
}

/* ---- copying ---- */

static bool uses_link(const struct fake_move *move, const struct fake_host *host)
{
	return (move->source == host || move->target == host) &&
	       (move->phase == FAKE_PHASE_DISKS || move->phase == FAKE_PHASE_COPY ||
	        move->phase == FAKE_PHASE_SWITCH || move->phase == FAKE_PHASE_POSTCOPY);
}

/* Equal shares; what a limited move leaves of its own the others have. */
static uint64_t share_of_link(struct fake_world *world, const struct fake_host *host)
{
	uint64_t share = 0, before;

	do {
		uint64_t rest = host->link_bytes_per_s, users = 0;

		before = share;
		for (const struct fake_move *move = world->moves; move; move = move->next) {
			if (!uses_link(move, host))
				continue;
			if (move->bandwidth_bytes_per_s < before)
				rest -= move->bandwidth_bytes_per_s;
			else
				users++;
		}
		share = users ? rest / users : host->link_bytes_per_s;
	} while (share > before);
	return share;
}

static uint64_t get_rate(struct fake_world *world, const struct fake_move *move)
{
	uint64_t rate = move->bandwidth_bytes_per_s;
	uint64_t out = share_of_link(world, move->source), in = share_of_link(world, move->target);

	rate = out < rate ? out : rate;
	return in < rate ? in : rate;
}

static void send(struct fake_move *move, uint64_t bytes)
{
	struct vm_job *job = &move->job;

	if (bytes > job->memory_remaining_bytes)
		bytes = job->memory_remaining_bytes;
	job->memory_remaining_bytes -= bytes;
	job->memory_processed_bytes += bytes;
}

static void start_iteration(struct fake_world *world, struct fake_move *move, uint64_t bytes)
{
	struct hypervisor_event event = { .kind = HYPERVISOR_ITERATION };

	move->iteration_started_ms = world->now_ms;
	move->job.memory_remaining_bytes = bytes;
	move->job.iteration++;
	event.iteration = move->job.iteration;
	memcpy(event.uuid, move->guest->description.summary.uuid, sizeof(event.uuid));
	fake_host_tell_locked(world, move->source, &event);
}

static void start_copy(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *target = get_target(move);

	fake_copy_set_locked(world, target, VM_INCOMING, VM_PAUSE_MIGRATION, "migrating");
	move->job.memory_total_bytes = move->guest->description.summary.memory_bytes;
	enter(world, move, FAKE_PHASE_COPY);
	start_iteration(world, move, move->job.memory_total_bytes);
}

/* What the guest wrote while the last iteration was sent. */
static uint64_t count_dirtied(struct fake_world *world, const struct fake_move *move,
                              const struct fake_copy *source)
{
	uint64_t ms = world->now_ms - move->iteration_started_ms, bytes;

	if (source->state != VM_RUNNING)
		return 0;
	bytes = move->guest->dirty_bytes_per_s * ms / 1000;
	if (move->guest->cpu_bound)
		bytes = bytes * (100 - move->job.throttle_percent) / 100;
	return bytes < move->guest->working_set_bytes ? bytes : move->guest->working_set_bytes;
}

/* QEMU's rule: by 20 %, and by 10 % more with every second pass that wrote more than half of what it
 * sent. */
static void throttle(struct fake_move *move, uint64_t dirtied, uint64_t sent)
{
	uint32_t percent = move->job.throttle_percent;

	if (!move->auto_converge || dirtied * 2 <= sent || ++move->hot_iterations % 2)
		return;
	percent += percent ? 10 : 20;
	move->job.throttle_percent = percent < 99 ? percent : 99;
}

static bool is_libvirt_up(const struct fake_move *move)
{
	return move->source->libvirtd == FAKE_LIBVIRTD_UP &&
	       move->target->libvirtd == FAKE_LIBVIRTD_UP;
}

static void step_copy(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *source = get_source(move);
	struct vm_job *job = &move->job;
	uint64_t rate = get_rate(world, move), dirtied, ms;

	job->elapsed_ms = world->now_ms - move->started_ms;
	/* On a dead network the last rate stays on display. */
	if (!rate)
		return;
	job->transfer_bytes_per_s = rate;
	send(move, rate * FAKE_STEP_MS / 1000);
	job->expected_downtime_ms = job->memory_remaining_bytes * 1000 / rate;
	if (job->memory_remaining_bytes)
		return;

	dirtied = count_dirtied(world, move, source);
	ms = world->now_ms - move->iteration_started_ms;
	job->dirty_bytes_per_s = ms ? dirtied * 1000 / ms : 0;
	if (move->fault == FAKE_FAULT_TARGET_DIES) {
		fail(world, move, ERROR_HYPERVISOR,
		     "internal error: qemu unexpectedly closed the monitor", 1);
		return;
	}
	if (move->fault == FAKE_FAULT_SOURCE_DIES) {
		fail(world, move, ERROR_HYPERVISOR, "operation failed: domain is not running", 9);
		source->move = NULL;
		source->end = VM_END_DIED;
		fake_copy_remove_locked(world, source);
		return;
	}
	throttle(move, dirtied, rate == FAKE_UNLIMITED ? 0 : rate * ms / 1000);
	if (dirtied * 1000 / rate > source->max_downtime_ms || !is_libvirt_up(move)) {
		start_iteration(world, move, dirtied);
		return;
	}
	job->memory_remaining_bytes = dirtied;
	enter(world, move, FAKE_PHASE_SWITCH);
	fake_copy_set_locked(world, source, VM_PAUSED, VM_PAUSE_MIGRATION, "migrating");
}

/* ---- post-copy ---- */

void fake_move_switch_to_postcopy_locked(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *source = get_source(move), *target = get_target(move);
	bool paused = source->state == VM_PAUSED;

	move->job.memory_remaining_bytes += count_dirtied(world, move, source);
	enter(world, move, FAKE_PHASE_POSTCOPY);
	fake_copy_set_locked(world, source, VM_PAUSED, VM_PAUSE_MIGRATION, "post-copy");
	target->persistent = target->persistent || move->persistent;
	if (paused && move->source_was_paused)
		fake_copy_set_locked(world, target, VM_PAUSED, VM_PAUSE_USER, "user");
	else
		fake_copy_set_locked(world, target, VM_RUNNING, VM_PAUSE_NONE, "post-copy");
}

void fake_move_break_locked(struct fake_world *world, struct fake_move *move, const char *text)
{
	struct fake_copy *source = get_source(move), *target = get_target(move);

	error_clear(&move->error);
	move->result = error_set(&move->error, ERROR_HYPERVISOR, "libvirt: %s (libvirt error 9)",
	                         text);
	move->fault = FAKE_FAULT_NONE;
	if (source)
		fake_copy_set_locked(world, source, VM_PAUSED, VM_PAUSE_POSTCOPY_FAILED,
		                     "post-copy failed");
	if (target)
		fake_copy_set_locked(world, target, target->state, target->pause_reason,
		                     "post-copy failed");
	if (source && target)
		enter(world, move, FAKE_PHASE_BROKEN);
	else
		finish(world, move);
	pthread_cond_broadcast(&world->changed);
}

void fake_move_resume_locked(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *source = get_source(move), *target = get_target(move);

	move->result = 0;
	enter(world, move, FAKE_PHASE_POSTCOPY);
	fake_copy_set_locked(world, source, VM_PAUSED, VM_PAUSE_MIGRATION, "post-copy");
	fake_copy_set_locked(world, target, target->state, target->pause_reason, "post-copy");
}

static void step_postcopy(struct fake_world *world, struct fake_move *move)
{
	uint64_t rate = get_rate(world, move);
	struct vm_job *job = &move->job;

	job->elapsed_ms = world->now_ms - move->started_ms;
	send(move, rate == FAKE_UNLIMITED ? rate : rate * FAKE_STEP_MS / 1000);
	if (move->fault == FAKE_FAULT_POSTCOPY && world->now_ms - move->phase_started_ms > 100) {
		fake_move_break_locked(
			world, move,
			"operation failed: job 'migration in' failed in post-copy phase");
		return;
	}
	if (job->memory_remaining_bytes || !is_libvirt_up(move))
		return;
	job->downtime_ms = FAKE_SWITCH_MS;
	get_target(move)->move = NULL;
	enter(world, move, FAKE_PHASE_TEARDOWN);
}

/* ---- the end ---- */

static void lose_guest(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *target = get_target(move);

	target->move = NULL;
	fake_copy_remove_locked(world, target);
	enter(world, move, FAKE_PHASE_TEARDOWN);
}

static void step_switch(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *target = get_target(move);
	uint64_t rate = get_rate(world, move);

	move->job.elapsed_ms = world->now_ms - move->started_ms;
	send(move, rate == FAKE_UNLIMITED ? rate : rate * FAKE_STEP_MS / 1000);
	if (move->job.memory_remaining_bytes || move->control_lost_ms ||
	    world->now_ms - move->phase_started_ms < FAKE_SWITCH_MS || !is_libvirt_up(move))
		return;
	move->job.downtime_ms = world->now_ms - move->phase_started_ms;
	if (move->fault == FAKE_FAULT_SUCCESS_LOST) {
		lose_guest(world, move);
		return;
	}
	target->persistent = target->persistent || move->persistent;
	if (move->paused)
		fake_copy_set_locked(world, target, VM_PAUSED, VM_PAUSE_USER, "user");
	else
		fake_copy_set_locked(world, target, VM_RUNNING, VM_PAUSE_NONE, "migrated");
	target->move = NULL;
	enter(world, move,
	      move->fault == FAKE_FAULT_FINISH_REPLY ? FAKE_PHASE_REPLY_LOST : FAKE_PHASE_TEARDOWN);
}

static void step_teardown(struct fake_world *world, struct fake_move *move)
{
	struct hypervisor_event event = { .kind = HYPERVISOR_JOB_COMPLETED };
	struct fake_copy *source = get_source(move), *target = get_target(move);

	if (world->now_ms - move->phase_started_ms < FAKE_TEARDOWN_MS)
		return;
	move->job.active = false;
	move->job.completed = true;
	event.job = move->job;
	memcpy(event.uuid, move->guest->description.summary.uuid, sizeof(event.uuid));
	if (target)
		target->last_job = move->job;
	if (source) {
		source->last_job = move->job;
		source->move = NULL;
	}
	if (source && source->persistent && !move->persistent)
		fake_copy_set_locked(world, source, VM_SHUTOFF, VM_PAUSE_NONE, "migrated");
	else if (source)
		fake_copy_remove_locked(world, source);
	fake_host_tell_locked(world, move->source, &event);
	move->result = 0;
	finish(world, move);
}

/* Nobody told the source that its guest lives elsewhere now. It gives up, and runs its own copy if
 * no lock that the other one holds keeps it from that. */
static void step_reply_lost(struct fake_world *world, struct fake_move *move)
{
	struct fake_copy *source = get_source(move), *target = get_target(move);
	bool locked = move->guest->image_lock && target && target->state == VM_RUNNING;

	if (world->now_ms - move->phase_started_ms < move->source->keepalive_timeout_ms)
		return;
	move->result = error_set(
		&move->error, ERROR_HYPERVISOR,
		"libvirt: internal error: client socket is closed (libvirt error 1)");
	if (source && !locked)
		fake_copy_set_locked(world, source, VM_RUNNING, VM_PAUSE_NONE,
		                     "migration canceled");
	finish(world, move);
}

static void step_control(struct fake_world *world, struct fake_move *move)
{
	if (move->target->control_up) {
		move->control_lost_ms = 0;
		return;
	}
	if (!move->control_lost_ms)
		move->control_lost_ms = world->now_ms;
	if (world->now_ms - move->control_lost_ms >= move->source->keepalive_timeout_ms)
		fail(world, move, ERROR_HYPERVISOR, "internal error: client socket is closed", 1);
}

/* An abort that QEMU can carry out says "canceled"; one on a dead network says what broke. */
static void step_abort(struct fake_world *world, struct fake_move *move)
{
	if (!move->aborted || move->phase == FAKE_PHASE_PREPARE)
		return;
	if (get_rate(world, move))
		fail(world, move, ERROR_CANCELLED,
		     "operation aborted: migration out: canceled by client", 78);
	else
		fail(world, move, ERROR_HYPERVISOR,
		     "operation failed: Unable to write to socket: Broken pipe", 9);
}

/* libvirt shows no rate for these, and nothing of the memory. */
static void step_disks(struct fake_world *world, struct fake_move *move)
{
	uint64_t rate = get_rate(world, move), bytes;
	struct vm_job *job = &move->job;

	job->elapsed_ms = world->now_ms - move->started_ms;
	bytes = rate == FAKE_UNLIMITED ? rate : rate * FAKE_STEP_MS / 1000;
	if (bytes > job->disk_remaining_bytes)
		bytes = job->disk_remaining_bytes;
	job->disk_remaining_bytes -= bytes;
	job->disk_processed_bytes += bytes;
	if (job->disk_remaining_bytes)
		return;
	if (move->fault == FAKE_FAULT_TARGET_DIES)
		fail(world, move, ERROR_HYPERVISOR,
		     "internal error: qemu unexpectedly closed the monitor", 1);
	else
		start_copy(world, move);
}

static void start_disks(struct fake_world *world, struct fake_move *move)
{
	if (!move->disk_bytes) {
		start_copy(world, move);
		return;
	}
	fake_copy_set_locked(world, get_target(move), VM_INCOMING, VM_PAUSE_MIGRATION, "migrating");
	move->job.disk_total_bytes = move->job.disk_remaining_bytes = move->disk_bytes;
	enter(world, move, FAKE_PHASE_DISKS);
}

static void step_prepare(struct fake_world *world, struct fake_move *move)
{
	if (world->now_ms - move->phase_started_ms < FAKE_PREPARE_MS || !is_libvirt_up(move))
		return;
	if (move->fault == FAKE_FAULT_PREPARE)
		fail(world, move, ERROR_HYPERVISOR,
		     "internal error: unable to execute QEMU command 'migrate-incoming': Failed to "
		     "find an available port: Address already in use",
		     1);
	else
		start_disks(world, move);
}

void fake_move_step_locked(struct fake_world *world, struct fake_move *move)
{
	if (move->phase <= FAKE_PHASE_SWITCH) {
		step_control(world, move);
		step_abort(world, move);
	}
	switch (move->phase) {
	case FAKE_PHASE_PREPARE:
		step_prepare(world, move);
		break;
	case FAKE_PHASE_DISKS:
		step_disks(world, move);
		break;
	case FAKE_PHASE_COPY:
		step_copy(world, move);
		break;
	case FAKE_PHASE_SWITCH:
		step_switch(world, move);
		break;
	case FAKE_PHASE_POSTCOPY:
		step_postcopy(world, move);
		break;
	case FAKE_PHASE_TEARDOWN:
		step_teardown(world, move);
		break;
	case FAKE_PHASE_REPLY_LOST:
		step_reply_lost(world, move);
		break;
	case FAKE_PHASE_ROLLBACK:
		if (world->now_ms - move->phase_started_ms >= FAKE_ABORT_MS)
			roll_back(world, move);
		break;
	case FAKE_PHASE_BROKEN:
	case FAKE_PHASE_OVER:
		break;
	}
}

void fake_move_lose_libvirtd_locked(struct fake_world *world, struct fake_move *move,
                                    struct fake_host *host)
{
	struct fake_copy *target = get_target(move);

	if (move->phase > FAKE_PHASE_SWITCH || (host != move->source && host != move->target))
		return;
	if (host == move->target) {
		if (target)
			target->doomed = !target->persistent;
		fail(world, move, ERROR_HYPERVISOR, "internal error: client socket is closed", 1);
	} else {
		fail(world, move, ERROR_UNKNOWN_OUTCOME,
		     "Cannot recv data: End of file while reading data", 38);
	}
}

static void lose_half(struct fake_world *world, struct fake_move *move, struct fake_copy *copy)
{
	fake_move_break_locked(world, move, "operation failed: domain is not running");
	copy->move = NULL;
	finish(world, move);
}

void fake_move_lose_copy_locked(struct fake_world *world, struct fake_copy *copy)
{
	struct fake_move *move = copy->move;

	copy->move = NULL;
	if (!move || move->phase == FAKE_PHASE_OVER)
		return;
	if (move->phase == FAKE_PHASE_POSTCOPY || move->phase == FAKE_PHASE_BROKEN) {
		/* It is about to be gone. */
		lose_half(world, move, copy);
		return;
	}
	if (copy->host == move->source)
		fail(world, move, ERROR_HYPERVISOR, "operation failed: domain is not running", 9);
	else
		fail(world, move, ERROR_HYPERVISOR,
		     "internal error: qemu unexpectedly closed the monitor", 1);
}
