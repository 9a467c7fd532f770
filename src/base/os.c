#include "base/os.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

/* ---- fault injection ---- */

static struct atomic_u64 fault_calls; /* kinds that are watched; 0: nothing */
static struct atomic_u64 fault_left;  /* calls until the first that fails */
static struct atomic_u64 fault_count; /* made to fail so far */
static struct atomic_u64 fault_forever;

void os_fault_set(uint32_t calls, uint64_t n, bool forever)
{
	atomic_u64_quiet_store(&fault_left, n, ORDER_RELAXED);
	atomic_u64_quiet_store(&fault_count, 0, ORDER_RELAXED);
	atomic_u64_quiet_store(&fault_forever, forever, ORDER_RELAXED);
	/* release: who sees the kinds sees the rest */
	atomic_u64_quiet_store(&fault_calls, calls, ORDER_RELEASE);
}

uint64_t os_fault_clear(void)
{
	atomic_u64_quiet_store(&fault_calls, 0, ORDER_RELAXED);
	return atomic_u64_quiet_load(&fault_count, ORDER_RELAXED);
}

static COLD bool fault_hits(void)
{
	uint64_t left = atomic_u64_quiet_load(&fault_left, ORDER_RELAXED);

	/* the count stops at 0: below, only `forever` fails */
	while (left != UINT64_MAX &&
	       !atomic_u64_quiet_cas(&fault_left, &left, left - 1, ORDER_RELAXED))
		;
	if (left != 0 &&
	    !(left == UINT64_MAX && atomic_u64_quiet_load(&fault_forever, ORDER_RELAXED)))
		return false;
	atomic_u64_quiet_add(&fault_count, 1, ORDER_RELAXED);
	return true;
}

/* 0, or the errno value with which this call of the kind is to fail. */
static int fault(enum os_call call)
{
	static const int errors[OS_CALLS] = {
		[OS_CALL_MAP] = ENOMEM,      [OS_CALL_COMMIT] = ENOMEM, [OS_CALL_ADVISE] = ENOMEM,
		[OS_CALL_UNMAP] = ENOMEM,    [OS_CALL_THREAD] = EAGAIN, [OS_CALL_OPEN] = EMFILE,
		[OS_CALL_AFFINITY] = EINVAL, [OS_CALL_READ] = EIO,      [OS_CALL_WRITE] = EIO,
		[OS_CALL_RESIZE] = ENOSPC,
	};
	uint64_t calls = atomic_u64_quiet_load(&fault_calls, ORDER_ACQUIRE);

	if (likely(!(calls & OS_CALL_BIT(call))) || !fault_hits())
		return 0;
	return errors[call];
}

/* The errno value of a system call's result: 0 if it went through. */
static int error_of(long result)
{
	return result == -1 ? errno : 0;
}

/* ---- memory ---- */

size_t os_page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

static struct status map(size_t bytes, int protection, int flags, void **ret_at)
{
	int error = fault(OS_CALL_MAP);
	void *at = MAP_FAILED;

	if (!error) {
		at = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
		error = at == MAP_FAILED ? errno : 0;
	}
	if (error)
		return fail_errno(error, "memory: mapping %zu bytes of address space", bytes);
	*ret_at = at;
	return OK;
}

static struct status map_aligned(size_t bytes, size_t align, int protection, void **ret_at)
{
	size_t page = os_page_bytes();
	void *at;

	/* more than any machine has, and the sums below cannot overflow */
	if (bytes > SIZE_MAX / 4 || align > SIZE_MAX / 4)
		return fail(STATUS_NO_MEMORY, "memory: %zu bytes is more than the address space",
			    bytes);
	bytes = round_up(bytes, page);
	if (align <= page)
		return map(bytes, protection, MAP_NORESERVE, ret_at);
	TRY(map(bytes + align, protection, MAP_NORESERVE, &at));

	/* cut off what stands over on both sides */
	char *begin = at;
	char *aligned = (char *)round_up((size_t)(uintptr_t)begin, align);
	size_t before = (size_t)(aligned - begin);

	if (before > 0)
		munmap(begin, before);
	munmap(aligned + bytes, align - before);
	*ret_at = aligned;
	return OK;
}

struct status os_reserve(size_t bytes, size_t align, void **ret_at)
{
	return map_aligned(bytes, align, PROT_NONE, ret_at);
}

struct status os_map(size_t bytes, size_t align, void **ret_at)
{
	return map_aligned(bytes, align, PROT_READ | PROT_WRITE, ret_at);
}

