/*
 * Who is running this code: the only thread-local variable of Tarn.
 *
 * Every kernel thread has one `struct self`. It is a core of the runtime, a guest, or a foreign
 * thread that never registered. It leads to what must be found without a lock: the diagnostics of
 * the running thread, the slot of per-core tables, the trace ring, the memory cache, the core.
 *
 * Why one, and why here: gcc and clang keep the address of a thread-local variable over a call
 * that may continue on another kernel thread. self() reads it with an instruction that the compiler
 * may neither remember nor move, so the answer is right at the moment of the call. Do not keep it
 * across a call that SUSPENDS. (errno has the same trouble and is touched in base/os.c only.)
 *
 * Under the simulator many simulated cores share one kernel thread: it calls self_set() at each
 * switch, and everything above sees the core that it should.
 */
#pragma once

#include "base/compiler.h"
#include "base/diag.h"

/* Slots number those who may own a row of a per-core table. 0 is shared by all who have none. */
#define SELF_SLOTS       256
#define SELF_SLOT_SHARED 0

/* What belongs to a thread of control: a user thread, or a kernel thread outside of the runtime. */
struct self_thread {
	struct diag diag;
	const char *name; /* borrows; never NULL */
};

struct self {
	struct self_thread *thread; /* who runs now; never NULL */
	uint64_t *counters;         /* this slot's cells of all metrics (base/metrics.h) */
	struct trace_ring *trace;   /* this slot's ring; the shared one for slot 0 */
	void *mem;  /* struct mem_cache of this slot, NULL before it has one (mem) */
	void *core; /* struct rt_core, NULL outside of the runtime's cores (rt) */
	uint32_t slot;
};

extern _Thread_local struct self *self_current __attribute__((tls_model("initial-exec")));

/* Makes the record of a kernel thread that never registered, on its first call. Never NULL. */
struct self *self_foreign(void);

/* The current record, or NULL if this kernel thread has none yet. */
static ALWAYS_INLINE struct self *self_or_null(void)
{
	struct self *s;
#if defined(__x86_64__)
	__asm__ volatile("movq self_current@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(s));
#elif defined(__aarch64__)
	uint64_t offset;
	__asm__ volatile("adrp %1, :gottprel:self_current\n\t"
			 "ldr %1, [%1, :gottprel_lo12:self_current]\n\t"
			 "mrs %0, tpidr_el0\n\t"
			 "ldr %0, [%0, %1]"
			 : "=&r"(s), "=&r"(offset));
#else
#error "no way to read a thread-local variable that the compiler may not remember"
#endif
	return s;
}

/* The record of the running kernel thread (simulated core). Valid until the next suspension. */
static ALWAYS_INLINE struct self *self(void)
{
	struct self *s = self_or_null();
	return likely(s != NULL) ? s : self_foreign();
}

/* Replaces the record of this kernel thread; for rt, guests and the simulator. NULL clears it. */
void self_set(struct self *s);

/*
 * Gives `s` a slot of its own with its counters and trace ring, or the shared slot 0 when all
 * SELF_SLOTS are taken. `thread` is borrowed until self_fini().
 */
void self_init(struct self *s, struct self_thread *thread);

/* Gives the slot back. Its counts stay counted, its trace stays readable until the slot's reuse. */
void self_fini(struct self *s);

/* The number of slots ever in use: rows 0 to this, exclusive, of a per-core table may hold data. */
uint32_t self_slots_used(void);
