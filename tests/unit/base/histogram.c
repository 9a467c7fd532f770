#include "base/histogram.h"

#include "unit.h"

static struct histogram h, other;

static int setup(void **state)
{
	(void)state;
	histogram_init(&h);
	histogram_init(&other);
	return 0;
}

static void histogram_init__is_empty(void **state)
{
	(void)state;
	assert_int_equal(histogram_count(&h), 0);
	assert_int_equal(histogram_min(&h), 0);
	assert_int_equal(histogram_max(&h), 0);
	assert_int_equal(histogram_percentile(&h, 99), 0);
	assert_true(histogram_mean(&h) == 0);
}

static void histogram_bucket__covers_all_values_in_order(void **state)
{
	uint64_t next = 0;

	(void)state;
	for (uint32_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
		uint64_t max = histogram_bucket_max(b);

		assert_int_equal(histogram_bucket(next), b);
		assert_int_equal(histogram_bucket(max), b);
		/* the width of the bucket is at most 1/64 of its least value */
		assert_true(max - next <= next / 64);
		next = max + 1;
	}
	assert_int_equal(next, 0); /* the last one ended with UINT64_MAX */
}

static void histogram_record__small_values_are_exact(void **state)
{
	(void)state;
	for (uint64_t v = 1; v <= 100; v++)
		histogram_record(&h, v);
	assert_int_equal(histogram_percentile(&h, 50), 50);
	assert_int_equal(histogram_percentile(&h, 99), 99);
	assert_int_equal(histogram_percentile(&h, 100), 100);
	assert_int_equal(histogram_percentile(&h, 0), 1);
	assert_int_equal(histogram_count(&h), 100);
	assert_true(histogram_mean(&h) == 50.5);
}

static void histogram_percentile__ranks_round_up(void **state)
{
	(void)state;
	histogram_record(&h, 10);
	histogram_record(&h, 20);
	histogram_record(&h, 30);
	assert_int_equal(histogram_percentile(&h, 33.3), 10);
	assert_int_equal(histogram_percentile(&h, 33.4), 20);
	assert_int_equal(histogram_percentile(&h, 66.7), 30);
	assert_int_equal(histogram_percentile(&h, -5), 10);
	assert_int_equal(histogram_percentile(&h, 500), 30);
}

static void histogram_percentile__never_above_the_maximum(void **state)
{
	(void)state;
	histogram_record(&h, 1000000);
	assert_int_equal(histogram_percentile(&h, 50), 1000000);
	histogram_record(&h, UINT64_MAX);
	assert_int_equal(histogram_percentile(&h, 100), UINT64_MAX);
}

static void histogram_mean__does_not_overflow(void **state)
{
	(void)state;
	histogram_record(&h, UINT64_MAX);
	histogram_record(&h, UINT64_MAX);
	assert_true(histogram_mean(&h) == (double)UINT64_MAX);
}

static void histogram_merge__same_as_recording_in_one(void **state)
{
	static struct histogram both;

	(void)state;
	histogram_init(&both);
	for (uint64_t v = 1; v < 1000000; v = v * 3 + 1) {
		histogram_record(v % 2 ? &h : &other, v);
		histogram_record(&both, v);
	}
	histogram_merge(&h, &other);
	assert_memory_equal(&h, &both, sizeof(h));
}

static void histogram_merge__with_an_empty_one(void **state)
{
	(void)state;
	histogram_record(&h, 7);
	histogram_merge(&h, &other);
	histogram_merge(&other, &h);
	assert_int_equal(histogram_min(&other), 7);
	assert_int_equal(histogram_max(&other), 7);
	assert_int_equal(histogram_count(&other), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(histogram_init__is_empty, setup),
		cmocka_unit_test_setup(histogram_bucket__covers_all_values_in_order, setup),
		cmocka_unit_test_setup(histogram_record__small_values_are_exact, setup),
		cmocka_unit_test_setup(histogram_percentile__ranks_round_up, setup),
		cmocka_unit_test_setup(histogram_percentile__never_above_the_maximum, setup),
		cmocka_unit_test_setup(histogram_mean__does_not_overflow, setup),
		cmocka_unit_test_setup(histogram_merge__same_as_recording_in_one, setup),
		cmocka_unit_test_setup(histogram_merge__with_an_empty_one, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
