/*
 * The dispatcher of one core: what runs next, and what to do when nothing does.
 *
 * Threads switch to each other directly while there are ready ones; the dispatcher, on the kernel
 * thread's own stack, runs when there are none, when a thread has ended, and every
 * countdown_start switches to look around: at threads spawned or woken from other cores, timers and
 * hooks. The countdown adapts, so that the clock is read every few microseconds and not per switch.
 */
#include "base/clock.h"
#include "base/trace.h"
#include "rt/borrow.h"
#include "rt/rt_int.h"
#include "rt/watchdog.h"

#define COUNTDOWN_MOST 256
#define LOOK_WANTED_NS 3000

/*
 * An idle core looks around every so many rounds of polling, and pauses every so many: with a pause
 * in each, what arrives waits for its end; with none, the polling takes the cache line away from
 * the waker while it still writes. (Measured: 250, 180 and 205 ns for a remote creation.)
 */
#define IDLE_LOOK_ROUNDS  64
#define IDLE_PAUSE_ROUNDS 2

/* ---- ready list ------------------------------------------------------------------------------ */

static ALWAYS_INLINE void ready_append(struct rt_core *c, struct rt_thread *t)
{
	t->next = NULL;
	if (c->ready.first)
		c->ready.last->next = t;
	else
		c->ready.first = t;
	c->ready.last = t;
	c->ready_count++;
}

static ALWAYS_INLINE struct rt_thread *ready_pop(struct rt_core *c)
{
	struct rt_thread *t = c->ready.first;

#if TARN_SIM
	/* any order of ready threads is legal: let the seed choose whether the first goes last */
	while (t && t->next && kthread_choose(2)) {
		c->ready.first = t->next;
		c->ready_count--;
		ready_append(c, t);
		t = c->ready.first;
	}
#endif
	if (t) {
		c->ready.first = t->next;
		c->ready_count--;
	}
	return t;
}

/* ---- arrivals from other cores --------------------------------------------------------------- */

/*
 * The woken stack. Bit 0 of a link says that the thread it points to is the last one: a core that
 * finds a single thread there need not read that thread's next, a line that the waker just wrote.
 */
#define WOKEN_LAST 1ull

static inline struct rt_thread *woken_thread(uintptr_t link)
{
	return (struct rt_thread *)(link & ~(uintptr_t)WOKEN_LAST);
}

/* True if the stack was empty: then its core may sleep, and the caller must look after that. */
static bool woken_push(struct rt_core *c, struct rt_thread *t)
{
	void *head = atomic_ptr_load(&c->woken, ORDER_RELAXED);
	uintptr_t link;

	do {
		link = (uintptr_t)t;
		if (head)
			t->next = head;
		else
			link |= WOKEN_LAST;
		/* seq_cst: ordered before the caller's look at `parked` */
	} while (!atomic_ptr_cas(&c->woken, &head, (void *)link, ORDER_SEQ_CST));
	return head == NULL;
}

static ALWAYS_INLINE bool spawn_arrived(const struct rt_core *c)
{
	const struct spawn_cell *cell = &c->spawn[c->spawn_head % SPAWN_CELLS];

	return atomic_u64_load(&cell->turn, ORDER_ACQUIRE) == (uint64_t)c->spawn_head + 1;
}

static ALWAYS_INLINE bool arrivals(const struct rt_core *c)
{
	return spawn_arrived(c) || atomic_ptr_load(&c->woken, ORDER_RELAXED) != NULL;
}

static ALWAYS_INLINE bool watched_woken(const struct rt_core *c)
{
	bool woken = false;

	for (uint32_t i = 0; i < WATCHED_MOST; i++)
		woken |= c->watched[i] && wait_ended(c->watched[i]);
	return woken;
}

