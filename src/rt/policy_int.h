/*
 * The policy's state, and what spawn and the dispatcher ask of it.
 */
#pragma once

#include "base/atomic.h"
#include "base/spinlock.h"
#include "rt/policy.h"

struct rt_core;

struct policy_class {
	const char *name;
	struct atomic_u32 kind; /* enum rt_class_kind */
	/*
	 * The list is changed under the policy's lock and read without: a reader that meets a
	 * change may choose a core that has just gone, and that core passes the thread on.
	 */
	struct atomic_u32 count;
	struct atomic_u32 cores[RT_CORES_MAX];
};

struct policy {
	struct spinlock lock;
	struct policy_class classes[RT_CLASSES_MAX];
	uint32_t idle_count; /* cores that serve nobody (lock) */
	uint32_t idle[RT_CORES_MAX];
};

/* The first `count` cores serve class 0, the others nobody until policy_core_add(). */
void policy_init(struct rt *rt, uint32_t count);

/* The process was given a core: it serves class 0. */
void policy_core_add(struct rt *rt, struct rt_core *c);

/*
 * A core is to be given back: whatever it served, its threads move. False, and nothing changes, if
 * it is the last one of class 0: it goes on, wherever the kernel then lets it run.
 */
bool policy_core_remove(struct rt *rt, struct rt_core *c);

/* Whether the class was created. From any thread. */
bool policy_class_exists(const struct rt *rt, uint8_t class);

/*
 * Where a new thread of the class goes: the less loaded of two of its cores, or a core of its own.
 */
struct status policy_place(struct rt *rt, uint8_t class, struct rt_core *me, struct rt_core **ret);

/* The less loaded of two random cores that serve the class; NULL if none does. */
struct rt_core *policy_core(struct rt *rt, uint8_t class, uint64_t *random);

/* Whether each thread of the class has a core to itself. From any thread. */
bool policy_is_exclusive(const struct rt *rt, uint8_t class);

/* The core's exclusive thread has ended: it serves class 0 again. */
void policy_exclusive_give(struct rt *rt, struct rt_core *c);
