/*
 * The atomics of base/atomic.h under the C11 memory model.
 *
 * Stores take effect in the order in which they are executed, which is also the modification order
 * of each atomic and the total order of sequentially consistent operations. What is weak is the
 * loads: a load may read any store that coherence and happens-before leave visible to its
 * processor. That is the technique of Relacy and loom, and covers what store buffers do (Dekker's
 * mistake), what reordered stores do (a missing release), and stale reads. README.md says what it
 * cannot show.
 */
#include "sim/memory.h"

#include "base/assert.h"

static bool acquires(enum order order)
{
	return order == ORDER_ACQUIRE || order == ORDER_ACQ_REL || order == ORDER_SEQ_CST;
}

static bool releases(enum order order)
{
	return order == ORDER_RELEASE || order == ORDER_ACQ_REL || order == ORDER_SEQ_CST;
}

static uint64_t memory_read(const void *at, unsigned width)
{
	return width == 4 ? __atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED)
			  : __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

static void memory_write(void *at, unsigned width, uint64_t value)
{
	if (width == 4)
		__atomic_store_n((uint32_t *)at, (uint32_t)value, __ATOMIC_RELAXED);
	else
		__atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
}

/* ---- what a load may read -------------------------------------------------------------------- */

/* Whether somebody read or wrote the store at a moment that `known` includes. */
static bool store_known(const struct store *e, const struct vclock *known)
{
	uint32_t hits = 0;

	/* no early exit: the compiler makes four vector comparisons of it */
	for (uint32_t i = 0; i < SIM_PROCESSORS_MAX; i++)
		hits |= e->seen_at.at[i] <= known->at[i];
	return hits;
}

/* The oldest store that the current processor may read. */
static uint32_t floor_of(struct sim *s, struct location *l, enum order order)
{
	const struct view *view = &s->current->view;

	for (uint32_t n = l->last; n > l->first; n--) {
		const struct store *e = store_at(l, n);

		if (store_known(e, &view->visible))
			return n;
		/* after a sequentially consistent fence, what was sequenced before it is visible */
		bool sequenced = e->sequenced_at != NEVER;

		if (sequenced && e->sequenced_at <= view->sequenced.at[e->sequenced_by])
			return n;
		/* and so is, to a sequentially consistent load, whatever a fence or another such
		 * access has shown */
		if (order == ORDER_SEQ_CST && (sequenced || store_known(e, &s->fences)))
			return n;
		/* stores reach everybody in the end */
		if (e->step + s->stale_window < s->steps)
			return n;
	}
	return l->first;
}

static uint32_t store_choose(struct sim *s, struct location *l, enum order order)
{
	if (s->stale == 0 || l->first == l->last)
		return l->last;

	uint32_t oldest = floor_of(s, l, order);

	if (oldest == l->last || random_below(s, 256) >= s->stale)
		return l->last;
	return oldest + random_below(s, l->last - oldest + 1);
}

static void mark_sequenced(struct sim *s, struct store *e)
{
	struct processor *p = s->current;

	s->sequenced.at[p->index] = processor_time(p);
	if (e->sequenced_at == NEVER) {
		e->sequenced_at = processor_time(p);
		e->sequenced_by = p->index;
	}
	processor_tick(p);
}

/* What reading the store does to the reader. */
static void store_read(struct sim *s, struct store *e, enum order order)
{
	struct processor *p = s->current;

	if (e->seen_at.at[p->index] == NEVER)
		e->seen_at.at[p->index] = processor_time(p);
	if (order == ORDER_SEQ_CST)
		mark_sequenced(s, e);
	if (e->message == NO_MESSAGE)
		return;
	if (acquires(order))
		view_join(&p->view, message_view(e->message));
	else
		view_join(&p->acquire_pending, message_view(e->message));
}

/* What writing the store tells its later readers. `continues`: the message of the store that a
 * read-modify-write replaced, whose release sequence goes on. */
