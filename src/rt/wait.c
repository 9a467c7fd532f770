/*
 * Waiting and waking: every blocking operation of Tarn ends here. rt_int.h draws the states.
 */
#include "rt/rt_int.h"

static ALWAYS_INLINE uint64_t wait_word(uint64_t sequence, uint64_t state)
{
	return sequence << WAIT_STATE_BITS | state;
}

static struct rt_thread *current_thread(void)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL && c->current != NULL);
	return c->current;
}

static struct rt_wait begin(const char *reason, uint64_t armed)
{
	struct rt_thread *t = current_thread();
	uint64_t sequence = (atomic_u64_load(&t->wait, ORDER_RELAXED) >> WAIT_STATE_BITS) + 1;

	t->wait_reason = reason;
	/* A store suffices: in an ended state nobody else writes the word, and a wait that was
	 * begun and never waited for is overtaken whether it was woken or not. Whoever publishes
	 * the ticket orders this before it. */
	atomic_u64_store(&t->wait, wait_word(sequence, armed), ORDER_RELAXED);
	return (struct rt_wait){.thread = t, .sequence = sequence};
}

struct rt_wait rt_wait_begin(const char *reason)
{
	return begin(reason, WAIT_ARMED);
}

struct rt_wait wait_begin_hard(const char *reason)
{
	return begin(reason, WAIT_ARMED | WAIT_HARD);
}

/* Whether a wait whose word is that can be ended with `how`. */
static bool may_end(uint64_t word, enum wait_state how)
{
	uint64_t state = word & WAIT_STATE_MASK;

	return state >= WAIT_ARMED && state <= WAIT_BLOCKED &&
	       (how == WAIT_WOKEN || !(word & WAIT_HARD));
}

/* Ends the wait with `how`; the winner of the race sees to it that a suspended thread runs. */
bool wait_end(struct rt_thread *t, uint64_t sequence, enum wait_state how)
{
	uint64_t word =
		wait_word(sequence, WAIT_WATCHED); /* the likely one, without a read first */

	/* release: what the waker wrote before is seen by the woken thread */
	while (!atomic_u64_cas(&t->wait, &word, wait_word(sequence, how), ORDER_ACQ_REL)) {
		if (word >> WAIT_STATE_BITS != sequence || !may_end(word, how))
			return false;
	}
	switch (word & WAIT_STATE_MASK) {
	case WAIT_WATCHED: {
		struct rt_core *me = core_self();

		/*
		 * Another core finds it by itself. `t->core` would not tell: the thread may have
		 * been run and moved, or its slot reused, since the word above was changed.
		 */
		if (me && core_watches(me, t))
			core_make_watched_ready(me, t);
		break;
	}
	case WAIT_BLOCKED: core_make_ready(t); break;
	default: break; /* armed: it will not suspend */
	}
	return true;
}

bool wait_unwatch(struct rt_thread *t)
{
	uint64_t word = atomic_u64_load(&t->wait, ORDER_RELAXED);

	while ((word & WAIT_STATE_MASK) == WAIT_WATCHED) {
		if (atomic_u64_cas(&t->wait, &word, (word & ~WAIT_STATE_MASK) | WAIT_BLOCKED,
				   ORDER_ACQ_REL))
			return true;
	}
	return false;
}

bool rt_wake(struct rt_wait w)
{
	return wait_end(w.thread, w.sequence, WAIT_WOKEN);
}

static void deadline_fire(void *arg)
{
	struct rt_thread *t = arg;
	uint64_t word = atomic_u64_load(&t->wait, ORDER_RELAXED);

	t->timer_armed = false;
	wait_end(t, word >> WAIT_STATE_BITS, WAIT_TIMED_OUT);
}

static bool cancel_requested(const struct rt_thread *t)
{
	return atomic_u64_load(&t->life, ORDER_SEQ_CST) & LIFE_CANCELLED;
}

/*
 * rt_cancel() sets the flag and then looks at the wait; this comes after the wait was made watched.
 * All four are seq_cst, so either it finds the wait or this finds the flag. True if the wait has
 * ended here: then the thread goes on without having been suspended.
 */
static bool cancel_late(struct rt_thread *t, uint64_t sequence)
{
	uint64_t word = wait_word(sequence, WAIT_WATCHED);

	return unlikely(cancel_requested(t)) &&
	       atomic_u64_cas(&t->wait, &word, wait_word(sequence, WAIT_CANCELLED), ORDER_ACQ_REL);
}

