#include "base/clock.h"

#include <time.h>

#if TARN_SIM

struct clock_scale clock_scale = {.ns_per_cycle_32 = 1ull << 32, .cycles_per_ns_32 = 1ull << 32};

void clock_calibrate(void)
{
}

uint64_t clock_wall_ns(void)
{
	/* 2020-01-01, so that simulated logs carry a plausible date */
	return 1577836800ull * NS_PER_S + sim_clock_cycles();
}

#else

struct clock_scale clock_scale;

static uint64_t system_ns(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

struct sample {
	uint64_t cycles;
	uint64_t ns;
};

/* The pair whose two readings lie closest together: an interruption between them would skew it. */
static struct sample sample_take(void)
{
	struct sample best = {0};
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = clock_cycles();
		uint64_t ns = system_ns(CLOCK_MONOTONIC);
		uint64_t after = clock_cycles();

		if (after - before < best_width) {
			best_width = after - before;
			best = (struct sample){.cycles = before + (after - before) / 2, .ns = ns};
		}
	}
	return best;
}

__attribute__((constructor(101))) void clock_calibrate(void)
{
	struct sample first = sample_take();

	while (system_ns(CLOCK_MONOTONIC) - first.ns < NS_PER_MS)
		cpu_relax();

	struct sample last = sample_take();
	uint64_t cycles = last.cycles - first.cycles;
	uint64_t ns = last.ns - first.ns;

	if (cycles == 0)
		cycles = 1;
	clock_scale = (struct clock_scale){
		.cycles_base = last.cycles,
		.ns_base = last.ns,
		.ns_per_cycle_32 = (uint64_t)(((unsigned __int128)ns << 32) / cycles),
		.cycles_per_ns_32 = (uint64_t)(((unsigned __int128)cycles << 32) / ns),
	};
}

uint64_t clock_wall_ns(void)
{
	return system_ns(CLOCK_REALTIME);
}

#endif
