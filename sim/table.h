/*
 * Tables of what the model knows of addresses: an array of items that only grows in a run, and an
 * index by open addressing. Everything is reserved once and touched as it fills, since most runs
 * are short and are processes of their own.
 */
#pragma once

#include "base/compiler.h"

struct table {
	char *items; /* each begins with its address, a uintptr_t */
	size_t item_bytes;
	uint32_t items_max;
	uint32_t used;
	uint32_t *index;   /* item + 1, 0 for a free place */
	uint32_t capacity; /* of the index: a power of two, at least twice `used` */
};

/* Empties the table, and reserves its address space if that was not done before. */
void table_reset(struct table *t, size_t item_bytes, uint32_t items_max);

/*
 * Adds an item, zeroed but for its address, which must not be in the table; NULL when it is full.
 */
void *table_add(struct table *t, uintptr_t at);

static inline void *table_item(const struct table *t, uint32_t number)
{
	return t->items + number * t->item_bytes;
}

static inline uint32_t table_place(const struct table *t, uintptr_t at)
{
	return (uint32_t)(((uint64_t)at * 0x9e3779b97f4a7c15ull) >> 32) & (t->capacity - 1);
}

/* The item of that address, or NULL. */
static inline void *table_find(const struct table *t, uintptr_t at)
{
	for (uint32_t i = table_place(t, at); t->index[i]; i = (i + 1) & (t->capacity - 1)) {
		void *item = table_item(t, t->index[i] - 1);

		if (*(const uintptr_t *)item == at)
			return item;
	}
	return NULL;
}
