#include "sim/memory.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Tables of the run. They hold what one run can touch and live in address space that is reserved
 * once and touched as needed; a run that needs more is too large to be a good test.
 */
#define LOCATIONS_MAX (1u << 17)
#define INDEX_SLOTS   (2 * LOCATIONS_MAX)
#define MESSAGES_MAX  (1u << 20)

struct message {
	struct view view;
	uint32_t next_free;
};

static struct location *locations;
static uint32_t locations_used;
static uint32_t *index_slots; /* open addressing: location + 1, 0 for a free slot */
static struct message *messages;
static uint32_t messages_used;
static uint32_t messages_free = NO_MESSAGE;

static void *reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT(p != MAP_FAILED);
	return p;
}

static uint32_t slot_of(uintptr_t at)
{
	return (uint32_t)(((uint64_t)at * 0x9e3779b97f4a7c15ull) >> 40) % INDEX_SLOTS;
}

void memory_reset(void)
{
	if (!locations) {
		locations = reserve(LOCATIONS_MAX * sizeof(*locations));
		index_slots = reserve(INDEX_SLOTS * sizeof(*index_slots));
		messages = reserve(MESSAGES_MAX * sizeof(*messages));
	}
	for (uint32_t i = 0; i < locations_used; i++) {
		uint32_t slot = slot_of(locations[i].at);

		/* clears its whole cluster: every slot that this run filled lies in one */
		while (index_slots[slot]) {
			index_slots[slot] = 0;
			slot = (slot + 1) % INDEX_SLOTS;
		}
	}
	locations_used = 0;
	messages_used = 0;
	messages_free = NO_MESSAGE;
}

static struct location *location_find(uintptr_t at, uint32_t *ret_slot)
{
	uint32_t slot = slot_of(at);

	while (index_slots[slot]) {
		struct location *l = &locations[index_slots[slot] - 1];

		if (l->at == at)
			return l;
		slot = (slot + 1) % INDEX_SLOTS;
	}
	*ret_slot = slot;
	return NULL;
}

static struct location *location_create(struct sim *s, uintptr_t at, uint32_t slot)
{
	if (locations_used == LOCATIONS_MAX)
		finding(s, SIM_LIVELOCK, "more than %u atomics in one run", LOCATIONS_MAX);

	struct location *l = &locations[locations_used];

	index_slots[slot] = ++locations_used;
	l->at = at;
	l->number = locations_used;
	l->valid = false;
	return l;
}

/* ---- messages -------------------------------------------------------------------------------- */

uint32_t message_create(const struct view *view)
{
	uint32_t m = messages_free;

	if (m != NO_MESSAGE) {
		messages_free = messages[m].next_free;
	} else {
		/* at most HISTORY for each location, and few locations are written at all */
		ASSERT(messages_used < MESSAGES_MAX);
		m = messages_used++;
	}
	messages[m].view = *view;
	return m;
}

const struct view *message_view(uint32_t message)
{
	return &messages[message].view;
}

static void message_free(uint32_t message)
{
	if (message == NO_MESSAGE)
		return;
	messages[message].next_free = messages_free;
	messages_free = message;
}

/* ---- histories ------------------------------------------------------------------------------- */

static void location_clear(struct location *l)
{
	for (uint32_t n = l->first; l->valid && n <= l->last; n++)
		message_free(store_at(l, n)->message);
	l->valid = false;
}

static void location_begin(struct sim *s, struct location *l, uint64_t value)
{
	location_clear(l);
	l->first = l->last = 0;
	l->valid = true;

	/* moment 0 of every processor: nobody may miss the initial value's successors for it */
	struct store *initial = store_at(l, 0);

	*initial = (struct store){
		.value = value, .step = s->steps, .message = NO_MESSAGE, .sequenced_at = NEVER};
}

struct location *location_get(struct sim *s, const void *at, uint64_t value)
{
	uint32_t slot;
	struct location *l = location_find((uintptr_t)at, &slot);

	if (!l)
		l = location_create(s, (uintptr_t)at, slot);
	if (!l->valid || store_at(l, l->last)->value != value)
		location_begin(s, l, value);
	return l;
}

struct store *location_append(struct sim *s, struct location *l, uint64_t value)
{
	struct processor *p = s->current;

	if (store_at(l, l->last)->value != value)
		s->quiet = 0;
	l->last++;

	struct store *e = store_at(l, l->last);

	if (l->last - l->first == HISTORY) {
		message_free(e->message);
		l->first++;
	}
	e->value = value;
	e->step = s->steps;
	e->message = NO_MESSAGE;
	e->sequenced_at = NEVER;
	memset(&e->seen_at, 0xff, sizeof(e->seen_at));
	e->seen_at.at[p->index] = processor_time(p);
	return e;
}

uint32_t memory_number(struct sim *s, const void *at, unsigned width)
{
	uint64_t value = 0;

	memcpy(&value, at, width);
	return location_get(s, at, value)->number;
}

void memory_forget(const void *at, size_t bytes)
{
	uintptr_t first = (uintptr_t)at;

	if (bytes / sizeof(uint32_t) > locations_used) {
		for (uint32_t i = 0; i < locations_used; i++) {
			if (locations[i].at - first < bytes)
				location_clear(&locations[i]);
		}
		return;
	}
	for (uintptr_t a = first & ~(uintptr_t)3; a < first + bytes; a += sizeof(uint32_t)) {
		uint32_t slot;
		struct location *l = location_find(a, &slot);

		if (l)
			location_clear(l);
	}
}

void sim_forget(const void *at, size_t bytes)
{
	if (!sim_now_running)
		return;
	memory_forget(at, bytes);
	race_forget(at, bytes);
}
