#include "bench/busy.h"

#include "base/clock.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

bool bench_busy_parse(const char *text, double ticks, double *ret_seconds)
{
	unsigned long long user;
	unsigned long long nice;
	unsigned long long system;
	unsigned long long irq;
	unsigned long long softirq;
	unsigned long long steal;

	/* idle and iowait, the fourth and fifth, are nobody's use */
	if (sscanf(text, "cpu %llu %llu %llu %*u %*u %llu %llu %llu", &user, &nice, &system, &irq,
		   &softirq, &steal) != 6)
		return false;
	*ret_seconds = (double)(user + nice + system + irq + softirq + steal) / ticks;
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
