/*
 * Simulated processors: fibers on one kernel thread, and the switch between them.
 *
 * There is no scheduler fiber: whoever gives way chooses the next one and switches to it directly.
 * A processor is left on whatever stack it was on (its own, or that of a user thread that it runs),
 * so a switch keeps the stack pointer and nothing else.
 */
#include "base/assert.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "sim/sim_int.h"

#include <string.h>
#include <sys/mman.h>

#if WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES    (512u << 10)
#define GUARD_BYTES    4096u
#define STEPS_MAX      10000000ull
#define TIME_MAX       (3600 * NS_PER_S)
#define PROCESSOR_MAIN 0

struct sim *sim_now_running;

/* Kept from run to run; touched lazily. */
static void *stacks[SIM_PROCESSORS_MAX];

static void *stack_of(uint32_t index)
{
	if (stacks[index])
		return stacks[index];
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT(stack != MAP_FAILED);
	ASSERT(mprotect(stack, GUARD_BYTES, PROT_NONE) == 0);
	return stacks[index] = (char *)stack + GUARD_BYTES;
}

void processor_stack(const struct processor *p, const void **ret_bottom, size_t *ret_bytes)
{
	*ret_bottom = stacks[p->index];
	*ret_bytes = STACK_BYTES - GUARD_BYTES;
}

/* ---- the switch ------------------------------------------------------------------------------ */

/* What the sanitizers must hear when a stack is entered; they tell which one was left. */
static void stack_entered(struct sim *s, struct processor *p, bool fresh)
{
#if WITH_ASAN
	__sanitizer_finish_switch_fiber(fresh ? NULL : p->context.asan_fake_stack,
					&s->left->context.stack_bottom,
					&s->left->context.stack_bytes);
#else
	(void)s, (void)p, (void)fresh;
#endif
}

static void stack_switch(struct sim *s, struct processor *from, struct processor *to)
{
	s->left = from;
	s->current = to;
	from->self = self_or_null();
	self_set(to->self);
#if WITH_ASAN
	bool last = from->state == PROCESSOR_ENDED;

	__sanitizer_start_switch_fiber(last ? NULL : &from->context.asan_fake_stack,
				       to->context.stack_bottom, to->context.stack_bytes);
#endif
#if WITH_TSAN
	from->context.tsan_fiber = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(to->context.tsan_fiber, 0);
#endif
	context_switch_asm(&from->context.sp, to->context.sp);
	stack_entered(s, from, false);
}

static void switch_to(struct sim *s, struct processor *to)
{
	struct processor *from = s->current;

	if (to == from)
		return;
	event_fold(s, EVENT_SWITCH, to->index, s->now);
	s->report->switches++;
	s->held_since = s->steps;
	stack_switch(s, from, to);
}

/* ---- scheduling ------------------------------------------------------------------------------ */

static void limits_check(struct sim *s)
{
	if (s->steps >= s->steps_max)
		finding(s, SIM_LIVELOCK, "%llu steps and no end", (unsigned long long)s->steps_max);
	if (s->now >= s->time_max)
		finding(s, SIM_LIVELOCK, "%llu s of virtual time and no end",
			(unsigned long long)(s->time_max / NS_PER_S));
}

static void decide(struct sim *s, bool spinning)
{
	limits_check(s);
	time_warp(s);
	if (s->now >= s->deadline_first)
		time_expire(s);
	switch_to(s, strategy_choose(s, spinning));
}

void processor_decide(struct sim *s)
{
	decide(s, false);
}

void processor_give_way(struct sim *s)
{
	decide(s, true);
}

void processor_block(struct sim *s)
{
	struct processor *p = s->current;

	s->runnable &= ~(1u << p->index);
	while (s->runnable == 0) {
		/* the only place where time jumps because nobody has anything to do */
		if (s->deadline_first == CLOCK_NEVER)
			finding(s, SIM_DEADLOCK,
				"every processor sleeps and nothing will wake one");
		if (s->now < s->deadline_first)
			s->now = s->deadline_first;
		limits_check(s);
		time_expire(s);
	}
	switch_to(s, strategy_choose(s, false));
}

void processor_unblock(struct sim *s, struct processor *p)
{
	p->state = PROCESSOR_RUNNABLE;
	s->runnable |= 1u << p->index;
	s->decide_at = s->steps; /* it may be the one that should run at once */
}

/* ---- birth and end --------------------------------------------------------------------------- */

