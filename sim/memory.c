#include "sim/memory.h"

#include "base/assert.h"
#include "sim/table.h"

#include <string.h>
#include <sys/mman.h>

/* What one run can touch: one that needs more is too large to be a good test. */
#define LOCATIONS_MAX (1u << 17)
#define MESSAGES_MAX  (1u << 20)

struct message {
	struct view view;
	uint32_t next_free;
};

static struct table locations;
static struct message *messages;
static uint32_t messages_used;
static uint32_t messages_free = NO_MESSAGE;

void memory_reset(void)
{
	table_reset(&locations, sizeof(struct location), LOCATIONS_MAX);
	if (!messages) {
		messages = mmap(NULL, MESSAGES_MAX * sizeof(*messages), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		ASSERT(messages != MAP_FAILED);
	}
	messages_used = 0;
	messages_free = NO_MESSAGE;
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
	struct location *l = table_find(&locations, (uintptr_t)at);

	if (!l) {
		l = table_add(&locations, (uintptr_t)at);
		if (!l)
			finding(s, SIM_LIVELOCK, "more than %u atomics in one run", LOCATIONS_MAX);
		l->number = locations.used;
	}
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

	if (bytes / sizeof(uint32_t) > locations.used) {
		for (uint32_t i = 0; i < locations.used; i++) {
			struct location *l = table_item(&locations, i);

			if (l->at - first < bytes)
				location_clear(l);
		}
		return;
	}
	for (uintptr_t a = first & ~(uintptr_t)3; a < first + bytes; a += sizeof(uint32_t)) {
		struct location *l = table_find(&locations, a);

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
