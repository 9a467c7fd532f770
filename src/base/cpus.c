#include "base/cpus.h"

#include "base/diag.h"
#include "base/line.h"

uint32_t cpus_count(const struct cpus *set)
{
	uint32_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(set->words); i++)
		count += (uint32_t)__builtin_popcountll(set->words[i]);
	return count;
}

uint32_t cpus_nth(const struct cpus *set, uint32_t n)
{
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++)
		if (cpus_has(set, cpu) && n-- == 0)
			return cpu;
	return CPUS_MAX;
}

/* A number below CPUS_MAX; NULL if there is none, else where it ends. */
static const char *number_read(const char *at, uint32_t *ret)
{
	uint32_t v = 0;

	if (*at < '0' || *at > '9')
		return NULL;
	for (; *at >= '0' && *at <= '9' && v < CPUS_MAX; at++)
		v = v * 10 + (uint32_t)(*at - '0');
	*ret = v;
	return v < CPUS_MAX ? at : NULL;
}

/* "n" or "n-m", in order; NULL if it is neither, else where it ends. */
static const char *range_read(const char *at, uint32_t *ret_first, uint32_t *ret_last)
{
	at = number_read(at, ret_first);
	*ret_last = *ret_first;
	if (at && *at == '-')
		at = number_read(at + 1, ret_last);
	return at && *ret_first <= *ret_last ? at : NULL;
}

struct status cpus_parse(const char *text, struct cpus *ret_set)
{
	struct cpus set = {0};
	const char *at = text;

	while (*at && *at != '\n') {
		uint32_t first = 0, last = 0;

		at = range_read(at, &first, &last);
		if (!at || (*at && *at != ',' && *at != '\n') || (*at == ',' && !at[1]))
			return fail(
				STATUS_INVALID,
				"processors \"%.60s\": a list like 0-3,7 of numbers below %d is "
				"wanted",
				text, CPUS_MAX);
		for (uint32_t cpu = first; cpu <= last; cpu++)
			cpus_add(&set, cpu);
		if (*at == ',')
			at++;
	}
	*ret_set = set;
	return OK;
}

void cpus_format(const struct cpus *set, char *text, size_t size)
{
	struct line l;

	line_init(&l, text, size);
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
		uint32_t first = cpu;

		if (!cpus_has(set, cpu))
			continue;
		while (cpus_has(set, cpu + 1))
			cpu++;
		if (l.used)
			line_char(&l, ',');
		line_u64(&l, first);
		if (cpu > first) {
			line_char(&l, '-');
			line_u64(&l, cpu);
		}
	}
}
