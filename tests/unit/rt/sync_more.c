/* Reader-writer lock, channel and wait group: the other half of sync.c. */
#include "rt_sync.h"

/* ---- reader-writer lock ---------------------------------------------------------------------- */

static void rw_read(void *arg)
{
	struct one *o = arg;

	returned(o, rt_rwlock_read(&o->all->rwlock, o->deadline));
}

static void rw_write(void *arg)
{
	struct one *o = arg;

	returned(o, rt_rwlock_write(&o->all->rwlock, o->deadline));
}

/* Starts one that must block, or one that must not. */
static void rw_start(struct all *a, uint32_t i, void (*entry)(void *), bool blocks)
{
	a->ids[i] = unit_spawn(0, entry, &a->ones[i]);
	if (blocks)
		unit_until_blocked(a->ids[i]);
	else
		CHECK_OK(rt_join(a->ids[i]));
}

static void rwlock_order(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	rw_start(&a, 0, rw_read, false);
	rw_start(&a, 1, rw_read, false);
	rw_start(&a, 2, rw_write, true);
	/* a reader that comes after a waiting writer waits behind it */
	rw_start(&a, 3, rw_read, true);
	rw_start(&a, 4, rw_read, true);
	rw_start(&a, 5, rw_write, true);
	rw_start(&a, 6, rw_read, true);
	rt_rwlock_unlock(&a.rwlock);
	rt_yield();
	CHECK(unit_blocked(a.ids[2])); /* one reader holds it still */
	rt_rwlock_unlock(&a.rwlock);
	CHECK_OK(rt_join(a.ids[2]));
	CHECK(unit_blocked(a.ids[3]));
	rt_rwlock_unlock(&a.rwlock); /* by the writer: two readers come in together */
	CHECK_OK(rt_join(a.ids[3]));
	CHECK_OK(rt_join(a.ids[4]));
	CHECK(unit_blocked(a.ids[5]) && unit_blocked(a.ids[6]));
	rt_rwlock_unlock(&a.rwlock);
	rt_rwlock_unlock(&a.rwlock);
	CHECK_OK(rt_join(a.ids[5]));
	CHECK(unit_blocked(a.ids[6]));
	rt_rwlock_unlock(&a.rwlock);
	CHECK_OK(rt_join(a.ids[6]));
	rt_rwlock_unlock(&a.rwlock);
	CHECK(a.rwlock.holders == 0 && a.rwlock.waiters.first == NULL);
}

static void rt_rwlock__order(void **state)
{
	(void)state;
	unit_run(1, rwlock_order, NULL);
}

/* A writer that gives up lets the readers behind it in. */
static void rwlock_give_up(void *arg)
{
	struct all a;

	(void)arg;
	for (int by_cancel = 0; by_cancel < 2; by_cancel++) {
		all_init(&a);
		rw_start(&a, 0, rw_read, false);
		a.ones[1].deadline = by_cancel ? CLOCK_NEVER : clock_deadline(NS_PER_MS);
		rw_start(&a, 1, rw_write, true);
		rw_start(&a, 2, rw_read, true);
		rw_start(&a, 3, rw_read, true);
		rw_start(&a, 4, rw_write, true);
		if (by_cancel)
			CHECK_OK(rt_cancel(a.ids[1]));
		CHECK_OK(rt_join(a.ids[1]));
		CHECK(a.ones[1].status.code == (by_cancel ? STATUS_CANCELLED : STATUS_TIMEOUT));
		CHECK_OK(rt_join(a.ids[2]));
		CHECK_OK(rt_join(a.ids[3]));
		CHECK(a.rwlock.holders == 3 && unit_blocked(a.ids[4]));
		for (int i = 0; i < 3; i++)
			rt_rwlock_unlock(&a.rwlock);
		CHECK_OK(rt_join(a.ids[4]));
		CHECK(a.rwlock.holders == -1);
		CHECK_STATUS(rt_rwlock_read(&a.rwlock, 1), TIMEOUT);
		CHECK_STATUS(rt_rwlock_write(&a.rwlock, 1), TIMEOUT);
		rt_rwlock_unlock(&a.rwlock);
		CHECK(a.rwlock.holders == 0 && a.rwlock.waiters.first == NULL);
	}
}

