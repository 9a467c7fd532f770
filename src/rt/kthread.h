/*
 * Kernel threads and how they sleep: what the runtime takes from the operating system.
 *
 * In the build for the simulator (TARN_SIM) these functions are defined by sim/kthread.c: a kernel
 * thread is then a simulated processor, sleeping is virtual, and the order in which the processors
 * run is drawn from the seed.
 */
#pragma once

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/self.h"
#include "base/status.h"

struct kthread {
	void (*main)(void *arg);
	void *arg;
	const char *name;      /* borrows; at most 15 bytes are shown by the system */
	struct self *self;     /* the record that the new thread runs under; borrows until joined */
	uint32_t processor;    /* to run on, KTHREAD_ANYWHERE for all that the process may use */
	uint64_t handle;       /* private */
	struct atomic_u64 tid; /* the system's number of it, for who watches; 0 at first */
};

#define KTHREAD_ANYWHERE UINT32_MAX

/* Starts t->main(t->arg). STATUS_LIMIT when the system refuses. `t` is borrowed until joined. */
struct status kthread_start(struct kthread *t);

/* Waits until the thread has ended. Not from a core of the runtime. */
void kthread_join(struct kthread *t);

/*
 * Sleeps while *word == expected, until kthread_wake(word), the deadline (clock_ns() time;
 * CLOCK_NEVER for none), or for no reason at all: look again afterwards.
 */
void kthread_sleep(struct atomic_u32 *word, uint32_t expected, uint64_t deadline);

/* Wakes up to `count` threads that sleep on `word`. */
void kthread_wake(struct atomic_u32 *word, uint32_t count);

/*
 * A choice that the simulator makes: a number below `count`. On real machines always 0, so that
 * the common order costs nothing.
 */
#if TARN_SIM
uint32_t kthread_choose(uint32_t count);
#else
static ALWAYS_INLINE uint32_t kthread_choose(uint32_t count)
{
	(void)count;
	return 0;
}
#endif
