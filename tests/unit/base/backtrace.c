#include "base/backtrace.h"

#include "base/os.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "unit.h"

#define FRAMES 32

static uintptr_t frames[FRAMES];
static size_t count;

/* Functions that the compiler keeps as they are: what follows a call makes it no jump. */
#define KEPT  NOINLINE __attribute__((used))
#define AFTER __asm__ volatile("" ::: "memory")

static KEPT void innermost(size_t max)
{
	count = backtrace_walk(backtrace_here(), frames, max);
	AFTER;
}

static KEPT void middle(size_t max)
{
	innermost(max);
	AFTER;
}

static KEPT void outermost(size_t max)
{
	middle(max);
	AFTER;
}

/* What backtrace_write() says. */
static const char *written(void)
{
	static char text[16384];
	int fd = memfd_create("backtrace", MFD_CLOEXEC);

	memset(text, 0, sizeof(text));
	backtrace_write(fd, frames, count);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) >= 0);
	close(fd);
	return text;
}

static void backtrace_walk__callers_in_order(void **state)
{
	const char *text, *first, *second;

	(void)state;
	outermost(FRAMES);
	text = written();
	first = strstr(text, " middle");
	second = strstr(text, " outermost");
	assert_non_null(first);
	assert_non_null(second);
	assert_true(first < second);
	assert_contains(text, "unit_base_backtrace+0x");
	assert_contains(text, "backtrace_walk__callers_in_order");
}

static void backtrace_walk__stops_at_the_maximum(void **state)
{
	(void)state;
	outermost(2);
	assert_int_equal(count, 2);
	outermost(0);
	assert_int_equal(count, 0);
}

static void backtrace_walk__broken_chains_end(void **state)
{
	uintptr_t stack[8] = {0};
	struct backtrace_at at = {.fp = (uintptr_t)&stack[0]};

	(void)state;
	/* a frame that points to itself */
	stack[0] = (uintptr_t)&stack[0];
	stack[1] = 0x1111;
	assert_int_equal(backtrace_walk(at, frames, FRAMES), 1);
	assert_int_equal(frames[0], 0x1110);
	/* backwards */
	at.fp = (uintptr_t)&stack[4];
	stack[4] = (uintptr_t)&stack[2];
	stack[5] = 0x2222;
	assert_int_equal(backtrace_walk(at, frames, FRAMES), 1);
	/* far away, unaligned, not there, no return address */
	stack[4] = (uintptr_t)&stack[4] + (1ul << 30);
	assert_int_equal(backtrace_walk(at, frames, FRAMES), 1);
	stack[4] = (uintptr_t)&stack[4] + 17;
	assert_int_equal(backtrace_walk(at, frames, FRAMES), 1);
	at.fp = 0x10;
	assert_int_equal(backtrace_walk(at, frames, FRAMES), 0);
	at.fp = (uintptr_t)&stack[6];
	stack[7] = 0;
	assert_int_equal(backtrace_walk(at, frames, FRAMES), 0);
}

static void backtrace_write__unknown_addresses(void **state)
{
	(void)state;
	count = 1;
	frames[0] = 0x1234;
	assert_string_equal(written(), "  #0 0x0000000000001234 ?\n");
}

static size_t unwound;

static void on_signal(int number, siginfo_t *info, void *ucontext)
{
	struct backtrace_at at = backtrace_of_signal(ucontext);

	(void)number;
	(void)info;
	count = backtrace_walk(at, frames, FRAMES);
	assert_true(count >= 1);
	assert_int_equal(frames[0], at.pc);
	assert_false(backtrace_is_ours(at.pc));
	unwound = backtrace_unwind(at.pc, frames, FRAMES);
}

static KEPT int interrupted(void)
{
	return raise(SIGUSR1) + 1;
}

/* The C library has no frame pointers: the tables lead through it to us. */
static void backtrace_unwind__through_the_c_library(void **state)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, before;

	(void)state;
	sigaction(SIGUSR1, &action, &before);
	interrupted();
	sigaction(SIGUSR1, &before, NULL);
	count = unwound;
	assert_contains(written(), " interrupted");
	assert_contains(written(), " backtrace_unwind__through_the_c_library");
	assert_true(backtrace_is_ours((uintptr_t)interrupted));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backtrace_walk__callers_in_order),
		cmocka_unit_test(backtrace_walk__stops_at_the_maximum),
		cmocka_unit_test(backtrace_walk__broken_chains_end),
		cmocka_unit_test(backtrace_write__unknown_addresses),
		cmocka_unit_test(backtrace_unwind__through_the_c_library),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
