/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of guests on their way here, told to whoever counts them. See target.h. Owner thread only. */
#include "agent/target/target.h"

#include "common/log.h"

static bool expect(struct agent *agent, const char *source_address, uint16_t port,
                   struct traffic_endpoint *ret)
{
	struct error err;

	if (traffic_endpoint_parse(source_address, port, false, ret, &err) == 0 &&
	    traffic_register(agent->traffic, ret, &err) == 0)
		return true;
	log_warning("bytes from %s to port %u are not counted: %s", source_address, port, err.text);
	return false;
}

void inbound_expect_bytes(struct agent *agent, struct inbound *inbound, const char *source_address,
                          uint16_t port, uint16_t disk_port)
{
	if (!agent->traffic)
		return;
	inbound->endpoint_registered = expect(agent, source_address, port, &inbound->endpoint);
	inbound->disk_endpoint_registered = disk_port && expect(agent, source_address, disk_port,
	                                                        &inbound->disk_endpoint);
}

void inbound_forget_bytes(struct agent *agent, const struct inbound *inbound)
{
	if (inbound->endpoint_registered)
		traffic_unregister(agent->traffic, &inbound->endpoint);
	if (inbound->disk_endpoint_registered)
		traffic_unregister(agent->traffic, &inbound->disk_endpoint);
}
