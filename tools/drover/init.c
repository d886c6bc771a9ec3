/* SPDX-License-Identifier: Apache-2.0 */
/* drover init: a cluster from nothing, on its first host. The authority comes first and appears
 * whole; from then on a second try is refused, and told what to move away. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "pki/files.h"
#include "proto/mesh/identity.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

#include <string.h>

struct init {
	struct session s;
	struct host_paths paths;
	struct setup_node node;
	struct host_agent agent; /* borrows from the node */
	bool with_agent;
	char *coordinator; /* tcp://... */
};

static int check_free(const struct init *i, struct error *err)
{
	static const char *const names[] = { "coordinator", "agent", "admin" };

	if (authority_exists(i->paths.authority))
		return error_set(
			err, ERROR_REFUSED,
			"%s is there: this host has a cluster already; nothing was "
			"touched. To let a host join it: drover token create. To begin "
			"anew, stop drover's daemons and move %s and %s/* away: hosts that "
			"have joined must then join again",
			i->paths.authority, i->paths.authority, i->paths.etc);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		int rc = host_check_free(&i->paths, names[n], err);

		if (rc < 0)
			return rc;
	}
	if (files_exist(i->paths.ca))
		return error_set(err, ERROR_REFUSED,
		                 "%s is there: this host belongs to a cluster already; nothing was "
		                 "touched",
		                 i->paths.ca);
	return 0;
}

static int create_authority(const struct init *i, struct error *err)
{
	_cleanup_free_ char *join = host_join_address(i->agent.address);
	const struct authority_place place = {
		.cluster = i->s.options->cluster,
		.coordinator = i->coordinator,
		.join_address = join,
		.migration_network = i->node.migration_network[0] ? i->node.migration_network
		                                                  : NULL,
		.life_s = i->s.options->life_ms / 1000,
	};
	int rc = files_make_directory(i->paths.state, 0700, err);

	/* Only where all is kept apart: the rest of the path of a real host is there. */
	if (rc == 0 && i->paths.prefix[0])
		rc = files_make_directory(i->paths.run, 0755, err);
	return rc < 0 ? rc : authority_create(i->paths.authority, &place, err);
}

/* Keys, and certificates for them, without a token: this is the authority's own host. */
static int issue(const struct init *i, enum mesh_role role, const char *name,
                 struct join_result *ret, struct error *err)
{
	struct authority_order order = { .role = role, .name = name };
	struct join_result result = { 0 };
	struct bytes requests[AUTHORITY_REQUESTS] = { 0 };
	int rc = join_new_keys(&result, requests, err);

	if (role != MESH_ROLE_ADMIN)
		order.address = i->agent.address;
	if (role == MESH_ROLE_AGENT)
		order.migration_address = i->agent.migration_address;
	if (rc == 0)
		rc = authority_issue(i->paths.authority, &order, requests, &result.grant, err);
	join_requests_deinit(requests);
	if (rc == 0)
		rc = join_check(&result, mesh_role_name(role), name, err);
	if (rc < 0) {
		join_result_deinit(&result);
		return rc;
	}
	*ret = result;
	return 0;
}

static int write_host(const struct init *i, struct error *err)
{
	_cleanup_(join_result_deinit) struct join_result coordinator = { 0 };
	_cleanup_(join_result_deinit) struct join_result agent = { 0 };
	_cleanup_(join_result_deinit) struct join_result admin = { 0 };
	int rc = issue(i, MESH_ROLE_COORDINATOR, i->agent.name, &coordinator, err);

	if (rc == 0 && i->with_agent)
		rc = issue(i, MESH_ROLE_AGENT, i->agent.name, &agent, err);
	if (rc == 0)
		rc = issue(i, MESH_ROLE_ADMIN, "admin", &admin, err);
	if (rc == 0)
		rc = host_write_identity(&i->paths, "coordinator", &coordinator, err);
	if (rc == 0 && i->with_agent)
		rc = host_write_identity(&i->paths, "agent", &agent, err);
	if (rc == 0)
		rc = host_write_identity(&i->paths, "admin", &admin, err);
	if (rc == 0 && i->with_agent)
		rc = host_write_qemu_tls(&i->paths, &agent, err);
	if (rc == 0 && i->with_agent)
		rc = host_write_libvirt_tls(&i->paths, &agent, err);
	if (rc == 0 && i->with_agent)
		rc = host_write_agent_yaml(&i->paths, &i->agent, &agent.grant, err);
	/* Last: without it no coordinator starts. */
	if (rc == 0)
		rc = host_write_coordinator_yaml(&i->paths, i->agent.name, i->agent.address,
		                                 &coordinator.grant, err);
	return rc;
}

