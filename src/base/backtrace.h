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
 * Puts where the computation at `at` stands, and all that it was called from, into frames[max], and
 * says how many. The first is at.pc unless that is 0; after a call through a wild pointer the
 * caller follows it. Of a return address the last byte of the call is given: the address itself may
 * lie in the next function already, if the called one never returns.
 */
size_t backtrace_walk(struct backtrace_at at, uintptr_t *frames, size_t max);

/*
 * The same by the unwinder's tables (.eh_frame), for the caller's own stack, from the frame of `pc`
 * outwards. It goes through code without frame pointers (the C library), out of a signal handler
 * too, but believes the stack: on a broken one it may crash.
 */
size_t backtrace_unwind(uintptr_t pc, uintptr_t *frames, size_t max);

/* Whether `pc` lies in the program or library that Tarn is part of, which has frame pointers. */
bool backtrace_is_ours(uintptr_t pc);

/*
 * Writes the frames, one in a line: address, function, module and the address within it, which
 * `addr2line -fpie MODULE ADDRESS` takes. Async-signal-safe as symbol_find() is.
 */
void backtrace_write(int fd, const uintptr_t *frames, size_t count);
