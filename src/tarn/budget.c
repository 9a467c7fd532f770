#include "tarn/budget.h"

#include <string.h>

/* What a user thread's stack takes as long as it stays shallow: its pages come when touched. */
#define STACK_BYTES_USUAL 8192
#define THREADS_MAX       (1u << 20)
#define THREADS_MIN       1024

static const struct budget_part parts[BUDGET_ROLES] = {
	[BUDGET_STACKS] = {.role = "stacks", .use = "stacks of user threads", .per_mille = 125},
	[BUDGET_OBJECTS] = {.role = "objects", .use = "everything else", .per_mille = 875},
};

void budget_divide(uint64_t memory_bytes, struct budget *ret)
{
	uint64_t left = memory_bytes;
	uint64_t threads;

	memcpy(ret->part, parts, sizeof(parts));
	for (uint32_t i = 0; i < BUDGET_ROLES; i++) {
		struct budget_part *part = &ret->part[i];

		part->bytes = i + 1 < BUDGET_ROLES ? memory_bytes / 1000 * part->per_mille : left;
		left -= part->bytes;
	}
	threads = ret->part[BUDGET_STACKS].bytes / STACK_BYTES_USUAL;
	if (threads < THREADS_MIN)
		threads = THREADS_MIN;
	ret->threads_max = threads < THREADS_MAX ? (uint32_t)threads : THREADS_MAX;
}
