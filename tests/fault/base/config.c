/*
 * The configuration with its n-th allocation failing, for n = 0 … until it succeeds: each failure
 * must be the documented status, and nothing may leak (the sanitizers' builds see to that).
 */
#include "base/config.h"
#include "base/os.h"

#include <fcntl.h>
#include <unistd.h>

#include "unit.h"

/* Counts down to the allocation that fails; below zero none does. */
static long left = -1;

static bool fails(void)
{
	return left >= 0 && left-- == 0;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails() ? NULL : __real_calloc(count, bytes);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t bytes)
{
	return fails() ? NULL : __real_strndup(text, bytes);
}

#define FAULT_SETTINGS(X, S)                                                                       \
	X(S, data, STRING, "data", .initial = "./data", .meaning = "m")                            \
	X(S, peers, LIST, "peers", .initial = "a,b", .meaning = "m")                               \
	X(S, listen, ENDPOINT, "listen", .may_be_off = true, .meaning = "m")

CONFIG_STRUCT(fault_config, FAULT_SETTINGS);
static const struct config_setting settings[] = CONFIG_TABLE(fault_config, FAULT_SETTINGS);

static const struct config_schema schema = {
	.program = "fault",
	.settings = settings,
	.count = ARRAY_SIZE(settings),
	.values_bytes = sizeof(struct fault_config),
};

static char path[] = "/tmp/tarn-fault-config-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd >= 0 && write(fd, "peers = x, y\n", 13) == 13 && close(fd) == 0 ? 0 : -1;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static struct status create(struct config **ret_config)
{
	static char data[] = "--data=/flag", flag[64], variable[] = "TARN_LISTEN=[::1]:80";
	char *argv[] = {data, flag}, *environment[] = {variable, NULL};

	snprintf(flag, sizeof(flag), "--config=%s", path);
	return config_create(&schema, 2, argv, environment, ret_config);
}

static void check(struct config *c)
{
	const struct fault_config *v = config_values(c);

	assert_string_equal(v->data, "/flag");
	assert_string_equal(v->peers.items[1], "y");
	assert_int_equal(v->listen.at.port, 80);
	config_destroy(c);
}

static void config_create__every_allocation(void **state)
{
	struct config *c = NULL;
	long n = 0;

	(void)state;
	for (;; n++) {
		left = n;
		struct status status = create(&c);
		bool fired = left < 0;
		left = -1;
		if (!fired)
			break;
		assert_int_equal(status.code, STATUS_NO_MEMORY);
		assert_contains(diag_text(), "no memory");
		assert_null(c);
	}
	assert_true(n > 10);
	assert_non_null(c);
	check(c);
}

static void config_create__every_system_call(void **state)
{
	struct config *c = NULL;
	uint64_t n = 0;

	(void)state;
	for (;; n++) {
		os_fault_set(OS_CALL_ANY, n, false);
		struct status status = create(&c);
		if (os_fault_clear() == 0)
			break;
		assert_false(status_ok(status));
		assert_contains(diag_text(), path);
		assert_null(c);
	}
	assert_true(n >= 2);
	assert_non_null(c);
	check(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_create__every_allocation),
		cmocka_unit_test(config_create__every_system_call),
	};
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
