#include "base/crash.h"

#include "base/atomic.h"
#include "base/diag.h"
#include "base/os.h"
#include "base/self.h"
#include "base/trace.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static char report[256 * 1024];

/* Runs `body` in a child, keeps what it wrote to standard error, and returns how it ended. */
static int crash_in_child(void (*body)(void))
{
	int ends[2], how;
	size_t used = 0;
	ssize_t got;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit no_core = {0};

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		body();
		_exit(0);
	}
	close(ends[1]);
	while ((got = read(ends[0], report + used, sizeof(report) - 1 - used)) > 0)
		used += (size_t)got;
	report[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &how, 0), child);
	return how;
}

/* The child must have died by the signal. */
static void assert_dies(void (*body)(void), int signal)
{
	int how = crash_in_child(body);

	if (!WIFSIGNALED(how) || WTERMSIG(how) != signal)
		fail_msg("ended with 0x%x instead of signal %d:\n%s", how, signal, report);
}

/* Hidden from the compiler, which may take an access that must fail as a reason to leave it out. */
static void *volatile wild = (void *)0x18;

static void ready(void)
{
	status_ignore(crash_init());
}

static NOINLINE void fail_an_assertion(void)
{
	TRACE("before the end %d", 42);
	status_ignore(fail(STATUS_LIMIT, "ran out of socks"));
	ASSERT(wild == NULL);
}

static void assert_failed__report(void **state)
{
	(void)state;
	assert_dies(fail_an_assertion, SIGABRT);
	assert_contains(report, "tarn: CRASH: assertion failed: wild == NULL (");
	assert_contains(report, "tests/unit/base/crash.c:");
	assert_contains(report, ", thread foreign\n");
	assert_contains(report, "its last failure (may be of no matter): ran out of socks (");
	assert_contains(report, " fail_an_assertion");
	assert_contains(report, "before the end 42\n");
	assert_contains(report, "tarn: end of the crash report\n");
}

static NOINLINE void panic_now(void)
{
	PANIC("thread %s owes %d", "x", 7);
}

static void panic__report(void **state)
{
	(void)state;
	assert_dies(panic_now, SIGABRT);
	assert_contains(report, "tarn: CRASH: thread x owes 7 (");
	assert_contains(report, " panic_now");
}

static NOINLINE void read_wild(void)
{
	ready();
	*(volatile int *)wild = 1;
}

static void crash_init__segv_names_the_address(void **state)
{
	(void)state;
	assert_dies(read_wild, SIGSEGV);
	assert_contains(report,
			"CRASH: SIGSEGV: access to memory that is not there or not allowed, "
			"at 0x0000000000000018\n");
	assert_contains(report, " read_wild");
}

static NOINLINE void call_wild(void)
{
	ready();
	((void (*volatile)(void))wild)();
	__asm__ volatile(""); /* keeps the call from being a jump */
}

static void crash_init__wild_call_names_the_caller(void **state)
{
	(void)state;
	assert_dies(call_wild, SIGSEGV);
	assert_contains(report, "  #0 0x0000000000000018 ?\n");
	assert_contains(report, " call_wild");
}

static NOINLINE void touch_behind_the_file(void)
{
	int fd;
	void *at;

	ready();
	status_ignore(os_memfd("short", 0, 4096, &fd));
	status_ignore(os_map_file(NULL, 8192, fd, 0, true, &at));
	((volatile char *)at)[4096] = 1;
}

static void crash_init__bus(void **state)
{
	(void)state;
	assert_dies(touch_behind_the_file, SIGBUS);
	assert_contains(report,
			"CRASH: SIGBUS: access to memory without anything behind it, at 0x");
}

static NOINLINE void call_abort(void)
{
	ready();
	abort();
}

static void crash_init__abort_of_a_library(void **state)
{
	(void)state;
	assert_dies(call_abort, SIGABRT);
	assert_contains(report, "CRASH: SIGABRT: abort, sent by process ");
	assert_contains(report, " call_abort");
}

static void impossible_instruction(void)
{
	ready();
	__builtin_trap();
}

