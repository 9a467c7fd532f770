#include "mem/mem.h"

#include "rt_death.h"

#define CALLERS 4
#define CALLS   (WITH_TSAN || TARN_DEBUG ? 300 : 2000)

struct calls {
	struct rt *rt;
	struct atomic_u32 ran;
	uint32_t here; /* plain: written by the call, read after it */
	bool suspends;
};

static void in_call(void *arg)
{
	struct calls *c = arg;

	CHECK(rt_self().value != 0);
	CHECK(rt_current() == c->rt);
	if (c->suspends)
		CHECK_OK(rt_sleep(1));
	c->here++;
	unit_count(&c->ran);
}

static void rt_call__runs_on_a_core(void **state)
{
	struct calls c = {.rt = unit_start(2)};

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		c.suspends = i % 2;
		assert_ok(rt_call(c.rt, in_call, &c));
		assert_int_equal(c.here, i + 1);
	}
	rt_stop(c.rt);
}

static void *call_from_outside(void *arg)
{
	struct calls *shared = arg;
	struct calls c = {.rt = shared->rt};

	for (uint32_t i = 0; i < CALLS; i++) {
		c.suspends = i % 16 == 0;
		CHECK_OK(rt_call(c.rt, in_call, &c));
		CHECK(c.here == i + 1);
		unit_count(&shared->ran);
	}
	return NULL;
}

static void rt_call__from_foreign_threads_at_once(void **state)
{
	struct calls c = {.rt = unit_start(2)};
	pthread_t threads[CALLERS];

	(void)state;
	for (int i = 0; i < CALLERS; i++)
		assert_ok(os_thread_start(call_from_outside, &c, "caller", &threads[i]));
	for (int i = 0; i < CALLERS; i++)
		os_thread_join(threads[i]);
	assert_int_equal(atomic_u32_load(&c.ran, ORDER_ACQUIRE), CALLERS * CALLS);
	rt_stop(c.rt);
}

static void call_from_a_core(void *arg)
{
	struct calls *c = arg;
	struct rt_guest *g;

	CHECK_STATUS(rt_call(c->rt, in_call, c), INVALID);
	CHECK(strstr(diag_text(), "spawn and join") != NULL);
	CHECK_STATUS(rt_guest_register(c->rt, "me", &g), INVALID);
	CHECK(strstr(diag_text(), "guest me: the caller is a core") != NULL);
	CHECK(c->here == 0);
}

static void rt_call__from_a_core_is_refused(void **state)
{
	struct calls c = {.rt = unit_start(1)};

	(void)state;
	unit_run_in(c.rt, call_from_a_core, &c);
	rt_stop(c.rt);
}

/* ---- guests ---------------------------------------------------------------------------------- */

static void rt_guest_register__gets_a_slot_and_a_name(void **state)
{
	static const struct mem_config memory = {.limit_bytes = 64 << 20};
	static struct mem_tag tag = MEM_TAG("test.guest");
	struct self *before = self();
	struct calls c;
	struct rt_guest *g;

	(void)state;
	assert_ok(mem_start(&memory));
	c = (struct calls){.rt = unit_start(1)};
	assert_ok(rt_guest_register(c.rt, "python", &g));
	assert_string_equal(self()->thread->name, "python");
	assert_true(self()->slot != SELF_SLOT_SHARED);
	assert_null(self()->core);
	assert_int_equal(rt_self().value, 0);

	/* its failures are its own */
	status_ignore(fail(STATUS_IO, "a guest's failure"));
	assert_ok(rt_call(c.rt, in_call, &c));
	assert_string_equal(diag_text(), "a guest's failure");

	/* it allocates through a cache of its own */
	assert_non_null(self()->mem);
	void *at = mem_alloc(100, &tag);
	assert_non_null(at);
	mem_free(at);
	rt_guest_unregister(g);
	assert_ptr_equal(self(), before);
	assert_lacks(diag_text(), "guest");
	rt_stop(c.rt);
	mem_stop();
}

static void *guest_of_its_own(void *arg)
{
	struct calls *c = arg;

	for (int i = 0; i < 50; i++) {
		struct rt_guest *g;

		CHECK_OK(rt_guest_register(c->rt, "guest", &g));
		struct calls own = {.rt = c->rt};
		CHECK_OK(rt_call(c->rt, in_call, &own));
		CHECK(own.here == 1);
		rt_guest_unregister(g);
	}
	return NULL;
}

static void rt_guest_register__many_threads_over_and_over(void **state)
{
	struct calls c = {.rt = unit_start(2)};
	pthread_t threads[CALLERS];

	(void)state;
	for (int i = 0; i < CALLERS; i++)
		assert_ok(os_thread_start(guest_of_its_own, &c, "guest", &threads[i]));
	for (int i = 0; i < CALLERS; i++)
		os_thread_join(threads[i]);
	assert_true(list_empty(&c.rt->guests));
	rt_stop(c.rt);
}

/*
 * A guest of two runtimes at once: the later registration comes first, and gives back the earlier.
 */
static void rt_guest_register__of_two_runtimes(void **state)
{
	struct rt *a = unit_start(1), *b = unit_start(1);
	struct rt_guest *of_a, *of_b;

	(void)state;
	assert_ok(rt_guest_register(a, "of a", &of_a));
	assert_ok(rt_guest_register(b, "of b", &of_b));
	assert_string_equal(self()->thread->name, "of b");
	rt_guest_unregister(of_b);
	assert_string_equal(self()->thread->name, "of a");
	rt_guest_unregister(of_a);
	rt_stop(b);
	rt_stop(a);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static struct calls forked;

static void nothing(void *arg)
{
	(void)arg;
}

/* The cores are in the parent: waiting for them would never end. */
static void use_in_the_child(void *arg)
{
	struct rt_guest *g;
	struct rt *rt;

	(void)arg;
	CHECK_STATUS(rt_spawn(forked.rt, NULL, nothing, NULL, NULL), UNSUPPORTED);
	CHECK(strstr(diag_text(), "forked") != NULL);
	CHECK_STATUS(rt_call(forked.rt, in_call, &forked), UNSUPPORTED);
	CHECK_STATUS(rt_guest_register(forked.rt, "child", &g), UNSUPPORTED);
	rt_stop(forked.rt);
	/* one of its own works */
	CHECK_OK(rt_start(&(struct rt_config){.cores = 1}, &rt));
	forked = (struct calls){.rt = rt};
	CHECK_OK(rt_call(rt, in_call, &forked));
	CHECK(forked.here == 1);
	rt_stop(rt);
}

static void fork__the_child_refuses(void **state)
{
	(void)state;
#if WITH_TSAN
	skip(); /* it gives up on programs that start threads after such a fork */
#endif
	forked = (struct calls){.rt = unit_start(2)};
	int how = death_run(use_in_the_child, NULL);
	if (how != 0)
		fail_msg("the child ended with 0x%x:\n%s", how, death_report);
	/* and the parent goes on */
	assert_ok(rt_call(forked.rt, in_call, &forked));
	assert_int_equal(forked.here, 1);
	rt_stop(forked.rt);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_call__runs_on_a_core),
		cmocka_unit_test(rt_call__from_foreign_threads_at_once),
		cmocka_unit_test(rt_call__from_a_core_is_refused),
		cmocka_unit_test(rt_guest_register__gets_a_slot_and_a_name),
		cmocka_unit_test(rt_guest_register__many_threads_over_and_over),
		cmocka_unit_test(rt_guest_register__of_two_runtimes),
		cmocka_unit_test(fork__the_child_refuses),
	};
	return unit_main(tests, argc, argv);
}
