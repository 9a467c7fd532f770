#include "base/diag.h"

#include "base/self.h"

#include <errno.h>

#include "unit.h"

static void diag_fail__keeps_text_and_origin(void **state)
{
	struct status s = diag_fail("file.c", 12, STATUS_LIMIT, "files: %d, the limit is %d", 3, 2);

	(void)state;
	assert_int_equal(s.code, STATUS_LIMIT);
	assert_string_equal(diag_text(), "files: 3, the limit is 2");
	assert_int_equal(diag_self()->code, STATUS_LIMIT);
	assert_int_equal(diag_self()->line, 12);
	assert_string_equal(diag_self()->file, "file.c");
}

static void diag_fail__cuts_long_text(void **state)
{
	char text[2 * DIAG_TEXT_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	status_ignore(fail(STATUS_IO, "%s", text));
	assert_int_equal(strlen(diag_text()), DIAG_TEXT_BYTES - 1);
	status_ignore(fail_errno(EIO, "%s", text));
	assert_int_equal(strlen(diag_text()), DIAG_TEXT_BYTES - 1);
}

static void diag_fail_errno__code_and_name(void **state)
{
	(void)state;
	assert_int_equal(fail_errno(ENOSPC, "%s: cannot grow", "log").code, STATUS_NO_SPACE);
	assert_string_equal(diag_text(), "log: cannot grow: ENOSPC");
	assert_int_equal(fail_errno(999999, "x").code, STATUS_IO);
	assert_string_equal(diag_text(), "x: unknown error");
}

static void diag_self__one_for_each_thread(void **state)
{
	struct self *s = self();
	struct self_thread other = {.name = "other"};
	struct self_thread *before = s->thread;

	(void)state;
	status_ignore(fail(STATUS_BUSY, "mine"));
	s->thread = &other;
	status_ignore(fail(STATUS_IO, "its"));
	assert_string_equal(diag_text(), "its");
	s->thread = before;
	assert_string_equal(diag_text(), "mine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(diag_fail__keeps_text_and_origin),
		cmocka_unit_test(diag_fail__cuts_long_text),
		cmocka_unit_test(diag_fail_errno__code_and_name),
		cmocka_unit_test(diag_self__one_for_each_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
