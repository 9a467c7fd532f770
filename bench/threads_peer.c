/*
 * The peers of the bench `threads`: the same done with kernel threads.
 */
#include "base/diag.h"
#include "base/os.h"
#include "bench/limits_int.h"
#include "bench/threads_int.h"

#include <sched.h>
#include <string.h>
#include <sys/resource.h>

/* ---- creating -------------------------------------------------------------------------------- */

struct newborn {
	CACHE_ALIGNED struct atomic_u64 at; /* cycles of the first instruction; 0: not yet */
	struct atomic_u32 cpu;
};

static void *newborn_main(void *arg)
{
	struct newborn *n = arg;
	uint64_t now = clock_cycles();

	atomic_u32_store(&n->cpu, os_cpu_current(), ORDER_RELAXED);
	atomic_u64_store(&n->at, now, ORDER_RELEASE);
	return NULL;
}

static void create_remote(struct threads_trip *trip, const pthread_attr_t *attr)
{
	struct newborn newborn = {0};
	bool more = true;

	while (more) {
		uint32_t here = os_cpu_current();
		uint64_t called;
		uint64_t at;
		pthread_t thread;
		int error;

		atomic_u64_store(&newborn.at, 0, ORDER_RELAXED);
		threads_gap(THREADS_GAP_NS);
		called = clock_cycles();
		error = pthread_create(&thread, attr, newborn_main, &newborn);
		if (error) {
			trip->status = fail_errno(error, "threads: starting a thread");
			return;
		}
		while ((at = atomic_u64_load(&newborn.at, ORDER_ACQUIRE)) == 0) {
			/* a thread that the kernel put here needs the processor */
			if (attr)
				cpu_relax();
			else
				sched_yield();
		}
		pthread_join(thread, NULL);
		more = atomic_u32_load(&newborn.cpu, ORDER_RELAXED) != here
			       ? threads_sample(trip, called, at)
			       : clock_ns() < trip->until;
	}
}

/* The kernel chooses the processor; what it puts on the creator's does not count. */
static void create_anywhere(void *arg)
{
	struct threads_trip *trip = arg;

	bench_unpin(trip->round->settings);
	create_remote(trip, NULL);
}

struct status threads_create_anywhere_peer(struct bench_round *round)
{
	return threads_both_ways(round, create_anywhere, false);
}

/* Bound to the other processor, as ours: each creation names its core. */
static void create_bound(void *arg)
{
	struct threads_trip *trip = arg;
	pthread_attr_t attr;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(trip->round->settings->cpus[trip->to], &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	create_remote(trip, &attr);
	pthread_attr_destroy(&attr);
}

struct status threads_create_peer(struct bench_round *round)
{
	return threads_both_ways(round, create_bound, false);
}

static void *nothing(void *arg)
{
	return arg;
}

#define JOIN_BATCH 10

static void create_join(void *arg)
{
	struct threads_batches *b = arg;

	while (threads_more(b)) {
		uint64_t start = clock_cycles();

		for (uint32_t i = 0; i < JOIN_BATCH; i++) {
			pthread_t thread;
			int error = pthread_create(&thread, NULL, nothing, NULL);

			if (error) {
				b->status = fail_errno(error, "threads: starting a thread");
				return;
			}
			pthread_join(thread, NULL);
		}
		threads_batch(b, start, JOIN_BATCH);
	}
}

/* On one processor, as ours: the new thread inherits where its creator may run. */
struct status threads_join_peer(struct bench_round *round)
{
	return threads_in_batches(round, create_join, false);
}

/* ---- yielding -------------------------------------------------------------------------------- */

#define YIELD_BATCH 1000

static struct {
	struct atomic_u32 stop;
	struct atomic_u32 started;
} other;

static void other_main(void *arg)
{
	(void)arg;
	atomic_u32_store(&other.started, 1, ORDER_RELEASE);
	while (atomic_u32_load(&other.stop, ORDER_RELAXED) == 0)
		sched_yield();
}

/* How often the calling thread was switched away from. */
static uint64_t switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)(usage.ru_nvcsw + usage.ru_nivcsw);
}

/* The kernel need not switch at each call, so the switches are counted, as many back as there. */
static void yield_to_other(void *arg)
{
	struct threads_batches *b = arg;

	while (threads_more(b)) {
		uint64_t before = switches();
		uint64_t start = clock_cycles();
		uint64_t count;

		for (uint32_t i = 0; i < YIELD_BATCH; i++)
			sched_yield();
		count = 2 * (switches() - before);
		threads_batch(b, start, count ? count : 1);
	}
}

struct status threads_yield_peer(struct bench_round *round)
{
	struct limits_thread thread = {.settings = round->settings, .index = 0, .main = other_main};
	struct status s;

