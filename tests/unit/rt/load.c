#include "rt/load.h"

#include "unit.h"

static struct load_history history;

static int forget(void **state)
{
	(void)state;
	history = (struct load_history){0};
	return 0;
}

static uint32_t wanted(uint32_t cores, double runnable, double utilised)
{
	struct load_window window = {.cores = cores, .runnable = runnable, .utilised = utilised};

	return load_cores_wanted(&history, &window, 1, 8);
}

static void load_cores_wanted__up_at_one_and_a_half(void **state)
{
	(void)state;
	assert_int_equal(wanted(2, 3.0, 2), 2);
	assert_int_equal(wanted(2, 3.01, 2), 3);
	/* one step at a time, however many are ready */
	assert_int_equal(wanted(2, 1000, 2), 3);
	assert_int_equal(wanted(8, 1000, 8), 8);
}

static void load_cores_wanted__down_with_hysteresis(void **state)
{
	(void)state;
	/* the step up from 2 came when 1.8 were used: below 1.8 - 9 % of 2 they suffice again */
	assert_int_equal(wanted(2, 4, 1.8), 3);
	assert_int_equal(wanted(3, 2, 1.63), 3);
	assert_int_equal(wanted(3, 2, 1.61), 2);
}

static void load_cores_wanted__down_without_a_step_up(void **state)
{
	(void)state;
	assert_int_equal(wanted(4, 1, 2.8), 4);
	assert_int_equal(wanted(4, 1, 2.7), 3);
	/* idle from the start: down to the least. (Arachne never came down, its issue 23.) */
	for (uint32_t cores = 8; cores > 1; cores--)
		assert_int_equal(wanted(cores, 0, 0), cores - 1);
	assert_int_equal(wanted(1, 0, 0), 1);
}

static void load_cores_wanted__down_from_an_idle_step_up(void **state)
{
	(void)state;
	/* all runnable and none of it counted as used: the way down must not be closed for ever */
	assert_int_equal(wanted(1, 50, 0.0), 2);
	assert_int_equal(wanted(2, 0, 0.0), 1);
}

static void load_cores_wanted__within_the_limits(void **state)
{
	struct load_window window = {.cores = 9, .runnable = 100, .utilised = 9};

	(void)state;
	assert_int_equal(load_cores_wanted(&history, &window, 1, 8), 8);
	window.cores = 0;
	assert_int_equal(load_cores_wanted(&history, &window, 2, 8), 2);
	window = (struct load_window){.cores = 3};
	assert_int_equal(load_cores_wanted(&history, &window, 3, 3), 3);
	window.runnable = 100;
	assert_int_equal(load_cores_wanted(&history, &window, 3, 3), 3);
}

/* A steady load makes no oscillation: after a step up it stays, whatever it was. */
static void load_cores_wanted__settles(void **state)
{
	(void)state;
	for (int tenths = 1; tenths < 80; tenths++) {
		double load = tenths / 10.0;
		uint32_t cores = 1, changes = 0;

		history = (struct load_history){0};
		for (int step = 0; step < 100; step++) {
			double used = load < cores ? load : cores;
			double runnable = load < cores ? load : 3.0 * load;
			uint32_t next = wanted(cores, runnable, used);

			changes += step > 20 && next != cores;
			cores = next;
		}
		if (changes > 0)
			fail_msg("a load of %.1f cores: %u changes", load, changes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(load_cores_wanted__up_at_one_and_a_half, forget),
		cmocka_unit_test_setup(load_cores_wanted__down_with_hysteresis, forget),
		cmocka_unit_test_setup(load_cores_wanted__down_without_a_step_up, forget),
		cmocka_unit_test_setup(load_cores_wanted__down_from_an_idle_step_up, forget),
		cmocka_unit_test_setup(load_cores_wanted__within_the_limits, forget),
		cmocka_unit_test_setup(load_cores_wanted__settles, forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
