#include "base/metrics.h"

#include "base/assert.h"

#include <inttypes.h>
#include <string.h>

/* Cell 0 is nobody's: a metric that is counted before it is registered does no harm. */
static CACHE_ALIGNED uint64_t rows[SELF_SLOTS][METRICS_CELLS];
static struct atomic_u64 cells_used = ATOMIC(1);

/* All metrics, sorted by name, then in the order of registration. Grows only. */
static struct metric head;

/* The bound of a histogram's first bucket is 2^first; what is shown is the value times scale. */
static const struct unit {
	unsigned first;
	double scale;
} units[METRIC_UNITS] = {
	[METRIC_SECONDS] = {.first = 8, .scale = 1e-9},
	[METRIC_BYTES] = {.first = 6, .scale = 1},
	[METRIC_COUNT] = {.first = 0, .scale = 1},
};

uint64_t *metrics_cells(uint32_t slot)
{
	ASSERT(slot < SELF_SLOTS);
	return rows[slot];
}

static bool name_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	size_t length = strlen(name);

	return length > 0 && strspn(name, letters) > 0 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") ==
		       length;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static uint32_t cells_take(uint64_t count)
{
	uint64_t first = atomic_u64_quiet_add(&cells_used, count, ORDER_RELAXED);

	ASSERT(first + count <= METRICS_CELLS);
	return (uint32_t)first;
}

static struct metric *next_of(const struct metric *m)
{
	return atomic_ptr_quiet_load(&m->next, ORDER_ACQUIRE);
}

/* Whether two metrics would write the same line, or one family in two ways. */
static bool collide(const struct metric *a, const struct metric *b)
{
	if (strcmp(a->name, b->name) != 0)
		return false;
	return a->kind != b->kind || a->unit != b->unit ||
	       strcmp(a->labels ? a->labels : "", b->labels ? b->labels : "") == 0;
}

/* Insertion into a sorted list from which nothing is ever taken: a compare-and-swap suffices. */
static void insert(struct metric *m)
{
	for (;;) {
		struct metric *before = &head;
		struct metric *at;

		for (at = next_of(before); at && strcmp(at->name, m->name) <= 0; at = next_of(at)) {
			ASSERT(!collide(at, m));
			before = at;
		}

		void *expected = at;

		m->next = (struct atomic_ptr){at};
		if (atomic_ptr_quiet_cas(&before->next, &expected, m, ORDER_ACQ_REL))
			return;
	}
}

void metric_register(struct metric *m)
{
	ASSERT(name_valid(m->name));
	ASSERT(m->kind != METRIC_KIND_COUNTER || ends_with(m->name, "_total"));
	ASSERT(m->unit < METRIC_UNITS);
	ASSERT((m->kind == METRIC_KIND_GAUGE) == (m->read != NULL));
	if (m->kind == METRIC_KIND_COUNTER)
		m->cell = cells_take(1);
	else if (m->kind == METRIC_KIND_HISTOGRAM)
		m->cell = cells_take(METRIC_HISTOGRAM_CELLS);
	insert(m);
}

/* Backslash and newline, and the quote in a label's value, are written with a backslash. */
static size_t escape(char *to, size_t size, const char *text, bool quotes)
{
	size_t used = 0;

	for (; *text && used + 2 < size; text++) {
		if (*text == '\\' || *text == '\n' || (quotes && *text == '"'))
			to[used++] = '\\';
		to[used++] = *text == '\n' ? 'n' : *text;
	}
	to[used] = '\0';
	return used;
}

void metric_label(char *text, size_t size, const char *key, const char *value)
{
	size_t used = strlen(text);
	char escaped[256];

	ASSERT(name_valid(key));
	escape(escaped, sizeof(escaped), value, true);
	int wanted =
		snprintf(text + used, size - used, "%s%s=\"%s\"", used ? "," : "", key, escaped);
	if (wanted < 0 || (size_t)wanted >= size - used)
		text[used] = '\0';
}

