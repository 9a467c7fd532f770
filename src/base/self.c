#include "base/self.h"

#include "base/assert.h"
#include "base/atomic.h"
#include "base/metrics.h"
#include "base/trace.h"

_Thread_local struct self *self_current __attribute__((tls_model("initial-exec")));

/* Bit n of word n / 64 says that slot n is taken. Slot 0 always is. */
static struct atomic_u64 slots_taken[SELF_SLOTS / 64] = {ATOMIC(1)};
static struct atomic_u32 slots_used = ATOMIC(1);

struct foreign {
	struct self self;
	struct self_thread thread;
};

COLD struct self *self_foreign(void)
{
	static _Thread_local struct foreign foreign __attribute__((tls_model("initial-exec")));

	foreign.thread.name = "foreign";
	foreign.self.thread = &foreign.thread;
	foreign.self.slot = SELF_SLOT_SHARED;
	foreign.self.counters = metrics_cells(SELF_SLOT_SHARED);
	foreign.self.trace = trace_ring_of(SELF_SLOT_SHARED);
	self_set(&foreign.self);
	return &foreign.self;
}

void self_set(struct self *s)
{
	self_current = s;
}

static uint32_t slot_take(void)
{
	for (uint32_t w = 0; w < ARRAY_SIZE(slots_taken); w++) {
		uint64_t word = atomic_u64_load(&slots_taken[w], ORDER_RELAXED);

		while (~word != 0) {
			uint32_t bit = (uint32_t)__builtin_ctzll(~word);

			/* acquire: whoever had the slot before has written its last count */
			if (atomic_u64_cas(&slots_taken[w], &word, word | (1ull << bit),
					   ORDER_ACQUIRE))
				return w * 64 + bit;
		}
	}
	return SELF_SLOT_SHARED;
}

void self_init(struct self *s, struct self_thread *thread)
{
	uint32_t slot = slot_take();
	uint32_t used = atomic_u32_load(&slots_used, ORDER_RELAXED);

	while (used < slot + 1 && !atomic_u32_cas(&slots_used, &used, slot + 1, ORDER_RELAXED))
		;
	*s = (struct self){
		.thread = thread,
		.slot = slot,
		.counters = metrics_cells(slot),
		.trace = trace_ring_of(slot),
	};
}

void self_fini(struct self *s)
{
	uint32_t slot = s->slot;

	if (slot == SELF_SLOT_SHARED)
		return;
	/* release: the next owner of the slot sees our last counts */
	uint64_t before =
		atomic_u64_and(&slots_taken[slot / 64], ~(1ull << (slot % 64)), ORDER_RELEASE);
	ASSERT(before & (1ull << (slot % 64)));
	s->slot = SELF_SLOT_SHARED;
}

uint32_t self_slots_used(void)
{
	return atomic_u32_load(&slots_used, ORDER_RELAXED);
}