struct status os_unmap(void *at, size_t bytes)
{
	int error = fault(OS_CALL_UNMAP);

	if (!error)
		error = error_of(munmap(at, bytes));
	return error ? fail_errno(error, "memory: unmapping %zu bytes at %p", bytes, at) : OK;
}

static struct status protect(void *at, size_t bytes, int protection)
{
	int error = error_of(mprotect(at, bytes, protection));

	return error ? fail_errno(error, "memory: changing the access to %zu bytes at %p", bytes,
				  at)
		     : OK;
}

static struct status advise(void *at, size_t bytes, int advice, const char *what)
{
	int error = error_of(madvise(at, bytes, advice));

	return error ? fail_errno(error, "memory: %s of %zu bytes at %p", what, bytes, at) : OK;
}

struct status os_commit(void *at, size_t bytes)
{
	int error = fault(OS_CALL_COMMIT);

	return error ? fail_errno(error, "memory: committing %zu bytes at %p", bytes, at)
		     : protect(at, bytes, PROT_READ | PROT_WRITE);
}

struct status os_decommit(void *at, size_t bytes)
{
	int error = fault(OS_CALL_UNMAP);

	if (error)
		return fail_errno(error, "memory: decommitting %zu bytes at %p", bytes, at);
	TRY(advise(at, bytes, MADV_DONTNEED, "giving back"));
	return protect(at, bytes, PROT_NONE);
}

struct status os_discard(void *at, size_t bytes)
{
	int error = fault(OS_CALL_ADVISE);

	return error ? fail_errno(error, "memory: giving back %zu bytes at %p", bytes, at)
		     : advise(at, bytes, MADV_DONTNEED, "giving back");
}

/* For kernels without MADV_POPULATE_WRITE (before 5.14): an addition of 0 touches and keeps. */
static void touch(char *at, size_t bytes)
{
	size_t page = os_page_bytes();

	for (size_t i = 0; i < bytes; i += page)
		atomic_u64_quiet_add((struct atomic_u64 *)(void *)(at + i), 0, ORDER_RELAXED);
}

struct status os_populate(void *at, size_t bytes)
{
	int error = fault(OS_CALL_COMMIT);

	if (!error)
		error = error_of(madvise(at, bytes, MADV_POPULATE_WRITE));
	if (error == EINVAL) {
		touch(at, bytes);
		return OK;
	}
	/* the kernel's "no memory behind it": a pool or cgroup that is empty */
	if (error == EFAULT || error == EHWPOISON)
		error = ENOMEM;
	return error ? fail_errno(error, "memory: populating %zu bytes at %p", bytes, at) : OK;
}

struct status os_advise_huge(void *at, size_t bytes)
{
	int error = fault(OS_CALL_ADVISE);

	if (!error)
		error = error_of(madvise(at, bytes, MADV_HUGEPAGE));
	if (error == EINVAL)
		return fail(STATUS_UNSUPPORTED,
			    "memory: this kernel has no transparent huge pages");
	return error ? fail_errno(error, "memory: asking for huge pages at %p", at) : OK;
}

struct status os_advise_no_dump(void *at, size_t bytes)
{
	int error = fault(OS_CALL_ADVISE);

	return error ? fail_errno(error, "memory: keeping %zu bytes at %p out of core files", bytes,
				  at)
		     : advise(at, bytes, MADV_DONTDUMP, "keeping out of core files");
}

struct status os_map_huge(void *at, size_t bytes, size_t page_bytes)
{
	int size_flag = __builtin_ctzll(page_bytes) << MAP_HUGE_SHIFT;
	int error = fault(OS_CALL_MAP);

	/* without NORESERVE the pool's pages are set aside now, and no touch can fail later */
	if (!error && mmap(at, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | size_flag, -1,
			   0) == MAP_FAILED)
		error = errno;
	return error ? fail_errno(error, "memory: mapping %zu bytes of huge pages of %zu bytes",
				  bytes, page_bytes)
		     : OK;
}

struct status os_map_file(void *at, size_t bytes, int fd, uint64_t offset, bool writable,
			  void **ret_at)
{
	int protection = PROT_READ | (writable ? PROT_WRITE : 0);
	int error = fault(OS_CALL_MAP);
	void *got = MAP_FAILED;

	if (!error) {
		got = mmap(at, bytes, protection, MAP_SHARED | (at ? MAP_FIXED : 0), fd,
			   (off_t)offset);
		error = got == MAP_FAILED ? errno : 0;
	}
	if (error)
		return fail_errno(error, "memory: mapping %zu bytes of a file", bytes);
	*ret_at = got;
	return OK;
}

