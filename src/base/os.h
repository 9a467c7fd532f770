/*
 * The operating system: each wrapper makes one kind of call and turns errno into a status at once.
 * With base/os.c this is the only place where errno is read (base/self.h says why). Facts about the
 * machine (processors, memory, huge pages) are in base/machine.h.
 *
 * None of these suspends a user thread; those that may block the kernel thread say so.
 * All take fault injection: os_fault_set() makes the n-th call of a kind fail.
 */
#pragma once

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/cpus.h"
#include "base/status.h"

#include <pthread.h>
#include <sys/types.h>

/* ---- memory ---- */

/* The machine's page: 4096 on x86-64. */
size_t os_page_bytes(void);

/*
 * Reserves `bytes` of address space aligned to `align` (a power of two), without memory behind it
 * and without access. Both are rounded up to pages. Give back with os_unmap().
 */
struct status os_reserve(size_t bytes, size_t align, void **ret_at);

/* Reserves and commits in one: zeroed memory, readable and writable, touched lazily. */
struct status os_map(size_t bytes, size_t align, void **ret_at);

/* Ends a mapping. Fails only when the kernel's limit on mappings is reached (NO_MEMORY). */
struct status os_unmap(void *at, size_t bytes);

/* Makes reserved pages readable and writable, zeroed, still without memory until touched. */
struct status os_commit(void *at, size_t bytes);

/* Gives the memory back and takes the access away; the addresses stay reserved. */
struct status os_decommit(void *at, size_t bytes);

/* Gives the memory back; the pages stay accessible and read as zeros. */
struct status os_discard(void *at, size_t bytes);

/* Puts memory behind the pages now, in this call, instead of at the first touch. May take long. */
struct status os_populate(void *at, size_t bytes);

/* Asks for transparent huge pages. UNSUPPORTED if the kernel has none; nothing is lost then. */
struct status os_advise_huge(void *at, size_t bytes);

/* Leaves the pages out of core files. */
struct status os_advise_no_dump(void *at, size_t bytes);

/*
 * Maps pages of the kernel's pool of huge pages (page_bytes each) over a reserved range, private,
 * readable and writable. NO_MEMORY when the pool is too small; the range stays reserved then.
 */
struct status os_map_huge(void *at, size_t bytes, size_t page_bytes);

/*
 * Maps a part of a file over a reserved range, shared with all who map it. `at` may be NULL: then
 * anywhere. `offset` and `bytes` are multiples of the file's pages.
 */
struct status os_map_file(void *at, size_t bytes, int fd, uint64_t offset, bool writable,
			  void **ret_at);

/*
 * Makes pages that end the process when touched, without a mapping of their own where the kernel
 * can (MADV_GUARD_INSTALL, Linux 6.13), else by mprotect, which ends at about 32,000 of them with
 * NO_MEMORY. Not on hugetlb or locked memory (INVALID).
 */
struct status os_guard_install(void *at, size_t bytes);

/* Makes guard pages ordinary again (readable, writable, zero). */
struct status os_guard_remove(void *at, size_t bytes);

/* Whether guards cost no mapping (MADV_GUARD_INSTALL works here). */
bool os_guard_light(void);

/*
 * Copies memory of this process that may not be there. False instead of a fault. Async-signal-safe.
 * Where the kernel forbids the call (process_vm_readv) it copies without a net.
 */
bool os_memory_peek(void *to, const void *from, size_t bytes);

/* ---- waiting ---- */

enum os_wait {
	OS_WAIT_WOKEN,   /* woken, or for no reason, or the word differed: look again */
	OS_WAIT_TIMEOUT, /* the deadline (clock_ns) passed */
};

/*
 * Blocks the kernel thread while *word is `expected`, until os_futex_wake() or the deadline
 * (clock_ns; CLOCK_NEVER). Not under the simulator.
 */
enum os_wait os_futex_wait(const struct atomic_u32 *word, uint32_t expected, uint64_t deadline_ns);

/* The same for a word in memory that processes share. */
enum os_wait os_futex_wait_shared(const struct atomic_u32 *word, uint32_t expected,
				  uint64_t deadline_ns);

/* Wakes up to `count` waiters of the word; says how many. */
uint32_t os_futex_wake(const struct atomic_u32 *word, uint32_t count);
uint32_t os_futex_wake_shared(const struct atomic_u32 *word, uint32_t count);

/* Blocks the kernel thread for at least `ns`; signals do not shorten it. */
void os_sleep_ns(uint64_t ns);

/* ---- threads and processes ---- */

/*
 * Starts a kernel thread that runs entry(arg), with all signals blocked but those of a crash, and
 * with `name` (cut at 15 bytes). End it with os_thread_join(). LIMIT when the kernel has no more.
 */
