#include "rt/policy.h"

#include "rt_death.h"

static struct atomic_u32 stop_all;

static void run_until_stopped(void *arg)
{
	(void)arg;
	while (atomic_u32_load(&stop_all, ORDER_ACQUIRE) == 0)
		unit_yield();
}

/* Returns when the caller runs elsewhere: it moves when it next runs. */
static void until_not_on(uint32_t core)
{
	while (rt_core_number() == core)
		unit_yield();
}

struct mover {
	uint32_t from;
	struct rt_wait ticket;
	struct atomic_u32 began;
	struct atomic_u32 moved;
	bool blocks;
};

/* Begins on a core that is taken away, and ends elsewhere. */
static void be_moved(void *arg)
{
	struct mover *m = arg;

	CHECK(rt_core_number() == m->from);
	m->ticket = rt_wait_begin("to be moved");
	unit_count(&m->began);
	if (m->blocks)
		CHECK_OK(rt_wait(m->ticket, clock_deadline(3600 * NS_PER_S)));
	until_not_on(m->from);
	unit_count(&m->moved);
}

static void stay(void *arg)
{
	struct mover *m = arg;

	m->ticket = rt_wait_begin("to stay");
	unit_count(&m->began);
	CHECK_OK(rt_wait(m->ticket, CLOCK_NEVER));
	for (int i = 0; i < 1000; i++) {
		CHECK(rt_core_number() == m->from);
		unit_yield();
	}
	unit_count(&m->moved);
}

static struct rt_id spawn_class(struct rt *rt, uint8_t class, void (*entry)(void *), void *arg)
{
	struct rt_attr attr = {.core = RT_CORE_ANY, .class = class};
	struct rt_id id;

	assert_ok(rt_spawn(rt, &attr, entry, arg, &id));
	return id;
}

/* ---- isolated -------------------------------------------------------------------------------- */

static struct atomic_u32 wrong_core;

/* Runs a while and notes whether it ever was on a core that is not one of its class's. */
static void run_on_the_last(void *arg)
{
	uint32_t core = *(uint32_t *)arg;

	for (int i = 0; i < 200; i++) {
		if (rt_core_number() != core)
			unit_count(&wrong_core);
		if (i % 50 == 0)
			CHECK_OK(rt_sleep(1000));
		else
			rt_yield();
	}
}

static void run_off_the_last(void *arg)
{
	uint32_t core = *(uint32_t *)arg;

	for (int i = 0; i < 200; i++) {
		if (rt_core_number() == core)
			unit_count(&wrong_core);
		rt_yield();
	}
}

static void until_all_ended(struct rt *rt)
{
	while (runtime_alive(rt) > 0)
		unit_yield();
}

static void rt_class_create__isolated(void **state)
{
	struct rt *rt = unit_start(3);
	uint32_t last = 2;
	uint8_t class;

	(void)state;
	atomic_u32_store(&wrong_core, 0, ORDER_RELAXED);
	assert_ok(rt_class_create(rt, "own", RT_CLASS_KIND_ISOLATED, 1, &class));
	assert_int_equal(rt_class_cores(rt, class), 1);
	assert_int_equal(rt_class_cores(rt, RT_CLASS_SHARED), 2);
	for (int i = 0; i < 20; i++) {
		assert_ok(rt_detach(spawn_class(rt, class, run_on_the_last, &last)));
		assert_ok(rt_detach(spawn_class(rt, RT_CLASS_SHARED, run_off_the_last, &last)));
	}
	until_all_ended(rt);
	assert_int_equal(atomic_u32_load(&wrong_core, ORDER_ACQUIRE), 0);
	rt_stop(rt);
}

