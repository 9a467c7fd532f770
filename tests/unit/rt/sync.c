/* Mutex, condition and semaphore; the other objects are in sync_more.c. */
#include "rt_sync.h"

/* ---- mutex ----------------------------------------------------------------------------------- */

static void mutex_wait(void *arg)
{
	struct one *o = arg;
	struct rt_mutex *m = &o->all->mutex;
	struct status s = rt_mutex_lock_until(m, o->deadline);

	returned(o, s);
	if (status_ok(s))
		rt_mutex_unlock(m);
}

static void mutex_wait_hard(void *arg)
{
	struct one *o = arg;

	rt_mutex_lock(&o->all->mutex);
	returned(o, OK);
	rt_mutex_unlock(&o->all->mutex);
}

static void mutex_order(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	CHECK(rt_mutex_try(&a.mutex));
	CHECK(!rt_mutex_try(&a.mutex));
	start_blocked(&a, WORKERS, mutex_wait_hard);
	CHECK(a.returned == 0);
	rt_mutex_unlock(&a.mutex);
	/* handed over: it was never free in between */
	CHECK(!rt_mutex_try(&a.mutex));
	join_all(&a, WORKERS);
	for (uint32_t i = 0; i < WORKERS; i++)
		CHECK(a.ones[i].order == i + 1);
	CHECK(rt_mutex_try(&a.mutex));
	rt_mutex_unlock(&a.mutex);
	rt_mutex_lock(&a.mutex);
	rt_mutex_unlock(&a.mutex);
}

static void rt_mutex_lock__first_come_first_served(void **state)
{
	(void)state;
	unit_run(1, mutex_order, NULL);
}

static void mutex_give_up(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	rt_mutex_lock(&a.mutex);
	a.ones[0].deadline = clock_deadline(NS_PER_MS);
	a.ones[2].deadline = clock_deadline(NS_PER_MS);
	start_blocked(&a, 5, mutex_wait);
	CHECK_OK(rt_cancel(a.ids[3]));
	CHECK_OK(rt_join(a.ids[0]));
	CHECK_OK(rt_join(a.ids[2]));
	CHECK_OK(rt_join(a.ids[3]));
	CHECK_STATUS(a.ones[0].status, TIMEOUT);
	CHECK_STATUS(a.ones[2].status, TIMEOUT);
	CHECK_STATUS(a.ones[3].status, CANCELLED);
	/* those who gave up are off the list, the others on it in order */
	CHECK(a.mutex.waiters.first == thread_of(a.ids[1]));
	CHECK(a.mutex.waiters.last == thread_of(a.ids[4]));
	rt_mutex_unlock(&a.mutex);
	CHECK_OK(rt_join(a.ids[1]));
	CHECK_OK(rt_join(a.ids[4]));
	CHECK(a.ones[1].order < a.ones[4].order);
	CHECK(a.mutex.waiters.first == NULL);
	CHECK_OK(rt_mutex_lock_until(&a.mutex, 1)); /* free: the deadline does not matter */
	rt_mutex_unlock(&a.mutex);
}

static void rt_mutex_lock_until__gives_up(void **state)
{
	(void)state;
	unit_run(1, mutex_give_up, NULL);
}

static void mutex_hard(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	rt_mutex_lock(&a.mutex);
	start_blocked(&a, 1, mutex_wait_hard);
	CHECK_OK(rt_cancel(a.ids[0]));
	rt_yield();
	CHECK(unit_blocked(a.ids[0]));

	/* nor does a deadline end it: this thread's is over, and its lock waits all the same */
	a.ids[1] = a.ids[0];
	rt_mutex_unlock(&a.mutex);
	uint64_t before = rt_deadline_set(1);
	rt_mutex_lock(&a.mutex);
	rt_deadline_restore(before);
	rt_mutex_unlock(&a.mutex);
	CHECK_OK(rt_join(a.ids[0]));
}

static void rt_mutex_lock__neither_deadline_nor_cancel(void **state)
{
	(void)state;
	unit_run(1, mutex_hard, NULL);
}

static void mutex_work(void *arg)
{
	struct one *o = arg;
	struct all *a = o->all;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		switch ((i + o->number) % 4) {
		case 0:
			if (!rt_mutex_try(&a->mutex))
				continue;
			break;
		case 1:
			if (!ok_or_timeout(rt_mutex_lock_until(&a->mutex, deadline_near(i))))
				continue;
			break;
		default: rt_mutex_lock(&a->mutex); break;
		}
		CHECK(unit_count(&a->inside) == 0);
		a->plain++;
		atomic_u64_add(&a->sum, 1, ORDER_RELAXED);
		if (i % 8 == 0)
			rt_yield();
		CHECK(atomic_u32_exchange(&a->inside, 0, ORDER_ACQ_REL) == 1);
		rt_mutex_unlock(&a->mutex);
	}
}

