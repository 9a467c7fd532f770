#include "base/text.h"

#include "unit.h"

static char buffer[128];
static struct line l;

static int setup(void **state)
{
	(void)state;
	line_init(&l, buffer, sizeof(buffer));
	return 0;
}

static void text_parse_u64__whole_text_or_nothing(void **state)
{
	static const char *const wrong[] = {"",   "-1", "+1",   " 1",
					    "1 ", "1x", "0x10", "18446744073709551616"};
	uint64_t v = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_status(text_parse_u64(wrong[i], &v), INVALID);
	assert_int_equal(v, 7);
	assert_ok(text_parse_u64("18446744073709551615", &v));
	assert_int_equal(v, UINT64_MAX);
	assert_ok(text_parse_u64("007", &v));
	assert_int_equal(v, 7);
}

static void text_parse_i64__extremes(void **state)
{
	int64_t v;

	(void)state;
	assert_ok(text_parse_i64("-9223372036854775808", &v));
	assert_true(v == INT64_MIN);
	assert_ok(text_parse_i64("9223372036854775807", &v));
	assert_true(v == INT64_MAX);
	assert_status(text_parse_i64("9223372036854775808", &v), INVALID);
	assert_status(text_parse_i64("-9223372036854775809", &v), INVALID);
	assert_status(text_parse_i64("--1", &v), INVALID);
	assert_status(text_parse_i64("-", &v), INVALID);
}

static void text_parse_bool__words(void **state)
{
	bool v = false;

	(void)state;
	assert_ok(text_parse_bool("on", &v));
	assert_true(v);
	assert_ok(text_parse_bool("false", &v));
	assert_false(v);
	assert_ok(text_parse_bool("1", &v));
	assert_true(v);
	assert_status(text_parse_bool("", &v), INVALID);
	assert_status(text_parse_bool("ON", &v), INVALID);
	assert_contains(diag_text(), "on or off");
}

static void assert_size(const char *text, uint64_t expected)
{
	uint64_t v;

	assert_ok(text_parse_size(text, &v));
	assert_int_equal(v, expected);
}

static void text_parse_size__units(void **state)
{
	(void)state;
	assert_size("0", 0);
	assert_size("4097", 4097);
	assert_size("64K", 65536);
	assert_size("3M", 3145728);
	assert_size("1.5G", 1610612736);
	assert_size("2T", 2199023255552);
	assert_size("0.5K", 512);
	assert_size("16777215T", 16777215ull << 40);
}

static void text_parse_size__refuses(void **state)
{
	static const char *const wrong[] = {
		"",    "K",      "1k",    "1KB",       "-1",  "1 K", "1.",
		".5G", "1.5.5G", "1..5G", "16777216T", "1e3", "K1",  "99999999999999999999"};
	uint64_t v = 3;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_status(text_parse_size(wrong[i], &v), INVALID);
	assert_int_equal(v, 3);
}

static void text_parse_duration__units(void **state)
{
	uint64_t v;

	(void)state;
	assert_ok(text_parse_duration("0", &v));
	assert_int_equal(v, 0);
	assert_ok(text_parse_duration("17ns", &v));
	assert_int_equal(v, 17);
	assert_ok(text_parse_duration("20us", &v));
	assert_int_equal(v, 20000);
	assert_ok(text_parse_duration("1.5ms", &v));
	assert_int_equal(v, 1500000);
	assert_ok(text_parse_duration("30s", &v));
	assert_int_equal(v, 30000000000);
	assert_status(text_parse_duration("30", &v), INVALID);
	assert_status(text_parse_duration("30m", &v), INVALID);
	assert_status(text_parse_duration("s", &v), INVALID);
	assert_status(text_parse_duration("18446744074s", &v), INVALID);
}

