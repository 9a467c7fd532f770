#include "base/trace.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/line.h"
#include "base/os.h"

_Static_assert((TRACE_EVENTS & (TRACE_EVENTS - 1)) == 0, "the ring's index is a mask");
_Static_assert(sizeof(struct trace_event) == CACHE_LINE, "an event is one cache line");

/* Zero pages until written: 256 KiB for each slot that is used. */
static struct trace_ring rings[SELF_SLOTS];

struct trace_ring *trace_ring_of(uint32_t slot)
{
	ASSERT(slot < SELF_SLOTS);
	return &rings[slot];
}

static ALWAYS_INLINE uint64_t number_take(struct self *s)
{
	struct atomic_u64 *next = &s->trace->next;

	if (unlikely(s->slot == SELF_SLOT_SHARED))
		return atomic_u64_quiet_add(next, 1, ORDER_RELAXED);

	uint64_t n = atomic_u64_quiet_load(next, ORDER_RELAXED);

	atomic_u64_quiet_store(next, n + 1, ORDER_RELAXED);
	return n;
}

void trace_event(const char *format, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct self *s = self();
	uint64_t n = number_take(s);
	struct trace_event *e = &s->trace->events[n % TRACE_EVENTS];

	/* a seqlock's writer: the fence keeps the fields from being seen before the 0 */
	atomic_u64_quiet_store(&e->sequence, 0, ORDER_RELAXED);
	atomic_quiet_fence(ORDER_RELEASE);
	atomic_u64_quiet_store(&e->cycles, clock_cycles(), ORDER_RELAXED);
	atomic_u64_quiet_store(&e->format, (uint64_t)(uintptr_t)format, ORDER_RELAXED);
	atomic_u64_quiet_store(&e->words[0], a, ORDER_RELAXED);
	atomic_u64_quiet_store(&e->words[1], b, ORDER_RELAXED);
	atomic_u64_quiet_store(&e->words[2], c, ORDER_RELAXED);
	atomic_u64_quiet_store(&e->words[3], d, ORDER_RELAXED);
	atomic_u64_quiet_store(&e->sequence, n + 1, ORDER_RELEASE);
}

/* Event `n` of a slot; false if it is being written or was overwritten. */
static bool event_read(uint32_t slot, uint64_t n, struct trace_record *ret)
{
	const struct trace_event *e = &rings[slot].events[n % TRACE_EVENTS];
	struct trace_record r = {.slot = slot};

	if (atomic_u64_quiet_load(&e->sequence, ORDER_ACQUIRE) != n + 1)
		return false;
	r.cycles = atomic_u64_quiet_load(&e->cycles, ORDER_RELAXED);
	r.format = (const char *)(uintptr_t)atomic_u64_quiet_load(&e->format, ORDER_RELAXED);
	for (size_t i = 0; i < TRACE_WORDS; i++)
		r.words[i] = atomic_u64_quiet_load(&e->words[i], ORDER_RELAXED);
	atomic_quiet_fence(ORDER_ACQUIRE);
	if (atomic_u64_quiet_load(&e->sequence, ORDER_RELAXED) != n + 1)
		return false;
	*ret = r;
	return true;
}

/* The slot's newest readable event before cursor->at; moves over what cannot be read. */
static bool look_back(struct trace_cursor *c, uint32_t slot, uint64_t first,
		      struct trace_record *ret)
{
	while (c->at[slot] > first) {
		if (event_read(slot, c->at[slot] - 1, ret))
			return true;
		c->at[slot]--;
	}
	return false;
}

void trace_cursor_init(struct trace_cursor *c, uint64_t count)
{
	uint64_t first[SELF_SLOTS];

	c->slots = self_slots_used();
	for (uint32_t s = 0; s < c->slots; s++) {
		c->end[s] = atomic_u64_quiet_load(&rings[s].next, ORDER_ACQUIRE);
		c->at[s] = c->end[s];
		first[s] = c->end[s] > TRACE_EVENTS ? c->end[s] - TRACE_EVENTS : 0;
	}
	/* walk back from the ends, always in the slot that has the latest event */
	for (; count > 0; count--) {
		struct trace_record r, latest = {0};
		bool found = false;

		for (uint32_t s = 0; s < c->slots; s++)
			if (look_back(c, s, first[s], &r) && (!found || r.cycles > latest.cycles)) {
				latest = r;
				found = true;
			}
		if (!found)
			return;
		c->at[latest.slot]--;
	}
}

bool trace_cursor_next(struct trace_cursor *c, struct trace_record *ret)
{
	struct trace_record r;
	bool found = false;

	for (uint32_t s = 0; s < c->slots; s++) {
		while (c->at[s] < c->end[s] && !event_read(s, c->at[s], &r))
			c->at[s]++;
		if (c->at[s] < c->end[s] && (!found || r.cycles < ret->cycles)) {
			*ret = r;
			found = true;
		}
	}
	if (found)
		c->at[ret->slot]++;
	return found;
}

static uint64_t last_cycles(const struct trace_cursor *c)
{
	struct trace_record r;
	uint64_t last = 0;

	for (uint32_t s = 0; s < c->slots; s++)
		if (c->end[s] > 0 && event_read(s, c->end[s] - 1, &r) && r.cycles > last)
			last = r.cycles;
	return last;
}

/* "   -12.345 us [3] arena 1 grew to 7 pages" */
static void record_print(struct line *l, const struct trace_record *r, uint64_t last)
{
	uint64_t ns = r->cycles < last ? clock_cycles_to_ns(last - r->cycles) : 0;

	line_clear(l);
	for (uint64_t limit = 100000000; limit >= 10000 && ns < limit; limit /= 10)
		line_char(l, ' ');
	line_char(l, '-');
	line_u64(l, ns / 1000);
	line_char(l, '.');
	line_u64_padded(l, ns % 1000, 3);
	line_text(l, " us [");
	line_u64(l, r->slot);
	line_text(l, "] ");
	line_words(l, r->format, r->words, TRACE_WORDS);
	if (line_room(l) == 0)
		l->used--;
	line_char(l, '\n');
}

void trace_dump_fd(int fd, uint64_t count)
{
	struct trace_cursor cursor;
	struct trace_record r;
	char text[256];
	struct line l;

	line_init(&l, text, sizeof(text));
	trace_cursor_init(&cursor, count);
	for (uint64_t last = last_cycles(&cursor); trace_cursor_next(&cursor, &r);) {
		record_print(&l, &r, last);
		os_write_text(fd, l.text, l.used);
	}
}

void trace_dump(FILE *to, uint64_t count)
{
	struct trace_cursor cursor;
	struct trace_record r;
	char text[256];
	struct line l;

	line_init(&l, text, sizeof(text));
	trace_cursor_init(&cursor, count);
	for (uint64_t last = last_cycles(&cursor); trace_cursor_next(&cursor, &r);) {
		record_print(&l, &r, last);
		fwrite(l.text, 1, l.used, to);
	}
}
