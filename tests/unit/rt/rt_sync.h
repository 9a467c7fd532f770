/*
 * What the tests of all kinds of objects share: threads that come in order, threads that contend.
 */
#pragma once

#include "rt/sync.h"

#include "rt_death.h"

#define ROUNDS  (WITH_TSAN || TARN_DEBUG ? 300 : 2000)
#define WORKERS 8

/* What every object is tried with: an order of threads, and how each fared. */
struct one {
	struct all *all;
	struct status status;
	uint64_t deadline;
	uint32_t number;
	uint32_t order; /* of its return, from 1 */
	void *item;
};

struct all {
	struct rt_mutex mutex;
	struct rt_cond cond;
	struct rt_sem sem;
	struct rt_rwlock rwlock;
	struct rt_channel channel;
	void *slots[2];
	struct rt_group group;
	uint32_t returned; /* on one core: plain */
	struct atomic_u32 inside;
	struct atomic_u64 sum;
	uint64_t plain;
	struct one ones[WORKERS];
	struct rt_id ids[WORKERS];
};

static inline void all_init(struct all *a)
{
	*a = (struct all){0};
	a->channel = RT_CHANNEL(a->slots);
	for (uint32_t i = 0; i < WORKERS; i++)
		a->ones[i] = (struct one){.all = a, .number = i, .deadline = CLOCK_NEVER};
}

static inline void returned(struct one *o, struct status s)
{
	o->status = s;
	o->order = ++o->all->returned;
}

/* Starts `count` threads one after the other, each when the one before it blocks. On core 0. */
static inline void start_blocked(struct all *a, uint32_t count, void (*entry)(void *))
{
	for (uint32_t i = 0; i < count; i++) {
		a->ids[i] = unit_spawn(0, entry, &a->ones[i]);
		unit_until_blocked(a->ids[i]);
	}
}

static inline void join_all(struct all *a, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		CHECK_OK(rt_join(a->ids[i]));
}

/* On both cores at once. */
static inline void run_workers(struct all *a, void (*entry)(void *))
{
	for (uint32_t i = 0; i < WORKERS; i++)
		a->ids[i] = unit_spawn(i % 2, entry, &a->ones[i]);
	join_all(a, WORKERS);
}

/* A deadline about as far away as a hand-over takes. */
static inline uint64_t deadline_near(uint32_t i)
{
	return clock_deadline(i * 37 % 4000);
}

static inline bool ok_or_timeout(struct status s)
{
	CHECK(status_ok(s) || status_is(s, STATUS_TIMEOUT));
	return status_ok(s);
}

/* For assert_dies(): runs a user thread in the child; `arg` points to its function. */
static inline void run_in_child(void *arg)
{
	unit_run(1, *(void (**)(void *))arg, NULL);
}
