/*
 * The detail of the last failure of a thread: set once, where the failure arose, read by whoever
 * decides what to do about it. Each user thread has its own, so a suspension never mixes them.
 */
#pragma once

#include "base/status.h"

#define DIAG_TEXT_BYTES 208

struct diag {
	enum status_code code;
	int line;         /* of the origin */
	const char *file; /* of the origin; NULL when nothing has failed */
	char text[DIAG_TEXT_BYTES];
};

/*
 * Sets the running thread's detail and returns its status. The text says what was wrong and what
 * would be right; it is cut at DIAG_TEXT_BYTES.
 */
#define fail(code, ...) status_failed(diag_fail(__FILE__, __LINE__, (code), __VA_ARGS__))

/*
 * fail() for an operating system error: the code comes from the errno value (status_of_errno), and
 * the text ends with its name.
 */
#define fail_errno(error, ...)                                                                     \
	status_failed(diag_fail_errno(__FILE__, __LINE__, (error), __VA_ARGS__))

/* What the functions behind fail() promise, for the compiler's own reasoning: never OK. */
static ALWAYS_INLINE struct status status_failed(struct status s)
{
	if (s.code == STATUS_OK)
		__builtin_unreachable();
	return s;
}

/* What fail() calls: `code` is not OK; the texts of file are borrowed for ever. */
struct status diag_fail(const char *file, int line, enum status_code code, const char *format, ...)
	PRINTF(4, 5);

/* What fail_errno() calls. */
struct status diag_fail_errno(const char *file, int line, int error, const char *format, ...)
	PRINTF(4, 5);

/* The running thread's last detail: "" before the first failure. Valid until the next fail(). */
const char *diag_text(void);

/* The running thread's record, for who must save it and put it back. Never NULL. */
struct diag *diag_self(void);
