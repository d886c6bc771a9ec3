/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the options: every one that a command may take, once. Which command takes which is in
 * command_table.c. */
#include "tools/drover/command.h"

#include "common/alloc.h"
#include "common/strategy.h"
#include "common/transfer.h"

#include <assert.h>

static const char *const format_choices[] = { "table", "wide", "json", "jsonl", "name", NULL };
static_assert(ARRAY_SIZE(format_choices) == OUTPUT_FORMATS + 1, "a format that cannot be chosen");
static const char *const colour_choices[] = { "auto", "always", "never", NULL };
/* By the position in enum unmovable; the first cannot be asked for. */
static const char *const unmovable_choices[] = { "", "refuse", "leave", NULL };

/* By enum ladder_name; what is not asked for is the cluster's, and none comes last. */
static const char *const ladder_choices[] = { "",          "minimal-downtime", "suspend-if-needed",
	                                      "post-copy", "very-large",       "plain",
	                                      NULL };
static_assert(ARRAY_SIZE(ladder_choices) == LADDERS + 2, "a ladder that cannot be chosen");

/* Likewise, by enum compression. */
static const char *const compression_choices[] = { "", "xbzrle", "mt", "none", NULL };
static_assert(ARRAY_SIZE(compression_choices) == COMPRESSIONS + 2,
              "a compression that cannot be chosen");

#define AT(field) offsetof(struct options, field)

