#include "base/line.h"

#include "unit.h"

static char buffer[64];
static struct line l;

static int setup(void **state)
{
	(void)state;
	line_init(&l, buffer, sizeof(buffer));
	return 0;
}

static void line_bytes__cuts_and_says_so(void **state)
{
	char small[5];
	struct line s;

	(void)state;
	line_init(&s, small, sizeof(small));
	line_text(&s, "abcd");
	assert_false(s.cut);
	assert_int_equal(line_room(&s), 0);
	line_text(&s, "e");
	assert_true(s.cut);
	assert_string_equal(small, "abcd");
	line_clear(&s);
	assert_false(s.cut);
	line_text(&s, "vwxyz");
	assert_string_equal(small, "vwxy");
}

static void line_u64__all_widths(void **state)
{
	(void)state;
	line_u64(&l, 0);
	line_char(&l, ' ');
	line_u64(&l, UINT64_MAX);
	line_char(&l, ' ');
	line_u64_padded(&l, 7, 3);
	line_char(&l, ' ');
	line_u64_padded(&l, 1234, 3);
	assert_string_equal(buffer, "0 18446744073709551615 007 1234");
}

static void line_i64__extremes(void **state)
{
	(void)state;
	line_i64(&l, INT64_MIN);
	line_char(&l, ' ');
	line_i64(&l, -1);
	line_char(&l, ' ');
	line_i64(&l, INT64_MAX);
	assert_string_equal(buffer, "-9223372036854775808 -1 9223372036854775807");
}

static void line_hex__and_address(void **state)
{
	(void)state;
	line_hex(&l, 0xdeadbeef12ull);
	line_char(&l, ' ');
	line_address(&l, (const void *)0x12);
	assert_string_equal(buffer, "deadbeef12 0x0000000000000012");
}

static void line_text__null(void **state)
{
	(void)state;
	line_text(&l, NULL);
	assert_string_equal(buffer, "(null)");
}

static void line_words__conversions(void **state)
{
	uint64_t words[] = {(uint64_t)-3, 5, 0xff, (uint64_t)(uintptr_t) "name"};

	(void)state;
	line_words(&l, "%d %lu 0x%08lx %s 100%%", words, 4);
	assert_string_equal(buffer, "-3 5 0xff name 100%");
}

static void line_words__widths_cut_the_word(void **state)
{
	uint64_t words[] = {0xffffffff00000001ull, 0xffffffff80000000ull, 0x1ff, 0xffff};

	(void)state;
	line_words(&l, "%u %d %hhu %hd", words, 4);
	assert_string_equal(buffer, "1 -2147483648 255 -1");
}

static void line_words__too_few_or_unknown(void **state)
{
	uint64_t words[] = {1};

	(void)state;
	line_words(&l, "%f %u %u %", words, 1);
	assert_string_equal(buffer, "%f 1 %u %");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(line_bytes__cuts_and_says_so, setup),
		cmocka_unit_test_setup(line_u64__all_widths, setup),
		cmocka_unit_test_setup(line_i64__extremes, setup),
		cmocka_unit_test_setup(line_hex__and_address, setup),
		cmocka_unit_test_setup(line_text__null, setup),
		cmocka_unit_test_setup(line_words__conversions, setup),
		cmocka_unit_test_setup(line_words__widths_cut_the_word, setup),
		cmocka_unit_test_setup(line_words__too_few_or_unknown, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
