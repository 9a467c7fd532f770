/*
 * All objects here are a few words under a spin lock, with a list of waiting threads linked through
 * their records. The rule that makes time-outs safe: a waker takes a waiter off the list together
 * with its ticket, under the lock; if rt_wake() then says that the wait had ended otherwise, the
 * wake-up goes to the next waiter. A waiter whose wait ended otherwise takes itself off the list.
 */
#include "rt/sync.h"

#include "base/diag.h"
#include "rt/rt_int.h"

/* ---- waiters --------------------------------------------------------------------------------- */

static void waiters_append(struct rt_waiters *q, struct rt_wait w, uint64_t value)
{
	struct rt_thread *t = w.thread;

	t->wait_queue = q;
	t->wait_sequence = w.sequence;
	t->wait_value = value;
	t->wait_next = NULL;
	t->wait_prev = q->last;
	if (q->first)
		q->last->wait_next = t;
	else
		q->first = t;
	q->last = t;
}

static void waiters_remove(struct rt_waiters *q, struct rt_thread *t)
{
	if (t->wait_prev)
		t->wait_prev->wait_next = t->wait_next;
	else
		q->first = t->wait_next;
	if (t->wait_next)
		t->wait_next->wait_prev = t->wait_prev;
	else
		q->last = t->wait_prev;
	t->wait_queue = NULL;
}

/* Takes the oldest off; false if nobody waits. */
static bool waiters_pop(struct rt_waiters *q, struct rt_wait *ret)
{
	struct rt_thread *t = q->first;

	if (!t)
		return false;
	/* its line is read here and written by the wake: fetch it for both at once */
	prefetch_write(&t->wait);
	*ret = (struct rt_wait){.thread = t, .sequence = t->wait_sequence};
	waiters_remove(q, t);
	return true;
}

/*
 * Wakes all, and tells each by `value` that it was woken under the lock: it may free the object,
 * but not before the waker has let go, for which it calls waker_gone(). Lock held.
 */
static void waiters_wake_all(struct rt_waiters *q, uint64_t value)
{
	struct rt_wait w;

	while (waiters_pop(q, &w)) {
		w.thread->wait_value = value;
		rt_wake(w);
	}
}

static void waker_gone(struct spinlock *lock)
{
	spinlock_lock(lock);
	spinlock_unlock(lock);
}

/*
 * Waits after the thread was put on the list and the lock released. If the wait ends otherwise than
 * by a waker the thread is off the list when this returns.
 */
SUSPENDS static struct status waiters_wait(struct rt_waiters *q, struct spinlock *lock,
					   struct rt_wait w, uint64_t deadline)
{
	struct status s = rt_wait(w, deadline);

	if (status_ok(s))
		return s;
	spinlock_lock(lock);
	if (w.thread->wait_queue == q)
		waiters_remove(q, w.thread);
	spinlock_unlock(lock);
	return s;
}

/* ---- mutex ----------------------------------------------------------------------------------- */

enum { MUTEX_FREE, MUTEX_HELD, MUTEX_CONTENDED };

/* For assertions only; read without the lock. */
static struct rt_thread *owner(const struct rt_mutex *m)
{
	return atomic_ptr_load(&m->owner, ORDER_RELAXED);
}

static void owner_set(struct rt_mutex *m, struct rt_thread *t)
{
	atomic_ptr_store(&m->owner, t, ORDER_RELAXED);
}

static struct rt_thread *me(void)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL && c->current != NULL);
	return c->current;
}

bool rt_mutex_try(struct rt_mutex *m)
{
	uint32_t state = MUTEX_FREE;

	if (!atomic_u32_cas(&m->state, &state, MUTEX_HELD, ORDER_ACQUIRE))
		return false;
	owner_set(m, me());
	return true;
}

SUSPENDS static NOINLINE struct status mutex_lock_slow(struct rt_mutex *m, struct rt_wait w,
						       uint64_t deadline)
{
	spinlock_lock(&m->lock);
	if (atomic_u32_exchange(&m->state, MUTEX_CONTENDED, ORDER_ACQUIRE) == MUTEX_FREE) {
		/* released in between; "contended" only makes the next unlock look at the list */
		owner_set(m, w.thread);
		spinlock_unlock(&m->lock);
		return OK;
	}
	waiters_append(&m->waiters, w, 0);
	spinlock_unlock(&m->lock);
	return waiters_wait(&m->waiters, &m->lock, w, deadline);
}

SUSPENDS static void mutex_lock_hard(struct rt_mutex *m)
{
	struct status s = mutex_lock_slow(m, wait_begin_hard("mutex"), CLOCK_NEVER);

	ASSERT(status_ok(s));
}

