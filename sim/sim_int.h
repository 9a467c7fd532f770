/*
 * The inside of the simulator: one struct sim per run, used by all files of this folder.
 */
#pragma once

#include "base/atomic.h"
#include "base/clock.h"
#include "base/self.h"
#include "rt/context.h"
#include "rt/kthread.h"
#include "sim/sim.h"

#define FRAMES_MAX 16

/* ---- clocks: who knows of what -------------------------------------------------------------- */

/* Component p is a moment of processor p: everything that p did up to it is known. */
struct CACHE_ALIGNED vclock {
	uint32_t at[SIM_PROCESSORS_MAX];
};

/* What a processor knows, and what a release store hands on. */
struct view {
	struct vclock happened;  /* C11 happens-before: what races are judged by */
	struct vclock visible;   /* the same and what sequentially consistent fences add */
	struct vclock sequenced; /* sequentially consistent accesses that are visible alone */
};

static inline void vclock_join(struct vclock *into, const struct vclock *from)
{
	for (uint32_t i = 0; i < SIM_PROCESSORS_MAX; i++)
		into->at[i] = into->at[i] > from->at[i] ? into->at[i] : from->at[i];
}

static inline void view_join(struct view *into, const struct view *from)
{
	vclock_join(&into->happened, &from->happened);
	vclock_join(&into->visible, &from->visible);
	vclock_join(&into->sequenced, &from->sequenced);
}

/* ---- processors ----------------------------------------------------------------------------- */

enum processor_state {
	PROCESSOR_NONE,     /* nobody; the slot is free */
	PROCESSOR_RUNNABLE, /* runs, or would if it were chosen */
	PROCESSOR_SLEEPING, /* in kthread_sleep() until a wake or the deadline */
	PROCESSOR_JOINING,  /* in kthread_join() until its target has ended */
	PROCESSOR_LOCKING,  /* in pthread_mutex_lock() until the mutex is given back */
	PROCESSOR_ENDED,    /* waits to be joined */
};

struct processor {
	struct context context; /* of whatever stack it was on when it was left */
	enum processor_state state;
	uint32_t index;
	uint64_t priority; /* SIM_STRATEGY_PCT: the highest runnable one runs */
	struct self *self; /* while it does not run */
	struct self own_self;
	struct self_thread own_thread;
	const char *name;

	void (*main)(void *arg);
	void *arg;
	struct kthread *kthread; /* NULL for the first */

	const void *waits_for;    /* futex word or mutex */
	uint64_t deadline;        /* of a sleep; CLOCK_NEVER otherwise */
	uint32_t joins;           /* index of the target */
	void *frames[FRAMES_MAX]; /* where it went to wait */

	struct view view;
	struct view acquire_pending; /* what relaxed loads brought: an acquire fence takes it */
	struct view release_fence;   /* what later relaxed stores hand on */
	bool has_release_fence;
};

static inline uint32_t processor_time(const struct processor *p)
{
	return p->view.happened.at[p->index];
}

/*
 * A new moment. After everything that hands on what the processor knows, so that what follows is
 * not taken for a part of it.
 */
static inline void processor_tick(struct processor *p)
{
	p->view.visible.at[p->index] = ++p->view.happened.at[p->index];
}

/* ---- the run -------------------------------------------------------------------------------- */

#define CHANGE_POINTS_MAX 6

struct sim {
	const struct sim_config *config;
	struct sim_report *report;
	struct processor *current;
	struct processor *left; /* whom the last switch came from */
	struct processor processors[SIM_PROCESSORS_MAX];
	struct processor outside; /* who called sim_run() */
	uint32_t limit;           /* processors that may exist */
	uint32_t runnable;        /* bit i: processors[i] may run */

	uint64_t random;
	uint64_t hash;
	uint64_t steps;
	uint64_t steps_max;
	uint64_t decide_at; /* the step at which the scheduler chooses anew */

	uint64_t now;
	uint64_t time_max;
	uint64_t step_ns;        /* what one step takes in this run */
	uint64_t deadline_first; /* the earliest of all sleepers */
	uint32_t quiet;          /* spins since anybody changed anything */
	uint32_t warp;           /* of 65536 decisions: how many let the next deadline come */
	uint32_t spurious;       /* of 256 sleeps: how many return for no reason */

	enum sim_strategy strategy;
	uint64_t run_mean; /* steps between decisions */
	uint64_t priority_low;
	uint64_t change_at[CHANGE_POINTS_MAX];
	uint64_t held_since; /* step at which the current one was chosen (PCT) */

	uint32_t stale;          /* of 256 loads that could be stale: how many are */
	uint64_t stale_window;   /* steps after which a store is seen by everybody */
	struct vclock fences;    /* what sequentially consistent fences have made visible */
	struct vclock sequenced; /* the last sequentially consistent access of each processor */
};

