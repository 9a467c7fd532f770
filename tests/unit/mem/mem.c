#include "mem/mem.h"

#include "base/os.h"
#include "mem_unit.h"

#include <sys/mman.h>

static void mem_start__twice(void **state)
{
	(void)state;
	assert_status(mem_start(NULL), EXISTS);
}

static void mem_alloc__not_started(void **state)
{
	(void)state;
	assert_null(mem_alloc(10, &unit_tag));
	assert_contains(diag_text(), "mem_start()");
	assert_int_equal(diag_self()->code, STATUS_INVALID);
	assert_null(mem_alloc_zero(10, &unit_tag));
	assert_null(mem_alloc_aligned(10, 64, &unit_tag));
	assert_null(mem_buffer_alloc(MEM_SHAREABLE, 10, 64, &unit_tag));
	assert_false(mem_maintain(true));
	assert_int_equal(mem_stop(), 0);
	mem_free(NULL);
}

static void mem_alloc__every_size(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes < 300000; bytes += bytes / 16 + 1) {
		unsigned char *p = mem_alloc(bytes, &unit_tag);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_true(mem_size(p) >= bytes);
		memset(p, 0x5c, bytes);
		mem_free(p);
	}
	void *a = mem_alloc(0, &unit_tag), *b = mem_alloc(0, &unit_tag);
	assert_ptr_not_equal(a, b);
	mem_free(a);
	mem_free(b);
}

static void mem_alloc_zero__used_before(void **state)
{
	(void)state;
	for (size_t bytes = 1; bytes < 200000; bytes = bytes * 3 + 1) {
		unsigned char *p = mem_alloc(bytes, &unit_tag);

		memset(p, 0xff, bytes);
		mem_free(p);
		p = mem_alloc_zero(bytes, &unit_tag);
		for (size_t i = 0; i < bytes; i++)
			assert_int_equal(p[i], 0);
		mem_free(p);
	}
}

static void mem_alloc_aligned__every_power(void **state)
{
	(void)state;
	for (size_t align = 1; align <= 4 * MIB; align *= 2) {
		for (size_t bytes = 1; bytes < 100000; bytes = bytes * 5 + 3) {
			void *p = mem_alloc_aligned(bytes, align, &unit_tag);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_true(mem_size(p) >= bytes);
			memset(p, 1, bytes);
			mem_free(p);
		}
	}
	assert_null(mem_alloc_aligned(10, 3, &unit_tag));
	assert_contains(diag_text(), "power of two");
	assert_null(mem_alloc_aligned(10, 0, &unit_tag));
	assert_null(mem_alloc_aligned(10, (size_t)1 << 31, &unit_tag));
}

static void mem_alloc__limit_is_a_status(void **state)
{
	void *first = NULL, *p;
	size_t count = 0;

	(void)state;
	/* a list through the objects themselves: nothing else may be needed */
	while ((p = mem_alloc(1000, &unit_tag))) {
		*(void **)p = first;
		first = p;
		count++;
	}
	assert_int_equal(diag_self()->code, STATUS_NO_MEMORY);
	assert_contains(diag_text(), "memory limit of 256 MiB reached: raise --memory");
	assert_true(count > 150000);
	assert_null(mem_buffer_alloc(MEM_SHAREABLE, 4096, 4096, &unit_tag));
	assert_null(mem_realloc(first, 5 * MIB, &unit_tag));
	while (first) {
		void *next = *(void **)first;

		mem_free(first);
		first = next;
	}
	/* and everything can be had again */
	p = mem_alloc(200 * MIB, &unit_tag);
	assert_non_null(p);
	mem_free(p);
}

/* No sum of a size and a border may wrap around. */
static void mem_alloc__more_than_there_is(void **state)
{
	void *p = mem_alloc(100, &unit_tag);

	(void)state;
	for (size_t less = 0; less < 3 * MIB; less = less * 2 + 1) {
		assert_null(mem_alloc(SIZE_MAX - less, &unit_tag));
		assert_int_equal(diag_self()->code, STATUS_NO_MEMORY);
		assert_null(mem_alloc_zero(SIZE_MAX - less, &unit_tag));
		assert_null(mem_alloc_aligned(SIZE_MAX - less, 1024, &unit_tag));
		assert_null(mem_alloc_aligned(SIZE_MAX - less, MIB, &unit_tag));
		assert_null(mem_buffer_alloc(MEM_PRIVATE, SIZE_MAX - less, 4096, &unit_tag));
		assert_null(mem_buffer_alloc(MEM_SHAREABLE, SIZE_MAX - less, 4096, &unit_tag));
		assert_null(mem_realloc(p, SIZE_MAX - less, &unit_tag));
	}
	mem_free(p);
}

