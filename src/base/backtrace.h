/*
 * Backtraces by frame pointers (everything is compiled with -fno-omit-frame-pointer), of the caller
 * or of a computation that was interrupted by a signal. Async-signal-safe as far as can be: memory
 * is read through os_memory_peek(), so that a broken stack ends the walk and nothing else.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

/* Where a computation stands. */
struct backtrace_at {
	uintptr_t pc;
	uintptr_t fp; /* frame pointer */
	uintptr_t sp;
};

/* The caller's own place. */
static ALWAYS_INLINE struct backtrace_at backtrace_here(void)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);

	return (struct backtrace_at){.pc = 0, .fp = frame, .sp = frame};
}

/* The place that a signal interrupted: `ucontext` is the third argument of its handler. */
struct backtrace_at backtrace_of_signal(const void *ucontext);

/*
 * Puts the return addresses from `at` outwards into frames[max] and says how many. The first is
 * at.pc unless that is 0; after a call through a wild pointer the caller follows it.
 */
size_t backtrace_walk(struct backtrace_at at, uintptr_t *frames, size_t max);

/* Writes the frames, one in a line, with module, offset and function where these are known. */
void backtrace_write(int fd, const uintptr_t *frames, size_t count);
