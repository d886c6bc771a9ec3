/* SPDX-License-Identifier: Apache-2.0 */
/* Guests on their way in: what this host promises to other agents, and keeps.
 *
 *	Admit --> couriers measure --> admission_judge + reservations_take (one step)
 *	      --> journal --> tunnel process --> reply: address, port, tunnel, guard
 *	RenewLease ... Inspect ... FinishTarget (resume or destroy) ... ReleaseLease
 *
 * Only the agent of the source named in an attempt may speak for it. Owner thread only.
 */
#pragma once

#include "agent/agent.h"
#include "agent/kernel/admission.h"
#include "agent/kernel/guard.h"
#include "agent/tunnel/spawn.h"
#include "proto/agent.pb-c.h"

void target_admit(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__AdmitRequest *request);
void target_renew(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__AttemptRequest *request);
void target_release(struct agent *agent, struct mesh_incoming *in,
                    const Drover__V1__AttemptRequest *request);
void target_inspect(struct agent *agent, struct mesh_incoming *in,
                    const Drover__V1__AttemptRequest *request);
void target_finish(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__FinishTargetRequest *request);

/* A guest has arrived, and is compared with what had left: target_verify.c. */
void target_verify(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__VerifyRequest *request);

/* A broken post-copy is about to be resumed: target_relink.c. */
void target_relink(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__AttemptRequest *request);

/* What is still here of an attempt that is over: target_remnants.c. */
void target_look_for_remnants(struct agent *agent, struct mesh_incoming *in,
                              const Drover__V1__RemnantsRequest *request);

/* After a start: reservations and tunnels from the journal. */
void target_adopt(struct agent *agent, const struct journal_state *past);

/* Once a second: leases that nobody renews any more. */
void target_tick(struct agent *agent);

/* Its vCPUs run here: kept durably with its lease, if it came in by one (kernel/resolve.h says why). */
void target_guest_runs(struct agent *agent, const char *vm_uuid);

/* The guests of libvirt's latest list, for the books. */
void target_guests_listed(struct agent *agent);

/* This host's memory by its kernel, or @err: why there is none. Figures that make no sense make the host
 * suspect; it takes no guest until they do. */
void target_judge_figures(struct agent *agent, const struct host_facts *facts,
                          const struct error *err);

/* Memory, slots, leases, suspicion and pressure, for those who watch. */
void target_fill_host(const struct agent *agent, Drover__V1__HostState *h);

void target_stop(struct agent *agent);

/* A commit or an abort of that guest is on its way to libvirt. It was checked against its own attempt
 * and acts on the guest: no other attempt may bring the guest here before it is through. */
bool target_is_acting_on(const struct agent *agent, const char *vm_uuid);

/* --- between the target*.c files --- */

#define TARGET_TUNNEL_ADDRESS_BYTES 128

/* What belongs to a reservation and is not in it. */
struct inbound {
	struct attempt_name attempt;
	enum guard guard;
	struct tunnel tunnel;
	bool tunnel_made;
	bool relinking; /* another tunnel is being made */
	char tunnel_address[TARGET_TUNNEL_ADDRESS_BYTES];
	char directory[VM_PATH_BYTES];
	bool endpoint_registered, disk_endpoint_registered;
	struct traffic_endpoint endpoint, disk_endpoint;
	bool oom_kills_known;
	uint64_t oom_kills; /* the kernel's count at the admission */
	/* Owned: the guest as it was admitted, for a source that was restarted since; NULL: so were we. */
	struct vm_description *admitted;
	struct inbound *next;
};

/* Where the tunnel of that attempt has its files; VM_PATH_BYTES. */
void inbound_format_directory(const struct agent *agent, const struct attempt_name *name,
                              char *ret);

struct inbound *inbound_find(struct agent *agent, const struct attempt_name *name);
struct inbound *inbound_get(struct agent *agent, const struct attempt_name *name);
void inbound_free(struct inbound *inbound);

/* A tunnel process for the attempt; blocks: a courier. @ret_address: where the source's connects. */
int target_tunnel_spawn(struct agent *agent, const struct attempt_name *name,
                        const char *source_node, const char *directory, struct tunnel *ret,
                        char ret_address[static TARGET_TUNNEL_ADDRESS_BYTES], struct error *err);
/* Notes its tunnel for a later agent. */
void inbound_journal_tunnel(struct agent *agent, const struct inbound *inbound,
                            enum journal_record_kind made_or_removed);

/* Tunnel, files and the record of a reservation that has ended: gone. */
void inbound_end(struct agent *agent, const struct attempt_name *name);
/* The same; @durable says whether a later agent will know it. */
void inbound_end_then(struct agent *agent, const struct attempt_name *name,
                      void (*durable)(int rc, const struct error *err, void *context),
                      void *context);

/* Bytes from @source_address to these ports are the guest's from now on; @disk_port may be 0. What comes
 * from anybody else to them is counted as unregistered, and seen. */
void inbound_expect_bytes(struct agent *agent, struct inbound *inbound, const char *source_address,
                          uint16_t port, uint16_t disk_port);
void inbound_forget_bytes(struct agent *agent, const struct inbound *inbound);

/* Who may speak for an attempt. Its epoch is none of this: a new coordinator ends no attempt that was
 * admitted before, so its lease is renewed, its guest looked at and resumed under any epoch. Only a
 * new admission obeys it. */
int target_check_source(struct agent *agent, const struct mesh_incoming *in,
                        const Drover__V1__Attempt *attempt, const char *source_node,
                        struct attempt_name *ret_name, struct error *err);

/* Why no guest is taken now: suspect figures, pressure; "" = none. */
void target_describe_problem(const struct agent *agent, char *ret, size_t bytes);

/* The migration link as it is now, for a move with that limit (0 = none). */
void target_look_at_link(const struct agent *agent, uint64_t limit_bytes_per_s,
                         struct link_finding *ret);

/* vCPUs of this host's guests and of those on their way; @cpus: what it has, 0 = not known. */
struct vcpu_totals target_count_vcpus(const struct agent *agent, uint32_t cpus);

/* Sources that are about to start get their answer, if the list is new enough. */
void target_lease_guests_listed(struct agent *agent);
