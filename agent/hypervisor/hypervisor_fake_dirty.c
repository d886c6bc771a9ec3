/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. Sampling of what a guest writes: exact, in whole MiB/s as libvirt tells it. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include "common/units.h"

/* As libvirt's error 55. */
static int judge_copy(const struct fake_copy *copy, struct error *err)
{
	return fake_is_active(copy) ? 0 : fake_refuse(err, "domain is not running");
}

int fake_start_dirty_rate(struct hypervisor *h, const char *uuid, uint32_t window_s,
                          struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (window_s < 1 || window_s > 60)
		result = error_set(err, ERROR_UNSUPPORTED,
		                   "libvirt: unsupported configuration: seconds=%u is invalid, "
		                   "please choose value within [1, 60]. (libvirt error 67)",
		                   window_s);
	else
		result = judge_copy(copy, err);
	if (!result) {
		copy->sampling_s = window_s;
		copy->sampled_at_ms = handle->world->now_ms + (uint64_t)window_s * 1000;
	}
	fake_leave(handle);
	return result;
}

int fake_dirty_rate(struct hypervisor *h, const char *uuid, struct vm_dirty_rate *ret,
                    struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct vm_dirty_rate rate = { 0 };
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	result = judge_copy(copy, err);
	if (!result) {
		const struct fake_guest *guest = copy->guest;
		uint64_t bytes = guest->dirty_bytes_per_s * copy->sampling_s;

		rate.window_s = copy->sampling_s;
		rate.measuring = rate.window_s && handle->world->now_ms < copy->sampled_at_ms;
		rate.measured = rate.window_s && !rate.measuring;
		if (bytes > guest->working_set_bytes)
			bytes = guest->working_set_bytes;
		if (rate.measured && copy->state == VM_RUNNING)
			rate.bytes_per_s = bytes / copy->sampling_s / MIB * MIB;
		rate.resident_bytes = guest->description.summary.memory_bytes;
		*ret = rate;
	}
	fake_leave(handle);
	return result;
}
