#include "base/config.h"

#include "base/config_int.h"
#include "base/os.h"

#include <unistd.h>

#include "unit.h"

static const char *const levels[] = {"debug", "info", "error", NULL};
static const char *const others[] = {"TARN_AT", NULL};

static void a_quarter(struct line *l)
{
	line_text(l, "256M");
}

static struct status check_even(const char *text)
{
	if (strlen(text) % 2)
		return fail(STATUS_INVALID, "\"%s\" is odd; an even length is wanted", text);
	return OK;
}

/* clang-format off */
#define TEST_SETTINGS(X, S)                                                                        \
	X(S, data, STRING, "data", .initial = "./data", .value = "DIR", .min = 1,                  \
	  .meaning = "where the data lives")                                                       \
	X(S, memory, SIZE, "memory", .compute = a_quarter, .about = "a quarter", .min = 64 << 20,  \
	  .max = 1ull << 40, .meaning = "memory to use")                                           \
	X(S, threads, INT, "threads", .initial = "4", .min = 1, .max = 64, .meaning = "threads",   \
	  .role = "store")                                                                         \
	X(S, wait, DURATION, "wait-time", .initial = "10ms", .max = 1000000000ull,                 \
	  .meaning = "how long to wait")                                                           \
	X(S, level, ENUM, "log-level", .initial = "info", .choices = levels,                       \
	  .meaning = "what is logged")                                                             \
	X(S, quiet, BOOL, "quiet", .meaning = "say nothing")                                       \
	X(S, peers, LIST, "peers", .max = 3, .meaning = "who else")                                \
	X(S, listen, ENDPOINT, "listen", .initial = "127.0.0.1:6410", .may_be_off = true,          \
	  .meaning = "where to listen")                                                            \
	X(S, secret, SECRET, "token", .max = 20, .meaning = "a secret")                            \
	X(S, even, STRING, "even", .check = check_even, .meaning = "of even length")
/* clang-format on */

CONFIG_STRUCT(test_config, TEST_SETTINGS);
static const struct config_setting settings[] = CONFIG_TABLE(test_config, TEST_SETTINGS);

static struct status check_contradictions(const struct config *c, const void *values)
{
	const struct test_config *v = values;

	if (v->quiet && v->level == 0)
		return config_fail(c, "quiet", "contradicts log-level debug (%s)",
				   config_place(c, "log-level"));
	return OK;
}

static const struct config_schema schema = {
	.program = "test",
	.settings = settings,
	.count = ARRAY_SIZE(settings),
	.values_bytes = sizeof(struct test_config),
	.other_variables = others,
	.check = check_contradictions,
};

static char path[] = "/tmp/tarn-unit-config-XXXXXX";
static struct config *made;

