/*
 * What this machine can do at best: the limits that Tarn's own figures are held against.
 *
 * Each function is a side (bench/bench.h) that other benches use as their BENCH_LIMIT or as a peer;
 * the bench `limits` shows them all.
 */
#pragma once

#include "bench/bench.h"

extern const struct bench bench_limits;

/* A cache line handed from one processor to another and seen there, one way: BENCH_NS. Needs two
 * processors. */
struct status limits_handover(struct bench_round *round);

/* A system call that does nothing: BENCH_NS. */
struct status limits_syscall(struct bench_round *round);

/*
 * From the call that wakes a kernel thread asleep on a futex of another processor to that thread
 * running, one way: BENCH_NS (median), BENCH_P99_NS. The sleeper's processor has slept for 200 us.
 */
struct status limits_futex_wake(struct bench_round *round);

/*
 * Copies `bytes` from one buffer to another with memcpy on `threads` threads, in blocks of 1 MiB or
 * less, until `budget_ns` is over. Returns the bytes per second of all threads, 0 if there was no
 * memory. Each thread copies its own share. Small buffers stay in the caches (hot), those of
 * 512 MiB do not (cold).
 */
double limits_copy(const struct bench_settings *settings, size_t bytes, uint32_t threads,
		   uint64_t budget_ns);
