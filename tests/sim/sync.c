/*
 * The patterns that everything else is built of, each with the mistake that it invites.
 */
#include "scenario.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/spinlock.h"
#include "base/status.h"
#include "rt/kthread.h"

#define PARTIES_MAX 4

/* What a scenario is told: whether to make the mistake. */
static bool mistake_no = false;
static bool mistake_yes = true;

static bool mistaken(const void *arg)
{
	return *(const bool *)arg;
}

/* Runs main(args[i]) on a processor each, and waits for all. */
static void run_all(uint32_t count, void (*const mains[])(void *), void *arg)
{
	struct kthread threads[PARTIES_MAX];

	for (uint32_t i = 0; i < count; i++) {
		threads[i] = (struct kthread){.main = mains[i],
					      .arg = arg,
					      .name = "party",
					      .processor = KTHREAD_ANYWHERE};
		sim_check(status_ok(kthread_start(&threads[i])), "a kthread did not start");
	}
	for (uint32_t i = 0; i < count; i++)
		kthread_join(&threads[i]);
}

/* ---- Dekker: park and wake ------------------------------------------------------------------- */

/*
 * A core that wants to sleep says so and looks for work once more; a waker leaves work and looks
 * whether the core sleeps. Each must see the other's store or the fence is missing.
 */
struct park {
	bool mistake;
	struct atomic_u32 work;
	struct atomic_u32 parked;
	struct atomic_u32 futex;
};

static void park_sleeper(void *arg)
{
	struct park *p = arg;

	while (atomic_u32_load(&p->work, ORDER_ACQUIRE) == 0) {
		atomic_u32_store(&p->parked, 1, ORDER_RELAXED);
		if (!p->mistake)
			atomic_fence(ORDER_SEQ_CST);
		if (atomic_u32_load(&p->work, ORDER_ACQUIRE) == 0)
			kthread_sleep(&p->futex, 0, CLOCK_NEVER);
		atomic_u32_store(&p->futex, 0, ORDER_RELAXED);
		atomic_u32_store(&p->parked, 0, ORDER_RELAXED);
	}
}

static void park_waker(void *arg)
{
	struct park *p = arg;

	atomic_u32_store(&p->work, 1, ORDER_RELEASE);
	atomic_fence(ORDER_SEQ_CST);
	if (atomic_u32_load(&p->parked, ORDER_RELAXED)) {
		atomic_u32_store(&p->futex, 1, ORDER_RELEASE);
		kthread_wake(&p->futex, 1);
	}
}

static void park_body(void *arg)
{
	struct park p = {.mistake = mistaken(arg)};

	run_all(2, (void (*const[])(void *)){park_sleeper, park_waker}, &p);
}

/* ---- message passing ------------------------------------------------------------------------- */

/* Data is written plainly and published by a flag: the flag's store must release. */
struct message {
	bool mistake;
	uint64_t data;
	struct atomic_u32 ready;
};

static void message_sender(void *arg)
{
	struct message *m = arg;

	SHARED_WRITE(&m->data, sizeof(m->data));
	m->data = 42;
	atomic_u32_store(&m->ready, 1, m->mistake ? ORDER_RELAXED : ORDER_RELEASE);
}

static void message_receiver(void *arg)
{
	struct message *m = arg;

	while (atomic_u32_load(&m->ready, ORDER_ACQUIRE) == 0)
		cpu_relax();
	SHARED_READ(&m->data, sizeof(m->data));
	sim_check(m->data == 42, "the flag came before the data");
}

static void message_body(void *arg)
{
	struct message m = {.mistake = mistaken(arg)};

	run_all(2, (void (*const[])(void *)){message_sender, message_receiver}, &m);
}

/* ---- spin lock ------------------------------------------------------------------------------- */

#define LOCK_ROUNDS 6

struct locked {
	bool mistake;
	struct spinlock lock;
	uint64_t count;
};

