#include "base/os.h"

#include "base/clock.h"
#include "base/diag.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define MIB (1ul << 20)

static char folder[] = "/tmp/tarn-unit-os-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

/* Whether touching the byte ends a child. */
static bool faults(volatile char *at)
{
	int how;
	pid_t child = fork();

	if (child == 0) {
		struct sigaction plain = {.sa_handler = SIG_DFL};
		struct rlimit none = {0};

		setrlimit(RLIMIT_CORE, &none);
		/* cmocka would turn the fault into a failure of the child's own test */
		sigaction(SIGSEGV, &plain, NULL);
		sigaction(SIGBUS, &plain, NULL);
		*at = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &how, 0), child);
	return how != 0;
}

/* The bytes of address space that this process has taken. */
static uint64_t address_space(void)
{
	char text[128];
	size_t bytes;

	assert_ok(os_file_read("/proc/self/statm", text, sizeof(text), &bytes));
	return strtoull(text, NULL, 10) * os_page_bytes();
}

static void os_reserve__aligned_and_without_access(void **state)
{
	void *at, *small;

	(void)state;
	uint64_t before = address_space();
	assert_ok(os_reserve(4 * MIB, 1024 * MIB, &at));
	assert_int_equal((uintptr_t)at % (1024 * MIB), 0);
	assert_true(faults(at));
	/* what alignment took beyond is given back */
	assert_int_equal(address_space(), before + 4 * MIB);
	assert_ok(os_unmap(at, 4 * MIB));
	assert_int_equal(address_space(), before);
	/* rounded up to a page */
	assert_ok(os_reserve(1, 1, &small));
	assert_ok(os_unmap(small, os_page_bytes()));
}

static void os_reserve__too_much(void **state)
{
	void *at = NULL;

	(void)state;
	assert_status(os_reserve(1ul << 60, 4096, &at), NO_MEMORY);
	assert_status(os_reserve(SIZE_MAX - 2 * MIB, 4 * MIB, &at), NO_MEMORY);
	assert_status(os_reserve(SIZE_MAX, 4096, &at), NO_MEMORY);
	assert_null(at);
}

static void os_commit__zeroed_and_given_back(void **state)
{
	char *at;

	(void)state;
	assert_ok(os_reserve(4 * MIB, 4096, (void **)&at));
	assert_ok(os_commit(at, 2 * MIB));
	assert_false(faults(at + 2 * MIB - 1));
	assert_true(faults(at + 2 * MIB));
	at[5] = 'x';
	assert_ok(os_discard(at, 2 * MIB));
	assert_int_equal(at[5], 0);
	at[5] = 'x';
	assert_ok(os_decommit(at, 2 * MIB));
	assert_true(faults(at + 5));
	assert_ok(os_commit(at, 2 * MIB));
	assert_int_equal(at[5], 0);
	assert_ok(os_unmap(at, 4 * MIB));
}

