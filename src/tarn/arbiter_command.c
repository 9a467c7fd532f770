/*
 * `tarn arbiter`: rt's arbiter with flags.
 */
#include "base/diag.h"
#include "base/log.h"
#include "base/self.h"
#include "base/text.h"
#include "rt/arbiter.h"
#include "tarn/command.h"
#include "tarn/options.h"

#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define RULES_MAX 64

/* What the flags say, as they say it. */
struct request {
	const char *socket;
	const char *group;
	const char *cores;
	const char *backend;
	const char *users;
	bool manage_all;
	double grace_s;
	double turn_s;
	uint64_t clients;
	uint64_t clients_per_user;
	uint64_t cores_per_client;
	struct arbiter_rule rules[RULES_MAX];
};

/* ---- from flags to a configuration ----------------------------------------------------------- */

static struct status backend_of(const char *name, enum arbiter_backend *ret)
{
	static const char *const names[] = {
		[ARBITER_BACKEND_AUTO] = "auto",
		[ARBITER_BACKEND_CPUSET_V1] = "cpuset1",
		[ARBITER_BACKEND_CPUSET_V2] = "cpuset2",
		[ARBITER_BACKEND_AFFINITY] = "affinity",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum arbiter_backend)i;
			return OK;
		}
	}
	return fail(STATUS_INVALID,
		    "--backend: \"%s\", auto, cpuset1, cpuset2 or affinity is right", name);
}

static struct status group_of(const char *name, struct arbiter_config *config)
{
	const struct group *group = getgrnam(name);

	if (!group)
		return fail(STATUS_INVALID, "--group: there is no group \"%s\"", name);
	config->gid = group->gr_gid;
	config->mode = 0660;
	return OK;
}

/* USER:PRIORITY:CORES, where USER is a name or a number. Changes the text. */
static struct status rule_of(char *text, struct arbiter_rule *ret)
{
	const char *user = strsep(&text, ":");
	const char *priority = strsep(&text, ":");
	const struct passwd *entry = getpwnam(user);
	uint64_t numbers[3];

	if (!priority || !text || !status_ok(text_parse_u64(priority, &numbers[1])) ||
	    !status_ok(text_parse_u64(text, &numbers[2])) || numbers[1] > UINT32_MAX ||
	    numbers[2] > UINT32_MAX)
		return fail(STATUS_INVALID,
			    "--users: USER:PRIORITY:CORES is right, e.g. redis:1:4,1000:2:1");
	if (entry)
		numbers[0] = entry->pw_uid;
	else if (!status_ok(text_parse_u64(user, &numbers[0])) || numbers[0] > UINT32_MAX)
		return fail(STATUS_INVALID, "--users: there is no user \"%s\"", user);
	*ret = (struct arbiter_rule){.uid = (uint32_t)numbers[0],
				     .priority_best = (uint32_t)numbers[1],
				     .cores_max = (uint32_t)numbers[2]};
	return OK;
}

static struct status rules_of(struct request *r, struct arbiter_config *config)
{
	char copy[4096];
	char *rest = copy;
	char *one;

	if (snprintf(copy, sizeof(copy), "%s", r->users) >= (int)sizeof(copy))
		return fail(STATUS_INVALID, "--users: the list is too long");
	while ((one = strsep(&rest, ",")) != NULL) {
		if (config->rule_count == RULES_MAX)
			return fail(STATUS_INVALID, "--users: %u at most", RULES_MAX);
		TRY(rule_of(one, &r->rules[config->rule_count]));
		config->rule_count++;
	}
	config->rules = r->rules;
	return OK;
}

static void report(void *arg, enum arbiter_report kind, const char *text)
{
	(void)arg;
	if (kind == ARBITER_REPORT_WARNING)
		log_warn("%s", text);
	else
		log_info("%s", text);
}