static int setup(void **state)
{
	(void)state;
	made = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	config_destroy(made);
	return 0;
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

/* Reads the configuration from arguments, environment (both end with NULL) and the file's text. */
static struct status create(const char *const *arguments, const char *const *environment,
			    const char *file)
{
	char *argv[16], flag[64];
	int argc = 0;

	if (file) {
		FILE *f = fopen(path, "w");

		fputs(file, f);
		fclose(f);
		snprintf(flag, sizeof(flag), "--config=%s", path);
		argv[argc++] = flag;
	}
	for (; arguments && *arguments; arguments++)
		argv[argc++] = (char *)(uintptr_t)*arguments;
	config_destroy(made);
	made = NULL;
	return config_create(&schema, argc, argv, (char *const *)(uintptr_t)environment, &made);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define values()  ((const struct test_config *)config_values(made))

/* The detail that a file's text, a single flag, or a single variable fails with. */
static const char *file_fails(const char *text)
{
	assert_status(create(NULL, NULL, text), INVALID);
	/* the temporary name is of no interest */
	assert_true(strncmp(diag_text(), path, strlen(path)) == 0);
	return diag_text() + strlen(path);
}

static const char *flag_fails(const char *flag)
{
	assert_status(create(LIST(flag), NULL, NULL), INVALID);
	return diag_text();
}

static const char *variable_fails(const char *variable)
{
	assert_status(create(NULL, LIST(variable), NULL), INVALID);
	return diag_text();
}

static void config_create__defaults(void **state)
{
	(void)state;
	assert_ok(create(NULL, NULL, NULL));
	assert_string_equal(values()->data, "./data");
	assert_int_equal(values()->memory, 256 << 20);
	assert_int_equal(values()->threads, 4);
	assert_int_equal(values()->wait, 10000000);
	assert_int_equal(values()->level, 1);
	assert_false(values()->quiet);
	assert_int_equal(values()->peers.count, 0);
	assert_true(values()->listen.on);
	assert_int_equal(values()->listen.at.port, 6410);
	assert_string_equal(values()->secret, "");
	assert_false(config_given(made, "data"));
	assert_string_equal(config_place(made, "data"), "default");
}

static void config_create__flags_in_both_forms(void **state)
{
	(void)state;
	assert_ok(create(LIST("--data", "/x", "--memory=1G", "--quiet", "--listen", "off",
			      "--log_level", "error", "--peers=a, b ,c"),
			 NULL, NULL));
	assert_string_equal(values()->data, "/x");
	assert_int_equal(values()->memory, 1 << 30);
	assert_true(values()->quiet);
	assert_false(values()->listen.on);
	assert_int_equal(values()->level, 2);
	assert_int_equal(values()->peers.count, 3);
	assert_string_equal(values()->peers.items[1], "b");
	assert_string_equal(config_place(made, "log-level"), "--log-level");
	assert_true(config_given(made, "data"));
}

static void config_create__booleans(void **state)
{
	(void)state;
	assert_ok(create(LIST("--quiet=off"), LIST("TARN_QUIET=on"), NULL));
	assert_false(values()->quiet);
	assert_ok(create(LIST("--no-quiet"), LIST("TARN_QUIET=on"), NULL));
	assert_false(values()->quiet);
	assert_contains(flag_fails("--no-data"), "\"--no-data\" is unknown");
	assert_contains(flag_fails("--no-quiet=on"), "is unknown");
}

static void config_create__precedence(void **state)
{
	const char *file = "data = /file\nthreads = 5\nwait-time = 5ms\n";

	(void)state;
	assert_ok(
		create(LIST("--data=/flag"), LIST("TARN_DATA=/variable", "TARN_THREADS=6"), file));
	assert_string_equal(values()->data, "/flag");
	assert_int_equal(values()->threads, 6);
	assert_int_equal(values()->wait, 5000000);
	assert_string_equal(config_place(made, "threads"), "TARN_THREADS");
	assert_contains(config_place(made, "wait-time"), ":3");
}

static void config_create__file_from_the_environment(void **state)
{
	char variable[64];

	(void)state;
	snprintf(variable, sizeof(variable), "TARN_CONFIG=%s", path);
	assert_ok(create(NULL, NULL, "threads = 9\n"));
	assert_ok(create(NULL, LIST(variable), NULL));
	assert_int_equal(values()->threads, 9);
	assert_status(create(LIST("--config=/nowhere"), LIST(variable), NULL), NOT_FOUND);
	assert_contains(diag_text(), "/nowhere");
}

static void config_create__file_syntax(void **state)
{
	(void)state;
	assert_ok(create(NULL, NULL,
			 "# comment\n\n  \t\n"
			 "data=/a b # behind\n"
			 "  threads\t = 7\t# seven\r\n"
			 "peers = x#y, z\n"
			 "token = \" a \\\"b\\\" \\\\ # c \" # behind\n"
			 "log_level = debug"));
	assert_string_equal(values()->data, "/a b");
	assert_int_equal(values()->threads, 7);
	assert_string_equal(values()->peers.items[0], "x#y");
	assert_string_equal(values()->secret, " a \"b\" \\ # c ");
	assert_int_equal(values()->level, 0);
}

static void config_create__file_mistakes_name_the_line(void **state)
{
	(void)state;
	assert_string_equal(file_fails("\n\nmemroy = 1G\n"),
			    ":3: key \"memroy\" is unknown; did you mean \"memory\"?");
	assert_string_equal(file_fails("nonsense"), ":1: \"key = value\" is wanted");
	assert_string_equal(file_fails(" = 5"), ":1: a key is wanted before the =");
	assert_string_equal(file_fails("data = \"x"), ":1: the quoted value must end with a quote");
	assert_contains(file_fails("data = \"x\" y"), "must end with a quote");
	assert_contains(file_fails("data = a\x01"), ":1: has a control character (0x01)");
	assert_contains(file_fails("zzzzzzzz = 1"), "is unknown; --dump-config lists all");
}

static void config_create__twice_is_refused(void **state)
{
	(void)state;
	assert_contains(file_fails("threads = 1\nthreads = 2\n"), ":2: threads is given twice");
	assert_contains(diag_text(), ":1)");
	assert_status(create(LIST("--threads=1", "--threads=2"), NULL, NULL), INVALID);
	assert_contains(diag_text(), "--threads: threads is given twice");
	assert_status(create(LIST("--config", "/a", "--config", "/b"), NULL, NULL), INVALID);
	assert_contains(diag_text(), "--config: is given twice");
}

static void config_create__ranges(void **state)
{
	(void)state;
	assert_string_equal(flag_fails("--memory=1K"),
			    "--memory: memory: \"1K\" is out of range: 64M to 1T");
	assert_contains(flag_fails("--memory=2T"), "out of range");
	assert_ok(create(LIST("--memory=1T"), NULL, NULL));
	assert_ok(create(LIST("--memory=64M"), NULL, NULL));
	assert_contains(variable_fails("TARN_THREADS=0"),
			"TARN_THREADS: threads: \"0\" is out of range: 1 to 64");
	assert_contains(variable_fails("TARN_WAIT_TIME=1001ms"), "out of range: 0ns to 1s");
	assert_contains(flag_fails("--data="), "out of range: at least 1 bytes");
	assert_contains(flag_fails("--peers=a,b,c,d"), "out of range: 0 to 3 items");
	assert_contains(flag_fails("--peers=a,,b"), "has an empty item");
}

static void config_create__wrong_values(void **state)
{
	(void)state;
	assert_string_equal(flag_fails("--log-level=loud"),
			    "--log-level: log-level: \"loud\" is none of debug, info, error");
	assert_contains(flag_fails("--threads=four"), "a whole number is wanted");
	assert_contains(flag_fails("--listen=here"), "an address like");
	assert_contains(flag_fails("--quiet=maybe"), "on or off is wanted");
	assert_string_equal(flag_fails("--even=odd"),
			    "--even: even: \"odd\" is odd; an even length is wanted");
	assert_contains(flag_fails("--data"), "--data: a value is wanted behind it");
	assert_contains(flag_fails("--config"), "--config: a value is wanted");
}

static void config_create__secrets_stay_hidden(void **state)
{
	(void)state;
	assert_lacks(flag_fails("--token=this-is-a-very-long-secret"), "this-is");
	assert_contains(diag_text(), "out of range: 0 to 20 bytes");
}

static void config_create__unknown_flags_and_arguments(void **state)
{
	(void)state;
	assert_string_equal(
		flag_fails("--treads=1"),
		"command line: flag \"--treads\" is unknown; did you mean \"threads\"?");
	assert_contains(flag_fails("stray"), "\"stray\" is no flag");
}

static void config_create__unknown_variables(void **state)
{
	(void)state;
	assert_string_equal(
		variable_fails("TARN_MEMRY=1G"),
		"environment: variable \"TARN_MEMRY\" is unknown; did you mean \"memory\"?");
	assert_ok(
		create(NULL, LIST("TARN_AT=host:1", "TARNISH=1", "PATH=/bin", "no equals"), NULL));
	/* a Kubernetes service called tarn puts these into every container */
	assert_ok(create(NULL,
			 LIST("TARN_SERVICE_HOST=10.0.0.1", "TARN_SERVICE_PORT_RESP=6400",
			      "TARN_PORT=tcp://10.0.0.1:6400", "TARN_PORT_6400_TCP_ADDR=10.0.0.1"),
			 NULL));
	assert_contains(variable_fails("TARN_PORT=6400"), "is unknown");
}

static void config_create__contradictions(void **state)
{
	(void)state;
	assert_status(create(LIST("--quiet"), LIST("TARN_LOG_LEVEL=debug"), NULL), INVALID);
	assert_string_equal(diag_text(),
			    "--quiet: quiet: contradicts log-level debug (TARN_LOG_LEVEL)");
}

static void config_create__help_reads_nothing_else(void **state)
{
	(void)state;
	assert_ok(create(LIST("--help", "--nonsense"), LIST("TARN_NONSENSE=1"), NULL));
	assert_true(config_help_wanted(made));
	assert_ok(create(LIST("--dump-config"), NULL, NULL));
	assert_true(config_dump_wanted(made));
	assert_false(config_help_wanted(made));
}

static void config_arguments__kept_where_allowed(void **state)
{
	static struct config_schema taking;
	char data[] = "--data=x", end[] = "--", one[] = "one", two[] = "--two";
	char *argv[] = {one, data, end, two};
	size_t count;

	(void)state;
	taking = schema;
	taking.takes_arguments = true;
	assert_ok(config_create(&taking, 4, argv, NULL, &made));
	assert_string_equal(config_arguments(made, &count)[0], "one");
	assert_string_equal(config_arguments(made, &count)[1], "--two");
	assert_int_equal(count, 2);
}

static char *printed(void (*print)(FILE *to))
{
	static char text[16384];
	FILE *to = fmemopen(text, sizeof(text), "w");

	print(to);
	fclose(to);
	return text;
}

static void print_dump(FILE *to)
{
	config_dump(made, to);
}

static void print_help(FILE *to)
{
	config_help(&schema, to);
}

static void print_markdown(FILE *to)
{
	config_markdown(&schema, to);
}

static void config_dump__says_all(void **state)
{
	(void)state;
	assert_ok(create(LIST("--token=hush", "--threads=8"), NULL, NULL));
	const char *text = printed(print_dump);
	assert_contains(text, "# memory to use\n# SIZE; default: a quarter; range: 64M to 1T; "
			      "from: default\nmemory = 256M\n");
	assert_contains(text, "# N; default: 4; range: 1 to 64; role: store; from: --threads\n"
			      "threads = 8\n");
	assert_contains(text, "# debug|info|error; default: info; from: default\n");
	assert_contains(text, "# token = (set; hidden)\n");
	assert_lacks(text, "hush");
}

static void config_dump__can_be_read_back(void **state)
{
	char text[16384];

	(void)state;
	assert_ok(create(LIST("--data= #\\\\\" ", "--quiet", "--peers=a,b", "--listen=off",
			      "--wait-time=7us", "--even=\"quo\\t"),
			 NULL, NULL));
	snprintf(text, sizeof(text), "%s", printed(print_dump));
	assert_ok(create(NULL, NULL, text));
	assert_string_equal(values()->data, " #\\\\\" ");
	assert_string_equal(values()->even, "\"quo\\t");
	assert_true(values()->quiet);
	assert_int_equal(values()->peers.count, 2);
	assert_false(values()->listen.on);
	assert_int_equal(values()->wait, 7000);
}

static void config_help__one_line_for_each(void **state)
{
	const char *text = printed(print_help);

	(void)state;
	assert_contains(text, "  --data DIR                   where the data lives (./data)\n");
	assert_contains(text, "--log-level debug|info|error ");
	assert_contains(text, "--listen HOST:PORT|off ");
	assert_contains(text, "  --quiet                      say nothing (off)\n");
	assert_contains(text, "--config FILE");
}

static void config_markdown__a_row_for_each(void **state)
{
	const char *text = printed(print_markdown);

	(void)state;
	assert_contains(text,
			"| `memory` | SIZE | a quarter | 64M to 1T | all | memory to use |\n");
	assert_contains(text,
			"| `log-level` | debug\\|info\\|error | info |  | all | what is logged |");
}

static void config_create__file_cannot_be_read(void **state)
{
	(void)state;
	os_fault_set(OS_CALL_BIT(OS_CALL_READ), 0, false);
	assert_status(create(NULL, NULL, "threads = 1\n"), IO);
	assert_int_equal(os_fault_clear(), 1);
	assert_contains(diag_text(), "cannot be read");
}

static void config_create__file_too_long(void **state)
{
	static char text[CONFIG_FILE_BYTES + 10];

	(void)state;
	memset(text, '#', sizeof(text) - 1);
	assert_status(create(NULL, NULL, text), LIMIT);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(config_create__defaults),
		CASE(config_create__flags_in_both_forms),
		CASE(config_create__booleans),
		CASE(config_create__precedence),
		CASE(config_create__file_from_the_environment),
		CASE(config_create__file_syntax),
		CASE(config_create__file_mistakes_name_the_line),
		CASE(config_create__twice_is_refused),
		CASE(config_create__ranges),
		CASE(config_create__wrong_values),
		CASE(config_create__secrets_stay_hidden),
		CASE(config_create__unknown_flags_and_arguments),
		CASE(config_create__unknown_variables),
		CASE(config_create__contradictions),
		CASE(config_create__help_reads_nothing_else),
		CASE(config_create__file_cannot_be_read),
		CASE(config_create__file_too_long),
		CASE(config_arguments__kept_where_allowed),
		CASE(config_dump__says_all),
		CASE(config_dump__can_be_read_back),
		CASE(config_help__one_line_for_each),
		CASE(config_markdown__a_row_for_each),
	};
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
