/*
 * Metrics: counters, gauges and histograms, counted per core and exported in Prometheus' text form.
 *
 * A metric is a static object that registers itself before main(). Counters and histograms have
 * cells in a row per slot (base/self.h): the slot's owner counts with a plain addition in memory of
 * its own, about 2 ns; a reader adds the rows up. On the shared slot 0 the addition is atomic.
 *
 *	METRIC_COUNTER(grown, "tarn_mem_grown_total", "Times that an arena grew");
 *	METRIC_HISTOGRAM(fsync_ns, "tarn_io_fsync_seconds", METRIC_SECONDS, "Time of an fsync");
 *	METRIC_GAUGE(threads, "tarn_rt_threads", count_threads, NULL, "User threads that exist");
 *	...
 *	metric_add(&grown, 1);
 *	metric_observe(&fsync_ns, clock_ns() - start);
 */
#pragma once

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/self.h"

#include <stdio.h>

/* Cells that all metrics have together. Registering more is a bug and ends the process. */
#define METRICS_CELLS 8192

enum metric_kind {
	METRIC_KIND_COUNTER,
	METRIC_KIND_GAUGE,
	METRIC_KIND_HISTOGRAM,
};

/* What a histogram's values are, and so its bounds. */
enum metric_unit {
	METRIC_SECONDS, /* observed in ns, shown in s: 256 ns to 68 s by powers of two */
	METRIC_BYTES,   /* 64 B to 16 GiB */
	METRIC_COUNT,   /* 1 to 2^28: lengths of queues and batches */
	METRIC_UNITS,
};

/* A histogram's cells: one for each power of two (the last has no bound), and the sum. */
#define METRIC_BOUNDS          29
#define METRIC_HISTOGRAM_CELLS (METRIC_BOUNDS + 2)

/* The value of a gauge at this moment; called while metrics are written, on any thread. */
typedef double metric_read(const void *arg);

struct metric {
	const char *name; /* [a-zA-Z_][a-zA-Z0-9_]*, a counter's ends in _total; borrows for ever */
	const char *help; /* borrows for ever */
	const char *labels; /* `key="value",…` without braces (metric_label()), or NULL; borrows */
	enum metric_kind kind;
	enum metric_unit unit; /* of a histogram */
	metric_read *read;     /* of a gauge */
	const void *arg;       /* for read() */
	uint32_t cell;         /* of a counter or a histogram; 0 until registered */
	struct atomic_ptr next;
};

#define METRIC_DEFINE_(variable, ...)                                                              \
	static struct metric variable = {__VA_ARGS__};                                             \
	__attribute__((constructor)) static void variable##_register(void)                         \
	{                                                                                          \
		metric_register(&variable);                                                        \
	}                                                                                          \
	_Static_assert(1, "")

#define METRIC_COUNTER(variable, n, h)                                                             \
	METRIC_DEFINE_(variable, .name = (n), .help = (h), .kind = METRIC_KIND_COUNTER)
#define METRIC_COUNTER_LABELS(variable, n, l, h)                                                   \
	METRIC_DEFINE_(variable, .name = (n), .labels = (l), .help = (h),                          \
		       .kind = METRIC_KIND_COUNTER)
#define METRIC_GAUGE(variable, n, function, argument, h)                                           \
	METRIC_DEFINE_(variable, .name = (n), .help = (h), .kind = METRIC_KIND_GAUGE,              \
		       .read = (function), .arg = (argument))
#define METRIC_HISTOGRAM(variable, n, u, h)                                                        \
	METRIC_DEFINE_(variable, .name = (n), .help = (h), .kind = METRIC_KIND_HISTOGRAM,          \
		       .unit = (u))
#define METRIC_HISTOGRAM_LABELS(variable, n, l, u, h)                                              \
	METRIC_DEFINE_(variable, .name = (n), .labels = (l), .help = (h),                          \
		       .kind = METRIC_KIND_HISTOGRAM, .unit = (u))

/*
 * Adds a metric for good; `m` is borrowed for ever. Metrics of one name must be of one kind and
 * differ in their labels. May be called at any time by any thread, with metrics that are found out
 * at start (a device, a node). Asserts that names are well formed and that METRICS_CELLS suffice.
 */
void metric_register(struct metric *m);

/*
 * Appends `key="value"` to text[size], after a comma if it is not empty, with the value escaped as
 * Prometheus wants it. What does not fit is left out as a whole.
 */
void metric_label(char *text, size_t size, const char *key, const char *value);

/* Adds to cell `cell` of the running slot's row. */
static ALWAYS_INLINE void metric_cell_add(uint32_t cell, uint64_t n)
{
	struct self *s = self();
	struct atomic_u64 *at = (struct atomic_u64 *)(void *)(s->counters + cell);

	if (likely(s->slot != SELF_SLOT_SHARED))
		atomic_u64_quiet_store(at, atomic_u64_quiet_load(at, ORDER_RELAXED) + n,
				       ORDER_RELAXED);
	else
		atomic_u64_quiet_add(at, n, ORDER_RELAXED);
}

/* Counts `n` more. */
static ALWAYS_INLINE void metric_add(const struct metric *counter, uint64_t n)
{
	metric_cell_add(counter->cell, n);
}

/* Counts a value into a histogram, in ns for METRIC_SECONDS. */
void metric_observe(const struct metric *histogram, uint64_t value);

/* A counter's value, a histogram's number of observations, a gauge's value cut to an integer. */
uint64_t metric_value(const struct metric *m);

/*
 * Writes all metrics in Prometheus' text exposition format, version 0.0.4. Values of one scrape are
 * each correct, but not of one moment.
 */
void metrics_write(FILE *to);

/* The row of a slot: METRICS_CELLS cells, committed as they are used. Slot below SELF_SLOTS. */
uint64_t *metrics_cells(uint32_t slot);
