/*
 * An arbiter for a test: on a thread of the test's process, or in a process of its own so that it
 * can be killed or starved. Its reports are kept and can be waited for.
 */
#pragma once

#include "base/clock.h"
#include "base/os.h"
#include "rt/arbiter.h"
#include "rt/arbiter_client.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct daemon {
	struct arbiter_config config;
	char folder[64]; /* for the socket */
	char path[ARBITER_PATH_BYTES];
	char cgroups[64];
	int stop;
	pthread_t thread;
	struct status status; /* of arbiter_run(), after daemon_stop() */
	pthread_mutex_t mutex;
	pthread_cond_t more;
	bool ended;
	char reports[65536];
};

static void daemon_report(void *arg, enum arbiter_report kind, const char *text)
{
	struct daemon *d = arg;

	(void)kind;
	pthread_mutex_lock(&d->mutex);

	size_t used = strlen(d->reports);

	snprintf(d->reports + used, sizeof(d->reports) - used, "%s\n", text);
	pthread_cond_broadcast(&d->more);
	pthread_mutex_unlock(&d->mutex);
}

static void *daemon_main(void *arg)
{
	struct daemon *d = arg;
	struct status status = arbiter_run(&d->config, d->stop);

	pthread_mutex_lock(&d->mutex);
	d->status = status;
	d->ended = true;
	if (!status_ok(status)) {
		size_t used = strlen(d->reports);

		snprintf(d->reports + used, sizeof(d->reports) - used, "%s\n", diag_text());
	}
	pthread_cond_broadcast(&d->more);
	pthread_mutex_unlock(&d->mutex);
	return NULL;
}

/* Waits until the arbiter has reported `part`; false if it ended without. */
static inline bool daemon_said(struct daemon *d, const char *part)
{
	bool said;

	pthread_mutex_lock(&d->mutex);
	while (!(said = strstr(d->reports, part) != NULL) && !d->ended)
		pthread_cond_wait(&d->more, &d->mutex);
	pthread_mutex_unlock(&d->mutex);
	return said;
}

/* Forgets what was reported. */
static inline void daemon_forget(struct daemon *d)
{
	pthread_mutex_lock(&d->mutex);
	d->reports[0] = '\0';
	pthread_mutex_unlock(&d->mutex);
}

/*
 * Starts this program anew with `arguments` (which end with NULL) as a child that dies with us, and
 * waits until it has written a line; *ret_said is what follows. A fresh program, because one that
 * was forked among threads may not start threads of its own.
 */
static inline pid_t child_start(const char *const *arguments, FILE **ret_said)
{
	int said[2];
	pid_t pid;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
		dup2(said[1], STDOUT_FILENO);
		execv("/proc/self/exe", (char *const *)(uintptr_t)arguments);
		_exit(127);
	}
	close(said[1]);
	*ret_said = fdopen(said[0], "r");
	assert_non_null(*ret_said);

	char line[512];

	if (!fgets(line, sizeof(line), *ret_said))
		fail_msg("%s ended without a word", arguments[1]);
	return pid;
}

static inline void child_kill(pid_t pid, FILE *said)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fclose(said);
}

/* In a child: says that all is ready, and waits to be killed. */
NORETURN static inline void child_ready(void)
{
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

/* All processors that this process may use; at most two, so that tests fit every machine. */
static inline struct cpus daemon_cpus(uint32_t most)
{
	struct cpus all, some = {0};

	assert_ok(os_affinity_get(0, &all));
	for (uint32_t i = 0; i < most && i < cpus_count(&all); i++)
		cpus_add(&some, cpus_nth(&all, i));
	return some;
}

/* A config for tests; the caller may change it before daemon_start(). */
static inline struct daemon *daemon_make(enum arbiter_backend backend)
{
	struct daemon *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	snprintf(d->folder, sizeof(d->folder), "/tmp/tarn-arbiter-XXXXXX");
	assert_non_null(mkdtemp(d->folder));
	snprintf(d->path, sizeof(d->path), "%s/socket", d->folder);
	snprintf(d->cgroups, sizeof(d->cgroups), "tarn-test-%d", (int)getpid());
	pthread_mutex_init(&d->mutex, NULL);
	pthread_cond_init(&d->more, NULL);
	d->config = (struct arbiter_config){
		.path = d->path,
		.cpus = daemon_cpus(2),
		.backend = backend,
		.folder = d->cgroups,
		.report = daemon_report,
		.report_arg = d,
	};
	return d;
}

/* Starts it and waits until it listens; false if it could not start. */
static inline bool daemon_start(struct daemon *d)
{
	d->ended = false;
	d->reports[0] = '\0';
	d->stop = eventfd(0, EFD_CLOEXEC);
	assert_true(d->stop >= 0);
	assert_int_equal(pthread_create(&d->thread, NULL, daemon_main, d), 0);
	return daemon_said(d, "gives out");
}

static inline void daemon_stop(struct daemon *d)
{
	uint64_t one = 1;

	assert_int_equal(write(d->stop, &one, sizeof(one)), sizeof(one));
	pthread_join(d->thread, NULL);
	close(d->stop);
}

static inline void daemon_free(struct daemon *d)
{
	char lock[ARBITER_PATH_BYTES + 8];

	snprintf(lock, sizeof(lock), "%s.lock", d->path);
	unlink(lock);
	unlink(d->path);
	rmdir(d->folder);
	pthread_mutex_destroy(&d->mutex);
	pthread_cond_destroy(&d->more);
	free(d);
}

/* The back-end of that name, if it can be had here; else says why not and skips the test. */
static inline enum arbiter_backend daemon_backend(const char *name)
{
	enum arbiter_backend which = strcmp(name, "cpuset2") == 0 ? ARBITER_BACKEND_CPUSET_V2
								  : ARBITER_BACKEND_CPUSET_V1;
	struct daemon *d = daemon_make(which);
	bool usable;

	/* partitions keep everybody off granted processors, in earnest */
	d->config.manage_all = which == ARBITER_BACKEND_CPUSET_V2;
	usable = daemon_start(d);
	if (!usable) {
		printf("skipped: %s", d->reports);
		pthread_join(d->thread, NULL);
		close(d->stop);
	} else {
		daemon_stop(d);
	}
	daemon_free(d);
	if (!usable)
		exit(77);
	return which;
}
