#include "base/log.h"

#include "base/clock.h"
#include "base/os.h"
#include "base/self.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char folder[] = "/tmp/tarn-unit-log-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static struct status use(enum log_level level, enum log_format format)
{
	struct log_config config = {.level = level, .format = format, .path = path};

	return log_configure(&config);
}

static int setup(void **state)
{
	(void)state;
	return status_ok(use(LOG_LEVEL_INFO, LOG_FORMAT_TEXT)) ? 0 : -1;
}

static int teardown(void **state)
{
	struct log_config config = {.level = LOG_LEVEL_INFO};

	(void)state;
	unlink(path);
	return status_ok(log_configure(&config)) ? 0 : -1;
}

static const char *written(void)
{
	static char text[64 * 1024];
	size_t bytes;

	assert_ok(os_file_read(path, text, sizeof(text), &bytes));
	return text;
}

static size_t lines_in(const char *text)
{
	size_t lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void log_write__text_line(void **state)
{
	char *end;

	(void)state;
	log_warn("disk %s is %d %% full", "a", 91);
	assert_contains(written(), " WARN  [foreign] disk a is 91 % full (");
	assert_contains(written(), "tests/unit/base/log.c:");
	/* 2026-01-02T03:04:05.123456Z */
	assert_true(strtol(written(), &end, 10) >= 2020);
	assert_int_equal(*end, '-');
	assert_int_equal(written()[10], 'T');
	assert_int_equal(written()[26], 'Z');
	assert_int_equal(lines_in(written()), 1);
}

static void log_write__json_line(void **state)
{
	(void)state;
	assert_ok(use(LOG_LEVEL_INFO, LOG_FORMAT_JSON));
	log_error("say \"%s\"", "a\\b\nc\xff");
	assert_contains(written(), "{\"time\":\"2");
	assert_contains(written(), "Z\",\"level\":\"error\",\"thread\":\"foreign\","
				   "\"text\":\"say \\\"a\\\\b\\nc\\ufffd\\\"\",\"where\":\"");
	assert_contains(written(), "\"}\n");
	assert_int_equal(lines_in(written()), 1);
}

static void log_write__no_injection(void **state)
{
	struct self_thread *before = self()->thread;
	struct self_thread thread = {.name = "evil\nname"};

	(void)state;
	self()->thread = &thread;
	log_info("%s", "real\n2026-01-01T00:00:00.000000Z ERROR forged\x1b[2J");
	self()->thread = before;
	assert_int_equal(lines_in(written()), 1);
	assert_contains(written(), "real\\x0a2026");
	assert_contains(written(), "[evil\\x0aname]");
	assert_lacks(written(), "\x1b");
}

static void log_write__long_lines_stay_whole(void **state)
{
	char text[3000];

	(void)state;
	memset(text, '\x01', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	assert_ok(use(LOG_LEVEL_INFO, LOG_FORMAT_JSON));
	log_info("%s", text);
	const char *second = strchr(written(), '\n') + 1;
	assert_int_equal(lines_in(written()), 2);
	assert_true((size_t)(second - written()) <= LOG_LINE_BYTES);
	assert_true(strlen(second) <= LOG_LINE_BYTES);
	assert_contains(second, "\\u0001\",\"where\":\"");
	assert_contains(second, "\"}\n");
}

static void log_enabled__below_the_level(void **state)
{
	(void)state;
	log_debug("quiet");
	assert_string_equal(written(), "");
	assert_false(log_enabled(LOG_LEVEL_DEBUG));
	assert_ok(use(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT));
	log_warn("quiet");
	log_error("loud");
	assert_int_equal(lines_in(written()), 1);
	assert_ok(use(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT));
	log_debug("seen");
	assert_contains(written(), "DEBUG [foreign] seen");
}

static void repeat(int number)
{
	log_info("number %d", number);
}

static void log_write__limited_at_each_site(void **state)
{
	(void)state;
	for (int i = 0; i < LOG_BURST + 1000; i++)
		repeat(i);
	/* the machine may be so slow that the bucket fills up while we write */
	assert_in_range(lines_in(written()), LOG_BURST, LOG_BURST + 500);
	log_info("another place");
	assert_contains(written(), "another place");
}

static void log_write__says_how_many_were_suppressed(void **state)
{
	struct log_site site = {.file = "here.c", .line = 7};

	(void)state;
	for (int i = 0; i < LOG_BURST; i++)
		log_write(&site, LOG_LEVEL_INFO, "burst");
	/* full long hence: the next three find no token, whatever the time */
	atomic_u64_quiet_store(&site.full_ns, clock_ns() + 3600 * NS_PER_S, ORDER_RELAXED);
	for (int i = 0; i < 3; i++)
		log_write(&site, LOG_LEVEL_INFO, "above");
	assert_lacks(written(), "above");
	atomic_u64_quiet_store(&site.full_ns, 0, ORDER_RELAXED);
	log_write(&site, LOG_LEVEL_INFO, "after");
	log_write(&site, LOG_LEVEL_INFO, "last");
	assert_contains(written(), "after (here.c:7, 3 more like this suppressed)\n");
	assert_contains(written(), "last (here.c:7)\n");
}

static void log_reopen__after_a_move(void **state)
{
	char moved[80];

	(void)state;
	snprintf(moved, sizeof(moved), "%s.1", path);
	log_info("first");
	assert_int_equal(rename(path, moved), 0);
	log_info("second");
	assert_ok(log_reopen());
	log_info("third");
	assert_contains(written(), "third");
	assert_lacks(written(), "second");
	unlink(moved);
}

static void log_reopen__failing_keeps_the_old(void **state)
{
	(void)state;
	log_info("first");
	os_fault_set(OS_CALL_BIT(OS_CALL_OPEN), 0, false);
	assert_status(log_reopen(), LIMIT);
	assert_int_equal(os_fault_clear(), 1);
	log_info("second");
	assert_contains(written(), "second");
}

static void log_configure__refuses_what_cannot_be_opened(void **state)
{
	struct log_config config = {.level = LOG_LEVEL_DEBUG, .path = "/nowhere/at/all"};

	(void)state;
	assert_status(log_configure(&config), NOT_FOUND);
	assert_contains(diag_text(), "/nowhere/at/all");
	assert_false(log_enabled(LOG_LEVEL_DEBUG));
	log_info("still here");
	assert_contains(written(), "still here");
}

/* A reader that stands still must not stop us; the lines that it costs are counted. */
static void log_write__full_pipe_loses_lines_and_says_so(void **state)
{
	char fifo[80], text[LOG_LINE_BYTES + 1] = "";
	struct log_config config = {.path = fifo};
	struct log_site site = {.file = "here.c", .line = 1};
	ssize_t got;

	(void)state;
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	int reader = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(reader >= 0);
	assert_ok(log_configure(&config));
	while (write(reader, text, sizeof(text) - 1) > 0)
		;
	log_write(&site, LOG_LEVEL_INFO, "one");
	log_write(&site, LOG_LEVEL_INFO, "two");
	while ((got = read(reader, text, sizeof(text) - 1)) > 0)
		;
	log_write(&site, LOG_LEVEL_INFO, "three");
	got = read(reader, text, sizeof(text) - 1);
	assert_true(got > 0);
	text[got] = '\0';
	assert_contains(text, "three (here.c:1, 2 lines lost before this one)\n");
	assert_lacks(text, "one (");
	close(reader);
	unlink(fifo);
	assert_ok(use(LOG_LEVEL_INFO, LOG_FORMAT_TEXT));
}

static void *log_many(void *arg)
{
	struct log_site site = {.file = "many.c", .line = 1};

	for (int i = 0; i < LOG_BURST; i++)
		log_write(&site, LOG_LEVEL_INFO, "begin %s end", (const char *)arg);
	return NULL;
}

static void log_write__lines_of_threads_do_not_mix(void **state)
{
	static char a[200], b[200];
	pthread_t threads[2];
	char *save, *text;

	(void)state;
	memset(a, 'a', sizeof(a) - 1);
	memset(b, 'b', sizeof(b) - 1);
	assert_ok(os_thread_start(log_many, a, "a", &threads[0]));
	assert_ok(os_thread_start(log_many, b, "b", &threads[1]));
	os_thread_join(threads[0]);
	os_thread_join(threads[1]);
	text = strdup(written());
	assert_int_equal(lines_in(text), 2 * LOG_BURST);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		assert_true(strstr(line, a) || strstr(line, b));
	free(text);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(log_write__text_line),
		CASE(log_write__json_line),
		CASE(log_write__no_injection),
		CASE(log_write__long_lines_stay_whole),
		CASE(log_enabled__below_the_level),
		CASE(log_write__limited_at_each_site),
		CASE(log_write__says_how_many_were_suppressed),
		CASE(log_reopen__after_a_move),
		CASE(log_reopen__failing_keeps_the_old),
		CASE(log_configure__refuses_what_cannot_be_opened),
		CASE(log_write__full_pipe_loses_lines_and_says_so),
		CASE(log_write__lines_of_threads_do_not_mix),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
