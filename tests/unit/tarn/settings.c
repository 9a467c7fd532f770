#include "tarn/settings.h"

#include "base/cpus.h"
#include "base/os.h"
#include "unit.h"

#include <unistd.h>

static struct config *config;

/* Loads the settings from up to four arguments; NULL ends them. */
static struct status load(const char *a, const char *b, const char *c, const char *d)
{
	const char *const given[] = {a, b, c, d};
	static char copies[4][128];
	char *argv[4] = {0};
	int argc = 0;

	for (; argc < 4 && given[argc]; argc++) {
		snprintf(copies[argc], sizeof(copies[argc]), "%s", given[argc]);
		argv[argc] = copies[argc];
	}
	return settings_load(argc, argv, &config);
}

static const struct settings *values(void)
{
	return config_values(config);
}

static void settings_load__defaults(void **state)
{
	(void)state;
	assert_ok(load(NULL, NULL, NULL, NULL));
	assert_string_equal(values()->data, "./tarn-data");
	assert_true(values()->memory >= MEMORY_BYTES_MIN);
	assert_true(values()->http.on);
	assert_string_equal(values()->http.at.host, "127.0.0.1");
	assert_int_equal(values()->http.at.port, 6480);
	assert_int_equal(values()->resp.at.port, 6400);
	assert_int_equal(values()->listen.at.port, 6410);
	assert_string_equal(values()->meta, "embedded");
	assert_int_equal(values()->hugepages, 0);
	config_destroy(config);
}

static void settings_load__disk_follows_data(void **state)
{
	uint64_t disk;

	(void)state;
	/* other free space than the disk has; a folder that is yet to be made counts too */
	assert_ok(load("--data", "/dev/shm/not/made/yet", NULL, NULL));
	disk = values()->disk;
	config_destroy(config);
	assert_ok(load("--data", "/dev/shm", NULL, NULL));
	assert_true(disk > 0 && disk / 2 < values()->disk && values()->disk / 2 < disk);
	config_destroy(config);
}

static void settings_load__doors_stay_at_home(void **state)
{
	(void)state;
	assert_status(load("--http", "0.0.0.0:0", NULL, NULL), INVALID);
	assert_contains(diag_text(), "--http");
	assert_contains(diag_text(), "--secret");
	assert_status(load("--listen", "[::]:0", NULL, NULL), INVALID);
	assert_status(load("--resp", "10.1.2.3:0", NULL, NULL), INVALID);
	assert_ok(load("--http", "off", "--resp", "[::1]:0"));
	assert_false(values()->http.on);
	config_destroy(config);
}

static void settings_load__secret(void **state)
{
	char path[] = "/tmp/tarn-secret-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "short\n", 6), 6);
	assert_status(load("--secret", path, NULL, NULL), INVALID);
	assert_contains(diag_text(), "openssl rand");
	assert_lacks(diag_text(), "short\n");
	assert_int_equal(write(fd, "0123456789abcdef\n", 17), 17);
	close(fd);
	assert_ok(load("--secret", path, "--http", "0.0.0.0:0"));
	config_destroy(config);
	unlink(path);
	assert_status(load("--secret", path, NULL, NULL), INVALID);
	assert_contains(diag_text(), path);
}

static void settings_load__tls_is_all_or_nothing(void **state)
{
	(void)state;
	assert_status(load("--tls-cert", "/dev/null", NULL, NULL), INVALID);
	assert_contains(diag_text(), "tls-key");
	assert_status(load("--tls-cert", "/dev/null", "--tls-key", "/dev/null"), INVALID);
	assert_contains(diag_text(), "tls-ca");
}

static void settings_load__what_is_wrong(void **state)
{
	static const char *const bad[][2] = {
		{"--memory", "1M"},
		{"--memory", "lots"},
		{"--durability", "maybe"},
		{"--core-mode", "fast"},
		{"--cores", "0"},
		{"--cores", "100000"},
		{"--cores", "4000-5000"},
		{"--cores", "x"},
		{"--name", "a b"},
		{"--name", ""},
		{"--meta", "zoo://x"},
		{"--meta", "tarn://a:1,b:2"},
		{"--meta", "etcd://a"},
		{"--http", "6480"},
		{"--http", "127.0.0.1:65536"},
		{"--listen", "off"},
		{"--data", ""},
		{"--hugepages", "-1"},
		{"--log-level", "silent"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_status(load(bad[i][0], bad[i][1], NULL, NULL), INVALID);
		assert_contains(diag_text(), bad[i][0]);
	}
}

static void settings_cores__numbers_and_lists(void **state)
{
	struct settings_cores cores;
	struct cpus allowed;
	char one[16];

	(void)state;
	assert_ok(settings_cores("1", &cores));
	assert_int_equal(cores.count, 1);
	assert_false(cores.listed);
	assert_ok(os_affinity_get(0, &allowed));
	snprintf(one, sizeof(one), "%u-%u", cpus_nth(&allowed, 0), cpus_nth(&allowed, 0));
	assert_ok(settings_cores(one, &cores));
	assert_true(cores.listed);
	assert_int_equal(cores.count, 1);
	assert_int_equal(cores.cpus[0], cpus_nth(&allowed, 0));
}

/* docs/serve.md has the table as the program prints it (tarn help serve --markdown). */
static void settings_schema__is_documented(void **state)
{
	const char *docs = getenv("DOCS");
	char path[512];
	static char page[1 << 16];
	char *table = NULL;
	size_t bytes;
	FILE *file;

	(void)state;
	if (!docs)
		skip();
	snprintf(path, sizeof(path), "%s/serve.md", docs);
	assert_ok(os_file_read(path, page, sizeof(page), &bytes));
	file = open_memstream(&table, &bytes);
	assert_non_null(file);
	config_markdown(&settings_schema, file);
	fclose(file);
	assert_contains(page, table);
	free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_load__defaults),
		cmocka_unit_test(settings_load__disk_follows_data),
		cmocka_unit_test(settings_load__doors_stay_at_home),
		cmocka_unit_test(settings_load__secret),
		cmocka_unit_test(settings_load__tls_is_all_or_nothing),
		cmocka_unit_test(settings_load__what_is_wrong),
		cmocka_unit_test(settings_cores__numbers_and_lists),
		cmocka_unit_test(settings_schema__is_documented),
	};

	/* a variable of the caller's must not decide */
	unsetenv("TARN_CONFIG");
	return cmocka_run_group_tests_name("tarn/settings", tests, NULL, NULL);
}
