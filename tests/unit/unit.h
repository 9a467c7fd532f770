/*
 * What every unit test includes: cmocka with the headers that it wants first, and assertions of
 * ours on top. Cases are named function__case.
 */
#pragma once

#include "base/diag.h"
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka has a fail() too; ours (base/diag.h) stays, fail_msg() is for tests */
#pragma push_macro("fail")
#undef fail
#include <cmocka.h>
#undef fail
#undef fail_msg
#pragma pop_macro("fail")

/* Ends the case as failed, with a message. */
#define fail_msg(...)                                                                              \
	do {                                                                                       \
		print_error(__VA_ARGS__);                                                          \
		print_error("\n");                                                                 \
		_fail(__FILE__, __LINE__);                                                         \
	} while (0)

/* The call must go through; its detail is printed when it does not. */
#define assert_ok(call)                                                                            \
	do {                                                                                       \
		struct status unit_status_ = (call);                                               \
		if (!status_ok(unit_status_))                                                      \
			fail_msg("%s: %s: %s", #call, status_name(unit_status_.code),              \
				 diag_text());                                                     \
	} while (0)

/* The call must fail with STATUS_<code>, and say why. */
#define assert_status(call, expected)                                                              \
	do {                                                                                       \
		struct status unit_status_ = (call);                                               \
		if (unit_status_.code != STATUS_##expected)                                        \
			fail_msg("%s: is %s, should be %s", #call, status_name(unit_status_.code), \
				 status_name(STATUS_##expected));                                  \
		if (STATUS_##expected != STATUS_OK)                                                \
			assert_true(strlen(diag_text()) > 0);                                      \
	} while (0)

static inline void unit_contains(const char *text, const char *part, bool wanted, const char *file,
				 int line)
{
	if (text && (strstr(text, part) != NULL) == wanted)
		return;
	print_error("\"%s\" is %s:\n%s\n", part, wanted ? "not in" : "in", text ? text : "(null)");
	_fail(file, line);
}

/* The text must contain the part; it must not contain it. */
#define assert_contains(text, part) unit_contains((text), (part), true, __FILE__, __LINE__)
#define assert_lacks(text, part)    unit_contains((text), (part), false, __FILE__, __LINE__)
