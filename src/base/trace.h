/*
 * The trace ring: what happened last, always on.
 *
 * Each slot (base/self.h) has a ring of events; an event is a time stamp, a format and four words,
 * one cache line. Recording is a few plain stores by the slot's owner: about 20 ns, of which the
 * clock is 15. Nobody formats anything until the rings are dumped: on demand by any thread, while
 * others go on recording, and by the crash report. (After HomaModule's and RAMCloud's time trace.)
 *
 *	TRACE("arena %u grew to %lu pages", arena->id, pages);
 *
 * Each event has a sequence, as a seqlock has: a reader that finds it changed drops the event. On
 * the shared slot 0 writers take turns by an atomic index; two writers of whom one is slower than a
 * whole round of the ring could mix their events, which is tolerated.
 */
#pragma once

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/self.h"

#include <stdio.h>

#define TRACE_EVENTS 4096 /* in a ring; a power of two */
#define TRACE_WORDS  4

struct trace_event {
	struct atomic_u64 sequence; /* 1 + number of the event that is in here; 0 while written */
	struct atomic_u64 cycles;
	struct atomic_u64 format;
	struct atomic_u64 words[TRACE_WORDS];
} CACHE_ALIGNED;

struct trace_ring {
	struct atomic_u64 next; /* number of the next event */
	struct trace_event events[TRACE_EVENTS];
};

/* An event, read out. */
struct trace_record {
	uint64_t cycles;
	const char *format;
	uint64_t words[TRACE_WORDS];
	uint32_t slot;
};

/* A place in all rings at once; reading goes forward in time over all slots. */
struct trace_cursor {
	uint32_t slots;
	uint64_t at[SELF_SLOTS];
	uint64_t end[SELF_SLOTS];
};

/*
 * Records an event in the running slot's ring. The format is a string literal with printf's
 * conversions of integers, pointers and %s of strings that live for ever; up to four arguments.
 */
#define TRACE(fmt, ...)                                                                            \
	do {                                                                                       \
		_Static_assert(TRACE_COUNT_(0, ##__VA_ARGS__, 5, 4, 3, 2, 1, 0) <= TRACE_WORDS,    \
			       "TRACE takes at most four arguments");                              \
		if (0)                                                                             \
			trace_check_format("" fmt, ##__VA_ARGS__);                                 \
		trace_event("" fmt, TRACE_WORDS_(0, ##__VA_ARGS__, 0, 0, 0, 0));                   \
	} while (0)

#define TRACE_COUNT_(zero, a, b, c, d, e, n, ...) (n)
#define TRACE_WORDS_(zero, a, b, c, d, ...)                                                        \
	(uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d)

/* Never called: lets the compiler compare format and arguments. */
static inline PRINTF(1, 2) void trace_check_format(const char *format, ...)
{
	(void)format;
}

/* What TRACE() calls. `format` must live for ever. */
void trace_event(const char *format, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* The ring of a slot; slot must be below SELF_SLOTS. Its memory is committed as it is used. */
struct trace_ring *trace_ring_of(uint32_t slot);

/*
 * Sets the cursor before the last `count` events of all slots together (fewer if the rings hold
 * fewer), as they are now: later events are not seen. Async-signal-safe.
 */
void trace_cursor_init(struct trace_cursor *cursor, uint64_t count);

/*
 * The next event in the order of time. False at the end. An event that was overwritten meanwhile is
 * left out. Async-signal-safe.
 */
bool trace_cursor_next(struct trace_cursor *cursor, struct trace_record *ret_record);

/*
 * Writes the last `count` events of all slots, oldest first, one in a line: microseconds before the
 * last of them, slot, text. Async-signal-safe: for the crash report.
 */
void trace_dump_fd(int fd, uint64_t count);

/* The same into a stream, for other uses. */
void trace_dump(FILE *to, uint64_t count);
