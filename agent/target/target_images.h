/* SPDX-License-Identifier: Apache-2.0 */
/* Images that this host made for disks on their way here: drover's until the guest is about to run on
 * them, the guest's from then on.
 *
 *	admitted --> journal: path --> file under a name of ours --> journal: inode --> its own name
 *	                                                                      |
 *	     the attempt ends, no guest came      <---------------------------+
 *	     that file is removed, journal: gone                              | commit, or it is seen to run
 *	                                                                      v
 *	                                              journal: not ours any more --> resume
 *
 * The one rule that matters: an image in which a guest has ever run is never removed by us. It may hold
 * the only copy of what the guest wrote last, also when the guest is gone by the time we look. So the
 * journal gives the images away before the guest is resumed, and whatever libvirt lists as running has
 * them from then on. A guest whose disks are copied is always two-step (agent/kernel/guard.c), and runs
 * here no sooner than that.
 *
 * Owner thread only.
 */
#pragma once

#include "agent/agent.h"
#include "agent/storage/storage_image.h"

/* Makes @n images for a guest that was admitted. @done: all are there under their names; or why not, and
 * target_images_end is then still to be called. */
void target_images_make(struct agent *agent, const struct attempt_name *attempt,
                        const char *vm_uuid, const struct storage_image *images, size_t n,
                        void (*done)(int rc, const struct error *err, void *context),
                        void *context);

/* The attempt has ended here: what is still ours of it is removed as soon as that is safe. */
void target_images_end(struct agent *agent, const struct attempt_name *attempt);

/* No image of that attempt is ours: none was made, or they were given away. */
bool target_images_are_kept(const struct agent *agent, const struct attempt_name *attempt);

/* Images of that attempt are still ours: which is the first, and why, into @ret_text. */
bool target_images_find_left(const struct agent *agent, const struct attempt_name *attempt,
                             char *ret_text, size_t bytes);

/* Those whose attempt has ended, of @operation alone unless it is NULL; the first path of each. Returns
 * how many were filled in. */
struct image_leftover {
	struct attempt_name attempt;
	char path[VM_PATH_BYTES];
};
size_t target_images_list_ended(const struct agent *agent, const struct id *operation,
                                struct image_leftover *ret, size_t max);
/* Their removal is tried now, not in a while. */
void target_images_try(struct agent *agent, const struct id *operation);

/* Gives them away; @done (may be NULL) when that is durable. On failure they are still ours, and the guest
 * must not be resumed. */
void target_images_keep(struct agent *agent, const struct attempt_name *attempt,
                        void (*done)(int rc, const struct error *err, void *context),
                        void *context);

/* After each list of libvirt's: guests that run have their images. */
void target_images_guests_listed(struct agent *agent);

/* Once a second. */
void target_images_tick(struct agent *agent);

/* After a start, when the reservations are there: images of attempts without one are removed. */
void target_images_adopt(struct agent *agent, const struct journal_state *past);

void target_images_stop(struct agent *agent);