static void rt_rwlock__gives_up(void **state)
{
	(void)state;
	unit_run(1, rwlock_give_up, NULL);
}

static void rwlock_work(void *arg)
{
	struct one *o = arg;
	struct all *a = o->all;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t deadline = (i + o->number) % 3 ? CLOCK_NEVER : deadline_near(i);

		if ((i + o->number) % 4 == 0) {
			if (!ok_or_timeout(rt_rwlock_write(&a->rwlock, deadline)))
				continue;
			CHECK(unit_count(&a->inside) == 0);
			a->plain++;
			atomic_u64_add(&a->sum, 1, ORDER_RELAXED);
			atomic_u32_add(&a->inside, (uint32_t)-1, ORDER_ACQ_REL);
		} else {
			if (!ok_or_timeout(rt_rwlock_read(&a->rwlock, deadline)))
				continue;

			uint64_t before = a->plain;

			if (i % 4 == 0)
				rt_yield();
			CHECK(a->plain == before);
			CHECK(atomic_u32_load(&a->inside, ORDER_ACQUIRE) == 0);
		}
		rt_rwlock_unlock(&a->rwlock);
	}
}

static void rwlock_contend(void *arg)
{
	static struct all a;

	(void)arg;
	all_init(&a);
	run_workers(&a, rwlock_work);
	CHECK(a.plain == atomic_u64_load(&a.sum, ORDER_RELAXED));
	CHECK(a.rwlock.holders == 0 && a.rwlock.waiters.first == NULL);
}

static void rt_rwlock__contended(void **state)
{
	(void)state;
	unit_run(2, rwlock_contend, NULL);
}

static void unlock_a_free_rwlock(void *arg)
{
	struct rt_rwlock l = {0};

	(void)arg;
	rt_rwlock_unlock(&l);
}

static void rt_rwlock_unlock__of_a_free_one_is_a_crash(void **state)
{
	void (*body)(void *) = unlock_a_free_rwlock;

	(void)state;
	assert_dies(run_in_child, &body, SIGABRT);
	assert_contains(death_report, "CRASH: assertion failed: l->holders != 0");
}

/* ---- channel --------------------------------------------------------------------------------- */

static void *item(uintptr_t n)
{
	return (void *)n;
}

static void channel_send(void *arg)
{
	struct one *o = arg;

	returned(o, rt_channel_send(&o->all->channel, item(o->number + 1), o->deadline));
}

static void channel_receive(void *arg)
{
	struct one *o = arg;

	o->item = item(99);
	returned(o, rt_channel_receive(&o->all->channel, &o->item, o->deadline));
}

static void channel_order(void *arg)
{
	struct all a;
	void *got;

	(void)arg;
	all_init(&a);
	/* five senders, two places: two return at once, three wait in order */
	for (uint32_t i = 0; i < 5; i++) {
		a.ids[i] = unit_spawn(0, channel_send, &a.ones[i]);
		if (i < 2)
			CHECK_OK(rt_join(a.ids[i]));
		else
			unit_until_blocked(a.ids[i]);
	}
	CHECK(rt_channel_try_send(&a.channel, item(77)).code == STATUS_BUSY);
	for (uintptr_t i = 1; i <= 5; i++) {
		if (i % 2)
			CHECK_OK(rt_channel_receive(&a.channel, &got, CLOCK_NEVER));
		else
			CHECK_OK(rt_channel_try_receive(&a.channel, &got));
		CHECK(got == item(i));
	}
	CHECK(rt_channel_try_receive(&a.channel, &got).code == STATUS_BUSY);
	for (uint32_t i = 2; i < 5; i++) {
		CHECK_OK(rt_join(a.ids[i]));
		CHECK(a.ones[i].order == i + 1);
	}

	/* receivers wait in order, and NULL is an item like any other */
	start_blocked(&a, 3, channel_receive);
	CHECK_OK(rt_channel_try_send(&a.channel, item(10)));
	CHECK_OK(rt_channel_send(&a.channel, NULL, CLOCK_NEVER));
	CHECK_OK(rt_channel_send(&a.channel, item(12), CLOCK_NEVER));
	join_all(&a, 3);
	CHECK(a.ones[0].item == item(10) && a.ones[1].item == NULL && a.ones[2].item == item(12));
	CHECK(a.channel.count == 0);
}

