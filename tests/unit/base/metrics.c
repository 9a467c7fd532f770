#include "base/metrics.h"

#include "base/os.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

METRIC_COUNTER(plain, "tarn_test_plain_total", "A counter with \\ and\nnewline");
METRIC_COUNTER_LABELS(red, "tarn_test_colour_total", "colour=\"red\"", "By colour");
METRIC_COUNTER_LABELS(blue, "tarn_test_colour_total", "colour=\"blue\"", "By colour");
METRIC_HISTOGRAM(seconds, "tarn_test_wait_seconds", METRIC_SECONDS, "A time");
METRIC_HISTOGRAM_LABELS(bytes, "tarn_test_size_bytes", "way=\"in\"", METRIC_BYTES, "A size");

static double gauge_value = 1.5;

static double read_gauge(const void *arg)
{
	return gauge_value * *(const int *)arg;
}

static const int twice = 2;
METRIC_GAUGE(gauge, "tarn_test_gauge", read_gauge, &twice, "A gauge");

/* All metrics as Prometheus would get them. */
static char *scrape(void)
{
	static char text[64 * 1024];
	FILE *to = fmemopen(text, sizeof(text), "w");

	metrics_write(to);
	fclose(to);
	return text;
}

static void metric_add__sums_over_slots(void **state)
{
	struct self_thread thread = {.name = "test"};
	struct self *before = self();
	struct self own;

	(void)state;
	metric_add(&plain, 2);
	self_init(&own, &thread);
	assert_true(own.slot != SELF_SLOT_SHARED);
	self_set(&own);
	metric_add(&plain, 40);
	assert_int_equal(metric_value(&plain), 42);
	self_set(before);
	self_fini(&own);
	assert_int_equal(metric_value(&plain), 42);
	assert_contains(scrape(), "\ntarn_test_plain_total 42\n");
}

static void *count_many(void *arg)
{
	for (int i = 0; i < 100000; i++)
		metric_add(arg, 1);
	return NULL;
}

static void metric_add__shared_slot_loses_nothing(void **state)
{
	pthread_t threads[2];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_ok(os_thread_start(count_many, &red, "counter", &threads[i]));
	for (size_t i = 0; i < 2; i++)
		os_thread_join(threads[i]);
	assert_int_equal(metric_value(&red), 200000);
}

static void metrics_write__a_family_has_one_head(void **state)
{
	const char *text = scrape();
	const char *head = strstr(text, "# TYPE tarn_test_colour_total counter\n");

	(void)state;
	metric_add(&blue, 7);
	text = scrape();
	head = strstr(text, "# TYPE tarn_test_colour_total counter\n");
	assert_non_null(head);
	assert_null(strstr(head + 1, "# TYPE tarn_test_colour_total"));
	assert_contains(text, "tarn_test_colour_total{colour=\"blue\"} 7\n");
	assert_contains(text, "tarn_test_colour_total{colour=\"red\"} ");
}

static void metrics_write__escapes_help(void **state)
{
	(void)state;
	assert_contains(scrape(), "# HELP tarn_test_plain_total A counter with \\\\ and\\nnewline\n"
				  "# TYPE tarn_test_plain_total counter\n");
}

static void metrics_write__gauges(void **state)
{
	(void)state;
	gauge_value = 1.5;
	assert_contains(scrape(), "# TYPE tarn_test_gauge gauge\ntarn_test_gauge 3\n");
	gauge_value = -0.125;
	assert_contains(scrape(), "tarn_test_gauge -0.25\n");
	gauge_value = INFINITY;
	assert_contains(scrape(), "tarn_test_gauge +Inf\n");
	gauge_value = -INFINITY;
	assert_contains(scrape(), "tarn_test_gauge -Inf\n");
	gauge_value = NAN;
	assert_contains(scrape(), "tarn_test_gauge NaN\n");
	gauge_value = 21;
	assert_int_equal(metric_value(&gauge), 42);
}

static void metrics_write__sorted_by_name(void **state)
{
	char before[128] = "", name[128];
	const char *at = scrape();

	(void)state;
	while ((at = strstr(at, "# TYPE "))) {
		assert_int_equal(sscanf(at, "# TYPE %127s", name), 1);
		assert_true(strcmp(before, name) < 0);
		memcpy(before, name, sizeof(before));
		at++;
	}
	assert_string_equal(before, "tarn_test_wait_seconds");
}

static void metric_observe__bounds_belong_to_the_bucket(void **state)
{
	const char *text;

	(void)state;
	metric_observe(&seconds, 0);
	metric_observe(&seconds, 256);
	metric_observe(&seconds, 257);
	metric_observe(&seconds, 512);
	metric_observe(&seconds, 513);
	metric_observe(&seconds, 1ull << 36);
	metric_observe(&seconds, (1ull << 36) + 1);
	text = scrape();
	assert_contains(text, "# TYPE tarn_test_wait_seconds histogram\n");
	assert_contains(text, "tarn_test_wait_seconds_bucket{le=\"2.56e-07\"} 2\n");
	assert_contains(text, "tarn_test_wait_seconds_bucket{le=\"5.12e-07\"} 4\n");
	assert_contains(text, "tarn_test_wait_seconds_bucket{le=\"1.024e-06\"} 5\n");
	assert_contains(text, "tarn_test_wait_seconds_bucket{le=\"68.719476736\"} 6\n");
	assert_contains(text, "tarn_test_wait_seconds_bucket{le=\"+Inf\"} 7\n");
	assert_contains(text, "tarn_test_wait_seconds_count 7\n");
	assert_contains(text, "tarn_test_wait_seconds_sum 137.4389");
	assert_int_equal(metric_value(&seconds), 7);
}