static void os_populate__memory_is_there(void **state)
{
	unsigned char there[256];
	char *at;

	(void)state;
	assert_ok(os_map(MIB, 4096, (void **)&at));
	assert_int_equal(mincore(at, MIB, there), 0);
	assert_int_equal(there[0] & 1, 0);
	assert_ok(os_populate(at, MIB));
	assert_int_equal(mincore(at, MIB, there), 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(there[i] & 1, 1);
	assert_ok(os_advise_no_dump(at, MIB));
	assert_ok(os_unmap(at, MIB));
}

static void os_advise_huge__or_says_unsupported(void **state)
{
	void *at;

	(void)state;
	assert_ok(os_map(4 * MIB, 2 * MIB, &at));
	struct status status = os_advise_huge(at, 4 * MIB);
	assert_true(status_ok(status) || status_is(status, STATUS_UNSUPPORTED));
	assert_ok(os_unmap(at, 4 * MIB));
}

/* With a pool it maps, without one it says so; either way the reservation stays. */
static void os_map_huge__no_pool_is_a_status(void **state)
{
	void *at;

	(void)state;
	assert_ok(os_reserve(64 * MIB, 2 * MIB, &at));
	struct status status = os_map_huge(at, 64 * MIB, 2 * MIB);
	if (status_ok(status))
		assert_false(faults(at));
	else
		assert_int_equal(status.code, STATUS_NO_MEMORY);
	assert_ok(os_unmap(at, 64 * MIB));
}

static void os_guard_install__and_remove(void **state)
{
	char *at;

	(void)state;
	assert_ok(os_map(4 * 4096, 4096, (void **)&at));
	at[4096] = 'x';
	assert_ok(os_guard_install(at, 4096));
	assert_true(faults(at));
	assert_true(faults(at + 4095));
	assert_false(faults(at + 4096));
	assert_int_equal(at[4096], 'x');
	assert_ok(os_guard_remove(at, 4096));
	assert_false(faults(at));
	assert_int_equal(os_guard_light(), os_guard_light());
	assert_ok(os_unmap(at, 4 * 4096));
}

static void os_memory_peek__tells_instead_of_faulting(void **state)
{
	uint64_t from = 0x1234, to = 0;
	char *at;

	(void)state;
	assert_true(os_memory_peek(&to, &from, sizeof(to)));
	assert_int_equal(to, 0x1234);
	assert_false(os_memory_peek(&to, (const void *)16, sizeof(to)));
	assert_ok(os_map(4096, 4096, (void **)&at));
	assert_ok(os_guard_install(at, 4096));
	assert_false(os_memory_peek(&to, at, 1));
	assert_ok(os_unmap(at, 4096));
}

static void os_memfd__shared_and_sealed(void **state)
{
	char *a, *b;
	int fd;

	(void)state;
	assert_ok(os_memfd("test", 0, 8192, &fd));
	assert_ok(os_map_file(NULL, 8192, fd, 0, true, (void **)&a));
	assert_ok(os_map_file(NULL, 4096, fd, 4096, false, (void **)&b));
	a[4096] = 'x';
	assert_int_equal(b[0], 'x');
	assert_true(faults(b));
	uint64_t bytes;
	assert_ok(os_file_bytes(fd, &bytes));
	assert_int_equal(bytes, 8192);
	assert_ok(os_file_punch(fd, 4096, 4096));
	assert_int_equal(b[0], 0);
	assert_ok(os_file_resize(fd, 12288));
	assert_ok(os_memfd_seal(fd));
	assert_status(os_file_resize(fd, 4096), DENIED);
	assert_status(os_memfd_seal(fd), DENIED);
	assert_ok(os_unmap(a, 8192));
	assert_ok(os_unmap(b, 4096));
	os_close(fd);
}

static void os_map_file__over_a_reservation(void **state)
{
	char *at, *again;
	void *mapped;
	int fd;

	(void)state;
	assert_ok(os_memfd("test", 0, 4096, &fd));
	assert_ok(os_reserve(8192, 4096, (void **)&at));
	assert_ok(os_map_file(at + 4096, 4096, fd, 0, true, &mapped));
	assert_ptr_equal(mapped, at + 4096);
	assert_ok(os_map_file(NULL, 4096, fd, 0, false, (void **)&again));
	at[4096] = 'x';
	assert_int_equal(again[0], 'x');
	assert_ok(os_unmap(at, 8192));
	assert_ok(os_unmap(again, 4096));
	os_close(fd);
}

static void os_futex_wait__looks_at_the_word(void **state)
{
	struct atomic_u32 word = ATOMIC(1);

	(void)state;
	assert_int_equal(os_futex_wait(&word, 0, CLOCK_NEVER), OS_WAIT_WOKEN);
	assert_int_equal(os_futex_wait(&word, 1, clock_ns()), OS_WAIT_TIMEOUT);
	assert_int_equal(os_futex_wait(&word, 1, clock_ns() + NS_PER_MS), OS_WAIT_TIMEOUT);
	assert_int_equal(os_futex_wait_shared(&word, 1, clock_ns() + 1), OS_WAIT_TIMEOUT);
	assert_int_equal(os_futex_wake(&word, 1), 0);
}

static void *wake_up(void *arg)
{
	struct atomic_u32 *word = arg;

	atomic_u32_store(word, 1, ORDER_RELEASE);
	os_futex_wake(word, 1);
	return NULL;
}

static void os_futex_wake__ends_the_wait(void **state)
{
	struct atomic_u32 word = ATOMIC(0);
	pthread_t thread;

	(void)state;
	assert_ok(os_thread_start(wake_up, &word, "waker", &thread));
	while (atomic_u32_load(&word, ORDER_ACQUIRE) == 0)
		os_futex_wait(&word, 0, CLOCK_NEVER);
	os_thread_join(thread);
}

static void os_sleep_ns__at_least(void **state)
{
	uint64_t before = clock_ns();

	(void)state;
	os_sleep_ns(2 * NS_PER_MS);
	/* the two clocks may differ by some parts in 100,000 */
	assert_true(clock_ns() - before > 2 * NS_PER_MS - NS_PER_MS / 10);
}

struct seen {
	char name[16];
	bool segv_blocked, term_blocked;
	pid_t tid;
};

static void *look_at_oneself(void *arg)
{
	struct seen *seen = arg;
	sigset_t set;

	/* the name is set by who starts us: wait for it, in bounds */
	for (int i = 0; i < 1000; i++) {
		pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
		if (strncmp(seen->name, "a-very", 6) == 0)
			break;
		os_sleep_ns(NS_PER_MS);
	}
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	seen->segv_blocked = sigismember(&set, SIGSEGV);
	seen->term_blocked = sigismember(&set, SIGTERM);
	seen->tid = os_gettid();
	return NULL;
}

static void os_thread_start__named_and_without_signals(void **state)
{
	struct seen seen = {0};
	pthread_t thread;
	sigset_t set;

	(void)state;
	assert_ok(os_thread_start(look_at_oneself, &seen, "a-very-long-thread-name", &thread));
	os_thread_join(thread);
	assert_string_equal(seen.name, "a-very-long-thr");
	assert_false(seen.segv_blocked);
	assert_true(seen.term_blocked);
	assert_int_not_equal(seen.tid, os_gettid());
	/* our own mask is as it was */
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	assert_false(sigismember(&set, SIGTERM));
}

static void os_affinity_set__one_and_back(void **state)
{
	struct cpus before, one = {0}, now, none = {0};

	(void)state;
	assert_ok(os_affinity_get(0, &before));
	assert_true(cpus_count(&before) >= 1);
	cpus_add(&one, cpus_nth(&before, 0));
	assert_ok(os_affinity_set(0, &one));
	assert_ok(os_affinity_get(os_gettid(), &now));
	assert_memory_equal(&now, &one, sizeof(now));
	assert_int_equal(os_cpu_current(), cpus_nth(&one, 0));
	assert_status(os_affinity_set(0, &none), INVALID);
	assert_ok(os_affinity_set(0, &before));
	assert_int_not_equal(os_affinity_get(0x7ffffff0, &now).code, STATUS_OK);
}

static void os_rlimit_raise__up_to_the_hard_limit(void **state)
{
	uint64_t soft, hard, now;

	(void)state;
	assert_ok(os_rlimit_get(RLIMIT_NOFILE, &soft, &hard));
	assert_ok(os_rlimit_raise(RLIMIT_NOFILE, 10, &now));
	assert_int_equal(now, soft);
	assert_ok(os_rlimit_raise(RLIMIT_NOFILE, UINT64_MAX, &now));
	assert_int_equal(now, hard);
	assert_int_not_equal(os_rlimit_get(9999, &soft, &hard).code, STATUS_OK);
}

static void os_random__fills(void **state)
{
	unsigned char a[600] = {0}, b[600] = {0};

	(void)state;
	assert_ok(os_random(a, sizeof(a)));
	assert_ok(os_random(b, sizeof(b)));
	assert_memory_not_equal(a, b, sizeof(a));
}

static void os_file_read__whole_or_nothing(void **state)
{
	char text[16];
	size_t bytes = 99;
	int fd;

	(void)state;
	assert_ok(os_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd));
	assert_ok(os_write_all(fd, "fifteen bytes..", 15));
	os_close(fd);
	assert_ok(os_file_read(path, text, sizeof(text), &bytes));
	assert_string_equal(text, "fifteen bytes..");
	assert_int_equal(bytes, 15);
	assert_status(os_file_read(path, text, 15, &bytes), LIMIT);
	assert_status(os_file_read("/nowhere", text, sizeof(text), &bytes), NOT_FOUND);
	assert_contains(diag_text(), "/nowhere: cannot be opened: ENOENT");
	assert_ok(os_file_read("/proc/self/comm", text, sizeof(text), &bytes));
}

