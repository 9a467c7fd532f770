/*
 * What a fuzz target defines. The input may be anything; the target must return, and what it calls
 * must neither read past the input nor end the process. It makes no decision about time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
