/*
 * The life of a user thread: from the spawn to the return of its slot.
 */
#include "base/clock.h"
#include "base/trace.h"
#include "rt/rt_int.h"

/* ---- birth ----------------------------------------------------------------------------------- */

void thread_main(void *thread)
{
	struct rt_thread *t = thread;

	context_entered();
	t->entry(t->arg);
	rt_exit();
}

void thread_prepare(struct rt_thread *t, const struct spawn_cell *what)
{
	t->entry = what->entry;
	t->arg = what->arg;
	t->self.name = what->name;
	t->self.diag.file = NULL;
	t->self.diag.text[0] = '\0';
	t->class = what->class;
	t->pinned = what->pinned;
	t->deadline = CLOCK_NEVER;
	t->wait_reason = NULL;
	/* atomic: the id may be known already, and somebody be cancelling */
	if (what->detached)
		atomic_u64_or(&t->life, LIFE_DETACHED, ORDER_RELAXED);
	slots_context(&t->rt->slots, t);
}

static struct status attr_check(const struct rt *rt, const struct rt_attr *attr)
{
	if (attr->core != RT_CORE_ANY && attr->core >= rt->core_count)
		return fail(STATUS_INVALID, "spawn: core %u, the runtime has 0 to %u", attr->core,
			    rt->core_count - 1);
	if (!policy_class_exists(rt, attr->class))
		return fail(STATUS_INVALID, "spawn: class %u does not exist", attr->class);
	if (attr->core != RT_CORE_ANY && policy_is_exclusive(rt, attr->class))
		return fail(STATUS_INVALID,
			    "spawn: core %u for class %u, which is exclusive: it chooses the core",
			    attr->core, attr->class);
	return OK;
}

static struct status spawn_limit(const struct rt *rt)
{
	return fail(STATUS_LIMIT,
		    "spawn: %u threads are alive or no stack could be had; raise threads_max "
		    "or free memory",
		    rt->slots.max);
}

/* On the core itself: no ring, a slot from its own list. */
static struct status spawn_local(struct rt_core *c, const struct spawn_cell *what,
				 struct rt_id *ret_id)
{
	struct rt_thread *t = core_slot_take(c);

	if (unlikely(!t))
		return spawn_limit(c->rt);
	thread_prepare(t, what);
	atomic_ptr_store(&t->core, c, ORDER_RELAXED);
	core_gone_add(c, -1);
	if (ret_id)
		*ret_id = thread_id(t);
	core_make_ready(t);
	return OK;
}

/*
 * Through the ring of another core. False if the ring is full.
 *
 * The next cell is fetched while this one travels, so a creator of many threads waits for no cell.
 */
static bool spawn_ring(struct rt_core *to, const struct spawn_cell *what, struct rt_id *ret_id)
{
	uint32_t position = atomic_u32_load(&to->spawned_here, ORDER_RELAXED);
	struct spawn_cell *cell;

	do {
		cell = &to->spawn[position % SPAWN_CELLS];
		/* acquire: the slot that the core put into the cell */
		if (atomic_u64_load(&cell->turn, ORDER_ACQUIRE) != position)
			return false;
	} while (!atomic_u32_cas(&to->spawned_here, &position, position + 1, ORDER_RELAXED));

	if (ret_id)
		*ret_id = thread_id(cell->slot);
	cell->entry = what->entry;
	cell->arg = what->arg;
	cell->name = what->name;
	cell->class = what->class;
	cell->detached = what->detached;
	cell->pinned = what->pinned;
	/* seq_cst: ordered before the look at `parked` in core_kick() */
	atomic_u64_store(&cell->turn, (uint64_t)position + 1, ORDER_SEQ_CST);
	prefetch_write(&to->spawn[(position + 1) % SPAWN_CELLS]);
	core_kick(to);
	return true;
}

/* When rings are full: a slot of our own, pushed like a woken thread. Ends only with the memory. */
static struct status spawn_overflow(struct rt_core *to, const struct spawn_cell *what,
				    struct rt_id *ret_id)
{
	struct rt_core *me = core_self();
	struct rt_thread *t = NULL;

	if (me && me->rt == to->rt)
		t = core_slot_take(me);
	else
		slots_take(to->rt, 1, &t);
	if (!t)
		return spawn_limit(to->rt);
	thread_prepare(t, what);
	atomic_ptr_store(&t->core, to, ORDER_RELAXED);
	atomic_u32_add(&to->pushed, 1, ORDER_RELAXED);
	if (ret_id)
		*ret_id = thread_id(t);
	core_make_ready(t);
	return OK;
}

/* Counts per core: one word for all would travel between cores at every spawn. */
static void spawned_add(struct rt *rt, struct rt_core *me, uint64_t n)
{
	if (me && me->rt == rt)
		counter_add(&me->spawned, n);
	else
		atomic_u64_add(&rt->spawned_outside, n, ORDER_RELAXED);
}

struct status rt_spawn(struct rt *rt, const struct rt_attr *attr, void (*entry)(void *), void *arg,
		       struct rt_id *ret_id)
{
	static const struct rt_attr plain = {.core = RT_CORE_ANY};
	struct rt_core *me = core_self();
	struct rt_core *to;

	if (attr == NULL)
		attr = &plain;
	else
		TRY(attr_check(rt, attr));
	if (unlikely(me == NULL))
		TRY(runtime_check_fork(rt));
	if (unlikely(atomic_u32_load(&rt->stopping, ORDER_RELAXED)))
		return fail(STATUS_CLOSED, "spawn: the runtime is stopping");

	struct spawn_cell what = {
		.entry = entry,
		.arg = arg,
		.name = attr->name ? attr->name : "thread",
		.class = attr->class,
		.detached = attr->detached,
		.pinned = attr->pinned || attr->core != RT_CORE_ANY,
	};

