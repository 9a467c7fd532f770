/*
 * The bench `memory`: time and space of Tarn's memory, against mimalloc in the same run.
 */
#pragma once

#include "bench/bench.h"

extern const struct bench bench_memory;
