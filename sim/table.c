#include "sim/table.h"

#include "base/assert.h"

#include <string.h>
#include <sys/mman.h>

#define CAPACITY_FIRST 4096

static void *reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT(p != MAP_FAILED);
	return p;
}

void table_reset(struct table *t, size_t item_bytes, uint32_t items_max)
{
	if (!t->items) {
		t->items = reserve(items_max * item_bytes);
		t->index = reserve(4 * (size_t)items_max * sizeof(*t->index));
	}
	t->item_bytes = item_bytes;
	t->items_max = items_max;
	t->used = 0;
	memset(t->index, 0, t->capacity * sizeof(*t->index));
	t->capacity = CAPACITY_FIRST;
}

static void index_add(struct table *t, uint32_t number)
{
	uint32_t i = table_place(t, *(const uintptr_t *)table_item(t, number));

	while (t->index[i])
		i = (i + 1) & (t->capacity - 1);
	t->index[i] = number + 1;
}

static void index_grow(struct table *t)
{
	memset(t->index, 0, t->capacity * sizeof(*t->index));
	t->capacity *= 2;
	for (uint32_t i = 0; i < t->used; i++)
		index_add(t, i);
}

void *table_add(struct table *t, uintptr_t at)
{
	if (t->used == t->items_max)
		return NULL;
	if (2 * t->used == t->capacity)
		index_grow(t);

	void *item = table_item(t, t->used);

	memset(item, 0, t->item_bytes);
	*(uintptr_t *)item = at;
	index_add(t, t->used++);
	return item;
}
