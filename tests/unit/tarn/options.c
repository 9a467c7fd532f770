#include "tarn/options.h"

#include "tarn/command.h"
#include "unit.h"

/* what command.c wants of a program */
const struct command *const command_table[] = {NULL};

static struct {
	bool json;
	uint64_t count;
	double seconds;
	const char *text;
} got;

static const struct option options[] = {
	{"json", OPTION_SWITCH, &got.json, 0, 0},
	{"count", OPTION_COUNT, &got.count, 1, 1e6},
	{"seconds", OPTION_SECONDS, &got.seconds, 0.01, 60},
	{"text", OPTION_TEXT, &got.text, 0, 0},
	{NULL, OPTION_SWITCH, NULL, 0, 0},
};

#define ARGS_MAX 8

static const char *words[ARGS_MAX];
static uint32_t word_count;

/* Parses up to three arguments; NULL ends them. */
static struct status parse(const char *a, const char *b, const char *c)
{
	const char *const given[] = {"command", a, b, c};
	static char copies[4][64];
	char *argv[4];
	int argc = 0;

	memset(&got, 0, sizeof(got));
	for (; argc < 4 && given[argc]; argc++) {
		snprintf(copies[argc], sizeof(copies[argc]), "%s", given[argc]);
		argv[argc] = copies[argc];
	}
	return options_parse(options, argc, argv, words, &word_count);
}

static void options_parse__values(void **state)
{
	(void)state;
	assert_ok(parse("--json", "--count=4K", "word"));
	assert_true(got.json);
	assert_int_equal(got.count, 4096);
	assert_int_equal(word_count, 1);
	assert_string_equal(words[0], "word");
	assert_ok(parse("--count", "1.5K", NULL));
	assert_int_equal(got.count, 1536);
	assert_ok(parse("--text", "--json", NULL));
	assert_string_equal(got.text, "--json");
	assert_false(got.json);
}

static void options_parse__times(void **state)
{
	(void)state;
	assert_ok(parse("--seconds", "500ms", NULL));
	assert_float_equal(got.seconds, 0.5, 1e-9);
	assert_ok(parse("--seconds=2", NULL, NULL));
	assert_float_equal(got.seconds, 2, 1e-9);
	assert_ok(parse("--seconds=3s", NULL, NULL));
	assert_float_equal(got.seconds, 3, 1e-9);
}

static void options_parse__double_dash_ends_flags(void **state)
{
	(void)state;
	assert_ok(parse("--", "--json", "-x"));
	assert_false(got.json);
	assert_int_equal(word_count, 2);
	assert_string_equal(words[0], "--json");
	/* a dash alone is a word: it stands for standard input */
	assert_ok(parse("-", NULL, NULL));
	assert_int_equal(word_count, 1);
}

static void options_parse__what_is_wrong(void **state)
{
	(void)state;
	assert_status(parse("--jsn", NULL, NULL), INVALID);
	assert_contains(diag_text(), "did you mean --json?");
	assert_status(parse("--unheard-of=1", NULL, NULL), INVALID);
	assert_contains(diag_text(), "--unheard-of");
	assert_status(parse("--json=yes", NULL, NULL), INVALID);
	assert_status(parse("--count", NULL, NULL), INVALID);
	assert_contains(diag_text(), "needs a value");
	assert_status(parse("--text=", NULL, NULL), INVALID);
	assert_status(parse("-json", NULL, NULL), INVALID);
}

static void options_parse__numbers_that_are_none(void **state)
{
	static const char *const bad[] = {"x",     "-1",  "+1",  " 1", "0x10", "inf", "nan",
					  "1e999", "1 K", "1KB", "1k", "0",    "2M",  "1.2.3"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_status(parse("--count", bad[i], NULL), INVALID);
		assert_int_equal(got.count, 0);
	}
	assert_status(parse("--seconds", "2M", NULL), INVALID);
	assert_status(parse("--seconds", "61", NULL), INVALID);
	assert_contains(diag_text(), "0.01 to 60");
}

static void options_parse__text_that_is_too_long_for_a_message(void **state)
{
	char flag[600];
	char command[] = "command";
	char *argv[] = {command, flag};

	(void)state;
	memset(flag, 'x', sizeof(flag));
	flag[0] = flag[1] = '-';
	flag[sizeof(flag) - 1] = 0;
	assert_status(options_parse(options, 2, argv, words, &word_count), INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_parse__values),
		cmocka_unit_test(options_parse__times),
		cmocka_unit_test(options_parse__double_dash_ends_flags),
		cmocka_unit_test(options_parse__what_is_wrong),
		cmocka_unit_test(options_parse__numbers_that_are_none),
		cmocka_unit_test(options_parse__text_that_is_too_long_for_a_message),
	};

	return cmocka_run_group_tests_name("tarn/options", tests, NULL, NULL);
}
