/*
 * Kernel threads (rt/kthread.h) as simulated processors. The waiting list of a word is whoever
 * sleeps on it: at most SIM_PROCESSORS_MAX.
 *
 * As with the kernel's futex, the comparison sees the newest value of the word and is atomic with
 * falling asleep, and nothing else is ordered by it: who is woken must look at what it waits for
 * with an acquire load, as on a real machine.
 */
#include "base/assert.h"
#include "base/diag.h"
#include "sim/sim_int.h"

#define FIRST_TID 1000

static void kthread_entry(void *arg)
{
	struct kthread *t = arg;

	t->main(t->arg);
}

struct status kthread_start(struct kthread *t)
{
	struct sim *s = sim_now_running;

	if (!s)
		return fail(STATUS_UNSUPPORTED,
			    "kernel threads: in this build they exist within sim_run() only");
	step(s);
	processor_tick(s->current);

	struct processor *p = processor_create(s, kthread_entry, t, t->name);

	if (!p)
		return fail(STATUS_LIMIT, "kernel threads: %u, which is the limit", s->limit);
	processor_tick(s->current);
	p->kthread = t;
	if (t->self)
		p->self = t->self;
	t->handle = p->index;
	atomic_u64_quiet_store(&t->tid, FIRST_TID + p->index, ORDER_RELAXED);
	event_fold(s, EVENT_START, p->index, 0);
	step(s);
	return OK;
}

void kthread_join(struct kthread *t)
{
	struct sim *s = sim_now_running;

	ASSERT(s && t->handle < s->limit);
	step(s);

	struct processor *p = s->current;
	struct processor *target = &s->processors[t->handle];

	ASSERT(target->kthread == t);
	if (target->state != PROCESSOR_ENDED) {
		p->state = PROCESSOR_JOINING;
		p->joins = target->index;
		frames_take(p->frames);
		processor_block(s);
	}
	view_join(&p->view, &target->view);
	event_fold(s, EVENT_JOIN, target->index, 0);
	processor_free(target);
}

void kthread_sleep(struct atomic_u32 *word, uint32_t expected, uint64_t deadline)
{
	struct sim *s = sim_now_running;

	if (!s)
		return;
	step(s);

	struct processor *p = s->current;
	uint32_t number = memory_number(s, &word->value, sizeof(word->value));
	bool equal = __atomic_load_n(&word->value, __ATOMIC_RELAXED) == expected;

	event_fold(s, EVENT_SLEEP, number, equal);
	if (!equal || s->now >= deadline || random_below(s, 256) < s->spurious)
		return;
	p->state = PROCESSOR_SLEEPING;
	p->waits_for = word;
	p->deadline = deadline;
	if (deadline < s->deadline_first)
		s->deadline_first = deadline;
	frames_take(p->frames);
	processor_block(s);
	event_fold(s, EVENT_AWAKE, number, s->now);
	p->waits_for = NULL;
}

void kthread_wake(struct atomic_u32 *word, uint32_t count)
{
	struct sim *s = sim_now_running;

	if (!s)
		return;
	step(s);

	uint32_t asleep = 0;
	uint32_t woken = 0;

	for (uint32_t i = 0; i < s->limit; i++) {
		struct processor *p = &s->processors[i];

		if (p->state == PROCESSOR_SLEEPING && p->waits_for == word)
			asleep |= 1u << i;
	}
	while (asleep && woken < count) {
		uint32_t skip = random_below(s, (uint32_t)__builtin_popcount(asleep));
		uint32_t mask = asleep;

		while (skip--)
			mask &= mask - 1;

		struct processor *p = &s->processors[__builtin_ctz(mask)];

		asleep &= ~(1u << p->index);
		p->deadline = CLOCK_NEVER;
		processor_unblock(s, p);
		woken++;
		s->quiet = 0;
	}
	if (woken)
		time_deadlines_changed(s);
	event_fold(s, EVENT_WAKE, memory_number(s, &word->value, sizeof(word->value)), woken);
}