static void mutex_contend(void *arg)
{
	static struct all a;

	(void)arg;
	all_init(&a);
	run_workers(&a, mutex_work);
	CHECK(a.plain == atomic_u64_load(&a.sum, ORDER_RELAXED));
	CHECK(a.mutex.waiters.first == NULL);
	CHECK(rt_mutex_try(&a.mutex));
	rt_mutex_unlock(&a.mutex);
}

static void rt_mutex__contended(void **state)
{
	(void)state;
	unit_run(2, mutex_contend, NULL);
}

static void lock_twice(void *arg)
{
	struct rt_mutex m = {0};

	(void)arg;
	rt_mutex_lock(&m);
	rt_mutex_lock(&m);
}

static void unlock_a_free_one(void *arg)
{
	struct rt_mutex m = {0};

	(void)arg;
	rt_mutex_unlock(&m);
}

static struct rt_mutex of_another;

static void unlock_anothers(void *arg)
{
	(void)arg;
	rt_mutex_unlock(&of_another);
}

static void unlock_in_another_thread(void *arg)
{
	(void)arg;
	rt_mutex_lock(&of_another);
	CHECK_OK(rt_join(unit_spawn(0, unlock_anothers, NULL)));
}

static void rt_mutex__misuse_is_a_crash(void **state)
{
	void (*bodies[])(void *) = {lock_twice, unlock_a_free_one, unlock_in_another_thread};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		assert_dies(run_in_child, &bodies[i], SIGABRT);
		assert_contains(death_report, "CRASH: assertion failed: owner(m) ");
	}
}

/* ---- condition ------------------------------------------------------------------------------- */

static void cond_wait(void *arg)
{
	struct one *o = arg;
	struct all *a = o->all;

	rt_mutex_lock(&a->mutex);
	returned(o, rt_cond_wait(&a->cond, &a->mutex, o->deadline));
	/* whatever came back, the mutex is held */
	CHECK(!rt_mutex_try(&a->mutex));
	rt_mutex_unlock(&a->mutex);
}

static void cond_order(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	rt_cond_notify(&a.cond); /* for nobody: it is not kept */
	start_blocked(&a, 5, cond_wait);
	rt_cond_notify(&a.cond);
	CHECK_OK(rt_join(a.ids[0]));
	rt_yield();
	CHECK(a.returned == 1);
	rt_cond_notify(&a.cond);
	CHECK_OK(rt_join(a.ids[1]));
	rt_yield();
	CHECK(a.returned == 2);
	rt_cond_notify_all(&a.cond);
	for (uint32_t i = 2; i < 5; i++) {
		CHECK_OK(rt_join(a.ids[i]));
		CHECK(a.ones[i].order == i + 1);
	}
	rt_cond_notify_all(&a.cond);
	CHECK(a.cond.waiters.first == NULL);
}

static void rt_cond__oldest_first(void **state)
{
	(void)state;
	unit_run(1, cond_order, NULL);
}

static void cond_give_up(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	a.ones[0].deadline = clock_deadline(NS_PER_MS);
	start_blocked(&a, 4, cond_wait);
	CHECK_OK(rt_cancel(a.ids[1]));
	CHECK_OK(rt_join(a.ids[0]));
	CHECK_OK(rt_join(a.ids[1]));
	CHECK_STATUS(a.ones[0].status, TIMEOUT);
	CHECK_STATUS(a.ones[1].status, CANCELLED);
	CHECK(a.cond.waiters.first == thread_of(a.ids[2]));
	/* Arachne lost this one to the stale entry of a waiter that had timed out */
	rt_cond_notify(&a.cond);
	CHECK_OK(rt_join(a.ids[2]));
	CHECK_OK(a.ones[2].status);
	rt_cond_notify(&a.cond);
	CHECK_OK(rt_join(a.ids[3]));
	CHECK(a.cond.waiters.first == NULL && a.mutex.waiters.first == NULL);
}

static void rt_cond_wait__gives_up(void **state)
{
	(void)state;
	unit_run(1, cond_give_up, NULL);
}

/* A bounded buffer of one place; `plain` is what is in it. */
static void cond_work(void *arg)
{
	struct one *o = arg;
	struct all *a = o->all;
	bool producer = o->number % 4 < 2; /* both kinds on both cores */

	for (uint32_t i = 0; i < ROUNDS; i++) {
		rt_mutex_lock(&a->mutex);
		while (a->plain == (producer ? 1 : 0)) {
			/* some give up early and look again */
			uint64_t deadline = i % 3 ? CLOCK_NEVER : deadline_near(i);

			ok_or_timeout(rt_cond_wait(&a->cond, &a->mutex, deadline));
		}
		a->plain = producer;
		atomic_u64_add(&a->sum, producer ? 1 : -1ull, ORDER_RELAXED);
		/* one condition for both kinds, so all must look */
		rt_cond_notify_all(&a->cond);
		rt_mutex_unlock(&a->mutex);
	}
}

