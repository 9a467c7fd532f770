/*
 * What the sides of the bench `threads` share: the runtime that is measured, and how a time that
 * begins on one processor and ends on another is taken.
 *
 * Both ends read the cycle counter, and the counters of two processors need not agree. So half of
 * each round runs from processor 0 to processor 1 and half the other way: in the mean of the two
 * medians a difference of the counters cancels out.
 */
#pragma once

#include "base/atomic.h"
#include "bench/bench.h"
#include "rt/rt.h"

#include <pthread.h>

/*
 * Between two measurements the target has at least this long to end the last thread, or to block,
 * and to look for work again. It is the same for Tarn and for the peers.
 */
#define THREADS_GAP_NS  (1 * NS_PER_US)
/* For the cases in which the target's core sleeps: five times as long as a pinned core spins. */
#define THREADS_PARK_NS (1 * NS_PER_MS)

/* Times of one direction, in nanoseconds. */
#define THREADS_SAMPLES_MAX 65536
struct threads_samples {
	size_t count;
	double ns[THREADS_SAMPLES_MAX];
};

/* One measurement in one direction. */
struct threads_trip {
	struct bench_round *round;
	struct rt *rt; /* NULL for peers */
	uint32_t from; /* number of the core, or index of the processor */
	uint32_t to;
	uint64_t until; /* clock_ns() */
	struct threads_samples *samples;
	struct status status;
};

/* Takes a time in cycles; false when there is no room or no time for another one. */
bool threads_sample(struct threads_trip *trip, uint64_t from_cycles, uint64_t to_cycles);

/*
 * Calls measure() for both directions, half of the round each: on a user thread of core `from`, or
 * on the calling kernel thread bound to processor `from`. Records the headline and BENCH_P99_NS.
 */
struct status threads_both_ways(struct bench_round *round, void (*measure)(void *trip),
				bool on_core);

/* Runs fn(arg) as a user thread of that core and waits for its end. For kernel threads. */
struct status threads_run_on(struct rt *rt, uint32_t core, void (*fn)(void *), void *arg);

/* Spins, keeping its processor, for `ns` to twice as long: always the same time might fall into
 * step with what the target does meanwhile. */
void threads_gap(uint64_t ns);

/* Batches of operations on one core: the median of their means is the headline. */
struct threads_batches {
	struct bench_round *round;
	struct rt *rt;
	uint64_t until;
	struct threads_samples *samples;
	struct status status;
};

/* Whether there is room and time for another batch. */
bool threads_more(const struct threads_batches *b);
/* Takes a batch of `operations` that lasted from_cycles to now. */
void threads_batch(struct threads_batches *b, uint64_t from_cycles, uint64_t operations);
/* Calls measure() on a user thread of core 0, or where the caller is, and records the headline. */
struct status threads_in_batches(struct bench_round *round, void (*measure)(void *batches),
				 bool on_core);

/* ---- waking ---------------------------------------------------------------------------------- */

/* Somebody who blocks at trip->to until it is woken from trip->from, again and again. */
struct threads_sleeper {
	CACHE_ALIGNED struct atomic_u32 waits; /* 1: blocks, or is about to */
	struct atomic_u32 stop;
	CACHE_ALIGNED struct atomic_u64 woken_at; /* cycles; 0 until it runs */
};

/* For the sleeper: before it blocks, and first thing when it runs again; false: it shall end. */
void threads_sleeper_waits(struct threads_sleeper *s);
bool threads_sleeper_woken(struct threads_sleeper *s);

/* How sleepers of one kind are woken. */
struct threads_way {
	void (*settle)(struct threads_sleeper *s); /* returns when `s` cannot miss it; or NULL */
	void (*wake)(struct threads_sleeper *s);
	uint64_t gap_ns;
	bool parked; /* only wake-ups of a core that slept count */
};

/*
 * Wakes the sleepers in turn and takes the times from the call to the sleeper's running, until the
 * trip's time is over; then ends them.
 */
void threads_wake(struct threads_trip *trip, const struct threads_way *way,
		  struct threads_sleeper *const *sleepers, uint32_t count);

/* ---- sides and setups; what they record is at the cases -------------------------------------- */

struct status threads_wake_ours(struct bench_round *round);
struct status threads_cond_ours(struct bench_round *round);
struct status threads_parked_ours(struct bench_round *round);

struct status threads_idle_setup(struct bench_round *round);
void threads_idle_teardown(struct bench_round *round);
struct status threads_idle_ours(struct bench_round *round);

struct status threads_create_anywhere_peer(struct bench_round *round);
struct status threads_create_peer(struct bench_round *round);
struct status threads_join_peer(struct bench_round *round);
struct status threads_yield_peer(struct bench_round *round);
struct status threads_yield_null_peer(struct bench_round *round);
struct status threads_cond_peer(struct bench_round *round);
struct status threads_futex_peer(struct bench_round *round);