bool os_guard_light(void)
{
	static struct atomic_u64 known; /* 0: not tried, 1: no, 2: yes */
	uint64_t answer = atomic_u64_quiet_load(&known, ORDER_RELAXED);

	if (answer == 0) {
		size_t page = os_page_bytes();
		void *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				0);

		if (at == MAP_FAILED)
			return false;
		answer = madvise(at, page, MADV_GUARD_INSTALL) == 0 ? 2 : 1;
		munmap(at, page);
		atomic_u64_quiet_store(&known, answer, ORDER_RELAXED);
	}
	return answer == 2;
}

struct status os_guard_install(void *at, size_t bytes)
{
	int error = fault(OS_CALL_ADVISE);

	if (error)
		return fail_errno(error, "memory: guarding %zu bytes at %p", bytes, at);
	if (os_guard_light())
		return advise(at, bytes, MADV_GUARD_INSTALL, "guarding");
	return protect(at, bytes, PROT_NONE);
}

struct status os_guard_remove(void *at, size_t bytes)
{
	int error = fault(OS_CALL_ADVISE);

	if (error)
		return fail_errno(error, "memory: unguarding %zu bytes at %p", bytes, at);
	if (os_guard_light())
		return advise(at, bytes, MADV_GUARD_REMOVE, "unguarding");
	return protect(at, bytes, PROT_READ | PROT_WRITE);
}

bool os_memory_peek(void *to, const void *from, size_t bytes)
{
	struct iovec local = {.iov_base = to, .iov_len = bytes};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)from, .iov_len = bytes};
	int kept = errno;
	ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	int error = error_of(got);

	errno = kept;
	if (error == ENOSYS || error == EPERM) {
		memcpy(to, from, bytes);
		return true;
	}
	return got == (ssize_t)bytes;
}

/* ---- waiting ---- */

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S)};
}

static enum os_wait futex_wait(const struct atomic_u32 *word, int op, uint32_t expected,
			       uint64_t deadline_ns)
{
	struct timespec left, *timeout = NULL;

	/* relative: our clock may drift from the kernel's by some parts in 100,000 */
	if (deadline_ns != CLOCK_NEVER) {
		uint64_t now = clock_ns();

		if (now >= deadline_ns)
			return OS_WAIT_TIMEOUT;
		left = to_timespec(deadline_ns - now);
		timeout = &left;
	}

	int error = error_of(syscall(SYS_futex, &word->value, op, expected, timeout, NULL, 0));

	return error == ETIMEDOUT ? OS_WAIT_TIMEOUT : OS_WAIT_WOKEN;
}

enum os_wait os_futex_wait(const struct atomic_u32 *word, uint32_t expected, uint64_t deadline_ns)
{
	return futex_wait(word, FUTEX_WAIT_PRIVATE, expected, deadline_ns);
}

enum os_wait os_futex_wait_shared(const struct atomic_u32 *word, uint32_t expected,
				  uint64_t deadline_ns)
{
	return futex_wait(word, FUTEX_WAIT, expected, deadline_ns);
}

static uint32_t futex_wake(const struct atomic_u32 *word, int op, uint32_t count)
{
	long woken = syscall(SYS_futex, &word->value, op, count, NULL, NULL, 0);

	return woken > 0 ? (uint32_t)woken : 0;
}

uint32_t os_futex_wake(const struct atomic_u32 *word, uint32_t count)
{
	return futex_wake(word, FUTEX_WAKE_PRIVATE, count);
}

uint32_t os_futex_wake_shared(const struct atomic_u32 *word, uint32_t count)
{
	return futex_wake(word, FUTEX_WAKE, count);
}

