/*
 * The runtime: user threads on cores that the application owns, after Arachne (OSDI 2018).
 *
 * One kernel thread per core runs any number of user threads. A user thread stays on its core
 * until it suspends; it is moved only when its core is given up. Suspending and resuming is a call
 * of a few nanoseconds; nothing preempts. What blocks in the kernel goes through rt_offload().
 *
 *	static void hello(void *arg) { … rt_sleep(NS_PER_MS) … }
 *
 *	struct rt *rt;
 *	TRY(rt_start(&(struct rt_config){.cores = 2}, &rt));
 *	TRY(rt_spawn(rt, NULL, hello, arg, &id));
 *	…
 *	rt_stop(rt);
 *
 * Waiting. Everything that waits is built on one pair that can neither lose a wake-up nor take one
 * that was meant for an earlier wait:
 *
 *	struct rt_wait w = rt_wait_begin("what for");	// from here on rt_wake(w) counts
 *	publish(w);					// where the waker will find it
 *	s = rt_wait(w, deadline);			// suspends unless already woken
 *	unpublish if !status_ok(s);			// rt_wake(w) returns false from now on
 *
 * Deadlines reach through calls: rt_deadline_set() bounds every wait of the running thread until it
 * is put back, whatever deadline the callee asks for. Cancellation is cooperative: it ends the
 * current wait and each later one with STATUS_CANCELLED until rt_cancel_clear().
 *
 * See src/rt/README.md for the dispatcher, the life of a thread and the memory orders.
 */
#pragma once

#include "base/clock.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>

struct rt;
struct rt_thread;

/* Names a thread for as long as the runtime lives: a stale id is recognised. 0 names none. */
struct rt_id {
	uint64_t value;
};

enum rt_mode {
	RT_SHARED,    /* not pinned, sleeps after a short adaptive spin */
	RT_DEDICATED, /* pinned, spins longer */
	RT_EXCLUSIVE, /* pinned, never sleeps */
};

#define RT_CORES_MAX         256
#define RT_CORE_ANY          UINT32_MAX
#define RT_STACK_BYTES_LEAST 16384

struct rt_config {
	uint32_t cores;       /* 0: one per processor that the process may use */
	const uint32_t *cpus; /* processors to pin to, `cores` of them; NULL: the allowed ones */
	enum rt_mode mode;
	uint32_t threads_max; /* 0: 1,048,576 */
	size_t stack_bytes;   /* per user thread, a power of two; 0: 64 KiB (256 under ASan) */
	bool embedded;        /* a guest in somebody's program: no pinning, signals, spinning */
	bool elastic;        /* uses as few cores as the load needs (rt/load.h); the others sleep */
	const char *arbiter; /* socket of the core arbiter; "": the default one; NULL: no arbiter */
	uint32_t priority;   /* of the request for cores, 0 (the most urgent) to 7 */
	uint64_t seed;       /* of the choice among cores; 0: from the clock */
	uint64_t watchdog_ns; /* report a thread that holds its core longer; 0: never */
};

/*
 * Starts the cores. STATUS_INVALID for a configuration that cannot be, STATUS_LIMIT or
 * STATUS_NO_MEMORY when the system refuses threads or address space, STATUS_IO when it does not say
 * on which processors the process may run.
 */
struct status rt_start(const struct rt_config *config, struct rt **ret);

/*
 * Cancels every user thread, waits until all have ended, stops the cores and frees the runtime.
 * Called from the kernel thread that owns the runtime, never from a user thread.
 */
void rt_stop(struct rt *rt);

/* The runtime that the calling core or guest belongs to; NULL elsewhere. */
struct rt *rt_current(void);

/* How many cores the runtime was started with. */
uint32_t rt_cores(const struct rt *rt);

/* ---- threads ------------------------------------------------------------------------------- */

#define RT_CLASS_SHARED 0
#define RT_CLASSES_MAX  16

struct rt_attr {
	const char *name; /* static or outlives the thread; NULL: "thread" */
	uint32_t core;    /* RT_CORE_ANY, or the number of a core */
	uint8_t class;    /* which cores it may run on: see rt/policy.h */
	bool detached;    /* nobody will join it */
	bool pinned;      /* not even moved when its core is given up */
};

#define RT_ATTR_DEFAULT ((struct rt_attr){.core = RT_CORE_ANY})

/*
 * Creates a thread that runs entry(arg), on the less loaded of two cores chosen at random, or where
 * `attr` says (NULL: RT_ATTR_DEFAULT). From any thread: of this runtime, guest or foreign. Does
 * not suspend. STATUS_LIMIT: threads_max are alive; STATUS_NO_MEMORY: no stack could be had;
 * STATUS_INVALID: no such core or class. *ret_id may be NULL for detached threads.
 */
struct status rt_spawn(struct rt *rt, const struct rt_attr *attr, void (*entry)(void *), void *arg,
		       struct rt_id *ret_id);

/*
 * Waits until the thread has ended and frees its id. STATUS_STALE: it was joined or is detached;
 * STATUS_EXISTS: another thread is joining it; STATUS_DEADLOCK: it is the caller; STATUS_TIMEOUT
 * and STATUS_CANCELLED leave it joinable.
 */
SUSPENDS struct status rt_join(struct rt_id id);

/* Nobody will join it: it frees itself at its end. STATUS_STALE as above. */
struct status rt_detach(struct rt_id id);

/* Lets the other ready threads of the core run. Returns at once when there are none. */
SUSPENDS void rt_yield(void);

