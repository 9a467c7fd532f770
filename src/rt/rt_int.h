/*
 * The runtime from inside: what its own files and their tests share. See README.md beside it.
 */
#pragma once

#include "base/assert.h"
#include "base/atomic.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/self.h"
#include "base/spinlock.h"
#include "rt/context.h"
#include "rt/kthread.h"
#include "rt/policy_int.h"
#include "rt/rt.h"

struct rt_waiters;

/* ---- threads -------------------------------------------------------------------------------- */

/*
 * rt_thread.wait: sequence of the wait << WAIT_STATE_BITS | WAIT_HARD | state.
 *
 *	       rt_wait_begin        rt_wait              eviction, before the core sleeps
 *	(ended) ─────────► ARMED ─────────► WATCHED ───────────────► BLOCKED
 *	                     │                 │                        │
 *	                     │  rt_wake, timer, rt_cancel: one wins     │ … and pushes the thread
 *	                     ▼                 ▼                        ▼ on its core's woken stack
 *	                WOKEN, TIMED_OUT, CANCELLED (ended)
 *
 * The core polls the words of the WATCHED threads, the few that blocked last: waking one of them
 * is a single store to its word, and one cache line travels. All others are woken through the
 * stack. Only the thread's core makes the arrows to the right; those downwards are a
 * compare-and-swap that names the sequence, so a ticket of an earlier wait changes nothing.
 */
enum wait_state {
	WAIT_NONE,
	WAIT_ARMED,
	WAIT_WATCHED,
	WAIT_BLOCKED,
	WAIT_WOKEN,
	WAIT_TIMED_OUT,
	WAIT_CANCELLED,
};
#define WAIT_STATE_MASK 7ull
#define WAIT_HARD       8ull /* only rt_wake() may end it */
#define WAIT_STATE_BITS 4

/* How many blocked threads a core watches. */
#define WATCHED_MOST 4

/* rt_thread.life: generation << 32 | flags. A free slot has no flags. */
#define LIFE_DETACHED  2u  /* frees itself */
#define LIFE_JOINING   4u  /* rt_thread.joiner waits for its end */
#define LIFE_ENDED     8u  /* waits to be joined */
#define LIFE_CANCELLED 16u /* was asked to end */
#define LIFE_CLAIMED   32u /* one caller has the right to join or to detach it */
#define LIFE_STOPPED   64u /* rt_stop() has asked it to end */

#define CLASS_NONE 0xff

struct rt_thread {
	/* Touched by wakers of other cores. */
	CACHE_ALIGNED struct atomic_u64 wait;
	/* struct rt_core; changed by its owner while it is neither running nor blocked */
	struct atomic_ptr core;
	struct rt_thread
		*wait_next; /* links of the waiter queue of a sync object, under its lock */
	struct rt_thread *wait_prev;
	struct rt_waiters *wait_queue; /* the list it is in, NULL if in none */
	uint64_t wait_sequence;
	uint64_t wait_value; /* what the sync object has to know of this waiter, and tell it */

	/* Touched by its core only. */
	CACHE_ALIGNED struct context context;
	struct rt_thread *next; /* in a ready list, a free list, or a woken stack (tagged) */
	void (*entry)(void *);
	void *arg;
	uint64_t deadline; /* bounds every wait */
	uint32_t index;
	uint8_t class;
	bool pinned;
	uint8_t watch; /* 1 + place in the core's watched[], 0 if in none */
	const char *wait_reason;
	uint64_t wait_since; /* the core's last look at the clock, in cycles */

	/* Rarely touched. */
	struct atomic_u64 life;
	struct rt_wait joiner; /* valid while LIFE_JOINING */
	struct rt_timer timer; /* of the wait's deadline */
	bool timer_armed;
	struct rt *rt;
	struct self_thread self;
};

/* A thread's id holds generation:32, number of the runtime:10, index + 1:22. */
#define ID_INDEX_BITS   22
#define ID_RUNTIME_BITS 10
#define THREADS_MOST    ((1u << ID_INDEX_BITS) - 2)
#define RUNTIMES_MAX    (1u << ID_RUNTIME_BITS)

/* ---- cores ---------------------------------------------------------------------------------- */