/* Keeps its core looking at its timers. */
static void keep_awake(void *arg)
{
	while (atomic_u32_load(arg, ORDER_ACQUIRE) == 0)
		rt_yield();
}

static void cond_wait_briefly(void *arg)
{
	struct one *o = arg;
	struct all *a = o->all;

	rt_mutex_lock(&a->mutex);
	unit_count(&a->inside);
	ok_or_timeout(rt_cond_wait(&a->cond, &a->mutex, o->deadline));
	rt_mutex_unlock(&a->mutex);
}

/*
 * The notification and the deadline come at the same time; the notifier may have taken the mutex in
 * the name of a waiter that has given up.
 */
static void cond_notify_late(void *arg)
{
	struct atomic_u32 enough = {0};
	struct rt_id awake = unit_spawn(1, keep_awake, &enough);
	struct all a;

	(void)arg;
	for (uint64_t i = 0; i < 3 * ROUNDS; i++) {
		all_init(&a);
		a.ones[0].deadline = clock_deadline(30 * NS_PER_US);
		a.ids[0] = unit_spawn(1, cond_wait_briefly, &a.ones[0]);
		unit_until(&a.inside, 1);
		/* from 2 µs before to 8 µs after: timers fire a little late */
		while (clock_ns() + 2000 < a.ones[0].deadline + i % 100 * 100)
			cpu_relax();
		rt_cond_notify(&a.cond);
		CHECK_OK(rt_join(a.ids[0]));
		CHECK(rt_mutex_try(&a.mutex));
		rt_mutex_unlock(&a.mutex);
	}
	unit_count(&enough);
	CHECK_OK(rt_join(awake));
}

static void rt_cond_notify__against_the_deadline(void **state)
{
	(void)state;
	unit_run(2, cond_notify_late, NULL);
}

static void cond_contend(void *arg)
{
	static struct all a;

	(void)arg;
	all_init(&a);
	run_workers(&a, cond_work);
	CHECK(a.plain == 0 && atomic_u64_load(&a.sum, ORDER_RELAXED) == 0);
	CHECK(a.cond.waiters.first == NULL && a.mutex.waiters.first == NULL);
}

static void rt_cond__contended(void **state)
{
	(void)state;
	unit_run(2, cond_contend, NULL);
}

/* ---- semaphore ------------------------------------------------------------------------------- */

static void sem_take(void *arg)
{
	struct one *o = arg;

	returned(o, rt_sem_wait(&o->all->sem, o->deadline));
}

static void sem_order(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	a.sem = RT_SEM(2);
	CHECK_OK(rt_sem_wait(&a.sem, 1));
	CHECK(rt_sem_try(&a.sem));
	CHECK(!rt_sem_try(&a.sem));
	a.ones[1].deadline = clock_deadline(NS_PER_MS);
	start_blocked(&a, 5, sem_take);
	CHECK_OK(rt_cancel(a.ids[2]));
	CHECK_OK(rt_join(a.ids[1]));
	CHECK_OK(rt_join(a.ids[2]));
	CHECK_STATUS(a.ones[1].status, TIMEOUT);
	CHECK_STATUS(a.ones[2].status, CANCELLED);
	for (int i = 0; i < 3; i++)
		rt_sem_post(&a.sem);
	/* given to those who wait: nobody can come in between */
	CHECK(!rt_sem_try(&a.sem));
	CHECK_OK(rt_join(a.ids[0]));
	CHECK_OK(rt_join(a.ids[3]));
	CHECK_OK(rt_join(a.ids[4]));
	CHECK(a.ones[0].order < a.ones[3].order && a.ones[3].order < a.ones[4].order);
	CHECK(a.sem.waiters.first == NULL && a.sem.count == 0);
	rt_sem_post(&a.sem);
	CHECK(rt_sem_try(&a.sem));
}

static void rt_sem__first_come_first_served(void **state)
{
	(void)state;
	unit_run(1, sem_order, NULL);
}

#define UNITS 3

static void sem_work(void *arg)
{
	struct one *o = arg;
	struct all *a = o->all;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t deadline = (i + o->number) % 3 ? CLOCK_NEVER : deadline_near(i);

		if (i % 5 == 0) {
			if (!rt_sem_try(&a->sem))
				continue;
		} else if (!ok_or_timeout(rt_sem_wait(&a->sem, deadline))) {
			continue;
		}
		CHECK(unit_count(&a->inside) < UNITS);
		if (i % 4 == 0)
			rt_yield();
		atomic_u32_add(&a->inside, (uint32_t)-1, ORDER_ACQ_REL);
		rt_sem_post(&a->sem);
	}
}