static void os_file_write__existing_files_only(void **state)
{
	char text[16];
	size_t bytes;
	int fd;

	(void)state;
	unlink(path);
	assert_status(os_file_write(path, "x", 1), NOT_FOUND);
	assert_ok(os_open(path, O_WRONLY | O_CREAT, 0600, &fd));
	os_close(fd);
	assert_ok(os_file_write(path, "hello", 5));
	assert_ok(os_file_read(path, text, sizeof(text), &bytes));
	assert_string_equal(text, "hello");
}

static void os_reopen__keeps_the_number(void **state)
{
	char other[80], text[16];
	size_t bytes;
	int fd;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", folder);
	assert_ok(os_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd));
	assert_ok(os_reopen(fd, other, O_WRONLY | O_CREAT, 0600));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_ok(os_write_all(fd, "new", 3));
	assert_ok(os_file_read(other, text, sizeof(text), &bytes));
	assert_string_equal(text, "new");
	assert_status(os_reopen(fd, "/nowhere/x", O_WRONLY, 0), NOT_FOUND);
	assert_ok(os_write_all(fd, "er", 2));
	os_close(fd);
	unlink(other);
}

static void os_write_patient__does_not_wait_for_long(void **state)
{
	static char block[65536];
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(os_write_patient(ends[1], "x", 1, 0));
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	while (write(ends[1], block, sizeof(block)) > 0)
		;
	fcntl(ends[1], F_SETFL, 0);
	assert_false(os_write_patient(ends[1], "x", 1, 1));
	os_close(ends[0]);
	os_close(ends[1]);
	assert_false(os_write_patient(ends[1], "x", 1, 1));
}

