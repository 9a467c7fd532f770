#include "base/hash.h"

#include "unit.h"

/* The values stand in formats: they may never change. From the specification of XXH3. */
static void hash_bytes__golden(void **state)
{
	(void)state;
	assert_int_equal(hash_bytes("", 0), 0x2d06800538d394c2ull);
	assert_int_equal(hash_bytes("abc", 3), 0x78af5f94892f3950ull);
	assert_int_equal(hash_bytes_seeded("", 0, 1), 0x4dc5b0cc826f6703ull);
}

static void hash_bytes_seeded__seed_0_is_none(void **state)
{
	(void)state;
	assert_int_equal(hash_bytes_seeded("abcdef", 6, 0), hash_bytes("abcdef", 6));
	assert_int_not_equal(hash_bytes_seeded("abcdef", 6, 1), hash_bytes("abcdef", 6));
}

static void hash_u64__is_that_of_its_bytes(void **state)
{
	const unsigned char bytes[8] = {8, 7, 6, 5, 4, 3, 2, 1};

	(void)state;
	assert_int_equal(hash_u64(0x0102030405060708ull), hash_bytes(bytes, sizeof(bytes)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_bytes__golden),
		cmocka_unit_test(hash_bytes_seeded__seed_0_is_none),
		cmocka_unit_test(hash_u64__is_that_of_its_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