static void rt_class_create__what_cannot_be(void **state)
{
	struct rt *rt = unit_start(2);
	uint8_t class = 99;

	(void)state;
	/* a policy that asks for no cores */
	assert_status(rt_class_create(rt, "none", RT_CLASS_KIND_ISOLATED, 0, &class), INVALID);
	assert_contains(diag_text(), "class none: 0 cores, must be 1 to 1");
	assert_status(rt_class_create(rt, "all", RT_CLASS_KIND_ISOLATED, 2, &class), INVALID);
	assert_status(rt_class_create(rt, "most", RT_CLASS_KIND_ISOLATED, UINT32_MAX, &class),
		      INVALID);
	assert_status(rt_class_create(rt, "x", RT_CLASS_KIND_EXCLUSIVE, 1, &class), INVALID);
	assert_contains(diag_text(), "takes cores by itself");
	assert_status(rt_class_create(rt, "x", RT_CLASS_KIND_SHARED, 1, &class), INVALID);
	assert_status(rt_class_create(rt, "x", RT_CLASS_KIND_NONE, 1, &class), INVALID);
	assert_status(rt_class_create(rt, "x", (enum rt_class_kind)17, 1, &class), INVALID);
	assert_int_equal(class, 99);
	assert_int_equal(rt_class_cores(rt, RT_CLASS_SHARED), 2);

	assert_ok(rt_class_create(rt, "one", RT_CLASS_KIND_ISOLATED, 1, &class));
	/* the last core is class 0's for good */
	assert_status(rt_class_create(rt, "two", RT_CLASS_KIND_ISOLATED, 1, &class), LIMIT);
	assert_contains(diag_text(), "class two: 1 more cores, but 0 can be spared");
	assert_int_equal(rt_class_cores(rt, 99), 0);
	rt_stop(rt);
}

static void rt_class_create__up_to_the_limit(void **state)
{
	struct rt *rt = unit_start(1);
	uint8_t class;

	(void)state;
	for (int i = 1; i < RT_CLASSES_MAX; i++) {
		assert_ok(rt_class_create(rt, "many", RT_CLASS_KIND_EXCLUSIVE, 0, &class));
		assert_int_equal(class, i);
	}
	assert_status(rt_class_create(rt, "many", RT_CLASS_KIND_EXCLUSIVE, 0, &class), LIMIT);
	rt_stop(rt);
}

static void rt_class_resize__up_and_down(void **state)
{
	struct rt *rt = unit_start(4);
	uint8_t class, exclusive;

	(void)state;
	assert_ok(rt_class_create(rt, "own", RT_CLASS_KIND_ISOLATED, 1, &class));
	assert_ok(rt_class_create(rt, "alone", RT_CLASS_KIND_EXCLUSIVE, 0, &exclusive));
	assert_ok(rt_class_resize(rt, class, 3));
	assert_int_equal(rt_class_cores(rt, class), 3);
	assert_int_equal(rt_class_cores(rt, RT_CLASS_SHARED), 1);
	assert_status(rt_class_resize(rt, class, 4), LIMIT);
	assert_status(rt_class_resize(rt, class, 0), INVALID);
	assert_contains(diag_text(), "class own: 0 cores, must be 1 to 4");
	assert_status(rt_class_resize(rt, class, 5), INVALID);
	assert_status(rt_class_resize(rt, 9, 1), INVALID);
	assert_status(rt_class_resize(rt, 255, 1), INVALID);
	assert_status(rt_class_resize(rt, exclusive, 1), INVALID);
	assert_int_equal(rt_class_cores(rt, class), 3);
	assert_ok(rt_class_resize(rt, class, 1));
	assert_int_equal(rt_class_cores(rt, RT_CLASS_SHARED), 3);

	/* class 0 gives cores up, which then serve nobody, and takes them back */
	assert_ok(rt_class_resize(rt, RT_CLASS_SHARED, 1));
	assert_int_equal(rt_class_cores(rt, RT_CLASS_SHARED), 1);
	assert_status(rt_class_resize(rt, RT_CLASS_SHARED, 0), INVALID);
	assert_status(rt_class_resize(rt, RT_CLASS_SHARED, 4), LIMIT);
	assert_ok(rt_class_resize(rt, RT_CLASS_SHARED, 3));
	assert_int_equal(rt_class_cores(rt, RT_CLASS_SHARED), 3);
	rt_stop(rt);
}

/* The core that class 0 gives up next, as policy.c chooses: the last of its list. */
static uint32_t next_to_go(struct rt *rt)
{
	const struct policy_class *shared = &rt->policy.classes[RT_CLASS_SHARED];
	uint32_t count = atomic_u32_load(&shared->count, ORDER_ACQUIRE);

	return atomic_u32_load(&shared->cores[count - 1], ORDER_ACQUIRE);
}

/* Puts one thread on the core that is about to go: which spawns go there is the policy's choice. */
static struct rt_id spawn_on(struct rt *rt, uint32_t core, struct mover *m)
{
	struct rt_attr attr = {.core = core};
	struct rt_id id;

	m->from = core;
	assert_ok(rt_spawn(rt, &attr, be_moved, m, &id));
	unit_until(&m->began, 1);
	/* naming a core pins; what a thread of class 0 that came here by chance is not */
	thread_of(id)->pinned = false;
	return id;
}