/* Suspends until the wait has ended. The timer runs on this core; a move disarms it. */
SUSPENDS static void wait_suspend(struct rt_core *c, struct rt_thread *t, uint64_t sequence,
				  uint64_t deadline)
{
	uint64_t word = atomic_u64_load(&t->wait, ORDER_RELAXED);
	uint64_t hard = word & WAIT_HARD;

	if (deadline != CLOCK_NEVER && !hard) {
		t->timer.fire = deadline_fire;
		t->timer.arg = t;
		t->timer_armed = true;
		rt_timer_arm(&t->timer, deadline);
	}
	t->wait_since = c->looked_at;
	/* Once watched the thread may be found woken, but only by its core's dispatcher, which is
	 * this kernel thread: not before the switch. */
	if ((word & WAIT_STATE_MASK) == WAIT_ARMED &&
	    atomic_u64_cas(&t->wait, &word, wait_word(sequence, WAIT_WATCHED | hard),
			   ORDER_SEQ_CST) &&
	    (hard || !cancel_late(t, sequence))) {
		core_watch(c, t);
		core_suspend(c, t);
	}
	if (t->timer_armed) {
		t->timer_armed = false;
		rt_timer_disarm(&t->timer);
	}
}

SUSPENDS struct status rt_wait(struct rt_wait w, uint64_t deadline)
{
	struct rt_core *c = core_self();
	struct rt_thread *t = w.thread;

	ASSERT(c != NULL && c->current == t);
	if (t->deadline < deadline)
		deadline = t->deadline;
	wait_suspend(c, t, w.sequence, deadline);

	uint64_t word = atomic_u64_load(&t->wait, ORDER_ACQUIRE);

	ASSERT(word >> WAIT_STATE_BITS == w.sequence);
	t->wait_reason = NULL;
	switch ((enum wait_state)(word & WAIT_STATE_MASK)) {
	case WAIT_WOKEN: return OK;
	case WAIT_TIMED_OUT: return (struct status){STATUS_TIMEOUT};
	case WAIT_CANCELLED: return (struct status){STATUS_CANCELLED};
	default:
		PANIC("wait of thread %s ended in state %u", t->self.name,
		      (unsigned)(word & WAIT_STATE_MASK));
	}
}

SUSPENDS struct status rt_sleep(uint64_t ns)
{
	uint64_t wanted = clock_deadline(ns);
	struct rt_wait w = rt_wait_begin("sleep");
	struct rt_thread *t = w.thread;
	struct status s = rt_wait(w, wanted);

	/*
	 * the time has passed: that is what the caller wanted, unless its own deadline came first
	 */
	if (status_is(s, STATUS_TIMEOUT) && wanted <= t->deadline)
		return OK;
	return s;
}

uint64_t rt_deadline_set(uint64_t deadline)
{
	struct rt_thread *t = current_thread();
	uint64_t before = t->deadline;

	if (deadline < before)
		t->deadline = deadline;
	return before;
}

void rt_deadline_restore(uint64_t deadline)
{
	current_thread()->deadline = deadline;
}

bool rt_cancelled(void)
{
	return cancel_requested(current_thread());
}

void rt_cancel_clear(void)
{
	atomic_u64_and(&current_thread()->life, ~(uint64_t)LIFE_CANCELLED, ORDER_RELAXED);
}

struct status rt_cancel(struct rt_id id)
{
	struct rt_thread *t = thread_of(id);
	uint64_t generation = id.value >> 32;

	if (!t)
		return fail(STATUS_STALE, "thread id %#lx: no such thread", id.value);

	uint64_t life = atomic_u64_load(&t->life, ORDER_RELAXED);

	do {
		if (life >> 32 != generation || (life & LIFE_ENDED))
			return fail(STATUS_STALE, "thread id %#lx: the thread has ended", id.value);
	} while (!atomic_u64_cas(&t->life, &life, life | LIFE_CANCELLED, ORDER_SEQ_CST));

	for (;;) {
		uint64_t word = atomic_u64_load(&t->wait, ORDER_SEQ_CST);

		/* the life is read after the word: if it is still this thread's, so is the wait */
		if (atomic_u64_load(&t->life, ORDER_SEQ_CST) >> 32 != generation)
			return OK;
		if (!may_end(word, WAIT_CANCELLED))
			return OK;
		if (wait_end(t, word >> WAIT_STATE_BITS, WAIT_CANCELLED))
			return OK;
	}
}
