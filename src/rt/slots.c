/*
 * Slots: the records and stacks of all threads that a runtime may ever have.
 *
 * Address space for both is reserved once, so that a thread's stack follows from its index, a crash
 * report can name the owner of any stack address, and creating needs no system call once a slot has
 * been used. Memory comes page by page as a stack grows into it.
 *
 *	stacks:  | guard | stack 0      | guard | stack 1      | …
 *	         └─ stack_bytes ────────┘
 */
#include "base/os.h"
#include "rt/rt_int.h"

#include <string.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define STACK_REGISTER(from, to) VALGRIND_STACK_REGISTER(from, to)
#else
#define STACK_REGISTER(from, to) ((void)0)
#endif

#define STACK_BYTES_DEFAULT (WITH_ASAN || WITH_TSAN ? 262144 : 65536)
#define THREADS_DEFAULT     (1u << 20)
#define THREADS_LEAST       1024

/*
 * Stack tops are spread over this many cache lines: at the same offset they would share cache sets.
 */
#define STACK_COLOURS 16

/* Cores take slots from the common list, and give them back, so many at a time. */
#define SLOTS_BATCH 32
#define SLOTS_MOST  (SLOTS_BATCH * 4)

/* Slots beyond this many in the common list give the memory of their stacks back. */
#define SLOTS_WARM 1024

/* Reserves room for `max` slots. */
static struct status reserve(struct slots *s, uint32_t max)
{
	void *threads;
	void *stacks;

	if (s->stack_bytes > SIZE_MAX / max)
		return fail(STATUS_NO_MEMORY,
			    "threads: %u stacks of %zu bytes are more than the address space", max,
			    s->stack_bytes);
	TRY(os_map(max * sizeof(struct rt_thread), CACHE_LINE, &threads));

	struct status status = os_map(max * s->stack_bytes, s->stack_bytes, &stacks);

	if (!status_ok(status)) {
		status_ignore(os_unmap(threads, max * sizeof(struct rt_thread)));
		return status;
	}
	s->threads = threads;
	s->stacks = stacks;
	s->max = max;
	return OK;
}

struct status slots_init(struct slots *s, const struct rt_config *config)
{
	uint32_t max = config->threads_max ? config->threads_max : THREADS_DEFAULT;
	/* free slots that cores keep at hand and put into their rings are not to be missed */
	uint32_t at_hand = config->cores * (SPAWN_CELLS + SLOTS_MOST);
	struct status status;

	*s = (struct slots){.stack_bytes = config->stack_bytes ? config->stack_bytes
							       : STACK_BYTES_DEFAULT};
	if (max > THREADS_MOST - at_hand)
		return fail(STATUS_INVALID, "threads_max: %u, the most is %u", max,
			    THREADS_MOST - at_hand);
	if (s->stack_bytes < RT_STACK_BYTES_LEAST || (s->stack_bytes & (s->stack_bytes - 1)) != 0)
		return fail(STATUS_INVALID, "stack_bytes: %zu, must be a power of two from %d",
			    s->stack_bytes, RT_STACK_BYTES_LEAST);
	status = reserve(s, max + at_hand);
	/* where address space is rationed, take what there is, unless a number was asked for */
	while (!status_ok(status) && !config->threads_max && max > THREADS_LEAST) {
		max /= 2;
		status = reserve(s, max + at_hand);
	}
	return status;
}

void slots_fini(struct slots *s)
{
	uint32_t made = atomic_u32_load(&s->fresh, ORDER_ACQUIRE);

	for (uint32_t i = 0; i < made; i++)
		context_fini(&s->threads[i].context);
	status_ignore(os_unmap(s->threads, s->max * sizeof(struct rt_thread)));
	status_ignore(os_unmap(s->stacks, s->max * s->stack_bytes));
}

void *slots_stack(const struct slots *s, const struct rt_thread *t, size_t *ret_bytes)
{
	size_t guard = os_page_bytes();

	*ret_bytes = s->stack_bytes - guard;
	return s->stacks + t->index * s->stack_bytes + guard;
}

struct rt_thread *slots_find(const struct slots *s, const void *address, bool *ret_guard)
{
	uintptr_t offset = (uintptr_t)address - (uintptr_t)s->stacks;

	if (offset >= s->max * s->stack_bytes ||
	    offset / s->stack_bytes >= atomic_u32_load(&s->fresh, ORDER_ACQUIRE))
		return NULL;
	*ret_guard = offset % s->stack_bytes < os_page_bytes();
	return &s->threads[offset / s->stack_bytes];
}

static size_t colour(const struct rt_thread *t)
{
	return (size_t)(t->index % STACK_COLOURS) * CACHE_LINE;
}