static void lock_party(void *arg)
{
	struct locked *l = arg;

	for (uint32_t i = 0; i < LOCK_ROUNDS; i++) {
		spinlock_lock(&l->lock);
		SHARED_WRITE(&l->count, sizeof(l->count));
		l->count++;
		if (l->mistake)
			atomic_u32_store(&l->lock.held, 0, ORDER_RELAXED);
		else
			spinlock_unlock(&l->lock);
	}
}

static void lock_body(void *arg)
{
	struct locked l = {.mistake = mistaken(arg)};

	run_all(3, (void (*const[])(void *)){lock_party, lock_party, lock_party}, &l);
	sim_check(l.count == 3 * LOCK_ROUNDS, "counted %llu under the lock",
		  (unsigned long long)l.count);
}

/* ---- ring of one producer and one consumer --------------------------------------------------- */

#define RING_CELLS 4
#define RING_ITEMS 16

enum ring_mistake { RING_RIGHT, RING_HEAD_RELAXED, RING_TAIL_RELAXED };

struct ring {
	enum ring_mistake mistake;
	struct atomic_u32 head; /* next to be written */
	struct atomic_u32 tail; /* next to be read */
	uint64_t cells[RING_CELLS];
};

static void ring_producer(void *arg)
{
	struct ring *r = arg;

	for (uint32_t i = 0; i < RING_ITEMS; i++) {
		uint64_t *cell = &r->cells[i % RING_CELLS];

		while (i - atomic_u32_load(&r->tail, ORDER_ACQUIRE) == RING_CELLS)
			cpu_relax();
		SHARED_WRITE(cell, sizeof(*cell));
		*cell = i;
		atomic_u32_store(&r->head, i + 1,
				 r->mistake == RING_HEAD_RELAXED ? ORDER_RELAXED : ORDER_RELEASE);
	}
}

static void ring_consumer(void *arg)
{
	struct ring *r = arg;

	for (uint32_t i = 0; i < RING_ITEMS; i++) {
		const uint64_t *cell = &r->cells[i % RING_CELLS];

		while (atomic_u32_load(&r->head, ORDER_ACQUIRE) == i)
			cpu_relax();
		SHARED_READ(cell, sizeof(*cell));
		sim_check(*cell == i, "cell %u holds %llu", i, (unsigned long long)*cell);
		atomic_u32_store(&r->tail, i + 1,
				 r->mistake == RING_TAIL_RELAXED ? ORDER_RELAXED : ORDER_RELEASE);
	}
}

static enum ring_mistake ring_right = RING_RIGHT;
static enum ring_mistake ring_head = RING_HEAD_RELAXED;
static enum ring_mistake ring_tail = RING_TAIL_RELAXED;

static void ring_body(void *arg)
{
	struct ring r = {.mistake = *(const enum ring_mistake *)arg};

	run_all(2, (void (*const[])(void *)){ring_producer, ring_consumer}, &r);
}

/* ---- Treiber's stack ------------------------------------------------------------------------- */

/*
 * Nodes are reused, so a compare-and-swap of the bare top succeeds although the stack has changed
 * beneath (ABA): the top that was read is back, its successor is not. A tag that counts the pops
 * tells the two apart.
 */
#define STACK_NODES  3
#define STACK_ROUNDS 4
#define STACK_TAG    (1ull << 32)

struct stack_node {
	struct atomic_u32 next;  /* index + 1 */
	struct atomic_u32 owned; /* popped and not yet pushed */
};

struct stack {
	bool mistake;
	struct atomic_u64 top; /* tag << 32 | index + 1 */
	struct stack_node nodes[STACK_NODES];
};

static void stack_push(struct stack *st, uint32_t node)
{
	struct stack_node *n = &st->nodes[node - 1];
	uint64_t top = atomic_u64_load(&st->top, ORDER_RELAXED);
	uint64_t wanted;

	atomic_u32_store(&n->owned, 0, ORDER_RELAXED);
	do {
		atomic_u32_store(&n->next, (uint32_t)top, ORDER_RELAXED);
		wanted = (top & ~(STACK_TAG - 1)) | node;
	} while (!atomic_u64_cas(&st->top, &top, wanted, ORDER_RELEASE));
}