static struct status config_of(struct request *r, struct arbiter_config *config)
{
	*config = (struct arbiter_config){
		.path = r->socket,
		.manage_all = r->manage_all,
		.grace_ns = (uint64_t)(r->grace_s * 1e9),
		.turn_ns = (uint64_t)(r->turn_s * 1e9),
		.clients_max = (uint32_t)r->clients,
		.clients_per_uid_max = (uint32_t)r->clients_per_user,
		.cores_per_client_max = (uint32_t)r->cores_per_client,
		.report = report,
	};
	if (r->cores && !status_ok(cpus_parse(r->cores, &config->cpus)))
		return fail(STATUS_INVALID, "--cores: \"%s\" is no list like 1-3,6", r->cores);
	if (r->backend)
		TRY(backend_of(r->backend, &config->backend));
	if (r->group)
		TRY(group_of(r->group, config));
	if (r->users)
		TRY(rules_of(r, config));
	return OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* A descriptor that becomes readable when the arbiter is to stop. */
static struct status stop_descriptor(int *ret)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	*ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret < 0)
		return fail(STATUS_LIMIT, "no descriptor for signals: too many open files");
	return OK;
}

static struct status run(const struct arbiter_config *config)
{
	struct status s;
	int stop;

	TRY(stop_descriptor(&stop));
	s = arbiter_run(config, stop);
	close(stop);
	return s;
}

static enum command_exit arbiter_main(int argc, char **argv)
{
	struct request r = {0};
	const struct option options[] = {
		{"socket", OPTION_TEXT, &r.socket, 0, 0},
		{"group", OPTION_TEXT, &r.group, 0, 0},
		{"cores", OPTION_TEXT, &r.cores, 0, 0},
		{"backend", OPTION_TEXT, &r.backend, 0, 0},
		{"manage-all", OPTION_SWITCH, &r.manage_all, 0, 0},
		{"users", OPTION_TEXT, &r.users, 0, 0},
		{"grace", OPTION_SECONDS, &r.grace_s, 0.0001, 60},
		{"turn", OPTION_SECONDS, &r.turn_s, 0.001, 3600},
		{"clients", OPTION_COUNT, &r.clients, 1, 1024},
		{"clients-per-user", OPTION_COUNT, &r.clients_per_user, 1, 1024},
		{"cores-per-client", OPTION_COUNT, &r.cores_per_client, 1, CPUS_MAX},
		{NULL, OPTION_SWITCH, NULL, 0, 0},
	};
	const char **words = calloc((size_t)argc + 1, sizeof(*words));
	enum command_exit result = COMMAND_DONE;
	struct arbiter_config config;
	uint32_t count = 0;
	struct status s;

	if (!words)
		return command_fail("arbiter", fail(STATUS_NO_MEMORY, "no memory"));
	self()->thread->name = "arbiter";
	s = options_parse(options, argc, argv, words, &count);
	if (status_ok(s))
		s = config_of(&r, &config);
	if (!status_ok(s))
		result = command_wrong_usage("arbiter", "%s", diag_text());
	else if (count > 0)
		result = command_wrong_usage("arbiter", "takes flags only, not \"%s\"", words[0]);
	free(words);
	if (result != COMMAND_DONE)
		return result;
	s = run(&config);
	return status_ok(s) ? COMMAND_DONE : command_fail("arbiter", s);
}

const struct command command_arbiter = {
	.name = "arbiter",
	.summary = "hands the cores of a machine to its tarn processes",
	.usage = "[FLAG...]",
	.help = "Gives whole cores to the processes that ask for them, by priority, and takes\n"
		"them back. Runs until Ctrl-C or SIGTERM, which puts every thread back.\n"
		"\n"
		"  --socket PATH        where it listens (/run/tarn/arbiter.sock for root,\n"
		"                       $XDG_RUNTIME_DIR/tarn-arbiter.sock for others)\n"
		"  --group NAME         who may connect besides its own user (nobody)\n"
		"  --cores LIST         the processors to give out (all but the first core)\n"
		"  --backend WHICH      auto, cpuset1, cpuset2 or affinity (auto: the\n"
		"                       strongest that this machine allows)\n"
		"  --manage-all         keep all other processes off the cores given out\n"
		"  --users LIST         USER:PRIORITY:CORES,...: the most urgent priority (0 is\n"
		"                       the most urgent) and the most cores of a user's\n"
		"                       processes (any and all)\n"
		"  --grace TIME         how long who must give a core back may take (10ms)\n"
		"  --turn TIME          how long some keep cores that others wait for (100ms)\n"
		"  --clients N          processes at once (64)\n"
		"  --clients-per-user N of one user (half of them)\n"
		"  --cores-per-client N cores of one process (no limit)\n"
		"\n"
		"Example: tarn arbiter --cores 1-7 --users redis:0:4\n",
	.main = arbiter_main,
};
