/*
 * `tarn bench` and `tarn limits`.
 */
#include "base/diag.h"
#include "bench/bench.h"
#include "tarn/command.h"
#include "tarn/options.h"

#include <stdlib.h>
#include <string.h>

/* Ten rounds and a warm-up of each of the 19 cases stay under 30 s with this. */
#define LIMITS_SECONDS 0.8

struct request {
	struct bench_settings settings;
	uint64_t cores;
	bool json;
};

/* Takes the flags that both commands have from `r` to where the benches look for them. */
static struct status request_apply(struct request *r)
{
	if (r->cores > r->settings.cores)
		return fail(STATUS_INVALID, "--cores: %llu asked for, this process may use %u",
			    (unsigned long long)r->cores, r->settings.cores);
	if (r->cores)
		r->settings.cores = (uint32_t)r->cores;
	return OK;
}

static enum command_exit run(const char *command, const struct bench *bench,
			     const struct request *r, const char *const *globs)
{
	uint32_t matched;
	uint32_t failed = bench_run(bench, &r->settings, globs,
				    &(struct bench_output){.file = stdout, .json = r->json},
				    &matched);

	if (matched == 0)
		return command_wrong_usage(command, "no case of %s matches %s, see tarn bench",
					   bench->name, globs ? globs[0] : "*");
	return failed ? COMMAND_FAILED : COMMAND_DONE;
}

static enum command_exit bench_main(int argc, char **argv)
{
	struct request r = {0};
	const struct option options[] = {
		{"json", OPTION_SWITCH, &r.json, 0, 0},
		{"seconds", OPTION_SECONDS, &r.settings.seconds, 0.01, 3600},
		{"cores", OPTION_COUNT, &r.cores, 1, BENCH_CPUS_MAX},
		{"keys", OPTION_COUNT, &r.settings.keys, 1, 1e12},
		{"data", OPTION_TEXT, &r.settings.data, 0, 0},
		{NULL, OPTION_SWITCH, NULL, 0, 0},
	};
	const char **words = calloc((size_t)argc + 1, sizeof(*words));
	enum command_exit result;
	const struct bench *bench;
	uint32_t count;
	struct status s;

	if (!words)
		return command_fail("bench", fail(STATUS_NO_MEMORY, "no memory"));
	bench_settings_init(&r.settings);
	s = options_parse(options, argc, argv, words, &count);
	if (status_ok(s))
		s = request_apply(&r);
	if (!status_ok(s)) {
		result = command_wrong_usage("bench", "%s", diag_text());
	} else if (count == 0) {
		bench_list(stdout);
		result = COMMAND_DONE;
	} else if ((bench = bench_find(words[0])) == NULL) {
		result = command_wrong_usage("bench", "no bench \"%s\", tarn bench lists them",
					     words[0]);
	} else {
		result = run("bench", bench, &r, count > 1 ? words + 1 : NULL);
	}
	free(words);
	return result;
}

static enum command_exit limits_main(int argc, char **argv)
{
	struct request r = {0};
	const struct option options[] = {
		{"json", OPTION_SWITCH, &r.json, 0, 0},
		{"data", OPTION_TEXT, &r.settings.data, 0, 0},
		{NULL, OPTION_SWITCH, NULL, 0, 0},
	};
	const char **words = calloc((size_t)argc + 1, sizeof(*words));
	enum command_exit result;
	uint32_t count;

	if (!words)
		return command_fail("limits", fail(STATUS_NO_MEMORY, "no memory"));
	bench_settings_init(&r.settings);
	r.settings.seconds = LIMITS_SECONDS;
	if (!status_ok(options_parse(options, argc, argv, words, &count)))
		result = command_wrong_usage("limits", "%s", diag_text());
	else if (count > 0)
		result = command_wrong_usage("limits", "takes flags only, not \"%s\"", words[0]);
	else
		result = run("limits", bench_find("limits"), &r, NULL);
	free(words);
	return result;
}

const struct command command_bench = {
	.name = "bench",
	.summary = "measures Tarn with the machine's limit and the peer",
	.usage = "[NAME [CASE-GLOB…]] [FLAG…]",
	.help = "Measures Tarn, the machine's limit and the peer by turns in one run. Each value\n"
		"is the median of at least five rounds. \"of limit\" and \"vs peer\" are above 1\n"
		"when Tarn is better. Without NAME it lists the benches and their cases.\n"
		"\n"
		"  --json         one result per line, as an object\n"
		"  --seconds S    how long a case measures, all its rounds together (3)\n"
		"  --cores N      use the first N of the processors (all)\n"
		"  --keys N       keys, in benches that have them (each bench's own)\n"
		"  --data DIR     where benches put files (.)\n"
		"\n"
		"Example: tarn bench limits 'copy_*' --seconds 1\n",
	.main = bench_main,
};

const struct command command_limits = {
	.name = "limits",
	.summary = "measures what this machine can do at best",
	.usage = "[--json] [--data DIR]",
	.help = "Measures in under 30 s what this machine can do at best: copy bandwidth, the\n"
		"hand-over of a cache line, system calls, wake-ups, clocks, first touches of\n"
		"pages, loopback TCP and direct disk I/O. The cases are those of\n"
		"`tarn bench limits`, which takes more flags.\n"
		"\n"
		"  --json         one result per line, as an object\n"
		"  --data DIR     measure the disk of this directory, with a temporary file (.)\n"
		"\n"
		"Example: tarn limits --data /var/tmp\n",
	.main = limits_main,
};
