/*
 * What mem needs of the operating system beyond base/os.h: memory files whose huge pages are not
 * set aside at once, the pools of huge pages, and NUMA nodes.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>

/*
 * Maps bytes [offset, offset + bytes) of a memory file over a reserved range. Takes no memory, and
 * sets none aside in a pool: os_populate() does, and fails where the pool is empty.
 */
struct status pages_map_file(int fd, size_t offset, char *at, size_t bytes);

/* Replaces whatever is mapped in a range by reserved address space. */
struct status pages_reserve_again(char *at, size_t bytes);

/* Prefers NUMA node `node` for a range. A refusal is of no harm. */
void pages_prefer_node(char *at, size_t bytes, uint32_t node);

/* NUMA nodes of the machine, at least 1. */
uint32_t pages_node_count(void);

/* The NUMA node of the processor that runs the caller. */
uint32_t pages_node_here(void);

/* Pages of `page_bytes` in the system's pool that are free and not promised; 0 if it has none. */
uint64_t pages_huge_free(uint64_t page_bytes);

/* Whether the kernel gives transparent huge pages to those who ask. */
bool pages_thp_usable(void);

/* Makes the system's pool hold at least `count` pages of `page_bytes` (needs root). */
struct status pages_huge_reserve(uint64_t page_bytes, uint64_t count);

/* Physical memory of the machine or of the control group, the smaller, in bytes. */
uint64_t pages_machine_bytes(void);