/* The run in progress, NULL outside. There is one kernel thread, so no thread-local is needed. */
extern struct sim *sim_now_running;

enum event {
	EVENT_SWITCH = 1,
	EVENT_LOAD,
	EVENT_STORE,
	EVENT_RMW,
	EVENT_CAS,
	EVENT_FENCE,
	EVENT_PLAIN,
	EVENT_RELAX,
	EVENT_CLOCK,
	EVENT_CHOOSE,
	EVENT_SLEEP,
	EVENT_AWAKE,
	EVENT_WAKE,
	EVENT_START,
	EVENT_END,
	EVENT_JOIN,
	EVENT_LOCK,
	EVENT_UNLOCK,
};

/* splitmix64: every seed is as good as another, and one multiplication chain is fast enough. */
static inline uint64_t random_next(struct sim *s)
{
	uint64_t z = (s->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Below `count`, which is not 0. The bias of 2^-32 does not matter here. */
static inline uint32_t random_below(struct sim *s, uint32_t count)
{
	return (uint32_t)(((random_next(s) >> 32) * count) >> 32);
}

/* Writes the event to the trace, for --verbose. */
COLD void event_print(struct sim *s, enum event event, uint64_t object, uint64_t detail);

/*
 * Takes an event into the hash of the run. Neither `object` nor `detail` may hold an address: they
 * differ from process to process.
 */
static inline void event_fold(struct sim *s, enum event event, uint64_t object, uint64_t detail)
{
	uint64_t word = (uint64_t)event | (uint64_t)s->current->index << 8 | object << 16;

	s->hash = (s->hash ^ word) * 0xff51afd7ed558ccdull;
	s->hash = (s->hash ^ (s->hash >> 32) ^ detail) * 0xc4ceb9fe1a85ec53ull;
	if (unlikely(s->config->trace != NULL))
		event_print(s, event, object, detail);
}

/* Chooses who goes on, and switches; returns when the caller is chosen again. */
void processor_decide(struct sim *s);

/* The same for a spin: another processor goes on if there is one. */
void processor_give_way(struct sim *s);

/* The current processor, whose state is not RUNNABLE, waits until it is. */
void processor_block(struct sim *s);

/* Lets a waiting processor go on. */
void processor_unblock(struct sim *s, struct processor *p);

/* Makes a processor that will run main(arg); NULL when there are as many as may be. */
struct processor *processor_create(struct sim *s, void (*main)(void *), void *arg,
				   const char *name);

/* Ends the current processor. */
NORETURN void processor_end(struct sim *s);

/* Goes back to who called sim_run(). The processors stay where they stand, and are lost. */
NORETURN void processor_leave(struct sim *s);

/* The stack that the processor was created on. */
void processor_stack(const struct processor *p, const void **ret_bottom, size_t *ret_bytes);

/* The number of a slot whose processor was joined is free again. */
void processor_free(struct processor *p);

/* A switch point: time passes, and perhaps another processor goes on. */
static inline void step(struct sim *s)
{
	s->steps++;
	s->now += s->step_ns;
	if (s->steps >= s->decide_at || s->now >= s->deadline_first)
		processor_decide(s);
}

/* strategy.c: draws the parameters of the run from the seed. */
void strategy_init(struct sim *s);
/* The priority of a new processor. */
uint64_t strategy_priority(struct sim *s);
/* Who goes on: one of s->runnable, which is not 0. `spinning`: rather not the current one. */
struct processor *strategy_choose(struct sim *s, bool spinning);

/* time.c: now and then lets the next deadline come although somebody runs. */
void time_warp(struct sim *s);
/* Wakes sleepers whose deadline has come. */
void time_expire(struct sim *s);
/* Finds the earliest deadline anew. */
void time_deadlines_changed(struct sim *s);

/* memory.c: forgets everything that the last run knew. */
void memory_reset(void);
/* The number of the atomic at `at`, by first use: the same in every process. */
uint32_t memory_number(struct sim *s, const void *at, unsigned width);
/* race.c: the same for plain data. */
void race_reset(void);
/* The current processor reads or writes plain data, at `pc`: ends the run if that races. */
void race_access(struct sim *s, const void *at, size_t bytes, bool write, const void *pc);
void race_forget(const void *at, size_t bytes);
void memory_forget(const void *at, size_t bytes);

/* mutex.c: the same for mutexes. */
void mutex_reset(void);

/* report.c: ends the run. */
NORETURN void finding(struct sim *s, enum sim_verdict verdict, const char *format, ...)
	PRINTF(3, 4);
/* The call chain of the caller, innermost first; unused entries are NULL. */
void frames_take(void *frames[FRAMES_MAX]);
void frames_print(FILE *out, void *const frames[FRAMES_MAX]);

/* symbols.c: the name of the function that holds the address; static ones too. */
const char *symbol_name(const void *address);