static void text_parse_endpoint__kinds(void **state)
{
	struct endpoint e;

	(void)state;
	assert_ok(text_parse_endpoint("127.0.0.1:6400", &e));
	assert_string_equal(e.host, "127.0.0.1");
	assert_int_equal(e.port, 6400);
	assert_false(e.ipv6);
	assert_ok(text_parse_endpoint("node-1.example:0", &e));
	assert_string_equal(e.host, "node-1.example");
	assert_ok(text_parse_endpoint("[fe80::1%eth0]:65535", &e));
	assert_string_equal(e.host, "fe80::1%eth0");
	assert_int_equal(e.port, 65535);
	assert_true(e.ipv6);
	text_endpoint(&l, &e);
	assert_string_equal(buffer, "[fe80::1%eth0]:65535");
}

static void text_parse_endpoint__refuses(void **state)
{
	static const char *const wrong[] = {
		"",      "host",    ":1",        "host:",     "host:x",    "h:65536", "::1:80",
		"[::1]", "[::1]80", "[]:80",     "[::1:80",   "ho st:1",   "h\n:1",   "[abc]:1",
		"h:1:2", "h:-1",    "[::1]:80x", "[x::1]:80", "[%eth0]:80"};
	char longest[300];
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_status(text_parse_endpoint(wrong[i], &e), INVALID);
	memset(longest, 'h', sizeof(longest));
	memcpy(longest + 254, ":80", 4);
	assert_status(text_parse_endpoint(longest, &e), INVALID);
	memcpy(longest + 253, ":80", 4);
	assert_ok(text_parse_endpoint(longest, &e));
}

static void text_size__reads_back(void **state)
{
	static const char *const texts[] = {"0", "1", "1K", "4097", "64M", "1536M", "2T", "1025G"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		uint64_t v;

		assert_ok(text_parse_size(texts[i], &v));
		line_clear(&l);
		text_size(&l, v);
		assert_string_equal(buffer, texts[i]);
	}
}

static void text_duration__reads_back(void **state)
{
	static const char *const texts[] = {"1ns", "1us", "1500us", "30s", "1001ms"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		uint64_t v;

		assert_ok(text_parse_duration(texts[i], &v));
		line_clear(&l);
		text_duration(&l, v);
		assert_string_equal(buffer, texts[i]);
	}
	line_clear(&l);
	text_duration(&l, 0);
	assert_string_equal(buffer, "0ns");
}

static void text_size_round__for_people(void **state)
{
	(void)state;
	text_size_round(&l, 0);
	line_char(&l, ' ');
	text_size_round(&l, 1023);
	line_char(&l, ' ');
	text_size_round(&l, 1536);
	line_char(&l, ' ');
	text_size_round(&l, 15ull << 30);
	line_char(&l, ' ');
	text_size_round(&l, 5000ull << 40);
	assert_string_equal(buffer, "0 B 1023 B 1.50 KiB 15.0 GiB 5000 TiB");
}

static void text_duration_round__for_people(void **state)
{
	(void)state;
	text_duration_round(&l, 7);
	line_char(&l, ' ');
	text_duration_round(&l, 12345);
	line_char(&l, ' ');
	text_duration_round(&l, 123456789);
	line_char(&l, ' ');
	text_duration_round(&l, 90000000000);
	assert_string_equal(buffer, "7 ns 12.3 us 123 ms 90.0 s");
}

static const char *escaped(const void *bytes, size_t count)
{
	line_clear(&l);
	text_escaped(&l, bytes, count, 0);
	return buffer;
}

static const char *json(const void *bytes, size_t count)
{
	line_clear(&l);
	text_json(&l, bytes, count, 0);
	return buffer;
}

static void text_escaped__stays_one_line(void **state)
{
	(void)state;
	assert_string_equal(escaped("a\nb\r\t\x1b[0m\x7f", 10), "a\\x0ab\\x0d\\x09\\x1b[0m\\x7f");
	assert_string_equal(escaped("\0a\\", 3), "\\x00a\\\\");
	assert_string_equal(escaped("\xc2\x85", 2), "\\x85");
	assert_string_equal(escaped("gr\xc3\xbc\xc3\x9f", 6), "gr\xc3\xbc\xc3\x9f");
	assert_string_equal(escaped("\xff\xc3", 2), "\\xff\\xc3");
}

