#include "rt/policy.h"
#include "rt/sync.h"

#include "rt_death.h"

#define RESTARTS (WITH_TSAN || WITH_ASAN || TARN_DEBUG ? 200 : 1000)

static void count(void *arg)
{
	unit_count(arg);
}

/* ---- start and stop -------------------------------------------------------------------------- */

static uint32_t lines_of(const char *path)
{
	char line[512];
	uint32_t count = 0;
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count++;
	fclose(file);
	return count;
}

static void rt_start__over_and_over(void **state)
{
	struct atomic_u32 ran = {0};
	uint32_t mappings = 0;

	(void)state;
	for (uint32_t i = 0; i < RESTARTS; i++) {
		struct rt *rt = unit_start(1 + i % 3);

		if (i % 2)
			assert_ok(rt_spawn(rt, NULL, count, &ran, NULL));
		if (i % 4 == 3)
			assert_ok(rt_call(rt, count, &ran));
		rt_stop(rt);
		if (i == RESTARTS / 2)
			mappings = lines_of("/proc/self/maps");
	}
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), RESTARTS / 2 + RESTARTS / 4);
	/* the C library keeps a few stacks of threads; nothing grows with the number of starts */
	assert_true(lines_of("/proc/self/maps") < mappings + 20);
}

static void rt_start__several_at_once(void **state)
{
	struct rt *rts[8];
	struct atomic_u32 ran = {0};

	(void)state;
	for (int i = 0; i < 8; i++) {
		rts[i] = unit_start(2);
		for (int k = 0; k < i; k++)
			assert_true(rts[i]->number != rts[k]->number);
	}
	for (int i = 0; i < 8; i++)
		assert_ok(rt_call(rts[i], count, &ran));
	for (int i = 0; i < 8; i += 2)
		rt_stop(rts[i]);
	for (int i = 1; i < 8; i += 2) {
		assert_ok(rt_call(rts[i], count, &ran));
		rt_stop(rts[i]);
	}
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), 12);
}

static void rt_start__counts_its_cores(void **state)
{
	struct cpus allowed;
	struct rt *rt;

	(void)state;
	assert_ok(os_affinity_get(0, &allowed));
	assert_ok(rt_start(&(struct rt_config){.cores = 0}, &rt));
	assert_int_equal(rt_cores(rt), cpus_count(&allowed));
	rt_stop(rt);
	rt = unit_start(5); /* more than there are processors: slower, and right all the same */
	assert_int_equal(rt_cores(rt), 5);
	rt_stop(rt);
}

static void note_processor(void *arg)
{
	*(uint32_t *)arg = os_cpu_current();
}

static void rt_start__pins_where_it_is_told(void **state)
{
	struct cpus allowed;
	struct rt *rt;

	(void)state;
	assert_ok(os_affinity_get(0, &allowed));
	for (uint32_t i = 0; i < cpus_count(&allowed); i++) {
		uint32_t cpu = cpus_nth(&allowed, i), ran_on = UINT32_MAX;

		assert_ok(rt_start(&(struct rt_config){.cores = 1, .cpus = &cpu}, &rt));
		assert_ok(rt_call(rt, note_processor, &ran_on));
		assert_int_equal(ran_on, cpu);
		rt_stop(rt);
	}
}

static void rt_start__in_each_mode(void **state)
{
	static const enum rt_mode modes[] = {RT_SHARED, RT_DEDICATED, RT_EXCLUSIVE};
	struct atomic_u32 ran = {0};
	struct rt *rt;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_ok(rt_start(&(struct rt_config){.cores = 1, .mode = modes[i]}, &rt));
		for (int k = 0; k < 20; k++)
			assert_ok(rt_call(rt, count, &ran));
		rt_stop(rt);
	}
	assert_ok(rt_start(&(struct rt_config){.cores = 2, .embedded = true}, &rt));
	for (int k = 0; k < 20; k++)
		assert_ok(rt_call(rt, count, &ran));
	rt_stop(rt);
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), 80);
}

/* ---- configurations that cannot be ----------------------------------------------------------- */

