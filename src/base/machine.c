#include "base/machine.h"

#include "base/diag.h"
#include "base/os.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define PATH_BYTES 512
#define TEXT_BYTES 8192

/* Reads a file below root into text[TEXT_BYTES] without the newline at its end. */
static bool read_text(const char *root, const char *path, char *text)
{
	char whole[PATH_BYTES];
	size_t bytes;

	if (snprintf(whole, sizeof(whole), "%s%s", root, path) >= (int)sizeof(whole) ||
	    !status_ok(os_file_read(whole, text, TEXT_BYTES, &bytes)))
		return false;
	if (bytes > 0 && text[bytes - 1] == '\n')
		text[bytes - 1] = '\0';
	return true;
}

/* A file that has one number; false for any other. */
static bool read_number(const char *root, const char *path, uint64_t *ret)
{
	char text[TEXT_BYTES];

	return read_text(root, path, text) && status_ok(text_parse_u64(text, ret));
}

/* The value of "<key>   123 kB" in a text of lines, in bytes; 0 if it is not there. */
static uint64_t kilobytes_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) << 10 : 0;
}

uint64_t machine_memory_bytes(const char *root)
{
	char text[TEXT_BYTES];

	return read_text(root, "/proc/meminfo", text) ? kilobytes_of(text, "MemTotal:") : 0;
}

uint64_t machine_memory_available(const char *root)
{
	char text[TEXT_BYTES];

	return read_text(root, "/proc/meminfo", text) ? kilobytes_of(text, "MemAvailable:") : 0;
}

/* ---- cgroups ---- */

/* The limit that the files of one cgroup's folder set; UINT64_MAX for none. */
typedef uint64_t folder_limit(const char *root, const char *folder);

static bool folder_text(const char *root, const char *folder, const char *file, char *text)
{
	char path[PATH_BYTES];

	return snprintf(path, sizeof(path), "%s/%s", folder, file) < (int)sizeof(path) &&
	       read_text(root, path, text);
}

static uint64_t number_or_none(const char *text)
{
	uint64_t v;

	return status_ok(text_parse_u64(text, &v)) ? v : UINT64_MAX;
}

static uint64_t memory_v1(const char *root, const char *folder)
{
	char text[TEXT_BYTES];

	return folder_text(root, folder, "memory.limit_in_bytes", text) ? number_or_none(text)
									: UINT64_MAX;
}

static uint64_t memory_v2(const char *root, const char *folder)
{
	char text[TEXT_BYTES];

	/* "max" is no number */
	return folder_text(root, folder, "memory.max", text) ? number_or_none(text) : UINT64_MAX;
}

static uint64_t share(uint64_t quota, uint64_t period)
{
	return quota == UINT64_MAX || period == 0 || period == UINT64_MAX ? UINT64_MAX
									  : quota * 1000 / period;
}

static uint64_t cpu_v1(const char *root, const char *folder)
{
	char quota[TEXT_BYTES], period[TEXT_BYTES];

	/* a quota of -1 is none */
	if (!folder_text(root, folder, "cpu.cfs_quota_us", quota) ||
	    !folder_text(root, folder, "cpu.cfs_period_us", period))
		return UINT64_MAX;
	return share(number_or_none(quota), number_or_none(period));
}

static uint64_t cpu_v2(const char *root, const char *folder)
{
	char text[TEXT_BYTES];
	char *period;

	if (!folder_text(root, folder, "cpu.max", text) || !(period = strchr(text, ' ')))
		return UINT64_MAX;
	*period++ = '\0';
	return share(number_or_none(text), number_or_none(period));
}

/*
 * The least limit of the cgroup `path` below `mount` and of all that it lies in. In a container the
 * path may be one of the host's that is not there: its own cgroup is the mount itself then.
 */
static uint64_t least_upwards(const char *root, const char *mount, const char *path,
			      folder_limit *limit)
{
	char folder[PATH_BYTES];
	uint64_t least = UINT64_MAX;
	size_t end = strlen(mount);

	if (snprintf(folder, sizeof(folder), "%s%s", mount, path) >= (int)sizeof(folder))
		folder[end] = '\0';
	for (;;) {
		uint64_t here = limit(root, folder);
		char *slash = strrchr(folder + end, '/');

		least = here < least ? here : least;
		if (!slash)
			return least;
		*slash = '\0';
	}
}

static bool list_has(const char *list, size_t length, const char *name)
{
	size_t wanted = strlen(name);

	for (size_t i = 0; i + wanted <= length; i++)
		if (strncmp(list + i, name, wanted) == 0 && (i == 0 || list[i - 1] == ',') &&
		    (i + wanted == length || list[i + wanted] == ','))
			return true;
	return false;
}

/* The least limit that a controller sets, from the lines "id:controllers:path". */
static uint64_t cgroup_limit(const char *root, const char *controller, folder_limit *v1,
			     folder_limit *v2)
{
	char text[TEXT_BYTES], mount[PATH_BYTES];
	uint64_t least = UINT64_MAX;
	char *save;

	if (!read_text(root, "/proc/self/cgroup", text))
		return least;
	snprintf(mount, sizeof(mount), "/sys/fs/cgroup/%s", controller);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(l, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;
		uint64_t here = UINT64_MAX;

		if (!path)
			continue;
		if (path == names + 1)
			here = least_upwards(root, "/sys/fs/cgroup", path + 1, v2);
		else if (list_has(names + 1, (size_t)(path - names - 1), controller))
			here = least_upwards(root, mount, path + 1, v1);
		least = here < least ? here : least;
	}
	return least;
}

