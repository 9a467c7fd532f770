/*
 * The simulator's front: runs code under seeded processors, memory and time, and says what it
 * found.
 *
 *	static void body(void *arg) { … kthread_start() … kthread_join() … }
 *
 *	struct sim_report report;
 *	sim_run(&(struct sim_config){.seed = 7, .body = body}, &report);
 *	if (report.verdict != SIM_OK)
 *		puts(report.text);
 *
 * A kernel thread that the code starts (rt/kthread.h) becomes a simulated processor. All of them
 * share the calling kernel thread; who goes on at each switch point, what a weak load reads and
 * how fast time passes are drawn from the seed. The same seed gives the same run and the same hash.
 *
 * See sim/README.md for the memory model and for what it does not find.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stdio.h>

/* Processors that may exist at one time: the width of a vector clock, one cache line of 32 bits. */
#define SIM_PROCESSORS_MAX 16

#define SIM_TEXT_BYTES 8192

enum sim_strategy {
	SIM_STRATEGY_SEEDED,  /* one of those below, drawn from the seed */
	SIM_STRATEGY_UNIFORM, /* any runnable processor, after short random runs */
	SIM_STRATEGY_PCT, /* random priorities with a few random changes: Burckhardt, ASPLOS 2010 */
	SIM_STRATEGY_LONG, /* long runs, so that one processor gets far ahead */
};

enum sim_memory {
	SIM_MEMORY_SEEDED,     /* weak, with a probability of stale loads drawn from the seed */
	SIM_MEMORY_SEQUENTIAL, /* every load reads the last store */
	SIM_MEMORY_WEAK,       /* every second load reads as old a store as C11 allows */
};

enum sim_verdict {
	SIM_OK,
	SIM_RACE,      /* two plain accesses without an order between them */
	SIM_DEADLOCK,  /* everybody sleeps, and nothing will wake them */
	SIM_LIVELOCK,  /* more steps or more virtual time than the run may take */
	SIM_ASSERTION, /* an assertion or a sim_check() failed */
	SIM_LEFTOVER,  /* body() returned while other processors were still there */
	SIM_CRASH,     /* set by runners that fork: the process died */
};

struct sim_config {
	uint64_t seed;
	void (*body)(void *arg); /* runs on the first processor */
	void *arg;
	uint32_t processors; /* that may exist at one time; 0: SIM_PROCESSORS_MAX */
	enum sim_strategy strategy;
	enum sim_memory memory;
	uint64_t steps_max;   /* 0: 10 million */
	uint64_t steps_usual; /* how long a run usually is, for SIM_STRATEGY_PCT; 0: unknown */
	uint64_t time_ns_max; /* of virtual time; 0: one hour */
	FILE *trace;          /* one line for each event; NULL: none */
	/* adds what the code under test knows to the report of a finding; NULL: nothing */
	void (*dump)(void *arg, FILE *out);
};

struct sim_report {
	enum sim_verdict verdict;
	uint64_t hash;             /* of every event */
	uint64_t steps;            /* switch points passed */
	uint64_t switches;         /* of them, how many went to another processor */
	uint64_t time_ns;          /* virtual */
	char text[SIM_TEXT_BYTES]; /* of a finding: what, where, and what each processor was at */
};

/*
 * Runs config->body to its end or to the first finding, and fills *ret. A finding abandons the
 * processors where they stand: what they had allocated stays allocated, so run what may find
 * something in a process of its own. Not from within a simulation.
 */
void sim_run(const struct sim_config *config, struct sim_report *ret);

/* "ok", "race", … */
const char *sim_verdict_name(enum sim_verdict verdict);

/* Whether the caller runs on a simulated processor. */
bool sim_active(void);

/* Virtual time in nanoseconds, without passing a switch point; 0 outside of a simulation. */
uint64_t sim_now(void);

/* A number below `count`, drawn from the seed: for what a scenario leaves to chance. */
uint32_t sim_random(uint32_t count);

/* Ends the run with the verdict SIM_ASSERTION and a text. Only in a simulation. */
NORETURN void sim_fail(const char *format, ...) PRINTF(1, 2);

/* Like ASSERT(), for scenarios: says what was expected of the code under test. */
#define sim_check(condition, ...)                                                                  \
	do {                                                                                       \
		if (unlikely(!(condition)))                                                        \
			sim_fail(__VA_ARGS__);                                                     \
	} while (0)

/*
 * Forgets what the model knows of the bytes: they are about to be used for something new. Called
 * for what free() and munmap() give back; for code that reuses memory by means the model cannot
 * see.
 */
void sim_forget(const void *at, size_t bytes);
