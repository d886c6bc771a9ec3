/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents move a guest whose disk lies on each host for itself: the images that the destination makes
 * are gone when no guest came, and are never removed once one has run on them.
 *
 * Both agents run in one file system. What the destination does with images is led to a directory of its
 * own, by the linker's --wrap; what it sees of the source's proof is that it is not there. */
#include "tests/sim/agents_story.h"

#include "agent/storage/storage_image.h"
#include "agent/target/target_images.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DISK_BYTES (32 * MIB)

/* --- the destination's file system --- */

static char source_directory[128], target_directory[128];

/* @path as the destination has it. */
static void lead(char *path)
{
	char name[VM_PATH_BYTES];

	snprintf(name, sizeof(name), "%s", strrchr(path, '/') + 1);
	snprintf(path, VM_PATH_BYTES, "%s/%s", target_directory, name);
}

void __real_storage_image_look(const struct vm_disk *disk, struct image_finding *ret);
void __wrap_storage_image_look(const struct vm_disk *disk, struct image_finding *ret);
int __real_storage_image_create(struct storage_image *image, const struct attempt_name *attempt,
                                struct error *err);
int __wrap_storage_image_create(struct storage_image *image, const struct attempt_name *attempt,
                                struct error *err);
int __real_storage_image_publish(const struct storage_image *image,
                                 const struct attempt_name *attempt, struct error *err);
int __wrap_storage_image_publish(const struct storage_image *image,
                                 const struct attempt_name *attempt, struct error *err);
int __real_storage_image_remove(const struct storage_image *image,
                                const struct attempt_name *attempt, struct error *err);
int __wrap_storage_image_remove(const struct storage_image *image,
                                const struct attempt_name *attempt, struct error *err);
void __wrap_storage_proof_verify(const struct vm_disk *disk, const struct storage_proof *proof,
                                 struct storage_finding *ret);

void __wrap_storage_image_look(const struct vm_disk *disk, struct image_finding *ret)
{
	struct vm_disk there = *disk;

	lead(there.source);
	__real_storage_image_look(&there, ret);
}

int __wrap_storage_image_create(struct storage_image *image, const struct attempt_name *attempt,
                                struct error *err)
{
	struct storage_image there = *image;
	int rc;

	lead(there.path);
	rc = __real_storage_image_create(&there, attempt, err);
	image->device = there.device;
	image->inode = there.inode;
	image->birth_ns = there.birth_ns;
	return rc;
}

int __wrap_storage_image_publish(const struct storage_image *image,
                                 const struct attempt_name *attempt, struct error *err)
{
	struct storage_image there = *image;

	lead(there.path);
	return __real_storage_image_publish(&there, attempt, err);
}

int __wrap_storage_image_remove(const struct storage_image *image,
                                const struct attempt_name *attempt, struct error *err)
{
	struct storage_image there = *image;

	lead(there.path);
	return __real_storage_image_remove(&there, attempt, err);
}

void __wrap_storage_proof_verify(const struct vm_disk *disk, const struct storage_proof *proof,
                                 struct storage_finding *ret)
{
	(void)disk;
	(void)proof;
	*ret = (struct storage_finding){ .needed = true,
		                         .measured = true,
		                         .measured_text = "missing here",
		                         .remedy = "share it" };
}

/* --- a journal on a full disk --- */

static atomic_bool disk_is_full;

int __real_journal_state_write_removed(struct journal_state *s, struct journal *j,
                                       const struct journal_thing *t, struct error *err);
int __wrap_journal_state_write_removed(struct journal_state *s, struct journal *j,
                                       const struct journal_thing *t, struct error *err);

int __wrap_journal_state_write_removed(struct journal_state *s, struct journal *j,
                                       const struct journal_thing *t, struct error *err)
{
	if (t->kind == JOURNAL_IMAGE && atomic_load(&disk_is_full))
		return error_set(err, ERROR_NO_SPACE, "the disk is full");
	return __real_journal_state_write_removed(s, j, t, err);
}

/* --- a guest with a disk of its own --- */

static char image_path[256];

static struct agents *begin(uint64_t link_bytes_per_s)
{
	struct agents *t = agents_new(NULL);
	struct vm_disk disk = {
		.target = "vda", .type = "file", .device = "disk", .format = "raw"
	};
	struct fake_guest_settings guest = {
		.name = "web", .memory_bytes = 64 * MIB, .disks = &disk, .n_disks = 1
	};
	FILE *f;

	snprintf(source_directory, sizeof(source_directory), "%s/here", t->directory);
	snprintf(target_directory, sizeof(target_directory), "%s/there", t->directory);
	assert_int_equal(mkdir(source_directory, 0700), 0);
	assert_int_equal(mkdir(target_directory, 0700), 0);
	snprintf(disk.source, sizeof(disk.source), "%s/web.img", source_directory);
	snprintf(image_path, sizeof(image_path), "%s/web.img", target_directory);
	f = fopen(disk.source, "we");
	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), DISK_BYTES), 0);
	fclose(f);
	disk.capacity_bytes = DISK_BYTES; /* for the fake, which has no files */
	if (link_bytes_per_s)
		fake_world_set_link(t->world, "host1", link_bytes_per_s);
	agents_add_guest(t, &guest);
	t->copy_disks = true;
	return t;
}

