#include "mem/arena.h"

#include "base/machine.h"
#include "base/os.h"
#include "mem/run.h"
#include "mem_unit.h"

/* ---- configuration ---- */

static void arena_start__bad_configuration(void **state)
{
	struct mem_config config = unit_config();

	(void)state;
	config.limit_bytes = MIB;
	assert_status(mem_start(&config), INVALID);
	assert_contains(diag_text(), "from 4 MiB");
	config = unit_config();
	config.backing[MEM_PRIVATE] = MEM_BACKINGS;
	assert_status(mem_start(&config), INVALID);
	config = unit_config();
	config.backing[MEM_SHAREABLE] = MEM_BACKING_THP;
	assert_status(mem_start(&config), INVALID);
	assert_contains(diag_text(), "shareable");
	assert_null(arena.base);
}

static uint64_t pool_free(uint64_t page_bytes)
{
	struct machine_pool pools[MACHINE_POOLS_MAX];
	size_t count = machine_pools("", pools);

	for (size_t i = 0; i < count; i++)
		if (pools[i].page_bytes == page_bytes)
			return pools[i].free;
	return 0;
}

static void arena_start__empty_pool(void **state)
{
	struct mem_config config = unit_config();

	(void)state;
	if (pool_free(CHUNK_BYTES) > 0) {
		print_message("this machine has huge pages reserved\n");
		skip();
	}
	config.backing[MEM_PRIVATE] = MEM_BACKING_HUGE_2M;
	assert_status(mem_start(&config), UNSUPPORTED);
	assert_contains(diag_text(), "--hugepages");
	assert_null(arena.base);
}

/* Less address space than wanted is enough; none at all is a status. */
static void arena_start__address_space_refused(void **state)
{
	struct mem_config config = unit_config();

	(void)state;
	config.reserve_bytes = 8 * 1024 * MIB;
	os_fault_set(OS_CALL_BIT(OS_CALL_MAP), 0, false);
	assert_ok(mem_start(&config));
	assert_int_equal(os_fault_clear(), 1);
	assert_int_equal(arena.part_bytes, 4 * 1024 * MIB);
	mem_stop();

	os_fault_set(OS_CALL_BIT(OS_CALL_MAP), 0, true);
	assert_status(mem_start(&config), NO_MEMORY);
	os_fault_clear();
	assert_null(arena.base);
}

/* ---- limit ---- */

static void arena_limit_take__to_the_byte(void **state)
{
	uint64_t all = arena.config.limit_bytes - atomic_u64_load(&arena.resident, ORDER_RELAXED);

	(void)state;
	assert_false(arena_limit_take(all + 1));
	assert_false(arena_limit_take(UINT64_MAX));
	assert_true(arena_limit_take(all));
	assert_false(arena_limit_take(1));
	arena_limit_give(all);
}

/* ---- backings ---- */

/* Everything works the same, whatever the memory is made of. */
static void works_with(enum mem_backing private, enum mem_backing shareable)
{
	struct mem_config config = unit_config();
	void *p[MEM_KINDS], *small;

	config.limit_bytes = 3072 * MIB;
	config.reserve_bytes = 4096 * MIB;
	config.backing[MEM_PRIVATE] = private;
	config.backing[MEM_SHAREABLE] = shareable;
	unit_start_with(&config);
	assert_int_equal(mem_backing(MEM_PRIVATE), private);
	assert_int_equal(mem_backing(MEM_SHAREABLE), shareable);
	small = mem_alloc(100, &unit_tag);
	assert_non_null(small);
	for (int kind = 0; kind < MEM_KINDS; kind++) {
		/* more than one chunk, and not a whole number of them */
		p[kind] = mem_buffer_alloc((enum mem_kind)kind, 5 * MIB + 12345, 4096, &unit_tag);
		assert_non_null(p[kind]);
		memset(p[kind], 0x77, 5 * MIB + 12345);
	}
	for (int kind = 0; kind < MEM_KINDS; kind++)
		mem_free(p[kind]);
	mem_free(small);
	while (mem_maintain(true))
		;
	unit_stop(NULL);
}

