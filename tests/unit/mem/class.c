#include "mem/class.h"

#include "unit.h"

static void mem_class_of__every_size(void **state)
{
	(void)state;
	assert_int_equal(mem_class_of(0), 1);
	for (size_t bytes = 1; bytes <= MEM_CLASS_BYTES_MAX; bytes++) {
		uint32_t class = mem_class_of(bytes);

		assert_in_range(class, 1, MEM_CLASS_RUN_LAST);
		assert_true(mem_class_bytes(class) >= bytes);
		/* and it is the smallest such */
		if (class > 1)
			assert_true(mem_class_bytes(class - 1) < bytes);
	}
}

static void mem_class_bytes__aligned_and_tight(void **state)
{
	(void)state;
	for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1) {
		uint32_t bytes = mem_class_bytes(class);

		assert_int_equal(bytes % 16, 0);
		assert_int_equal(mem_class_of(bytes), class);
		if (class > 4 && class <= MEM_CLASS_SLAB_LAST)
			assert_true(bytes - mem_class_bytes(class - 1) <= bytes / 5);
	}
	assert_int_equal(mem_class_bytes(MEM_CLASS_SLAB_LAST), MEM_SLAB_BYTES_MAX);
	assert_int_equal(mem_class_bytes(MEM_CLASS_RUN_FIRST), MEM_PAGE_BYTES);
	assert_int_equal(mem_class_bytes(MEM_CLASS_RUN_LAST), MEM_CLASS_BYTES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mem_class_of__every_size),
		cmocka_unit_test(mem_class_bytes__aligned_and_tight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