SUSPENDS void rt_mutex_lock(struct rt_mutex *m)
{
	if (likely(rt_mutex_try(m)))
		return;
	ASSERT(owner(m) != me());
	mutex_lock_hard(m);
}

SUSPENDS struct status rt_mutex_lock_until(struct rt_mutex *m, uint64_t deadline)
{
	if (likely(rt_mutex_try(m)))
		return OK;
	ASSERT(owner(m) != me());
	return mutex_lock_slow(m, rt_wait_begin("mutex"), deadline);
}

static NOINLINE void mutex_unlock_slow(struct rt_mutex *m)
{
	struct rt_wait w;

	spinlock_lock(&m->lock);
	while (waiters_pop(&m->waiters, &w)) {
		/* handed over: the mutex is never free in between, so nobody overtakes */
		owner_set(m, w.thread);
		if (rt_wake(w)) {
			spinlock_unlock(&m->lock);
			return;
		}
	}
	owner_set(m, NULL);
	atomic_u32_store(&m->state, MUTEX_FREE, ORDER_RELEASE);
	spinlock_unlock(&m->lock);
}

static void mutex_release(struct rt_mutex *m)
{
	uint32_t state = MUTEX_HELD;

	if (atomic_u32_load(&m->state, ORDER_RELAXED) == MUTEX_HELD) {
		/* who had it before may be about to release the lock below: the caller may free the
		 * mutex after this, so nobody else may still touch it */
		while (unlikely(atomic_u32_load(&m->lock.held, ORDER_ACQUIRE) != 0))
			cpu_relax();
		owner_set(m, NULL);
		if (likely(atomic_u32_cas(&m->state, &state, MUTEX_FREE, ORDER_RELEASE)))
			return;
	}
	mutex_unlock_slow(m);
}

void rt_mutex_unlock(struct rt_mutex *m)
{
	ASSERT(owner(m) == me());
	mutex_release(m);
}

/* ---- condition ------------------------------------------------------------------------------- */

/*
 * A notification takes a free mutex for the thread that it wakes: the mutex is in the notifier's
 * cache, and the woken thread need not fetch it. While it waits, wait_value is the mutex; then it
 * may be one of these.
 */
enum {
	COND_MUTEX_TAKEN, /* it was taken in the waiter's name */
	COND_ALL,         /* woken under the condition's lock, among all */
};

SUSPENDS struct status rt_cond_wait(struct rt_cond *c, struct rt_mutex *m, uint64_t deadline)
{
	struct rt_wait w = rt_wait_begin("condition");

	spinlock_lock(&c->lock);
	waiters_append(&c->waiters, w, (uint64_t)(uintptr_t)m);
	spinlock_unlock(&c->lock);
	rt_mutex_unlock(m);

	struct status s = waiters_wait(&c->waiters, &c->lock, w, deadline);

	if (status_ok(s) && w.thread->wait_value == COND_MUTEX_TAKEN)
		return OK;
	if (status_ok(s) && w.thread->wait_value == COND_ALL)
		waker_gone(&c->lock);
	/* A notification that comes too late may hold the mutex in this thread's name still, until
	 * it has seen that: so this does not assert that the owner is another. */
	if (!rt_mutex_try(m))
		mutex_lock_hard(m);
	return s;
}

/* Takes the mutex in the name of a thread that waits, if it is free. */
static bool mutex_take_for(struct rt_mutex *m, struct rt_thread *t)
{
	uint32_t state = MUTEX_FREE;

	if (!atomic_u32_cas(&m->state, &state, MUTEX_HELD, ORDER_ACQUIRE))
		return false;
	owner_set(m, t);
	return true;
}

void rt_cond_notify(struct rt_cond *c)
{
	for (;;) {
		struct rt_mutex *m = NULL;
		struct rt_wait w;

		spinlock_lock(&c->lock);
		bool found = waiters_pop(&c->waiters, &w);
		if (found)
			m = (struct rt_mutex *)(uintptr_t)w.thread->wait_value;
		bool taken = found && mutex_take_for(m, w.thread);
		if (taken)
			w.thread->wait_value = COND_MUTEX_TAKEN;
		spinlock_unlock(&c->lock);

		if (!found || rt_wake(w))
			return;
		if (taken)
			mutex_release(m);
	}
}

void rt_cond_notify_all(struct rt_cond *c)
{
	spinlock_lock(&c->lock);
	waiters_wake_all(&c->waiters, COND_ALL);
	spinlock_unlock(&c->lock);
}

/* ---- semaphore ------------------------------------------------------------------------------- */

static bool sem_take_locked(struct rt_sem *s)
{
	if (s->count == 0)
		return false;
	s->count--;
	return true;
}