static void rt_channel__order(void **state)
{
	(void)state;
	unit_run(1, channel_order, NULL);
}

static void channel_give_up(void *arg)
{
	struct all a;
	void *got = item(5);

	(void)arg;
	all_init(&a);
	a.ones[0].deadline = clock_deadline(NS_PER_MS);
	start_blocked(&a, 3, channel_receive);
	CHECK_OK(rt_cancel(a.ids[1]));
	CHECK_OK(rt_join(a.ids[0]));
	CHECK_OK(rt_join(a.ids[1]));
	CHECK_STATUS(a.ones[0].status, TIMEOUT);
	CHECK_STATUS(a.ones[1].status, CANCELLED);
	CHECK(a.ones[0].item == item(99) && a.ones[1].item == item(99));
	CHECK_OK(rt_channel_send(&a.channel, item(1), CLOCK_NEVER));
	CHECK_OK(rt_join(a.ids[2]));
	CHECK(a.ones[2].item == item(1));
	CHECK_STATUS(rt_channel_receive(&a.channel, &got, 1), TIMEOUT);
	CHECK(got == item(5));

	CHECK_OK(rt_channel_try_send(&a.channel, item(1)));
	CHECK_OK(rt_channel_try_send(&a.channel, item(2)));
	a.ones[0].deadline = clock_deadline(NS_PER_MS);
	start_blocked(&a, 3, channel_send); /* items 1, 2, 3 again */
	CHECK_OK(rt_cancel(a.ids[1]));
	CHECK_OK(rt_join(a.ids[0]));
	CHECK_OK(rt_join(a.ids[1]));
	CHECK_STATUS(a.ones[0].status, TIMEOUT);
	CHECK_STATUS(a.ones[1].status, CANCELLED);
	for (uintptr_t i = 1; i <= 3; i++) {
		CHECK_OK(rt_channel_receive(&a.channel, &got, CLOCK_NEVER));
		CHECK(got == item(i));
	}
	CHECK_OK(rt_join(a.ids[2]));
	CHECK(a.channel.count == 0 && !a.channel.senders.first && !a.channel.receivers.first);
}

static void rt_channel__gives_up(void **state)
{
	(void)state;
	unit_run(1, channel_give_up, NULL);
}

static void channel_close(void *arg)
{
	struct all a;
	void *got = item(5);

	(void)arg;
	all_init(&a);
	start_blocked(&a, 2, channel_receive);
	rt_channel_close(&a.channel);
	join_all(&a, 2);
	CHECK_STATUS(a.ones[0].status, CLOSED);
	CHECK_STATUS(a.ones[1].status, CLOSED);
	CHECK(a.ones[0].item == item(99));

	/* what was sent before can be received, what waited was not sent */
	all_init(&a);
	CHECK_OK(rt_channel_try_send(&a.channel, item(1)));
	CHECK_OK(rt_channel_try_send(&a.channel, item(2)));
	start_blocked(&a, 2, channel_send);
	rt_channel_close(&a.channel);
	rt_channel_close(&a.channel);
	join_all(&a, 2);
	CHECK_STATUS(a.ones[0].status, CLOSED);
	CHECK_STATUS(a.ones[1].status, CLOSED);
	CHECK_STATUS(rt_channel_send(&a.channel, item(3), CLOCK_NEVER), CLOSED);
	CHECK_STATUS(rt_channel_try_send(&a.channel, item(3)), CLOSED);
	CHECK_OK(rt_channel_receive(&a.channel, &got, CLOCK_NEVER));
	CHECK(got == item(1));
	CHECK_OK(rt_channel_try_receive(&a.channel, &got));
	CHECK(got == item(2));
	CHECK_STATUS(rt_channel_receive(&a.channel, &got, CLOCK_NEVER), CLOSED);
	CHECK_STATUS(rt_channel_try_receive(&a.channel, &got), CLOSED);
	CHECK(got == item(2));
}

