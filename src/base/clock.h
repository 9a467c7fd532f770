/*
 * The clock. Under the simulator both functions answer from virtual time.
 */
#pragma once

#include "base/compiler.h"

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* A deadline that never comes. */
#define CLOCK_NEVER UINT64_MAX

/* The relation of the cycle counter to CLOCK_MONOTONIC; set by clock_calibrate(). */
struct clock_scale {
	uint64_t cycles_base;
	uint64_t ns_base;
	uint64_t ns_per_cycle_32; /* nanoseconds per cycle, times 2^32 */
	uint64_t cycles_per_ns_32;
};

extern struct clock_scale clock_scale;

#if TARN_SIM
uint64_t sim_clock_cycles(void); /* defined by sim/; one cycle is one nanosecond */
#endif

/* The cycle counter: monotonic on one core, and on all cores of machines with an invariant TSC. */
static ALWAYS_INLINE uint64_t clock_cycles(void)
{
#if TARN_SIM
	return sim_clock_cycles();
#elif defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t v;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#endif
}

/* The length of `cycles` in nanoseconds. */
static inline uint64_t clock_cycles_to_ns(uint64_t cycles)
{
	return (uint64_t)(((unsigned __int128)cycles * clock_scale.ns_per_cycle_32) >> 32);
}

/* How many cycles `ns` nanoseconds take. */
static inline uint64_t clock_ns_to_cycles(uint64_t ns)
{
	return (uint64_t)(((unsigned __int128)ns * clock_scale.cycles_per_ns_32) >> 32);
}

/* Nanoseconds since an arbitrary start, never going back on one core. */
static inline uint64_t clock_ns(void)
{
	uint64_t cycles = clock_cycles();

	/* another core's counter may stand a little behind the one that set the base */
	if (unlikely((int64_t)(cycles - clock_scale.cycles_base) < 0))
		return clock_scale.ns_base;
	return clock_scale.ns_base + clock_cycles_to_ns(cycles - clock_scale.cycles_base);
}

/* `ns` from now as a deadline; CLOCK_NEVER stays never, and so does what would overflow. */
static inline uint64_t clock_deadline(uint64_t ns)
{
	uint64_t now = clock_ns();

	return ns >= CLOCK_NEVER - now ? CLOCK_NEVER : now + ns;
}

/* Nanoseconds since 1970, for people and for logs; may jump. Virtual under the simulator. */
uint64_t clock_wall_ns(void);

/*
 * Runs before main() and before other constructors; calling it again measures once more, over a
 * millisecond.
 */
void clock_calibrate(void);
