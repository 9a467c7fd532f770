/*
 * How a core sleeps, and how it is woken: one place to sleep in, which everything can end.
 */
#include "base/clock.h"
#include "rt/rt_int.h"

/* The most that a core spins without finding work. */
#define SPIN_SHARED_NS    (50 * NS_PER_US)
#define SPIN_DEDICATED_NS (200 * NS_PER_US)
#define SPIN_LEAST_NS     (2 * NS_PER_US)

static void futex_sleep(void *arg, uint64_t deadline)
{
	struct rt_core *c = arg;

	kthread_sleep(&c->futex, 0, deadline);
	atomic_u32_store(&c->futex, 0, ORDER_RELAXED);
}

static void futex_wake(void *arg)
{
	struct rt_core *c = arg;

	atomic_u32_store(&c->futex, 1, ORDER_RELEASE);
	kthread_wake(&c->futex, 1);
}

static uint64_t spin_limit(const struct rt_core *c)
{
	if (c->rt->config.embedded)
		return 0;
	return clock_ns_to_cycles(c->rt->config.mode == RT_SHARED ? SPIN_SHARED_NS
								  : SPIN_DEDICATED_NS);
}

/*
 * The budget follows the gaps between work: ski rental with a wake-up as the price of the skis.
 * Work that came while we span doubles what we are ready to spend; a sleep that lasted long halves
 * it.
 */
static void spin_adapt(struct rt_core *c, uint64_t slept_cycles)
{
	uint64_t most = spin_limit(c);
	uint64_t least = most ? clock_ns_to_cycles(SPIN_LEAST_NS) : 0;

	if (slept_cycles <= most)
		c->spin_cycles = c->spin_cycles * 2 + least;
	else
		c->spin_cycles /= 2;
	if (c->spin_cycles > most)
		c->spin_cycles = most;
	if (c->spin_cycles < least)
		c->spin_cycles = least;
}

void core_park(struct rt_core *c)
{
	uint64_t before = clock_cycles();

	core_rest(c);
	/*
	 * seq_cst, against woken_push(), the spawn cell's turn and core_stop(): each side writes
	 * its word and then reads the other's, so at least one of them sees the other
	 */
	atomic_u32_store(&c->parked, 1, ORDER_SEQ_CST);
	atomic_fence(ORDER_SEQ_CST);
	if (!core_has_work(c))
		c->sleeper.sleep(c->sleeper.arg, timers_next(c));
	atomic_u32_store(&c->parked, 0, ORDER_RELAXED);

	uint64_t after = clock_cycles();

	counter_add(&c->stats.parks, 1);
	counter_add(&c->stats.parked_ns, clock_cycles_to_ns(after - before));
	c->looked_at = after;
	spin_adapt(c, after - before);
	c->idle_since = after;
}

void core_kick(struct rt_core *c)
{
	if (likely(atomic_u32_load(&c->parked, ORDER_SEQ_CST) == 0))
		return;
	/* of several wakers one makes the call */
	if (atomic_u32_exchange(&c->parked, 0, ORDER_ACQ_REL) == 0)
		return;

	struct rt_core *me = core_self();

	if (me)
		counter_add(&me->stats.kicks, 1);
	/* one that comes late must not wake a sleeper that has been replaced and is gone */
	spinlock_lock(&c->sleeper_lock);
	c->sleeper.wake(c->sleeper.arg);
	spinlock_unlock(&c->sleeper_lock);
}

/* ---- what a core looks at and where it sleeps ------------------------------------------------ */

void core_sleeper_reset(struct rt_core *c)
{
	c->sleeper = (struct rt_sleeper){.sleep = futex_sleep, .wake = futex_wake, .arg = c};
}

void rt_sleeper_set(const struct rt_sleeper *sleeper)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL);
	spinlock_lock(&c->sleeper_lock);
	if (sleeper)
		c->sleeper = *sleeper;
	else
		core_sleeper_reset(c);
	spinlock_unlock(&c->sleeper_lock);
}

void rt_hook_add(struct rt_hook *hook)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL);
	hook->next = c->hooks;
	c->hooks = hook;
}

void rt_hook_remove(struct rt_hook *hook)
{
	struct rt_core *c = core_self();
	struct rt_hook **at;

	ASSERT(c != NULL);
	for (at = &c->hooks; *at && *at != hook; at = &(*at)->next)
		;
	ASSERT(*at == hook);
	*at = hook->next;
}
