#include "bench/bench_int.h"

#include <math.h>
#include <stdio.h>

static const struct bench_metric_info metrics[BENCH_METRICS] = {
	[BENCH_NS] = {"ns", "ns", false},
	[BENCH_OPS_PER_S] = {"ops_per_s", "ops/s", true},
	[BENCH_BYTES_PER_S] = {"bytes_per_s", "bytes/s", true},
	[BENCH_PERCENT] = {"percent", "percent", false},
	[BENCH_RATIO] = {"ratio", "ratio", false},
	[BENCH_BYTES] = {"bytes", "bytes", false},
	[BENCH_S] = {"s", "s", false},
	[BENCH_P50_NS] = {"p50_ns", "ns", false},
	[BENCH_P99_NS] = {"p99_ns", "ns", false},
	[BENCH_P999_NS] = {"p999_ns", "ns", false},
	[BENCH_LIFO_NS] = {"lifo_ns", "ns", false},
	[BENCH_MIX_NS] = {"mix_ns", "ns", false},
	[BENCH_CPU_S_PER_GB] = {"cpu_s_per_gb", "s/GB", false},
	[BENCH_OPS_PER_CPU_S] = {"ops_per_cpu_s", "ops/s", true},
};

const struct bench_metric_info *bench_metric_info(enum bench_metric metric)
{
	return &metrics[metric];
}

struct bench_number bench_compare(struct bench_number value, struct bench_number other,
				  bool higher_is_better)
{
	double above = higher_is_better ? value.value : other.value;
	double below = higher_is_better ? other.value : value.value;

	if (!value.known || !other.known || !(below > 0))
		return (struct bench_number){0};
	return (struct bench_number){.known = true, .value = above / below};
}

/* Enough digits for every comparison, none for show. */
static void print_json_number(FILE *out, const char *key, struct bench_number n)
{
	if (!n.known)
		fprintf(out, ", \"%s\": null", key);
	else if (fabs(n.value) >= 100000)
		fprintf(out, ", \"%s\": %.0f", key, n.value);
	else
		fprintf(out, ", \"%s\": %.5g", key, n.value);
}

void bench_print_json(FILE *out, const struct bench_result *result)
{
	const struct bench_metric_info *info = bench_metric_info(result->metric);

	/* names are identifiers of our own: nothing in them needs escaping */
	fprintf(out, "{\"bench\": \"%s\", \"case\": \"%s\", \"metric\": \"%s\", \"unit\": \"%s\"",
		result->bench, result->name, info->name, info->unit);
	print_json_number(out, "value", result->value);
	print_json_number(out, "limit", result->limit);
	print_json_number(out, "of_limit", result->of_limit);
	if (result->peer)
		fprintf(out, ", \"peer\": \"%s\"", result->peer);
	else
		fprintf(out, ", \"peer\": null");
	print_json_number(out, "peer_value", result->peer_value);
	print_json_number(out, "vs_peer", result->vs_peer);
	fprintf(out, "}\n");
	fflush(out);
}

/* Three digits and a unit that fits them: "231 ns", "12.3 GB/s". */
static void format_value(char *text, size_t bytes, double value, const char *const *units,
			 double step)
{
	int digits = 2;
	uint32_t unit = 0;

	while (value >= step && units[unit + 1]) {
		value /= step;
		unit++;
	}
	if (value >= 100 || value == 0)
		digits = 0;
	else if (value >= 10)
		digits = 1;
	if (value >= 1e5 || (value > 0 && value < 0.01))
		snprintf(text, bytes, "%.1e %s", value, units[unit]);
	else
		snprintf(text, bytes, "%.*f %s", digits, value, units[unit]);
}

static void format_metric(char *text, size_t bytes, enum bench_metric metric, double value)
{
	static const char *const ns[] = {"ns", "us", "ms", "s", NULL};
	static const char *const ops[] = {"op/s", "Kop/s", "Mop/s", "Gop/s", NULL};
	static const char *const rate[] = {"B/s", "KB/s", "MB/s", "GB/s", "TB/s", NULL};
	static const char *const size[] = {"B", "KiB", "MiB", "GiB", NULL};
	static const char *const percent[] = {"%", NULL};
	static const char *const ratio[] = {"", NULL};
	static const char *const seconds[] = {"s", NULL};
	static const char *const cost[] = {"s/GB", NULL};

	switch (metric) {
	case BENCH_OPS_PER_S:
	case BENCH_OPS_PER_CPU_S: format_value(text, bytes, value, ops, 1000); break;
	case BENCH_BYTES_PER_S: format_value(text, bytes, value, rate, 1000); break;
	case BENCH_PERCENT: format_value(text, bytes, value, percent, 1000); break;
	case BENCH_RATIO: format_value(text, bytes, value, ratio, 1000); break;
	case BENCH_BYTES: format_value(text, bytes, value, size, 1024); break;
	case BENCH_S: format_value(text, bytes, value, seconds, 1000); break;
	case BENCH_CPU_S_PER_GB: format_value(text, bytes, value, cost, 1000); break;
	default: format_value(text, bytes, value, ns, 1000); break;
	}
}

void bench_print_heading(FILE *out, const struct bench *bench)
{
	fprintf(out, "%-28s %13s %8s %8s %s\n", bench->name, "value", "of limit", "vs peer",
		"peer");
}

static void format_ratio(char *text, size_t bytes, struct bench_number n)
{
	int digits = 2;

	if (n.value >= 100)
		digits = 0;
	else if (n.value < 0.1)
		digits = 4;
	if (!n.known)
		snprintf(text, bytes, "-");
	else if (n.value >= 1e6)
		snprintf(text, bytes, "%.1e", n.value);
	else
		snprintf(text, bytes, "%.*f", digits, n.value);
}

void bench_print_row(FILE *out, const struct bench_result *result)
{
	char name[40];
	char value[32] = "-";
	char of_limit[32];
	char vs_peer[32];

	if (result->headline)
		snprintf(name, sizeof(name), "  %s", result->name);
	else
		snprintf(name, sizeof(name), "    %s", bench_metric_info(result->metric)->name);
	if (result->value.known)
		format_metric(value, sizeof(value), result->metric, result->value.value);
	format_ratio(of_limit, sizeof(of_limit), result->of_limit);
	format_ratio(vs_peer, sizeof(vs_peer), result->vs_peer);
	fprintf(out, "%-28.28s %13s %8s %8s %.19s\n", name, value, of_limit, vs_peer,
		result->peer ? result->peer : "-");
	fflush(out);
}