/*
 * A spawn cell is one cache line that carries a new thread to its core. The core fills in which
 * slot the thread will have, so the creator knows the id, and whoever polls the cell finds entry
 * and argument in the same line: a remote start costs one line transfer.
 *
 * Ring of Vyukov: turn == position: free for the creator that takes this position; turn ==
 * position + 1: filled, for the core.
 */
struct spawn_cell {
	CACHE_ALIGNED struct atomic_u64 turn;
	struct rt_thread *slot; /* waits here for the thread; its id is known to the creator */
	void (*entry)(void *);
	void *arg;
	const char *name;
	uint8_t class;
	bool detached;
	bool pinned;
};

#define SPAWN_CELLS 64

struct ready_list {
	struct rt_thread *first;
	struct rt_thread *last; /* undefined while first is NULL */
};

/* A core's dealings with the arbiter (borrow.h). */
enum borrow_state {
	BORROW_NONE,    /* not offered yet */
	BORROW_OFFERED, /* waits for a processor */
	BORROW_GRANTED, /* has one */
};

/* Written by the core alone, read by anybody. */
struct core_stats {
	struct atomic_u64 looks; /* its pulse: a core that neither looks nor sleeps is stuck */
	struct atomic_u64 switches;
	struct atomic_u64 parks;
	struct atomic_u64 kicks;
	struct atomic_u64 wakes_remote;
	struct atomic_u64 busy_ns;
	struct atomic_u64 runnable_ns; /* busy time, times the threads that ran or were ready */
	struct atomic_u64 idle_ns;
	struct atomic_u64 parked_ns;
};

struct rt_core {
	/* The dispatcher's own. */
	CACHE_ALIGNED struct rt_thread *current; /* NULL in the dispatcher */
	struct ready_list ready;
	uint32_t ready_count;
	int32_t countdown;       /* switches until the dispatcher looks around */
	int32_t countdown_start; /* adapts so that a look comes every few microseconds of work */
	uint32_t spawn_head;     /* position of the cell that fills next */
	uint32_t spawn_refill;   /* position of the first cell without a slot */
	struct rt_thread *watched[WATCHED_MOST]; /* NULL: free place */
	uint32_t watched_next;                   /* place that the next one takes */
	struct rt_thread *ended; /* switched away for good; the dispatcher buries it */
	struct context dispatcher;

	CACHE_ALIGNED struct self self;
	struct self_thread self_thread; /* the dispatcher's */
	struct rt *rt;
	uint32_t number;
	uint32_t processor; /* KTHREAD_ANYWHERE when not pinned */
	uint64_t random;
	struct rt_thread *free; /* slots */
	uint32_t free_count;
	struct rt_hook *hooks;
	struct rt_timer *timers; /* pairing heap */
	uint64_t looked_at;      /* cycles */
	uint64_t spin_cycles;    /* present budget */
	/* longer between two looks while idle: the kernel took the core */
	uint64_t preempted_cycles;
	uint64_t idle_since; /* cycles; 0 while there is work */
	uint32_t serves_seen;
	enum borrow_state borrow;
	struct rt_sleeper sleeper;
	struct core_stats stats;
	struct atomic_u64 spawned; /* by threads of this core, anywhere; written by this core */
	struct atomic_u64 buried;  /* here; written by this core */
	struct kthread kthread;

	/* Written by others. */
	CACHE_ALIGNED struct atomic_ptr woken; /* stack of threads woken from elsewhere */
	/* How many threads it has is spawned + pushed - gone. What others write and what the core
	 * writes lie in lines of their own: a creator finds the first where it left it. */
	CACHE_ALIGNED struct atomic_u32 spawned_here; /* positions of the ring that were claimed */
	struct atomic_u32 pushed;                     /* threads that came otherwise */
	CACHE_ALIGNED struct atomic_u32 gone; /* ended or moved, less those it spawned for itself */
	CACHE_ALIGNED struct atomic_u32 parked; /* 1: needs a kick */
	struct atomic_u32 serves; /* classes, one bit each, whose threads may run here */
	struct atomic_u32 stopping;
	struct spinlock sleeper_lock;          /* over the waking and the changing of the sleeper */
	CACHE_ALIGNED struct atomic_u32 futex; /* of the default sleeper */
	struct spawn_cell spawn[SPAWN_CELLS];
};