static void crash_init__illegal_instruction(void **state)
{
	(void)state;
#if defined(__x86_64__)
	assert_dies(impossible_instruction, SIGILL);
	assert_contains(report, "CRASH: SIGILL: impossible instruction\n");
#else
	(void)impossible_instruction;
	skip();
#endif
}

static void *crash_on_a_guard(void *arg)
{
	/* no stack is left: only the signal stack can report this */
	char *stack_end = arg;

	status_ignore(crash_thread_init());
	*(volatile char *)stack_end = 1;
	return NULL;
}

static NOINLINE void overflow_in_a_thread(void)
{
	pthread_t thread;
	void *guard;

	ready();
	status_ignore(os_map(4096, 4096, &guard));
	status_ignore(os_guard_install(guard, 4096));
	status_ignore(os_thread_start(crash_on_a_guard, guard, "deep", &thread));
	os_thread_join(thread);
}

static void crash_thread_init__other_threads_report_too(void **state)
{
	(void)state;
	assert_dies(overflow_in_a_thread, SIGSEGV);
	assert_contains(report, " crash_on_a_guard");
}

#if !WITH_ASAN && !WITH_TSAN
static NOINLINE uint64_t recurse(volatile char *above)
{
	volatile char frame[512];

	frame[0] = (char)(above[0] + 1);
	if (above == wild) /* never: it lets the compiler hope */
		return 0;
	return recurse(frame) + (uint64_t)frame[0];
}

static void *overflow(void *arg)
{
	volatile char first = 0;

	(void)arg;
	status_ignore(crash_thread_init());
	return (void *)(uintptr_t)recurse(&first);
}

static void overflow_a_stack(void)
{
	pthread_t thread;

	ready();
	status_ignore(os_thread_start(overflow, NULL, "deep", &thread));
	os_thread_join(thread);
}

static void crash_thread_init__a_real_overflow(void **state)
{
	(void)state;
	assert_dies(overflow_a_stack, SIGSEGV);
	assert_contains(report, " recurse");
	assert_contains(report, "tarn: end of the crash report\n");
}
#endif

static void first_hook(int fd, const struct crash *crash)
{
	const char *text = crash->has_address && crash->address == wild ? "the wild one\n" : "?\n";

	os_write_text(fd, text, strlen(text));
}

static UNUSED void crashing_hook(int fd, const struct crash *crash)
{
	(void)crash;
	os_write_text(fd, "hook crashes\n", 13);
	*(volatile int *)((char *)wild + 8) = 1;
}

static void last_hook(int fd, const struct crash *crash)
{
	(void)crash;
	os_write_text(fd, "last hook\n", 10);
}

static NOINLINE void crash_with_hooks(void)
{
	status_ignore(crash_hook_add(first_hook));
	status_ignore(crash_hook_add(crashing_hook));
	status_ignore(crash_hook_add(first_hook));
	status_ignore(crash_hook_add(last_hook));
	TRACE("still traced");
	read_wild();
}

/* A hook that crashes costs its own words and nobody else's. */
static UNUSED void crash_hook_add__run_once_each_even_if_one_crashes(void **state)
{
	const char *at;

	(void)state;
	assert_dies(crash_with_hooks, SIGSEGV);
	at = strstr(report, "the wild one\n");
	assert_non_null(at);
	assert_null(strstr(at + 1, "the wild one\n"));
	assert_contains(at, "hook crashes\n  (this part of the report crashed: SIGSEGV");
	assert_contains(at, "last hook\n");
	assert_contains(at, "still traced\n");
	assert_contains(at, "tarn: end of the crash report\n");
}

static void hook_asserts(int fd, const struct crash *crash)
{
	(void)fd;
	ASSERT(crash == NULL);
}

static NOINLINE void crash_with_an_asserting_hook(void)
{
	status_ignore(crash_hook_add(hook_asserts));
	status_ignore(crash_hook_add(last_hook));
	PANIC("first");
}