static void mem_backing__4k(void **state)
{
	(void)state;
	works_with(MEM_BACKING_4K, MEM_BACKING_4K);
}

static void mem_backing__thp(void **state)
{
	(void)state;
	if (machine_thp("") < MACHINE_THP_MADVISE) {
		print_message("this kernel has no transparent huge pages\n");
		skip();
	}
	works_with(MEM_BACKING_THP, MEM_BACKING_4K);
}

/* The pool that a test has made, as its file in the system; NULL: none. */
static const char *pool_made;

/* Huge pages, and what comes after them when the pool is empty: fewer than it takes are enough. */
static void works_with_pool(enum mem_backing backing, uint64_t page_bytes, uint64_t most)
{
	uint64_t got = pool_free(page_bytes);

	if (got == 0) {
		pool_made = page_bytes == CHUNK_BYTES
				    ? "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
				    : "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";
		if (!status_ok(machine_pool_grow("", page_bytes, most, &got)) || got == 0) {
			print_message("no huge pages of %llu bytes, and none can be reserved\n",
				      (unsigned long long)page_bytes);
			skip();
		}
	}
	works_with(backing, backing);
}

/* A pool that a test has made is not left behind, however the test ended. */
static int pool_return(void **state)
{
	(void)state;
	if (pool_made)
		status_ignore(os_file_write(pool_made, "0\n", 2)); /* not root: it was not made */
	pool_made = NULL;
	return 0;
}

static void mem_backing__huge_2m(void **state)
{
	(void)state;
	works_with_pool(MEM_BACKING_HUGE_2M, CHUNK_BYTES, 4);
}

static void mem_backing__huge_1g(void **state)
{
	(void)state;
	works_with_pool(MEM_BACKING_HUGE_1G, 1024 * MIB, 1);
}

/* ---- subscribers ---- */

struct listener {
	size_t pieces;
	bool refuse_add;
	size_t most; /* pieces; 0: any number */
	bool refuse_remove;
};

static struct status on_add(void *ctx, const struct mem_piece *piece)
{
	struct listener *l = ctx;

	if (l->refuse_add || (l->most && l->pieces == l->most))
		return fail(STATUS_LIMIT, "no more registrations");
	assert_int_equal(piece->bytes, CHUNK_BYTES);
	/* it has memory at once, at both ends, which nobody but the sanitizer forbids to touch */
	if (!WITH_ASAN)
		assert_int_equal(((volatile char *)piece->base)[piece->bytes - 1] & 0, 0);
	l->pieces++;
	return OK;
}

static bool on_remove(void *ctx, const struct mem_piece *piece)
{
	struct listener *l = ctx;

	(void)piece;
	if (l->refuse_remove)
		return false;
	l->pieces--;
	return true;
}

static struct mem_subscription callbacks = {.on_add = on_add, .on_remove = on_remove};

static void mem_subscribe__replay_and_news(void **state)
{
	struct listener l = {0};
	void *first = mem_buffer_alloc(MEM_SHAREABLE, 3 * MIB, 4096, &unit_tag);

	(void)state;
	assert_non_null(first);
	assert_ok(mem_subscribe(MEM_SHAREABLE, &callbacks, &l));
	assert_int_equal(l.pieces, 2);
	void *second = mem_buffer_alloc(MEM_SHAREABLE, 4 * MIB - 100, 4096, &unit_tag);
	assert_non_null(second);
	assert_int_equal(l.pieces, 4);
	/* what happens in the other arena is none of its business */
	void *other = mem_buffer_alloc(MEM_PRIVATE, 4 * MIB, 4096, &unit_tag);
	assert_int_equal(l.pieces, 4);
	mem_free(other);
	mem_free(second);
	mem_free(first);
	while (mem_maintain(true))
		;
	assert_true(l.pieces < 4);
	mem_unsubscribe(MEM_SHAREABLE, &callbacks, &l);
	assert_int_equal(l.pieces, 0);
}

