/*
 * What Tarn's functions return, and how to learn more about a failure.
 *
 *	#include <tarn/status.h>
 *	#include <stdio.h>
 *
 *	int main(void)
 *	{
 *		struct tarn_status s = {TARN_BUSY};
 *
 *		if (s.code != TARN_OK)
 *			printf("%s: %s\n", tarn_status_name(s), tarn_status_text(s));
 *		return 0;
 *	}
 */
#ifndef TARN_STATUS_H
#define TARN_STATUS_H

#include <tarn/api.h>

TARN_BEGIN_DECLS

/* Codes are promises: their numbers never change. */
enum tarn_code {
	TARN_OK = 0,
	TARN_TIMEOUT = 1,     /* the deadline passed */
	TARN_CANCELLED = 2,   /* the caller cancelled it */
	TARN_BUSY = 3,        /* a limit on work in progress is reached; retry */
	TARN_NOT_FOUND = 4,   /* no such thing */
	TARN_STALE = 5,       /* the id is of something that has ended */
	TARN_EXISTS = 6,      /* it exists already */
	TARN_INVALID = 7,     /* an argument or a setting is wrong */
	TARN_UNSUPPORTED = 8, /* this machine or build cannot do it */
	TARN_CORRUPT = 9,     /* bytes failed their check */
	TARN_NO_MEMORY = 10,  /* the memory limit is reached */
	TARN_NO_SPACE = 11,   /* the disk limit is reached */
	TARN_LIMIT = 12,      /* a configured limit is reached */
	TARN_IO = 13,         /* the operating system or a device failed */
	TARN_CLOSED = 14,     /* the other side has gone */
	TARN_DENIED = 15,     /* not permitted */
	TARN_DEADLOCK = 16,   /* waiting could never end */
	TARN_BUG = 17         /* a state that should not be */
};

/* The outcome of a call. */
struct tarn_status {
	enum tarn_code code;
};

/* The code's short name, "no_memory". */
TARN_API const char *tarn_status_name(struct tarn_status status);

/* What the code means, as a phrase: "the memory limit is reached". */
TARN_API const char *tarn_status_text(struct tarn_status status);

/*
 * The detail of the calling thread's last failure: what was wrong and what would be right. ""
 * before the first. Valid until the thread's next failure. A user thread has its own.
 */
TARN_API const char *tarn_last_error(void);

TARN_END_DECLS

#endif
