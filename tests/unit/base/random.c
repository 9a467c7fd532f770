#include "base/random.h"

#include "unit.h"

/* The sequence of the published C code (state 1, 2, 3, 4) and of SplitMix64 (seed 1234567). */
static void random_u64__golden(void **state)
{
	struct random r = {.s = {1, 2, 3, 4}};
	static const uint64_t first[] = {11520, 0, 1509978240, 1215971899390074240ull};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		assert_int_equal(random_u64(&r), first[i]);
	random_init(&r, 1234567);
	assert_int_equal(r.s[0], 6457827717110365317ull);
	assert_int_equal(r.s[1], 3203168211198807973ull);
}

static void random_init__seed_decides(void **state)
{
	struct random a, b;

	(void)state;
	random_init(&a, 0);
	random_init(&b, 0);
	assert_int_equal(random_u64(&a), random_u64(&b));
	random_init(&b, 1);
	assert_int_not_equal(random_u64(&a), random_u64(&b));
}

static void random_below__every_value_about_as_often(void **state)
{
	unsigned seen[7] = {0};
	struct random r;

	(void)state;
	random_init(&r, 42);
	for (int i = 0; i < 70000; i++) {
		uint64_t v = random_below(&r, 7);

		assert_true(v < 7);
		seen[v]++;
	}
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 9600, 10400);
}

/* For 3 * 2^62 a product without rejection would give a third of the values twice as often. */
static void random_below__unbiased_at_large_bounds(void **state)
{
	uint64_t below = 3ull << 62;
	unsigned low = 0;
	struct random r;

	(void)state;
	random_init(&r, 7);
	for (int i = 0; i < 30000; i++)
		if (random_below(&r, below) % 3 == 0)
			low++;
	assert_in_range(low, 9700, 10300);
}

static void random_below__one(void **state)
{
	struct random r;

	(void)state;
	random_init(&r, 9);
	for (int i = 0; i < 10; i++)
		assert_int_equal(random_below(&r, 1), 0);
}

static void random_between__both_ends(void **state)
{
	bool first = false, last = false;
	struct random r;

	(void)state;
	random_init(&r, 3);
	for (int i = 0; i < 200; i++) {
		uint64_t v = random_between(&r, 5, 8);

		assert_in_range(v, 5, 8);
		first |= v == 5;
		last |= v == 8;
	}
	assert_true(first && last);
	random_between(&r, 0, UINT64_MAX);
	assert_int_equal(random_between(&r, 6, 6), 6);
}

static void random_double__below_one(void **state)
{
	struct random r;
	double sum = 0;

	(void)state;
	random_init(&r, 11);
	for (int i = 0; i < 10000; i++) {
		double v = random_double(&r);

		assert_true(v >= 0 && v < 1);
		sum += v;
	}
	assert_true(sum > 4850 && sum < 5150);
}

static void random_one_in__its_share(void **state)
{
	struct random r;
	unsigned hits = 0;

	(void)state;
	random_init(&r, 13);
	for (int i = 0; i < 10000; i++)
		hits += random_one_in(&r, 10);
	assert_in_range(hits, 880, 1120);
}

static void random_fork__independent_of_the_parent(void **state)
{
	struct random parent, child, again;

	(void)state;
	random_init(&parent, 1);
	random_fork(&parent, &child);
	random_fork(&parent, &again);
	assert_int_not_equal(random_u64(&child), random_u64(&again));
}

static void random_bytes__exactly_as_many(void **state)
{
	unsigned char bytes[24];
	struct random r;

	(void)state;
	memset(bytes, 0xaa, sizeof(bytes));
	random_init(&r, 1);
	random_bytes(&r, bytes, 19);
	for (int i = 19; i < 24; i++)
		assert_int_equal(bytes[i], 0xaa);
	random_init(&r, 1);
	uint64_t first = random_u64(&r);
	assert_memory_equal(bytes, &first, sizeof(first));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_u64__golden),
		cmocka_unit_test(random_init__seed_decides),
		cmocka_unit_test(random_below__every_value_about_as_often),
		cmocka_unit_test(random_below__unbiased_at_large_bounds),
		cmocka_unit_test(random_below__one),
		cmocka_unit_test(random_between__both_ends),
		cmocka_unit_test(random_double__below_one),
		cmocka_unit_test(random_one_in__its_share),
		cmocka_unit_test(random_fork__independent_of_the_parent),
		cmocka_unit_test(random_bytes__exactly_as_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