static void rt_channel_close__ends_all_waits(void **state)
{
	(void)state;
	unit_run(1, channel_close, NULL);
}

/* Half send, half receive until it is closed; nothing is lost, doubled or invented. */
static void channel_work(void *arg)
{
	struct one *o = arg;
	struct all *a = o->all;
	void *got;

	if (o->number % 4 < 2) {
		for (uint32_t i = 1; i <= ROUNDS; i++) {
			uint64_t deadline = i % 3 ? CLOCK_NEVER : deadline_near(i);

			if (ok_or_timeout(rt_channel_send(&a->channel, item(i), deadline)))
				atomic_u64_add(&a->sum, i, ORDER_RELAXED);
		}
		if (unit_count(&a->inside) + 1 == WORKERS / 2)
			rt_channel_close(&a->channel);
		return;
	}
	for (uint32_t i = 0;; i++) {
		struct status s = rt_channel_receive(&a->channel, &got,
						     i % 3 ? CLOCK_NEVER : deadline_near(i));

		if (status_is(s, STATUS_CLOSED))
			return;
		if (ok_or_timeout(s))
			atomic_u64_add(&a->sum, -(uint64_t)(uintptr_t)got, ORDER_RELAXED);
	}
}

static void channel_contend(void *arg)
{
	static struct all a;

	(void)arg;
	all_init(&a);
	run_workers(&a, channel_work);
	CHECK(atomic_u64_load(&a.sum, ORDER_RELAXED) == 0);
	CHECK(a.channel.count == 0 && !a.channel.senders.first && !a.channel.receivers.first);
}

static void rt_channel__contended(void **state)
{
	(void)state;
	unit_run(2, channel_contend, NULL);
}

/* ---- wait group ------------------------------------------------------------------------------ */

static void group_wait(void *arg)
{
	struct one *o = arg;

	returned(o, rt_group_wait(&o->all->group, o->deadline));
}

static void group_order(void *arg)
{
	struct all a;

	(void)arg;
	all_init(&a);
	CHECK_OK(rt_group_wait(&a.group, 1)); /* nothing to wait for */
	rt_group_add(&a.group, 2);
	rt_group_add(&a.group, 1);
	a.ones[1].deadline = clock_deadline(NS_PER_MS);
	start_blocked(&a, 5, group_wait);
	CHECK_OK(rt_cancel(a.ids[2]));
	CHECK_OK(rt_join(a.ids[1]));
	CHECK_OK(rt_join(a.ids[2]));
	CHECK_STATUS(a.ones[1].status, TIMEOUT);
	CHECK_STATUS(a.ones[2].status, CANCELLED);
	rt_group_done(&a.group);
	rt_group_done(&a.group);
	rt_yield();
	CHECK(a.returned == 2);
	rt_group_done(&a.group);
	CHECK_OK(rt_join(a.ids[0]));
	CHECK_OK(rt_join(a.ids[3]));
	CHECK_OK(rt_join(a.ids[4]));
	CHECK(a.group.waiters.first == NULL);
}

static void rt_group__wakes_all(void **state)
{
	(void)state;
	unit_run(1, group_order, NULL);
}

/* The first who is woken begins the next round; those who waited with it are woken all the same. */
static void wait_and_add(void *arg)
{
	struct one *o = arg;

	CHECK_OK(rt_group_wait(&o->all->group, CLOCK_NEVER));
	rt_group_add(&o->all->group, 1);
}

