/*
 * Races between plain accesses, after FastTrack (Flanagan and Freund, PLDI 2009): of each word the
 * last write, and the last read or, when several processors read it side by side, the last of each.
 * An access that does not happen after all that conflict with it is a race, whether or not this run
 * came close to it.
 *
 * A word is four bytes. Accesses to other bytes of one word do not conflict, but of what was done
 * to them only the last is remembered: that overlooks races in packed bytes, and invents none.
 */
#include "base/assert.h"
#include "sim/sim_int.h"
#include "sim/table.h"

#include <string.h>
#include <sys/mman.h>

#define WORD_BYTES  4
#define CELL_WORDS  2
#define CELL_BYTES  (CELL_WORDS * WORD_BYTES)
#define CELLS_MAX   (1u << 18)
#define READERS_MAX (1u << 16)
#define NO_READERS  0

/* Where an access was made is an address in the code, or with this bit that of a name. */
#define NAMED (1ull << 63)

/* The last access of one processor. */
struct epoch {
	uint32_t time; /* 0: none */
	uint8_t by;
	uint8_t mask; /* which of the bytes */
};

/* The last read of each processor, for words that several read. */
struct readers {
	uint32_t time[SIM_PROCESSORS_MAX];
	uint8_t mask[SIM_PROCESSORS_MAX];
	uint32_t next_free;
};

struct word {
	struct epoch write;
	struct epoch read;
	uint32_t readers; /* instead of `read`; NO_READERS */
	uint64_t write_place;
	uint64_t read_place; /* of the last read */
};

struct cell {
	uintptr_t at; /* a multiple of CELL_BYTES; first: see table.h */
	struct word words[CELL_WORDS];
};

static struct table cells;
static struct readers *readers; /* number 0 is not used */
static uint32_t readers_used;
static uint32_t readers_free;

