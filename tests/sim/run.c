/*
 * run SCENARIO [--seed N] [--seeds FROM..TO] [--find VERDICT] [--verbose]: runs a scenario under
 * seeds, each twice. --find is for programs with a mistake planted in the code under test: some
 * seed must end with that verdict.
 *
 * Each run is a process of its own, forked from this one: it starts from the same untouched globals
 * every time, a finding or a crash leaves nothing behind, and both runs of a seed must give the
 * same hash. Exit status: 0 as expected, 1 not, 2 wrong usage.
 */
#include "scenario.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPEATS 2

static const struct suite {
	const struct scenario *scenarios;
	const size_t *count;
} suites[] = {
	{scenarios_sync, &scenarios_sync_count},
	{scenarios_threads, &scenarios_threads_count},
	{scenarios_memory, &scenarios_memory_count},
};

struct options {
	const struct scenario *scenario;
	uint64_t from;
	uint64_t to;    /* inclusive */
	uint32_t finds; /* 0: no seed may find anything; else one must end so: 1 << verdict */
	bool kept;      /* run the kept seeds first, and all of the scenario's */
	bool verbose;
};

struct totals {
	uint64_t seeds;
	uint64_t steps;
	uint64_t switches;
};

static const struct scenario *scenario_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++) {
		for (size_t k = 0; k < *suites[i].count; k++) {
			if (strcmp(suites[i].scenarios[k].name, name) == 0)
				return &suites[i].scenarios[k];
		}
	}
	return NULL;
}

/* ---- one run --------------------------------------------------------------------------------- */

static void run_child(const struct options *o, uint64_t seed, struct sim_report *ret, bool trace)
{
	const struct scenario *sc = o->scenario;

	sim_run(
		&(struct sim_config){
			.seed = seed,
			.body = sc->body,
			.arg = sc->arg,
			.dump = sc->dump,
			.steps_max = sc->steps_max,
			.steps_usual = sc->steps_usual,
			.time_ns_max = sc->time_ns_max,
			.trace = trace ? stderr : NULL,
		},
		ret);
}