void os_sleep_ns(uint64_t ns)
{
	struct timespec left = to_timespec(ns);

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

/* ---- threads and processes ---- */

static void block_signals(sigset_t *ret_before)
{
	static const int of_crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
	sigset_t blocked;

	sigfillset(&blocked);
	for (size_t i = 0; i < ARRAY_SIZE(of_crashes); i++)
		sigdelset(&blocked, of_crashes[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, ret_before);
}

struct status os_thread_start(void *(*entry)(void *), void *arg, const char *name,
			      pthread_t *ret_thread)
{
	int error = fault(OS_CALL_THREAD);
	pthread_t thread = 0;
	char cut[16];
	sigset_t before;

	if (!error) {
		/* the new thread inherits the mask */
		block_signals(&before);
		error = pthread_create(&thread, NULL, entry, arg);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (error == EAGAIN)
		return fail(STATUS_LIMIT,
			    "thread %s: the kernel has no more threads for this "
			    "process (see ulimit -u and the cgroup's pids.max)",
			    name);
	if (error)
		return fail_errno(error, "thread %s: cannot be started", name);
	snprintf(cut, sizeof(cut), "%.15s", name);
	pthread_setname_np(thread, cut);
	*ret_thread = thread;
	return OK;
}

void os_thread_join(pthread_t thread)
{
	int error = pthread_join(thread, NULL);

	ASSERT(error == 0);
}

pid_t os_gettid(void)
{
	return (pid_t)syscall(SYS_gettid);
}

uint32_t os_cpu_current(void)
{
	return (uint32_t)sched_getcpu();
}

struct status os_affinity_get(pid_t tid, struct cpus *ret_set)
{
	int error = fault(OS_CALL_AFFINITY);
	struct cpus set = {0};

	if (!error)
		error = error_of(syscall(SYS_sched_getaffinity, tid, sizeof(set), &set));
	if (error)
		return fail_errno(error, "thread %d: reading its processors", (int)tid);
	*ret_set = set;
	return OK;
}

struct status os_affinity_set(pid_t tid, const struct cpus *set)
{
	int error = fault(OS_CALL_AFFINITY);

	if (!error)
		error = error_of(syscall(SYS_sched_setaffinity, tid, sizeof(*set), set));
	if (error == EINVAL)
		return fail(STATUS_INVALID, "thread %d: none of its processors is there or allowed",
			    (int)tid);
	return error ? fail_errno(error, "thread %d: setting its processors", (int)tid) : OK;
}

static uint64_t from_rlim(rlim_t v)
{
	return v == RLIM_INFINITY ? UINT64_MAX : (uint64_t)v;
}

struct status os_rlimit_get(int which, uint64_t *ret_soft, uint64_t *ret_hard)
{
	struct rlimit limit;
	int error = error_of(prlimit(0, (__rlimit_resource_t)which, NULL, &limit));

	if (error)
		return fail_errno(error, "limit %d: cannot be read", which);
	*ret_soft = from_rlim(limit.rlim_cur);
	*ret_hard = from_rlim(limit.rlim_max);
	return OK;
}

struct status os_rlimit_raise(int which, uint64_t wanted, uint64_t *ret_soft)
{
	uint64_t soft, hard;

	TRY(os_rlimit_get(which, &soft, &hard));
	if (wanted > hard)
		wanted = hard;
	if (soft < wanted) {
		struct rlimit limit = {
			.rlim_cur = wanted == UINT64_MAX ? RLIM_INFINITY : (rlim_t)wanted,
			.rlim_max = hard == UINT64_MAX ? RLIM_INFINITY : (rlim_t)hard,
		};
		int error = error_of(prlimit(0, (__rlimit_resource_t)which, &limit, NULL));

		if (error)
			return fail_errno(error, "limit %d: cannot be raised", which);
		soft = wanted;
	}
	*ret_soft = soft;
	return OK;
}

struct status os_random(void *to, size_t bytes)
{
	char *at = to;

	while (bytes > 0) {
		ssize_t got = getrandom(at, bytes, 0);
		int error = error_of(got);

		if (error == EINTR)
			continue;
		if (error)
			return fail_errno(error, "random bytes: the kernel gives none");
		at += got;
		bytes -= (size_t)got;
	}
	return OK;
}

/* ---- files ---- */

struct status os_open(const char *path, int flags, mode_t mode, int *ret_fd)
{
	int error = fault(OS_CALL_OPEN);
	int fd = -1;

	while (!error) {
		fd = open(path, flags | O_CLOEXEC, mode);
		error = error_of(fd);
		if (error != EINTR)
			break;
		error = 0;
	}
	if (error)
		return fail_errno(error, "%s: cannot be opened", path);
	*ret_fd = fd;
	return OK;
}

void os_close(int fd)
{
	int kept = errno;

	if (fd >= 0)
		close(fd);
	errno = kept;
}

struct status os_reopen(int fd, const char *path, int flags, mode_t mode)
{
	int fresh;

	TRY(os_open(path, flags, mode, &fresh));
	int error = error_of(dup3(fresh, fd, O_CLOEXEC));
	os_close(fresh);
	return error ? fail_errno(error, "%s: cannot be put in the place of the old file", path)
		     : OK;
}

struct status os_memfd(const char *name, size_t page_bytes, uint64_t bytes, int *ret_fd)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int error = fault(OS_CALL_OPEN);
	int fd = -1;

	if (page_bytes)
		flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(page_bytes) << MAP_HUGE_SHIFT;
	if (!error) {
		fd = memfd_create(name, flags);
		error = error_of(fd);
	}
	if (error)
		return fail_errno(error, "memory file %s: cannot be made", name);

	struct status status = os_file_resize(fd, bytes);

	if (!status_ok(status)) {
		os_close(fd);
		return status;
	}
	*ret_fd = fd;
	return OK;
}

struct status os_memfd_seal(int fd)
{
	int error = fault(OS_CALL_RESIZE);

	if (!error)
		error = error_of(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	return error ? fail_errno(error, "memory file: cannot be sealed") : OK;
}

struct status os_file_bytes(int fd, uint64_t *ret_bytes)
{
	struct stat stat;
	int error = error_of(fstat(fd, &stat));

	if (error)
		return fail_errno(error, "file: its size cannot be read");
	*ret_bytes = (uint64_t)stat.st_size;
	return OK;
}

struct status os_file_resize(int fd, uint64_t bytes)
{
	int error = fault(OS_CALL_RESIZE);

	if (!error)
		error = error_of(ftruncate(fd, (off_t)bytes));
	return error ? fail_errno(error, "file: its size cannot be %llu bytes",
				  (unsigned long long)bytes)
		     : OK;
}

struct status os_file_punch(int fd, uint64_t offset, uint64_t bytes)
{
	int error = fault(OS_CALL_RESIZE);

	if (!error)
		error = error_of(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					   (off_t)offset, (off_t)bytes));
	return error ? fail_errno(error, "file: %llu bytes cannot be given back",
				  (unsigned long long)bytes)
		     : OK;
}

static int read_some(int fd, char *to, size_t bytes, size_t *ret_got)
{
	int error = fault(OS_CALL_READ);
	ssize_t got;

	*ret_got = 0;
	if (error)
		return error;
	do {
		got = read(fd, to, bytes);
		error = error_of(got);
	} while (error == EINTR);
	*ret_got = error ? 0 : (size_t)got;
	return error;
}

struct status os_file_read(const char *path, char *text, size_t size, size_t *ret_bytes)
{
	size_t used = 0, got = 1;
	int error = 0;
	int fd;

	TRY(os_open(path, O_RDONLY, 0, &fd));
	while (!error && got > 0 && used < size) {
		error = read_some(fd, text + used, size - used, &got);
		used += got;
	}
	os_close(fd);
	if (error)
		return fail_errno(error, "%s: cannot be read", path);
	if (used >= size)
		return fail(STATUS_LIMIT, "%s: longer than %zu bytes", path, size - 1);
	text[used] = '\0';
	*ret_bytes = used;
	return OK;
}

struct status os_file_write(const char *path, const void *bytes, size_t count)
{
	int fd;

	TRY(os_open(path, O_WRONLY, 0, &fd));
	int error = fault(OS_CALL_WRITE);
	ssize_t done = 0;

	if (!error) {
		done = write(fd, bytes, count);
		error = error_of(done);
	}
	os_close(fd);
	if (error)
		return fail_errno(error, "%s: cannot be written", path);
	if (done != (ssize_t)count)
		return fail(STATUS_IO, "%s: took %zd of %zu bytes", path, done, count);
	return OK;
}

/* 0 or an errno value. */
static int write_all(int fd, const char *at, size_t count)
{
	while (count > 0) {
		ssize_t done = write(fd, at, count);
		int error = error_of(done);

		if (error == EINTR)
			continue;
		if (error)
			return error;
		at += done;
		count -= (size_t)done;
	}
	return 0;
}

struct status os_write_all(int fd, const void *bytes, size_t count)
{
	int error = fault(OS_CALL_WRITE);

	if (!error)
		error = write_all(fd, bytes, count);
	return error ? fail_errno(error, "writing %zu bytes", count) : OK;
}

void os_write_text(int fd, const char *text, size_t bytes)
{
	int kept = errno;

	write_all(fd, text, bytes);
	errno = kept;
}

bool os_write_patient(int fd, const void *bytes, size_t count, int patience_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	/* a pipe that polls as writable takes PIPE_BUF bytes without blocking */
	if (fault(OS_CALL_WRITE) || poll(&p, 1, patience_ms) != 1 || !(p.revents & POLLOUT))
		return false;
	return write(fd, bytes, count) == (ssize_t)count;
}
