#include "mem/pages.h"

#include "base/os.h"
#include "mem_unit.h"

static void pages_map_file__and_reserve_again(void **state)
{
	void *at;
	int fd;

	(void)state;
	assert_ok(os_reserve(2 * MIB, 2 * MIB, &at));
	assert_ok(os_memfd("unit", 0, 2 * MIB, &fd));
	assert_ok(pages_map_file(fd, 0, at, 2 * MIB));
	assert_ok(os_populate(at, 2 * MIB));
	memset(at, 7, 2 * MIB);
	/* what comes after it knows nothing of the file */
	assert_ok(pages_reserve_again(at, 2 * MIB));
	assert_ok(os_commit(at, 2 * MIB));
	assert_int_equal(*(unsigned char *)at, 0);
	/* and the file still has it */
	assert_ok(pages_map_file(fd, MIB, at, MIB));
	assert_int_equal(*(unsigned char *)at, 7);
	os_close(fd);
	assert_ok(os_unmap(at, 2 * MIB));
}

static void pages_map_file__no_file(void **state)
{
	void *at;

	(void)state;
	assert_ok(os_reserve(MIB, MIB, &at));
	assert_status(pages_map_file(-1, 0, at, MIB), NO_MEMORY);
	assert_ok(os_unmap(at, MIB));
}

static void pages_node_here__small(void **state)
{
	(void)state;
	assert_true(pages_node_here() < 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_map_file__and_reserve_again),
		cmocka_unit_test(pages_map_file__no_file),
		cmocka_unit_test(pages_node_here__small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
