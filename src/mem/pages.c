#include "mem/pages.h"

#include "base/diag.h"
#include "base/os.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MPOL_PREFERRED_ 1

struct status pages_map_file(int fd, size_t offset, char *at, size_t bytes)
{
	if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
		 (off_t)offset) == MAP_FAILED)
		return fail(STATUS_NO_MEMORY, "memory: mapping %zu bytes of a memory file", bytes);
	return OK;
}

struct status pages_reserve_again(char *at, size_t bytes)
{
	if (mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return fail(STATUS_NO_MEMORY, "memory: reserving %zu bytes anew", bytes);
	return OK;
}

void pages_prefer_node(char *at, size_t bytes, uint32_t node)
{
	unsigned long mask[4] = {0};

	if (node >= sizeof(mask) * 8)
		return;
	mask[node / 64] = 1ul << (node % 64);
	syscall(SYS_mbind, at, bytes, MPOL_PREFERRED_, mask, sizeof(mask) * 8, 0);
}

static bool text_read(const char *path, char *text, size_t size)
{
	size_t bytes;

	return status_ok(os_file_read(path, text, size, &bytes));
}

static bool number_read(const char *path, uint64_t *ret_number)
{
	char text[64];
	char *end;

	if (!text_read(path, text, sizeof(text)))
		return false;
	unsigned long long number = strtoull(text, &end, 10);
	if (end == text)
		return false;
	*ret_number = number;
	return true;
}

uint32_t pages_node_count(void)
{
	char text[256];

	if (!text_read("/sys/devices/system/node/online", text, sizeof(text)))
		return 1;
	/* "0", "0-3" or "0,2-3": the last number is the highest node */
	const char *last = text;
	for (const char *c = text; *c; c++)
		if (*c == '-' || *c == ',')
			last = c + 1;
	unsigned long highest = strtoul(last, NULL, 10);
	return highest < 255 ? (uint32_t)highest + 1 : 1;
}

uint32_t pages_node_here(void)
{
	unsigned cpu = 0, node = 0;

	if (getcpu(&cpu, &node) != 0)
		return 0;
	return node;
}

static bool huge_read(uint64_t page_bytes, const char *file, uint64_t *ret_number)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/%s",
		 (unsigned long long)page_bytes / 1024, file);
	return number_read(path, ret_number);
}

uint64_t pages_huge_free(uint64_t page_bytes)
{
	uint64_t pages_free = 0, promised = 0;

	if (!huge_read(page_bytes, "free_hugepages", &pages_free) ||
	    !huge_read(page_bytes, "resv_hugepages", &promised))
		return 0;
	return pages_free > promised ? pages_free - promised : 0;
}

bool pages_thp_usable(void)
{
	char text[128];

	if (!text_read("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)))
		return false;
	return strstr(text, "[never]") == NULL;
}

struct status pages_huge_reserve(uint64_t page_bytes, uint64_t count)
{
	char path[96], text[32];
	uint64_t got = 0;

	if (!huge_read(page_bytes, "nr_hugepages", &got))
		return fail(STATUS_UNSUPPORTED, "this kernel has no huge pages of %llu KiB",
			    (unsigned long long)page_bytes / 1024);
	if (got >= count)
		return OK;
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
		 (unsigned long long)page_bytes / 1024);
	int length = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)count);
	struct status status = os_file_write(path, text, (size_t)length);
	if (status_is(status, STATUS_DENIED))
		return fail(STATUS_DENIED,
			    "huge pages can be reserved by root only: as root, sysctl "
			    "vm.nr_hugepages=%llu",
			    (unsigned long long)count);
	TRY(status);
	/* the kernel takes what it can find and calls that a success */
	if (!huge_read(page_bytes, "nr_hugepages", &got) || got < count)
		return fail(STATUS_LIMIT,
			    "%llu of %llu huge pages could be reserved: memory is too full or too "
			    "scattered; reserve them soon after boot (vm.nr_hugepages)",
			    (unsigned long long)got, (unsigned long long)count);
	return OK;
}

uint64_t pages_machine_bytes(void)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	static const char *const limits[] = {
		"/sys/fs/cgroup/memory.max",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes",
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		uint64_t limit;

		if (number_read(limits[i], &limit) && limit < bytes)
			bytes = limit;
	}
	return bytes;
}