static void metric_observe__labels_and_bytes(void **state)
{
	(void)state;
	metric_observe(&bytes, 4096);
	metric_observe(&bytes, UINT64_MAX / 2);
	assert_contains(scrape(), "tarn_test_size_bytes_bucket{way=\"in\",le=\"2048\"} 0\n");
	assert_contains(scrape(), "tarn_test_size_bytes_bucket{way=\"in\",le=\"4096\"} 1\n");
	assert_contains(scrape(), "tarn_test_size_bytes_bucket{way=\"in\",le=\"+Inf\"} 2\n");
	assert_contains(scrape(), "tarn_test_size_bytes_count{way=\"in\"} 2\n");
}

static void metric_register__at_run_time(void **state)
{
	static char labels[128];
	static struct metric m = {.name = "tarn_test_device_total",
				  .help = "Found at start",
				  .labels = labels,
				  .kind = METRIC_KIND_COUNTER};

	(void)state;
	metric_label(labels, sizeof(labels), "device", "a\"b\\c\nd");
	metric_label(labels, sizeof(labels), "port", "1");
	metric_register(&m);
	metric_add(&m, 1);
	assert_contains(scrape(),
			"tarn_test_device_total{device=\"a\\\"b\\\\c\\nd\",port=\"1\"} 1\n");
}

static void metric_label__leaves_out_what_does_not_fit(void **state)
{
	char labels[16] = "";

	(void)state;
	metric_label(labels, sizeof(labels), "a", "1234");
	metric_label(labels, sizeof(labels), "b", "12345");
	assert_string_equal(labels, "a=\"1234\"");
	metric_label(labels, sizeof(labels), "b", "1");
	assert_string_equal(labels, "a=\"1234\",b=\"1\"");
}

/* Registers the metric in a child; true if the child dies of an assertion. */
static bool is_refused(struct metric *metrics, size_t count)
{
	pid_t child = fork();
	int how;

	if (child == 0) {
		struct rlimit no_core = {0};

		setrlimit(RLIMIT_CORE, &no_core);
		close(STDERR_FILENO);
		for (size_t i = 0; i < count; i++)
			metric_register(&metrics[i]);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &how, 0), child);
	return WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT;
}

static void metric_register__asserts_what_prometheus_wants(void **state)
{
	struct metric m = {.name = "tarn_ok_total", .help = "h", .kind = METRIC_KIND_COUNTER};

	(void)state;
	assert_false(is_refused(&m, 1));
	m.name = "tarn_counter_without_suffix";
	assert_true(is_refused(&m, 1));
	m.name = "9_total";
	assert_true(is_refused(&m, 1));
	m.name = "tarn-ok_total";
	assert_true(is_refused(&m, 1));
	/* the same line twice, and one family of two kinds */
	m.name = plain.name;
	assert_true(is_refused(&m, 1));
	m.labels = "a=\"b\"";
	assert_false(is_refused(&m, 1));
	m = (struct metric){.name = plain.name,
			    .help = "h",
			    .labels = "a=\"b\"",
			    .kind = METRIC_KIND_GAUGE,
			    .read = read_gauge};
	assert_true(is_refused(&m, 1));
}

static void metric_register__asserts_the_limit(void **state)
{
	static struct metric many[METRICS_CELLS];
	static char names[METRICS_CELLS][32];

	(void)state;
	for (size_t i = 0; i < METRICS_CELLS; i++) {
		snprintf(names[i], sizeof(names[i]), "tarn_%05zu_total", METRICS_CELLS - i);
		many[i] =
			(struct metric){.name = names[i], .help = "h", .kind = METRIC_KIND_COUNTER};
	}
	assert_false(is_refused(many, METRICS_CELLS / 2));
	assert_true(is_refused(many, METRICS_CELLS));
}

/* Every line is a comment, or a name with labels and a number: what promtool's parser accepts. */
static void metrics_write__every_line_is_well_formed(void **state)
{
	char *save, *text = scrape();

	(void)state;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strrchr(line, ' ');
		char *end;

		if (strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0)
			continue;
		assert_true(strncmp(line, "tarn_", 5) == 0);
		assert_non_null(value);
		strtod(value + 1, &end);
		assert_int_equal(*end, '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metric_add__sums_over_slots),
		cmocka_unit_test(metric_add__shared_slot_loses_nothing),
		cmocka_unit_test(metrics_write__a_family_has_one_head),
		cmocka_unit_test(metrics_write__escapes_help),
		cmocka_unit_test(metrics_write__gauges),
		cmocka_unit_test(metrics_write__sorted_by_name),
		cmocka_unit_test(metric_observe__bounds_belong_to_the_bucket),
		cmocka_unit_test(metric_observe__labels_and_bytes),
		cmocka_unit_test(metric_register__at_run_time),
		cmocka_unit_test(metric_register__asserts_what_prometheus_wants),
		cmocka_unit_test(metric_register__asserts_the_limit),
		cmocka_unit_test(metric_label__leaves_out_what_does_not_fit),
		cmocka_unit_test(metrics_write__every_line_is_well_formed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
