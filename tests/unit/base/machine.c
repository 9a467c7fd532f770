#include "base/machine.h"

#include "base/os.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

/* A machine of files, below a folder of its own. */
static char root[] = "/tmp/tarn-unit-machine-XXXXXX";

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *at)
{
	(void)stat;
	(void)type;
	return at->level == 0 ? 0 : remove(path);
}

static int empty_root(void **state)
{
	(void)state;
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int remove_root(void **state)
{
	(void)state;
	return rmdir(root);
}

/* Writes a file of the machine, with its folders. */
static void put(const char *path, const char *text)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(whole, 0700);
		*at = '/';
	}
	FILE *f = fopen(whole, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_memory(void)
{
	put("/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n");
}

static void machine_memory_bytes__from_meminfo(void **state)
{
	(void)state;
	assert_int_equal(machine_memory_bytes(root), 0);
	put_memory();
	assert_int_equal(machine_memory_bytes(root), 16 << 20);
	assert_int_equal(machine_memory_available(root), 8 << 20);
	assert_true(machine_memory_bytes("") > 0);
}

static void machine_memory_limit__without_cgroups(void **state)
{
	(void)state;
	assert_int_equal(machine_memory_limit(root), 0);
	put_memory();
	assert_int_equal(machine_memory_limit(root), 16 << 20);
}

static void machine_memory_limit__version_2_all_the_way_up(void **state)
{
	(void)state;
	put_memory();
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	assert_int_equal(machine_memory_limit(root), 16 << 20);
	put("/sys/fs/cgroup/a/memory.max", "4194304\n");
	assert_int_equal(machine_memory_limit(root), 4 << 20);
	put("/sys/fs/cgroup/a/b/memory.max", "2097152\n");
	assert_int_equal(machine_memory_limit(root), 2 << 20);
	put("/sys/fs/cgroup/a/b/memory.max", "99999999999\n");
	assert_int_equal(machine_memory_limit(root), 4 << 20);
}

static void machine_memory_limit__version_1(void **state)
{
	(void)state;
	put_memory();
	put("/proc/self/cgroup", "5:cpu,memory,x:/job\n2:notmemory:/\n0::/\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(machine_memory_limit(root), 16 << 20);
	put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1048576\n");
	assert_int_equal(machine_memory_limit(root), 1 << 20);
}

/* Docker without a cgroup namespace: the path is the host's, the limit lies in the mount. */
static void machine_memory_limit__in_a_container(void **state)
{
	(void)state;
	put_memory();
	put("/proc/self/cgroup", "3:memory:/docker/0123456789abcdef\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
	assert_int_equal(machine_memory_limit(root), 1 << 20);
}

static void machine_cpu_limit__both_versions(void **state)
{
	(void)state;
	assert_int_equal(machine_cpu_limit(root), UINT64_MAX);
	put("/proc/self/cgroup", "4:cpu,cpuacct:/job\n0::/x\n");
	put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
	assert_int_equal(machine_cpu_limit(root), UINT64_MAX);
	put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "150000\n");
	assert_int_equal(machine_cpu_limit(root), 1500);
	put("/sys/fs/cgroup/x/cpu.max", "max 100000\n");
	assert_int_equal(machine_cpu_limit(root), 1500);
	put("/sys/fs/cgroup/x/cpu.max", "50000 100000\n");
	assert_int_equal(machine_cpu_limit(root), 500);
}

static void machine_cpus_online__and_siblings(void **state)
{
	struct cpus set = machine_cpus_online(root);

	(void)state;
	assert_int_equal(cpus_count(&set), 0);
	put("/sys/devices/system/cpu/online", "0-3\n");
	put("/sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n");
	set = machine_cpus_online(root);
	assert_int_equal(cpus_count(&set), 4);
	set = machine_cpu_siblings(root, 1);
	assert_int_equal(cpus_count(&set), 2);
	assert_true(cpus_has(&set, 3));
	set = machine_cpu_siblings(root, 2);
	assert_int_equal(cpus_count(&set), 1);
	assert_true(cpus_has(&set, 2));
}

static void machine_pools__by_size(void **state)
{
	struct machine_pool pools[MACHINE_POOLS_MAX];

	(void)state;
	assert_int_equal(machine_pools(root, pools), 0);
	put("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "1\n");
	put("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "10\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "7\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "3\n");
	assert_int_equal(machine_pools(root, pools), 2);
	assert_int_equal(pools[0].page_bytes, 2 << 20);
	assert_int_equal(pools[0].pages, 10);
	assert_int_equal(pools[0].free, 4);
	assert_int_equal(pools[1].page_bytes, 1 << 30);
	assert_int_equal(pools[1].free, 0);
}

static void machine_pool_grow__never_shrinks(void **state)
{
	uint64_t pages = 0;

	(void)state;
	assert_status(machine_pool_grow(root, 2 << 20, 4, &pages), UNSUPPORTED);
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "10\n");
	assert_ok(machine_pool_grow(root, 2 << 20, 4, &pages));
	assert_int_equal(pages, 10);
	assert_ok(machine_pool_grow(root, 2 << 20, 12, &pages));
	assert_int_equal(pages, 12);
	os_fault_set(OS_CALL_BIT(OS_CALL_WRITE), 0, false);
	assert_status(machine_pool_grow(root, 2 << 20, 99, &pages), IO);
	os_fault_clear();
	assert_int_equal(pages, 12);
}

static void machine_thp__modes(void **state)
{
	static const char *const file = "/sys/kernel/mm/transparent_hugepage/enabled";

	(void)state;
	assert_int_equal(machine_thp(root), MACHINE_THP_NONE);
	put(file, "always [madvise] never\n");
	assert_int_equal(machine_thp(root), MACHINE_THP_MADVISE);
	put(file, "[always] madvise never\n");
	assert_int_equal(machine_thp(root), MACHINE_THP_ALWAYS);
	put(file, "always madvise [never]\n");
	assert_int_equal(machine_thp(root), MACHINE_THP_NEVER);
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
	    "always within_size [advise] never deny force\n");
	assert_int_equal(machine_thp_shared(root), MACHINE_THP_MADVISE);
	assert_string_equal(machine_thp_name(MACHINE_THP_MADVISE), "madvise");
}

static void machine_nodes__from_sys(void **state)
{
	static struct machine_node nodes[MACHINE_NODES_MAX];

	(void)state;
	put("/sys/devices/system/node/online", "0,2\n");
	put("/sys/devices/system/node/node0/cpulist", "0-1\n");
	put("/sys/devices/system/node/node0/meminfo", "\nNode 0 MemTotal:       1024 kB\n");
	put("/sys/devices/system/node/node2/cpulist", "\n");
	put("/sys/devices/system/node/node2/meminfo", "\nNode 2 MemTotal:       2048 kB\n");
	assert_int_equal(machine_nodes(root, nodes), 2);
	assert_int_equal(nodes[0].memory_bytes, 1 << 20);
	assert_int_equal(cpus_count(&nodes[0].cpus), 2);
	assert_int_equal(nodes[1].id, 2);
	assert_int_equal(nodes[1].memory_bytes, 2 << 20);
	assert_int_equal(cpus_count(&nodes[1].cpus), 0);
}

static void machine_nodes__none_is_one(void **state)
{
	static struct machine_node nodes[MACHINE_NODES_MAX];

	(void)state;
	put_memory();
	put("/sys/devices/system/cpu/online", "0-1\n");
	assert_int_equal(machine_nodes(root, nodes), 1);
	assert_int_equal(nodes[0].id, 0);
	assert_int_equal(cpus_count(&nodes[0].cpus), 2);
	assert_int_equal(nodes[0].memory_bytes, 16 << 20);
}

static void machine_kernel_at_least__compares_both_numbers(void **state)
{
	(void)state;
	assert_true(machine_kernel_at_least(2, 6));
	assert_true(machine_kernel_at_least(3, 99));
	assert_false(machine_kernel_at_least(99, 0));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_teardown(name, empty_root)
	const struct CMUnitTest tests[] = {
		CASE(machine_memory_bytes__from_meminfo),
		CASE(machine_memory_limit__without_cgroups),
		CASE(machine_memory_limit__version_2_all_the_way_up),
		CASE(machine_memory_limit__version_1),
		CASE(machine_memory_limit__in_a_container),
		CASE(machine_cpu_limit__both_versions),
		CASE(machine_cpus_online__and_siblings),
		CASE(machine_pools__by_size),
		CASE(machine_pool_grow__never_shrinks),
		CASE(machine_thp__modes),
		CASE(machine_nodes__from_sys),
		CASE(machine_nodes__none_is_one),
		CASE(machine_kernel_at_least__compares_both_numbers),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
