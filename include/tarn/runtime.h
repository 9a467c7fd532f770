/*
 * Tarn's runtime: user threads on cores that the program owns.
 *
 * A complete program, compiled and run by the tests:
 *
 *	#include <tarn/runtime.h>
 *	#include <stdio.h>
 *
 *	static void greet(void *arg)
 *	{
 *		tarn_sleep(1000000);
 *		printf("hello from core %u, %s\n", tarn_core(), (const char *)arg);
 *	}
 *
 *	static void first(void *arg)
 *	{
 *		struct tarn_runtime *rt = arg;
 *		struct tarn_thread thread;
 *
 *		if (tarn_spawn(rt, NULL, greet, "world", &thread).code == TARN_OK)
 *			tarn_join(thread);
 *	}
 *
 *	int main(void)
 *	{
 *		struct tarn_runtime_config config = {.cores = 2};
 *		struct tarn_runtime *rt;
 *
 *		if (tarn_runtime_start(&config, &rt).code != TARN_OK) {
 *			fprintf(stderr, "%s\n", tarn_last_error());
 *			return 1;
 *		}
 *		tarn_call(rt, first, rt);
 *		tarn_runtime_stop(rt);
 *		return 0;
 *	}
 *
 * Nothing preempts: a user thread keeps its core until it calls something that suspends (marked
 * "Suspends" below). What blocks in the kernel belongs into tarn_offload(). Between two suspensions
 * errno and thread-local variables are what they were; across one they may be another core's.
 * Deadlines are in nanoseconds of tarn_now(); TARN_NEVER is none.
 */
#ifndef TARN_RUNTIME_H
#define TARN_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tarn/api.h>
#include <tarn/status.h>

TARN_BEGIN_DECLS

struct tarn_runtime;

#define TARN_NEVER    UINT64_MAX
#define TARN_CORE_ANY UINT32_MAX

enum tarn_core_mode {
	TARN_CORES_SHARED,    /* not pinned; an idle core sleeps after a short, adaptive spin */
	TARN_CORES_DEDICATED, /* pinned; spins longer */
	TARN_CORES_EXCLUSIVE  /* pinned; never sleeps */
};

struct tarn_runtime_config {
	uint32_t cores; /* 0: one per processor that the process may use */
	enum tarn_core_mode mode;
	uint32_t threads_max; /* 0: 1,048,576 */
	size_t stack_bytes;   /* of each user thread, a power of two; 0: 64 KiB */
	bool embedded;        /* takes no signals, does not pin and does not spin */
	bool elastic;         /* uses as few cores as the load needs */
	uint64_t watchdog_ns; /* report a thread that keeps its core longer; 0: never */
};

/* Starts the cores. INVALID, LIMIT, NO_MEMORY; tarn_last_error() says what would be right. */
TARN_API struct tarn_status tarn_runtime_start(const struct tarn_runtime_config *config,
					       struct tarn_runtime **ret);

/* Cancels all user threads, waits for their ends and frees the runtime. Not from a user thread. */
TARN_API void tarn_runtime_stop(struct tarn_runtime *rt);

/* Writes a line per user thread: name, core, state, what it waits for and since when. */
TARN_API void tarn_runtime_dump(struct tarn_runtime *rt, FILE *out);

/* Names a thread; a thread that has ended is recognised. */
struct tarn_thread {
	uint64_t id;
};

struct tarn_thread_attr {
	const char *name; /* outlives the thread; NULL: "thread" */
	bool detached;    /* nobody will join it */
	bool pinned;      /* runs on core number `core` and stays there; else on any */
	uint32_t core;
};

/*
 * Runs entry(arg) on a new user thread, on the less loaded of two cores chosen at random unless
 * `attr` says otherwise (NULL: any core, to be joined). From any thread of the process. `ret` may
 * be NULL for a detached thread. LIMIT: threads_max exist; INVALID; CLOSED: the runtime is
 * stopping.
 */
TARN_API struct tarn_status tarn_spawn(struct tarn_runtime *rt, const struct tarn_thread_attr *attr,
				       void (*entry)(void *), void *arg, struct tarn_thread *ret);

/*
 * Waits for a thread's end. Suspends. STALE: it was joined or is detached; EXISTS: it is being
 * joined; DEADLOCK: it is the caller; CANCELLED: the caller was cancelled.
 */
TARN_API struct tarn_status tarn_join(struct tarn_thread thread);

/* Nobody will join it. STALE, EXISTS as above. */
TARN_API struct tarn_status tarn_detach(struct tarn_thread thread);

/* Asks it to end: its present and later waits return CANCELLED. STALE: it has ended. */
TARN_API struct tarn_status tarn_cancel(struct tarn_thread thread);

/* The calling user thread; id 0 outside of one. */
TARN_API struct tarn_thread tarn_self(void);

/* The core that runs the caller; TARN_CORE_ANY outside of the runtime. */
TARN_API uint32_t tarn_core(void);

/* Lets other ready threads of this core run. Suspends. */
TARN_API void tarn_yield(void);

/* Sleeps. Suspends. CANCELLED. */
TARN_API struct tarn_status tarn_sleep(uint64_t ns);

/* Nanoseconds since some start; the clock of all deadlines. */
TARN_API uint64_t tarn_now(void);

/*
 * Runs fn(arg) on a kernel thread beside the cores and waits for it. Suspends. BUSY: too many wait.
 */
TARN_API struct tarn_status tarn_offload(void (*fn)(void *), void *arg);

/* Runs fn(arg) on a user thread and blocks the calling kernel thread until its end. */
TARN_API struct tarn_status tarn_call(struct tarn_runtime *rt, void (*fn)(void *), void *arg);

/* A wait of the calling user thread, to be ended once by tarn_wake(), from any thread. */
struct tarn_wait {
	void *thread;
	uint64_t sequence;
};

/* Begins one: from here on tarn_wake() of it counts. `reason` is a static text for dumps. */
TARN_API struct tarn_wait tarn_wait_begin(const char *reason);

/* Suspends until it is woken, TIMEOUT, CANCELLED. Later wakes of it do nothing. */
TARN_API struct tarn_status tarn_wait(struct tarn_wait wait, uint64_t deadline);

/* True if this call ended the wait. What was written before is seen by the woken thread. */
TARN_API bool tarn_wake(struct tarn_wait wait);

TARN_END_DECLS

#endif
