#include "bench/bench.h"

#include "base/diag.h"
#include "bench/bench_int.h"
#include "bench/busy.h"

#include <fnmatch.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- for sides ------------------------------------------------------------------------------- */

static bool may_be_zero(enum bench_metric metric)
{
	return metric == BENCH_PERCENT || metric == BENCH_RATIO || metric == BENCH_BYTES;
}

void bench_record(struct bench_round *round, enum bench_metric metric, double value)
{
	if (!isfinite(value) || value < 0 || (value == 0 && !may_be_zero(metric)))
		return;
	round->recorded[metric] = true;
	round->value[metric] = value;
}

void bench_pin(const struct bench_settings *settings, uint32_t index)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(settings->cpus[index % settings->cores], &set);
	/* where it is forbidden the figure is only noisier */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

void bench_unpin(const struct bench_settings *settings)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (uint32_t i = 0; i < settings->cores; i++)
		CPU_SET(settings->cpus[i], &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t count, double quantile)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), compare_doubles);
	return values[(size_t)((double)(count - 1) * quantile + 0.5)];
}

double bench_cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- the tables ------------------------------------------------------------------------------ */

void bench_settings_init(struct bench_settings *settings)
{
	cpu_set_t set;

	memset(settings, 0, sizeof(*settings));
	settings->seconds = BENCH_SECONDS;
	settings->data = ".";
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		CPU_SET(0, &set);
	for (uint32_t cpu = 0; cpu < BENCH_CPUS_MAX; cpu++) {
		if (CPU_ISSET(cpu, &set))
			settings->cpus[settings->cores++] = cpu;
	}
}

const struct bench *bench_find(const char *name)
{
	for (const struct bench *const *b = bench_table; *b; b++) {
		if (strcmp((*b)->name, name) == 0)
			return *b;
	}
	return NULL;
}

/* Prints words from column `column` on, in lines of 80 columns. */
static void print_words(FILE *out, const char *text, size_t column)
{
	size_t at = column;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (at > column && at + 1 + word > 80) {
			fprintf(out, "\n%*s", (int)column, "");
			at = column;
		}
		at += (size_t)fprintf(out, "%s%.*s", at > column ? " " : "", (int)word, text);
		text += word + strspn(text + word, " ");
	}
	fputc('\n', out);
}

void bench_list(FILE *out)
{
	for (const struct bench *const *b = bench_table; *b; b++) {
		fprintf(out, "%s: %s\n", (*b)->name, (*b)->about);
		for (const struct bench_case *c = (*b)->cases; c->name; c++) {
			fprintf(out, "  %-26s ", c->name);
			print_words(out, c->about, 29);
		}
	}
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* What the sides of one case have recorded, round by round. */
struct samples {
	uint32_t count;
	double value[BENCH_ROUNDS_MAX];
};

struct measurement {
	const struct bench *bench;
	const struct bench_case *which;
	const struct bench_output *output;
	uint32_t sides;
	uint32_t rounds;
	bool missing[BENCH_SIDES_MAX];
	struct samples samples[BENCH_SIDES_MAX][BENCH_METRICS];
};

static uint32_t count_sides(const struct bench_case *which)
{
	uint32_t sides = 0;

	while (sides < BENCH_SIDES_MAX && which->sides[sides].round)
		sides++;
	return sides;
}

static const char *side_name(const struct bench_side *side)
{
	return side->role == BENCH_OURS ? "tarn" : side->name;
}

static void show_progress(const struct measurement *m, uint32_t round)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s %s: round %u of %u", m->bench->name, m->which->name,
			round + 1, m->rounds);
}

static void clear_progress(void)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

/* Whether the status says that something is not there, and not that something went wrong. */
static bool is_missing(struct status s)
{
	return status_is(s, STATUS_UNSUPPORTED) || status_is(s, STATUS_NOT_FOUND);
}

static void say(const struct measurement *m, const char *what, const char *verdict)
{
	clear_progress();
	fprintf(stderr, "%s %s: %s%s%s: %s\n", m->bench->name, m->which->name, what,
		*what ? " " : "", verdict, diag_text());
}

static void keep_samples(struct measurement *m, uint32_t side, const struct bench_round *round)
{
	for (uint32_t metric = 0; metric < BENCH_METRICS; metric++) {
		struct samples *s = &m->samples[side][metric];

		if (round->recorded[metric] && s->count < BENCH_ROUNDS_MAX)
			s->value[s->count++] = round->value[metric];
	}
}

/* One round of one side. False if it failed; what is missing is noted and no failure. */
static bool run_side(struct measurement *m, struct bench_round *round, uint32_t side, bool keep)
{
	struct status s;

	if (m->missing[side])
		return true;
	memset(round->recorded, 0, sizeof(round->recorded));
	s = m->which->sides[side].round(round);
	bench_unpin(round->settings);
	if (is_missing(s)) {
		m->missing[side] = true;
		say(m, side_name(&m->which->sides[side]), "not measured");
		return true;
	}
	if (!status_ok(s)) {
		say(m, side_name(&m->which->sides[side]), "failed");
		return false;
	}
	if (keep)
		keep_samples(m, side, round);
	return true;
}

static bool run_rounds(struct measurement *m, struct bench_round *round)
{
	uint64_t budget = round->budget_ns;

	if (!m->which->no_warm_up) {
		round->budget_ns = budget / 4;
		for (uint32_t side = 0; side < m->sides; side++) {
			if (!run_side(m, round, side, false))
				return false;
		}
		round->budget_ns = budget;
	}
	for (uint32_t r = 0; r < m->rounds; r++) {
		round->number = r;
		show_progress(m, r);
		for (uint32_t side = 0; side < m->sides; side++) {
			if (!run_side(m, round, side, true))
				return false;
		}
	}
	return true;
}