static void mem_subscribe__refusals(void **state)
{
	struct listener yes = {0}, no = {.refuse_add = true};
	void *held = mem_buffer_alloc(MEM_SHAREABLE, MIB, 4096, &unit_tag);

	(void)state;
	assert_status(mem_subscribe(MEM_SHAREABLE, &callbacks, &no), LIMIT);
	no.refuse_add = false;
	assert_ok(mem_subscribe(MEM_SHAREABLE, &callbacks, &yes));
	assert_ok(mem_subscribe(MEM_SHAREABLE, &callbacks, &no));
	no.refuse_add = true;
	/* whoever said yes before the refusal hears that it comes to nothing */
	assert_null(mem_buffer_alloc(MEM_SHAREABLE, 8 * MIB, 4096, &unit_tag));
	assert_contains(diag_text(), "registrations");
	assert_int_equal(yes.pieces, 1);
	no.refuse_add = false;
	/* of several pieces that come together, the first ones must be taken back as well */
	no.most = no.pieces + 2;
	assert_null(mem_buffer_alloc(MEM_SHAREABLE, 8 * MIB, 4096, &unit_tag));
	assert_int_equal(yes.pieces, 1);
	assert_int_equal(no.pieces, 1);
	no.most = 0;
	void *several = mem_buffer_alloc(MEM_SHAREABLE, 8 * MIB - 100, 4096, &unit_tag);
	assert_non_null(several);
	assert_int_equal(yes.pieces, 5);
	mem_free(several);
	mem_free(held);
	mem_unsubscribe(MEM_SHAREABLE, &callbacks, &yes);
	mem_unsubscribe(MEM_SHAREABLE, &callbacks, &no);
}

static void mem_subscribe__keeps_what_is_in_use(void **state)
{
	struct listener l = {.refuse_remove = true};
	struct mem_stats before, after;
	void *p = mem_buffer_alloc(MEM_SHAREABLE, 64 * MIB, 4096, &unit_tag);

	(void)state;
	assert_non_null(p);
	assert_ok(mem_subscribe(MEM_SHAREABLE, &callbacks, &l));
	mem_free(p);
	mem_stats(&before);
	while (mem_maintain(true))
		;
	mem_stats(&after);
	assert_true(after.resident_bytes >= before.resident_bytes);
	/* a large run with a hole: its pages must not be taken from under a subscriber either */
	p = mem_buffer_alloc(MEM_SHAREABLE, 1 * MIB, 4096, &unit_tag);
	assert_int_equal(run_purge(arena_part(MEM_SHAREABLE, 0), SIZE_MAX, 1), 0);
	l.refuse_remove = false;
	while (mem_maintain(true))
		;
	mem_stats(&after);
	assert_true(after.resident_bytes < before.resident_bytes / 2);
	mem_free(p);
	mem_unsubscribe(MEM_SHAREABLE, &callbacks, &l);
	assert_int_equal(l.pieces, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_start__bad_configuration),
		cmocka_unit_test(arena_start__empty_pool),
		cmocka_unit_test(arena_start__address_space_refused),
		cmocka_unit_test_setup_teardown(arena_limit_take__to_the_byte, unit_start,
						unit_stop),
		cmocka_unit_test(mem_backing__4k),
		cmocka_unit_test(mem_backing__thp),
		cmocka_unit_test_teardown(mem_backing__huge_2m, pool_return),
		cmocka_unit_test_teardown(mem_backing__huge_1g, pool_return),
		cmocka_unit_test_setup_teardown(mem_subscribe__replay_and_news, unit_start,
						unit_stop),
		cmocka_unit_test_setup_teardown(mem_subscribe__refusals, unit_start, unit_stop),
		cmocka_unit_test_setup_teardown(mem_subscribe__keeps_what_is_in_use, unit_start,
						unit_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