static void rt_class_resize__moves_ready_and_blocked_threads(void **state)
{
	struct rt *rt = unit_start(2);

	(void)state;
	for (int blocks = 0; blocks < 2; blocks++) {
		struct mover m[6];
		struct rt_id ids[6];
		uint32_t core = next_to_go(rt);

		for (int i = 0; i < 6; i++) {
			m[i] = (struct mover){.blocks = blocks};
			ids[i] = spawn_on(rt, core, &m[i]);
			if (blocks)
				unit_until_blocked(ids[i]);
		}
		assert_ok(rt_class_resize(rt, RT_CLASS_SHARED, 1));
		for (int i = 0; i < 6; i++) {
			if (blocks)
				assert_true(rt_wake(m[i].ticket));
			unit_until(&m[i].moved, 1);
			assert_ok(rt_detach(ids[i]));
		}
		until_all_ended(rt);
		assert_ok(rt_class_resize(rt, RT_CLASS_SHARED, 2));
	}
	rt_stop(rt);
}

static void rt_class_resize__pinned_threads_stay(void **state)
{
	struct rt *rt = unit_start(2);
	struct mover m = {.from = next_to_go(rt)};
	struct rt_attr attr = {.core = m.from, .pinned = true, .detached = true};
	struct rt_id id;

	(void)state;
	assert_ok(rt_spawn(rt, &attr, stay, &m, &id));
	unit_until(&m.began, 1);
	assert_ok(rt_class_resize(rt, RT_CLASS_SHARED, 1));
	assert_true(rt_wake(m.ticket));
	unit_until(&m.moved, 1);
	rt_stop(rt);
}

/* Resizing over and over while threads come, block, wake and end: nobody is lost. */
static void churn(void *arg)
{
	struct atomic_u32 *ended = arg;

	for (int i = 0; i < 20; i++) {
		if (i % 3)
			rt_yield();
		else
			CHECK_OK(rt_sleep((uint64_t)i * 100));
	}
	unit_count(ended);
}

static void rt_class_resize__under_way(void **state)
{
	enum { THREADS = 400 };
	struct rt *rt = unit_start(3);
	struct atomic_u32 ended = {0};
	uint8_t class;

	(void)state;
	assert_ok(rt_class_create(rt, "own", RT_CLASS_KIND_ISOLATED, 1, &class));
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_ok(rt_detach(spawn_class(rt, i % 2 ? class : 0, churn, &ended)));
		if (i % 5 == 0)
			assert_ok(rt_class_resize(rt, class, 1 + i / 5 % 2));
		if (i % 7 == 0)
			assert_ok(rt_class_resize(rt, RT_CLASS_SHARED, 1));
		if (i % 50 == 49)
			unit_until(&ended, i - 49);
	}
	unit_until(&ended, THREADS);
	rt_stop(rt);
}

/* ---- exclusive ------------------------------------------------------------------------------- */

static void note_core(void *arg)
{
	atomic_u32_store(arg, rt_core_number() + 1, ORDER_RELEASE);
	run_until_stopped(NULL);
}

/* Arachne crashed with n exclusive threads on n cores. */
static void rt_spawn__exclusive(void **state)
{
	enum { CORES = 3 };
	struct rt *rt = unit_start(CORES);
	struct atomic_u32 on[CORES] = {0}, shared = {0};
	struct rt_id ids[CORES];
	uint8_t class;

	(void)state;
	assert_ok(rt_class_create(rt, "alone", RT_CLASS_KIND_EXCLUSIVE, 0, &class));
	for (int round = 0; round < 3; round++) {
		struct rt_attr attr = {.core = RT_CORE_ANY, .class = class};

		atomic_u32_store(&stop_all, 0, ORDER_RELEASE);
		for (int i = 0; i < CORES; i++)
			atomic_u32_store(&on[i], 0, ORDER_RELAXED);
		for (int i = 0; i < CORES - 1; i++) {
			ids[i] = spawn_class(rt, class, note_core, &on[i]);
			unit_until(&on[i], 1);
			assert_int_equal(rt_class_cores(rt, 0), CORES - 1 - i);
		}
		assert_status(rt_spawn(rt, &attr, note_core, &on[2], &ids[2]), LIMIT);
		assert_contains(diag_text(), "class 0 keeps the last");
		assert_true(atomic_u32_load(&on[0], ORDER_ACQUIRE) !=
			    atomic_u32_load(&on[1], ORDER_ACQUIRE));
		/* class 0 is served all the same */
		atomic_u32_store(&shared, 0, ORDER_RELEASE);
		spawn_class(rt, 0, note_core, &shared);
		unit_until(&shared, 1);
		for (int i = 0; i < CORES - 1; i++)
			assert_true(atomic_u32_load(&on[i], ORDER_ACQUIRE) !=
				    atomic_u32_load(&shared, ORDER_ACQUIRE));
		atomic_u32_store(&stop_all, 1, ORDER_RELEASE);
		until_all_ended(rt);
		/* their cores are class 0's again */
		assert_int_equal(rt_class_cores(rt, 0), CORES);
	}
	rt_stop(rt);
}

