/*
 * Races between plain accesses, after FastTrack (Flanagan and Freund, PLDI 2009): of each eight
 * bytes the last write and, for each processor, the last read. An access that does not happen after
 * all conflicting ones is a race, whether or not this run came close to it.
 */
#include "sim/sim_int.h"
#include "sim/table.h"

#include <string.h>

#define CELL_BYTES 8
#define CELLS_MAX  (1u << 18)

/* Where an access was made: a name, or an address in the code. */
struct place {
	const char *what;
	const void *pc;
};

struct cell {
	uintptr_t at; /* a multiple of CELL_BYTES; first: see table.h */
	struct place write_place;
	struct place read_place; /* of the last read */
	struct vclock reads;
	uint32_t write_time; /* 0: never written */
	uint8_t writer;
	uint8_t write_mask; /* which of the bytes */
	uint8_t read_mask;
};

static struct table cells;

void race_reset(void)
{
	table_reset(&cells, sizeof(struct cell), CELLS_MAX);
}

static void cell_clear(struct cell *c)
{
	uintptr_t at = c->at;

	memset(c, 0, sizeof(*c));
	c->at = at;
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

void race_forget(const void *at, size_t bytes)
{
	uintptr_t first = (uintptr_t)at;

	if (bytes / CELL_BYTES > cells.used) {
		for (uint32_t i = 0; i < cells.used; i++) {
			struct cell *c = table_item(&cells, i);

			if (c->at - first < bytes)
				cell_clear(c);
		}
		return;
	}
	for (uintptr_t a = first & ~(uintptr_t)(CELL_BYTES - 1); a < first + bytes;
	     a += CELL_BYTES) {
		struct cell *c = table_find(&cells, a);

		if (c)
			cell_clear(c);
	}
}

static const char *place_name(struct place at)
{
	return at.what ? at.what : symbol_name(at.pc);
}

static NORETURN void race_found(struct sim *s, const char *kind, uint32_t other,
				struct place other_place, struct place place)
{
	finding(s, SIM_RACE, "race: %s: %s on processor %u (%s) after %s on processor %u (%s)",
		kind, place_name(place), s->current->index, s->current->name,
		place_name(other_place), other, s->processors[other].name);
}

static void cell_read(struct processor *p, struct cell *c, uint8_t mask, struct place place)
{
	if (c->reads.at[p->index] == processor_time(p) && (c->read_mask & mask) == mask)
		return;
	c->reads.at[p->index] = processor_time(p);
	c->read_mask |= mask;
	c->read_place = place;
}

static void cell_write(struct sim *s, struct cell *c, uint8_t mask, struct place place)
{
	struct processor *p = s->current;

	if (c->read_mask & mask) {
		for (uint32_t i = 0; i < SIM_PROCESSORS_MAX; i++) {
			if (c->reads.at[i] > p->view.happened.at[i])
				race_found(s, "write after read", i, c->read_place, place);
		}
	}
	if (c->read_mask) {
		memset(&c->reads, 0, sizeof(c->reads));
		c->read_mask = 0;
	}
	/*
	 * of writes to different bytes that no reader tells apart, the last is kept: cheap, and
	 * blind to a race with the earlier one
	 */
	c->write_mask = mask;
	c->write_time = processor_time(p);
	c->writer = (uint8_t)p->index;
	c->write_place = place;
}

static void cell_access(struct sim *s, struct cell *c, uint8_t mask, bool write, struct place place)
{
	if (c->write_time > s->current->view.happened.at[c->writer] && (c->write_mask & mask))
		race_found(s, write ? "write after write" : "read after write", c->writer,
			   c->write_place, place);
	if (write)
		cell_write(s, c, mask, place);
	else
		cell_read(s->current, c, mask, place);
}

void race_access(struct sim *s, const void *at, size_t bytes, bool write, const char *what,
		 const void *pc)
{
	uintptr_t first = (uintptr_t)at;
	uintptr_t end = first + bytes;

	for (uintptr_t a = first & ~(uintptr_t)(CELL_BYTES - 1); a < end; a += CELL_BYTES) {
		uint32_t low = a < first ? (uint32_t)(first - a) : 0;
		uint32_t high = end - a < CELL_BYTES ? (uint32_t)(end - a) : CELL_BYTES;
		uint8_t mask = (uint8_t)((0xffu << low) & (0xffu >> (CELL_BYTES - high)));

		cell_access(s, cell_get(s, a), mask, write, (struct place){what, pc});
	}
}

void sim_plain_access(const void *at, size_t bytes, bool write, const char *what)
{
	struct sim *s = sim_now_running;

	if (!s)
		return;
	step(s);
	race_access(s, at, bytes, write, what, __builtin_return_address(0));
	event_fold(s, EVENT_PLAIN, write, bytes);
}