static void rt_start__what_cannot_be(void **state)
{
	struct cpus allowed;
	uint32_t gone[] = {1000}, there[1], twice[2];

	(void)state;
	assert_ok(os_affinity_get(0, &allowed));
	there[0] = twice[0] = twice[1] = cpus_nth(&allowed, 0);
	const struct {
		struct rt_config config;
		const char *text;
	} wrong[] = {
		{{.cores = RT_CORES_MAX + 1}, "cores: 257, must be 1 to 256"},
		{{.cores = UINT32_MAX}, "cores: 4294967295, must be 1 to 256"},
		{{.cores = 1, .cpus = gone}, "cores: processor 1000 is not one of those"},
		{{.cores = 2, .cpus = twice}, "is named twice"},
		{{.cores = 0, .cpus = there}, "cores: 0, but processors are named"},
		{{.cores = 200, .mode = RT_DEDICATED}, "cores: 200 to be pinned, but the process"},
		{{.cores = 200, .mode = RT_EXCLUSIVE}, "cores: 200 to be pinned, but the process"},
		{{.cores = 1, .mode = (enum rt_mode)7}, "core-mode: 7, must be "},
		{{.cores = 1, .embedded = true, .mode = RT_DEDICATED},
		 "core-mode: an embedded runtime is shared"},
		{{.cores = 1, .embedded = true, .cpus = there},
		 "cores: an embedded runtime is not pinned"},
		{{.cores = 1, .priority = 8}, "priority: 8, must be 0 to 7"},
		{{.cores = 1, .stack_bytes = 1000}, "stack_bytes: 1000, must be a power of two"},
		{{.cores = 1, .threads_max = 1u << 31}, "threads_max: 2147483648, the most is"},
	};
	struct rt *rt = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_status(rt_start(&wrong[i].config, &rt), INVALID);
		assert_contains(diag_text(), wrong[i].text);
	}
	assert_null(rt);
}

/* ---- stopping with threads everywhere -------------------------------------------------------- */

struct everywhere {
	struct rt_mutex mutex;
	struct rt_cond cond;
	struct rt_sem sem;
	struct rt_rwlock rwlock;
	struct rt_channel empty;
	struct rt_channel full;
	struct rt_group group;
	void *slots_empty[1];
	void *slots_full[1];
	struct atomic_u32 offloaded;
	struct atomic_u32 began;
	struct atomic_u32 ended;
	struct rt_id holder;
};

static void hold_all(void *arg)
{
	struct everywhere *e = arg;

	rt_mutex_lock(&e->mutex);
	CHECK_OK(rt_rwlock_write(&e->rwlock, CLOCK_NEVER));
	unit_count(&e->began);
	CHECK_STATUS(rt_wait(rt_wait_begin("the end"), CLOCK_NEVER), CANCELLED);
	rt_rwlock_unlock(&e->rwlock);
	rt_mutex_unlock(&e->mutex);
	unit_count(&e->ended);
}

static void in_offload(void *arg)
{
	struct everywhere *e = arg;

	unit_count(&e->offloaded);
	/* the stop waits for what is under way */
	for (int i = 0; i < 100; i++)
		sched_yield();
	unit_count(&e->offloaded);
}

static void in_mutex(struct everywhere *e)
{
	rt_mutex_lock(&e->mutex); /* not ended by the stop, but by who holds it */
	rt_mutex_unlock(&e->mutex);
}

static void in_mutex_until(struct everywhere *e)
{
	if (status_ok(rt_mutex_lock_until(&e->mutex, CLOCK_NEVER)))
		rt_mutex_unlock(&e->mutex);
}

static void in_cond(struct everywhere *e)
{
	struct rt_mutex mutex = {0};

	rt_mutex_lock(&mutex);
	CHECK_STATUS(rt_cond_wait(&e->cond, &mutex, CLOCK_NEVER), CANCELLED);
	rt_mutex_unlock(&mutex);
}

static void in_sem(struct everywhere *e)
{
	CHECK_STATUS(rt_sem_wait(&e->sem, CLOCK_NEVER), CANCELLED);
}

static void in_read(struct everywhere *e)
{
	if (status_ok(rt_rwlock_read(&e->rwlock, CLOCK_NEVER)))
		rt_rwlock_unlock(&e->rwlock);
}

static void in_write(struct everywhere *e)
{
	if (status_ok(rt_rwlock_write(&e->rwlock, CLOCK_NEVER)))
		rt_rwlock_unlock(&e->rwlock);
}

static void in_receive(struct everywhere *e)
{
	void *item;

	CHECK_STATUS(rt_channel_receive(&e->empty, &item, CLOCK_NEVER), CANCELLED);
}

static void in_send(struct everywhere *e)
{
	CHECK_STATUS(rt_channel_send(&e->full, e, CLOCK_NEVER), CANCELLED);
}

static void in_group(struct everywhere *e)
{
	CHECK_STATUS(rt_group_wait(&e->group, CLOCK_NEVER), CANCELLED);
}

static void in_join(struct everywhere *e)
{
	struct status s = rt_join(e->holder);

	CHECK(status_ok(s) || status_is(s, STATUS_CANCELLED) || status_is(s, STATUS_EXISTS) ||
	      status_is(s, STATUS_STALE));
}

static void in_sleep(struct everywhere *e)
{
	(void)e;
	CHECK_STATUS(rt_sleep(3600 * NS_PER_S), CANCELLED);
}

