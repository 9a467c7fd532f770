#include "base/clock.h"

#include "unit.h"

static void clock_ns__does_not_go_back(void **state)
{
	uint64_t before = clock_ns();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint64_t now = clock_ns();

		assert_true(now >= before);
		before = now;
	}
}

static void clock_cycles_to_ns__and_back(void **state)
{
	(void)state;
	for (uint64_t ns = 1000; ns < 1000 * NS_PER_S; ns *= 7) {
		uint64_t again = clock_cycles_to_ns(clock_ns_to_cycles(ns));

		assert_in_range(again, ns - ns / 1000 - 2, ns + ns / 1000);
	}
	assert_int_equal(clock_cycles_to_ns(0), 0);
	assert_int_equal(clock_ns_to_cycles(0), 0);
}

static void clock_deadline__never_stays_never(void **state)
{
	uint64_t now = clock_ns();

	(void)state;
	assert_int_equal(clock_deadline(CLOCK_NEVER), CLOCK_NEVER);
	assert_int_equal(clock_deadline(CLOCK_NEVER - 1), CLOCK_NEVER);
	assert_true(clock_deadline(0) >= now);
	assert_true(clock_deadline(NS_PER_S) >= now + NS_PER_S);
}

static void clock_wall_ns__is_plausible(void **state)
{
	(void)state;
	/* after 2020 */
	assert_true(clock_wall_ns() > 1577836800ull * NS_PER_S);
}

static void clock_calibrate__again_agrees(void **state)
{
	struct clock_scale before = clock_scale;

	(void)state;
	clock_calibrate();
	assert_in_range(clock_scale.ns_per_cycle_32, before.ns_per_cycle_32 / 2,
			before.ns_per_cycle_32 * 2);
	assert_true(clock_scale.ns_base > before.ns_base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clock_ns__does_not_go_back),
		cmocka_unit_test(clock_cycles_to_ns__and_back),
		cmocka_unit_test(clock_deadline__never_stays_never),
		cmocka_unit_test(clock_wall_ns__is_plausible),
		cmocka_unit_test(clock_calibrate__again_agrees),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
