/*
 * What mem tells about itself.
 */
#pragma once

#include "mem/mem.h"

/*
 * The bytes that are still allocated, when all caches are detached. The debug build writes who
 * holds them to standard error.
 */
uint64_t dump_leaks(void);
