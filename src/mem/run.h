/*
 * L1, runs: whole pages that lie side by side, cut from chunks by bitmap.
 *
 * The smallest free run that fits is taken: chunks are kept in buckets by the length of their
 * longest free run, so the fullest chunk that can serve a request is found by one bit scan, and
 * chunks that are nearly empty get a chance to become empty and go back. A run is exactly as long
 * as it was asked for: 1.3 MB takes 325 pages of a chunk, and 5.3 MB two chunks and a part of a
 * third. (A binary buddy needs a run's whole power of two to be free to place it, and trims the
 * rest off into pieces; with sizes that are not powers of two it leaves more holes.)
 */
#pragma once

#include "mem/arena.h"

/*
 * A run of `pages` pages whose first is aligned to `align_pages` (a power of two). All its
 * pages have memory. Its pages' classes are the caller's to set. May enter the kernel. On failure
 * (the limit, or the system refused) nothing has changed.
 */
struct status run_alloc(struct mem_part *part, size_t pages, size_t align_pages, char **ret_run);

/*
 * Up to `want` runs of `pages` pages (at most 16) each. Returns how many, 0 on failure with the
 * detail in diag. Returns fewer rather than enter the kernel more than once.
 */
uint32_t run_alloc_many(struct mem_part *part, size_t pages, void **ret_runs, uint32_t want);

/* Gives a run back. Its pages' classes must have been cleared. Does not enter the kernel. */
void run_free(char *run, size_t pages);

/*
 * Has one more whole chunk touched and ready. False if that failed or the limit is near. For the
 * grower.
 */
bool run_chunk_ahead(struct mem_part *part);

/*
 * Gives one vacant piece back to the kernel: one that has given some pages back already, else a
 * whole one if more than `keep` chunks are ready. False if there is none or it was refused.
 */
bool run_chunk_give_back(struct mem_part *part, uint64_t keep);

/*
 * Gives free pages of chunks in use back to the kernel, the emptiest chunk first, until `pages` are
 * or there are no more in runs of `run_min` pages. Returns how many.
 */
size_t run_purge(struct mem_part *part, size_t pages, size_t run_min);