/* ---- slots ----------------------------------------------------------------------------------- */

/*
 * All thread records and stacks of a runtime: address space reserved once, memory as it is touched.
 */
struct slots {
	struct rt_thread *threads;
	char *stacks;
	size_t stack_bytes; /* with its guard page */
	uint32_t max;
	struct spinlock lock;
	struct rt_thread *free;       /* (lock) */
	struct atomic_u32 free_count; /* changed under the lock */
	struct spinlock fresh_lock;   /* held over a system call: only where slots are made */
	struct atomic_u32 fresh; /* slots from here on were never used; grows under fresh_lock */
};

struct offload;
struct control;
struct rt_guest;
struct arbiter_client;

struct rt {
	CACHE_ALIGNED struct rt_config config; /* aligned: the cores follow the structure */
	struct slots slots;
	struct policy policy;
	uint32_t number; /* in ids */
	uint32_t forks;  /* how often the process had forked when this was started */
	uint32_t core_count;
	struct rt_core *cores;
	struct atomic_u32 stopping;
	struct atomic_u32 ended_word;      /* rt_stop() sleeps here */
	struct atomic_u64 spawned_outside; /* by threads that are none of our cores */
	struct offload *offload;
	struct control *control;
	struct arbiter_client *arbiter; /* NULL: the cores are ours */
	struct list guests;             /* guests_lock */
	struct spinlock guests_lock;
};

/* slots.c */
struct status slots_init(struct slots *s, const struct rt_config *config);
void slots_fini(struct slots *s);
/* Takes up to `want` slots as a list linked by next; fewer, even none, at the limit. */
uint32_t slots_take(struct rt *rt, uint32_t want, struct rt_thread **ret_list);
/* Gives a list of `count` back; the list need not end in NULL. */
void slots_give(struct slots *s, struct rt_thread *list, uint32_t count);
/* Lowest address and size of the part of a slot's stack that may be used. */
void *slots_stack(const struct slots *s, const struct rt_thread *t, size_t *ret_bytes);
/* The thread on whose stack or guard page `address` lies; *ret_guard says which. NULL: none. */
struct rt_thread *slots_find(const struct slots *s, const void *address, bool *ret_guard);
/* A free slot for a thread that will start on `c`, which is the calling core. NULL at the limit. */
struct rt_thread *core_slot_take(struct rt_core *c);
void core_slot_give(struct rt_core *c, struct rt_thread *t);
/* Puts a slot's context at the start of thread_main(). */
void slots_context(const struct slots *s, struct rt_thread *t);

/* The runtime of that number, NULL if there is none. */
struct rt *runtime_of(uint32_t number);
/* The thread's slot if the id can be of this process, whatever its generation; NULL otherwise. */
struct rt_thread *thread_of(struct rt_id id);

/* The id of the slot in the life that the word `life` (rt_thread.life) tells. */
static inline struct rt_id thread_id_at(const struct rt_thread *t, uint64_t life)
{
	return (struct rt_id){(life & ~0xffffffffull) | ((uint64_t)t->rt->number << ID_INDEX_BITS) |
			      (t->index + 1)};
}

/* The id of a live or about to be live slot. */
static inline struct rt_id thread_id(const struct rt_thread *t)
{
	return thread_id_at(t, atomic_u64_load(&t->life, ORDER_RELAXED));
}

/* The core that runs the caller; NULL outside of one. Valid until the next suspension. */
static ALWAYS_INLINE struct rt_core *core_self(void)
{
	struct self *s = self_or_null();

	return likely(s != NULL) ? s->core : NULL;
}

/* Adds to a counter that only the calling core writes and anybody reads. */
static ALWAYS_INLINE void counter_add(struct atomic_u64 *counter, uint64_t n)
{
	atomic_u64_store(counter, atomic_u64_load(counter, ORDER_RELAXED) + n, ORDER_RELEASE);
}