static size_t count_images(void)
{
	_cleanup_closedir_ DIR *d = opendir(target_directory);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	return n;
}

static bool no_image_is_left(void *context)
{
	const struct agents *t = context;

	return count_images() == 0 && t->agents[1] && !t->agents[1]->image_sets;
}

static bool image_is_there(void *context)
{
	(void)context;
	return access(image_path, F_OK) == 0;
}

/* --- the cases --- */

/* The guest arrives with its disk: the image is its own, the source's stays and is spoken of, the guard is
 * two-step, and both ports and the room are free again. */
static void test_copied(void **state)
{
	struct agents *t = begin(0);
	struct stat st;

	(void)state;
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_int_equal(t->report.guard, DROVER__V1__GUARD__GUARD_TWO_STEP);
	assert_non_null(strstr(t->report.note, "copied from host1"));
	assert_non_null(strstr(t->report.note, "vda"));
	assert_int_equal(t->report.disk_total_bytes, DISK_BYTES);
	assert_false(t->report.percent_fell);
	assert_int_equal(stat(image_path, &st), 0);
	assert_int_equal(st.st_size, DISK_BYTES);
	assert_null(t->agents[1]->image_sets);
	agents_finish(t);
}

/* What has run is never removed, whoever asks: not when the guest is gone a moment later, and not by the
 * next agent. */
static void test_never_removed_after_it_ran(void **state)
{
	struct agents *t = begin(0);
	struct error err;

	(void)state;
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(t->hypervisors[1]->ops->destroy(t->hypervisors[1], t->uuid, &err), 0);
	agents_kill(t, 1);
	agents_start(t, 1);
	assert_null(t->agents[1]->image_sets);
	assert_true(agents_until(t, agents_is_clean, t));
	assert_int_equal(count_images(), 1);
	agents_finish(t);
}

/* Without the option it is refused, and nothing is made. */
static void test_not_asked_for(void **state)
{
	struct agents *t = begin(0);

	(void)state;
	t->copy_disks = false;
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.error_code, ERROR_REFUSED);
	assert_non_null(strstr(t->report.reason, "disk/vda"));
	assert_int_equal(count_images(), 0);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* A file of that name is somebody's: refused, and still there. */
static void f19_somebodys_file(void **state)
{
	struct agents *t = begin(0);
	FILE *f;

	(void)state;
	f = fopen(image_path, "we");
	assert_non_null(f);
	assert_true(fputs("somebody's", f) >= 0);
	fclose(f);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_non_null(strstr(t->report.reason, "another file of this name"));
	assert_int_equal(count_images(), 1);
	agents_finish(t);
}

static bool disk_is_copied(void *context)
{
	struct agents *t = context;
	struct vm_job job;
	struct error err;

	return t->hypervisors[0]->ops->job(t->hypervisors[0], t->uuid, &job, &err) == 0 &&
	       job.disk_processed_bytes > 0;
}

