/* SPDX-License-Identifier: Apache-2.0 */
/* Every place where tests make an agent die: wherever it changes the world, before and after. */
#pragma once

#include "common/failpoint.h"

/* Names begin with the side. That of the journal is passed by both, for each record. */
#define AGENT_FAILPOINTS(X)                                                                        \
	X(journal_before_append, FAILS, "a record is to be written")                               \
	X(journal_before_sync, PASSES, "a record is written, and not yet on the disk")             \
	X(journal_after_append, PASSES, "a record is on the disk, and nobody knows")               \
	X(source_before_order_journaled, PASSES, "an order has come and may begin")                \
	X(source_after_order_journaled, PASSES, "the order is durable and not answered")           \
	X(source_after_order_answered, PASSES, "the order is answered, nothing else is done")      \
	X(source_before_tombstone_journaled, PASSES, "an attempt never seen is to be tombstoned")  \
	X(source_after_tombstone_journaled, PASSES, "the tombstone is durable and not answered")   \
	X(source_after_proofs_made, PASSES, "storage proofs lie on the disks, not in the journal") \
	X(source_before_admit, PASSES, "the destination is to be asked")                           \
	X(source_after_admit, PASSES, "the destination has reserved and waits for us")             \
	X(source_before_tunnel_made, FAILS, "the proofs are removed, the tunnel is not there")     \
	X(source_after_tunnel_made, PASSES, "the tunnel runs, the journal does not know")          \
	X(source_after_linked, PASSES, "both tunnels are linked, the guard is not in the journal") \
	X(source_before_autostart_off, FAILS, "the guest's autostart here is to be switched off")  \
	X(source_after_autostart_off, PASSES, "it is off here and not yet on at the destination")  \
	X(source_before_migrate, FAILS, "everything is journaled, libvirt is to be asked")         \
	X(source_in_migrate, PASSES, "libvirt's job was seen; passed at each look at it")          \
	X(source_at_switchover, PASSES, "the guest is paused for the switchover")                  \
	X(source_before_ladder_journaled, PASSES, "a step of the ladder is decided, not written")  \
	X(source_after_ladder_journaled, PASSES, "the step is durable, libvirt is not asked")      \
	X(source_before_ladder_step, FAILS, "the step is to be taken: downtime, pause, post-copy") \
	X(source_after_ladder_step, PASSES, "the step is taken, nobody here knows")                \
	X(source_before_tune_journaled, PASSES, "an operator's change is allowed, not written")    \
	X(source_after_tune_journaled, PASSES, "the change is durable, libvirt is not asked")      \
	X(source_before_tune, FAILS, "libvirt is to be given the operator's limits")               \
	X(source_after_tune, PASSES, "libvirt has them, nobody here knows")                        \
	X(source_before_break, FAILS, "a post-copy that stands still is to be broken")             \
	X(source_after_break, PASSES, "it is broken, the destination has not noticed")             \
	X(source_before_relink, PASSES, "the destination is to be asked for another tunnel")       \
	X(source_after_relink, PASSES, "the destination has one, our old one is still here")       \
	X(source_before_relink_tunnel, FAILS, "our old tunnel is stopped, there is no other")      \
	X(source_after_relink_tunnel, PASSES, "the other one runs, the journal does not know")     \
	X(source_before_postcopy_resume, PASSES, "both are linked, libvirt is to resume")          \
	X(source_after_migrate, PASSES, "libvirt's call has returned, nothing is judged")          \
	X(source_before_judging, PASSES, "both hosts were looked at; passed at each look")         \
	X(source_before_commit, PASSES, "the destination is to be told to resume or keep it")      \
	X(source_after_commit, PASSES, "the destination has committed, nothing is written")        \
	X(source_before_abort, PASSES, "the destination is to be told to destroy its copy")        \
	X(source_after_abort, PASSES, "the destination has destroyed its copy")                    \
	X(source_before_resume, FAILS, "the guest here is to run again")                           \
	X(source_after_resume, PASSES, "the guest here runs again")                                \
	X(source_before_suspend, FAILS, "two run: the guest here is to be suspended")              \
	X(source_after_suspend, PASSES, "the guest here is suspended")                             \
	X(source_before_destroy, FAILS, "what is left of the guest here is to be destroyed")       \
	X(source_after_destroy, PASSES, "what was left of the guest here is destroyed")            \
	X(source_before_autostart_on, FAILS, "the guest stayed: its autostart is to be restored")  \
	X(source_after_autostart_on, PASSES, "it is restored")                                     \
	X(source_before_undefine, FAILS, "the guest's definition here is to be removed")           \
	X(source_after_undefine, PASSES, "the guest's definition here is removed")                 \
	X(source_before_decided_journaled, PASSES, "how it ended is known and nowhere written")    \
	X(source_after_decided_journaled, PASSES, "how it ended is durable, all is still there")   \
	X(source_before_cleaning, PASSES, "tunnel, files and proofs are to be removed")            \
	X(source_after_cleaning, PASSES, "they are removed, the journal does not know")            \
	X(source_before_verify, PASSES, "the guest has arrived and is to be compared there")       \
	X(source_after_verify, PASSES, "it was compared, which is nowhere written")                \
	X(source_before_release, PASSES, "the reservation is to be given back")                    \
	X(source_after_release, PASSES, "the reservation is given back, the end is not written")   \
	X(source_after_end_journaled, PASSES, "the end is durable, the coordinator has not heard") \
	X(target_before_take_journaled, PASSES, "admitted and reserved in memory alone")           \
	X(target_after_take_journaled, PASSES, "the reservation is durable, there is no tunnel")   \
	X(target_after_images_journaled, PASSES, "images are in the journal and nowhere else")     \
	X(target_before_images_made, FAILS, "images are to be made for disks that are copied")     \
	X(target_after_images_made, PASSES, "they lie there under a name of ours")                 \
	X(target_after_images_named, PASSES,                                                       \
	  "they have their own names, the source does not know")                                   \
	X(target_after_images_removed, PASSES, "they are removed, the journal does not know")      \
	X(target_after_images_kept, PASSES, "they are the guest's, which does not run yet")        \
	X(target_before_tunnel_made, FAILS, "the tunnel is to be started")                         \
	X(target_after_tunnel_made, PASSES, "the tunnel runs, the journal does not know")          \
	X(target_before_admit_reply, PASSES, "all is ready, the source does not know")             \
	X(target_before_renew_reply, PASSES, "the lease is renewed, the source does not know")     \
	X(target_before_cut, FAILS, "the connections of a broken post-copy are to be cut")         \
	X(target_after_cut, PASSES, "they are cut, the old tunnel is still here")                  \
	X(target_before_relink_tunnel, FAILS, "the old tunnel is stopped, there is no other")      \
	X(target_after_relink_tunnel, PASSES, "the other one runs, the journal does not know")     \
	X(target_before_relink_reply, PASSES, "the other one is journaled, the source waits")      \
	X(target_before_inspect_reply, PASSES, "the guest here was looked at for the source")      \
	X(target_before_resume, FAILS, "the guest is to run here from now on")                     \
	X(target_after_resume, PASSES, "the guest runs here, nobody knows")                        \
	X(target_before_autostart, FAILS, "autostart is to be set here")                           \
	X(target_after_autostart, PASSES, "autostart is set here")                                 \
	X(target_before_destroy, FAILS, "the copy here is to be destroyed")                        \
	X(target_after_destroy, PASSES, "the copy here is destroyed, nobody knows")                \
	X(target_before_finish_reply, PASSES, "committed or aborted, the source does not know")    \
	X(target_before_verify, PASSES, "a guest that arrived is to be looked at for its source")  \
	X(target_before_release, PASSES, "the reservation is to be given back")                    \
	X(target_before_cleaning, PASSES, "the reservation is gone, the tunnel is to be stopped")  \
	X(target_after_cleaning, PASSES, "the tunnel is stopped, the journal does not know")

FAILPOINTS_DECLARE(AGENT_FAILPOINTS, agent_failpoints);
