/* SPDX-License-Identifier: Apache-2.0 */
/* See view.h. What migrations are thought to take, and what is known of guests' memory for it. */
#include "coordinator/view/view.h"

#include "common/alloc.h"
#include "coordinator/core/predict/predict.h"

Drover__V1__MemoryUse *view_memory_use_new(const struct vm *vm, uint64_t now_ms)
{
	const struct memory_used *use = &vm->memory_use;
	uint64_t since_ms = now_ms > vm->memory_use_ms ? now_ms - vm->memory_use_ms : 0;
	Drover__V1__MemoryUse *m;

	if (!vm->memory_use_ms)
		return NULL;
	m = xnew(Drover__V1__MemoryUse);
	drover__v1__memory_use__init(m);
	m->touched_bytes = use->touched_bytes;
	m->problem = xstrdup(use->problem);
	m->windows = xcalloc(use->n_windows + 1, sizeof(*m->windows));
	for (size_t i = 0; i < use->n_windows; i++) {
		Drover__V1__MemoryUse__Window *w = xnew(Drover__V1__MemoryUse__Window);

		drover__v1__memory_use__window__init(w);
		w->seconds = use->windows[i].seconds;
		w->bytes = use->windows[i].bytes;
		w->error_bytes = use->windows[i].error_bytes;
		w->samples = use->windows[i].samples;
		w->age_ms = use->windows[i].age_ms + since_ms;
		m->windows[m->n_windows++] = w;
	}
	return m;
}

Drover__V1__Prediction *view_prediction_new(const struct prediction *p,
                                            const struct migration_settings *settings)
{
	char help[PREDICT_TEXT_BYTES];
	Drover__V1__Prediction *m;

	if (!p->expected_ms)
		return NULL;
	m = xnew(Drover__V1__Prediction);
	drover__v1__prediction__init(m);
	m->end = (Drover__V1__Prediction__End)p->end;
	m->certain = p->certain;
	m->low_end = (Drover__V1__Prediction__End)p->low_end;
	m->high_end = (Drover__V1__Prediction__End)p->high_end;
	m->expected_ms = p->expected_ms;
	m->low_ms = p->low_ms;
	m->high_ms = p->high_ms;
	m->high_known = p->high_known;
	m->bytes = p->bytes;
	m->downtime_ms = p->downtime_ms;
	m->downtime_high_ms = p->downtime_high_ms;
	m->passes = p->passes;
	m->enough_bytes_per_s = p->enough_bytes_per_s;
	m->bandwidth_bytes_per_s = p->bandwidth_bytes_per_s;
	m->dirty_bytes_per_s = p->dirty_bytes_per_s;
	m->touched_bytes = p->touched_bytes;
	m->help = xstrdup(predict_help(p, settings, help));
	return m;
}

void view_prediction_doubt(Drover__V1__Prediction *m, const struct vm *vm,
                           const struct prediction *p, uint64_t now_ms)
{
	char doubt[PREDICT_TEXT_BYTES];

	if (!m || !vm || !*predict_doubt(vm, p, now_ms, doubt))
		return;
	m->basis = xstrdup(doubt);
}