/* The index + 1 of a node that is the caller's from now on; 0 from an empty stack. */
static uint32_t stack_pop(struct stack *st)
{
	uint64_t top = atomic_u64_load(&st->top, ORDER_ACQUIRE);
	uint64_t wanted;

	do {
		if ((uint32_t)top == 0)
			return 0;
		const struct stack_node *n = &st->nodes[(uint32_t)top - 1];
		uint32_t next = atomic_u32_load(&n->next, ORDER_RELAXED);

		wanted = st->mistake ? next : ((top & ~(STACK_TAG - 1)) + STACK_TAG) | next;
	} while (!atomic_u64_cas(&st->top, &top, wanted, ORDER_ACQ_REL));

	uint32_t node = (uint32_t)top;

	sim_check(atomic_u32_exchange(&st->nodes[node - 1].owned, 1, ORDER_RELAXED) == 0,
		  "node %u was popped twice", node);
	return node;
}

static void stack_party(void *arg)
{
	struct stack *st = arg;

	for (uint32_t i = 0; i < STACK_ROUNDS; i++) {
		uint32_t first = stack_pop(st);
		uint32_t second = stack_pop(st);

		if (first)
			stack_push(st, first);
		if (second)
			stack_push(st, second);
	}
}

static void stack_body(void *arg)
{
	struct stack st = {.mistake = mistaken(arg)};
	uint32_t left = 0;

	for (uint32_t i = 1; i <= STACK_NODES; i++)
		stack_push(&st, i);
	run_all(3, (void (*const[])(void *)){stack_party, stack_party, stack_party}, &st);
	while (stack_pop(&st))
		left++;
	sim_check(left == STACK_NODES, "%u nodes of %u are left", left, STACK_NODES);
}

/* ---- event count ----------------------------------------------------------------------------- */

/*
 * A consumer that finds nothing takes the count, looks once more, and sleeps while the count is
 * what it took. Without the second look, an event between the first look and the taking is lost.
 */
#define EVENTS 6

struct events {
	bool mistake;
	struct atomic_u32 count;
	struct atomic_u32 sleepers;
	struct atomic_u32 items;
};

static bool events_take(struct events *e)
{
	uint32_t items = atomic_u32_load(&e->items, ORDER_ACQUIRE);

	while (items) {
		if (atomic_u32_cas(&e->items, &items, items - 1, ORDER_ACQUIRE))
			return true;
	}
	return false;
}

static void events_consumer(void *arg)
{
	struct events *e = arg;

	for (uint32_t i = 0; i < EVENTS; i++) {
		while (!events_take(e)) {
			atomic_u32_add(&e->sleepers, 1, ORDER_RELAXED);
			atomic_fence(ORDER_SEQ_CST);

			uint32_t key = atomic_u32_load(&e->count, ORDER_ACQUIRE);
			bool taken = !e->mistake && events_take(e);

			if (!taken)
				kthread_sleep(&e->count, key, CLOCK_NEVER);
			atomic_u32_add(&e->sleepers, (uint32_t)-1, ORDER_RELAXED);
			if (taken)
				break;
		}
	}
}

static void events_producer(void *arg)
{
	struct events *e = arg;

	for (uint32_t i = 0; i < EVENTS; i++) {
		atomic_u32_add(&e->items, 1, ORDER_RELEASE);
		atomic_fence(ORDER_SEQ_CST);
		if (atomic_u32_load(&e->sleepers, ORDER_RELAXED) == 0)
			continue;
		atomic_u32_add(&e->count, 1, ORDER_RELEASE);
		kthread_wake(&e->count, 1);
	}
}

static void events_body(void *arg)
{
	struct events e = {.mistake = mistaken(arg)};

	run_all(4,
		(void (*const[])(void *)){events_consumer, events_producer, events_consumer,
					  events_producer},
		&e);
}

/* ---- sequence lock --------------------------------------------------------------------------- */

/*
 * Readers copy without a lock and look whether the sequence moved meanwhile. The copy must not be
 * read after the second look: that takes an acquire fence in front of it (Boehm, MSPC 2012).
 */