/* The first bucket whose bound is not below the value. */
static uint32_t bucket_of(const struct metric *m, uint64_t value)
{
	unsigned first = units[m->unit].first;

	if (value <= 1ull << first)
		return 0;

	unsigned exponent = 64 - (unsigned)__builtin_clzll(value - 1) - first;

	return exponent < METRIC_BOUNDS ? exponent : METRIC_BOUNDS;
}

void metric_observe(const struct metric *m, uint64_t value)
{
	metric_cell_add(m->cell + bucket_of(m, value), 1);
	metric_cell_add(m->cell + METRIC_BOUNDS + 1, value);
}

static uint64_t cell_sum(uint32_t cell)
{
	uint32_t slots = self_slots_used();
	uint64_t sum = 0;

	for (uint32_t s = 0; s < slots; s++)
		sum += atomic_u64_quiet_load((struct atomic_u64 *)(void *)&rows[s][cell],
					     ORDER_RELAXED);
	return sum;
}

uint64_t metric_value(const struct metric *m)
{
	uint64_t sum = 0;

	switch (m->kind) {
	case METRIC_KIND_COUNTER: return cell_sum(m->cell);
	case METRIC_KIND_GAUGE: return (uint64_t)m->read(m->arg);
	case METRIC_KIND_HISTOGRAM:
		for (uint32_t i = 0; i <= METRIC_BOUNDS; i++)
			sum += cell_sum(m->cell + i);
	}
	return sum;
}

static void write_head(FILE *to, const struct metric *m)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};
	char help[512];

	escape(help, sizeof(help), m->help, false);
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", m->name, help, m->name, kinds[m->kind]);
}

/* A double so that reading it back gives the same, in the C locale's spelling. */
static void write_number(FILE *to, double v)
{
	if (v != v)
		fputs("NaN\n", to);
	else if (v - v != 0)
		fputs(v > 0 ? "+Inf\n" : "-Inf\n", to);
	else
		fprintf(to, "%.17g\n", v);
}

static void write_sample(FILE *to, const struct metric *m, const char *suffix)
{
	fprintf(to, "%s%s", m->name, suffix);
	if (m->labels)
		fprintf(to, "{%s}", m->labels);
	fputc(' ', to);
}

static void write_bucket(FILE *to, const struct metric *m, const char *bound, uint64_t count)
{
	fprintf(to, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", m->name, m->labels ? m->labels : "",
		m->labels ? "," : "", bound, count);
}

static void write_histogram(FILE *to, const struct metric *m)
{
	const struct unit *unit = &units[m->unit];
	uint64_t count = 0;
	char bound[32];

	for (uint32_t i = 0; i < METRIC_BOUNDS; i++) {
		count += cell_sum(m->cell + i);
		snprintf(bound, sizeof(bound), "%.12g",
			 (double)(1ull << (unit->first + i)) * unit->scale);
		write_bucket(to, m, bound, count);
	}
	count += cell_sum(m->cell + METRIC_BOUNDS);
	write_bucket(to, m, "+Inf", count);
	write_sample(to, m, "_sum");
	write_number(to, (double)cell_sum(m->cell + METRIC_BOUNDS + 1) * unit->scale);
	write_sample(to, m, "_count");
	fprintf(to, "%" PRIu64 "\n", count);
}

void metrics_write(FILE *to)
{
	const char *family = "";

	for (struct metric *m = next_of(&head); m; m = next_of(m)) {
		if (strcmp(family, m->name) != 0)
			write_head(to, m);
		family = m->name;
		switch (m->kind) {
		case METRIC_KIND_COUNTER:
			write_sample(to, m, "");
			fprintf(to, "%" PRIu64 "\n", cell_sum(m->cell));
			break;
		case METRIC_KIND_GAUGE:
			write_sample(to, m, "");
			write_number(to, m->read(m->arg));
			break;
		case METRIC_KIND_HISTOGRAM: write_histogram(to, m); break;
		}
	}
}
