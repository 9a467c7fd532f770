/* What needs no clients; with them: arbiter_session.c and tests/integration/arbiter.c. */
#include "rt/arbiter.h"

#include "base/os.h"
#include "rt/arbiter_plan.h"
#include "unit.h"

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/tarn-arbiter-XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

/* Says which processors share a core, as /sys does; NULL: leaves the processor out. */
static void topology_write(uint32_t cpu, const char *siblings)
{
	char name[128];
	FILE *file;

	snprintf(name, sizeof(name), "%s/cpu%u", folder, cpu);
	mkdir(name, 0700);
	snprintf(name, sizeof(name), "%s/cpu%u/topology", folder, cpu);
	mkdir(name, 0700);
	snprintf(name, sizeof(name), "%s/cpu%u/topology/thread_siblings_list", folder, cpu);
	file = fopen(name, "w");
	assert_non_null(file);
	fputs(siblings, file);
	fclose(file);
}

static int teardown(void **state)
{
	char name[128];

	(void)state;
	for (uint32_t cpu = 0; cpu < 16; cpu++) {
		snprintf(name, sizeof(name), "%s/cpu%u/topology/thread_siblings_list", folder, cpu);
		unlink(name);
		snprintf(name, sizeof(name), "%s/cpu%u/topology", folder, cpu);
		rmdir(name);
		snprintf(name, sizeof(name), "%s/cpu%u", folder, cpu);
		rmdir(name);
	}
	snprintf(name, sizeof(name), "%s/socket.lock", folder);
	unlink(name);
	rmdir(folder);
	return 0;
}

/* CoreArbiter read this file as "%d,%d" and took a range, or one number, for something else. */
static void arbiter_topology__every_form_of_the_list(void **state)
{
	static const char *const lists[] = {
		"0,8\n", "1-2\n", "1-2\n", "3\n", "nonsense\n", "0\n", "", "7,12-15\n",
	};
	static const uint32_t expected[] = {0, 1, 1, 3, 4, 5, 6, 7};
	uint32_t sibling[8];
	struct cpus cpus;

	(void)state;
	for (uint32_t cpu = 0; cpu < 8; cpu++)
		topology_write(cpu, lists[cpu]);
	assert_ok(cpus_parse("0-7", &cpus));
	arbiter_topology(folder, &cpus, sibling);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(sibling[i], expected[i]);
}

static void arbiter_topology__by_place_in_the_set(void **state)
{
	uint32_t sibling[2];
	struct cpus cpus;

	(void)state;
	topology_write(2, "2,9\n");
	topology_write(9, "2,9\n");
	assert_ok(cpus_parse("2,9", &cpus));
	arbiter_topology(folder, &cpus, sibling);
	assert_int_equal(sibling[0], 2);
	assert_int_equal(sibling[1], 2);
	/* nothing known */
	assert_ok(cpus_parse("3,5", &cpus));
	arbiter_topology(folder, &cpus, sibling);
	assert_int_equal(sibling[0], 3);
	assert_int_equal(sibling[1], 5);
}

static void arbiter_path_default__by_user(void **state)
{
	char path[ARBITER_PATH_BYTES];
	char expected[ARBITER_PATH_BYTES];
	FILE *file;

	(void)state;
	setenv("XDG_RUNTIME_DIR", folder, 1);
	snprintf(expected, sizeof(expected), "%s/tarn-arbiter.sock", folder);
	arbiter_path_default(false, path);
	assert_string_equal(path, geteuid() == 0 ? "/run/tarn/arbiter.sock" : expected);
	/* clients take what is there */
	arbiter_path_default(true, path);
	assert_string_equal(path, "/run/tarn/arbiter.sock");
	file = fopen(expected, "w");
	assert_non_null(file);
	fclose(file);
	arbiter_path_default(true, path);
	assert_string_equal(path, geteuid() == 0 ? "/run/tarn/arbiter.sock" : expected);
	unlink(expected);
	unsetenv("XDG_RUNTIME_DIR");
	arbiter_path_default(false, path);
	assert_string_equal(path, "/run/tarn/arbiter.sock");
}

static void first_line(void *arg, enum arbiter_report kind, const char *text)
{
	char *first = arg;

	(void)kind;
	if (!first[0])
		snprintf(first, 256, "%s", text);
}

static void arbiter_run__starts_and_stops(void **state)
{
	char path[100], first[256] = "";
	struct arbiter_config config = {.path = path,
					.backend = ARBITER_BACKEND_AFFINITY,
					.report = first_line,
					.report_arg = first};
	int stop = eventfd(1, EFD_CLOEXEC);

	(void)state;
	snprintf(path, sizeof(path), "%s/socket", folder);
	assert_ok(arbiter_run(&config, stop));
	assert_contains(first, "affinity");
	assert_int_not_equal(access(path, F_OK), 0);
	close(stop);
}

static void arbiter_run__each_call_fails(void **state)
{
	char path[100];
	struct arbiter_config config = {.path = path, .backend = ARBITER_BACKEND_AFFINITY};
	int stop = eventfd(1, EFD_CLOEXEC), before = dup(0), after;
	uint64_t failed = 1;

	(void)state;
	close(before);
	snprintf(path, sizeof(path), "%s/socket", folder);
	for (uint64_t n = 0; failed > 0; n++) {
		os_fault_set(OS_CALL_ANY & ~OS_CALL_BIT(OS_CALL_UNMAP), n, false);

		struct status status = arbiter_run(&config, stop);

		failed = os_fault_clear();
		/* reading the topology may fail without harm */
		assert_true(failed > 0 || status_ok(status));
		assert_int_not_equal(access(path, F_OK), 0);
	}
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
	close(stop);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(arbiter_topology__every_form_of_the_list),
		CASE(arbiter_topology__by_place_in_the_set),
		CASE(arbiter_path_default__by_user),
		CASE(arbiter_run__starts_and_stops),
		CASE(arbiter_run__each_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
