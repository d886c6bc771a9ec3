/* SPDX-License-Identifier: Apache-2.0 */
/* The rows: every command of drover. Everything else about the command line is made from them, and from
 * those of the options (option_table.c). */
#include "tools/drover/command.h"

#include "common/alloc.h"
#include "tools/drover/commands.h"

#define O(id) OPTION_BIT(OPTION_##id)
/* What every command takes that asks the coordinator. */
#define ASKS   (O(SERVER) | O(CA) | O(CERT) | O(KEY) | O(TIMEOUT) | O(COLOR) | O(HELP))
#define PRINTS (O(OUTPUT) | O(BYTES))
#define LISTS  (ASKS | PRINTS | O(NO_HEADERS))
#define STRATEGY                                                                        \
	(O(LADDER) | O(AUTO_CONVERGE) | O(POST_COPY) | O(PAUSE) | O(NO_AUTO_CONVERGE) | \
	 O(NO_POST_COPY) | O(NO_PAUSE))
#define LIMITS  (O(BANDWIDTH) | O(MAX_DOWNTIME) | O(COMPLETION_TIMEOUT) | O(PROGRESS_TIMEOUT))
#define FOLLOWS (ASKS | PRINTS | O(NO_HEADERS) | O(QUIET))

/* An address is said by the command itself. */
#define RAW (O(CA) | O(CERT) | O(KEY) | O(TIMEOUT) | O(COLOR) | O(HELP) | O(OUTPUT))

#define F(format) (1u << OUTPUT_##format)
#define LISTABLE  (F(TABLE) | F(WIDE) | F(JSON) | F(JSONL) | F(NAME))
#define SHOWABLE  (F(TABLE) | F(JSON))
#define WATCHABLE (F(TABLE) | F(JSON) | F(JSONL))

#define LOOK  "LOOK"
#define ACT   "ACT"
#define SETUP "SET UP"
#define MORE  "MORE"
/* What works on the files of this host. */
#define HOST (O(PREFIX) | O(QUIET) | O(COLOR) | O(HELP))
#define HOST_NAMES                                                              \
	(O(NAME) | O(ADDRESS) | O(MIGRATION_ADDRESS) | O(MIGRATION_INTERFACE) | \
	 O(MIGRATION_NETWORK))