static void sem_contend(void *arg)
{
	static struct all a;

	(void)arg;
	all_init(&a);
	a.sem = RT_SEM(UNITS);
	run_workers(&a, sem_work);
	CHECK(a.sem.count == UNITS && a.sem.waiters.first == NULL);
}

static void rt_sem__contended(void **state)
{
	(void)state;
	unit_run(2, sem_contend, NULL);
}

static void *post_from_outside(void *arg)
{
	for (uint32_t i = 0; i < ROUNDS; i++)
		rt_sem_post(arg);
	return NULL;
}

static void sem_take_all(void *arg)
{
	for (uint32_t i = 0; i < ROUNDS; i++)
		CHECK_OK(rt_sem_wait(arg, CLOCK_NEVER));
}

static void rt_sem_post__from_a_foreign_thread(void **state)
{
	static struct rt_sem sem;
	pthread_t thread;

	(void)state;
	assert_ok(os_thread_start(post_from_outside, &sem, "poster", &thread));
	unit_run(2, sem_take_all, &sem);
	os_thread_join(thread);
	assert_int_equal(sem.count, 0);
}

/* ---- objects that their waiter frees at once ------------------------------------------------- */

struct borrowed {
	struct rt_group group;
	struct rt_sem sem;
	uint32_t i;
};

static void use_borrowed(void *arg)
{
	struct borrowed *b = arg;

	for (uint32_t spin = 0; spin < b->i % 64; spin++)
		cpu_relax();
	if (b->i % 2)
		rt_group_done(&b->group);
	else
		rt_sem_post(&b->sem);
}

/* The waker must not touch the object after the wake: AddressSanitizer would tell. */
static void free_at_once(void *arg)
{
	struct rt_attr attr = {.core = 1, .detached = true};

	(void)arg;
	for (uint32_t i = 0; i < 3 * ROUNDS; i++) {
		struct borrowed *b = malloc(sizeof(*b));

		CHECK(b != NULL);
		*b = (struct borrowed){.i = i};
		rt_group_add(&b->group, 1);
		attr.core = i / 2 % 2;
		CHECK_OK(rt_spawn(rt_current(), &attr, use_borrowed, b, NULL));
		for (uint32_t spin = 0; spin < i / 2 % 64; spin++)
			cpu_relax();
		if (i % 2)
			CHECK_OK(rt_group_wait(&b->group, CLOCK_NEVER));
		else
			CHECK_OK(rt_sem_wait(&b->sem, CLOCK_NEVER));
		memset(b, 0xa5, sizeof(*b));
		free(b);
	}
}

static void sync__freed_right_after_the_wake(void **state)
{
	(void)state;
	unit_run(2, free_at_once, NULL);
}

/* An object whose owner is the one who holds its mutex last. */
struct counted {
	struct rt_mutex mutex;
	uint32_t references; /* under the mutex */
};

static void put_counted(void *arg)
{
	struct counted *c = arg;

	rt_mutex_lock(&c->mutex);
	bool last = --c->references == 0;
	rt_mutex_unlock(&c->mutex);
	if (last) {
		memset(c, 0xa5, sizeof(*c));
		free(c);
	}
}

static void put_from_both_cores(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct counted *c = malloc(sizeof(*c));
		struct rt_id ids[4];

		CHECK(c != NULL);
		*c = (struct counted){.references = 4};
		for (uint32_t k = 0; k < 4; k++)
			ids[k] = unit_spawn(k % 2, put_counted, c);
		for (uint32_t k = 0; k < 4; k++)
			CHECK_OK(rt_join(ids[k]));
	}
}

static void rt_mutex__freed_by_its_last_holder(void **state)
{
	(void)state;
	unit_run(2, put_from_both_cores, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_mutex_lock__first_come_first_served),
		cmocka_unit_test(rt_mutex_lock_until__gives_up),
		cmocka_unit_test(rt_mutex_lock__neither_deadline_nor_cancel),
		cmocka_unit_test(rt_mutex__contended),
		cmocka_unit_test(rt_mutex__misuse_is_a_crash),
		cmocka_unit_test(rt_cond__oldest_first),
		cmocka_unit_test(rt_cond_wait__gives_up),
		cmocka_unit_test(rt_cond_notify__against_the_deadline),
		cmocka_unit_test(rt_cond__contended),
		cmocka_unit_test(rt_sem__first_come_first_served),
		cmocka_unit_test(rt_sem__contended),
		cmocka_unit_test(rt_sem_post__from_a_foreign_thread),
		cmocka_unit_test(sync__freed_right_after_the_wake),
		cmocka_unit_test(rt_mutex__freed_by_its_last_holder),
	};
	return unit_main(tests, argc, argv);
}