static void store_release(struct sim *s, struct store *e, enum order order, uint32_t continues)
{
	struct processor *p = s->current;
	struct view view;
	bool any = false;

	if (continues != NO_MESSAGE) {
		view = *message_view(continues);
		any = true;
	}
	const struct view *own = releases(order)        ? &p->view
				 : p->has_release_fence ? &p->release_fence
							: NULL;
	if (own && any)
		view_join(&view, own);
	else if (own)
		view = *own;
	if (own || any)
		e->message = message_create(&view);
	if (own)
		processor_tick(p);
	if (order == ORDER_SEQ_CST)
		mark_sequenced(s, e);
}

/* ---- the operations -------------------------------------------------------------------------- */

uint64_t sim_atomic_load(const void *at, unsigned width, enum order order)
{
	struct sim *s = sim_now_running;

	if (!s)
		return memory_read(at, width);
	step(s);

	struct location *l = location_get(s, at, memory_read(at, width));
	uint32_t chosen = store_choose(s, l, order);
	struct store *e = store_at(l, chosen);
	uint64_t value = e->value;

	store_read(s, e, order);
	event_fold(s, EVENT_LOAD, l->number, l->last - chosen);
	return value;
}

void sim_atomic_store(void *at, unsigned width, uint64_t value, enum order order)
{
	struct sim *s = sim_now_running;

	if (!s) {
		memory_write(at, width, value);
		return;
	}
	step(s);

	struct location *l = location_get(s, at, memory_read(at, width));
	struct store *e = location_append(s, l, value);

	store_release(s, e, order, NO_MESSAGE);
	memory_write(at, width, value);
	event_fold(s, EVENT_STORE, l->number, 0);
}

/* A read-modify-write takes the newest store and puts its own right behind it. */
static void modify(struct sim *s, struct location *l, void *at, unsigned width, uint64_t value,
		   enum order order)
{
	struct store *before = store_at(l, l->last);

	store_read(s, before, order);
	/* the store that the history drops is the oldest, so this one's message stays */
	store_release(s, location_append(s, l, value), order, before->message);
	memory_write(at, width, value);
}

static uint64_t rmw_result(enum sim_rmw op, uint64_t found, uint64_t operand)
{
	switch (op) {
	case SIM_EXCHANGE: return operand;
	case SIM_ADD: return found + operand;
	case SIM_OR: return found | operand;
	case SIM_AND: return found & operand;
	}
	return 0;
}

uint64_t sim_atomic_rmw(void *at, unsigned width, enum sim_rmw op, uint64_t operand,
			enum order order)
{
	struct sim *s = sim_now_running;
	uint64_t mask = width == 4 ? UINT32_MAX : UINT64_MAX;

	if (s)
		step(s);

	uint64_t found = memory_read(at, width);
	uint64_t value = rmw_result(op, found, operand) & mask;

	if (!s) {
		memory_write(at, width, value);
		return found;
	}
	struct location *l = location_get(s, at, found);

	modify(s, l, at, width, value, order);
	event_fold(s, EVENT_RMW, l->number, op);
	return found;
}

bool sim_atomic_cas(void *at, unsigned width, uint64_t *expected, uint64_t desired,
		    enum order order)
{
	struct sim *s = sim_now_running;

	if (s)
		step(s);

	uint64_t found = memory_read(at, width);
	bool equal = found == *expected;

	if (!s) {
		if (equal)
			memory_write(at, width, desired);
		*expected = found;
		return equal;
	}
	struct location *l = location_get(s, at, found);

	if (equal)
		modify(s, l, at, width, desired, order);
	else
		store_read(s, store_at(l, l->last), (enum order)atomic_failure_order(order));
	*expected = found;
	event_fold(s, EVENT_CAS, l->number, equal);
	return equal;
}

void sim_atomic_fence(enum order order)
{
	struct sim *s = sim_now_running;

	if (!s)
		return;
	step(s);

	struct processor *p = s->current;

	if (acquires(order))
		view_join(&p->view, &p->acquire_pending);
	if (order == ORDER_SEQ_CST) {
		vclock_join(&p->view.visible, &s->fences);
		vclock_join(&p->view.sequenced, &s->sequenced);
		vclock_join(&s->fences, &p->view.visible);
	}
	if (releases(order)) {
		p->release_fence = p->view;
		p->has_release_fence = true;
		processor_tick(p);
	}
	event_fold(s, EVENT_FENCE, order, 0);
}