static struct bench_number median(const struct measurement *m, uint32_t side,
				  enum bench_metric metric)
{
	double sorted[BENCH_ROUNDS_MAX];
	const struct samples *s = &m->samples[side][metric];

	if (s->count == 0)
		return (struct bench_number){0};
	memcpy(sorted, s->value, s->count * sizeof(sorted[0]));
	return (struct bench_number){.known = true, .value = bench_quantile(sorted, s->count, 0.5)};
}

static void print_result(const struct measurement *m, const struct bench_result *result)
{
	if (m->output->json)
		bench_print_json(m->output->file, result);
	else
		bench_print_row(m->output->file, result);
}

static bool higher_is_better(const struct measurement *m, enum bench_metric metric)
{
	if (metric == m->which->headline && m->which->better != BENCH_BETTER_USUAL)
		return m->which->better == BENCH_BETTER_HIGHER;
	return bench_metric_info(metric)->higher_is_better;
}

/* The lines of one metric: one for each peer that has it, one without if none has. */
static void print_metric(const struct measurement *m, enum bench_metric metric)
{
	bool higher = higher_is_better(m, metric);
	bool first = true;
	struct bench_result result = {.bench = m->bench->name,
				      .name = m->which->name,
				      .metric = metric,
				      .headline = metric == m->which->headline};

	for (uint32_t side = 0; side < m->sides; side++) {
		if (m->which->sides[side].role == BENCH_OURS)
			result.value = median(m, side, metric);
		else if (m->which->sides[side].role == BENCH_LIMIT)
			result.limit = median(m, side, metric);
	}
	result.of_limit = bench_compare(result.value, result.limit, higher);
	for (uint32_t side = 0; side < m->sides; side++) {
		struct bench_number peer = median(m, side, metric);

		if (m->which->sides[side].role != BENCH_PEER || !peer.known)
			continue;
		result.peer = m->which->sides[side].name;
		result.peer_value = peer;
		result.vs_peer = bench_compare(result.value, peer, higher);
		print_result(m, &result);
		result.headline = false;
		first = false;
	}
	/* the headline is always there; another metric only if Tarn itself has it */
	if (first && (result.value.known || metric == m->which->headline))
		print_result(m, &result);
}

static void print_case(const struct measurement *m)
{
	clear_progress();
	print_metric(m, m->which->headline);
	for (uint32_t metric = 0; metric < BENCH_METRICS; metric++) {
		if (metric != m->which->headline)
			print_metric(m, (enum bench_metric)metric);
	}
}

static uint64_t round_budget_ns(const struct measurement *m, const struct bench_settings *settings)
{
	double seconds = settings->seconds;

	if (m->which->seconds > 0)
		seconds = m->which->seconds * settings->seconds / BENCH_SECONDS;
	return (uint64_t)(seconds * 1e9 / m->rounds / (m->sides ? m->sides : 1));
}

static bool run_case(struct measurement *m, const struct bench_settings *settings)
{
	struct bench_round round = {.settings = settings, .which = m->which};
	bool done;

	m->sides = count_sides(m->which);
	m->rounds = m->which->rounds ? m->which->rounds : BENCH_ROUNDS_USUAL;
	if (m->rounds < BENCH_ROUNDS)
		m->rounds = BENCH_ROUNDS;
	if (m->rounds > BENCH_ROUNDS_MAX)
		m->rounds = BENCH_ROUNDS_MAX;
	round.budget_ns = round_budget_ns(m, settings);
	if (m->which->setup) {
		struct status s = m->which->setup(&round);

		if (is_missing(s)) {
			say(m, "", "not measured");
			print_case(m);
			return true;
		}
		if (!status_ok(s)) {
			say(m, "", "could not be set up");
			return false;
		}
	}
	done = run_rounds(m, &round);
	if (m->which->teardown)
		m->which->teardown(&round);
	if (done)
		print_case(m);
	return done;
}

static bool matches(const char *name, const char *const *globs)
{
	if (!globs || !*globs)
		return true;
	for (; *globs; globs++) {
		if (fnmatch(*globs, name, 0) == 0)
			return true;
	}
	return false;
}

#define OTHERS_MOST 0.2 /* processors: more of others' work is noise */

static void say_if_others_worked(const struct bench *bench, const struct bench_busy *from)
{
	struct bench_busy now;
	double others;

	if (!bench_busy_now(&now))
		return;
	others = bench_busy_others(from, &now);
	if (others > OTHERS_MOST)
		fprintf(stderr,
			"%s: other processes used %.1f processors meanwhile: a quiet "
			"moment gives better figures\n",
			bench->name, others);
}

uint32_t bench_run(const struct bench *bench, const struct bench_settings *settings,
		   const char *const *globs, const struct bench_output *output,
		   uint32_t *ret_matched)
{
	struct bench_busy before;
	bool known = bench_busy_now(&before);
	uint32_t failed = 0;
	uint32_t matched = 0;

	for (const struct bench_case *c = bench->cases; c->name; c++) {
		struct measurement m = {.bench = bench, .which = c, .output = output};

		if (!matches(c->name, globs))
			continue;
		if (matched++ == 0 && !output->json)
			bench_print_heading(output->file, bench);
		if (!run_case(&m, settings))
			failed++;
	}
	if (matched > 0 && known)
		say_if_others_worked(bench, &before);
	*ret_matched = matched;
	return failed;
}