/* Sleeps. STATUS_TIMEOUT only if the thread's own deadline comes first, STATUS_CANCELLED. */
SUSPENDS struct status rt_sleep(uint64_t ns);

/* Ends the running thread as if its entry function had returned. */
NORETURN void rt_exit(void);

/* The running user thread; value 0 outside of one. */
struct rt_id rt_self(void);

/* The core that runs the caller, RT_CORE_ANY outside of one. May change at every suspension. */
uint32_t rt_core_number(void);

/* Shown by rt_dump() and in crash reports. `name` must outlive the thread. */
void rt_name_set(const char *name);

/*
 * Asks a thread to end: its current and later waits return STATUS_CANCELLED. STATUS_STALE if it
 * has ended.
 */
struct status rt_cancel(struct rt_id id);

/* Whether the running thread was asked to end. */
bool rt_cancelled(void);

/* Takes the request back for the running thread, so that cleaning up may wait again. */
void rt_cancel_clear(void);

/*
 * Sets the running thread's deadline (clock_ns() time) if it is earlier than the present one, and
 * returns the present one, which the caller puts back with rt_deadline_restore().
 */
uint64_t rt_deadline_set(uint64_t deadline);
void rt_deadline_restore(uint64_t deadline);

/* ---- waiting ------------------------------------------------------------------------------- */

struct rt_wait {
	struct rt_thread *thread;
	uint64_t sequence;
};

/* Begins a wait of the running thread. `reason` is a static string for dumps. */
struct rt_wait rt_wait_begin(const char *reason);

/*
 * Suspends until rt_wake(w): OK; STATUS_TIMEOUT at the deadline or the thread's own;
 * STATUS_CANCELLED. Afterwards no rt_wake(w) succeeds any more.
 */
SUSPENDS struct status rt_wait(struct rt_wait w, uint64_t deadline);

/*
 * Ends the wait `w`: true if this call did it, false if it had ended before. From any thread, also
 * a foreign one, and from poll hooks. Does not suspend. What the waker wrote before is seen by the
 * woken thread.
 */
bool rt_wake(struct rt_wait w);

/* ---- cores ----------------------------------------------------------------------------------- */

/* Something that the dispatcher of one core looks at between threads. */
struct rt_hook {
	/* returns how many events it found. Must not suspend. */
	uint32_t (*poll)(void *arg);
	void *arg;
	const char *name;
	struct rt_hook *next; /* private */
};

/* Adds to the calling core; `hook` is borrowed until removed on the same core. */
void rt_hook_add(struct rt_hook *hook);
void rt_hook_remove(struct rt_hook *hook);

/* Where a core sleeps when it has nothing to do: a futex, until io installs its own. */
struct rt_sleeper {
	/* returns at the deadline (clock_ns() time), after wake(), or early for no reason */
	void (*sleep)(void *arg, uint64_t deadline);
	/* from any thread; a wake before the sleep makes that sleep return at once */
	void (*wake)(void *arg);
	void *arg;
};

/* Replaces the calling core's sleeper; NULL puts the futex back. Borrows until replaced. */
void rt_sleeper_set(const struct rt_sleeper *sleeper);

/* A callback at a time on the core that set it. For waits use their deadline instead. */
struct rt_timer {
	void (*fire)(void *arg); /* must not suspend */
	void *arg;
	uint64_t deadline;      /* clock_ns() time */
	struct rt_timer *child; /* private, and so are the rest: links of a pairing heap */
	struct rt_timer *sibling;
	struct rt_timer *previous;
};

/* Arms a timer on the calling core. It must be initialised with = {0} and not be armed. */
void rt_timer_arm(struct rt_timer *timer, uint64_t deadline);

/* Disarms it, on the core that armed it; true if it had not fired. */
bool rt_timer_disarm(struct rt_timer *timer);

/* ---- outside --------------------------------------------------------------------------------- */

/*
 * Runs fn(arg) on a kernel thread of a bounded pool and waits for it: for libraries that block.
 * Cancellation and deadlines do not cut it short: fn borrows arg. STATUS_BUSY: the pool's queue is
 * full; STATUS_LIMIT: the system gives no kernel thread. fn was not called then.
 */
SUSPENDS struct status rt_offload(void (*fn)(void *), void *arg);

/* A foreign kernel thread that works with the runtime. Storage of the caller. */
struct rt_guest;

/* Registers the calling kernel thread: it gets a slot, a memory cache and a name. */
struct status rt_guest_register(struct rt *rt, const char *name, struct rt_guest **ret);
void rt_guest_unregister(struct rt_guest *guest);

/*
 * Runs fn(arg) on a user thread and blocks the calling kernel thread until it has ended, for guests
 * and foreign threads. STATUS_INVALID from a user thread. Whatever rt_spawn() returns.
 */
struct status rt_call(struct rt *rt, void (*fn)(void *), void *arg);

/* ---- looking in ------------------------------------------------------------------------------ */

/* One line per thread: id, name, core, state, what it waits for and since when; and per core. */
void rt_dump(struct rt *rt, FILE *out);

struct rt_stats {
	uint64_t threads_alive;
	uint64_t threads_created;
	uint64_t switches;
	uint64_t parks;
	uint64_t wakes_remote;
	uint64_t kicks; /* system calls made to wake a parked core */
	uint64_t busy_ns;
	uint64_t idle_ns; /* polling without finding work */
	uint64_t parked_ns;
};

/* What the runtime's cores have done since they were started. From any thread. */
void rt_stats(struct rt *rt, struct rt_stats *ret);