uint64_t machine_memory_limit(const char *root)
{
	uint64_t installed = machine_memory_bytes(root);
	uint64_t limit = cgroup_limit(root, "memory", memory_v1, memory_v2);

	/* version 1 says "no limit" with a very large number */
	if (installed == 0)
		return limit < 1ull << 62 ? limit : 0;
	return limit < installed ? limit : installed;
}

uint64_t machine_cpu_limit(const char *root)
{
	return cgroup_limit(root, "cpu", cpu_v1, cpu_v2);
}

/* ---- processors ---- */

static struct cpus read_cpus(const char *root, const char *path)
{
	struct cpus set = {0};
	char text[TEXT_BYTES];

	if (read_text(root, path, text))
		status_ignore(cpus_parse(text, &set)); /* what cannot be read stays empty */
	return set;
}

struct cpus machine_cpus_online(const char *root)
{
	return read_cpus(root, "/sys/devices/system/cpu/online");
}

struct cpus machine_cpu_siblings(const char *root, uint32_t cpu)
{
	char path[PATH_BYTES];
	struct cpus set;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
		 cpu);
	set = read_cpus(root, path);
	cpus_add(&set, cpu);
	return set;
}

/* ---- huge pages ---- */

static bool pool_read(const char *root, uint64_t page_bytes, struct machine_pool *ret)
{
	struct machine_pool pool = {.page_bytes = page_bytes};
	char path[PATH_BYTES];
	uint64_t promised = 0;
	int folder = snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/",
			      (unsigned long long)page_bytes >> 10);
	char *file = path + folder;
	size_t room = sizeof(path) - (size_t)folder;

	snprintf(file, room, "nr_hugepages");
	if (!read_number(root, path, &pool.pages))
		return false;
	snprintf(file, room, "free_hugepages");
	read_number(root, path, &pool.free);
	snprintf(file, room, "resv_hugepages");
	read_number(root, path, &promised);
	pool.free -= promised < pool.free ? promised : pool.free;
	*ret = pool;
	return true;
}

size_t machine_pools(const char *root, struct machine_pool pools[MACHINE_POOLS_MAX])
{
	size_t count = 0;

	/* sizes are powers of two: 64 KiB on aarch64 is the least, 16 GiB the greatest */
	for (unsigned bits = 16; bits <= 34 && count < MACHINE_POOLS_MAX; bits++)
		count += pool_read(root, 1ull << bits, &pools[count]);
	return count;
}

struct status machine_pool_grow(const char *root, uint64_t page_bytes, uint64_t pages,
				uint64_t *ret_pages)
{
	struct machine_pool pool;
	char path[PATH_BYTES], number[24];

	if (!pool_read(root, page_bytes, &pool))
		return fail(STATUS_UNSUPPORTED, "huge pages of %llu bytes: the kernel has none",
			    (unsigned long long)page_bytes);
	if (pool.pages < pages) {
		snprintf(path, sizeof(path),
			 "%s/sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages", root,
			 (unsigned long long)page_bytes >> 10);
		snprintf(number, sizeof(number), "%llu", (unsigned long long)pages);
		TRY(os_file_write(path, number, strlen(number)));
		if (!pool_read(root, page_bytes, &pool))
			pool.pages = 0;
	}
	*ret_pages = pool.pages;
	return OK;
}

/* "always [madvise] never": what stands in brackets. */
static enum machine_thp thp_read(const char *root, const char *path)
{
	char text[TEXT_BYTES];

	if (!read_text(root, path, text))
		return MACHINE_THP_NONE;
	if (strstr(text, "[always]") || strstr(text, "[force]") || strstr(text, "[within_size]"))
		return MACHINE_THP_ALWAYS;
	return strstr(text, "[madvise]") || strstr(text, "[advise]") ? MACHINE_THP_MADVISE
								     : MACHINE_THP_NEVER;
}

enum machine_thp machine_thp(const char *root)
{
	return thp_read(root, "/sys/kernel/mm/transparent_hugepage/enabled");
}

enum machine_thp machine_thp_shared(const char *root)
{
	return thp_read(root, "/sys/kernel/mm/transparent_hugepage/shmem_enabled");
}

const char *machine_thp_name(enum machine_thp mode)
{
	static const char *const names[] = {"none", "never", "madvise", "always"};

	return names[mode];
}

/* ---- nodes ---- */

/* The same list of numbers as processors have serves for nodes. */
size_t machine_nodes(const char *root, struct machine_node nodes[MACHINE_NODES_MAX])
{
	struct cpus ids = read_cpus(root, "/sys/devices/system/node/online");
	char path[PATH_BYTES], text[TEXT_BYTES], key[32];
	size_t count = 0;

	for (uint32_t i = 0; i < cpus_count(&ids) && count < MACHINE_NODES_MAX; i++) {
		struct machine_node *node = &nodes[count++];

		node->id = cpus_nth(&ids, i);
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", node->id);
		node->cpus = read_cpus(root, path);
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", node->id);
		snprintf(key, sizeof(key), "Node %u MemTotal:", node->id);
		node->memory_bytes = read_text(root, path, text) ? kilobytes_of(text, key) : 0;
	}
	if (count == 0)
		nodes[count++] = (struct machine_node){
			.cpus = machine_cpus_online(root),
			.memory_bytes = machine_memory_bytes(root),
		};
	return count;
}

bool machine_kernel_at_least(unsigned major, unsigned minor)
{
	struct utsname name;
	unsigned found_major = 0, found_minor = 0;

	if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &found_major, &found_minor) != 2)
		return false;
	return found_major > major || (found_major == major && found_minor >= minor);
}
