/*
 * Allocation without dress: what mem.c and checked.c are made of.
 */
#pragma once

#include "mem/mem.h"

/* An object of at least `bytes`, aligned to `align`, which is above 16 for runs only. */
void *raw_alloc(size_t bytes, size_t align, uint32_t tag);

/* A run of `bytes` rounded up to pages from the arena of `kind` that no cache keeps. */
void *raw_run_alloc(enum mem_kind kind, size_t bytes, size_t align, uint32_t tag);

/* Gives either back. Ends the process on a pointer that is neither. */
void raw_free(void *p);

/* The bytes that may be used at the start of an object. Ends the process as raw_free() does. */
size_t raw_size(const void *p);