struct status os_thread_start(void *(*entry)(void *), void *arg, const char *name,
			      pthread_t *ret_thread);

/* Blocks until the thread has ended. */
void os_thread_join(pthread_t thread);

/* The kernel's number of the calling thread. */
pid_t os_gettid(void);

/* The processor that runs the caller, true at this moment only. */
uint32_t os_cpu_current(void);

/* On which processors a thread may run; tid 0 is the caller. */
struct status os_affinity_get(pid_t tid, struct cpus *ret_set);
struct status os_affinity_set(pid_t tid, const struct cpus *set);

/* A limit of the process (RLIMIT_…); UINT64_MAX is "unlimited". */
struct status os_rlimit_get(int which, uint64_t *ret_soft, uint64_t *ret_hard);

/* Raises the soft limit as far as the hard one, at most to `wanted`; says where it is now. */
struct status os_rlimit_raise(int which, uint64_t wanted, uint64_t *ret_soft);

/* Fills the buffer with unpredictable bytes of the kernel; for seeds and secrets. */
struct status os_random(void *to, size_t bytes);

/* ---- files ---- */

/* Opens a file: flags and mode as open(2) has them; close-on-exec always. */
struct status os_open(const char *path, int flags, mode_t mode, int *ret_fd);

/* Closes; what close() reports is of no use to anybody and is dropped. Ignores -1. */
void os_close(int fd);

/* Opens anew onto the same number: who writes to `fd` meanwhile hits the old file or the new. */
struct status os_reopen(int fd, const char *path, int flags, mode_t mode);

/*
 * An anonymous file in memory, of `bytes`, from huge pages of `page_bytes` unless that is 0. Its
 * size can be sealed with os_memfd_seal(). NO_MEMORY, UNSUPPORTED.
 */
struct status os_memfd(const char *name, size_t page_bytes, uint64_t bytes, int *ret_fd);

/* The size of a memfd never changes again, and no further seals can be set. */
struct status os_memfd_seal(int fd);

/* A file's size. */
struct status os_file_bytes(int fd, uint64_t *ret_bytes);

/* Changes a file's size. */
struct status os_file_resize(int fd, uint64_t bytes);

/* Gives the memory or disk blocks of a part back; it reads as zeros then. */
struct status os_file_punch(int fd, uint64_t offset, uint64_t bytes);

/*
 * Reads a whole small file (of /proc, /sys, a configuration) into text[size] and ends it with a
 * NUL. LIMIT if it does not fit. May block.
 */
struct status os_file_read(const char *path, char *text, size_t size, size_t *ret_bytes);

/* Writes an existing file in one write(2), as /sys and cgroup files want it. May block. */
struct status os_file_write(const char *path, const void *bytes, size_t count);

/* Writes everything, however many calls it takes. Blocks as long as the descriptor does. */
struct status os_write_all(int fd, const void *bytes, size_t count);

/* The same for reports: says nothing when it fails. Async-signal-safe. */
void os_write_text(int fd, const char *text, size_t bytes);

/*
 * One write(2) if the descriptor takes it within `patience_ms`. False if it was not written, or not
 * whole. Blocks no longer than that, as long as bytes is at most 4096 (PIPE_BUF).
 */
bool os_write_patient(int fd, const void *bytes, size_t count, int patience_ms);

/* ---- fault injection ---- */

enum os_call {
	OS_CALL_MAP,    /* reserve, map, map_huge, map_file */
	OS_CALL_COMMIT, /* commit, populate */
	OS_CALL_ADVISE, /* discard, advise, guard */
	OS_CALL_UNMAP,  /* unmap, decommit */
	OS_CALL_THREAD,
	OS_CALL_AFFINITY,
	OS_CALL_OPEN, /* open, reopen, memfd */
	OS_CALL_READ,
	OS_CALL_WRITE,
	OS_CALL_RESIZE, /* resize, punch, seal */
	OS_CALLS,
};

#define OS_CALL_BIT(call) (1u << (call))
#define OS_CALL_ANY       (OS_CALL_BIT(OS_CALLS) - 1)

/*
 * From now on the n-th call (0: the next) of the kinds in `calls` (OS_CALL_BIT) fails, and with
 * `forever` all after it too, in any thread, with the errno value that the kind is likeliest to
 * meet. A call that is made to fail does nothing. For tests; costs one relaxed load a call.
 */
void os_fault_set(uint32_t calls, uint64_t n, bool forever);

/* Ends fault injection; says how many calls were made to fail since os_fault_set(). */
uint64_t os_fault_clear(void);