/* Runs the seed in a child; *shared is memory that both see. */
static void run_once(const struct options *o, uint64_t seed, struct sim_report *shared, bool trace)
{
	int status;

	/* only the verdict must be defined if the child dies before it reports */
	shared->verdict = SIM_CRASH;
	shared->hash = 0;
	shared->text[0] = '\0';
	fflush(NULL);

	pid_t child = fork();

	if (child < 0) {
		perror("fork");
		exit(1);
	}
	if (child == 0) {
		run_child(o, seed, shared, trace);
		fflush(NULL);
		_exit(0); /* not exit(): what the run left behind is no leak of the program's */
	}
	if (waitpid(child, &status, 0) != child) {
		perror("waitpid");
		exit(1);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	shared->verdict = SIM_CRASH;
	snprintf(shared->text, sizeof(shared->text), "the process died: signal %d, status %d\n",
		 WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		 WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

/* Runs the seed twice. False, with the reason in the text, if the two differ. */
static bool run_seed(const struct options *o, uint64_t seed, struct sim_report *shared,
		     struct totals *t)
{
	uint64_t hashes[REPEATS];

	for (uint32_t i = 0; i < REPEATS; i++) {
		run_once(o, seed, shared, o->verbose && i == 0);
		hashes[i] = shared->hash;
		t->steps += shared->steps;
		t->switches += shared->switches;
	}
	t->seeds++;
	if (hashes[0] == hashes[1])
		return true;
	snprintf(shared->text, sizeof(shared->text),
		 "seed %" PRIu64 ": two runs differ: hashes %016" PRIx64 " and %016" PRIx64 "\n",
		 seed, hashes[0], hashes[1]);
	return false;
}

static void repeat_print(const struct options *o, uint64_t seed)
{
	printf("  to repeat: build/tests/sim/run %s --seed %" PRIu64 " --verbose\n"
	       "  to keep:   echo %" PRIu64 " >> tests/sim/seeds/%s\n",
	       o->scenario->name, seed, seed, o->scenario->name);
}

/* ---- many seeds ------------------------------------------------------------------------------ */

enum outcome { OUTCOME_GO_ON, OUTCOME_FOUND, OUTCOME_FAILED };

static enum outcome seed_judge(const struct options *o, uint64_t seed, struct sim_report *shared,
			       struct totals *t)
{
	const struct scenario *sc = o->scenario;

	if (!run_seed(o, seed, shared, t)) {
		printf("%s", shared->text);
		repeat_print(o, seed);
		return OUTCOME_FAILED;
	}
	if (shared->verdict == SIM_OK)
		return OUTCOME_GO_ON;
	if (o->finds & 1u << shared->verdict) {
		printf("%s: found as it must be, by seed %" PRIu64 ": %s: %s\n", sc->name, seed,
		       sim_verdict_name(shared->verdict), shared->text);
		return OUTCOME_FOUND;
	}
	printf("%s: seed %" PRIu64 ": %s: %s\n", sc->name, seed, sim_verdict_name(shared->verdict),
	       shared->text);
	repeat_print(o, seed);
	return OUTCOME_FAILED;
}

/* The seeds that failed once. Their file has one number a line; # begins a comment. */
static enum outcome kept_run(const struct options *o, struct sim_report *shared, struct totals *t)
{
	char path[512];
	char line[256];
	enum outcome outcome = OUTCOME_GO_ON;

	snprintf(path, sizeof(path), "%s/%s", SEEDS_FOLDER, o->scenario->name);
	FILE *in = fopen(path, "r");

	if (!in)
		return outcome;
	while (outcome == OUTCOME_GO_ON && fgets(line, sizeof(line), in)) {
		char *end;
		uint64_t seed = strtoull(line, &end, 10);

		if (end != line)
			outcome = seed_judge(o, seed, shared, t);
	}
	fclose(in);
	return outcome;
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int scenario_run(const struct options *o)
{
	struct sim_report *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct totals t = {0};
	double start = seconds_now();
	enum outcome outcome = OUTCOME_GO_ON;

	if (shared == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	if (o->kept)
		outcome = kept_run(o, shared, &t);
	for (uint64_t seed = o->from; outcome == OUTCOME_GO_ON && seed <= o->to; seed++)
		outcome = seed_judge(o, seed, shared, &t);
	if (outcome == OUTCOME_GO_ON && o->finds && o->kept) {
		printf("%s: not found: the simulator has become blind to this mistake\n",
		       o->scenario->name);
		outcome = OUTCOME_FAILED;
	}
	double seconds = seconds_now() - start;

	printf("%s: %s, %" PRIu64 " seeds twice, %" PRIu64 " steps, %" PRIu64
	       " switches, %.1f s, %.1f M steps/s\n",
	       o->scenario->name, outcome == OUTCOME_FAILED ? "FAILED" : "ok", t.seeds, t.steps,
	       t.switches, seconds, (double)t.steps / seconds * 1e-6);
	munmap(shared, sizeof(*shared));
	return outcome == OUTCOME_FAILED;
}

/* ---- the command line ------------------------------------------------------------------------ */

static int usage(void)
{
	fprintf(stderr, "usage: run SCENARIO [--seed N] [--seeds FROM..TO] [--find VERDICT] "
			"[--verbose]\n"
			"       run --list\n"
			"scenarios:\n");
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++) {
		for (size_t k = 0; k < *suites[i].count; k++)
			fprintf(stderr, "  %-24s %s\n", suites[i].scenarios[k].name,
				suites[i].scenarios[k].about);
	}
	return 2;
}

static int list(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++) {
		for (size_t k = 0; k < *suites[i].count; k++)
			printf("%s\n", suites[i].scenarios[k].name);
	}
	return 0;
}

static bool number_parse(const char *text, char **ret_end, uint64_t *ret)
{
	errno = 0;
	*ret = strtoull(text, ret_end, 10);
	return *ret_end != text && errno == 0;
}

/* "N" or "FROM..TO" */
static bool seeds_parse(const char *text, struct options *o)
{
	char *end;

	if (!number_parse(text, &end, &o->from))
		return false;
	o->to = o->from;
	if (strncmp(end, "..", 2) == 0 && !number_parse(end + 2, &end, &o->to))
		return false;
	o->kept = false;
	return *end == '\0' && o->to >= o->from;
}

static bool verdict_parse(const char *text, uint32_t *ret_finds)
{
	for (uint32_t v = SIM_OK + 1; v <= SIM_CRASH; v++) {
		if (strcmp(text, sim_verdict_name((enum sim_verdict)v)) != 0)
			continue;
		*ret_finds |= 1u << v;
		return true;
	}
	return false;
}

static bool options_parse(int argc, char **argv, struct options *o)
{
	o->scenario = argc > 1 ? scenario_find(argv[1]) : NULL;
	if (!o->scenario)
		return false;
	o->from = 1;
	o->to = o->scenario->seeds;
	o->kept = true;
	o->finds = o->scenario->finds;
	for (int i = 2; i < argc; i++) {
		bool seeds = strcmp(argv[i], "--seed") == 0 || strcmp(argv[i], "--seeds") == 0;

		if (seeds && i + 1 < argc && seeds_parse(argv[i + 1], o))
			i++;
		else if (strcmp(argv[i], "--find") == 0 && i + 1 < argc &&
			 verdict_parse(argv[i + 1], &o->finds))
			i++;
		else if (strcmp(argv[i], "--verbose") == 0)
			o->verbose = true;
		else
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct options o = {0};

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list();
	if (!options_parse(argc, argv, &o))
		return usage();
	return scenario_run(&o);
}