/* clang-format off */
static const struct option options[] = {
	{ OPTION_SERVER, 'H', "server", "URL", OPTION_TEXT, AT(server),
	  "the coordinator: ipc:///run/drover/coordinator.sock (default) or tcp://HOST:PORT",
	  "DROVER_SERVER" },
	{ OPTION_CA, 0, "ca", "FILE", OPTION_TEXT, AT(ca),
	  "tcp: PEM file of the cluster's certificate authority", "DROVER_CA",
	  .completion = COMPLETE_FILES },
	{ OPTION_CERT, 0, "cert", "FILE", OPTION_TEXT, AT(cert),
	  "tcp: PEM file with your operator certificate", "DROVER_CERT",
	  .completion = COMPLETE_FILES },
	{ OPTION_KEY, 0, "key", "FILE", OPTION_TEXT, AT(key),
	  "tcp: PEM file with the key of that certificate", "DROVER_KEY",
	  .completion = COMPLETE_FILES },
	{ OPTION_OUTPUT, 'o', "output", "FORMAT", OPTION_CHOICE, AT(format),
	  "how to print", .choices = format_choices },
	{ OPTION_NO_HEADERS, 0, "no-headers", NULL, OPTION_FLAG, AT(no_headers),
	  "tables without the line of headings" },
	{ OPTION_BYTES, 0, "bytes", NULL, OPTION_FLAG, AT(bytes),
	  "exact numbers: bytes, bytes per second, milliseconds" },
	{ OPTION_QUIET, 'q', "quiet", NULL, OPTION_FLAG, AT(quiet),
	  "no messages and no progress, only errors and results" },
	{ OPTION_TIMEOUT, 0, "timeout", "DUR", OPTION_DURATION, AT(timeout_ms),
	  "give up after this long, with status 6; what was started goes on (default: never; each answer "
	  "is waited for 60 s)" },
	{ OPTION_COLOR, 0, "color", "WHEN", OPTION_CHOICE, AT(colour),
	  "use colours: auto (default), always, never", .choices = colour_choices },
	{ OPTION_HELP, 'h', "help", NULL, OPTION_FLAG, AT(help), "explain this command" },
	{ OPTION_VERSION, 0, "version", NULL, OPTION_FLAG, AT(version), "print the version" },

	{ OPTION_DRY_RUN, 0, "dry-run", NULL, OPTION_FLAG, AT(dry_run),
	  "show what would be done and do nothing; status 4 if it would be refused" },
	{ OPTION_DETACH, 0, "detach", NULL, OPTION_FLAG, AT(detach),
	  "return as soon as it is accepted and print its name" },
	{ OPTION_LEAVE, 0, "leave", "VM", OPTION_WORDS, AT(leave),
	  "leave this guest running where it is; may be repeated",
	  .completion = COMPLETE_VMS },
	{ OPTION_SHUTDOWN, 0, "shutdown", "VM", OPTION_WORDS, AT(shut_down),
	  "do not move this guest: ask it to shut down, once all others have left; may be repeated",
	  .completion = COMPLETE_VMS },
	{ OPTION_SHUTDOWN_TIMEOUT, 0, "shutdown-timeout", "DUR", OPTION_DURATION,
	  AT(shutdown_timeout_ms),
	  "how long a guest may take to shut down before it is called blocked (default: the "
	  "cluster's, 5m unless set); it is never ended" },
	{ OPTION_UNMOVABLE, 0, "unmovable", "WHAT", OPTION_CHOICE, AT(unmovable),
	  "what to do about guests that cannot move: refuse the drain, or leave them running (default: "
	  "refuse; on a terminal it asks)",
	  .choices = unmovable_choices },
	{ OPTION_YES, 'y', "yes", NULL, OPTION_FLAG, AT(yes),
	  "answer yes to what would be asked" },
	{ OPTION_NO_INPUT, 0, "no-input", NULL, OPTION_FLAG, AT(no_input), "never ask" },
	{ OPTION_PARALLEL, 0, "parallel", "N", OPTION_NUMBER, AT(parallel),
	  "move at most this many guests at a time (default: the cluster's limit for a host, 2 unless "
	  "set)" },
	{ OPTION_BANDWIDTH, 0, "bandwidth", "RATE", OPTION_RATE, AT(bandwidth_bytes_per_s),
	  "limit for each migration (default: the cluster's, none unless set)" },
	{ OPTION_MAX_DOWNTIME, 0, "max-downtime", "DUR", OPTION_DURATION, AT(max_downtime_ms),
	  "longest pause at the switchover (default: the cluster's, 300ms unless set)" },
	{ OPTION_COMPLETION_TIMEOUT, 0, "completion-timeout", "DUR", OPTION_DURATION,
	  AT(completion_timeout_ms_per_gib),
	  "longest time for each GiB of memory and of copied disks (default: the cluster's, 800s unless "
	  "set)" },
	{ OPTION_PROGRESS_TIMEOUT, 0, "progress-timeout", "DUR", OPTION_DURATION,
	  AT(progress_timeout_ms),
	  "longest time without getting any nearer to the end (default: the cluster's, 150s unless "
	  "set)" },
	{ OPTION_TUNE_BANDWIDTH, 0, "bandwidth", "RATE", OPTION_TEXT, AT(tune_bandwidth),
	  "its limit from now on; none: no limit" },
	{ OPTION_TUNE_DOWNTIME, 0, "max-downtime", "DUR", OPTION_TEXT, AT(tune_downtime),
	  "longest pause at its switchover" },
	{ OPTION_SWITCH_NOW, 0, "post-copy", NULL, OPTION_FLAG, AT(switch_now),
	  "switch it to post-copy now; it must have been begun with permission for that. There is no "
	  "way back" },
	{ OPTION_PAUSE_NOW, 0, "pause", NULL, OPTION_FLAG, AT(pause_now),
	  "pause the guest now, until it has arrived" },
	{ OPTION_FORGET, 0, "forget", NULL, OPTION_FLAG, AT(forget),
	  "drop what is kept for the guest's next migration" },
	{ OPTION_NO_GUARD, 0, "no-guard", NULL, OPTION_FLAG, AT(no_guard),
	  "role admin: where no lock on the storage keeps the guest from running twice, go without the "
	  "two-step commit, too. A broken connection at the switchover can then damage its disks" },
	{ OPTION_COPY_DISKS, 0, "copy-disks", NULL, OPTION_FLAG, AT(copy_disks),
	  "copy disks that both hosts do not share; the old images stay where they are" },
	{ OPTION_COPY_DISK, 0, "copy-disk", "DISK", OPTION_WORDS, AT(copy_only),
	  "copy this disk, for example vda, and no other that is not named; may be repeated" },
	{ OPTION_INCREMENTAL, 0, "incremental", NULL, OPTION_FLAG, AT(incremental),
	  "of copied disks only what is not in the images that they are built on, which both hosts "
	  "must have" },
	{ OPTION_UNSAFE, 0, "unsafe", NULL, OPTION_FLAG, AT(unsafe),
	  "role admin: take storage for the same on both hosts where that cannot be proved. If it is "
	  "not, the guest finds other data there, and damages it" },
	{ OPTION_CONNECTIONS, 0, "parallel-connections", "N", OPTION_NUMBER, AT(connections),
	  "carry the memory over so many connections. Not with post-copy (default: the cluster's, 1 "
	  "unless set)" },
	{ OPTION_COMPRESSION, 0, "compression", "METHOD", OPTION_CHOICE, AT(compression),
	  "of memory: xbzrle (what changed in pages sent before), mt (zlib; neither with post-copy nor "
	  "with parallel connections), none (default: the cluster's, none unless set)", .choices = compression_choices },
	{ OPTION_LADDER, 0, "ladder", "NAME", OPTION_CHOICE, AT(ladder),
	  "what to do, step by step, about a guest that does not converge: minimal-downtime, "
	  "suspend-if-needed, post-copy, very-large (drover help migrate explains them), or plain, "
	  "nothing (default: the cluster's, plain unless set)",
	  .choices = ladder_choices },
	{ OPTION_AUTO_CONVERGE, 0, "allow-auto-converge", NULL, OPTION_FLAG,
	  AT(allow_auto_converge), "a guest's CPUs may be held back until it converges" },
	{ OPTION_POST_COPY, 0, "allow-post-copy", NULL, OPTION_FLAG, AT(allow_post_copy),
	  "it may be switched to post-copy when its time is over. If the network breaks then, it "
	  "stands still on both hosts until somebody repairs it" },
	{ OPTION_PAUSE, 0, "allow-pause", NULL, OPTION_FLAG, AT(allow_pause),
	  "it may be paused until it is moved when its time is over" },
	{ OPTION_NO_AUTO_CONVERGE, 0, "no-auto-converge", NULL, OPTION_FLAG, AT(forbid_auto_converge),
	  "do not hold its CPUs back, though the cluster permits it" },
	{ OPTION_NO_POST_COPY, 0, "no-post-copy", NULL, OPTION_FLAG, AT(forbid_post_copy),
	  "do not switch to post-copy, though the cluster permits it" },
	{ OPTION_NO_PAUSE, 0, "no-pause", NULL, OPTION_FLAG, AT(forbid_pause),
	  "do not pause it until it is moved, though the cluster permits it" },
	{ OPTION_REASON, 'm', "reason", "TEXT", OPTION_TEXT, AT(reason),
	  "why; kept with the node and shown to others" },
	{ OPTION_TO, 0, "to", "NODE", OPTION_TEXT, AT(to),
	  "move it there (default: the coordinator chooses)", .completion = COMPLETE_NODES },
	{ OPTION_NODE, 0, "node", "NODE", OPTION_TEXT, AT(node),
	  "only what has to do with this node", .completion = COMPLETE_NODES },
	{ OPTION_VM, 0, "vm", "VM", OPTION_TEXT, AT(vm),
	  "only what has to do with this guest", .completion = COMPLETE_VMS },
	{ OPTION_ACTIVE, 0, "active", NULL, OPTION_FLAG, AT(active), "only what is not over" },
	{ OPTION_FAILED, 0, "failed", NULL, OPTION_FLAG, AT(failed),
	  "only those that failed or are unresolved" },
	{ OPTION_ONLY_UNMOVABLE, 0, "unmovable", NULL, OPTION_FLAG, AT(only_unmovable),
	  "only guests that cannot move" },
	{ OPTION_LIMIT, 0, "limit", "N", OPTION_NUMBER, AT(limit),
	  "at most so many, the newest (default 1000)" },
	{ OPTION_FOLLOW, 'f', "follow", NULL, OPTION_FLAG, AT(follow),
	  "then wait for more and print it as it happens" },
	{ OPTION_VERIFY, 0, "verify", NULL, OPTION_FLAG, AT(verify),
	  "only prove the chain and say whether it holds" },
	{ OPTION_CLUSTER, 0, "cluster", "NAME", OPTION_TEXT, AT(cluster),
	  "the name of the new cluster" },
	{ OPTION_NAME, 0, "name", "HOST", OPTION_TEXT, AT(name),
	  "this host's name as a node (default: its host name)" },
	{ OPTION_ADDRESS, 0, "address", "IP", OPTION_TEXT, AT(address),
	  "this host's IP address, where the coordinator and other hosts reach it (default of join: "
	  "the one that it reaches the coordinator with)" },
	{ OPTION_MIGRATION_ADDRESS, 0, "migration-address", "IP", OPTION_TEXT, AT(migration_address),
	  "this host's IP address in the migration network (default: its only one there)" },
	{ OPTION_MIGRATION_INTERFACE, 0, "migration-interface", "NAME", OPTION_TEXT,
	  AT(migration_interface), "the network interface of that address (default: the one that has it)" },
	{ OPTION_MIGRATION_NETWORK, 0, "migration-network", "NET", OPTION_TEXT, AT(migration_network),
	  "the network that memory and disks of guests cross, for example 10.9.0.0/24" },
	{ OPTION_COORDINATOR_ONLY, 0, "coordinator-only", NULL, OPTION_FLAG, AT(coordinator_only),
	  "this host runs no guests: it gets a coordinator and no agent" },
	{ OPTION_TOKEN_NODE, 0, "node", "NODE", OPTION_TEXT, AT(node),
	  "the only name that it is good for, also if that is taken (default: any free one)" },
	{ OPTION_TTL, 0, "ttl", "DUR", OPTION_DURATION, AT(ttl_ms),
	  "how long the token can be used (default 3h)" },
	{ OPTION_USES, 0, "uses", "N", OPTION_NUMBER, AT(uses),
	  "how many hosts can join with it (default 1)" },
	{ OPTION_LIFE, 0, "certificate-life", "DUR", OPTION_DURATION, AT(life_ms),
	  "how long certificates are valid (default 8760h, a year); they renew themselves after two "
	  "thirds of it" },
	{ OPTION_PREFIX, 0, "prefix", "DIR", OPTION_TEXT, AT(prefix),
	  "keep all files below this directory, to try it out; configuration files name them there",
	  "DROVER_PREFIX", .completion = COMPLETE_FILES },
	{ OPTION_DAYS, 0, "days", "N", OPTION_NUMBER, AT(days),
	  "how many days the certificate is valid (default: as the cluster's, a year)" },
	{ OPTION_INTO, 0, "into", "DIR", OPTION_TEXT, AT(into),
	  "where the files go (default: here); nothing is overwritten", .completion = COMPLETE_FILES },
	{ OPTION_EVEN_OWN, 0, "even-own", NULL, OPTION_FLAG, AT(even_own),
	  "also if it is the coordinator's certificate, or your own: whoever is cut off so needs "
	  "another way in" },
	{ OPTION_SELECTOR, 'l', "selector", "LABELS", OPTION_TEXT, AT(selector),
	  "hosts with these labels: KEY=VALUE, KEY!=VALUE, KEY, !KEY; several with commas" },
	{ OPTION_BRING_BACK, 0, "bring-back", NULL, OPTION_FLAG, AT(bring_back),
	  "and move the guests back that its drain has moved away" },
	{ OPTION_HOOK, 0, "hook", "CMD", OPTION_TEXT, AT(hook),
	  "what to do with each empty host: a command of this machine's shell, which has DROVER_NODE "
	  "and DROVER_NODE_ADDRESS; its status decides" },
	{ OPTION_MAX_UNAVAILABLE, 0, "max-unavailable", "N", OPTION_NUMBER, AT(max_unavailable),
	  "at most so many hosts at a time (default 1)" },
	{ OPTION_HOOK_TIMEOUT, 0, "hook-timeout", "DUR", OPTION_DURATION, AT(hook_timeout_ms),
	  "longest time for the hook (default 1h)" },
	{ OPTION_READY_TIMEOUT, 0, "ready-timeout", "DUR", OPTION_DURATION, AT(ready_timeout_ms),
	  "longest time until agent and libvirt answer again (default 30m)" },
	{ OPTION_RESTART, 0, "restart", NULL, OPTION_FLAG, AT(restart),
	  "begin anew, though an operation with these words stopped half way" },
	{ OPTION_BY, 0, "by", "TIME", OPTION_TEXT, AT(by),
	  "when it should be over: says whether it will be; nothing is stopped then" },
	{ OPTION_PLAN, 0, "plan", "ID", OPTION_TEXT, AT(plan),
	  "exactly what the dry run of that id has shown, or nothing" },
	{ OPTION_GUEST, 0, "guest", "SIZE", OPTION_TEXT, AT(guest),
	  "room for guests of this size: memory, and virtual CPUs if they count: 8GiB, 8GiB,4cpu" },
	{ OPTION_MEMORY, 0, "memory", "SIZE", OPTION_TEXT, AT(memory),
	  "the guest's memory" },
	{ OPTION_VCPUS, 0, "vcpus", "N", OPTION_NUMBER, AT(vcpus), "the guest's virtual CPUs (default: they do not count)" },
	{ OPTION_LIKE, 0, "like", "VM", OPTION_TEXT, AT(like),
	  "as large as this guest, in what is not said", .completion = COMPLETE_VMS },
	{ OPTION_SOFT, 0, "soft", NULL, OPTION_FLAG, AT(soft),
	  "a wish: where it cannot be met the guest moves all the same, and it is shown" },
	{ OPTION_NODES, 0, "nodes", "NODES", OPTION_TEXT, AT(nodes),
	  "these hosts: host1,host2", .completion = COMPLETE_NODES },
	{ OPTION_IGNORE_POLICIES, 0, "ignore-policies", NULL, OPTION_FLAG, AT(ignore_policies),
	  "go there though a policy says otherwise: see drover policies" },
};
/* clang-format on */
static_assert(ARRAY_SIZE(options) == OPTIONS, "an option without a row");
static_assert(OPTIONS <= 128, "options of a command are bits of 128");

const struct option *command_get_options(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(options);
	return options;
}
