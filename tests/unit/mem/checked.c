/* Built with TARN_DEBUG in every build, together with a mem of its own: see meson.build. */
#include "mem/checked.h"

#include "mem_unit.h"

static struct mem_tag tag = MEM_TAG("test.checked");

/* What the crash reports are to name. The compiler must not see what is wrong with them. */
static void write_at(void *arg, ptrdiff_t offset)
{
	volatile char *p = arg;

	p[offset] = 1;
}

static void free_it(void *arg)
{
	mem_free(arg);
}

static void free_twice(void *arg)
{
	mem_free(arg);
	mem_free(arg);
}

static void free_inside(void *arg)
{
	mem_free((char *)arg + 16);
}

static void overflow(void *arg)
{
	write_at(arg, 100);
	mem_free(arg);
}

static void underflow(void *arg)
{
	write_at(arg, -1);
	mem_free(arg);
}

static void use_after_free(void *arg)
{
	mem_free(arg);
	write_at(arg, 50);
	for (int i = 0; i < 10000; i++)
		mem_alloc(100, &tag);
}

static void *object(size_t bytes)
{
	void *p = mem_alloc(bytes, &tag);

	assert_non_null(p);
	return p;
}

/* Under AddressSanitizer that one reports first, in words of its own. */
#define WORDS(ours) (WITH_ASAN ? "AddressSanitizer" : (ours))

static void checked_free__small(void **state)
{
	void *p = object(100);

	(void)state;
	unit_dies(free_twice, p, "double free of");
	assert_contains(unit_report, "tag test.checked, 100 bytes");
	assert_contains(unit_report, "which was freed by");
	unit_dies(free_inside, p, "points into an object of 100 bytes at");
	unit_dies(overflow, p, WORDS("wrote past the end of"));
	unit_dies(underflow, p, WORDS("wrote before the start of"));
	unit_dies(use_after_free, p, WORDS("was written to at offset 50 after it had been freed"));
	mem_free(p);
}

static void overflow_run(void *arg)
{
	write_at(arg, 100000);
	mem_free(arg);
}

static void checked_free__run(void **state)
{
	void *p = object(100000);

	(void)state;
	unit_dies(free_twice, p, "double free of");
	assert_contains(unit_report, "tag test.checked, 100000 bytes");
	unit_dies(free_inside, p, "points into a run of");
	unit_dies(overflow_run, p, WORDS("wrote past the end of"));
	mem_free(p);
}

static void checked_free__foreign(void **state)
{
	static char here[64];

	(void)state;
	unit_dies(free_it, here, "a foreign pointer");
}

static void checked_alloc__content_and_size(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes < 100000; bytes = bytes * 2 + 1) {
		unsigned char *p = object(bytes);

		assert_int_equal(mem_size(p), bytes);
		/* what nobody wrote is not zero by chance */
		if (bytes > 0)
			assert_int_equal(p[bytes / 2], 0xa5);
		mem_free(p);
	}
	for (size_t align = 16; align <= 8192; align *= 2) {
		void *p = mem_alloc_aligned(100, align, &tag);

		assert_int_equal((uintptr_t)p % align, 0);
		assert_int_equal(mem_size(p), 100);
		mem_free(p);
	}
	unsigned char *shared = mem_buffer_alloc(MEM_SHAREABLE, 4096, 4096, &tag);
	assert_int_equal(mem_size(shared), 4096);
	shared[4095] = 1;
	mem_free(shared);
}

static void leak(void *arg)
{
	(void)arg;
	object(100);
	object(100000);
	mem_cache_detach(&unit_self);
	mem_stop();
	abort();
}

static void mem_stop__leaks_by_tag(void **state)
{
	(void)state;
	unit_dies(leak, NULL, "memory: leaked by test.checked:");
	assert_contains(unit_report, "in 2 objects");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(checked_free__small),    CASE(checked_free__run),
		CASE(checked_free__foreign),  CASE(checked_alloc__content_and_size),
		CASE(mem_stop__leaks_by_tag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