static void in_yield(struct everywhere *e)
{
	(void)e;
	while (!rt_cancelled())
		rt_yield();
}

static void in_rt_offload(struct everywhere *e)
{
	CHECK_OK(rt_offload(in_offload, e));
}

static void (*const places[])(struct everywhere *) = {
	in_mutex, in_mutex_until, in_cond, in_sem,   in_read,  in_write,      in_receive,
	in_send,  in_group,       in_join, in_sleep, in_yield, in_rt_offload,
};

struct place {
	struct everywhere *all;
	void (*where)(struct everywhere *);
};

static void be_somewhere(void *arg)
{
	struct place *p = arg;

	unit_count(&p->all->began);
	p->where(p->all);
	/* cleaning up may wait again after it has taken the request back */
	if (rt_cancelled()) {
		rt_cancel_clear();
		CHECK_OK(rt_sleep(1000));
	}
	unit_count(&p->all->ended);
}

static void rt_stop__with_threads_everywhere(void **state)
{
	enum { EACH = 3, PLACES = ARRAY_SIZE(places) };

	(void)state;
	for (int round = 0; round < 10; round++) {
		struct everywhere e = {0};
		struct place p[PLACES * EACH];
		struct rt *rt = unit_start(2);

		e.empty = RT_CHANNEL(e.slots_empty);
		e.full = RT_CHANNEL(e.slots_full);
		assert_ok(rt_channel_try_send(&e.full, NULL));
		e.group.count = 1;
		assert_ok(rt_spawn(rt, NULL, hold_all, &e, &e.holder));
		unit_until(&e.began, 1);
		for (uint32_t i = 0; i < PLACES * EACH; i++) {
			p[i] = (struct place){.all = &e, .where = places[i % PLACES]};
			assert_ok(rt_spawn(rt, NULL, be_somewhere, &p[i], NULL));
		}
		/* sometimes all are where they wait, sometimes some have not begun */
		if (round % 2)
			unit_until(&e.began, 1 + PLACES * EACH);
		rt_stop(rt);
		assert_int_equal(atomic_u32_load(&e.ended, ORDER_ACQUIRE), 1 + PLACES * EACH);
		assert_int_equal(atomic_u32_load(&e.offloaded, ORDER_ACQUIRE), 2 * EACH);
	}
}

struct late {
	struct rt *rt;
	struct status spawned;
	struct atomic_u32 began;
};

static void spawn_when_cancelled(void *arg)
{
	struct late *l = arg;

	unit_count(&l->began);
	CHECK_STATUS(rt_wait(rt_wait_begin("the end"), CLOCK_NEVER), CANCELLED);
	l->spawned = rt_spawn(l->rt, NULL, count, &l->began, NULL);
}

static void rt_stop__no_more_threads(void **state)
{
	struct late l = {.rt = unit_start(2)};

	(void)state;
	assert_ok(rt_spawn(l.rt, NULL, spawn_when_cancelled, &l, NULL));
	unit_until(&l.began, 1);
	rt_stop(l.rt);
	assert_int_equal(l.spawned.code, STATUS_CLOSED);
	assert_int_equal(atomic_u32_load(&l.began, ORDER_ACQUIRE), 1);
}

static void stop_from_within(void *arg)
{
	rt_stop(arg);
}

static void stop_in_child(void *arg)
{
	struct rt *rt = unit_start(1);

	(void)arg;
	status_ignore(rt_call(rt, stop_from_within, rt));
}

static void rt_stop__by_a_user_thread_is_a_crash(void **state)
{
	(void)state;
	assert_dies(stop_in_child, NULL, SIGABRT);
	assert_contains(death_report, "CRASH: assertion failed: rt_current() != rt");
}

/* Threads of a stopped runtime that were never joined are no leak of the next. */
static void rt_stop__with_threads_that_nobody_joined(void **state)
{
	struct rt *rt = unit_start(2);
	struct atomic_u32 ran = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_ok(rt_spawn(rt, NULL, count, &ran, NULL));
	rt_stop(rt);
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_start__over_and_over),
		cmocka_unit_test(rt_start__several_at_once),
		cmocka_unit_test(rt_start__counts_its_cores),
		cmocka_unit_test(rt_start__pins_where_it_is_told),
		cmocka_unit_test(rt_start__in_each_mode),
		cmocka_unit_test(rt_start__what_cannot_be),
		cmocka_unit_test(rt_stop__with_threads_everywhere),
		cmocka_unit_test(rt_stop__no_more_threads),
		cmocka_unit_test(rt_stop__by_a_user_thread_is_a_crash),
		cmocka_unit_test(rt_stop__with_threads_that_nobody_joined),
	};
	return unit_main(tests, argc, argv);
}
