#include "mem/pages.h"

#include "base/diag.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POLICY_PREFERRED 1 /* MPOL_PREFERRED of <numaif.h>, which is libnuma's */

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
	unsigned long mask[16] = {0};

	if (node >= sizeof(mask) * 8)
		return;
	mask[node / 64] = 1ul << (node % 64);
	syscall(SYS_mbind, at, bytes, POLICY_PREFERRED, mask, sizeof(mask) * 8, 0);
}

uint32_t pages_node_here(void)
{
	unsigned cpu, node;

	return getcpu(&cpu, &node) == 0 ? node : 0;
}
