/*
 * Timers of one core: an intrusive pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986). Arming
 * is O(1), allocates nothing and cannot fail; taking out is O(log n) amortised. A timing wheel
 * would round the deadlines and touch memory while idle.
 *
 * A node's `previous` is its parent if the node is the first child, else its left sibling; the
 * root's is the root itself, so that "armed" is `previous != NULL`.
 */
#include "rt/rt_int.h"

/* Makes the later root the first child of the earlier one, which is returned. */
static struct rt_timer *meld(struct rt_timer *a, struct rt_timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->deadline < a->deadline) {
		struct rt_timer *earlier = b;

		b = a;
		a = earlier;
	}
	b->sibling = a->child;
	b->previous = a;
	if (a->child)
		a->child->previous = b;
	a->child = b;
	return a;
}

/* Melds a list of siblings into one tree, in two passes and without recursion. */
static struct rt_timer *meld_siblings(struct rt_timer *first)
{
	struct rt_timer *pairs = NULL;

	while (first) {
		struct rt_timer *a = first;
		struct rt_timer *b = a->sibling;

		first = b ? b->sibling : NULL;
		a->sibling = NULL;
		if (b)
			b->sibling = NULL;
		a = meld(a, b);
		a->sibling = pairs;
		pairs = a;
	}

	struct rt_timer *root = NULL;

	while (pairs) {
		struct rt_timer *next = pairs->sibling;

		pairs->sibling = NULL;
		root = meld(root, pairs);
		pairs = next;
	}
	return root;
}

static void root_set(struct rt_timer **heap, struct rt_timer *root)
{
	*heap = root;
	if (root) {
		root->sibling = NULL;
		root->previous = root;
	}
}

void timers_insert(struct rt_timer **heap, struct rt_timer *timer)
{
	ASSERT(timer->previous == NULL);
	timer->child = NULL;
	timer->sibling = NULL;
	root_set(heap, meld(*heap, timer));
}

void timers_remove(struct rt_timer **heap, struct rt_timer *timer)
{
	struct rt_timer *children = meld_siblings(timer->child);

	ASSERT(timer->previous != NULL);
	if (timer == *heap) {
		root_set(heap, children);
	} else {
		if (timer->previous->child == timer)
			timer->previous->child = timer->sibling;
		else
			timer->previous->sibling = timer->sibling;
		if (timer->sibling)
			timer->sibling->previous = timer->previous;
		root_set(heap, meld(*heap, children));
	}
	timer->child = NULL;
	timer->sibling = NULL;
	timer->previous = NULL;
}

uint32_t timers_fire(struct rt_core *c, uint64_t now)
{
	uint32_t fired = 0;

	while (c->timers && c->timers->deadline <= now) {
		struct rt_timer *timer = c->timers;

		timers_remove(&c->timers, timer);
		timer->fire(timer->arg);
		fired++;
	}
	return fired;
}

uint64_t timers_next(const struct rt_core *c)
{
	return c->timers ? c->timers->deadline : CLOCK_NEVER;
}

void rt_timer_arm(struct rt_timer *timer, uint64_t deadline)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL);
	timer->deadline = deadline;
	timers_insert(&c->timers, timer);
}

bool rt_timer_disarm(struct rt_timer *timer)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL);
	if (timer->previous == NULL)
		return false;
	timers_remove(&c->timers, timer);
	return true;
}
