#include "base/symbol.h"

#include "unit.h"

static NOINLINE __attribute__((used)) int unexported(int v)
{
	return v + 1;
}

static void symbol_find__functions_that_are_not_exported(void **state)
{
	struct symbol symbol;

	(void)state;
	assert_true(symbol_find((uintptr_t)unexported, &symbol));
	assert_string_equal(symbol.function, "unexported");
	assert_contains(symbol.module, "unit_base_symbol");
	assert_true(symbol.address > 0 && symbol.address < (uintptr_t)unexported);
	/* its last byte but one is within, what lies before it is another function's */
	assert_true(symbol_find((uintptr_t)unexported + 1, &symbol));
	assert_string_equal(symbol.function, "unexported");
	assert_true(symbol_find((uintptr_t)unexported - 1, &symbol));
	assert_true(!symbol.function || strcmp(symbol.function, "unexported") != 0);
}

/* From one module to another and back: the file that is kept mapped changes. */
static void symbol_find__libraries(void **state)
{
	struct symbol symbol;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(symbol_find((uintptr_t)&_cmocka_run_group_tests, &symbol));
		assert_string_equal(symbol.function, "_cmocka_run_group_tests");
		assert_contains(symbol.module, "cmocka");
		assert_true(symbol_find((uintptr_t)unexported, &symbol));
		assert_string_equal(symbol.function, "unexported");
	}
}

static void symbol_find__in_no_module(void **state)
{
	struct symbol symbol;
	int on_the_stack;

	(void)state;
	assert_false(symbol_find(0, &symbol));
	assert_false(symbol_find(0x10, &symbol));
	assert_false(symbol_find((uintptr_t)&on_the_stack, &symbol));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(symbol_find__functions_that_are_not_exported),
		cmocka_unit_test(symbol_find__libraries),
		cmocka_unit_test(symbol_find__in_no_module),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