bool rt_sem_try(struct rt_sem *s)
{
	spinlock_lock(&s->lock);
	bool taken = sem_take_locked(s);
	spinlock_unlock(&s->lock);
	return taken;
}

SUSPENDS struct status rt_sem_wait(struct rt_sem *s, uint64_t deadline)
{
	struct rt_wait w;

	spinlock_lock(&s->lock);
	if (sem_take_locked(s)) {
		spinlock_unlock(&s->lock);
		return OK;
	}
	w = rt_wait_begin("semaphore");
	waiters_append(&s->waiters, w, 0);
	spinlock_unlock(&s->lock);
	return waiters_wait(&s->waiters, &s->lock, w, deadline);
}

void rt_sem_post(struct rt_sem *s)
{
	struct rt_wait w;
	bool found;

	/* woken outside of the lock: the woken thread may free the semaphore at once */
	do {
		spinlock_lock(&s->lock);
		found = waiters_pop(&s->waiters, &w);
		if (!found) {
			ASSERT(s->count < UINT32_MAX);
			s->count++;
		}
		spinlock_unlock(&s->lock);
	} while (found && !rt_wake(w));
}

/* ---- reader-writer lock ---------------------------------------------------------------------- */

enum { RW_READ, RW_WRITE };

/* Lets in from the front of the list as many as may hold together. */
static void rwlock_admit(struct rt_rwlock *l)
{
	struct rt_wait w;

	while (l->waiters.first && l->holders >= 0) {
		bool writer = l->waiters.first->wait_value == RW_WRITE;

		if (writer && l->holders > 0)
			return;
		waiters_pop(&l->waiters, &w);
		/* counted before the wake: the woken thread may unlock at once */
		l->holders = writer ? -1 : l->holders + 1;
		if (!rt_wake(w))
			l->holders = writer ? 0 : l->holders - 1;
	}
}

SUSPENDS static struct status rwlock_lock(struct rt_rwlock *l, uint64_t kind, uint64_t deadline)
{
	struct rt_wait w;

	spinlock_lock(&l->lock);
	if (!l->waiters.first && (kind == RW_READ ? l->holders >= 0 : l->holders == 0)) {
		l->holders = kind == RW_READ ? l->holders + 1 : -1;
		spinlock_unlock(&l->lock);
		return OK;
	}
	w = rt_wait_begin(kind == RW_READ ? "read lock" : "write lock");
	waiters_append(&l->waiters, w, kind);
	spinlock_unlock(&l->lock);

	struct status s = waiters_wait(&l->waiters, &l->lock, w, deadline);

	if (!status_ok(s)) {
		/* a writer that gave up may have kept readers behind it waiting */
		spinlock_lock(&l->lock);
		rwlock_admit(l);
		spinlock_unlock(&l->lock);
	}
	return s;
}

SUSPENDS struct status rt_rwlock_read(struct rt_rwlock *l, uint64_t deadline)
{
	return rwlock_lock(l, RW_READ, deadline);
}

SUSPENDS struct status rt_rwlock_write(struct rt_rwlock *l, uint64_t deadline)
{
	return rwlock_lock(l, RW_WRITE, deadline);
}

void rt_rwlock_unlock(struct rt_rwlock *l)
{
	spinlock_lock(&l->lock);
	ASSERT(l->holders != 0);
	l->holders = l->holders < 0 ? 0 : l->holders - 1;
	rwlock_admit(l);
	spinlock_unlock(&l->lock);
}

/* ---- channel --------------------------------------------------------------------------------- */

/*
 * Items go from hand to hand in order: to a waiting receiver directly, and from a waiting sender
 * into the place that a receive has made. wait_value carries the item; CHANNEL_CLOSED in its place
 * tells a woken thread that there is none.
 */
static char channel_closed_mark;
#define CHANNEL_CLOSED ((uint64_t)(uintptr_t)&channel_closed_mark)

static struct status channel_closed(void)
{
	return fail(STATUS_CLOSED, "channel: closed");
}

/* What a waiter was woken for. */
static struct status channel_woken(struct rt_channel *c, struct rt_wait w)
{
	if (w.thread->wait_value != CHANNEL_CLOSED)
		return OK;
	waker_gone(&c->lock);
	return channel_closed();
}

