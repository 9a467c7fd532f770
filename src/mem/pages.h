/*
 * What mem needs of the operating system beyond base/os.h and base/machine.h: memory files whose
 * huge pages are not set aside at once, and NUMA placement.
 */
#pragma once

#include "base/status.h"

/*
 * Maps bytes [offset, offset + bytes) of a memory file over a reserved range. Takes no memory, and
 * sets none aside in a pool: os_populate() does, and fails where the pool is empty.
 */
struct status pages_map_file(int fd, size_t offset, char *at, size_t bytes);

/* Replaces whatever is mapped in a range by reserved address space. */
struct status pages_reserve_again(char *at, size_t bytes);

/* Prefers the NUMA node that the kernel calls `node` for a range. A refusal is of no harm. */
void pages_prefer_node(char *at, size_t bytes, uint32_t node);

/* The kernel's number of the NUMA node of the processor that runs the caller. */
uint32_t pages_node_here(void);