/* Gives empty cells a slot, so that creators can fill them. */
static void spawn_refill(struct rt_core *c)
{
	while (c->spawn_refill != c->spawn_head + SPAWN_CELLS) {
		struct rt_thread *t = core_slot_take(c);
		uint32_t position = c->spawn_refill;
		struct spawn_cell *cell = &c->spawn[position % SPAWN_CELLS];

		if (!t)
			return; /* at the limit: tried again at the next look */
		cell->slot = t;
		atomic_u64_store(&cell->turn, position, ORDER_RELEASE);
		c->spawn_refill = position + 1;
	}
}

/* Takes one thread out of the spawn ring; false if none has arrived. */
static bool spawn_accept(struct rt_core *c)
{
	if (!spawn_arrived(c))
		return false;

	struct spawn_cell *cell = &c->spawn[c->spawn_head % SPAWN_CELLS];
	struct rt_thread *t = cell->slot;

	thread_prepare(t, cell);
	atomic_ptr_store(&t->core, c, ORDER_RELAXED);
	c->spawn_head++;
	ready_append(c, t);
	return true;
}

/* Whether the core may run threads of this class; a pinned thread stays wherever it is. */
static bool serves(const struct rt_core *c, const struct rt_thread *t)
{
	return t->pinned || (atomic_u32_load(&c->serves, ORDER_RELAXED) >> t->class & 1);
}

/*
 * Moves a ready thread to a core that serves its class. Only its core may do that, while the thread
 * is neither running nor blocked: so whoever wakes it always finds the right core.
 */
static void thread_move(struct rt_core *from, struct rt_thread *t)
{
	struct rt_core *to = policy_core(from->rt, t->class, &from->random);

	if (!to || to == from) {
		ready_append(from, t); /* no core serves it any more: better here than nowhere */
		return;
	}
	TRACE("rt: thread %lu moves from core %lu to %lu", (uint64_t)t->index,
	      (uint64_t)from->number, (uint64_t)to->number);
	if (t->timer_armed) {
		/* the deadline of the wait that has just ended */
		rt_timer_disarm(&t->timer);
		t->timer_armed = false;
	}
	core_gone_add(from, 1);
	atomic_u32_add(&to->pushed, 1, ORDER_RELAXED);
	atomic_ptr_store(&t->core, to, ORDER_RELEASE);
	if (woken_push(to, t))
		core_kick(to);
}

/* Puts a thread whose wait has ended where it belongs. On its core. */
static ALWAYS_INLINE void ready_or_move(struct rt_core *c, struct rt_thread *t)
{
	if (likely(serves(c, t)))
		ready_append(c, t);
	else
		thread_move(c, t);
}

void core_make_watched_ready(struct rt_core *c, struct rt_thread *t)
{
	c->watched[t->watch - 1] = NULL;
	t->watch = 0;
	ready_or_move(c, t);
}

static void watched_accept(struct rt_core *c)
{
	for (uint32_t i = 0; i < WATCHED_MOST; i++) {
		struct rt_thread *t = c->watched[i];

		if (t && wait_ended(t))
			core_make_watched_ready(c, t);
	}
}

static void watch_end(struct rt_core *c, uint32_t place)
{
	struct rt_thread *t = c->watched[place];

	if (!t)
		return;
	if (wait_unwatch(t)) {
		c->watched[place] = NULL;
		t->watch = 0;
	} else {
		core_make_watched_ready(c, t);
	}
}

void core_watch(struct rt_core *c, struct rt_thread *t)
{
	uint32_t place = c->watched_next;

	c->watched_next = (place + 1) % WATCHED_MOST;
	watch_end(c, place);
	c->watched[place] = t;
	t->watch = (uint8_t)(place + 1);
}

