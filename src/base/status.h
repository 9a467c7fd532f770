/*
 * The one error type of Tarn.
 *
 * A function that can fail returns `struct status`. It must be used: dropping it is a warning, and
 * it does not convert to an int. Detail (what, where, expected, found) is set once, at the origin,
 * by fail() in base/diag.h. "Not found", "end" and "would block" are return values where a caller
 * expects them; STATUS_NOT_FOUND is for the caller who had reason to expect something.
 *
 *	struct status start(void)
 *	{
 *		TRY(files_open());
 *		if (n > LIMIT)
 *			return fail(STATUS_LIMIT, "files: %d, the limit is %d", n, LIMIT);
 *		return OK;
 *	}
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

/* What a caller can do about an error. */
enum status_class {
	STATUS_CLASS_OK,
	STATUS_CLASS_RETRY,     /* the same call may go through later */
	STATUS_CLASS_BUSY,      /* a queue or a store is full: retry after a while */
	STATUS_CLASS_NOT_FOUND, /* what was named does not exist (any more) */
	STATUS_CLASS_INVALID,   /* the caller asked for something that cannot be */
	STATUS_CLASS_CORRUPT,   /* bytes from disk or wire that fail their check */
	STATUS_CLASS_LIMIT,     /* memory, disk or a configured limit is used up */
	STATUS_CLASS_IO,        /* the machine below failed */
	STATUS_CLASS_DENIED,    /* not allowed */
	STATUS_CLASS_BUG,       /* a state that should not be */
};

/* code, name on the wire and in logs, class, what it means. Codes are promises: append only. */
#define STATUS_CODES(X)                                                                            \
	X(OK, 0, "ok", OK, "done")                                                                 \
	X(TIMEOUT, 1, "timeout", RETRY, "the deadline passed")                                     \
	X(CANCELLED, 2, "cancelled", RETRY, "the caller cancelled it")                             \
	X(BUSY, 3, "busy", BUSY, "a limit on work in progress is reached; retry")                  \
	X(NOT_FOUND, 4, "not_found", NOT_FOUND, "no such thing")                                   \
	X(STALE, 5, "stale", NOT_FOUND, "the id is of something that has ended")                   \
	X(EXISTS, 6, "exists", INVALID, "it exists already")                                       \
	X(INVALID, 7, "invalid", INVALID, "an argument or a setting is wrong")                     \
	X(UNSUPPORTED, 8, "unsupported", INVALID, "this machine or build cannot do it")            \
	X(CORRUPT, 9, "corrupt", CORRUPT, "bytes failed their check")                              \
	X(NO_MEMORY, 10, "no_memory", LIMIT, "the memory limit is reached")                        \
	X(NO_SPACE, 11, "no_space", LIMIT, "the disk limit is reached")                            \
	X(LIMIT, 12, "limit", LIMIT, "a configured limit is reached")                              \
	X(IO, 13, "io", IO, "the operating system or a device failed")                             \
	X(CLOSED, 14, "closed", IO, "the other side has gone")                                     \
	X(DENIED, 15, "denied", DENIED, "not permitted")                                           \
	X(DEADLOCK, 16, "deadlock", BUG, "waiting could never end")                                \
	X(BUG, 17, "bug", BUG, "a state that should not be")

enum status_code {
#define STATUS_ENUM(id, number, name, class, text) STATUS_##id = (number),
	STATUS_CODES(STATUS_ENUM)
#undef STATUS_ENUM
};

struct MUST_USE_TYPE status {
	enum status_code code;
};

#define OK ((struct status){STATUS_OK})

/* Whether it went through. */
static inline bool status_ok(struct status s)
{
	return s.code == STATUS_OK;
}

/* Whether it is this one. */
static inline bool status_is(struct status s, enum status_code code)
{
	return s.code == code;
}

/* For the rare place where an error is of no consequence: say why in a comment beside it. */
static inline void status_ignore(struct status s)
{
	(void)s;
}

/* Returns from the calling function if `call` failed. The only macro that changes control flow. */
#define TRY(call)                                                                                  \
	do {                                                                                       \
		struct status try_status_ = (call);                                                \
		if (unlikely(!status_ok(try_status_)))                                             \
			return try_status_;                                                        \
	} while (0)

/* The code's short name, as logs and the wire have it ("no_memory"); "unknown" for others. */
const char *status_name(enum status_code code);

/* What the code means, as a phrase ("the memory limit is reached"). */
const char *status_text(enum status_code code);

/* What a caller can do about it. Unknown codes are STATUS_CLASS_BUG. */
enum status_class status_class(enum status_code code);

/* The class's name ("retry"). */
const char *status_class_name(enum status_class class);

/*
 * The status for an errno value of the operating system. `fallback` is used for numbers without a
 * closer meaning (usually STATUS_IO). Never returns OK.
 */
struct status status_of_errno(int error, enum status_code fallback);