static void group_again(void *arg)
{
	struct all a;

	(void)arg;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		all_init(&a);
		rt_group_add(&a.group, 1);
		for (uint32_t k = 0; k < 3; k++) {
			a.ids[k] = unit_spawn(1, wait_and_add, &a.ones[k]);
			unit_until_blocked(a.ids[k]);
		}
		rt_group_done(&a.group);
		join_all(&a, 3);
		CHECK(a.group.count == 3 && a.group.waiters.first == NULL);
	}
}

static void rt_group_wait__used_again_at_once(void **state)
{
	(void)state;
	unit_run(2, group_again, NULL);
}

static void done_too_often(void *arg)
{
	struct rt_group g = {0};

	(void)arg;
	rt_group_add(&g, 1);
	rt_group_done(&g);
	rt_group_done(&g);
}

static void rt_group_done__too_often_is_a_crash(void **state)
{
	void (*body)(void *) = done_too_often;

	(void)state;
	assert_dies(run_in_child, &body, SIGABRT);
	assert_contains(death_report, "CRASH: assertion failed: g->count > 0");
}

/* ---- objects that one of several waiters frees ----------------------------------------------- */

enum { COND, CLOSED, GROUP, KINDS };

struct shared {
	struct rt_mutex mutex;
	struct rt_cond cond;
	struct rt_channel channel;
	void *slots[1];
	struct rt_group group;
	uint32_t references; /* under the mutex */
	int kind;
};

static void wait_and_put(void *arg)
{
	struct shared *s = arg;
	void *got;

	rt_mutex_lock(&s->mutex);
	if (s->kind == COND) {
		CHECK_OK(rt_cond_wait(&s->cond, &s->mutex, CLOCK_NEVER));
	} else {
		rt_mutex_unlock(&s->mutex);
		if (s->kind == CLOSED)
			CHECK_STATUS(rt_channel_receive(&s->channel, &got, CLOCK_NEVER), CLOSED);
		else
			CHECK_OK(rt_group_wait(&s->group, CLOCK_NEVER));
		rt_mutex_lock(&s->mutex);
	}
	bool last = --s->references == 0;
	rt_mutex_unlock(&s->mutex);
	if (last) {
		memset(s, 0xa5, sizeof(*s));
		free(s);
	}
}

/* Whoever wakes several must not touch the object when the last of them has gone. */
static void wake_several(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct shared *s = malloc(sizeof(*s));
		struct rt_id ids[3];

		CHECK(s != NULL);
		*s = (struct shared){.references = 3, .kind = (int)i % KINDS};
		s->channel = RT_CHANNEL(s->slots);
		rt_group_add(&s->group, 1);
		for (uint32_t k = 0; k < 3; k++) {
			ids[k] = unit_spawn(1, wait_and_put, s);
			unit_until_blocked(ids[k]);
		}
		if (s->kind == COND)
			rt_cond_notify_all(&s->cond);
		else if (s->kind == CLOSED)
			rt_channel_close(&s->channel);
		else
			rt_group_done(&s->group);
		for (uint32_t k = 0; k < 3; k++)
			CHECK_OK(rt_join(ids[k]));
	}
}

static void sync__freed_by_the_last_who_was_woken(void **state)
{
	(void)state;
	unit_run(2, wake_several, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_rwlock__order),
		cmocka_unit_test(rt_rwlock__gives_up),
		cmocka_unit_test(rt_rwlock__contended),
		cmocka_unit_test(rt_rwlock_unlock__of_a_free_one_is_a_crash),
		cmocka_unit_test(rt_channel__order),
		cmocka_unit_test(rt_channel__gives_up),
		cmocka_unit_test(rt_channel_close__ends_all_waits),
		cmocka_unit_test(rt_channel__contended),
		cmocka_unit_test(rt_group__wakes_all),
		cmocka_unit_test(rt_group_wait__used_again_at_once),
		cmocka_unit_test(rt_group_done__too_often_is_a_crash),
		cmocka_unit_test(sync__freed_by_the_last_who_was_woken),
	};
	return unit_main(tests, argc, argv);
}
