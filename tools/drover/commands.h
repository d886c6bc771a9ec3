/* SPDX-License-Identifier: Apache-2.0 */
/* What each row of the command table runs. Every function returns the exit status and has printed
 * what there is to say. */
#pragma once

#include "tools/drover/command.h"

enum exit_code status_run(const struct invocation *invocation);
enum exit_code nodes_run(const struct invocation *invocation);
enum exit_code vms_run(const struct invocation *invocation);
enum exit_code migrations_run(const struct invocation *invocation);
enum exit_code drains_run(const struct invocation *invocation);
enum exit_code events_run(const struct invocation *invocation);
enum exit_code explain_run(const struct invocation *invocation);
enum exit_code why_not_run(const struct invocation *invocation);
enum exit_code capacity_run(const struct invocation *invocation);
enum exit_code place_run(const struct invocation *invocation);
enum exit_code export_run(const struct invocation *invocation);
enum exit_code drain_run(const struct invocation *invocation);
enum exit_code undrain_run(const struct invocation *invocation);
enum exit_code cordon_run(const struct invocation *invocation);
enum exit_code uncordon_run(const struct invocation *invocation);
enum exit_code gc_run(const struct invocation *invocation);
enum exit_code probe_run(const struct invocation *invocation);
enum exit_code fence_run(const struct invocation *invocation);
enum exit_code unfence_run(const struct invocation *invocation);
enum exit_code label_run(const struct invocation *invocation);
enum exit_code policy_apart_run(const struct invocation *invocation);
enum exit_code policy_together_run(const struct invocation *invocation);
enum exit_code policy_on_run(const struct invocation *invocation);
enum exit_code policy_remove_run(const struct invocation *invocation);
enum exit_code policies_run(const struct invocation *invocation);
enum exit_code roll_run(const struct invocation *invocation);
enum exit_code migrate_run(const struct invocation *invocation);
enum exit_code cancel_run(const struct invocation *invocation);
enum exit_code tune_run(const struct invocation *invocation);
enum exit_code top_links_run(const struct invocation *invocation);
enum exit_code watch_run(const struct invocation *invocation);
enum exit_code init_run(const struct invocation *invocation);
enum exit_code join_run(const struct invocation *invocation);
enum exit_code token_create_run(const struct invocation *invocation);
enum exit_code token_list_run(const struct invocation *invocation);
enum exit_code token_revoke_run(const struct invocation *invocation);
enum exit_code pki_status_run(const struct invocation *invocation);
enum exit_code pki_rotate_run(const struct invocation *invocation);
enum exit_code pki_import_run(const struct invocation *invocation);
enum exit_code pki_renew_run(const struct invocation *invocation);
enum exit_code pki_forget_run(const struct invocation *invocation);
enum exit_code pki_issue_run(const struct invocation *invocation);
enum exit_code pki_revoke_run(const struct invocation *invocation);
enum exit_code rpc_list_run(const struct invocation *invocation);
enum exit_code rpc_describe_run(const struct invocation *invocation);
enum exit_code rpc_call_run(const struct invocation *invocation);
enum exit_code help_run(const struct invocation *invocation);
enum exit_code audit_run(const struct invocation *invocation);
enum exit_code version_run(const struct invocation *invocation);
enum exit_code completion_run(const struct invocation *invocation);
enum exit_code man_run(const struct invocation *invocation);
enum exit_code commands_run(const struct invocation *invocation);
enum exit_code complete_run(const struct invocation *invocation);
