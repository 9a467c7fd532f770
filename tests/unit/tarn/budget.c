#include "tarn/budget.h"

#include "unit.h"

static void budget_divide__adds_up(void **state)
{
	static const uint64_t sizes[] = {64ull << 20, (64ull << 20) + 1, 1ull << 30, 6ull << 30,
					 (1ull << 40) + 12345};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct budget budget;
		uint64_t sum = 0;

		budget_divide(sizes[i], &budget);
		for (uint32_t role = 0; role < BUDGET_ROLES; role++) {
			assert_true(budget.part[role].bytes > 0);
			assert_non_null(budget.part[role].role);
			assert_non_null(budget.part[role].use);
			sum += budget.part[role].bytes;
		}
		assert_int_equal(sum, sizes[i]);
	}
}

static void budget_divide__threads(void **state)
{
	struct budget budget;

	(void)state;
	budget_divide(64ull << 20, &budget);
	assert_int_equal(budget.threads_max, 1024);
	budget_divide(1ull << 40, &budget);
	assert_int_equal(budget.threads_max, 1 << 20);
	budget_divide(1ull << 30, &budget);
	assert_true(budget.threads_max > 16000 && budget.threads_max < 17000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budget_divide__adds_up),
		cmocka_unit_test(budget_divide__threads),
	};

	return cmocka_run_group_tests_name("tarn/budget", tests, NULL, NULL);
}
