/*
 * What the unit tests of the runtime share: starting one, checks for user threads, and waiting
 * until a thread blocks.
 *
 * cmocka's assertions jump out of the function that fails, which only the thread that runs the case
 * can do. In user threads and kernel threads of the test CHECK() and its relatives end the program
 * with a crash report instead.
 */
#pragma once

#include "base/diag.h"
#include "base/os.h"
#include "rt/rt.h"
#include "rt/rt_int.h"

#include <sched.h>

#include "unit.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			PANIC("%s does not hold", #condition);                                     \
	} while (0)

/* The call must return STATUS_<code>. */
#define CHECK_STATUS(call, expected)                                                               \
	do {                                                                                       \
		struct status check_status_ = (call);                                              \
		if (check_status_.code != STATUS_##expected)                                       \
			PANIC("%s: is %s, should be %s: %s", #call,                                \
			      status_name(check_status_.code), status_name(STATUS_##expected),     \
			      diag_text());                                                        \
	} while (0)

#define CHECK_OK(call) CHECK_STATUS(call, OK)

/* Starts a runtime; the rest of its configuration is the default. */
static inline struct rt *unit_start(uint32_t cores)
{
	struct rt *rt;

	assert_ok(rt_start(&(struct rt_config){.cores = cores, .seed = 1}, &rt));
	return rt;
}

struct unit_body {
	void (*body)(void *);
	void *arg;
	struct atomic_u32 done;
};

static inline void unit_body_main(void *arg)
{
	struct unit_body *b = arg;

	b->body(b->arg);
	atomic_u32_store(&b->done, 1, ORDER_RELEASE);
	kthread_wake(&b->done, 1);
}

/* Runs body(arg) as a user thread on core 0 and waits for its end. */
static inline void unit_run_in(struct rt *rt, void (*body)(void *), void *arg)
{
	struct unit_body b = {.body = body, .arg = arg};
	struct rt_attr attr = {.name = "body", .core = 0, .detached = true};

	assert_ok(rt_spawn(rt, &attr, unit_body_main, &b, NULL));
	while (atomic_u32_load(&b.done, ORDER_ACQUIRE) == 0)
		kthread_sleep(&b.done, 0, CLOCK_NEVER);
}

/* The same in a runtime of its own. */
static inline void unit_run(uint32_t cores, void (*body)(void *), void *arg)
{
	struct rt *rt = unit_start(cores);

	unit_run_in(rt, body, arg);
	rt_stop(rt);
}

/*
 * Lets somebody else run: on a kernel thread, and on a user thread too, since who is waited for may
 * be on a core that the kernel has put behind this one on the same processor.
 */
static inline void unit_yield(void)
{
	struct rt_core *c = core_self();

	if (c && c->current)
		rt_yield();
	sched_yield();
}

/* Whether the thread waits for something now. */
static inline bool unit_blocked(struct rt_id id)
{
	uint64_t word = atomic_u64_load(&thread_of(id)->wait, ORDER_ACQUIRE) & WAIT_STATE_MASK;

	return word == WAIT_WATCHED || word == WAIT_BLOCKED;
}

/* Returns when the thread has begun to wait. It must not be woken meanwhile. */
static inline void unit_until_blocked(struct rt_id id)
{
	while (!unit_blocked(id))
		unit_yield();
}

/* Returns when the word has at least the value. */
static inline void unit_until(struct atomic_u32 *word, uint32_t value)
{
	while (atomic_u32_load(word, ORDER_ACQUIRE) < value)
		unit_yield();
}

/* Adds 1 and returns what it was. */
static inline uint32_t unit_count(struct atomic_u32 *word)
{
	return atomic_u32_add(word, 1, ORDER_ACQ_REL);
}

/* Spawns on a core or on RT_CORE_ANY, joinable. */
static inline struct rt_id unit_spawn(uint32_t core, void (*entry)(void *), void *arg)
{
	struct rt_attr attr = {.core = core};
	struct rt_id id;

	CHECK_OK(rt_spawn(rt_current(), &attr, entry, arg, &id));
	return id;
}

/* Runs the cases whose names contain the program's argument; all without one. */
#define unit_main(tests, argc, argv)                                                               \
	(cmocka_set_test_filter((argc) > 1 ? (argv)[1] : NULL),                                    \
	 cmocka_run_group_tests(tests, NULL, NULL))
