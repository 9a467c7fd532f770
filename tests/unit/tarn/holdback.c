#include "tarn/holdback.h"

#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

/* A machine of files below a folder of its own; each case begins with one that has no faults. */

static char root[] = "/tmp/tarn-holdback-XXXXXX";
static char made[64][160];
static uint32_t made_count;

static void write_file(const char *name, const char *text)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, name);
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = 0;
		if (mkdir(path, 0755) == 0)
			snprintf(made[made_count++], sizeof(made[0]), "%s", path);
		*at = '/';
	}
	if (access(path, F_OK) != 0)
		snprintf(made[made_count++], sizeof(made[0]), "%s", path);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int machine_make(void **state)
{
	(void)state;
	if (root[strlen(root) - 1] == 'X' && !mkdtemp(root))
		return -1;
	write_file("/proc/sys/vm/overcommit_memory", "0\n");
	write_file("/proc/self/cgroup", "0::/\n");
	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	write_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
		   "always within_size [advise] never deny force\n");
	write_file("/sys/devices/system/cpu/online", "0-3\n");
	write_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
	return 0;
}

static int machine_remove(void **state)
{
	(void)state;
	while (made_count > 0)
		(void)remove(made[--made_count]);
	return 0;
}

static const struct holdback_need modest = {.memory_bytes = 4096, .open_files = 16, .cores = 2};

/* The only thing that holds back; fails the case if there is none, or more. */
static const struct holdback_item *find_one(const struct holdback_need *need)
{
	static struct holdback found;

	holdback_find(root, need, &found);
	assert_int_equal(found.count, 1);
	assert_true(strlen(found.item[0].found) > 0);
	assert_true(strlen(found.item[0].fix) > 0);
	return &found.item[0];
}

static void holdback_find__nothing(void **state)
{
	struct holdback found;

	(void)state;
	holdback_find(root, &modest, &found);
	assert_int_equal(found.count, 0);
}

static void holdback_find__unreadable_counts_as_good(void **state)
{
	struct holdback found;

	(void)state;
	holdback_find("/nonexistent", &modest, &found);
	/* but for huge pages: a machine without their files has none */
	assert_true(found.count <= 1);
}

static void holdback_find__open_files(void **state)
{
	struct holdback_need need = modest;

	(void)state;
	need.open_files = UINT64_MAX - 1;
	assert_string_equal(find_one(&need)->what, "open files");
}

static void holdback_find__transparent_huge_pages(void **state)
{
	(void)state;
	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	assert_contains(find_one(&modest)->fix, "echo madvise");
}

static void holdback_find__reserved_huge_pages(void **state)
{
	static const char *const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
	struct holdback found;
	char name[128];

	(void)state;
	write_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
		   "always within_size advise [never] deny force\n");
	assert_string_equal(find_one(&modest)->what, "shareable memory");
	snprintf(name, sizeof(name), "%snr_hugepages", pool);
	write_file(name, "4\n");
	snprintf(name, sizeof(name), "%sfree_hugepages", pool);
	write_file(name, "4\n");
	holdback_find(root, &modest, &found);
	assert_int_equal(found.count, 0);
}

static void holdback_find__quota(void **state)
{
	(void)state;
	write_file("/sys/fs/cgroup/cpu.max", "150000 100000\n");
	write_file("/proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
	write_file("/proc/self/cgroup", "0::/\n");
	assert_contains(find_one(&modest)->found, "1.50, for 2 cores");
	assert_contains(find_one(&modest)->fix, "--cores 1");
}

static void holdback_find__spinning(void **state)
{
	struct holdback_need need = modest;

	(void)state;
	need.spins = true;
	need.cores = 4;
	assert_contains(find_one(&need)->fix, "--cores 3");
}

static void holdback_find__clock(void **state)
{
	(void)state;
	write_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
	assert_contains(find_one(&modest)->found, "hpet");
}

static void holdback_find__overcommit(void **state)
{
	(void)state;
	write_file("/proc/sys/vm/overcommit_memory", "2\n");
	assert_contains(find_one(&modest)->fix, "vm.overcommit_memory=0");
}

static int root_remove(void **state)
{
	(void)state;
	return rmdir(root);
}

#define CASE(name)                                                                                 \
	cmocka_unit_test_setup_teardown(holdback_find__##name, machine_make, machine_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing),
		CASE(unreadable_counts_as_good),
		CASE(open_files),
		CASE(transparent_huge_pages),
		CASE(reserved_huge_pages),
		CASE(quota),
		CASE(spinning),
		CASE(clock),
		CASE(overcommit),
	};

	return cmocka_run_group_tests_name("tarn/holdback", tests, NULL, root_remove);
}
