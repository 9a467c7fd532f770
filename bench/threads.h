/*
 * The bench `threads`: what user threads cost, against kernel threads in the same run.
 */
#pragma once

#include "bench/bench.h"

extern const struct bench bench_threads;
