#include "bench/bench.h"
#include "bench/limits.h"

const struct bench *const bench_table[] = {
	&bench_limits,
	NULL,
};
