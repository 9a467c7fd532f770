#include "bench/bench.h"
#include "bench/limits.h"
#include "bench/memory.h"
#include "bench/threads.h"

const struct bench *const bench_table[] = {
	&bench_limits,
	&bench_threads,
	&bench_memory,
	NULL,
};
