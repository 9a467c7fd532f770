#include "rt_unit.h"

/* As in offload.c: so many run at once, and so many wait. */
#define WORKERS 16
#define QUEUE   1024

struct job {
	struct atomic_u32 *running;
	struct atomic_u32 *go;
	struct atomic_u32 *done;
	struct atomic_u32 *refused;
	uint32_t result;
	struct rt_id id;
};

static void on_a_kernel_thread(void *arg)
{
	struct job *j = arg;

	CHECK(rt_self().value == 0);
	CHECK(rt_core_number() == RT_CORE_ANY);
	CHECK(strcmp(self()->thread->name, "offload") == 0);
	j->result = 42;
}

static void offload_once(void *arg)
{
	struct job j = {0};

	(void)arg;
	for (uint32_t i = 0; i < 300; i++) {
		j.result = 0;
		CHECK_OK(rt_offload(on_a_kernel_thread, &j));
		/* plain memory: ThreadSanitizer would tell if it were not ordered */
		CHECK(j.result == 42);
	}
}

static void rt_offload__result_is_seen(void **state)
{
	(void)state;
	unit_run(1, offload_once, NULL);
}

/* Holds its kernel thread until `go`. */
static void hold(void *arg)
{
	struct job *j = arg;

	unit_count(j->running);
	unit_until(j->go, 1);
	j->result++;
}

static void hand_over(void *arg)
{
	struct job *j = arg;
	struct status s = rt_offload(hold, j);

	if (status_is(s, STATUS_BUSY)) {
		CHECK(strstr(diag_text(), "1024 calls wait already") != NULL);
		unit_count(j->refused);
	} else {
		CHECK_OK(s);
		CHECK(j->result == 1);
		unit_count(j->done);
	}
}

#define JOBS (WORKERS + QUEUE + 10)

static struct job jobs[JOBS];
static struct atomic_u32 running, go, done, refused;

static void counters_reset(void)
{
	atomic_u32_store(&running, 0, ORDER_RELAXED);
	atomic_u32_store(&go, 0, ORDER_RELAXED);
	atomic_u32_store(&done, 0, ORDER_RELAXED);
	atomic_u32_store(&refused, 0, ORDER_RELAXED);
}

static void job_start(uint32_t i)
{
	jobs[i] = (struct job){.running = &running, .go = &go, .done = &done, .refused = &refused};
	jobs[i].id = unit_spawn(RT_CORE_ANY, hand_over, &jobs[i]);
}

static void offload_too_many(void *arg)
{
	(void)arg;
	counters_reset();
	for (uint32_t i = 0; i < WORKERS; i++)
		job_start(i);
	/* the core goes on while all workers are held */
	unit_until(&running, WORKERS);
	for (uint32_t i = WORKERS; i < WORKERS + QUEUE; i++)
		job_start(i);
	for (uint32_t i = WORKERS; i < WORKERS + QUEUE; i++)
		unit_until_blocked(jobs[i].id);
	for (uint32_t i = WORKERS + QUEUE; i < JOBS; i++)
		job_start(i);
	unit_until(&refused, JOBS - WORKERS - QUEUE);
	CHECK(atomic_u32_load(&running, ORDER_ACQUIRE) == WORKERS);
	unit_count(&go);
	for (uint32_t i = 0; i < JOBS; i++)
		CHECK_OK(rt_join(jobs[i].id));
	CHECK(atomic_u32_load(&done, ORDER_ACQUIRE) == WORKERS + QUEUE);
	CHECK(atomic_u32_load(&refused, ORDER_ACQUIRE) == JOBS - WORKERS - QUEUE);
	/* and afterwards as before */
	offload_once(NULL);
}

static void rt_offload__more_than_workers_and_queue(void **state)
{
	(void)state;
	unit_run(2, offload_too_many, NULL);
}

/* fn borrows what it was given: nothing may end the wait before it has returned. */
static void offload_is_not_cut_short(void *arg)
{
	(void)arg;
	counters_reset();
	job_start(0);
	unit_until(&running, 1);
	unit_until_blocked(jobs[0].id);
	CHECK_OK(rt_cancel(jobs[0].id));
	rt_yield();
	CHECK(unit_blocked(jobs[0].id));
	unit_count(&go);
	CHECK_OK(rt_join(jobs[0].id));
	CHECK(atomic_u32_load(&done, ORDER_ACQUIRE) == 1);

	struct job j = {0};
	uint64_t before = rt_deadline_set(1);

	CHECK_OK(rt_offload(on_a_kernel_thread, &j));
	rt_deadline_restore(before);
	CHECK(j.result == 42);
}

static void rt_offload__neither_deadline_nor_cancel(void **state)
{
	(void)state;
	unit_run(2, offload_is_not_cut_short, NULL);
}

static void offload_some(void *arg)
{
	struct job j = {0};

	for (int i = 0; i < 100; i++) {
		j.result = 0;
		CHECK_OK(rt_offload(on_a_kernel_thread, &j));
		CHECK(j.result == 42);
	}
	unit_count(arg);
}

static void offload_from_many(void *arg)
{
	struct atomic_u32 ended = {0};
	struct rt_id ids[50];

	(void)arg;
	for (uint32_t i = 0; i < 50; i++)
		ids[i] = unit_spawn(i % 2, offload_some, &ended);
	for (uint32_t i = 0; i < 50; i++)
		CHECK_OK(rt_join(ids[i]));
	CHECK(atomic_u32_load(&ended, ORDER_ACQUIRE) == 50);
}

static void rt_offload__from_many_threads(void **state)
{
	(void)state;
	unit_run(2, offload_from_many, NULL);
}

static void note_status(void *arg)
{
	struct job *j = arg;
	struct status s = rt_offload(on_a_kernel_thread, j);

	CHECK(j->result == (status_ok(s) ? 42 : 0));
	CHECK(status_ok(s) || status_is(s, STATUS_LIMIT));
	unit_count(j->done);
}

/*
 * The system gives no kernel thread: each call fails, whoever else is just as far. None may be left
 * in a queue that nobody works on.
 */
static void offload_without_threads(void *arg)
{
	(void)arg;
	for (uint32_t round = 0; round < 5000; round++) {
		struct rt_id ids[8];

		counters_reset();
		os_fault_set(OS_CALL_BIT(OS_CALL_THREAD), 0, true);
		for (uint32_t i = 0; i < 8; i++) {
			jobs[i] = (struct job){.done = &done};
			ids[i] = unit_spawn(i % 2, note_status, &jobs[i]);
		}
		for (uint32_t i = 0; i < 8; i++)
			CHECK_OK(rt_join(ids[i]));
		CHECK(os_fault_clear() > 0);
		for (uint32_t i = 0; i < 8; i++)
			CHECK(jobs[i].result == 0);
	}
	/* the pool works as soon as the system gives threads again */
	offload_once(NULL);
}

static void rt_offload__without_kernel_threads(void **state)
{
	(void)state;
	unit_run(2, offload_without_threads, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_offload__result_is_seen),
		cmocka_unit_test(rt_offload__more_than_workers_and_queue),
		cmocka_unit_test(rt_offload__neither_deadline_nor_cancel),
		cmocka_unit_test(rt_offload__from_many_threads),
		cmocka_unit_test(rt_offload__without_kernel_threads),
	};
	return unit_main(tests, argc, argv);
}
