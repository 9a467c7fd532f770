/*
 * The crash report: what a failed assertion, a PANIC() or a fatal signal leaves behind.
 *
 * The report goes to standard error: what happened, who ran, its last failure, the backtrace of
 * the computation that failed (a user thread's, if it was one), what the hooks know (rt names the
 * thread whose stack overflowed, mem the owner of an address), and the last trace events. Then the
 * process dies by the signal that it got, so that the core file and the exit status are as usual.
 *
 * A part of the report that itself crashes is left and the next one is written. A report that hangs
 * is ended by an alarm after CRASH_SECONDS_MAX. With AddressSanitizer the handlers are
 * installed too: what it finds it reports by itself, and its abort() then gives our report as well;
 * only "SEGV on unknown address" is reported by us instead.
 */
#pragma once

#include "base/assert.h"
#include "base/backtrace.h"
#include "base/compiler.h"
#include "base/line.h"
#include "base/status.h"

#include <stdbool.h>

#define CRASH_SECONDS_MAX 20
#define CRASH_HOOKS_MAX   16
#define CRASH_TRACE_COUNT 200

struct crash {
	int signal;             /* SIGABRT for assertions and panics */
	bool has_address;       /* a memory access failed at `address` */
	const void *address;    /* what was accessed */
	struct backtrace_at at; /* where the computation stood */
};

/*
 * Adds what the hook knows to the report, by os_write_text(fd, …). Runs in a signal handler,
 * perhaps on a small stack, with any lock held by anybody: it reads what it can and allocates
 * nothing.
 */
typedef void crash_hook(int fd, const struct crash *crash);

/* Adds a hook for good. LIMIT after CRASH_HOOKS_MAX. A hook that is added twice runs once. */
struct status crash_hook_add(crash_hook *hook);

/*
 * Installs the handlers of SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGABRT, and readies the
 * calling thread. Not called when Tarn is embedded: assertions report all the same then.
 */
struct status crash_init(void);

/*
 * Gives the calling kernel thread a stack of its own for signals, so that the overflow of another
 * can be reported. Every kernel thread of Tarn calls it first, and crash_thread_fini() last.
 */
struct status crash_thread_init(void);

/* Takes it away and puts back what was there before. */
void crash_thread_fini(void);