static void processor_entry(void *arg)
{
	struct processor *p = arg;
	struct sim *s = sim_now_running;

	stack_entered(s, p, true);
	p->main(p->arg);
	processor_end(s);
}

struct processor *processor_create(struct sim *s, void (*main)(void *), void *arg, const char *name)
{
	for (uint32_t i = 0; i < s->limit; i++) {
		struct processor *p = &s->processors[i];

		if (p->state != PROCESSOR_NONE)
			continue;
		/* its clock goes on where its predecessor's ended: moments are not used twice */
		uint32_t time = processor_time(p);
		struct view known = s->current->view;

		*p = (struct processor){.index = i, .main = main, .arg = arg, .name = name};
		p->view = known;
		p->view.happened.at[i] = time;
		processor_tick(p);
		p->own_thread.name = name;
		p->own_self = (struct self){.thread = &p->own_thread,
					    .slot = SELF_SLOT_SHARED,
					    .counters = metrics_cells(SELF_SLOT_SHARED),
					    .trace = trace_ring_of(SELF_SLOT_SHARED)};
		p->self = &p->own_self;
		p->deadline = CLOCK_NEVER;
		p->priority = strategy_priority(s);
		context_init(&p->context, stack_of(i), STACK_BYTES - GUARD_BYTES, 0,
			     processor_entry, p);
		processor_unblock(s, p);
		return p;
	}
	return NULL;
}

void processor_leave(struct sim *s)
{
	s->current->state = PROCESSOR_ENDED;
	stack_switch(s, s->current, &s->outside);
	__builtin_unreachable();
}

void processor_end(struct sim *s)
{
	struct processor *p = s->current;

	step(s);
	processor_tick(p);
	event_fold(s, EVENT_END, p->index, 0);
	p->state = PROCESSOR_ENDED;
	if (p->index == PROCESSOR_MAIN) {
		for (uint32_t i = 1; i < s->limit; i++) {
			if (s->processors[i].state != PROCESSOR_NONE)
				finding(s, SIM_LEFTOVER,
					"the body has ended, and processor %u (%s) was not joined",
					i, s->processors[i].name);
		}
		processor_leave(s);
	}
	for (uint32_t i = 0; i < s->limit; i++) {
		struct processor *q = &s->processors[i];

		if (q->state == PROCESSOR_JOINING && q->joins == p->index)
			processor_unblock(s, q);
	}
	processor_block(s);
	__builtin_unreachable();
}

void processor_free(struct processor *p)
{
	p->state = PROCESSOR_NONE;
	p->deadline = CLOCK_NEVER;
	context_fini(&p->context);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void sim_init(struct sim *s, const struct sim_config *config, struct sim_report *ret)
{
	*s = (struct sim){
		.config = config,
		.report = ret,
		.random = config->seed,
		.hash = 0x7461726e,
		.steps_max = config->steps_max ? config->steps_max : STEPS_MAX,
		.time_max = config->time_ns_max ? config->time_ns_max : TIME_MAX,
		.limit = config->processors && config->processors < SIM_PROCESSORS_MAX
				 ? config->processors
				 : SIM_PROCESSORS_MAX,
		.deadline_first = CLOCK_NEVER,
	};
	memset(ret, 0, offsetof(struct sim_report, text));
	ret->text[0] = '\0';
	memory_reset();
	race_reset();
	mutex_reset();
	strategy_init(s);
	context_init_native(&s->outside.context);
	s->outside.name = "outside";
	for (uint32_t i = 0; i < SIM_PROCESSORS_MAX; i++)
		s->processors[i].deadline = CLOCK_NEVER;
	s->current = &s->outside;
}

void sim_run(const struct sim_config *config, struct sim_report *ret)
{
	/* 30 KB: too much for a stack that may be small, and there is one at a time */
	static struct sim instance;
	struct sim *s = &instance;

	ASSERT(sim_now_running == NULL);
	sim_init(s, config, ret);

	struct processor *first = processor_create(s, config->body, config->arg, "body");

	sim_now_running = s;
	stack_switch(s, &s->outside, first);
	sim_now_running = NULL;
	ret->hash = s->hash;
	ret->steps = s->steps;
	ret->time_ns = s->now;
	for (uint32_t i = 0; i < s->limit; i++)
		context_fini(&s->processors[i].context);
}

bool sim_active(void)
{
	return sim_now_running != NULL;
}

uint32_t sim_random(uint32_t count)
{
	return sim_now_running && count ? random_below(sim_now_running, count) : 0;
}
