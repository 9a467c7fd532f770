/*
 * A lock for a few instructions. Never held across anything that suspends, blocks or allocates: a
 * user thread that lost its core while holding one would stop everybody.
 */
#pragma once

#include "base/atomic.h"

#include <sched.h>

/* Looks at a held lock, some 7 us of them, before the processor is left to somebody else. */
#define SPINLOCK_LOOKS 256

struct spinlock {
	struct atomic_u32 held;
};

/* Takes the lock. Spins; does not suspend. */
static ALWAYS_INLINE void spinlock_lock(struct spinlock *l)
{
	while (unlikely(atomic_u32_exchange(&l->held, 1, ORDER_ACQUIRE) != 0)) {
		unsigned looks = 0;

		/* wait on a shared copy of the line, not by writing to it */
		while (atomic_u32_load(&l->held, ORDER_RELAXED) != 0) {
			cpu_relax();
			/* the holder's kernel thread lost its processor, perhaps to this one */
			if (!TARN_SIM && ++looks % SPINLOCK_LOOKS == 0)
				sched_yield();
		}
	}
}

/* Takes the lock if it is free. */
static ALWAYS_INLINE bool spinlock_try(struct spinlock *l)
{
	return atomic_u32_load(&l->held, ORDER_RELAXED) == 0 &&
	       atomic_u32_exchange(&l->held, 1, ORDER_ACQUIRE) == 0;
}

/* Gives it back; what was done under it is seen by the next holder. */
/* Gives the lock back; what was written under it is seen by the next holder. */
static ALWAYS_INLINE void spinlock_unlock(struct spinlock *l)
{
	atomic_u32_store(&l->held, 0, ORDER_RELEASE);
}
