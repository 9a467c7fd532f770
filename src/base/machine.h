/*
 * Facts about the machine, as the kernel's files tell them. `root` stands before every path: "" is
 * the machine itself, tests have a tree of their own. What cannot be read is taken as not there.
 *
 * None of these suspends; each may block for a moment on a kernel file.
 */
#pragma once

#include "base/compiler.h"
#include "base/cpus.h"
#include "base/status.h"

#include <stdbool.h>

#define MACHINE_POOLS_MAX 8
#define MACHINE_NODES_MAX 64

/* The installed memory in bytes; 0 if it is not known. */
uint64_t machine_memory_bytes(const char *root);

/* What could be taken without swapping, in bytes; 0 if it is not known. */
uint64_t machine_memory_available(const char *root);

/*
 * The memory that this process may use: the installed memory or the least limit of its cgroups
 * (versions 1 and 2, all the way up). 0 if nothing is known.
 */
uint64_t machine_memory_limit(const char *root);

/* The processor time that its cgroups allow, in thousandths of a processor; UINT64_MAX: all. */
uint64_t machine_cpu_limit(const char *root);

/* The processors that run. The empty set if that cannot be read. */
struct cpus machine_cpus_online(const char *root);

/* The processors that share a core with `cpu`, itself among them. */
struct cpus machine_cpu_siblings(const char *root, uint32_t cpu);

/* A pool of huge pages of one size. */
struct machine_pool {
	uint64_t page_bytes;
	uint64_t pages;
	uint64_t free; /* without those that are promised to somebody */
};

/* All pools, smallest pages first; says how many. */
size_t machine_pools(const char *root, struct machine_pool pools[MACHINE_POOLS_MAX]);

/*
 * Asks the kernel to have at least `pages` pages in the pool; it takes what it finds. Says how many
 * there are now. DENIED without the right to do it, UNSUPPORTED for a size that it has not.
 */
struct status machine_pool_grow(const char *root, uint64_t page_bytes, uint64_t pages,
				uint64_t *ret_pages);

enum machine_thp {
	MACHINE_THP_NONE, /* the kernel has none */
	MACHINE_THP_NEVER,
	MACHINE_THP_MADVISE, /* for memory that asks for them */
	MACHINE_THP_ALWAYS,
};

/* Transparent huge pages of anonymous memory, and of shared memory (memfd). */
enum machine_thp machine_thp(const char *root);
enum machine_thp machine_thp_shared(const char *root);

/* "none", "never", "madvise", "always". */
const char *machine_thp_name(enum machine_thp mode);

struct machine_node {
	uint32_t id;
	struct cpus cpus;
	uint64_t memory_bytes;
};

/* The NUMA nodes, by id; says how many. A machine without any has one, with everything. */
size_t machine_nodes(const char *root, struct machine_node nodes[MACHINE_NODES_MAX]);

/* Whether the running kernel is this version or a later one. */
bool machine_kernel_at_least(unsigned major, unsigned minor);