#define SEQUENCE_ROUNDS 5

struct sequence {
	bool mistake;
	struct atomic_u32 sequence; /* odd while it is written */
	struct atomic_u32 one;
	struct atomic_u32 two; /* equal to `one` in every consistent copy */
};

static void sequence_writer(void *arg)
{
	struct sequence *q = arg;

	for (uint32_t i = 1; i <= SEQUENCE_ROUNDS; i++) {
		atomic_u32_store(&q->sequence, 2 * i - 1, ORDER_RELAXED);
		atomic_fence(ORDER_RELEASE);
		atomic_u32_store(&q->one, i, ORDER_RELAXED);
		atomic_u32_store(&q->two, i, ORDER_RELAXED);
		atomic_u32_store(&q->sequence, 2 * i, ORDER_RELEASE);
	}
}

static void sequence_reader(void *arg)
{
	struct sequence *q = arg;

	for (uint32_t copied = 0; copied < SEQUENCE_ROUNDS;) {
		uint32_t before = atomic_u32_load(&q->sequence, ORDER_ACQUIRE);
		uint32_t one = atomic_u32_load(&q->one, ORDER_RELAXED);
		uint32_t two = atomic_u32_load(&q->two, ORDER_RELAXED);

		if (!q->mistake)
			atomic_fence(ORDER_ACQUIRE);
		if ((before & 1) || atomic_u32_load(&q->sequence, ORDER_RELAXED) != before) {
			cpu_relax();
			continue;
		}
		sim_check(one == two, "a copy of %u and %u passed as consistent", one, two);
		copied++;
	}
}

static void sequence_body(void *arg)
{
	struct sequence q = {.mistake = mistaken(arg)};

	run_all(2, (void (*const[])(void *)){sequence_writer, sequence_reader}, &q);
}

#define RIGHT(id, text, function, which)                                                           \
	{                                                                                          \
		.name = (id), .about = (text), .body = (function), .arg = &(which), .seeds = 1000  \
	}
#define PLANTED(id, text, function, which, verdicts)                                               \
	{                                                                                          \
		.name = (id), .about = (text), .body = (function), .arg = &(which),                \
		.planted = true, .finds = (verdicts), .seeds = 500                                 \
	}

const struct scenario scenarios_sync[] = {
	RIGHT("park", "Dekker's handshake between a core that parks and its waker", park_body,
	      mistake_no),
	PLANTED("park-no-fence", "the sleeper's sequentially consistent fence is missing",
		park_body, mistake_yes, 1 << SIM_DEADLOCK),
	RIGHT("message", "plain data published by a flag", message_body, mistake_no),
	PLANTED("message-relaxed", "the flag is stored without release", message_body, mistake_yes,
		1 << SIM_RACE),
	RIGHT("lock", "the spin lock of base", lock_body, mistake_no),
	PLANTED("lock-relaxed", "unlocked without release", lock_body, mistake_yes, 1 << SIM_RACE),
	RIGHT("ring", "a ring of one producer and one consumer", ring_body, ring_right),
	PLANTED("ring-head-relaxed", "the producer publishes without release", ring_body, ring_head,
		1 << SIM_RACE),
	PLANTED("ring-tail-relaxed", "the consumer gives cells back without release", ring_body,
		ring_tail, 1 << SIM_RACE),
	RIGHT("stack", "Treiber's stack with tags", stack_body, mistake_no),
	PLANTED("stack-aba", "without tags: ABA", stack_body, mistake_yes, 1 << SIM_ASSERTION),
	RIGHT("events", "an event count with two consumers and two producers", events_body,
	      mistake_no),
	PLANTED("events-lost", "the second look before sleeping is missing: a lost wake-up",
		events_body, mistake_yes, 1 << SIM_DEADLOCK),
	RIGHT("sequence", "a sequence lock with fences", sequence_body, mistake_no),
	PLANTED("sequence-no-fence", "the reader's acquire fence is missing", sequence_body,
		mistake_yes, 1 << SIM_ASSERTION),
};
const size_t scenarios_sync_count = ARRAY_SIZE(scenarios_sync);