static void woken_accept(struct rt_core *c)
{
	uintptr_t link = 0;
	struct ready_list in_order = {0};

	if (atomic_ptr_load(&c->woken, ORDER_RELAXED) == NULL)
		return;
	link = (uintptr_t)atomic_ptr_exchange(&c->woken, NULL, ORDER_ACQUIRE);
	if (!(link & WOKEN_LAST)) {
		/* several: the stack holds the latest first */
		for (;;) {
			struct rt_thread *t = woken_thread(link);
			bool last = link & WOKEN_LAST;
			uintptr_t next = last ? 0 : (uintptr_t)t->next;

			t->next = in_order.first;
			in_order.first = t;
			if (last)
				break;
			link = next;
		}
	} else {
		in_order.first = woken_thread(link);
		in_order.first->next = NULL;
	}
	for (struct rt_thread *t = in_order.first, *next; t; t = next) {
		next = t->next;
		ready_or_move(c, t);
	}
}

/* After the policy changed what this core serves: everybody who must go, goes. */
static void ready_sweep(struct rt_core *c)
{
	struct rt_thread *t = c->ready.first;

	c->serves_seen = atomic_u32_load(&c->serves, ORDER_ACQUIRE);
	c->ready.first = NULL;
	c->ready_count = 0;
	for (struct rt_thread *next; t; t = next) {
		next = t->next;
		ready_or_move(c, t);
	}
}

/* ---- looking around -------------------------------------------------------------------------- */

static void account(struct rt_core *c, uint64_t now)
{
	uint64_t elapsed = clock_cycles_to_ns(now - c->looked_at);

	if (c->idle_since) {
		counter_add(&c->stats.idle_ns, elapsed);
	} else {
		/* whoever ran is among the ready again, or has gone: count at least one */
		uint32_t runnable = c->ready_count > 0 ? c->ready_count : 1;

		counter_add(&c->stats.busy_ns, elapsed);
		counter_add(&c->stats.runnable_ns, elapsed * runnable);
	}
	c->looked_at = now;
}

/* Adapts how many switches pass between two looks, after a look that the countdown forced. */
static void countdown_adapt(struct rt_core *c, uint64_t elapsed_cycles)
{
	uint64_t wanted = clock_ns_to_cycles(LOOK_WANTED_NS);

	if (elapsed_cycles < wanted / 2 && c->countdown_start < COUNTDOWN_MOST)
		c->countdown_start *= 2;
	else if (elapsed_cycles > wanted * 2 && c->countdown_start > 1)
		c->countdown_start /= 2;
}

/* Lets in what other cores sent, what is due and what the hooks find. Returns how many events. */
static uint32_t look_around(struct rt_core *c)
{
	uint64_t now = clock_cycles();
	uint32_t events = 0;

	if (c->countdown <= 0)
		countdown_adapt(c, now - c->looked_at);
	counter_add(&c->stats.switches, (uint64_t)(c->countdown_start - c->countdown));
	account(c, now);
	counter_add(&c->stats.looks, 1);

	while (spawn_accept(c))
		events++;
	spawn_refill(c);
	woken_accept(c);
	watched_accept(c);
	if (unlikely(c->rt->arbiter != NULL))
		borrow_look(c);
	if (unlikely(atomic_u32_load(&c->serves, ORDER_RELAXED) != c->serves_seen))
		ready_sweep(c);
	if (c->timers)
		events += timers_fire(c, clock_ns());
	for (struct rt_hook *h = c->hooks, *next; h; h = next) {
		next = h->next;
		events += h->poll(h->arg);
	}
	c->countdown = c->countdown_start;
	return events;
}

/* ---- idle ------------------------------------------------------------------------------------ */

static bool must_stop(const struct rt_core *c)
{
	return atomic_u32_load(&c->stopping, ORDER_ACQUIRE) != 0;
}

bool core_has_work(const struct rt_core *c)
{
	return c->ready.first || arrivals(c) || must_stop(c) ||
	       atomic_u32_load(&c->serves, ORDER_RELAXED) != c->serves_seen;
}

void core_rest(struct rt_core *c)
{
	for (uint32_t i = 0; i < WATCHED_MOST; i++)
		watch_end(c, i);
}