static void mem_realloc__keeps_content(void **state)
{
	unsigned char *p = mem_realloc(NULL, 10, &unit_tag);
	size_t bytes = 10;

	(void)state;
	assert_non_null(p);
	memset(p, 1, 10);
	for (size_t next = 13; next < 2000000; next = next * 2 + 7) {
		p = mem_realloc(p, next, &unit_tag);
		assert_non_null(p);
		for (size_t i = 0; i < bytes; i++)
			assert_int_equal(p[i], 1);
		memset(p, 1, next);
		bytes = next;
	}
	p = mem_realloc(p, 100, &unit_tag);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(p[i], 1);
	assert_true(mem_size(p) < 4096);
	mem_free(p);
}

static void mem_buffer_alloc__direct_io(void **state)
{
	(void)state;
	for (int kind = 0; kind < MEM_KINDS; kind++) {
		for (size_t align = 1; align <= 2 * MIB; align *= 8) {
			unsigned char *p =
				mem_buffer_alloc((enum mem_kind)kind, 70000, align, &unit_tag);
			size_t least = align < 4096 ? 4096 : align;

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % least, 0);
			memset(p, 3, 70000);
			mem_free(p);
		}
	}
}

static void mem_region_of__mapped_elsewhere(void **state)
{
	struct mem_region region;
	unsigned char *p = mem_buffer_alloc(MEM_SHAREABLE, 3 * MIB, 4096, &unit_tag);
	void *private = mem_alloc(100, &unit_tag), *view = NULL;
	int on_stack;

	(void)state;
	assert_non_null(p);
	assert_ok(mem_region_of(p, &region));
	assert_true(region.bytes >= 3 * MIB);
	assert_ok(os_map_file(NULL, 3 * MIB, region.fd, region.offset, true, &view));
	p[2 * MIB + 5] = 42;
	assert_int_equal(((unsigned char *)view)[2 * MIB + 5], 42);
	((unsigned char *)view)[17] = 43;
	assert_int_equal(p[17], 43);
	assert_ok(os_unmap(view, 3 * MIB));

	uint64_t offset = region.offset;
	assert_ok(mem_region_of(p + 2 * MIB + 1, &region));
	assert_int_equal(region.offset, offset + 2 * MIB + 1);
	assert_status(mem_region_of(private, &region), INVALID);
	assert_status(mem_region_of(&on_stack, &region), INVALID);
	mem_free(p);
	assert_status(mem_region_of(p, &region), INVALID);
	mem_free(private);
}

static void free_foreign(void *arg)
{
	mem_free(arg);
}

static void mem_free__foreign(void **state)
{
	int here;

	(void)state;
	unit_dies(free_foreign, &here, "a foreign pointer");
}

static void mem_stop__says_what_leaked(void **state)
{
	struct mem_config config = unit_config();

	(void)state;
	unit_start_with(&config);
	void *small = mem_alloc(100, &unit_tag), *large = mem_alloc(100000, &unit_tag);
	assert_non_null(small);
	assert_non_null(large);
	mem_cache_detach(&unit_self);
	self_set(NULL);
	self_fini(&unit_self);
	uint64_t leaked = mem_stop();
	assert_in_range(leaked, 100100, 120000);
	/* it can be started again, and starts clean */
	unit_start_with(&config);
	unit_stop(NULL);
}

static void mem_stop__with_a_cache_attached(void *arg)
{
	(void)arg;
	mem_stop();
}

static void mem_stop__too_early(void **state)
{
	(void)state;
	unit_dies(mem_stop__with_a_cache_attached, NULL, "while 1 threads have a cache");
}

static void mem_backing_text__all(void **state)
{
	(void)state;
	assert_int_equal(mem_backing(MEM_PRIVATE), MEM_BACKING_AUTO);
	for (int b = 0; b < MEM_BACKINGS; b++)
		assert_true(strlen(mem_backing_text((enum mem_backing)b)) > 3);
	assert_string_equal(mem_backing_text(MEM_BACKINGS), "unknown");
}

static void mem_hugepages_reserve__refused(void **state)
{
	(void)state;
	os_fault_set(OS_CALL_BIT(OS_CALL_WRITE), 0, true);
	struct status status = mem_hugepages_reserve(1u << 20);
	os_fault_clear();
	assert_false(status_ok(status));
	/* more than any machine has: the kernel takes what it finds, and that is given back */
	assert_ok(mem_hugepages_reserve(0));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(mem_start__twice),
		cmocka_unit_test(mem_alloc__not_started),
		CASE(mem_alloc__every_size),
		CASE(mem_alloc_zero__used_before),
		CASE(mem_alloc_aligned__every_power),
		CASE(mem_alloc__limit_is_a_status),
		CASE(mem_alloc__more_than_there_is),
		CASE(mem_realloc__keeps_content),
		CASE(mem_buffer_alloc__direct_io),
		CASE(mem_region_of__mapped_elsewhere),
		CASE(mem_free__foreign),
		cmocka_unit_test(mem_stop__says_what_leaked),
		CASE(mem_stop__too_early),
		cmocka_unit_test(mem_backing_text__all),
		cmocka_unit_test(mem_hugepages_reserve__refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
