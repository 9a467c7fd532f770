#include "base/atomic.h"

#include "base/os.h"
#include "base/spinlock.h"

#include "unit.h"

static void atomic__arithmetic_returns_the_value_before(void **state)
{
	struct atomic_u32 a = ATOMIC(5);
	struct atomic_u64 b = ATOMIC(1ull << 40);

	(void)state;
	assert_int_equal(atomic_u32_add(&a, 2, ORDER_RELAXED), 5);
	assert_int_equal(atomic_u32_or(&a, 8, ORDER_ACQUIRE), 7);
	assert_int_equal(atomic_u32_and(&a, 12, ORDER_RELEASE), 15);
	assert_int_equal(atomic_u32_exchange(&a, 1, ORDER_ACQ_REL), 12);
	assert_int_equal(atomic_u32_load(&a, ORDER_SEQ_CST), 1);
	assert_int_equal(atomic_u64_add(&b, 1, ORDER_SEQ_CST), 1ull << 40);
	assert_int_equal(atomic_u64_load(&b, ORDER_ACQUIRE), (1ull << 40) + 1);
	atomic_u64_store(&b, 3, ORDER_RELEASE);
	assert_int_equal(atomic_u64_quiet_add(&b, 1, ORDER_RELAXED), 3);
	assert_int_equal(atomic_u64_quiet_load(&b, ORDER_RELAXED), 4);
}

static void atomic_u32_cas__says_what_it_found(void **state)
{
	struct atomic_u32 a = ATOMIC(5);
	uint32_t expected = 4;

	(void)state;
	assert_false(atomic_u32_cas(&a, &expected, 9, ORDER_ACQ_REL));
	assert_int_equal(expected, 5);
	assert_true(atomic_u32_cas(&a, &expected, 9, ORDER_ACQ_REL));
	assert_int_equal(atomic_u32_load(&a, ORDER_RELAXED), 9);
}

static void atomic_ptr_cas__says_what_it_found(void **state)
{
	int x, y;
	struct atomic_ptr a = ATOMIC(&x);
	void *expected = NULL;

	(void)state;
	assert_false(atomic_ptr_cas(&a, &expected, &y, ORDER_RELAXED));
	assert_ptr_equal(expected, &x);
	assert_true(atomic_ptr_cas(&a, &expected, &y, ORDER_SEQ_CST));
	assert_ptr_equal(atomic_ptr_exchange(&a, NULL, ORDER_ACQ_REL), &y);
	assert_null(atomic_ptr_load(&a, ORDER_ACQUIRE));
}

struct counted {
	struct spinlock lock;
	uint64_t plain; /* guarded by the lock */
};

static void *count(void *arg)
{
	struct counted *c = arg;

	for (int i = 0; i < 20000; i++) {
		spinlock_lock(&c->lock);
		c->plain++;
		spinlock_unlock(&c->lock);
	}
	return NULL;
}

static void spinlock_lock__guards(void **state)
{
	struct counted c = {0};
	pthread_t threads[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_ok(os_thread_start(count, &c, "count", &threads[i]));
	for (int i = 0; i < 2; i++)
		os_thread_join(threads[i]);
	assert_int_equal(c.plain, 40000);
}

static void spinlock_try__fails_while_held(void **state)
{
	struct spinlock lock = {0};

	(void)state;
	assert_true(spinlock_try(&lock));
	assert_false(spinlock_try(&lock));
	spinlock_unlock(&lock);
	assert_true(spinlock_try(&lock));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(atomic__arithmetic_returns_the_value_before),
		cmocka_unit_test(atomic_u32_cas__says_what_it_found),
		cmocka_unit_test(atomic_ptr_cas__says_what_it_found),
		cmocka_unit_test(spinlock_lock__guards),
		cmocka_unit_test(spinlock_try__fails_while_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
