/*
 * Between the frame of the benchmarks and what prints their results.
 */
#pragma once

#include "bench/bench.h"

/* A number that may be missing. */
struct bench_number {
	bool known;
	double value;
};

/* One line of output. */
struct bench_result {
	const char *bench;
	const char *name; /* of the case */
	enum bench_metric metric;
	bool headline; /* the first line of its case */
	struct bench_number value;
	struct bench_number limit;
	struct bench_number of_limit;
	const char *peer; /* NULL: none, or not on this machine */
	struct bench_number peer_value;
	struct bench_number vs_peer;
};

struct bench_metric_info {
	const char *name;
	const char *unit;
	bool higher_is_better;
};

/* What is known of a metric. */
const struct bench_metric_info *bench_metric_info(enum bench_metric metric);

/*
 * `value` against `other`: above 1 is always better for `value`. Unknown when either is, or when
 * the divisor is zero.
 */
struct bench_number bench_compare(struct bench_number value, struct bench_number other,
				  bool higher_is_better);

/* One object on one line, with the ten keys of CONTRACT.md; what is not known is null. */
void bench_print_json(FILE *out, const struct bench_result *result);

/* The table's heading for one bench, and a row under it: at most 80 columns. */
void bench_print_heading(FILE *out, const struct bench *bench);
void bench_print_row(FILE *out, const struct bench_result *result);
