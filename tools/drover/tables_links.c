/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of what interfaces carry. What is not measured is "-": a zero is a figure. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

#define NEW_TABLE(output, columns) table_new(output, columns, ARRAY_SIZE(columns))
/* Above it a link is about to be what everything waits for. */
#define FULL_PERMILLE 900
/* Older than that is worth a word. */
#define FRESH_MS 2000

static uint64_t busier(uint64_t received, uint64_t sent)
{
	return received > sent ? received : sent;
}

/* "98 %" */
static void set_share(struct table *t, size_t column, bool known, uint64_t part, uint64_t whole)
{
	if (known)
		table_set(t, column, "%u %%",
		          whole ? (unsigned)((double)part * 100 / (double)whole + 0.5) : 0);
}

static void set_rate(const struct output *o, struct table *t, size_t column, bool known,
                     uint64_t bytes_per_s)
{
	char text[OUTPUT_TEXT_BYTES];

	if (known)
		table_set(t, column, "%s", output_rate(o, bytes_per_s, text));
}

static void set_mean(const struct output *o, struct table *t, size_t column,
                     const Drover__V1__RateSum *sum)
{
	if (sum)
		set_rate(o, t, column, sum->covered_ms,
		         busier(sum->rx_bytes_per_s, sum->tx_bytes_per_s));
}

static void set_most(const struct output *o, struct table *t, size_t column,
                     const Drover__V1__RateSum *sum)
{
	if (sum)
		set_rate(o, t, column, sum->covered_ms,
		         busier(sum->rx_most_bytes_per_s, sum->tx_most_bytes_per_s));
}

/* A character for each point, of the most that there was; a gap is a space. */
static void set_picture(const struct output *o, struct table *t, size_t column,
                        const Drover__V1__Link *link)
{
	static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const letters[] = { "_", ".", "-", "=", "+", "*", "%", "#" };
	const char *const *glyphs = o->ascii ? letters : blocks;
	char picture[60 * 4 + 1] = "";
	uint64_t most = 0;
	size_t used = 0;

	for (size_t i = 0; i < link->n_points; i++) {
		const Drover__V1__RateSum *p = link->points[i];
		uint64_t rate = busier(p->rx_bytes_per_s, p->tx_bytes_per_s);

		most = rate > most ? rate : most;
	}
	for (size_t i = 0; i < link->n_points && used + 4 < sizeof(picture); i++) {
		const Drover__V1__RateSum *p = link->points[i];
		uint64_t rate = busier(p->rx_bytes_per_s, p->tx_bytes_per_s);
		size_t level = most ? (size_t)((double)rate * 7 / (double)most + 0.5) : 0;

		used += (size_t)snprintf(picture + used, sizeof(picture) - used, "%s",
		                         p->covered_ms ? glyphs[level] : " ");
	}
	table_set(t, column, "%s", picture);
}

enum link_column {
	LINK_NODE,
	LINK_INTERFACE,
	LINK_IN,
	LINK_OUT,
	LINK_SHARE,
	LINK_SPEED,
	LINK_USED,
	LINK_BY,
	LINK_MINUTE,
	LINK_AVERAGE,
	LINK_MOST,
	LINK_DAY,
	LINK_DAY_MOST,
	LINK_AGE,
	LINK_PICTURE,
	LINK_COLUMNS
};

static const struct column link_columns[LINK_COLUMNS] = {
	[LINK_NODE] = { "NODE" },
	[LINK_INTERFACE] = { "IF" },
	[LINK_IN] = { "IN", COLUMN_RIGHT },
	[LINK_OUT] = { "OUT", COLUMN_RIGHT },
	[LINK_SHARE] = { "MIGR", COLUMN_RIGHT },
	[LINK_SPEED] = { "LINK", COLUMN_RIGHT },
	[LINK_USED] = { "USED", COLUMN_RIGHT },
	[LINK_BY] = { "BY" },
	[LINK_MINUTE] = { "AVG-1MIN", COLUMN_RIGHT | COLUMN_WIDE },
	[LINK_AVERAGE] = { "AVG", COLUMN_RIGHT },
	[LINK_MOST] = { "MAX", COLUMN_RIGHT },
	[LINK_DAY] = { "AVG-DAY", COLUMN_RIGHT | COLUMN_WIDE },
	[LINK_DAY_MOST] = { "MAX-DAY", COLUMN_RIGHT | COLUMN_WIDE },
	[LINK_AGE] = { "AGE", COLUMN_RIGHT | COLUMN_OPTIONAL },
	[LINK_PICTURE] = { "10 MIN", COLUMN_OPTIONAL },
};