static void os_fault_set__the_nth_of_a_kind(void **state)
{
	void *at;
	int fd;

	(void)state;
	os_fault_set(OS_CALL_BIT(OS_CALL_MAP), 1, false);
	assert_ok(os_map(4096, 4096, &at));
	assert_ok(os_unmap(at, 4096));
	assert_ok(os_open("/dev/null", O_RDONLY, 0, &fd));
	os_close(fd);
	assert_status(os_map(4096, 4096, &at), NO_MEMORY);
	assert_ok(os_map(4096, 4096, &at));
	assert_int_equal(os_fault_clear(), 1);
	assert_ok(os_unmap(at, 4096));
}

static void os_fault_set__for_ever(void **state)
{
	void *at;

	(void)state;
	os_fault_set(OS_CALL_BIT(OS_CALL_MAP) | OS_CALL_BIT(OS_CALL_THREAD), 0, true);
	assert_status(os_map(4096, 4096, &at), NO_MEMORY);
	assert_status(os_reserve(4096, 4096, &at), NO_MEMORY);
	pthread_t thread;
	assert_status(os_thread_start(wake_up, NULL, "x", &thread), LIMIT);
	assert_int_equal(os_fault_clear(), 3);
	assert_ok(os_map(4096, 4096, &at));
	assert_ok(os_unmap(at, 4096));
	assert_int_equal(os_fault_clear(), 3);
}