/* An exclusive thread takes the core; who was there moves away when he next runs. */
static void rt_spawn__exclusive_moves_the_others(void **state)
{
	struct rt *rt = unit_start(2);
	uint32_t core = next_to_go(rt);
	struct mover m = {.blocks = true};
	struct atomic_u32 on = {0};
	struct rt_id id = spawn_on(rt, core, &m);
	uint8_t class;

	(void)state;
	unit_until_blocked(id);
	atomic_u32_store(&stop_all, 0, ORDER_RELEASE);
	assert_ok(rt_class_create(rt, "alone", RT_CLASS_KIND_EXCLUSIVE, 0, &class));
	spawn_class(rt, class, note_core, &on);
	unit_until(&on, core + 1);
	assert_true(rt_wake(m.ticket));
	unit_until(&m.moved, 1);
	atomic_u32_store(&stop_all, 1, ORDER_RELEASE);
	rt_stop(rt);
}

/* A spawn that fails leaves the core where it was. */
static void rt_spawn__exclusive_without_a_slot(void **state)
{
	struct rt *rt;
	struct rt_attr attr = {.core = RT_CORE_ANY};
	struct rt_attr alone = attr;
	struct atomic_u32 on = {0};
	struct status s;

	(void)state;
	atomic_u32_store(&stop_all, 0, ORDER_RELEASE);
	assert_ok(rt_start(&(struct rt_config){.cores = 2, .threads_max = 1}, &rt));
	assert_ok(rt_class_create(rt, "alone", RT_CLASS_KIND_EXCLUSIVE, 0, &alone.class));
	/* a core may put a slot that it had at hand into its ring in between; then it is taken
	 * until the thread has ended */
	do {
		while (status_ok(rt_spawn(rt, &attr, run_until_stopped, NULL, NULL)))
			;
		s = rt_spawn(rt, &alone, note_core, &on, NULL);
	} while (status_ok(s) || !strstr(diag_text(), "raise threads_max"));
	assert_int_equal(s.code, STATUS_LIMIT);
	while (rt_class_cores(rt, RT_CLASS_SHARED) != 2)
		unit_yield();
	atomic_u32_store(&stop_all, 1, ORDER_RELEASE);
	rt_stop(rt);
}

/* A core of one's own and a core by name contradict each other. */
static void rt_spawn__exclusive_on_a_named_core(void **state)
{
	struct rt *rt = unit_start(2);
	struct rt_attr attr = {.core = 1};
	struct atomic_u32 on = {0};

	(void)state;
	assert_ok(rt_class_create(rt, "alone", RT_CLASS_KIND_EXCLUSIVE, 0, &attr.class));
	assert_status(rt_spawn(rt, &attr, note_core, &on, NULL), INVALID);
	assert_contains(diag_text(), "exclusive");
	assert_int_equal(rt_class_cores(rt, RT_CLASS_SHARED), 2);
	rt_stop(rt);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_class_create__isolated),
		cmocka_unit_test(rt_class_create__what_cannot_be),
		cmocka_unit_test(rt_class_create__up_to_the_limit),
		cmocka_unit_test(rt_class_resize__up_and_down),
		cmocka_unit_test(rt_class_resize__moves_ready_and_blocked_threads),
		cmocka_unit_test(rt_class_resize__pinned_threads_stay),
		cmocka_unit_test(rt_class_resize__under_way),
		cmocka_unit_test(rt_spawn__exclusive),
		cmocka_unit_test(rt_spawn__exclusive_moves_the_others),
		cmocka_unit_test(rt_spawn__exclusive_without_a_slot),
		cmocka_unit_test(rt_spawn__exclusive_on_a_named_core),
	};
	return unit_main(tests, argc, argv);
}
