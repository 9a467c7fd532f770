#include "base/status.h"

#include <errno.h>

#include "unit.h"

/* Numbers and names are promises: logs and the wire carry them. */
static void status_name__golden(void **state)
{
	static const char *const names[] = {
		"ok",     "timeout", "cancelled",   "busy",    "not_found", "stale",
		"exists", "invalid", "unsupported", "corrupt", "no_memory", "no_space",
		"limit",  "io",      "closed",      "denied",  "deadlock",  "bug",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(status_name((enum status_code)i), names[i]);
	assert_string_equal(status_name((enum status_code)ARRAY_SIZE(names)), "unknown");
}

static void status_text__every_code_has_one(void **state)
{
	(void)state;
#define CHECK(id, number, name, class, text)                                                       \
	assert_true(strlen(status_text(STATUS_##id)) > 0);                                         \
	assert_int_equal(status_class(STATUS_##id), STATUS_CLASS_##class);
	STATUS_CODES(CHECK)
#undef CHECK
	assert_string_equal(status_text((enum status_code)9999), "not a status of ours");
}

static void status_class__unknown_is_a_bug(void **state)
{
	(void)state;
	assert_int_equal(status_class((enum status_code)9999), STATUS_CLASS_BUG);
	assert_string_equal(status_class_name(STATUS_CLASS_RETRY), "retry");
	assert_string_equal(status_class_name((enum status_class)99), "unknown");
}

static void status_of_errno__mapped_and_fallback(void **state)
{
	(void)state;
	assert_int_equal(status_of_errno(ENOMEM, STATUS_IO).code, STATUS_NO_MEMORY);
	assert_int_equal(status_of_errno(EDQUOT, STATUS_IO).code, STATUS_NO_SPACE);
	assert_int_equal(status_of_errno(EACCES, STATUS_IO).code, STATUS_DENIED);
	assert_int_equal(status_of_errno(EXDEV, STATUS_INVALID).code, STATUS_INVALID);
	assert_int_equal(status_of_errno(EXDEV, STATUS_OK).code, STATUS_IO);
	assert_int_equal(status_of_errno(0, STATUS_OK).code, STATUS_IO);
}

static int calls;

static struct status step(enum status_code code)
{
	calls++;
	return (struct status){code};
}

static struct status two_steps(enum status_code first)
{
	TRY(step(first));
	TRY(step(STATUS_OK));
	return OK;
}

static void try__returns_at_the_first_failure(void **state)
{
	(void)state;
	calls = 0;
	assert_int_equal(two_steps(STATUS_BUSY).code, STATUS_BUSY);
	assert_int_equal(calls, 1);
	assert_true(status_ok(two_steps(STATUS_OK)));
	assert_int_equal(calls, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_name__golden),
		cmocka_unit_test(status_text__every_code_has_one),
		cmocka_unit_test(status_class__unknown_is_a_bug),
		cmocka_unit_test(status_of_errno__mapped_and_fallback),
		cmocka_unit_test(try__returns_at_the_first_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