static int check_cluster(const char *cluster, struct error *err)
{
	if (!cluster)
		return error_set(err, ERROR_INVALID, "--cluster is needed");
	if (!identity_name_is_valid(cluster) || strlen(cluster) > BOOKS_NAME_MAX)
		return error_set(err, ERROR_INVALID,
		                 "\"%.80s\" cannot be the name of a cluster: 1 to %d letters, "
		                 "digits and .-_:@",
		                 cluster, BOOKS_NAME_MAX);
	return 0;
}

static int check_life(uint64_t life_ms, struct error *err)
{
	if (life_ms && (life_ms < CERTIFICATE_LIFE_LEAST_S * (uint64_t)1000 ||
	                life_ms / 1000 > (uint64_t)CERTIFICATE_CA_DAYS * 24 * 3600))
		return error_set(err, ERROR_INVALID,
		                 "--certificate-life: from %d s to ten years (87600h)",
		                 CERTIFICATE_LIFE_LEAST_S);
	return 0;
}

/* Alone on stdout. */
static enum exit_code print_join_line(struct init *i)
{
	unsigned long long uses = i->s.options->uses ? i->s.options->uses : 1;
	char token[TOKEN_TEXT_BYTES];
	struct error err = { 0 };

	if (setup_create_token(i->s.options, &i->paths, token, &err) < 0)
		return setup_fail(&i->s, "making a token", &err);
	if (uses > 1)
		session_say(&i->s, "           on each other host (at most %llu) this line:", uses);
	else
		session_say(&i->s, "           on another host this line (for more hosts: drover "
		                   "token create):");
	if (i->node.migration_network[0])
		printf("drover join %s --migration-network %s\n", token, i->node.migration_network);
	else
		printf("drover join %s --migration-address IP\n", token);
	certificate_forget(token, sizeof(token));
	return EXIT_DONE;
}

static enum exit_code init_host(struct init *i)
{
	struct error err = { 0 };

	if (check_free(i, &err) < 0)
		return setup_fail(&i->s, "init", &err);
	if (create_authority(i, &err) < 0)
		return setup_fail(&i->s, "making the cluster's authority", &err);
	if (write_host(i, &err) < 0) {
		error_context(&err,
		              "the cluster's authority was made, but this host is not set up (to "
		              "begin anew, move %s and %s/* away)",
		              i->paths.authority, i->paths.etc);
		return setup_fail(&i->s, "init", &err);
	}
	session_say(&i->s, "cluster    %s; its authority is in %s, for root alone: back it up",
	            i->s.options->cluster, i->paths.authority);
	session_say(&i->s, "host       %s: coordinator at %s%s", i->agent.name, i->coordinator,
	            i->with_agent ? ", agent at port 7788" : ", no agent");
	if (i->with_agent)
		session_say(&i->s, "migration  %s at %s", i->agent.migration_address,
		            i->agent.migration_interface);
	session_say(&i->s, "admin      %s/admin.pem, for drover on other machines", i->paths.etc);
	if (i->with_agent)
		setup_say_tls(&i->s, &i->paths);
	setup_say_next(&i->s, i->with_agent && i->paths.qemu_tls_is_new,
	               i->with_agent ? "drover-coordinator and drover-agent"
	                             : "drover-coordinator");
	return print_join_line(i);
}

enum exit_code init_run(const struct invocation *invocation)
{
	struct init i = { .with_agent = !invocation->options.coordinator_only };
	struct error err = { 0 };
	enum exit_code code = setup_begin(&i.s, invocation, &i.paths);

	if (code != EXIT_DONE)
		return code;
	if (check_cluster(invocation->options.cluster, &err) < 0 ||
	    check_life(invocation->options.life_ms, &err) < 0 ||
	    setup_read_node(&invocation->options, NULL, &i.node, &err) < 0) {
		code = setup_fail(&i.s, "init", &err);
	} else {
		i.agent = setup_agent_of(&i.node);
		i.coordinator = host_coordinator_url(i.agent.address);
		code = init_host(&i);
	}
	free(i.coordinator);
	host_paths_deinit(&i.paths);
	return code;
}
