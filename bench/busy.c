#include "bench/busy.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* user nice system idle iowait irq softirq steal; idle and iowait are nobody's use */
#define FIELDS 8
static const bool is_use[FIELDS] = {true, true, true, false, false, true, true, true};

bool bench_busy_parse(const char *text, double ticks, double *ret_seconds)
{
	unsigned long long used = 0;

	if (strncmp(text, "cpu ", 4) != 0)
		return false;
	text += 4;
	for (int i = 0; i < FIELDS; i++) {
		char *end;
		unsigned long long field = strtoull(text, &end, 10);

		if (end == text)
			return false;
		text = end;
		used += is_use[i] ? field : 0;
	}
	*ret_seconds = (double)used / ticks;
	return true;
}

static double used_by(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

bool bench_busy_now(struct bench_busy *ret)
{
	char text[512]; /* the first line is what counts; the file is longer */
	FILE *f = fopen("/proc/stat", "re");
	bool known = f && fgets(text, sizeof(text), f) &&
		     bench_busy_parse(text, (double)sysconf(_SC_CLK_TCK), &ret->machine);

	if (f)
		fclose(f);
	ret->clock = (double)clock_ns() / (double)NS_PER_S;
	ret->own = used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN);
	return known;
}

double bench_busy_others(const struct bench_busy *from, const struct bench_busy *to)
{
	double seconds = to->clock - from->clock;
	double others = (to->machine - from->machine) - (to->own - from->own);

	return seconds > 0 && others > 0 ? others / seconds : 0;
}
