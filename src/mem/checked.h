/*
 * Dressed objects: in the debug build and under AddressSanitizer every object carries who owns it
 * and has borders that nobody may write to.
 *
 *	small (fits a slab with its borders)
 *	| header 48 | bytes ... | border, to the end of the class's size |
 *	large (runs)
 *	| bytes ...             | border of at least 16, to the end of the last page |
 *	  with the header out of line, by the number of the first page
 *
 * A freed object is filled with POISON_FREE and looked over when it is handed out again: who wrote
 * to it meanwhile is not known, but who freed it is.
 */
#pragma once

#include "mem/mem.h"

/* As mem_alloc_aligned(), for one who called from `caller`. */
void *checked_alloc(size_t bytes, size_t align, struct mem_tag *tag);

/* Dresses a run from any arena that was allocated with checked_run_pages(bytes) pages. */
void checked_dress_run(void *run, size_t bytes, struct mem_tag *tag);
size_t checked_run_pages(size_t bytes);

/* As mem_free(); ends the process on whatever is not a living object's start. */
void checked_free(void *p, const void *caller);

/* The bytes that were asked for. */
size_t checked_size(const void *p);

/* The tables out of line. */
struct status checked_start(void);
void checked_stop(void);
