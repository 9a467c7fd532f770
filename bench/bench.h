/*
 * Benchmarks: Tarn, the machine's limit and the peer, measured by turns in the same run.
 *
 * A bench is a named table of cases; bench/table.c lists the benches. A case says what it measures
 * and has up to BENCH_SIDES_MAX sides: ours, the limit, the peers. A side is a function that
 * measures one round; the frame calls the sides by turns (ours, limit, peer, ours, limit, …), so
 * that a slow minute of the machine hits all of them, and takes the median of the rounds:
 *
 *	static struct status yield_ours(struct bench_round *round)
 *	{
 *		uint64_t ops = 0;
 *		uint64_t start = clock_ns();
 *
 *		do {
 *			… a thousand operations …
 *			ops += 1000;
 *		} while (clock_ns() - start < round->budget_ns);
 *		bench_record(round, BENCH_NS, (double)(clock_ns() - start) / (double)ops);
 *		return OK;
 *	}
 *
 *	static const struct bench_case cases[] = {
 *		{.name = "yield", .about = "switch to another ready thread, one way",
 *		 .headline = BENCH_NS, .setup = runtime_setup, .teardown = runtime_teardown,
 *		 .sides = {{BENCH_OURS, NULL, yield_ours},
 *			   {BENCH_PEER, "sched_yield", yield_peer}}},
 *		{.name = NULL},
 *	};
 *	const struct bench bench_threads = {"threads", "user threads and cores", cases};
 *
 * A side that records further metrics adds further lines to the case, compared with what the other
 * sides recorded under the same metric; each further peer adds a line of its own.
 */
#pragma once

#include "base/clock.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>

#define BENCH_SIDES_MAX    6
#define BENCH_ROUNDS       5 /* the least number that a median is taken of */
#define BENCH_ROUNDS_USUAL 9 /* short ones: a busy machine spoils few of them */
#define BENCH_ROUNDS_MAX   15
#define BENCH_SECONDS      3.0 /* the usual --seconds */
#define BENCH_CPUS_MAX     1024

enum bench_metric {
	BENCH_NS,
	BENCH_OPS_PER_S,
	BENCH_BYTES_PER_S,
	BENCH_PERCENT, /* lower is better, unless the case says otherwise */
	BENCH_RATIO,   /* likewise */
	BENCH_BYTES,
	BENCH_S,
	BENCH_P50_NS,
	BENCH_P99_NS,
	BENCH_P999_NS,
	BENCH_LIFO_NS, /* of two patterns of use, whose mean is the headline */
	BENCH_MIX_NS,
	BENCH_CPU_S_PER_GB,
	BENCH_OPS_PER_CPU_S,
	BENCH_METRICS,
};

enum bench_role {
	BENCH_OURS,
	BENCH_LIMIT, /* at most one per case */
	BENCH_PEER,
};

enum bench_better {
	BENCH_BETTER_USUAL, /* as is usual for the metric */
	BENCH_BETTER_HIGHER,
	BENCH_BETTER_LOWER,
};

/* What the command line asked for; the same for all cases of a run. */
struct bench_settings {
	double seconds;   /* how long one case measures, all its sides and rounds together */
	uint32_t cores;   /* how many processors may be used, at least 1 */
	uint64_t keys;    /* 0: the case's own default */
	const char *data; /* an existing directory for files; never NULL */
	uint32_t cpus[BENCH_CPUS_MAX]; /* their numbers, `cores` of them */
};

struct bench_case;

/* One round of one side. The functions of a case get one, set up by the frame. */
struct bench_round {
	const struct bench_settings *settings;
	const struct bench_case *which;
	void *state;        /* for setup() to fill, for the sides to use, for teardown() to free */
	uint64_t budget_ns; /* about how long this round should measure */
	uint32_t number;    /* from 0; the warm-up rounds are number 0 too */
	bool recorded[BENCH_METRICS];
	double value[BENCH_METRICS];
};

/*
 * Measures one round and records at least the headline. STATUS_UNSUPPORTED or STATUS_NOT_FOUND:
 * what the side needs is not on this machine; its values are then null and the diagnostic's text is
 * printed once on standard error. Any other failure fails the case.
 */
typedef struct status (*bench_side_fn)(struct bench_round *round);

struct bench_side {
	enum bench_role role;
	const char *name; /* of a peer, as the results have it; of a limit, for the table */
	bench_side_fn round;
};

struct bench_case {
	const char *name;  /* NULL ends the table */
	const char *about; /* what exactly is measured, one line under 60 columns */
	enum bench_metric headline;
	enum bench_better better;
	/* both may be NULL; setup() may fail like a side: the case is then skipped or failed */
	struct status (*setup)(struct bench_round *round);
	void (*teardown)(struct bench_round *round);
	struct bench_side sides[BENCH_SIDES_MAX]; /* until one without a function */
	/* the case's own parameters, for functions that serve several cases */
	uint64_t param[4];
	const void *arg;
	double seconds;  /* that this case needs at the usual --seconds; 0: as long as the others */
	uint32_t rounds; /* 0: BENCH_ROUNDS_USUAL; never fewer than BENCH_ROUNDS */
	bool no_warm_up; /* the first round of each side counts */
};

struct bench {
	const char *name;
	const char *about; /* one line under 60 columns */
	const struct bench_case *cases;
};

/* All benches, ended by NULL (bench/table.c). */
extern const struct bench *const bench_table[];

/* Notes a round's value of a metric. A value that is not a positive finite number counts as none,
 * except that percent, ratio and bytes may be zero. */
void bench_record(struct bench_round *round, enum bench_metric metric, double value);

/* ---- for sides ------------------------------------------------------------------------------- */

/*
 * Keeps the compiler from dropping or moving the computation of what `p` points to.
 */
static inline void bench_keep(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

/*
 * Binds the calling kernel thread to the settings' index-th processor, modulo their number. Does
 * nothing where the system forbids it. bench_unpin() gives it all of them back.
 */
void bench_pin(const struct bench_settings *settings, uint32_t index);
void bench_unpin(const struct bench_settings *settings);

/*
 * The element of `values` at `quantile` (0 to 1), by sorting them in place; 0 of none. For medians
 * of many samples within a round.
 */
double bench_quantile(double *values, size_t count, double quantile);

/* The CPU seconds that this process has used, all threads, user and system. */
double bench_cpu_seconds(void);

/* ---- for the command ------------------------------------------------------------------------- */

/* Where results go, and how. */
struct bench_output {
	FILE *file;
	bool json; /* one result per line as CONTRACT.md has it; else a table of 80 columns */
};

/* Fills in the defaults: 3 s, the processors that the process may use, "." for data. */
void bench_settings_init(struct bench_settings *settings);

/* The bench of that name, NULL if there is none. */
const struct bench *bench_find(const char *name);

/* Prints the names of all benches and of their cases. */
void bench_list(FILE *out);

/*
 * Runs the cases of `bench` that match one of the globs (ended by NULL; all cases if there are
 * none) and prints their results, with progress on standard error when that is a terminal. Returns
 * the number of cases that failed; each was named on standard error. *ret_matched counts the cases
 * that matched.
 */
uint32_t bench_run(const struct bench *bench, const struct bench_settings *settings,
		   const char *const *globs, const struct bench_output *output,
		   uint32_t *ret_matched);