/* Cancelled while the disk is copied: the image goes, the guest stays, room and ports are free. */
static void test_cancelled(void **state)
{
	struct agents *t = begin(4 * MIB);
	const struct reservation *r;
	size_t n;

	(void)state;
	agents_order(t);
	assert_true(agents_until_looking(t, disk_is_copied));
	assert_int_equal(count_images(), 1);
	r = reservations_get_all(t->agents[1]->reservations, &n);
	assert_int_equal(n, 1);
	assert_int_equal(reservation_disk_bytes(r), DISK_BYTES);
	assert_true(r->disk_port && r->disk_port != r->port);
	agents_cancel(t);
	assert_true(agents_wait(t, CANCELLED));
	assert_true(agents_until(t, no_image_is_left, t));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* The destination's QEMU dies when the disk is copied: as cancelled. */
static void f04_target_dies(void **state)
{
	struct agents *t = begin(0);

	(void)state;
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_TARGET_DIES);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_true(agents_until(t, no_image_is_left, t));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* The destination's agent is killed with the image made: the next one knows it, leaves it to the move that
 * goes on, and gives it to the guest. */
static void f24_agent_killed(void **state)
{
	struct agents *t = begin(8 * MIB);

	(void)state;
	agents_order(t);
	assert_true(agents_until_looking(t, disk_is_copied));
	agents_kill(t, 1);
	agents_start(t, 1);
	assert_non_null(t->agents[1]->image_sets);
	assert_true(image_is_there(t));
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_null(t->agents[1]->image_sets);
	assert_int_equal(count_images(), 1);
	agents_finish(t);
}

/* Both agents are killed, and the guest goes on at its source because libvirt gave up the move: the image is
 * found in the journal and removed. */
static void f24_both_killed(void **state)
{
	struct agents *t = begin(4 * MIB);
	struct error err;

	(void)state;
	agents_order(t);
	assert_true(agents_until_looking(t, disk_is_copied));
	assert_int_equal(t->hypervisors[0]->ops->abort_job(t->hypervisors[0], t->uuid, &err), 0);
	agents_kill(t, 1);
	agents_kill(t, 0);
	agents_start(t, 0);
	agents_start(t, 1);
	assert_true(agents_until(t, no_image_is_left, t));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* The answer of Finish is lost: the guest stays at its source, and its paused copy goes with its image. */
static void f01_lost_finish(void **state)
{
	struct agents *t = begin(0);

	(void)state;
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_FINISH_REPLY);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	assert_true(agents_until(t, no_image_is_left, t));
	agents_finish(t);
}

static bool is_answered(void *context)
{
	return ((struct agents *)context)->answered;
}

static void fence_answered(const struct mesh_result *result, void *context)
{
	struct agents *t = context;

	t->answered = true;
	t->status = result->status;
}

/* As an operator has it done who knows that the source is dead. */
static void declare_source_dead(struct agents *t)
{
	Drover__V1__SetFenceRequest request = DROVER__V1__SET_FENCE_REQUEST__INIT;
	Drover__V1__FenceMark mark = DROVER__V1__FENCE_MARK__INIT;

	mark.node = (char *)"host1";
	mark.epoch = t->epoch++;
	request.fence = &mark;
	request.epoch = t->epoch;
	t->answered = false;
	mesh_call(t->connections[1], "drover.v1.Agent/SetFence", &request.base, 5000,
	          fence_answered, t);
	assert_true(agents_until(t, is_answered, t));
	assert_int_equal(t->status, MESH_OK);
}

static bool is_paused_there(void *context)
{
	return agents_state_on(context, 1) == VM_PAUSED;
}

static bool has_no_lease(void *context)
{
	return agents_leases(context, 1) == 0;
}

/* The source dies for good when the copy is complete: with the operator's word it runs here, on images that
 * were its own before that. */
static void test_fenced_when_complete(void **state)
{
	struct agents *t = begin(16 * MIB);

	(void)state;
	agents_order(t);
	assert_true(agents_until_looking(t, disk_is_copied));
	agents_kill(t, 0);
	assert_true(agents_until(t, is_paused_there, t));
	assert_non_null(t->agents[1]->image_sets);
	declare_source_dead(t);
	assert_true(agents_until(t, has_no_lease, t));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_null(t->agents[1]->image_sets);
	assert_int_equal(count_images(), 1);
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	agents_free(t);
}

static bool has_no_set(void *context)
{
	return !((struct agents *)context)->agents[1]->image_sets;
}

/* Somebody resumes the copy by hand before it could be written down whose the image is. What it wrote there is
 * all there is of it, and stays, also when it is shut off before that is on the disk. */
static void test_ran_before_it_was_its_own(void **state)
{
	struct agents *t = begin(0);
	struct hypervisor *there = t->hypervisors[1];
	struct error err;

	(void)state;
	atomic_store(&disk_is_full, true);
	agents_order(t);
	assert_true(agents_until(t, is_paused_there, t));
	assert_int_equal(there->ops->resume(there, t->uuid, &err), 0);
	assert_true(agents_wait(t, DONE));
	assert_true(agents_until(t, has_no_lease, t));
	assert_non_null(t->agents[1]->image_sets);
	agents_let_pass(t, 500);
	assert_int_equal(there->ops->destroy(there, t->uuid, &err), 0);
	for (int i = 0; i < 3; i++) {
		target_images_try(t->agents[1], NULL);
		agents_let_pass(t, 200);
	}
	assert_int_equal(count_images(), 1);
	atomic_store(&disk_is_full, false);
	target_images_try(t->agents[1], NULL);
	assert_true(agents_until(t, has_no_set, t));
	assert_int_equal(count_images(), 1);
	agents_finish(t);
}

/* The source dies for good in the middle of the disk: what has arrived is of no use to anybody, and goes. */
static void test_fenced_in_the_middle(void **state)
{
	struct agents *t = begin(2 * MIB);
	struct error err;

	(void)state;
	agents_order(t);
	assert_true(agents_until_looking(t, disk_is_copied));
	assert_int_equal(t->hypervisors[0]->ops->abort_job(t->hypervisors[0], t->uuid, &err), 0);
	agents_kill(t, 0);
	declare_source_dead(t);
	assert_true(agents_until(t, has_no_lease, t));
	assert_true(agents_until(t, no_image_is_left, t));
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copied),
		cmocka_unit_test(test_never_removed_after_it_ran),
		cmocka_unit_test(test_not_asked_for),
		cmocka_unit_test(f19_somebodys_file),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(f04_target_dies),
		cmocka_unit_test(f24_agent_killed),
		cmocka_unit_test(f24_both_killed),
		cmocka_unit_test(f01_lost_finish),
		cmocka_unit_test(test_fenced_when_complete),
		cmocka_unit_test(test_fenced_in_the_middle),
		cmocka_unit_test(test_ran_before_it_was_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
