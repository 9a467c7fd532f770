/*
 * Whether other processes kept the machine busy while a bench ran: then its figures are noise in
 * part, and whoever reads them should know.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What was used up to a moment, in seconds. */
struct bench_busy {
	double clock;
	double machine; /* of all processors together, what the hypervisor took included */
	double own;     /* of this process and its ended children */
};

/* The seconds that the text of /proc/stat says all processors were busy or stolen; false if it does
 * not say. `ticks` per second. */
bool bench_busy_parse(const char *text, double ticks, double *ret_seconds);

/* Takes the present state. False where it cannot be had. */
bool bench_busy_now(struct bench_busy *ret);

/* How many processors the others used on average between two moments, at least 0. */
double bench_busy_others(const struct bench_busy *from, const struct bench_busy *to);