void links_print(const struct output *o, Drover__V1__Link *const *links, size_t n, bool history)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, link_columns);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Link *l = links[i];

		table_add_row(t);
		table_set(t, LINK_NODE, "%s", l->node);
		table_set(t, LINK_INTERFACE, "%s", l->interface);
		set_rate(o, t, LINK_IN, l->known, l->rx_bytes_per_s);
		set_rate(o, t, LINK_OUT, l->known, l->tx_bytes_per_s);
		set_share(t, LINK_SHARE, l->classified,
		          l->migration_rx_bytes_per_s + l->migration_tx_bytes_per_s,
		          l->rx_bytes_per_s + l->tx_bytes_per_s);
		set_rate(o, t, LINK_SPEED, l->link_bytes_per_s, l->link_bytes_per_s);
		if (l->known && l->link_bytes_per_s) {
			table_set(t, LINK_USED, "%.1f %%", (double)l->used_permille / 10);
			if (l->used_permille >= FULL_PERMILLE)
				table_set_colour(t, LINK_USED, COLOUR_YELLOW);
		}
		table_set(t, LINK_BY, "%s", l->source);
		set_mean(o, t, LINK_MINUTE, l->minute);
		set_mean(o, t, LINK_AVERAGE, l->ten_minutes);
		set_most(o, t, LINK_MOST, l->ten_minutes);
		set_mean(o, t, LINK_DAY, l->day);
		set_most(o, t, LINK_DAY_MOST, l->day);
		if (o->format == OUTPUT_WIDE || l->age_ms >= FRESH_MS)
			table_set(t, LINK_AGE, "%s", output_duration(o, l->age_ms, text));
		if (history && l->n_points)
			set_picture(o, t, LINK_PICTURE, l);
	}
	table_print(t);
}

enum time_column {
	TIME_INTERFACE,
	TIME_TIME,
	TIME_IN,
	TIME_OUT,
	TIME_SHARE,
	TIME_IN_MOST,
	TIME_OUT_MOST,
	TIME_KNOWN,
	TIME_BY,
	TIME_AGE,
	TIME_COLUMNS
};

static const struct column time_columns[TIME_COLUMNS] = {
	[TIME_INTERFACE] = { "INTERFACE" },
	[TIME_TIME] = { "OVER" },
	[TIME_IN] = { "IN", COLUMN_RIGHT },
	[TIME_OUT] = { "OUT", COLUMN_RIGHT },
	[TIME_SHARE] = { "MIGR", COLUMN_RIGHT },
	[TIME_IN_MOST] = { "MAX-IN", COLUMN_RIGHT },
	[TIME_OUT_MOST] = { "MAX-OUT", COLUMN_RIGHT },
	[TIME_KNOWN] = { "MEASURED", COLUMN_RIGHT },
	[TIME_BY] = { "BY" },
	[TIME_AGE] = { "AGE", COLUMN_RIGHT },
};

static void add_time(const struct output *o, struct table *t, const Drover__V1__Link *l,
                     const char *time, const Drover__V1__RateSum *sum)
{
	bool known = sum && sum->covered_ms;
	char text[OUTPUT_TEXT_BYTES];

	table_add_row(t);
	table_set(t, TIME_INTERFACE, "%s", l->interface);
	table_set(t, TIME_TIME, "%s", time);
	if (!known)
		return;
	set_rate(o, t, TIME_IN, true, sum->rx_bytes_per_s);
	set_rate(o, t, TIME_OUT, true, sum->tx_bytes_per_s);
	set_share(t, TIME_SHARE, strncmp(l->source, "ebpf", 4) == 0,
	          sum->migration_rx_bytes_per_s + sum->migration_tx_bytes_per_s,
	          sum->rx_bytes_per_s + sum->tx_bytes_per_s);
	set_rate(o, t, TIME_IN_MOST, true, sum->rx_most_bytes_per_s);
	set_rate(o, t, TIME_OUT_MOST, true, sum->tx_most_bytes_per_s);
	table_set(t, TIME_KNOWN, "%s", output_duration(o, sum->covered_ms, text));
}

void link_times_print(const struct output *o, Drover__V1__Link *const *links, size_t n)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, time_columns);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Link *l = links[i];

		table_add_row(t);
		table_set(t, TIME_INTERFACE, "%s", l->interface);
		table_set(t, TIME_TIME, "now");
		set_rate(o, t, TIME_IN, l->known, l->rx_bytes_per_s);
		set_rate(o, t, TIME_OUT, l->known, l->tx_bytes_per_s);
		set_share(t, TIME_SHARE, l->classified,
		          l->migration_rx_bytes_per_s + l->migration_tx_bytes_per_s,
		          l->rx_bytes_per_s + l->tx_bytes_per_s);
		table_set(t, TIME_BY, "%s", l->source);
		table_set(t, TIME_AGE, "%s", output_duration(o, l->age_ms, text));
		add_time(o, t, l, "1 min", l->minute);
		add_time(o, t, l, "10 min", l->ten_minutes);
		add_time(o, t, l, "24 h", l->day);
	}
	table_print(t);
}