/* One attempt at sending; false if the channel is full. Takes and releases the lock. */
static bool channel_offer(struct rt_channel *c, void *item, struct status *ret)
{
	struct rt_wait w;

	*ret = OK;
	for (;;) {
		spinlock_lock(&c->lock);
		if (c->closed || c->count == c->capacity) {
			bool closed = c->closed;

			spinlock_unlock(&c->lock);
			if (closed)
				*ret = channel_closed();
			return closed;
		}
		if (!waiters_pop(&c->receivers, &w)) {
			c->slots[(c->head + c->count) % c->capacity] = item;
			c->count++;
			spinlock_unlock(&c->lock);
			return true;
		}
		w.thread->wait_value = (uint64_t)(uintptr_t)item;
		spinlock_unlock(&c->lock);
		/* outside of the lock: the receiver may free the channel at once */
		if (rt_wake(w))
			return true;
	}
}

/* Takes the oldest item out, and lets a waiting sender put his in. Lock held. */
static bool channel_take_locked(struct rt_channel *c, void **ret_item)
{
	struct rt_wait w;

	if (c->count == 0)
		return false;
	*ret_item = c->slots[c->head];
	c->head = (c->head + 1) % c->capacity;
	c->count--;
	while (waiters_pop(&c->senders, &w)) {
		void *item = (void *)(uintptr_t)w.thread->wait_value;

		w.thread->wait_value = 0;
		if (rt_wake(w)) {
			c->slots[(c->head + c->count) % c->capacity] = item;
			c->count++;
			break;
		}
	}
	return true;
}

SUSPENDS struct status rt_channel_send(struct rt_channel *c, void *item, uint64_t deadline)
{
	struct status s;

	while (!channel_offer(c, item, &s)) {
		spinlock_lock(&c->lock);
		if (c->closed || c->count < c->capacity) {
			spinlock_unlock(&c->lock);
			continue;
		}

		struct rt_wait w = rt_wait_begin("channel send");

		waiters_append(&c->senders, w, (uint64_t)(uintptr_t)item);
		spinlock_unlock(&c->lock);
		TRY(waiters_wait(&c->senders, &c->lock, w, deadline));
		return channel_woken(c, w);
	}
	return s;
}

struct status rt_channel_try_send(struct rt_channel *c, void *item)
{
	struct status s;

	return channel_offer(c, item, &s) ? s : (struct status){STATUS_BUSY};
}

SUSPENDS struct status rt_channel_receive(struct rt_channel *c, void **ret_item, uint64_t deadline)
{
	spinlock_lock(&c->lock);
	if (channel_take_locked(c, ret_item)) {
		spinlock_unlock(&c->lock);
		return OK;
	}
	if (c->closed) {
		spinlock_unlock(&c->lock);
		return channel_closed();
	}

	struct rt_wait w = rt_wait_begin("channel receive");

	waiters_append(&c->receivers, w, 0);
	spinlock_unlock(&c->lock);
	TRY(waiters_wait(&c->receivers, &c->lock, w, deadline));
	TRY(channel_woken(c, w));
	*ret_item = (void *)(uintptr_t)w.thread->wait_value;
	return OK;
}

struct status rt_channel_try_receive(struct rt_channel *c, void **ret_item)
{
	spinlock_lock(&c->lock);
	bool taken = channel_take_locked(c, ret_item);
	bool closed = c->closed;
	spinlock_unlock(&c->lock);
	if (taken)
		return OK;
	return closed ? channel_closed() : (struct status){STATUS_BUSY};
}

void rt_channel_close(struct rt_channel *c)
{
	spinlock_lock(&c->lock);
	c->closed = true;
	waiters_wake_all(&c->senders, CHANNEL_CLOSED);
	waiters_wake_all(&c->receivers, CHANNEL_CLOSED);
	spinlock_unlock(&c->lock);
}

/* ---- wait group ------------------------------------------------------------------------------ */

void rt_group_add(struct rt_group *g, uint32_t n)
{
	spinlock_lock(&g->lock);
	ASSERT(g->count <= UINT32_MAX - n);
	g->count += n;
	spinlock_unlock(&g->lock);
}

void rt_group_done(struct rt_group *g)
{
	spinlock_lock(&g->lock);
	ASSERT(g->count > 0);
	g->count--;
	/* all in one hold: who is woken first may add to the group for the next round */
	if (g->count == 0)
		waiters_wake_all(&g->waiters, 0);
	spinlock_unlock(&g->lock);
}

SUSPENDS struct status rt_group_wait(struct rt_group *g, uint64_t deadline)
{
	struct rt_wait w;

	spinlock_lock(&g->lock);
	if (g->count == 0) {
		spinlock_unlock(&g->lock);
		return OK;
	}
	w = rt_wait_begin("group");
	waiters_append(&g->waiters, w, 0);
	spinlock_unlock(&g->lock);
	TRY(waiters_wait(&g->waiters, &g->lock, w, deadline));
	waker_gone(&g->lock);
	return OK;
}