	memset(&other, 0, sizeof(other));
	bench_pin(round->settings, 0);
	TRY(limits_thread_start(&thread));
	while (atomic_u32_load(&other.started, ORDER_ACQUIRE) == 0)
		sched_yield();
	s = threads_in_batches(round, yield_to_other, false);
	atomic_u32_store(&other.stop, 1, ORDER_RELAXED);
	limits_thread_join(&thread);
	return s;
}

static void yield_alone(void *arg)
{
	struct threads_batches *b = arg;

	while (threads_more(b)) {
		uint64_t start = clock_cycles();

		for (uint32_t i = 0; i < YIELD_BATCH; i++)
			sched_yield();
		threads_batch(b, start, YIELD_BATCH);
	}
}

struct status threads_yield_null_peer(struct bench_round *round)
{
	return threads_in_batches(round, yield_alone, false);
}

/* ---- waking ---------------------------------------------------------------------------------- */

/* Runs `main` on processor trip->to while the caller wakes it from where it is. */
static void measure_sleeper(struct threads_trip *trip, const struct threads_way *way,
			    void (*main)(void *), struct threads_sleeper *sleeper)
{
	struct limits_thread thread = {
		.settings = trip->round->settings, .index = trip->to, .main = main, .arg = sleeper};

	trip->status = limits_thread_start(&thread);
	if (!status_ok(trip->status))
		return;
	threads_wake(trip, way, &sleeper, 1);
	limits_thread_join(&thread);
}

struct cond_sleeper {
	struct threads_sleeper base;
	CACHE_ALIGNED pthread_mutex_t mutex;
	CACHE_ALIGNED pthread_cond_t cond;
};

static void cond_sleeper_main(void *arg)
{
	struct cond_sleeper *s = arg;

	pthread_mutex_lock(&s->mutex);
	do {
		threads_sleeper_waits(&s->base);
		/* a wake-up without a signal ends the measurement of this turn early; there are
		 * none on Linux but after signals, of which nobody sends any */
		pthread_cond_wait(&s->cond, &s->mutex);
	} while (threads_sleeper_woken(&s->base));
	pthread_mutex_unlock(&s->mutex);
}

static void cond_settle(struct threads_sleeper *base)
{
	struct cond_sleeper *s = CONTAINER_OF(base, struct cond_sleeper, base);

	pthread_mutex_lock(&s->mutex);
	pthread_mutex_unlock(&s->mutex);
}

static void cond_wake(struct threads_sleeper *base)
{
	pthread_cond_signal(&CONTAINER_OF(base, struct cond_sleeper, base)->cond);
}

static void measure_cond(void *trip)
{
	static const struct threads_way way = {
		.settle = cond_settle, .wake = cond_wake, .gap_ns = THREADS_GAP_NS};
	static struct cond_sleeper sleeper;

	memset(&sleeper, 0, sizeof(sleeper));
	pthread_mutex_init(&sleeper.mutex, NULL);
	pthread_cond_init(&sleeper.cond, NULL);
	measure_sleeper(trip, &way, cond_sleeper_main, &sleeper.base);
}

struct status threads_cond_peer(struct bench_round *round)
{
	return threads_both_ways(round, measure_cond, false);
}

struct futex_sleeper {
	struct threads_sleeper base;
	CACHE_ALIGNED struct atomic_u32 word; /* 1: woken */
};

static void futex_sleeper_main(void *arg)
{
	struct futex_sleeper *s = arg;

	do {
		threads_sleeper_waits(&s->base);
		while (atomic_u32_load(&s->word, ORDER_ACQUIRE) == 0)
			(void)os_futex_wait(&s->word, 0, CLOCK_NEVER);
		/* relaxed: the next wake-up comes only after `waits` */
		atomic_u32_store(&s->word, 0, ORDER_RELAXED);
	} while (threads_sleeper_woken(&s->base));
}

static void futex_wake(struct threads_sleeper *base)
{
	struct futex_sleeper *s = CONTAINER_OF(base, struct futex_sleeper, base);

	atomic_u32_store(&s->word, 1, ORDER_RELEASE);
	(void)os_futex_wake(&s->word, 1);
}

static void measure_futex(void *trip)
{
	static const struct threads_way way = {
		.wake = futex_wake, .gap_ns = THREADS_PARK_NS, .parked = true};
	static struct futex_sleeper sleeper;

	memset(&sleeper, 0, sizeof(sleeper));
	measure_sleeper(trip, &way, futex_sleeper_main, &sleeper.base);
}

struct status threads_futex_peer(struct bench_round *round)
{
	return threads_both_ways(round, measure_futex, false);
}