void race_reset(void)
{
	table_reset(&cells, sizeof(struct cell), CELLS_MAX);
	if (!readers) {
		readers = mmap(NULL, READERS_MAX * sizeof(*readers), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		ASSERT(readers != MAP_FAILED);
	}
	readers_used = 1;
	readers_free = NO_READERS;
}

static uint32_t readers_take(struct sim *s)
{
	uint32_t r = readers_free;

	if (r != NO_READERS) {
		readers_free = readers[r].next_free;
	} else {
		if (readers_used == READERS_MAX)
			finding(s, SIM_LIVELOCK, "more than %u words read by several", READERS_MAX);
		r = readers_used++;
	}
	memset(&readers[r], 0, sizeof(readers[r]));
	return r;
}

static void reads_clear(struct word *w)
{
	if (w->readers != NO_READERS) {
		readers[w->readers].next_free = readers_free;
		readers_free = w->readers;
		w->readers = NO_READERS;
	}
	w->read.time = 0;
}

static struct cell *cell_get(struct sim *s, uintptr_t at)
{
	struct cell *c = table_find(&cells, at);

	if (c)
		return c;
	c = table_add(&cells, at);
	if (!c)
		finding(s, SIM_LIVELOCK, "more than %u words of plain data in one run", CELLS_MAX);
	return c;
}

static void cell_clear(struct cell *c)
{
	for (uint32_t i = 0; i < CELL_WORDS; i++) {
		reads_clear(&c->words[i]);
		c->words[i] = (struct word){0};
	}
}

void race_forget(const void *at, size_t bytes)
{
	uintptr_t first = (uintptr_t)at & ~(uintptr_t)(CELL_BYTES - 1);
	uintptr_t end = (uintptr_t)at + bytes;

	if ((end - first) / CELL_BYTES > cells.used) {
		for (uint32_t i = 0; i < cells.used; i++) {
			struct cell *c = table_item(&cells, i);

			if (c->at - first < end - first)
				cell_clear(c);
		}
		return;
	}
	for (uintptr_t a = first; a < end; a += CELL_BYTES) {
		struct cell *c = table_find(&cells, a);

		if (c)
			cell_clear(c);
	}
}

/* ---- the rule -------------------------------------------------------------------------------- */

static const char *place_name(uint64_t place)
{
	const void *at = (const void *)(uintptr_t)(place & ~NAMED);

	return place & NAMED ? at : symbol_name(at);
}

static NORETURN void race_found(struct sim *s, const char *kind, uint32_t other,
				uint64_t other_place, uint64_t place)
{
	finding(s, SIM_RACE, "race: %s: %s on processor %u (%s) after %s on processor %u (%s)",
		kind, place_name(place), s->current->index, s->current->name,
		place_name(other_place), other, s->processors[other].name);
}

/* Whether that access conflicts with one of the current processor to these bytes. */
static bool conflicts(const struct sim *s, uint32_t time, uint32_t by, uint8_t their, uint8_t mask)
{
	return (their & mask) && time > s->current->view.happened.at[by];
}

static void epoch_note(uint32_t *time, uint8_t *their, uint32_t now, uint8_t mask)
{
	*their = *time == now ? *their | mask : mask;
	*time = now;
}

static void word_read(struct sim *s, struct word *w, uint8_t mask, uint64_t place)
{
	struct processor *p = s->current;
	uint32_t now = processor_time(p);
	uint8_t me = (uint8_t)p->index;

	w->read_place = place;
	if (w->readers == NO_READERS && w->read.time != 0 && w->read.by != me &&
	    w->read.time > p->view.happened.at[w->read.by]) {
		/* side by side with another's read */
		uint32_t r = readers_take(s);

		readers[r].time[w->read.by] = w->read.time;
		readers[r].mask[w->read.by] = w->read.mask;
		w->readers = r;
	}
	if (w->readers != NO_READERS) {
		struct readers *r = &readers[w->readers];

		epoch_note(&r->time[me], &r->mask[me], now, mask);
		return;
	}
	/* whoever happens after this read happens after the one before, too */
	if (w->read.by != me)
		w->read.time = 0;
	w->read.by = me;
	epoch_note(&w->read.time, &w->read.mask, now, mask);
}

static void reads_check(struct sim *s, const struct word *w, uint8_t mask, uint64_t place)
{
	if (w->readers == NO_READERS) {
		if (conflicts(s, w->read.time, w->read.by, w->read.mask, mask))
			race_found(s, "write after read", w->read.by, w->read_place, place);
		return;
	}
	const struct readers *r = &readers[w->readers];

	for (uint32_t i = 0; i < SIM_PROCESSORS_MAX; i++) {
		if (conflicts(s, r->time[i], i, r->mask[i], mask))
			race_found(s, "write after read", i, w->read_place, place);
	}
}

static void word_access(struct sim *s, struct word *w, uint8_t mask, bool write, uint64_t place)
{
	if (conflicts(s, w->write.time, w->write.by, w->write.mask, mask))
		race_found(s, write ? "write after write" : "read after write", w->write.by,
			   w->write_place, place);
	if (!write) {
		word_read(s, w, mask, place);
		return;
	}
	if (w->read.time != 0 || w->readers != NO_READERS) {
		reads_check(s, w, mask, place);
		reads_clear(w);
	}
	if (w->write.by != s->current->index)
		w->write.time = 0;
	w->write.by = (uint8_t)s->current->index;
	epoch_note(&w->write.time, &w->write.mask, processor_time(s->current), mask);
	w->write_place = place;
}

static void bytes_access(struct sim *s, const void *at, size_t bytes, bool write, uint64_t place)
{
	uintptr_t first = (uintptr_t)at;
	uintptr_t end = first + bytes;

	for (uintptr_t a = first & ~(uintptr_t)(CELL_BYTES - 1); a < end; a += CELL_BYTES) {
		uint32_t low = a < first ? (uint32_t)(first - a) : 0;
		uint32_t high = end - a < CELL_BYTES ? (uint32_t)(end - a) : CELL_BYTES;
		uint32_t mask = (0xffu << low) & (0xffu >> (CELL_BYTES - high));
		struct cell *c = cell_get(s, a);

		if (mask & 0xf)
			word_access(s, &c->words[0], mask & 0xf, write, place);
		if (mask >> WORD_BYTES)
			word_access(s, &c->words[1], (uint8_t)(mask >> WORD_BYTES), write, place);
	}
}

void race_access(struct sim *s, const void *at, size_t bytes, bool write, const void *pc)
{
	bytes_access(s, at, bytes, write, (uintptr_t)pc);
}

void sim_plain_access(const void *at, size_t bytes, bool write, const char *what)
{
	struct sim *s = sim_now_running;

	if (!s)
		return;
	step(s);
	bytes_access(s, at, bytes, write, (uintptr_t)what | NAMED);
	event_fold(s, EVENT_PLAIN, write, bytes);
}