/* Polls until there is something to run. */
static void idle(struct rt_core *c)
{
	uint32_t round = 0;

	c->idle_since = c->looked_at ? c->looked_at : 1;
	while (!c->ready.first && !must_stop(c)) {
		round++;
		if (arrivals(c) || watched_woken(c)) {
			/* straight in: a look around would read the clock first */
			while (spawn_accept(c))
				;
			woken_accept(c);
			watched_accept(c);
			continue;
		}
		if (round % IDLE_LOOK_ROUNDS != 0) {
			if (round % IDLE_PAUSE_ROUNDS == 0)
				cpu_relax();
			continue;
		}

		uint64_t before = c->looked_at;

		if (look_around(c) > 0 || c->ready.first) {
			c->idle_since = c->looked_at;
			continue;
		}
		/* the kernel ran somebody else meanwhile: who spins is who is made to wait, and
		 * who sleeps runs at once when he is woken */
		if (c->rt->config.mode == RT_SHARED && c->looked_at - before > c->preempted_cycles)
			c->spin_cycles = 0;
		if (c->rt->config.mode != RT_EXCLUSIVE &&
		    c->looked_at - c->idle_since >= c->spin_cycles)
			core_park(c);
	}
	/* what has passed since the last look counts as busy: a microsecond at most */
	c->idle_since = 0;
}

/* ---- running --------------------------------------------------------------------------------- */

static ALWAYS_INLINE void current_set(struct rt_core *c, struct rt_thread *t)
{
	c->current = t;
	c->self.thread = &t->self;
}

/* Runs ready threads until one of them comes back here. */
static void run_ready(struct rt_core *c)
{
	struct rt_thread *t = ready_pop(c);

	if (!t)
		return;
	current_set(c, t);
	context_switch(&c->dispatcher, &t->context);
	c->current = NULL;
	c->self.thread = &c->self_thread;
	if (c->ended) {
		t = c->ended;
		c->ended = NULL;
		core_gone_add(c, 1);
		thread_bury(c, t);
	}
}

void core_main(void *core)
{
	struct rt_core *c = core;

	context_init_native(&c->dispatcher);
	if (c->rt->config.watchdog_ns && !c->rt->config.embedded)
		watchdog_thread_init();
	c->looked_at = clock_cycles();
	while (!must_stop(c) || c->ready.first) {
		if (c->countdown <= 0 || !c->ready.first)
			look_around(c);
		if (c->ready.first)
			run_ready(c);
		else
			idle(c);
	}
	context_fini(&c->dispatcher);
}

void core_suspend(struct rt_core *c, struct rt_thread *t)
{
	struct rt_thread *next;

	if (--c->countdown > 0 && (next = ready_pop(c)) != NULL) {
		if (TARN_SIM && next == t)
			return; /* the seed put the caller first again */
		current_set(c, next);
		context_switch(&t->context, &next->context);
	} else {
		context_switch(&t->context, &c->dispatcher);
	}
	/* here again, perhaps on another core: `c` is not to be used */
}

SUSPENDS void rt_yield(void)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL && c->current != NULL);

	struct rt_thread *t = c->current;

	if (!c->ready.first && c->countdown > 1 && !arrivals(c)) {
		c->countdown--;
		return;
	}
	ready_append(c, t);
	if (!c->ready.first->next) /* alone: let the dispatcher look for others */
		c->countdown = 0;
	core_suspend(c, t);
}

void core_end_thread(struct rt_core *c, struct rt_thread *t)
{
	c->ended = t;
	context_switch_last(&t->context, &c->dispatcher);
	PANIC("thread %s continued after its end", t->self.name);
}

void core_make_ready(struct rt_thread *t)
{
	struct rt_core *c = atomic_ptr_load(&t->core, ORDER_RELAXED);
	struct rt_core *me = core_self();

	if (c == me) {
		/* in a hook or a timer too: the dispatcher is this core */
		ready_or_move(c, t);
		return;
	}
	if (me)
		counter_add(&me->stats.wakes_remote, 1);
	if (woken_push(c, t))
		core_kick(c);
}