static void text_json__any_bytes(void **state)
{
	(void)state;
	assert_string_equal(json("a\"b\\c\n\x01\x7f", 8), "a\\\"b\\\\c\\n\\u0001\\u007f");
	assert_string_equal(json("\0", 1), "\\u0000");
	assert_string_equal(json("\xc2\x9b", 2), "\\u009b");
	assert_string_equal(json("\xe2\x82\xac \xf0\x9f\x98\x80", 8),
			    "\xe2\x82\xac \xf0\x9f\x98\x80");
}

/* Overlong, surrogate, above U+10FFFF, cut, lone continuation. */
static void text_json__what_is_not_utf8(void **state)
{
	(void)state;
	assert_string_equal(json("\xc0\x80", 2), "\\ufffd\\ufffd");
	assert_string_equal(json("\xe0\x9f\xbf", 3), "\\ufffd\\ufffd\\ufffd");
	assert_string_equal(json("\xed\xa0\x80", 3), "\\ufffd\\ufffd\\ufffd");
	assert_string_equal(json("\xf4\x90\x80\x80", 4), "\\ufffd\\ufffd\\ufffd\\ufffd");
	assert_string_equal(json("\xf0\x8f\xbf\xbf", 4), "\\ufffd\\ufffd\\ufffd\\ufffd");
	assert_string_equal(json("\xe2\x82", 2), "\\ufffd\\ufffd");
	assert_string_equal(json("\xe2\x82x", 3), "\\ufffd\\ufffdx");
	assert_string_equal(json("\x80", 1), "\\ufffd");
}

static void text_json__cuts_between_characters(void **state)
{
	char small[12];

	(void)state;
	line_init(&l, small, sizeof(small));
	text_json(&l, "abcd\n\nxyz", 9, 5);
	assert_string_equal(small, "abcd\\n");
	assert_true(l.cut);
	line_init(&l, small, sizeof(small));
	text_json(&l, "aaaaaaaaa\xc3\xbc", 11, 1);
	assert_string_equal(small, "aaaaaaaaa");
}

static void text_distance__edits(void **state)
{
	char longest[70];

	(void)state;
	assert_int_equal(text_distance("memory", "memory"), 0);
	assert_int_equal(text_distance("", "abc"), 3);
	assert_int_equal(text_distance("abc", ""), 3);
	assert_int_equal(text_distance("memroy", "memory"), 1);
	assert_int_equal(text_distance("memry", "memory"), 1);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
	memset(longest, 'x', sizeof(longest));
	longest[64] = '\0';
	assert_int_equal(text_distance(longest, "a"), SIZE_MAX);
	longest[63] = '\0';
	assert_int_equal(text_distance("x", longest), 62);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_parse_u64__whole_text_or_nothing),
		cmocka_unit_test(text_parse_i64__extremes),
		cmocka_unit_test(text_parse_bool__words),
		cmocka_unit_test(text_parse_size__units),
		cmocka_unit_test(text_parse_size__refuses),
		cmocka_unit_test(text_parse_duration__units),
		cmocka_unit_test_setup(text_parse_endpoint__kinds, setup),
		cmocka_unit_test(text_parse_endpoint__refuses),
		cmocka_unit_test_setup(text_size__reads_back, setup),
		cmocka_unit_test_setup(text_duration__reads_back, setup),
		cmocka_unit_test_setup(text_size_round__for_people, setup),
		cmocka_unit_test_setup(text_duration_round__for_people, setup),
		cmocka_unit_test_setup(text_escaped__stays_one_line, setup),
		cmocka_unit_test_setup(text_json__any_bytes, setup),
		cmocka_unit_test_setup(text_json__what_is_not_utf8, setup),
		cmocka_unit_test(text_json__cuts_between_characters),
		cmocka_unit_test(text_distance__edits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