static void crash_hook_add__assertion_within(void **state)
{
	(void)state;
	assert_dies(crash_with_an_asserting_hook, SIGABRT);
	assert_contains(report, "CRASH: first (");
	assert_contains(report,
			"(this part of the report crashed: assertion failed: crash == NULL");
	assert_contains(report, "last hook\n");
}

static void many_hooks(void)
{
	/* each address is a hook of its own; none of them is ever run */
	for (uintptr_t i = 1; i <= CRASH_HOOKS_MAX; i++)
		if (!status_ok(crash_hook_add((crash_hook *)i)))
			_exit(1);
	_exit(status_is(crash_hook_add(last_hook), STATUS_LIMIT) &&
			      status_ok(crash_hook_add((crash_hook *)1))
		      ? 0
		      : 2);
}

static void crash_hook_add__limit(void **state)
{
	(void)state;
	assert_int_equal(crash_in_child(many_hooks), 0);
}

static struct atomic_u32 waiting;

static void *crash_at_once(void *arg)
{
	(void)arg;
	status_ignore(crash_thread_init());
	atomic_u32_add(&waiting, 1, ORDER_ACQ_REL);
	while (atomic_u32_load(&waiting, ORDER_ACQUIRE) < 2)
		;
	*(volatile int *)wild = 1;
	return NULL;
}

static void two_crash_together(void)
{
	pthread_t threads[2];

	ready();
	for (int i = 0; i < 2; i++)
		status_ignore(os_thread_start(crash_at_once, NULL, "crash", &threads[i]));
	for (int i = 0; i < 2; i++)
		os_thread_join(threads[i]);
}

static void crash_init__only_the_first_crash_reports(void **state)
{
	char *first;

	(void)state;
	assert_dies(two_crash_together, SIGSEGV);
	first = strstr(report, "tarn: CRASH: ");
	assert_non_null(first);
	assert_null(strstr(first + 1, "tarn: CRASH: "));
	assert_contains(report, "tarn: end of the crash report\n");
}

static void crash_thread_fini__puts_back_what_was(void **state)
{
	stack_t before, during, after;

	(void)state;
	assert_int_equal(sigaltstack(NULL, &before), 0);
	assert_ok(crash_thread_init());
	assert_int_equal(sigaltstack(NULL, &during), 0);
	assert_false(during.ss_flags & SS_DISABLE);
	assert_true(during.ss_size >= 32768);
	crash_thread_fini();
	assert_int_equal(sigaltstack(NULL, &after), 0);
	assert_int_equal(after.ss_flags, before.ss_flags);
	crash_thread_fini(); /* nothing of ours is installed: nothing happens */
}

static void crash_thread_init__without_memory(void **state)
{
	(void)state;
	for (uint64_t n = 0;; n++) {
		os_fault_set(OS_CALL_ANY, n, false);
		struct status status = crash_thread_init();
		if (os_fault_clear() == 0) {
			assert_ok(status);
			assert_true(n >= 2);
			break;
		}
		assert_int_equal(status.code, STATUS_NO_MEMORY);
	}
	crash_thread_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(assert_failed__report),
		cmocka_unit_test(panic__report),
		cmocka_unit_test(crash_init__segv_names_the_address),
		cmocka_unit_test(crash_init__wild_call_names_the_caller),
		cmocka_unit_test(crash_init__bus),
		cmocka_unit_test(crash_init__abort_of_a_library),
		cmocka_unit_test(crash_init__illegal_instruction),
		cmocka_unit_test(crash_thread_init__other_threads_report_too),
#if !WITH_ASAN && !WITH_TSAN
		cmocka_unit_test(crash_thread_init__a_real_overflow),
#endif
#if !WITH_TSAN /* its own handler stands before ours and does not let a crash nest */
		cmocka_unit_test(crash_hook_add__run_once_each_even_if_one_crashes),
#endif
		cmocka_unit_test(crash_hook_add__assertion_within),
		cmocka_unit_test(crash_hook_add__limit),
		cmocka_unit_test(crash_init__only_the_first_crash_reports),
		cmocka_unit_test(crash_thread_fini__puts_back_what_was),
		cmocka_unit_test(crash_thread_init__without_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