void slots_context(const struct slots *s, struct rt_thread *t)
{
	size_t bytes;
	void *bottom = slots_stack(s, t, &bytes);

	context_reinit(&t->context, bottom, bytes, colour(t), thread_main, t);
}

/* First use of a slot: the guard below its stack, the record's constant parts. */
static struct status slot_make(struct slots *s, struct rt *rt, uint32_t index)
{
	struct rt_thread *t = &s->threads[index];
	size_t bytes;
	char *bottom;

	t->index = index;
	t->rt = rt;
	bottom = slots_stack(s, t, &bytes);
	TRY(os_guard_install(bottom - os_page_bytes(), os_page_bytes()));
	STACK_REGISTER(bottom, bottom + bytes);
	context_init(&t->context, bottom, bytes, colour(t), thread_main, t);
	atomic_u64_store(&t->life, 1ull << 32, ORDER_RELAXED);
	t->self.name = "free";
	return OK;
}

/* Takes never used slots; under no lock, since a guard is a system call. */
static uint32_t take_fresh(struct rt *rt, uint32_t want, struct rt_thread **list)
{
	struct slots *s = &rt->slots;
	uint32_t taken = 0;

	while (taken < want) {
		spinlock_lock(&s->fresh_lock);
		uint32_t index = atomic_u32_load(&s->fresh, ORDER_RELAXED);
		bool made = index < s->max && status_ok(slot_make(s, rt, index));

		if (made)
			atomic_u32_store(&s->fresh, index + 1, ORDER_RELEASE);
		spinlock_unlock(&s->fresh_lock);
		if (!made)
			break;
		s->threads[index].next = *list;
		*list = &s->threads[index];
		taken++;
	}
	return taken;
}

/* Lock held. */
static void free_count_add(struct slots *s, uint32_t n)
{
	uint32_t before = atomic_u32_load(&s->free_count, ORDER_RELAXED);

	atomic_u32_store(&s->free_count, before + n, ORDER_RELAXED);
}

uint32_t slots_take(struct rt *rt, uint32_t want, struct rt_thread **ret_list)
{
	struct slots *s = &rt->slots;
	struct rt_thread *list = NULL;
	uint32_t taken = 0;

	spinlock_lock(&s->lock);
	while (taken < want && s->free) {
		struct rt_thread *t = s->free;

		s->free = t->next;
		t->next = list;
		list = t;
		taken++;
	}
	free_count_add(s, 0u - taken);
	spinlock_unlock(&s->lock);
	if (taken == 0)
		taken = take_fresh(rt, want, &list);
	*ret_list = list;
	return taken;
}

/* A stack that nobody will need soon gives its memory back, all but the page at its top. */
static void stack_trim(const struct slots *s, const struct rt_thread *t)
{
	size_t bytes;
	char *bottom = slots_stack(s, t, &bytes);

	status_ignore(os_discard(bottom, bytes - os_page_bytes()));
}

void slots_give(struct slots *s, struct rt_thread *list, uint32_t count)
{
	struct rt_thread *last = list;
	/* without the lock: a hint */
	bool trim = atomic_u32_load(&s->free_count, ORDER_RELAXED) > SLOTS_WARM;

	for (uint32_t i = 1; i < count; i++)
		last = last->next;
	if (trim) {
		struct rt_thread *t = list;

		for (uint32_t i = 0; i < count; i++, t = t->next)
			stack_trim(s, t);
	}
	spinlock_lock(&s->lock);
	last->next = s->free;
	s->free = list;
	free_count_add(s, count);
	spinlock_unlock(&s->lock);
}

/* ---- slots of this core ---------------------------------------------------------------------- */

struct rt_thread *core_slot_take(struct rt_core *c)
{
	if (unlikely(c->free == NULL)) {
		c->free_count = slots_take(c->rt, SLOTS_BATCH, &c->free);
		if (c->free_count == 0)
			return NULL;
	}

	struct rt_thread *t = c->free;

	c->free = t->next;
	c->free_count--;
	return t;
}

void core_slot_give(struct rt_core *c, struct rt_thread *t)
{
	t->next = c->free;
	c->free = t;
	if (++c->free_count < SLOTS_MOST)
		return;

	/* keep the most recently used: their stacks are warm */
	struct rt_thread *last = c->free;

	for (uint32_t i = 1; i < SLOTS_MOST - 2 * SLOTS_BATCH; i++)
		last = last->next;
	slots_give(&c->rt->slots, last->next, 2 * SLOTS_BATCH);
	last->next = NULL;
	c->free_count -= 2 * SLOTS_BATCH;
}
