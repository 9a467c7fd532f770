/*
 * The runtime on cores that an arbiter lends: threads go on wherever there is a core, whatever the
 * arbiter gives and takes.
 */
#include "arbiter_daemon.h"
#include "rt/policy.h"
#include "rt/sync.h"

#define CORES 2

struct work {
	struct rt *rt;
	struct atomic_u32 stop;
	struct atomic_u64 turns;
};

/* Runs, suspends and runs again until told to stop, so that it is moved whenever its core goes. */
static void worker(void *arg)
{
	struct work *w = arg;

	while (atomic_u32_load(&w->stop, ORDER_RELAXED) == 0) {
		atomic_u64_add(&w->turns, 1, ORDER_RELAXED);
		if (atomic_u64_load(&w->turns, ORDER_RELAXED) % 64 == 0)
			status_ignore(rt_sleep(NS_PER_US));
		rt_yield();
	}
}

static struct rt *lent(const char *path, uint32_t priority)
{
	struct rt_config config = {.cores = CORES, .arbiter = path, .priority = priority};
	struct rt *rt;

	assert_ok(rt_start(&config, &rt));
	return rt;
}

/* Waits until class 0 has that many cores. Hangs, and is ended by the runner, if it never has. */
static void await_cores(struct rt *rt, uint32_t cores)
{
	while (rt_class_cores(rt, RT_CLASS_SHARED) != cores)
		os_sleep_ns(NS_PER_MS);
}

static void await_turns(struct work *w, uint64_t more)
{
	uint64_t until = atomic_u64_load(&w->turns, ORDER_RELAXED) + more;

	while (atomic_u64_load(&w->turns, ORDER_RELAXED) < until)
		os_sleep_ns(NS_PER_MS);
}

static void workers_start(struct work *w, struct rt *rt, struct rt_id *ids, uint32_t count)
{
	*w = (struct work){.rt = rt};
	for (uint32_t i = 0; i < count; i++)
		assert_ok(rt_spawn(rt, NULL, worker, w, &ids[i]));
}

static void no_arbiter__all_cores_serve(void **state)
{
	struct rt *rt = lent("/nonexistent/tarn-arbiter", 0);
	struct rt_id ids[8];
	struct work w;

	(void)state;
	await_cores(rt, CORES);
	workers_start(&w, rt, ids, ARRAY_SIZE(ids));
	await_turns(&w, 10000);
	atomic_u32_store(&w.stop, 1, ORDER_RELAXED);
	rt_stop(rt);
}

static void cores__are_lent_and_taken_back(void **state)
{
	struct daemon *d = daemon_make(ARBITER_BACKEND_AFFINITY);
	struct rt_id ids[8];
	struct work w;

	(void)state;
	d->config.grace_ns = 10 * NS_PER_S; /* obedience must not hang on how busy we are */
	assert_true(daemon_start(d));

	uint32_t all = cpus_count(&d->config.cpus);
	struct rt *low = lent(d->path, 5);

	await_cores(low, all);
	workers_start(&w, low, ids, ARRAY_SIZE(ids));
	await_turns(&w, 1000);
	if (all == CORES) {
		struct rt *high = lent(d->path, 0);

		/* the more urgent takes them all; the other one keeps its last, unmanaged */
		await_cores(high, CORES);
		await_cores(low, 1);
		await_turns(&w, 1000);
		rt_stop(high);
		await_cores(low, CORES);
		await_turns(&w, 1000);
	}
	atomic_u32_store(&w.stop, 1, ORDER_RELAXED);
	rt_stop(low);
	daemon_stop(d);
	daemon_free(d);
}

static void arbiter__that_dies_takes_nothing_with_it(void **state)
{
	struct daemon *d = daemon_make(ARBITER_BACKEND_AFFINITY);
	struct rt_id ids[8];
	struct work w;

	(void)state;
	assert_true(daemon_start(d));

	struct rt *rt = lent(d->path, 0);

	workers_start(&w, rt, ids, ARRAY_SIZE(ids));
	await_turns(&w, 1000);
	daemon_stop(d);
	await_cores(rt, CORES); /* granted by ourselves now */
	await_turns(&w, 1000);
	assert_true(daemon_start(d));
	await_turns(&w, 1000);
	atomic_u32_store(&w.stop, 1, ORDER_RELAXED);
	rt_stop(rt);
	daemon_stop(d);
	daemon_free(d);
}

static void priority__out_of_range(void **state)
{
	struct rt_config config = {.cores = 1, .arbiter = "", .priority = 8};
	struct rt *rt;

	(void)state;
	assert_status(rt_start(&config, &rt), INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_arbiter__all_cores_serve),
		cmocka_unit_test(cores__are_lent_and_taken_back),
		cmocka_unit_test(arbiter__that_dies_takes_nothing_with_it),
		cmocka_unit_test(priority__out_of_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