/* By the core itself; -1 for a thread that it spawned for itself. */
static ALWAYS_INLINE void core_gone_add(struct rt_core *c, int32_t n)
{
	atomic_u32_store(&c->gone, atomic_u32_load(&c->gone, ORDER_RELAXED) + (uint32_t)n,
			 ORDER_RELAXED);
}

/* Whether the calling core watches the thread. Reads its own words only. */
static ALWAYS_INLINE bool core_watches(const struct rt_core *c, const struct rt_thread *t)
{
	bool watches = false;

	for (uint32_t i = 0; i < WATCHED_MOST; i++)
		watches |= c->watched[i] == t;
	return watches;
}

/* dispatch.c */
void core_main(void *core);
/* Switches from the running thread to whatever comes next; returns when it is resumed. */
SUSPENDS void core_suspend(struct rt_core *c, struct rt_thread *t);
/* Ends the running thread. */
NORETURN void core_end_thread(struct rt_core *c, struct rt_thread *t);
/* Makes a thread run that is in no list, on its own core. From any thread. */
void core_make_ready(struct rt_thread *t);
/* Makes a watched thread, whose wait has just ended, run again, on its own core. */
void core_make_watched_ready(struct rt_core *c, struct rt_thread *t);
/* Has the core poll the word of a thread that blocks; another may have to make place. */
void core_watch(struct rt_core *c, struct rt_thread *t);
/* Takes a blocked thread out of the watch; false if its wait has ended: then it is to be run. */
bool wait_unwatch(struct rt_thread *t);
/* Whether the wait of a watched thread has ended. */
static ALWAYS_INLINE bool wait_ended(const struct rt_thread *t)
{
	return (atomic_u64_load(&t->wait, ORDER_ACQUIRE) & WAIT_STATE_MASK) > WAIT_BLOCKED;
}
/* Whether the core must not sleep now. */
bool core_has_work(const struct rt_core *c);
/* Before a sleep: tells its load and watches nobody any more, which may make threads ready. */
void core_rest(struct rt_core *c);

/* park.c */
/* Sleeps until there may be work. */
void core_park(struct rt_core *c);
/* Wakes the core if it sleeps, after something was put where its dispatcher will find it. */
void core_kick(struct rt_core *c);

/* Puts the futex back as where the core sleeps. */
void core_sleeper_reset(struct rt_core *c);

/* thread.c */
void thread_main(void *thread);
/* Readies a slot's record for entry(arg). The life's generation stays; its flags are set. */
void thread_prepare(struct rt_thread *t, const struct spawn_cell *what);
/* Frees or leaves to its joiner a thread that has switched away for good. On its core. */
void thread_bury(struct rt_core *c, struct rt_thread *t);
/* Frees a slot: its id is stale from here on. `c` may be NULL on foreign threads. */
void thread_free(struct rt_core *c, struct rt_thread *t);

/* wait.c */
/* Begins a wait that neither a deadline nor cancellation ends: for what must not be left. */
struct rt_wait wait_begin_hard(const char *reason);
/* Ends the wait `w` with `state` if it has not ended; true if this call did. */
bool wait_end(struct rt_thread *t, uint64_t sequence, enum wait_state state);

/* runtime.c */
/* STATUS_UNSUPPORTED in the child of a fork: it has the runtime's memory, but not its cores. */
struct status runtime_check_fork(const struct rt *rt);
/* Threads spawned and not yet ended. */
uint64_t runtime_alive(const struct rt *rt);

/* timer.c */
/* Fires what is due at `now` (clock_ns()). Returns how many. */
uint32_t timers_fire(struct rt_core *c, uint64_t now);
/* The earliest deadline, CLOCK_NEVER if none. */
uint64_t timers_next(const struct rt_core *c);
void timers_insert(struct rt_timer **heap, struct rt_timer *timer);
void timers_remove(struct rt_timer **heap, struct rt_timer *timer);

/* offload.c */
struct status offload_create(struct rt *rt);
void offload_destroy(struct rt *rt);

struct crash;

/* dump.c */
/* The runtime's part of a crash report: a crash_hook. */
void dump_crash(int fd, const struct crash *crash);

/* control.c */
struct status control_start(struct rt *rt);
void control_stop(struct rt *rt);
