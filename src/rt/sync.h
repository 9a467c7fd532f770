/*
 * What user threads of one runtime synchronise with. Everything here suspends the thread and never
 * the core; none of it allocates. All objects are ready for use when zero, and may be shared by the
 * threads of all cores. Waiters are served in the order in which they came.
 *
 * Calls that take a deadline (clock_ns() time, CLOCK_NEVER for none) return STATUS_TIMEOUT when it,
 * or the thread's own, has passed, and STATUS_CANCELLED after rt_cancel(); nothing was taken then.
 */
#pragma once

#include "base/atomic.h"
#include "base/spinlock.h"
#include "rt/rt.h"

/* Threads that wait for one thing, oldest first. Under the lock of its object. */
struct rt_waiters {
	struct rt_thread *first;
	struct rt_thread *last;
};

/* ---- mutex ---- */

struct rt_mutex {
	struct atomic_u32 state; /* 0 free, 1 held, 2 held and somebody may wait */
	struct spinlock lock;
	struct rt_waiters waiters;
	struct atomic_ptr owner; /* struct rt_thread */
};

/*
 * Takes the mutex. Not ended by deadlines nor by cancellation, so that clean-up code can use it.
 * The owner must not take it again (assertion).
 */
SUSPENDS void rt_mutex_lock(struct rt_mutex *m);
/* Takes it before the deadline. */
SUSPENDS struct status rt_mutex_lock_until(struct rt_mutex *m, uint64_t deadline);
/* Takes it if it is free. */
bool rt_mutex_try(struct rt_mutex *m);
/*
 * Passes it to the oldest waiter, if there is one. By the owner only (assertion). Afterwards the
 * mutex is not touched on behalf of the caller: the last who uses it may free it then.
 */
void rt_mutex_unlock(struct rt_mutex *m);

/* ---- condition ---- */

struct rt_cond {
	struct spinlock lock;
	struct rt_waiters waiters;
};

/*
 * Releases the mutex, waits for a notification and takes the mutex again, whatever it returns. No
 * wake-up without a notification.
 */
SUSPENDS struct status rt_cond_wait(struct rt_cond *c, struct rt_mutex *m, uint64_t deadline);
/* Wakes the oldest waiter, if any. The mutex need not be held. */
void rt_cond_notify(struct rt_cond *c);
/* Wakes all who wait now. */
void rt_cond_notify_all(struct rt_cond *c);

/* ---- semaphore ---- */

struct rt_sem {
	struct spinlock lock;
	uint32_t count;
	struct rt_waiters waiters;
};

#define RT_SEM(initial) ((struct rt_sem){.count = (initial)})

/* Takes one unit. */
SUSPENDS struct status rt_sem_wait(struct rt_sem *s, uint64_t deadline);
/* Takes one unit if there is one. */
bool rt_sem_try(struct rt_sem *s);
/* Gives one unit, to the oldest waiter first. Also from hooks and foreign threads. */
void rt_sem_post(struct rt_sem *s);

/* ---- reader-writer lock ---- */

struct rt_rwlock {
	struct spinlock lock;
	int32_t holders; /* readers; -1: a writer */
	struct rt_waiters waiters;
};

/*
 * Shared hold. A reader that comes after a waiting writer waits behind it: writers do not starve.
 */
SUSPENDS struct status rt_rwlock_read(struct rt_rwlock *l, uint64_t deadline);
/* Exclusive hold. */
SUSPENDS struct status rt_rwlock_write(struct rt_rwlock *l, uint64_t deadline);
/* Ends a hold of either kind. */
void rt_rwlock_unlock(struct rt_rwlock *l);

/* ---- channel ---- */

/* A bounded queue of pointers. `slots` is borrowed for the channel's life. */
struct rt_channel {
	struct spinlock lock;
	void **slots;
	uint32_t capacity; /* > 0 */
	uint32_t head;
	uint32_t count;
	bool closed;
	struct rt_waiters senders;
	struct rt_waiters receivers;
};

#define RT_CHANNEL(array) ((struct rt_channel){.slots = (array), .capacity = ARRAY_SIZE(array)})

/* Sends; waits while the channel is full. STATUS_CLOSED: it was closed, the item stays with you. */
SUSPENDS struct status rt_channel_send(struct rt_channel *c, void *item, uint64_t deadline);
/* Sends if there is room: STATUS_BUSY if there is none. Does not suspend. */
struct status rt_channel_try_send(struct rt_channel *c, void *item);
/* Receives; waits while the channel is empty. STATUS_CLOSED: it is closed and all was received. */
SUSPENDS struct status rt_channel_receive(struct rt_channel *c, void **ret_item, uint64_t deadline);
/* Receives if there is something: STATUS_BUSY if not. Does not suspend. */
struct status rt_channel_try_receive(struct rt_channel *c, void **ret_item);
/* Nobody can send any more; what is in the channel can be received. Idempotent. */
void rt_channel_close(struct rt_channel *c);

/* ---- wait group ---- */

struct rt_group {
	struct spinlock lock;
	uint32_t count;
	struct rt_waiters waiters;
};

/* `n` more things to wait for. */
void rt_group_add(struct rt_group *g, uint32_t n);
/* One of them is done. More than were added is an assertion. Also from foreign threads. */
void rt_group_done(struct rt_group *g);
/* Waits until all are done. */
SUSPENDS struct status rt_group_wait(struct rt_group *g, uint64_t deadline);