	if (attr->core != RT_CORE_ANY)
		to = &rt->cores[attr->core];
	else
		TRY(policy_place(rt, attr->class, me, &to));
	spawned_add(rt, me, 1);

	struct status s = OK;

	if (to == me)
		s = spawn_local(to, &what, ret_id);
	else if (!spawn_ring(to, &what, ret_id))
		s = spawn_overflow(to, &what, ret_id);
	if (unlikely(!status_ok(s))) {
		spawned_add(rt, me, -1ull);
		if (policy_is_exclusive(rt, attr->class))
			policy_exclusive_give(rt, to);
	}
	return s;
}

/* ---- end ------------------------------------------------------------------------------------- */

void thread_free(struct rt_core *c, struct rt_thread *t)
{
	uint64_t life = atomic_u64_load(&t->life, ORDER_RELAXED);

	atomic_ptr_store(&t->core, NULL, ORDER_RELAXED);
	/* the next generation: every id of this one is stale from here on */
	atomic_u64_store(&t->life, ((life >> 32) + 1) << 32, ORDER_RELEASE);
	if (c && c->rt == t->rt) {
		core_slot_give(c, t);
	} else {
		t->next = NULL;
		slots_give(&t->rt->slots, t, 1);
	}
}

void thread_bury(struct rt_core *c, struct rt_thread *t)
{
	struct rt *rt = c->rt;
	uint64_t life = atomic_u64_load(&t->life, ORDER_RELAXED);

	if (policy_is_exclusive(rt, t->class))
		policy_exclusive_give(rt, c);
	/* acq_rel: the joiner sees what the thread did; this sees the joiner's ticket */
	while (!atomic_u64_cas(&t->life, &life, life | LIFE_ENDED, ORDER_ACQ_REL))
		;
	if (life & LIFE_JOINING)
		rt_wake(t->joiner);
	if (life & (LIFE_JOINING | LIFE_DETACHED))
		thread_free(c, t);
	counter_add(&c->buried, 1);
	if (unlikely(atomic_u32_load(&rt->stopping, ORDER_SEQ_CST))) {
		atomic_u32_add(&rt->ended_word, 1, ORDER_RELEASE);
		kthread_wake(&rt->ended_word, 1);
	}
}

NORETURN void rt_exit(void)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL && c->current != NULL);
	core_end_thread(c, c->current);
}

static struct status stale(struct rt_id id)
{
	return fail(STATUS_STALE, "thread id %#lx: it was joined, is detached or never was",
		    id.value);
}

/*
 * Claims the right to join or to detach: of several callers one gets it. *ret_life is the life as
 * it was claimed.
 */
static struct status life_claim(struct rt_id id, struct rt_thread **ret, uint64_t *ret_life)
{
	struct rt_thread *t = thread_of(id);

	if (!t)
		return stale(id);

	uint64_t life = atomic_u64_load(&t->life, ORDER_RELAXED);

	do {
		/*
		 * ended and claimed: its joiner has it, though its core may not have freed it yet
		 */
		if (life >> 32 != id.value >> 32 || (life & LIFE_DETACHED) ||
		    (life & (LIFE_CLAIMED | LIFE_ENDED)) == (LIFE_CLAIMED | LIFE_ENDED))
			return stale(id);
		if (life & LIFE_CLAIMED)
			return fail(STATUS_EXISTS, "thread id %#lx: it is being joined", id.value);
		/* acquire: if it has ended, what it did is seen */
	} while (!atomic_u64_cas(&t->life, &life, life | LIFE_CLAIMED, ORDER_ACQUIRE));
	*ret = t;
	*ret_life = life;
	return OK;
}

/* Takes a claim back; false if the thread has ended meanwhile: acquire, what it did is seen. */
static bool life_disclaim(struct rt_thread *t, struct rt_id id)
{
	uint64_t life = atomic_u64_load(&t->life, ORDER_ACQUIRE);

	do {
		if (life >> 32 != id.value >> 32 || (life & LIFE_ENDED))
			return false;
	} while (!atomic_u64_cas(&t->life, &life, life & ~(uint64_t)(LIFE_JOINING | LIFE_CLAIMED),
				 ORDER_ACQUIRE));
	return true;
}

SUSPENDS struct status rt_join(struct rt_id id)
{
	struct rt_thread *t;
	uint64_t life;

	if (rt_self().value == id.value)
		return fail(STATUS_DEADLOCK, "join: a thread cannot join itself");
	TRY(life_claim(id, &t, &life));

	struct rt_wait w = rt_wait_begin("join");

	if (!(life & LIFE_ENDED)) {
		t->joiner = w;
		/* release: the ticket; acquire: the thread's doings, if it has ended just now */
		life = atomic_u64_or(&t->life, LIFE_JOINING, ORDER_ACQ_REL);
	}
	if (life & LIFE_ENDED) {
		thread_free(core_self(), t);
		return OK;
	}

	struct status s = rt_wait(w, CLOCK_NEVER);

	/* it has ended and its core frees it, or it can be joined once more */
	return status_ok(s) || !life_disclaim(t, id) ? OK : s;
}

struct status rt_detach(struct rt_id id)
{
	struct rt_thread *t;
	uint64_t life;

	TRY(life_claim(id, &t, &life));
	if (!(life & LIFE_ENDED))
		life = atomic_u64_or(&t->life, LIFE_DETACHED, ORDER_ACQ_REL);
	if (life & LIFE_ENDED)
		thread_free(core_self(), t);
	return OK;
}

struct rt_id rt_self(void)
{
	struct rt_core *c = core_self();

	return c && c->current ? thread_id(c->current) : (struct rt_id){0};
}

void rt_name_set(const char *name)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL && c->current != NULL);
	c->current->self.name = name;
}
