/*
 * Scenarios: what the runner can run under a seed.
 *
 * A scenario states something that must hold under every order and every memory behaviour that the
 * simulator draws. Beside it stands its planted variant, with one mistake: the simulator must find
 * that one, or it would not find the real ones either.
 */
#pragma once

#include "sim/sim.h"

struct scenario {
	const char *name;
	const char *about;
	void (*body)(void *arg);
	void *arg;
	void (*dump)(void *arg, FILE *out); /* may be NULL */
	bool planted;                       /* one of its seeds must end in a finding */
	uint32_t finds; /* of a planted one: the verdicts that count, as 1 << verdict */
	uint32_t
		seeds; /* how many a test runs; of a planted one, the most until it must be found */
	uint64_t steps_max;   /* 0: the simulator's own */
	uint64_t steps_usual; /* 0: unknown */
	uint64_t time_ns_max; /* of virtual time; 0: the simulator's own */
};

extern const struct scenario scenarios_sync[];
extern const size_t scenarios_sync_count;

extern const struct scenario scenarios_threads[];
extern const size_t scenarios_threads_count;

extern const struct scenario scenarios_memory[];
extern const size_t scenarios_memory_count;
