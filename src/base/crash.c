#include "base/crash.h"

#include "base/atomic.h"
#include "base/diag.h"
#include "base/os.h"
#include "base/self.h"
#include "base/trace.h"
#include "base/version.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Nested crashes in a report and the frames of AVX-512 registers: 64 KiB leaves room for both. The
 * page more tells our stacks from others': crash_thread_fini() knows them by their size.
 */
#define SIGNAL_STACK_BYTES (65536 + 4096)
#define FRAMES_MAX         64
#define REPORT_FD          STDERR_FILENO

static const struct fatal {
	int number;
	bool has_address;
	const char *name;
	const char *meaning;
} fatals[] = {
	{SIGSEGV, true, "SIGSEGV", "access to memory that is not there or not allowed"},
	{SIGBUS, true, "SIGBUS", "access to memory without anything behind it"},
	{SIGFPE, false, "SIGFPE", "impossible arithmetic"},
	{SIGILL, false, "SIGILL", "impossible instruction"},
	{SIGTRAP, false, "SIGTRAP", "trap"},
	{SIGABRT, false, "SIGABRT", "abort"},
};

static struct atomic_ptr hooks[CRASH_HOOKS_MAX];

/* The crash that is being reported, by the one thread that came first. */
static struct {
	struct atomic_u64 reporter; /* its thread id; 0: no crash yet */
	struct crash crash;
	const char *headline;
	unsigned part; /* of the report that is being written */
	unsigned hook; /* that is being run */
} report;

struct status crash_hook_add(crash_hook *hook)
{
	for (size_t i = 0; i < CRASH_HOOKS_MAX; i++) {
		void *found = NULL;

		if (atomic_ptr_quiet_cas(&hooks[i], &found, (void *)(uintptr_t)hook,
					 ORDER_ACQ_REL) ||
		    found == (void *)(uintptr_t)hook)
			return OK;
	}
	return fail(STATUS_LIMIT, "crash hooks: the limit is %d", CRASH_HOOKS_MAX);
}

static void put(const char *text)
{
	os_write_text(REPORT_FD, text, strlen(text));
}

static void write_headline(void)
{
	put("\ntarn: CRASH: ");
	put(report.headline);
	put("\n");
}

static void write_who(void)
{
	const struct self *s = self_or_null();
	char text[256];
	struct line l;

	line_init(&l, text, sizeof(text));
	line_text(&l, "  " TARN_NAME " ");
	line_text(&l, version_text);
	line_text(&l, " (");
	line_text(&l, version_commit);
	line_text(&l, "), process ");
	line_u64(&l, (uint64_t)getpid());
	line_text(&l, ", kernel thread ");
	line_u64(&l, (uint64_t)os_gettid());
	if (s) {
		line_text(&l, ", slot ");
		line_u64(&l, s->slot);
		line_text(&l, ", thread ");
		line_text(&l, s->thread->name);
	}
	line_char(&l, '\n');
	os_write_text(REPORT_FD, l.text, l.used);
}

static void write_last_failure(void)
{
	const struct self *s = self_or_null();
	const struct diag *d = s ? &s->thread->diag : NULL;
	char text[DIAG_TEXT_BYTES + 256];
	struct line l;

	if (!d || !d->file)
		return;
	line_init(&l, text, sizeof(text));
	line_text(&l, "  its last failure (may be of no matter): ");
	line_text(&l, d->text);
	line_text(&l, " (");
	line_text(&l, d->file);
	line_char(&l, ':');
	line_i64(&l, d->line);
	line_text(&l, ")\n");
	os_write_text(REPORT_FD, l.text, l.used);
}

static void write_backtrace(void)
{
	uintptr_t frames[FRAMES_MAX];

	put("backtrace:\n");
	backtrace_write(REPORT_FD, frames, backtrace_walk(report.crash.at, frames, FRAMES_MAX));
}

/* A crash in a library: frame pointers do not lead out of it, but the unwinder's tables may. */
static void write_unwound(void)
{
	uintptr_t frames[FRAMES_MAX];
	uintptr_t pc = report.crash.at.pc;

	if (pc == 0 || backtrace_is_ours(pc))
		return;
	put("the same by the unwinder's tables:\n");
	backtrace_write(REPORT_FD, frames, backtrace_unwind(pc, frames, FRAMES_MAX));
}

static void run_hooks(void)
{
	while (report.hook < CRASH_HOOKS_MAX) {
		void *hook = atomic_ptr_quiet_load(&hooks[report.hook++], ORDER_ACQUIRE);

		if (hook)
			((crash_hook *)(uintptr_t)hook)(REPORT_FD, &report.crash);
	}
}

static void write_trace(void)
{
	put("last trace events, of all slots:\n");
	trace_dump_fd(REPORT_FD, CRASH_TRACE_COUNT);
}

/* Goes on with the part after the one that crashed, if one did: `report.part` counts up first. */
static void write_parts(void)
{
	static void (*const parts[])(void) = {write_headline,  write_who,     write_last_failure,
					      write_backtrace, write_unwound, run_hooks,
					      write_trace};

	while (report.part < ARRAY_SIZE(parts))
		parts[report.part++]();
	put("tarn: end of the crash report\n");
}

