#include "base/cpus.h"

#include "unit.h"

static struct cpus parsed(const char *text)
{
	struct cpus set;

	assert_ok(cpus_parse(text, &set));
	return set;
}

static void cpus_parse__lists_and_ranges(void **state)
{
	struct cpus set = parsed("0-3,7,64-65,1023\n");

	(void)state;
	assert_int_equal(cpus_count(&set), 8);
	assert_true(cpus_has(&set, 3) && cpus_has(&set, 7) && cpus_has(&set, 1023));
	assert_false(cpus_has(&set, 4) || cpus_has(&set, 66) || cpus_has(&set, 99999));
	set = parsed("");
	assert_int_equal(cpus_count(&set), 0);
	set = parsed("\n");
	assert_int_equal(cpus_count(&set), 0);
}

static void cpus_parse__refuses(void **state)
{
	static const char *const wrong[] = {"a",      "-1",  "1-",    "3-1",
					    "1,,2",   "1,",  ",1",    "1024",
					    "0-1024", "1 2", "1-2-3", "99999999999999"};
	struct cpus set = parsed("5");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_status(cpus_parse(wrong[i], &set), INVALID);
	assert_true(cpus_has(&set, 5));
	assert_contains(diag_text(), "0-3,7");
}

static void cpus_format__is_what_parse_reads(void **state)
{
	static const char *const texts[] = {"", "0", "0-1", "0,2,4", "0-3,7,63-64,1022-1023"};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cpus set = parsed(texts[i]);

		cpus_format(&set, text, sizeof(text));
		assert_string_equal(text, texts[i]);
	}
}

static void cpus_nth__counts_members(void **state)
{
	struct cpus set = parsed("2,5-6");

	(void)state;
	assert_int_equal(cpus_nth(&set, 0), 2);
	assert_int_equal(cpus_nth(&set, 2), 6);
	assert_int_equal(cpus_nth(&set, 3), CPUS_MAX);
}

static void cpus_remove__one(void **state)
{
	struct cpus set = parsed("1-3");

	(void)state;
	cpus_remove(&set, 2);
	cpus_remove(&set, 9);
	cpus_add(&set, CPUS_MAX);
	assert_int_equal(cpus_count(&set), 2);
	assert_false(cpus_has(&set, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus_parse__lists_and_ranges),
		cmocka_unit_test(cpus_parse__refuses),
		cmocka_unit_test(cpus_format__is_what_parse_reads),
		cmocka_unit_test(cpus_nth__counts_members),
		cmocka_unit_test(cpus_remove__one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
