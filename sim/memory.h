/*
 * What the memory model keeps of each atomic: its last stores, and who has seen which.
 */
#pragma once

#include "sim/sim_int.h"

#define HISTORY 8 /* stores of one atomic that a stale load may still find */

#define NO_MESSAGE UINT32_MAX
#define NEVER      UINT32_MAX

struct store {
	uint64_t value;
	uint64_t step;         /* when it was executed */
	struct vclock seen_at; /* each processor's moment of first reading or writing it; NEVER */
	uint32_t message;      /* what an acquire load takes from it; NO_MESSAGE */
	uint32_t sequenced_at; /* moment of the first sequentially consistent access; NEVER */
	uint32_t sequenced_by; /* and whose */
};

/* The modification order of one atomic; store number n lies in history[n % HISTORY]. */
struct location {
	uintptr_t at;    /* first: see table.h */
	uint32_t number; /* by first use */
	uint32_t first;  /* oldest store that is kept */
	uint32_t last;
	bool valid; /* false: the next access begins a new history */
	struct store history[HISTORY];
};

static inline struct store *store_at(struct location *l, uint32_t number)
{
	return &l->history[number % HISTORY];
}

/*
 * The location of the atomic at `at`, whose memory holds `value` now. If that is not what the
 * model knows, then a plain store has made a new object of it: it begins anew, known to everybody.
 */
struct location *location_get(struct sim *s, const void *at, uint64_t value);

/* Appends a store to the modification order. The caller fills its message. */
struct store *location_append(struct sim *s, struct location *l, uint64_t value);

/* Messages: views on their way from a release store to the loads that read it. */
uint32_t message_create(const struct view *view);
const struct view *message_view(uint32_t message);
