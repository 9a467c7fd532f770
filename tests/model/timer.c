/*
 * The timers' pairing heap against an array: insertions, removals of any element and of the first,
 * with few and with many equal deadlines; the structure's own links are checked all along.
 */
#include "rt/rt_int.h"

#include "model.h"

#define TIMERS 600
#define ROUNDS 3000
#define STEPS  400

static struct rt_timer timers[TIMERS];
static bool armed[TIMERS];
static uint32_t armed_count;

/* Every node is reached once, no earlier than its parent, and its links lead back. */
static uint32_t check_tree(const struct rt_timer *node)
{
	uint32_t count = 1;
	const struct rt_timer *previous = node;

	for (const struct rt_timer *child = node->child; child; child = child->sibling) {
		MODEL_CHECK(child->deadline >= node->deadline);
		MODEL_CHECK(child->previous == previous);
		count += check_tree(child);
		previous = child;
	}
	return count;
}

static void check(const struct rt_timer *heap)
{
	uint64_t earliest = CLOCK_NEVER;

	MODEL_CHECK((heap == NULL) == (armed_count == 0));
	if (!heap)
		return;
	MODEL_CHECK(heap->previous == heap && heap->sibling == NULL);
	MODEL_CHECK(check_tree(heap) == armed_count);
	for (int i = 0; i < TIMERS; i++) {
		MODEL_CHECK(armed[i] == (timers[i].previous != NULL));
		if (armed[i] && timers[i].deadline < earliest)
			earliest = timers[i].deadline;
	}
	MODEL_CHECK(heap->deadline == earliest);
}

static void arm(struct rt_timer **heap, struct random *r, uint32_t i, uint64_t deadlines)
{
	timers[i].deadline = random_below(r, deadlines);
	timers_insert(heap, &timers[i]);
	armed[i] = true;
	armed_count++;
}

static void disarm(struct rt_timer **heap, uint32_t i)
{
	timers_remove(heap, &timers[i]);
	armed[i] = false;
	armed_count--;
}

static void step(struct rt_timer **heap, struct random *r, uint64_t deadlines, uint32_t arm_in_8)
{
	uint32_t i = (uint32_t)random_below(r, TIMERS);

	if (random_below(r, 8) < arm_in_8) {
		if (!armed[i])
			arm(heap, r, i, deadlines);
	} else if (random_one_in(r, 2)) {
		if (armed[i])
			disarm(heap, i);
	} else if (*heap) {
		disarm(heap, (uint32_t)(*heap - timers));
	}
}

/* What is left comes out in order. */
static void drain(struct rt_timer **heap)
{
	uint64_t last = 0;

	while (*heap) {
		MODEL_CHECK((*heap)->deadline >= last);
		last = (*heap)->deadline;
		disarm(heap, (uint32_t)(*heap - timers));
	}
	MODEL_CHECK(armed_count == 0);
}

int main(int argc, char **argv)
{
	struct random r;
	struct rt_timer *heap = NULL;

	model_begin(argc, argv, &r);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t deadlines = random_one_in(&r, 3) ? 4 : 1ull << random_between(&r, 2, 62);
		uint32_t arm_in_8 = (uint32_t)random_between(&r, 2, 7);

		for (int i = 0; i < STEPS; i++) {
			step(&heap, &r, deadlines, arm_in_8);
			if (i % 16 == 0)
				check(heap);
		}
		drain(&heap);
		check(heap);
	}
	return 0;
}
