#include "base/bitmap.h"

#include "unit.h"

#define BITS 200

static uint64_t map[BITMAP_WORDS(BITS)];

static int setup(void **state)
{
	(void)state;
	memset(map, 0, sizeof(map));
	return 0;
}

static void bitmap_words__rounds_up(void **state)
{
	(void)state;
	assert_int_equal(BITMAP_WORDS(0), 0);
	assert_int_equal(BITMAP_WORDS(1), 1);
	assert_int_equal(BITMAP_WORDS(64), 1);
	assert_int_equal(BITMAP_WORDS(65), 2);
}

static void bitmap_set__one_bit(void **state)
{
	(void)state;
	bitmap_set(map, 63);
	bitmap_set(map, 64);
	assert_true(bitmap_get(map, 63) && bitmap_get(map, 64));
	assert_false(bitmap_get(map, 62) || bitmap_get(map, 65));
	bitmap_clear(map, 63);
	assert_false(bitmap_get(map, 63));
	assert_true(bitmap_get(map, 64));
}

static void bitmap_set_range__over_words(void **state)
{
	(void)state;
	bitmap_set_range(map, 60, 80);
	assert_int_equal(bitmap_count_range(map, 0, BITS), 80);
	assert_int_equal(bitmap_find_set(map, BITS, 0), 60);
	assert_int_equal(bitmap_find_clear(map, BITS, 60), 140);
	bitmap_clear_range(map, 61, 78);
	assert_int_equal(bitmap_count_range(map, 0, BITS), 2);
	assert_true(bitmap_get(map, 60) && bitmap_get(map, 139));
}

static void bitmap_set_range__none_and_whole_words(void **state)
{
	(void)state;
	bitmap_set_range(map, 64, 0);
	assert_int_equal(bitmap_count_range(map, 0, BITS), 0);
	bitmap_set_range(map, 64, 64);
	assert_int_equal(map[0], 0);
	assert_int_equal(map[1], UINT64_MAX);
	assert_int_equal(map[2], 0);
}

static void bitmap_find_set__none_and_beyond(void **state)
{
	(void)state;
	assert_int_equal(bitmap_find_set(map, BITS, 0), BITS);
	assert_int_equal(bitmap_find_clear(map, BITS, BITS), BITS);
	/* what lies in the last word behind the map's end does not count */
	bitmap_set(map, BITS);
	assert_int_equal(bitmap_find_set(map, BITS, 0), BITS);
	bitmap_set_range(map, 0, BITS);
	bitmap_clear(map, BITS);
	assert_int_equal(bitmap_find_clear(map, BITS, 0), BITS);
}

static void bitmap_find_clear_run__skips_short_gaps(void **state)
{
	(void)state;
	bitmap_set_range(map, 0, BITS);
	bitmap_clear_range(map, 10, 3);
	bitmap_clear_range(map, 62, 5);
	bitmap_clear_range(map, 190, 10);
	assert_int_equal(bitmap_find_clear_run(map, BITS, 0, 1), 10);
	assert_int_equal(bitmap_find_clear_run(map, BITS, 0, 4), 62);
	assert_int_equal(bitmap_find_clear_run(map, BITS, 64, 4), 190);
	assert_int_equal(bitmap_find_clear_run(map, BITS, 0, 10), 190);
	assert_int_equal(bitmap_find_clear_run(map, BITS, 0, 11), BITS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bitmap_words__rounds_up, setup),
		cmocka_unit_test_setup(bitmap_set__one_bit, setup),
		cmocka_unit_test_setup(bitmap_set_range__over_words, setup),
		cmocka_unit_test_setup(bitmap_set_range__none_and_whole_words, setup),
		cmocka_unit_test_setup(bitmap_find_set__none_and_beyond, setup),
		cmocka_unit_test_setup(bitmap_find_clear_run__skips_short_gaps, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
