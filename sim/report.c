/*
 * How a finding is told, and how it ends the run.
 */
#include "sim/sim_int.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const char *const event_names[] = {
	[EVENT_SWITCH] = "switch to", [EVENT_LOAD] = "load",   [EVENT_STORE] = "store",
	[EVENT_RMW] = "rmw",          [EVENT_CAS] = "cas",     [EVENT_FENCE] = "fence",
	[EVENT_PLAIN] = "plain",      [EVENT_RELAX] = "relax", [EVENT_CLOCK] = "clock",
	[EVENT_CHOOSE] = "choose",    [EVENT_SLEEP] = "sleep", [EVENT_AWAKE] = "awake",
	[EVENT_WAKE] = "wake",        [EVENT_START] = "start", [EVENT_END] = "end",
	[EVENT_JOIN] = "join",        [EVENT_LOCK] = "lock",   [EVENT_UNLOCK] = "unlock",
};

const char *sim_verdict_name(enum sim_verdict verdict)
{
	static const char *const names[] = {
		[SIM_OK] = "ok",
		[SIM_RACE] = "race",
		[SIM_DEADLOCK] = "deadlock",
		[SIM_LIVELOCK] = "livelock",
		[SIM_ASSERTION] = "assertion",
		[SIM_LEFTOVER] = "leftover",
		[SIM_CRASH] = "crash",
	};

	return (size_t)verdict < ARRAY_SIZE(names) ? names[verdict] : "unknown";
}

void frames_take(void *frames[FRAMES_MAX])
{
	void **frame = __builtin_frame_address(0);

	memset(frames, 0, FRAMES_MAX * sizeof(*frames));
	/* frame pointers are kept in all of our code, and a chain ends with NULL */
	for (uint32_t i = 0; i < FRAMES_MAX && frame; i++) {
		void **up = frame[0];

		frames[i] = frame[1];
		if (up <= frame)
			break;
		frame = up;
	}
}

void frames_print(FILE *out, void *const frames[FRAMES_MAX])
{
	for (uint32_t i = 0; i < FRAMES_MAX && frames[i]; i++)
		fprintf(out, "      %s\n", symbol_name(frames[i]));
}

void event_print(struct sim *s, enum event event, uint64_t object, uint64_t detail)
{
	void *frames[FRAMES_MAX];

	frames_take(frames);
	fprintf(s->config->trace,
		"%8" PRIu64 " %12" PRIu64 " ns  %u %-10s %-9s %4" PRIu64 " %" PRIu64 "  %s < %s\n",
		s->steps, s->now, s->current->index, s->current->name, event_names[event], object,
		detail, symbol_name(frames[2]), symbol_name(frames[3]));
}

static void processor_print(struct sim *s, const struct processor *p, FILE *out)
{
	fprintf(out, "  processor %u (%s): ", p->index, p->name);
	switch (p->state) {
	case PROCESSOR_NONE: break;
	case PROCESSOR_RUNNABLE: fprintf(out, p == s->current ? "running\n" : "runnable\n"); break;
	case PROCESSOR_SLEEPING:
		fprintf(out, "asleep on atomic %u",
			memory_number(s, p->waits_for, sizeof(uint32_t)));
		if (p->deadline != CLOCK_NEVER)
			fprintf(out, " until %" PRIu64 " ns", p->deadline);
		fprintf(out, "\n");
		frames_print(out, p->frames);
		break;
	case PROCESSOR_JOINING:
		fprintf(out, "joins processor %u\n", p->joins);
		frames_print(out, p->frames);
		break;
	case PROCESSOR_LOCKING:
		fprintf(out, "waits for a mutex\n");
		frames_print(out, p->frames);
		break;
	case PROCESSOR_ENDED: fprintf(out, "ended\n"); break;
	}
}

static void state_print(struct sim *s, FILE *out)
{
	static const char *const strategies[] = {"seeded", "uniform", "pct", "long"};
	void *frames[FRAMES_MAX];

	fprintf(out, "\n  seed %" PRIu64 ", step %" PRIu64 ", %" PRIu64 " ns, strategy %s\n",
		s->config->seed, s->steps, s->now, strategies[s->strategy]);
	fprintf(out, "  found in processor %u (%s) at:\n", s->current->index, s->current->name);
	frames_take(frames);
	frames_print(out, frames);
	for (uint32_t i = 0; i < s->limit; i++) {
		if (s->processors[i].state != PROCESSOR_NONE)
			processor_print(s, &s->processors[i], out);
	}
}

static NORETURN void finding_va(struct sim *s, enum sim_verdict verdict, const char *format,
				va_list args) PRINTF(3, 0);

static NORETURN void finding_va(struct sim *s, enum sim_verdict verdict, const char *format,
				va_list args)
{
	char *text = s->report->text;
	FILE *out = fmemopen(text, SIM_TEXT_BYTES, "w");

	ASSERT(out);
	s->report->verdict = verdict;
	vfprintf(out, format, args);
	state_print(s, out);
	/* what the code under test prints must not pass switch points any more */
	sim_now_running = NULL;
	if (s->config->dump)
		s->config->dump(s->config->arg, out);
	fclose(out);
	text[SIM_TEXT_BYTES - 1] = '\0';
	processor_leave(s);
}

void finding(struct sim *s, enum sim_verdict verdict, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	finding_va(s, verdict, format, args);
}

void sim_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	ASSERT(sim_now_running);
	finding_va(sim_now_running, SIM_ASSERTION, format, args);
}