/* clang-format off */
static const struct command commands[] = {
	{ .name = "status", .arguments = "", .options = ASKS | PRINTS, .formats = SHOWABLE,
	  .group = LOOK, .run = status_run,
	  .summary = "one screen: health, what runs now, what needs you",
	  .description = "This is also what drover shows when no command is given.",
	  .examples = "drover\ndrover status -o json" },
	{ .name = "nodes", .arguments = "[NODE...]", .words_max = WORDS_MAX, .options = LISTS | O(SELECTOR),
	  .formats = LISTABLE, .group = LOOK, .run = nodes_run, .completion = COMPLETE_NODES,
	  .summary = "the hosts: state, guests, memory, link",
	  .description = "MEM is what guests use and what is reserved for guests on their way, of the "
			 "capacity less the host's reserve. LINK is the busier direction of the "
			 "migration interface now, of its speed; BY says who counted: ebpf-tcx, "
			 "ebpf-clsact, or rtnl (the kernel's own counters). IN/OUT are migrations "
			 "towards and from the node.",
	  .examples = "drover nodes\ndrover nodes host1 -o wide\ndrover nodes -l rack=a -o name" },
	{ .name = "vms", .arguments = "[VM...]", .words_max = WORDS_MAX,
	  .options = LISTS | O(NODE) | O(ONLY_UNMOVABLE), .formats = LISTABLE, .group = LOOK,
	  .run = vms_run, .completion = COMPLETE_VMS,
	  .summary = "the guests: where, state, whether they can move",
	  .description = "As the nodes' agents list them. Where the coordinator was just started, nodes that "
			 "it has not heard yet are named: the status is 5 if what was asked for may be "
			 "there.",
	  .examples = "drover vms --node host1\ndrover vms --unmovable" },
	{ .name = "migrations", .arguments = "",
	  .options = LISTS | O(NODE) | O(VM) | O(ACTIVE) | O(FAILED) | O(LIMIT),
	  .formats = LISTABLE, .group = LOOK, .run = migrations_run,
	  .summary = "migrations, newest first: progress, rates, downtime",
	  .description = "PHASE is KubeVirt's word for the state; -o wide also has drover's own.",
	  .examples = "drover migrations --active\ndrover migrations --vm web1 -o json" },
	{ .name = "drains", .arguments = "", .options = LISTS | O(NODE) | O(ACTIVE) | O(LIMIT),
	  .formats = LISTABLE, .group = LOOK, .run = drains_run,
	  .summary = "drains, newest first",
	  .description = "Of those that are over the newest 500 are kept, and those that a way back still "
			 "rests on; their migrations are in the history.",
	  .examples = "drover drains --active" },
	{ .name = "policies", .arguments = "[POLICY]", .words_max = 1, .options = LISTS,
	  .formats = LISTABLE, .group = LOOK, .run = policies_run, .completion = COMPLETE_POLICIES,
	  .summary = "what is wanted about where guests are, and whether it holds",
	  .description = "STATE is \"holds\", \"violated\" (somebody has moved or started a guest by hand; "
			 "WHY has the guests, and drover explain policy/NAME the command that repairs it), "
			 "or \"unknown\" while a host that may have one of its guests is silent.",
	  .examples = "drover policies\ndrover policies db -o json" },
	{ .name = "events", .arguments = "[KIND/NAME]", .words_max = 1,
	  .options = LISTS | O(LIMIT) | O(FOLLOW),
	  .formats = F(TABLE) | F(JSON) | F(JSONL), .group = LOOK, .run = events_run,
	  .completion = COMPLETE_ANY, .summary = "what happened, oldest first",
	  .examples = "drover events node/host1\ndrover events -f -o jsonl" },
	{ .name = "explain", .arguments = "KIND/NAME", .words_min = 1, .words_max = 1,
	  .options = ASKS | PRINTS | O(NO_HEADERS), .formats = SHOWABLE, .group = LOOK,
	  .run = explain_run, .completion = COMPLETE_ANY,
	  .summary = "why is it so, why not there, which setting wins",
	  .description = "Of a guest (vm/NAME): every node with every admission check, what was "
			 "measured, what is required and what to do about it, and its policies. Of a "
			 "policy (policy/NAME): whether it holds, and what would repair it. Of a migration "
			 "(migration/N): its checks, guard against running twice, settings, rounds, "
			 "downtime, bytes and reason. Of a node (node/NAME) and a drain (drain/N): "
			 "their state and what is in the way. Of a plan (plan/ID, from a dry run): whether "
			 "it still holds, how near it is to what no order could beat and which link decides "
			 "that, and of each guest why it goes there and why then.\n\n"
			 "A bare name will do where it is unique.",
	  .examples = "drover explain vm/web1\ndrover explain migration/42\n"
		      "drover explain plan/5f1d9c02a77be340" },
	{ .name = "why-not", .arguments = "VM NODE", .words_min = 2, .words_max = 2,
	  .options = ASKS | PRINTS | O(NO_HEADERS), .formats = SHOWABLE, .group = LOOK,
	  .run = why_not_run, .completion = COMPLETE_VMS, .completion_after = COMPLETE_NODES,
	  .summary = "may this guest go to that node, and if not, why not",
	  .description = "The node makes every admission check now and reserves nothing. First comes the "
			 "answer, then each check that fails or warns with what was measured, what is "
			 "required and what to do, then the names of those that pass.\n\n"
			 "The status is 0 if the guest could go there (or is there), 4 if not.",
	  .examples = "drover why-not web1 host3\ndrover why-not web1 host3 -o json" },
	{ .name = "capacity", .arguments = "[NODE...]", .words_max = WORDS_MAX,
	  .options = ASKS | PRINTS | O(NO_HEADERS) | O(GUEST), .formats = SHOWABLE, .group = LOOK,
	  .run = capacity_run, .completion = COMPLETE_NODES,
	  .summary = "which nodes can be drained now, alone and together, and room for more",
	  .description = "For each node whether all of its guests find a place elsewhere, and if not, which "
			 "guest does not, what each node lacks, and what would help. Without a name also "
			 "the largest set of nodes that can be drained together, and the rule of thumb "
			 "(spare memory against the fullest node) beside it. With names: these alone and "
			 "together, with a place for each guest.\n\n"
			 "By memory, the state of the nodes, and what they have refused. Whether a node "
			 "sees a guest's storage only that node knows: with names the nodes are asked, as "
			 "in a dry run of a drain. What they refuse is known for an hour; without a name "
			 "it counts, and of how many guests no node was asked is said. Where several "
			 "nodes barely fit together, drover drain, "
			 "which looks at links, too, may not find the places that are named here, and "
			 "refuse. A search takes a bounded time; what was not searched is said.\n\n"
			 "The status is 0, or with names 4 if they cannot all be drained together.",
	  .examples = "drover capacity\ndrover capacity host1 host2\ndrover capacity --guest 8GiB,4cpu" },
	{ .name = "place", .arguments = "",
	  .options = ASKS | PRINTS | O(NO_HEADERS) | O(MEMORY) | O(VCPUS) | O(LIKE),
	  .formats = SHOWABLE, .group = LOOK, .run = place_run,
	  .summary = "where would a guest of that size go, and what does each node say",
	  .description = "For a guest that does not exist yet. Nothing is reserved, and no node is asked. "
			 "What QEMU needs besides the guest's memory is added. The status is 4 if no node "
			 "can take it.",
	  .examples = "drover place --memory 8GiB --vcpus 4\ndrover place --like web1" },
	{ .name = "export", .arguments = "[FILE]", .words_max = 1,
	  .options = ASKS | O(QUIET), .group = LOOK, .run = export_run, .completion = COMPLETE_FILES,
	  .summary = "the state of the cluster as one JSON document",
	  .description = "Nodes, guests, migrations, drains, limits and settings, as the coordinator "
			 "knows them now, on stdout or in FILE. No keys, tokens or certificates. It is "
			 "what tools/simulate reads, to try a drain without the cluster.",
	  .examples = "drover export state.json\ndrover export | tools/simulate --state - --drain host1" },
	{ .name = "top links", .arguments = "",
	  .options = ASKS | PRINTS | O(NO_HEADERS) | O(NODE) | O(LIMIT),
	  .formats = F(TABLE) | F(WIDE) | F(JSON), .group = LOOK, .run = top_links_run,
	  .summary = "what the migration links carry, the busiest first",
	  .description = "On a terminal once a second until Ctrl-C (or --timeout), else once. IN and OUT are "
			 "what the migration interface carries now; MIGR is the share of it that is "
			 "migrations (not known without eBPF); USED is the busier direction, of the "
			 "link's speed; BY says who counted; AVG and MAX are of that direction in the last "
			 "ten minutes, MAX of one second. -o wide also has the last minute, the last day "
			 "and the age of the figures.\n\n"
			 "With --node all interfaces that are counted there are shown. What is not "
			 "measured is shown as -, never as 0.",
	  .examples = "drover top links\ndrover top links --node host1 -o wide\ndrover top links -o json" },
	{ .name = "watch", .arguments = "drain/N...|migration/N", .words_min = 1, .words_max = WORDS_MAX,
	  .options = FOLLOWS, .formats = WATCHABLE, .group = LOOK, .run = watch_run,
	  .completion = COMPLETE_WATCH, .summary = "follow drains or a migration to the end",
	  .description = "The exit status is that of the drain or migration. Ctrl-C stops watching "
			 "only. When the coordinator goes away drover reconnects and goes on from "
			 "where it was.\n\n"
			 "With -o jsonl every change is printed as one object.",
	  .examples = "drover watch drain/7\ndrover watch migration/42 -o jsonl" },

	{ .name = "drain", .arguments = "[NODE...]", .words_min = 0, .words_max = WORDS_MAX,
	  .options = FOLLOWS | O(SELECTOR) | O(BY) | O(PLAN) | O(DRY_RUN) | O(DETACH) | O(LEAVE) | O(SHUTDOWN) | O(SHUTDOWN_TIMEOUT) | O(UNMOVABLE) | O(YES) |
		     O(NO_INPUT) | O(PARALLEL) | LIMITS | O(COPY_DISKS) | O(REASON) | STRATEGY,
	  .formats = WATCHABLE, .group = ACT, .run = drain_run, .completion = COMPLETE_NODES,
	  .summary = "move all guests off nodes and keep new ones away",
	  .description = "Starts at once if every guest can be moved live, follows it to the end, and "
			 "exits with 0 when the node is empty. If a guest cannot move, nothing is "
			 "done; drover names the guest, the reason and the flag that allows going on "
			 "(status 4). On a terminal it asks. A guest that only lacks room is no reason to "
			 "refuse: the others move, and the drain waits for room.\n\n"
			 "Several nodes, named or selected by their labels (-l), are drained together: "
			 "none of them takes a guest of another, and all are begun or none. Where they "
			 "stand in each other's way, drover says which guests need which node, and "
			 "begins nothing.\n\n"
			 "With --by drover says whether it will be over by then, beforehand (the latest "
			 "start, who would be late, what would help) and, while it runs, as soon as "
			 "that changes. It is an estimate, and nothing is stopped when the time has "
			 "passed.\n\n"
			 "With --shutdown a guest is not moved: it is asked to shut down (by its guest "
			 "agent if it has one, else by its power button), and is off until \"drover "
			 "undrain NODE --bring-back\", which starts it there again. Guests are shut down "
			 "only by name, and last, once all that move have left: so a drain that does not "
			 "get that far has cost nobody an outage, and theirs is short. One that runs on "
			 "is never ended: after --shutdown-timeout it is shown as blocked, and asked "
			 "again each time that passes; the drain waits. Refused are transient guests, "
			 "whose definition would be lost, and guests that libvirt would start again "
			 "(on_poweroff). Autostart is left as it is: with it "
			 "a reboot of the node starts the guest. While the drain is under way, one that "
			 "is started is asked again.\n\n"
			 "A dry run shows each guest's turn, when it starts and ends, how long its move "
			 "takes in nine of ten cases (9 OF 10), how long it stands still (PAUSE), its "
			 "destination and why, and what proves that a guest has none: such a plan has no "
			 "id, and drover names the same dry run without that guest. Else it names "
			 "its id: \"drover explain plan/ID\" says why in this order, and how good that is; "
			 "--plan ID does exactly that, as was asked for then (guests that stay or are "
			 "shut down are named again), or says what has changed since and does nothing. "
			 "Its status is 0 if all would have left, in time if --by names one; "
			 "4 if a guest has no destination or is foretold to be given up, or if the time "
			 "is expected to be missed.\n\n"
			 "Ctrl-C stops watching; the drain goes on. \"drover cancel drain/N\" stops it: "
			 "guests that moved stay where they are. The same command once more watches the "
			 "drain that is under way; one that asks for something else than that does is "
			 "refused (status 4): cancel it, and ask anew.\n\n"
			 "With --copy-disks, disks that are not shared go along: see \"drover help "
			 "migrate\" for what that needs and what it leaves behind.",
	  .examples = "drover drain host1 --dry-run\ndrover drain host1 -m \"new memory\"\n"
		      "drover drain host1 --leave build7\ndrover drain host1 --shutdown db1 --shutdown-timeout 10m\n"
		      "drover drain host1 host2\ndrover drain -l rack=a --dry-run\n"
		      "drover drain host1 --by 02:30\ndrover drain host1 --plan 5f1d9c02a77be340" },
	{ .name = "undrain", .arguments = "NODE", .words_min = 1, .words_max = 1,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(BYTES) | O(NO_HEADERS) | O(BRING_BACK) |
		     O(DRY_RUN) | O(DETACH),
	  .formats = SHOWABLE, .group = ACT, .run = undrain_run, .completion = COMPLETE_NODES,
	  .summary = "end a node's maintenance: guests may come again",
	  .description = "Guests are not brought back, unless --bring-back is given. Then those that "
			 "the node's last drain has moved away come back, the largest first, as many "
			 "at a time as the cluster's limits allow, with the drain's own settings. Those "
			 "that it has shut down are started there again, before the others come, if "
			 "there is room, and if no other host has them: a host that cannot be asked is "
			 "waited for. One "
			 "that has moved on since, or runs nowhere, is left alone and named. With "
			 "--dry-run the node is asked for each of them beforehand: it makes all checks "
			 "(its CPU may be another one now), and nothing is changed.\n\n"
			 "Repeat it as you like: who is back, or on the way, is not asked for again. "
			 "The status is 0 if all are back, 5 if some stayed where they were, 1 if one "
			 "failed. Ctrl-C stops watching only.",
	  .examples = "drover undrain host1\ndrover undrain host1 --bring-back --dry-run\n"
		      "drover undrain host1 --bring-back" },
	{ .name = "cordon", .arguments = "NODE", .words_min = 1, .words_max = 1,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(REASON), .formats = SHOWABLE, .group = ACT,
	  .run = cordon_run, .completion = COMPLETE_NODES,
	  .summary = "keep new guests away from a node; those there stay",
	  .examples = "drover cordon host1 -m \"odd noises\"" },
	{ .name = "uncordon", .arguments = "NODE", .words_min = 1, .words_max = 1,
	  .options = ASKS | O(OUTPUT) | O(QUIET), .formats = SHOWABLE, .group = ACT,
	  .run = uncordon_run, .completion = COMPLETE_NODES, .summary = "the opposite of cordon",
	  .examples = "drover uncordon host1" },
	{ .name = "roll", .arguments = "[NODE...]", .words_max = WORDS_MAX,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(DRY_RUN) | O(SELECTOR) | O(HOOK) |
		     O(MAX_UNAVAILABLE) | O(HOOK_TIMEOUT) | O(READY_TIMEOUT) | O(RESTART) |
		     O(SHUTDOWN) | O(SHUTDOWN_TIMEOUT) | O(PARALLEL) | LIMITS | O(COPY_DISKS) | O(REASON),
	  .formats = WATCHABLE, .group = ACT, .run = roll_run,
	  .completion = COMPLETE_NODES,
	  .summary = "host by host: empty it, run a hook, wait until it is ready, bring its guests back",
	  .description = "For updates and reboots of many hosts. Each host is drained; the hook runs on "
			 "the machine of this command; when agent and libvirt of the host have answered "
			 "for 10 s, its guests come back, and the next one is taken. With "
			 "--max-unavailable the hosts go in groups, which are drained together.\n\n"
			 "A guest that --shutdown names is not moved: on its host's turn it is asked to "
			 "shut down, when the others have left, and it is started there again before "
			 "they come back. It must be a guest of one of these hosts. One that cannot be "
			 "started again stops the operation.\n\n"
			 "It stops at the first thing that fails, and says where it stands; nothing is "
			 "undone. The same command goes on from there, also from another machine: how far "
			 "each host is, is kept as its label roll/ID until all are done. A hook that ended "
			 "well does not run again. A hook that reboots the host should not end before the "
			 "host goes down. Its output is on stderr, its "
			 "input is empty (/dev/null). With -o jsonl each step is an object "
			 "on stdout, with -o json all of it is one, at the end.\n\n"
			 "A dry run shows each host's turn: how many of its guests would move, be shut "
			 "down, have no place, or are foretold to be given up. Its status is 4 if one "
			 "of the hosts would not become empty.\n\n"
			 "Ctrl-C ends the hook and stops. Guests with no place, or hosts in each other's "
			 "way: see drover drain. The status is that of the step that failed.",
	  .examples = "drover roll -l rack=a --hook 'ssh root@$DROVER_NODE /root/update-and-reboot'\n"
		      "drover roll host1 host2 --hook ./update.sh --hook-timeout 20m --max-unavailable 2\n"
		      "drover roll host1 host2 --hook ./update.sh --shutdown db1" },
	{ .name = "label", .arguments = "NODE KEY=VALUE|KEY-...", .words_min = 2, .words_max = WORDS_MAX,
	  .options = ASKS | O(OUTPUT) | O(QUIET), .formats = SHOWABLE, .group = ACT,
	  .run = label_run, .completion = COMPLETE_NODES, .completion_after = COMPLETE_OWN,
	  .summary = "give a node labels, by which -l selects it, or take them away",
	  .description = "\"rack=a\" sets, \"rack-\" takes what was given away: all of them or none. A "
			 "node has also the labels of its own agent.yaml (labels: [rack=a, ssd]); what is "
			 "given here wins over them. \"drover nodes -o wide\" shows what is in effect.",
	  .examples = "drover label host1 rack=a gpu\ndrover label host1 gpu-\ndrover drain -l rack=a --dry-run" },
	{ .name = "policy apart", .arguments = "POLICY VM VM...", .words_min = 3, .words_max = WORDS_MAX,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(SOFT), .formats = SHOWABLE, .group = ACT,
	  .run = policy_apart_run, .completion = COMPLETE_POLICIES,
	  .completion_after = COMPLETE_VMS,
	  .summary = "no two of these guests on one host",
	  .description = "A hard policy is obeyed by all that drover does, at every instant: a guest that "
			 "moves counts on both hosts. What has no other place stays where it is, blocked, "
			 "with the policy's name. With --soft it is a wish: drover prefers hosts where it "
			 "holds, and says where it does not.\n\n"
			 "POLICY is a name that you choose; set again, it is replaced, and what is "
			 "different is said. Guests are kept by their uuid. drover moves nobody to repair "
			 "what others have done; it tells the command. Two hard policies that cannot both "
			 "hold are refused (status 4), with the name of the other.",
	  .examples = "drover policy apart db db1 db2 db3\ndrover policy apart web web1 web2 --soft" },
	{ .name = "policy together", .arguments = "POLICY VM VM...", .words_min = 3,
	  .words_max = WORDS_MAX, .options = ASKS | O(OUTPUT) | O(QUIET) | O(SOFT), .formats = SHOWABLE,
	  .group = ACT, .run = policy_together_run, .completion = COMPLETE_POLICIES,
	  .completion_after = COMPLETE_VMS,
	  .summary = "all of these guests on one host",
	  .description = "As \"drover policy apart\". A drain takes them to the same host, one after the "
			 "other; while they are on their way it is not violated. One of them alone is not "
			 "moved away from the others, unless with drover migrate --ignore-policies; the "
			 "others then may follow.",
	  .examples = "drover policy together shop app1 cache1" },
	{ .name = "policy on", .arguments = "POLICY VM...", .words_min = 2, .words_max = WORDS_MAX,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(SOFT) | O(NODES) | O(SELECTOR), .formats = SHOWABLE,
	  .group = ACT, .run = policy_on_run, .completion = COMPLETE_POLICIES,
	  .completion_after = COMPLETE_VMS,
	  .summary = "these guests on these hosts only",
	  .description = "As \"drover policy apart\". Hosts are named (--nodes), or have labels (-l; those "
			 "that have them at the time count).",
	  .examples = "drover policy on licence ora1 ora2 --nodes host1,host2\n"
		      "drover policy on fast db1 -l ssd --soft" },
	{ .name = "policy remove", .arguments = "POLICY", .words_min = 1, .words_max = 1,
	  .options = ASKS | O(OUTPUT) | O(QUIET), .formats = SHOWABLE, .group = ACT,
	  .run = policy_remove_run, .completion = COMPLETE_POLICIES, .summary = "forget a policy",
	  .examples = "drover policy remove db" },
	{ .name = "migrate", .arguments = "VM", .words_min = 1, .words_max = 1,
	  .options = FOLLOWS | O(TO) | O(DRY_RUN) | O(DETACH) | LIMITS | O(NO_GUARD) | O(COPY_DISKS) | STRATEGY |
		     O(COPY_DISK) | O(INCREMENTAL) | O(UNSAFE) | O(IGNORE_POLICIES) | O(CONNECTIONS) | O(COMPRESSION),
	  .formats = WATCHABLE, .group = ACT, .run = migrate_run, .completion = COMPLETE_VMS,
	  .summary = "move one guest live",
	  .description = "Ctrl-C stops watching; the migration goes on.\n\n"
			 "A guest whose disks are not shared stays where it is, unless --copy-disks is "
			 "given. Then files in raw or qcow2 format that the destination does not see are "
			 "copied to it under the same path, before the memory. The destination must have "
			 "the directory, room for all that the image can grow to, and no file of that "
			 "name: drover overwrites nothing. While the guest changes over it stands still "
			 "a little longer (two-step commit). If the move fails, what was copied is "
			 "removed. If it succeeds, the image at the source stays as it was: it grows old "
			 "there, and is yours to rename or remove. --copy-disk chooses; an image that is "
			 "built on another one is copied with --incremental, if both hosts have the "
			 "other.\n\n"
			 "A guest that writes faster than the network carries does not converge. "
			 "Without permission nothing is done about it, and it stays when its time is "
			 "over. --ladder names what may be done: minimal-downtime raises the downtime in "
			 "small steps up to --max-downtime, then gives up; suspend-if-needed pauses the "
			 "guest after that until it has arrived; post-copy lets it run on at the "
			 "destination before all of its memory is there; very-large holds its CPUs back "
			 "and has more patience. Each step is in `drover explain` with its reason. After a "
			 "switch to post-copy a migration cannot be cancelled. Post-copy needs a lock that "
			 "keeps the guest from running twice: a two-step commit cannot guard it.\n\n"
			 "The status of a dry run is 4, too, if it is foretold not to converge and to "
			 "be given up.",
	  .examples = "drover migrate web1\ndrover migrate web1 --to host3 --dry-run\n"
		      "drover migrate web1 --to host3 --copy-disks\n"
		      "drover migrate web1 --to host3 --copy-disk vdb --incremental" },
	{ .name = "tune", .arguments = "VM|migration/N", .words_min = 1, .words_max = 1,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(TUNE_BANDWIDTH) | O(TUNE_DOWNTIME) |
		     O(SWITCH_NOW) | O(PAUSE_NOW) | O(FORGET),
	  .formats = SHOWABLE, .group = ACT, .run = tune_run, .completion = COMPLETE_CANCEL,
	  .summary = "change a migration while it runs, or a guest's next one",
	  .description = "Of a migration that copies, bandwidth and downtime are changed at once; "
			 "--post-copy and --pause finish it now. What was changed, by whom, from what "
			 "to what is in its history. A ladder leaves a downtime alone that was set "
			 "this way, and never touches a bandwidth. Past the switchover nothing can be "
			 "changed any more (status 4).\n\n"
			 "Of a guest that is not being moved, bandwidth and downtime are kept for its "
			 "next migration, until that is done; `drover explain vm/NAME` shows them, "
			 "--forget drops them. What is asked for with that migration itself wins.\n\n"
			 "libvirt limits bandwidth in whole MiB/s; what it was made into is told.",
	  .examples = "drover tune web1 --bandwidth none\ndrover tune migration/42 --max-downtime 2s\n"
		      "drover tune web1 --pause" },
	{ .name = "cancel", .arguments = "migration/N|drain/N|vm/NAME...", .words_min = 1,
	  .words_max = WORDS_MAX, .options = ASKS | O(OUTPUT) | O(QUIET), .formats = SHOWABLE, .group = ACT,
	  .run = cancel_run, .completion = COMPLETE_CANCEL,
	  .summary = "stop a migration or a drain; guests stay where they run",
	  .examples = "drover cancel drain/7\ndrover cancel vm/web1" },
	{ .name = "gc", .arguments = "[NODE|migration/N]", .words_max = 1,
	  .options = ASKS | PRINTS | O(NO_HEADERS) | O(DRY_RUN), .formats = SHOWABLE, .group = ACT,
	  .run = gc_run, .completion = COMPLETE_NODES,
	  .summary = "remove what migrations that are over have left on the nodes",
	  .description = "After each migration drover looks on both hosts for what could be left of it and "
			 "says \"clean n/n\", or names what is left. This looks once more, on all nodes, "
			 "one node, or the two of one migration, and removes what provably belongs to a "
			 "migration that is over: tunnel processes, their directories, proofs beside disks, "
			 "reservations, images that were made for a guest that did not come. What a migration "
			 "under way or unresolved needs is not touched, nor a guest, a definition, or a file "
			 "that may have a guest's data. What is in doubt stays, and is named with the reason "
			 "and what to do.\n\n"
			 "The status is 0 if nothing is left (with --dry-run: but what would go), 5 if "
			 "something is or a node was not looked at, 4 for a migration that is not over. It "
			 "may be repeated at any time.",
	  .examples = "drover gc --dry-run\ndrover gc\ndrover gc host2\ndrover gc migration/42 -o json" },
	{ .name = "probe", .arguments = "SOURCE TARGET", .words_min = 2, .words_max = 2,
	  .options = ASKS | O(OUTPUT), .formats = SHOWABLE, .group = ACT,
	  .run = probe_run, .completion = COMPLETE_NODES,
	  .summary = "measure what the migration network carries from one node to another",
	  .description = "The agents of both nodes send some 300 ms over the migration network, at full rate, "
			 "from the source's migration address to the target's, beside the migration ports "
			 "(TCP port 49154 unless migration/ports says otherwise). At most once a minute on "
			 "each node, which is less than 1 % of a link, and not while guests move from or to "
			 "them: then what is known already is shown, and why it was not measured now. Before "
			 "a migration drover does this by itself when it knows nothing recent of the path.\n\n"
			 "Shown are what the path carries, what is available beside other traffic, how that "
			 "is known, how old it is, and how far it may be believed: below 50 % nothing is "
			 "refused for it. Rates are bits on the wire; memory and disks are some 95 % of "
			 "them.\n\n"
			 "The status is 0 if it was measured now, 5 if not and older figures are shown, 4 if "
			 "nothing is known.",
	  .examples = "drover probe host1 host2\ndrover probe host1 host2 -o json" },
	{ .name = "fence", .arguments = "NODE", .words_min = 1, .words_max = 1,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(REASON) | O(DRY_RUN) | O(YES) | O(NO_INPUT),
	  .formats = SHOWABLE, .group = ACT, .run = fence_run, .completion = COMPLETE_NODES,
	  .summary = "declare a host dead that is powered off for good",
	  .description = "When a host dies in the middle of a migration, nobody can tell any more what "
			 "it had: its migrations stay unresolved, and other hosts keep memory, ports "
			 "and slots for them. With this you say that the host is powered off and its "
			 "guests certainly do not run. drover then settles what it had begun by what "
			 "the other hosts have. It starts no guest by itself, but a copy that is "
			 "complete at its destination, and waits for the word of its source, goes on. "
			 "If the host was only cut off, and its guest went on for a while before the "
			 "power failed, that copy is older than the disks: then virsh destroy it there "
			 "first.\n\n"
			 "Refused while the host's agent speaks, and for 30 s after. drover says first "
			 "what it means, and asks for the host's name, unless --yes is given. Needs the "
			 "role admin and a reason (-m).\n\n"
			 "When the host comes back the declaration ends by itself: its old migrations "
			 "act no more, guests seen on two hosts are not touched, and it stays cordoned "
			 "until you uncordon it.",
	  .examples = "drover fence host1 --dry-run\ndrover fence host1 -m \"board burnt, unplugged\"" },
	{ .name = "unfence", .arguments = "NODE", .words_min = 1, .words_max = 1,
	  .options = ASKS | O(OUTPUT) | O(QUIET) | O(REASON), .formats = SHOWABLE, .group = ACT,
	  .run = unfence_run, .completion = COMPLETE_NODES,
	  .summary = "take back that a host is dead; what was settled stays so",
	  .description = "Not needed for a host that is repaired: its return ends the declaration.",
	  .examples = "drover unfence host1" },
	{ .name = "show", .alias_of = "explain" },
	{ .name = "maintenance enter", .alias_of = "drain" },
	{ .name = "maintenance exit", .alias_of = "undrain" },
	{ .name = "evacuate", .alias_of = "drain" },
	{ .name = "restore", .alias_of = "undrain" },

	{ .name = "init", .arguments = "", .group = SETUP, .run = init_run,
	  .options = HOST | O(CLUSTER) | HOST_NAMES | O(COORDINATOR_ONLY) | O(TTL) | O(USES) | O(LIFE),
	  .summary = "make a new cluster, with this host as its first",
	  .description = "Makes the cluster's certificate authorities (/var/lib/drover/pki, for root "
			 "alone: back it up), the certificates of this host's coordinator and agent, "
			 "one for an administrator (/etc/drover/admin.pem), what QEMU needs for "
			 "encrypted migration and libvirt for qemu+tls:// (/etc/pki), and "
			 "/etc/drover/coordinator.yaml and agent.yaml. Then "
			 "it prints the line that lets another host join, on each host the same; --uses "
			 "says on how many.\n\n"
			 "Nothing that is there is overwritten: a host that belongs to a cluster is "
			 "refused (status 4). Starts nothing; it says what to start.\n\n"
			 "The coordinator listens at port 7780 of the address, for joining hosts at "
			 "7781, the agent at 7788.",
	  .examples = "drover init --cluster lab7 --address 10.0.0.11 --migration-network 10.9.0.0/24 --uses 5\n"
		      "drover init --cluster lab7 --address 10.0.0.5 --migration-network 10.9.0.0/24 "
		      "--coordinator-only" },
	{ .name = "token create", .arguments = "", .group = SETUP, .run = token_create_run,
	  .options = HOST | O(OUTPUT) | O(TOKEN_NODE) | O(TTL) | O(USES), .formats = SHOWABLE,
	  .summary = "make a token that lets a host join",
	  .description = "On the host where the cluster was made, as root. The token is printed, alone on "
			 "stdout, and kept as a hash only. It is good for one host within three hours, "
			 "unless you say otherwise.\n\n"
			 "With --node it is good for that name alone, also if the name is taken: for a "
			 "host that was set up anew, or whose answer got lost.",
	  .examples = "drover token create\ndrover token create --node host3 --ttl 15m\n"
		      "drover token create --uses 40 --ttl 1h" },
	{ .name = "token list", .arguments = "", .group = SETUP, .run = token_list_run,
	  .options = O(PREFIX) | O(COLOR) | O(HELP) | O(NO_HEADERS) | O(OUTPUT), .formats = SHOWABLE,
	  .summary = "the tokens there are, and what became of them",
	  .examples = "drover token list" },
	{ .name = "token revoke", .arguments = "ID", .words_min = 1, .words_max = 1, .group = SETUP,
	  .run = token_revoke_run, .options = HOST, .summary = "make a token useless at once",
	  .description = "Hosts that have joined with it stay.", .examples = "drover token revoke 5f3a91c2" },
	{ .name = "join", .arguments = "TOKEN", .words_min = 1, .words_max = 1, .group = SETUP,
	  .run = join_run, .options = HOST | HOST_NAMES | O(TIMEOUT),
	  .summary = "make this host a node of a cluster",
	  .description = "TOKEN is what \"drover token create\" printed; \"-\" reads it from stdin, so "
			 "that it is in no list of processes. The coordinator is known by the "
			 "fingerprint in the token before anything is sent to it. Keys are made here "
			 "and never sent. A coordinator that does not listen yet is waited for, for "
			 "15 s or --timeout.\n\n"
			 "Writes /etc/drover/agent.yaml, the agent's certificate, and what QEMU needs "
			 "for encrypted migration, where qemu.conf says that QEMU looks for it, and what "
			 "libvirt needs for qemu+tls:// (/etc/pki), which drover itself does not use. "
			 "Nothing of drover that is there is overwritten. Starts nothing; it says what to start.",
	  .examples = "drover join drv1.Xk3... --migration-network 10.9.0.0/24\n"
		      "drover join - --name host2 --address 10.0.0.12 --migration-address 10.9.0.12 <token" },
	{ .name = "pki status", .arguments = "", .group = SETUP, .run = pki_status_run,
	  .options = O(PREFIX) | O(COLOR) | O(HELP) | O(NO_HEADERS) | O(OUTPUT), .formats = SHOWABLE,
	  .summary = "this host's certificates: whose, until when, and when they renew themselves",
	  .description = "Agents, coordinator and administrator get new certificates for their keys when two "
			 "thirds of the old one's life are over (RENEWS FROM), from the coordinator that "
			 "has the authority; an agent's also bring those of QEMU and libvirt. WHOSE is "
			 "drover://CLUSTER/ROLE/NAME; times are UTC. An authority does not renew itself: "
			 "drover pki rotate. What needs you has its next step below the table.\n\n"
			 "On the authority's host it also shows where its replacement stands, and who is "
			 "in the way. Below that what is revoked.\n\n"
			 "Status 5 if one has ended or ends within 30 days without having been renewed, "
			 "or cannot be read.",
	  .examples = "drover pki status\ndrover pki status -o json" },
	{ .name = "pki rotate", .arguments = "", .group = SETUP, .run = pki_rotate_run,
	  .options = HOST | O(YES) | O(DETACH) | O(TIMEOUT),
	  .summary = "replace the cluster's certificate authority, with all certificates",
	  .description = "On the host where the cluster was made, as root, while coordinator and agents run. "
			 "In two stages: a new authority is made and everybody trusts both; then "
			 "everybody gets a certificate of the new one, and the old one goes. No stage "
			 "begins before every member has said that it has what the one before gave it, "
			 "so that no host is left out; who is in the way is named. Guests and their "
			 "migrations go on.\n\n"
			 "It waits for the members. It may be stopped and started again at any time, and "
			 "goes on where it was. With --detach it takes the next step if it can, and does "
			 "not wait (status 4 if somebody is in the way). A host that is gone for good: "
			 "drover pki forget.\n\n"
			 "Tokens that were not used yet end with the old authority. Copies of ca.pem and "
			 "admin.pem on other machines are renewed there by drover pki renew, before the "
			 "second stage ends. An authority that is younger than a day is replaced only "
			 "with --yes.",
	  .examples = "drover pki rotate\ndrover pki rotate --timeout 10m\ndrover pki rotate --detach" },
	{ .name = "pki import", .arguments = "CERTIFICATE KEY [CA]", .words_min = 2, .words_max = 3,
	  .group = SETUP, .run = pki_import_run, .options = HOST, .completion = COMPLETE_FILES,
	  .summary = "bring your own authority, or a member's certificate",
	  .description = "All files are PEM, the key without a passphrase. What would fail later is refused "
			 "now, with the file that is wrong: a key of another certificate, an end that has "
			 "passed, a chain, SAN or extended key usage that is not right.\n\n"
			 "An authority (CA:TRUE, signed by itself), on the host where the cluster was made, "
			 "takes the place of the one that signs for the mesh; drover pki rotate brings it "
			 "to everybody. QEMU and libvirt, which obey whomever their authority has signed, "
			 "keep authorities that drover makes for them alone.\n\n"
			 "A member's certificate, on its host, with a CA file of all that is to be trusted: "
			 "its SAN has the URI drover://CLUSTER/ROLE/NAME (role agent, coordinator, admin), "
			 "and it may be TLS client and, but for admin, TLS server. It is written to "
			 "/etc/drover. Of a cluster whose coordinator has no authority (join/authority), "
			 "nothing is renewed by drover.",
	  .examples = "drover pki import our-ca.pem our-ca-key.pem\n"
		      "drover pki import host2.pem host2-key.pem our-ca.pem" },
	{ .name = "pki renew", .arguments = "", .group = SETUP, .run = pki_renew_run,
	  .options = O(SERVER) | O(CA) | O(CERT) | O(KEY) | O(TIMEOUT) | O(QUIET) | O(COLOR) | O(HELP),
	  .summary = "renew a person's certificate, and the authorities beside it",
	  .description = "For certificates that no daemon looks after: an administrator's on another "
			 "machine. The present one is the proof, so it must not have ended. Writes the "
			 "files that --ca and --cert name; the key stays.",
	  .examples = "drover pki renew -H tcp://host1:7780 --ca ca.pem --cert admin.pem --key admin-key.pem" },
	{ .name = "pki forget", .arguments = "HOST", .words_min = 1, .words_max = 1, .group = SETUP,
	  .run = pki_forget_run, .options = HOST,
	  .summary = "a host is gone for good: do not wait for it, give it nothing any more",
	  .description = "On the host where the cluster was made. Its name and addresses are free for another. "
			 "The certificate that it has stays valid until it ends, or until the authority "
			 "is replaced; drover pki revoke, before or after, cuts it off at once.",
	  .examples = "drover pki forget host3" },
	{ .name = "pki issue", .arguments = "ROLE NAME", .words_min = 2, .words_max = 2, .group = SETUP,
	  .run = pki_issue_run, .options = ASKS | O(QUIET) | O(DAYS) | O(INTO),
	  .summary = "make a certificate for a person",
	  .description = "ROLE is viewer, who may look; operator, who may drain, migrate, "
			 "cordon and cancel, too; or admin, who may do all. NAME is what the audit log "
			 "says of what its holder does.\n\n"
			 "Needs role admin: as root on the coordinator's host, or with an admin's "
			 "certificate from elsewhere. The key is made here, for your user alone, and not "
			 "sent. Writes NAME.pem, NAME-key.pem and NAME-ca.pem: the three that --cert, "
			 "--key and --ca name.\n\n"
			 "Its holder renews it by drover pki renew, each time for as many days, until it "
			 "ends or is revoked.",
	  .examples = "drover pki issue operator ann\ndrover pki issue viewer wallboard --days 30 --into /tmp" },
	{ .name = "pki revoke", .arguments = "NAME|ROLE/NAME|SERIAL", .words_min = 1, .words_max = 1,
	  .group = SETUP, .run = pki_revoke_run,
	  .options = ASKS | O(QUIET) | O(DRY_RUN) | O(YES) | O(NO_INPUT) | O(REASON) | O(EVEN_OWN),
	  .completion = COMPLETE_NODES,
	  .summary = "take certificates back: nobody lets them in any more",
	  .description = "Of a name, all certificates that were signed for it and have not ended; of a serial "
			 "number, that one. They are not renewed. The signed list goes to every host that "
			 "is connected at once, to others when they are back; connections that live with "
			 "such a certificate end within ten seconds. drover pki status lists what is "
			 "revoked.\n\n"
			 "QEMU reads the list where a guest arrives, at the start of each encrypted "
			 "migration; where one leaves it has no such list, so a stolen certificate of "
			 "QEMU's is useless to somebody on the migration network only after drover pki "
			 "rotate. A libvirtd that "
			 "listens for qemu+tls:// reads it when it starts, or by virt-admin "
			 "server-update-tls. Moves that are under way go on to their end. Certificates in "
			 "a directory that is not drover's are not touched.\n\n"
			 "Needs role admin. It cannot be taken back: drover shows what is meant, and asks "
			 "for the name, unless --yes is given. The coordinator's certificate and your own "
			 "are refused without --even-own. A host comes back with a token of drover token "
			 "create --node, a person by drover pki issue.",
	  .examples = "drover pki revoke host3 -m \"stolen\"\ndrover pki revoke operator/ann --yes\n"
		      "drover pki revoke 4F12A0... --dry-run" },

	{ .name = "rpc list", .arguments = "ADDRESS", .words_min = 1, .words_max = 1,
	  .options = RAW | O(NO_HEADERS), .formats = F(TABLE) | F(WIDE) | F(JSON), .group = MORE,
	  .run = rpc_list_run, .summary = "which methods a program of the mesh serves, and for whom",
	  .description = "ADDRESS is that of a coordinator or an agent: tcp://HOST:PORT, or "
			 "ipc:///run/drover/coordinator.sock. The program itself is asked.",
	  .examples = "drover rpc list ipc:///run/drover/coordinator.sock" },
	{ .name = "rpc describe", .arguments = "ADDRESS METHOD", .words_min = 2, .words_max = 2,
	  .options = RAW, .formats = SHOWABLE, .group = MORE, .run = rpc_describe_run,
	  .summary = "what a method takes and answers, field by field",
	  .description = "The program itself is asked, which may be of another version than this "
			 "drover. METHOD is SERVICE/METHOD.",
	  .examples = "drover rpc describe tcp://host1:7780 Agent/Inspect" },
	{ .name = "rpc call", .arguments = "ADDRESS METHOD [JSON|-]", .words_min = 2, .words_max = 3,
	  .options = RAW | O(QUIET), .formats = F(TABLE) | F(JSON) | F(JSONL), .group = MORE,
	  .run = rpc_call_run, .summary = "call any method of the mesh by hand",
	  .description = "The request is JSON (default {}), or is read from standard input for \"-\". "
			 "The answer is printed as JSON; those of a stream one object a line, as they "
			 "come. Ctrl-C cancels the call, and the other side is told. Without --timeout a "
			 "call has 60 s and a stream no end.\n\n"
			 "Who may call what is decided by the other side: see \"drover rpc list\". What a "
			 "call does is up to the method; here nothing asks whether you are sure.",
	  .examples = "drover rpc call tcp://host1:7780 Health/Check\n"
		      "drover rpc call ipc:///run/drover/coordinator.sock Coordinator/ListVms "
		      "'{\"node\":\"host1\"}'" },
	{ .name = "audit", .arguments = "FILE", .words_min = 1, .words_max = 1,
	  .options = O(OUTPUT) | O(COLOR) | O(VERIFY) | O(HELP), .formats = F(TABLE) | F(JSON) | F(JSONL),
	  .group = MORE, .run = audit_run, .completion = COMPLETE_FILES,
	  .summary = "who did what and who was refused, from a daemon's audit log",
	  .description = "Reads FILE and the older files beside it (FILE.1, FILE.2 ...), asks no "
			 "daemon, and proves the chain of hashes from the first line to the last. Status "
			 "1, with the file and the line, when it does not hold. The chain has no key: "
			 "keep the last hash in another place to notice a log that was made anew or cut.",
	  .examples = "drover audit /var/lib/drover/coordinator-audit.log\n"
		      "drover audit /var/lib/drover/audit.log --verify -o json" },
	{ .name = "completion", .arguments = "bash", .words_min = 1, .words_max = 1,
	  .options = O(HELP), .group = MORE, .run = completion_run,
	  .completion = COMPLETE_SHELLS, .summary = "print a script for the shell's completion",
	  .examples = "eval \"$(drover completion bash)\"" },
	{ .name = "help", .arguments = "[COMMAND]", .words_max = 2, .options = O(HELP),
	  .group = MORE, .run = help_run, .completion = COMPLETE_COMMANDS,
	  .summary = "explain drover or one command", .examples = "drover help drain" },
	{ .name = "version", .arguments = "", .options = O(OUTPUT) | O(HELP),
	  .formats = SHOWABLE, .group = MORE, .run = version_run, .summary = "print the version" },
	{ .name = "__man", .arguments = "[COMMAND]", .words_max = 2, .run = man_run,
	  .summary = "print the source of a man page" },
	{ .name = "__commands", .arguments = "", .run = commands_run,
	  .summary = "print the names of all commands that people use" },
	{ .name = "__complete", .arguments = "KIND", .words_min = 1, .words_max = 1,
	  .options = O(SERVER) | O(CA) | O(CERT) | O(KEY), .run = complete_run,
	  .summary = "print names for the shell's completion" },
};
/* clang-format on */

const struct command *command_get_all(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(commands);
	return commands;
}
