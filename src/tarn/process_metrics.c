/*
 * What the system says of this process, as metrics.
 */
#include "base/clock.h"
#include "base/metrics.h"
#include "base/os.h"

#include <stdio.h>
#include <sys/resource.h>

static uint64_t started_ns;

__attribute__((constructor)) static void start(void)
{
	started_ns = clock_ns();
}

static double uptime_seconds(const void *arg)
{
	(void)arg;
	return (double)(clock_ns() - started_ns) / 1e9;
}

static double cpu_seconds(const void *arg)
{
	struct rusage usage;

	(void)arg;
	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double resident_bytes(const void *arg)
{
	unsigned long long pages = 0;
	char text[128];
	size_t bytes;

	(void)arg;
	if (status_ok(os_file_read("/proc/self/statm", text, sizeof(text), &bytes)) &&
	    sscanf(text, "%*u %llu", &pages) != 1)
		pages = 0;
	return (double)pages * (double)os_page_bytes();
}

METRIC_GAUGE(uptime, "tarn_process_uptime_seconds", uptime_seconds, NULL, "Time since the start");
METRIC_GAUGE(cpu, "tarn_process_cpu_seconds", cpu_seconds, NULL,
	     "Processor time used, all threads");
METRIC_GAUGE(resident, "tarn_process_resident_bytes", resident_bytes, NULL,
	     "Memory that the process has, as the system counts");
