/*
 * Memory when the system refuses: a fixed piece of work is done again and again while the n-th
 * request to the system fails, for n = 0, 1, 2 … until it is not reached any more, once for a
 * single failure and once for all from the n-th on. Each time every call either succeeds or gives
 * its status, the structure is sound afterwards, and nothing has leaked.
 */
#include "mem/mem.h"
#include "base/os.h"
#include "mem/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define FAULT_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: %s does not hold at request %llu%s (%s)\n", __FILE__,       \
			       __LINE__, #condition, (unsigned long long)request,                  \
			       forever ? " and all after it" : "", diag_text());                   \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static struct mem_tag tag = MEM_TAG("fault");
static uint64_t request;
static bool forever;

static struct status on_add(void *ctx, const struct mem_piece *piece)
{
	(void)piece;
	++*(int *)ctx;
	return OK;
}

static bool on_remove(void *ctx, const struct mem_piece *piece)
{
	(void)piece;
	--*(int *)ctx;
	return true;
}

static struct mem_subscription subscription = {.on_add = on_add, .on_remove = on_remove};

/* An object of every sort; what could not be had must have said so. */
static void allocate_and_free(void)
{
	static const size_t sizes[] = {1, 1000, 5000, 70000, MIB + 1, 3 * MIB};
	void *p[ARRAY_SIZE(sizes) * 2] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		p[2 * i] = mem_alloc(sizes[i], &tag);
		FAULT_CHECK(p[2 * i] || diag_self()->code == STATUS_NO_MEMORY);
		p[2 * i + 1] = mem_buffer_alloc(MEM_SHAREABLE, sizes[i], 4096, &tag);
		FAULT_CHECK(p[2 * i + 1] || diag_self()->code == STATUS_NO_MEMORY);
		for (size_t j = 2 * i; j < 2 * i + 2; j++)
			if (p[j])
				memset(p[j], 1, sizes[i]);
	}
	/* with holes, so that upkeep has something to purge */
	for (size_t i = 0; i < ARRAY_SIZE(p); i += 3)
		mem_free(p[i]);
	while (mem_maintain(true))
		;
	FAULT_CHECK(!mem_check());
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		if (i % 3 != 0)
			mem_free(p[i]);
	p[0] = mem_alloc(2 * MIB + 4096, &tag);
	mem_free(p[0]);
	while (mem_maintain(true))
		;
	FAULT_CHECK(!mem_check());
}

static void work(void)
{
	static struct self_thread thread = {.name = "fault"};
	struct mem_config config = {
		.limit_bytes = 64 * MIB,
		.reserve_bytes = 1024 * MIB,
		.ahead_bytes = 4 * MIB,
	};
	struct self me;
	int pieces = 0;

	if (!status_ok(mem_start(&config))) {
		FAULT_CHECK(strlen(diag_text()) > 0);
		return;
	}
	self_init(&me, &thread);
	self_set(&me);
	FAULT_CHECK(status_ok(mem_cache_attach(&me)));
	allocate_and_free();
	FAULT_CHECK(status_ok(mem_subscribe(MEM_SHAREABLE, &subscription, &pieces)));
	allocate_and_free();
	mem_unsubscribe(MEM_SHAREABLE, &subscription, &pieces);
	FAULT_CHECK(pieces == 0);
	mem_cache_detach(&me);
	self_set(NULL);
	self_fini(&me);
	FAULT_CHECK(mem_stop() == 0);
}

int main(void)
{
	/* unmapping is left out: what it fails to undo is address space that nobody uses */
	uint32_t calls = OS_CALL_ANY & ~OS_CALL_BIT(OS_CALL_UNMAP);

	for (int again = 0; again < 2; again++) {
		forever = again == 1;
		for (request = 0;; request++) {
			os_fault_set(calls, request, forever);
			work();
			if (os_fault_clear() == 0)
				break;
		}
		FAULT_CHECK(request > 20);
		printf("%llu requests failed one after the other%s\n", (unsigned long long)request,
		       forever ? ", with all after them" : "");
	}
	return 0;
}