static void alarm_set(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	alarm(CRASH_SECONDS_MAX);
}

/*
 * Reports once in the life of the process. Other threads that crash meanwhile wait here for the
 * end; the reporter itself, when it crashes again, goes on with the next part.
 */
static void report_crash(const struct crash *crash, const char *headline)
{
	uint64_t me = (uint64_t)os_gettid();
	uint64_t reporter = 0;

	if (atomic_u64_quiet_cas(&report.reporter, &reporter, me, ORDER_ACQ_REL)) {
		report.crash = *crash;
		report.headline = headline;
		alarm_set();
	} else if (reporter == me) {
		put("  (this part of the report crashed: ");
		put(headline);
		put(")\n");
		/* a hook that crashed must not keep the others from being heard */
		if (report.hook > 0 && report.hook < CRASH_HOOKS_MAX)
			run_hooks();
	} else {
		os_sleep_ns((CRASH_SECONDS_MAX + 1) * 1000000000ull);
		return;
	}
	write_parts();
}

/* Gives the signal its ordinary effect again and unblocks it for this thread. */
static void restore_default(int number)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigaction(number, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static const struct fatal *fatal_of(int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(fatals); i++)
		if (fatals[i].number == number)
			return &fatals[i];
	return &fatals[0];
}

static void on_signal(int number, siginfo_t *info, void *ucontext)
{
	const struct fatal *f = fatal_of(number);
	bool by_kernel = info->si_code > 0;
	struct crash crash = {
		.signal = number,
		.has_address = f->has_address && by_kernel,
		.address = info->si_addr,
		.at = backtrace_of_signal(ucontext),
	};
	char text[160];
	struct line l;

	line_init(&l, text, sizeof(text));
	line_text(&l, f->name);
	line_text(&l, ": ");
	line_text(&l, f->meaning);
	if (crash.has_address) {
		line_text(&l, ", at ");
		line_address(&l, crash.address);
	} else if (!by_kernel) {
		line_text(&l, ", sent by process ");
		line_i64(&l, info->si_pid);
	}
	report_crash(&crash, l.text);
	restore_default(number);
	/* a fault happens again on return, and the core file shows it where it was */
	if (!by_kernel)
		raise(number);
}

struct status crash_init(void)
{
	struct sigaction action = {.sa_sigaction = on_signal,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	TRY(crash_thread_init());
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(fatals); i++)
		sigaction(fatals[i].number, &action, NULL);
	return OK;
}

/*
 * The old signal stack's description lies at the top end of the new one, because there must be no
 * thread-local variables but self.
 */
struct signal_stack {
	stack_t before;
};

struct status crash_thread_init(void)
{
	size_t page = os_page_bytes();
	stack_t stack = {.ss_size = SIGNAL_STACK_BYTES};
	struct signal_stack *kept;
	void *at;

	/* a guard below: an overflow here must not write over somebody else's memory */
	TRY(os_map(page + SIGNAL_STACK_BYTES + page, page, &at));
	struct status status = os_guard_install(at, page);
	if (!status_ok(status)) {
		status_ignore(os_unmap(at, page + SIGNAL_STACK_BYTES + page));
		return status;
	}
	stack.ss_sp = (char *)at + page;
	kept = (struct signal_stack *)(void *)((char *)stack.ss_sp + SIGNAL_STACK_BYTES);
	if (sigaltstack(&stack, &kept->before) != 0) {
		TRY(os_unmap(at, page + SIGNAL_STACK_BYTES + page));
		return fail(STATUS_BUG, "signal stack: the kernel does not take it");
	}
	return OK;
}

void crash_thread_fini(void)
{
	size_t page = os_page_bytes();
	struct signal_stack *kept;
	stack_t now;

	if (sigaltstack(NULL, &now) != 0 || now.ss_size != SIGNAL_STACK_BYTES ||
	    (now.ss_flags & SS_DISABLE))
		return;
	kept = (struct signal_stack *)(void *)((char *)now.ss_sp + SIGNAL_STACK_BYTES);
	sigaltstack(&kept->before, NULL);
	munmap((char *)now.ss_sp - page, page + SIGNAL_STACK_BYTES + page);
}

static NORETURN void die(const char *headline, struct backtrace_at at)
{
	struct crash crash = {.signal = SIGABRT, .at = at};

	report_crash(&crash, headline);
	restore_default(SIGABRT);
	raise(SIGABRT);
	_exit(127);
}

void assert_failed(const char *file, int line, const char *condition)
{
	char text[512];
	struct line l;

	line_init(&l, text, sizeof(text));
	line_text(&l, "assertion failed: ");
	line_text(&l, condition);
	line_text(&l, " (");
	line_text(&l, file);
	line_char(&l, ':');
	line_i64(&l, line);
	line_char(&l, ')');
	die(text, backtrace_here());
}

void panic(const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	int used = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (used < 0)
		used = 0;
	if ((size_t)used < sizeof(text))
		snprintf(text + used, sizeof(text) - (size_t)used, " (%s:%d)", file, line);
	die(text, backtrace_here());
}