/* Every kind can be made to fail, with a status that fits. */
static void os_fault_set__every_kind(void **state)
{
	struct cpus set;
	char text[8];
	size_t bytes;
	void *at;
	int fd;

	(void)state;
	assert_ok(os_map(4096, 4096, &at));
	assert_ok(os_memfd("x", 0, 4096, &fd));
	os_fault_set(OS_CALL_ANY, 0, true);
	assert_status(os_commit(at, 4096), NO_MEMORY);
	assert_status(os_populate(at, 4096), NO_MEMORY);
	assert_status(os_discard(at, 4096), NO_MEMORY);
	assert_status(os_decommit(at, 4096), NO_MEMORY);
	assert_status(os_guard_install(at, 4096), NO_MEMORY);
	assert_status(os_guard_remove(at, 4096), NO_MEMORY);
	assert_status(os_advise_huge(at, 4096), NO_MEMORY);
	assert_status(os_advise_no_dump(at, 4096), NO_MEMORY);
	assert_status(os_unmap(at, 4096), NO_MEMORY);
	assert_status(os_map_huge(at, 4096, 2 * MIB), NO_MEMORY);
	assert_status(os_map_file(NULL, 4096, fd, 0, true, &at), NO_MEMORY);
	assert_status(os_memfd("y", 0, 4096, &fd), LIMIT);
	assert_status(os_memfd_seal(fd), NO_SPACE);
	assert_status(os_file_resize(fd, 1), NO_SPACE);
	assert_status(os_file_punch(fd, 0, 4096), NO_SPACE);
	assert_status(os_affinity_get(0, &set), IO);
	assert_status(os_affinity_set(0, &set), INVALID);
	assert_status(os_open("/dev/null", O_RDONLY, 0, &fd), LIMIT);
	assert_status(os_reopen(fd, "/dev/null", O_RDONLY, 0), LIMIT);
	assert_status(os_write_all(fd, "x", 1), IO);
	assert_false(os_write_patient(fd, "x", 1, 0));
	assert_int_equal(os_fault_clear(), 21);
	os_fault_set(OS_CALL_BIT(OS_CALL_READ), 0, false);
	assert_status(os_file_read("/proc/self/comm", text, sizeof(text), &bytes), IO);
	os_fault_clear();
	assert_ok(os_unmap(at, 4096));
	os_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(os_reserve__aligned_and_without_access),
		cmocka_unit_test(os_reserve__too_much),
		cmocka_unit_test(os_commit__zeroed_and_given_back),
		cmocka_unit_test(os_populate__memory_is_there),
		cmocka_unit_test(os_advise_huge__or_says_unsupported),
		cmocka_unit_test(os_map_huge__no_pool_is_a_status),
		cmocka_unit_test(os_guard_install__and_remove),
		cmocka_unit_test(os_memory_peek__tells_instead_of_faulting),
		cmocka_unit_test(os_memfd__shared_and_sealed),
		cmocka_unit_test(os_map_file__over_a_reservation),
		cmocka_unit_test(os_futex_wait__looks_at_the_word),
		cmocka_unit_test(os_futex_wake__ends_the_wait),
		cmocka_unit_test(os_sleep_ns__at_least),
		cmocka_unit_test(os_thread_start__named_and_without_signals),
		cmocka_unit_test(os_affinity_set__one_and_back),
		cmocka_unit_test(os_rlimit_raise__up_to_the_hard_limit),
		cmocka_unit_test(os_random__fills),
		cmocka_unit_test(os_file_read__whole_or_nothing),
		cmocka_unit_test(os_file_write__existing_files_only),
		cmocka_unit_test(os_reopen__keeps_the_number),
		cmocka_unit_test(os_write_patient__does_not_wait_for_long),
		cmocka_unit_test(os_fault_set__the_nth_of_a_kind),
		cmocka_unit_test(os_fault_set__for_ever),
		cmocka_unit_test(os_fault_set__every_kind),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
