/*
 * The arbiter and well-behaved clients: who gets which core, where its thread runs then, and what
 * happens when one of the two dies. By affinity, or `with` the back-end that is named; exits with
 * 77 where that cannot be had.
 */
#include "arbiter_daemon.h"

#include "rt/arbiter_plan.h"

#include <sched.h>

static enum arbiter_backend backend = ARBITER_BACKEND_AFFINITY;

/* ---- a client with kernel threads ------------------------------------------------------------ */

struct app;

struct core {
	struct app *app;
	uint32_t slot;
	pthread_t thread;
	struct arbiter_grant grant;
	bool running;
	bool obeys;     /* gives its core back when asked */
	bool wrong_cpu; /* was found on another processor than granted */
	uint64_t grants;
	uint64_t parked_at; /* clock_ns() */
	uint64_t granted_at;
};

struct app {
	struct arbiter_client *client;
	uint32_t cores;
	bool stopping;
	bool arbiter_ends; /* it lets go of the threads a little before they learn of it */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t control;
	int stop;
	struct core core[4];
};

static void core_run(struct core *core)
{
	const struct arbiter_slot *slot = arbiter_slot(core->app->client, core->slot);

	for (;;) {
		if (arbiter_release_wanted(slot)) {
			pthread_mutex_lock(&core->app->mutex);

			bool leave = core->obeys || core->app->stopping;

			pthread_mutex_unlock(&core->app->mutex);
			if (leave)
				return;
		} else if (core->grant.cpu != ARBITER_CPU_ANY &&
			   os_cpu_current() != core->grant.cpu && !arbiter_release_wanted(slot)) {
			core->wrong_cpu = true;
		}
		sched_yield();
	}
}

static void *core_main(void *arg)
{
	struct core *core = arg;
	struct app *app = core->app;

	for (;;) {
		struct arbiter_grant grant;

		core->parked_at = clock_ns();
		if (!status_ok(arbiter_core_park(app->client, core->slot, &grant)))
			return NULL;
		core->granted_at = clock_ns();
		pthread_mutex_lock(&app->mutex);
		core->grant = grant;
		core->running = true;
		core->grants++;
		pthread_cond_broadcast(&app->changed);
		pthread_mutex_unlock(&app->mutex);

		core_run(core);

		pthread_mutex_lock(&app->mutex);
		core->running = false;
		pthread_cond_broadcast(&app->changed);
		pthread_mutex_unlock(&app->mutex);
	}
}

static void *control_main(void *arg)
{
	struct app *app = arg;
	struct pollfd watched[2] = {{.fd = app->stop, .events = POLLIN},
				    {.fd = arbiter_client_fd(app->client), .events = POLLIN}};

	while (poll(watched, 2, -1) >= 0 && !watched[0].revents) {
		arbiter_client_poll(app->client);
		pthread_mutex_lock(&app->mutex);
		pthread_cond_broadcast(&app->changed);
		pthread_mutex_unlock(&app->mutex);
	}
	return NULL;
}

static struct app *app_start(const char *path, uint32_t cores, bool obeys)
{
	struct app *app = calloc(1, sizeof(*app));
	struct arbiter_client_config config = {
		.path = path,
		.name = "test",
		.slots = cores,
		.retry_ns = 5 * NS_PER_MS,
	};

	assert_non_null(app);
	app->cores = cores;
	pthread_mutex_init(&app->mutex, NULL);
	pthread_cond_init(&app->changed, NULL);
	app->stop = eventfd(0, EFD_CLOEXEC);
	assert_ok(arbiter_connect(&config, &app->client));
	assert_int_equal(pthread_create(&app->control, NULL, control_main, app), 0);
	for (uint32_t s = 0; s < cores; s++) {
		app->core[s] = (struct core){.app = app, .slot = s, .obeys = obeys};
		assert_int_equal(
			pthread_create(&app->core[s].thread, NULL, core_main, &app->core[s]), 0);
	}
	return app;
}

static void app_stop(struct app *app)
{
	uint64_t one = 1;

	pthread_mutex_lock(&app->mutex);
	app->stopping = true;
	pthread_mutex_unlock(&app->mutex);
	arbiter_client_stop(app->client);
	for (uint32_t s = 0; s < app->cores; s++)
		pthread_join(app->core[s].thread, NULL);
	assert_int_equal(write(app->stop, &one, sizeof(one)), sizeof(one));
	pthread_join(app->control, NULL);
	arbiter_disconnect(app->client);
	close(app->stop);
	for (uint32_t s = 0; s < app->cores; s++)
		assert_true(app->arbiter_ends || !app->core[s].wrong_cpu);
	free(app);
}

static void app_want(struct app *app, uint32_t priority, uint32_t cores)
{
	uint32_t wanted[ARBITER_PRIORITIES] = {0};

	wanted[priority] = cores;
	arbiter_request(app->client, wanted);
}

static uint32_t app_running(struct app *app)
{
	uint32_t count = 0;

	for (uint32_t s = 0; s < app->cores; s++)
		count += app->core[s].running;
	return count;
}

/* Waits until so many of its cores run; true if all their grants are an arbiter's. */
static bool app_await(struct app *app, uint32_t running)
{
	bool granted = true;

	pthread_mutex_lock(&app->mutex);
	while (app_running(app) != running)
		pthread_cond_wait(&app->changed, &app->mutex);
	for (uint32_t s = 0; s < app->cores; s++)
		if (app->core[s].running && app->core[s].grant.cpu == ARBITER_CPU_ANY)
			granted = false;
	pthread_mutex_unlock(&app->mutex);
	return granted;
}

static void app_await_connected(struct app *app, bool connected)
{
	pthread_mutex_lock(&app->mutex);
	while (arbiter_client_connected(app->client) != connected)
		pthread_cond_wait(&app->changed, &app->mutex);
	pthread_mutex_unlock(&app->mutex);
}

/* ---- with each back-end ---------------------------------------------------------------------- */

static struct daemon *start(enum arbiter_backend which)
{
	struct daemon *d = daemon_make(which);

	d->config.manage_all = which == ARBITER_BACKEND_CPUSET_V2;
	if (!daemon_start(d))
		fail_msg("the arbiter did not start: %s", d->reports);
	return d;
}

static void finish(struct daemon *d)
{
	daemon_stop(d);
	assert_ok(d->status);
	daemon_free(d);
}

static void grant__threads_run_where_they_were_told(void **state)
{
	(void)state;
	struct daemon *d = start(backend);
	uint32_t cores = cpus_count(&d->config.cpus);
	struct app *app = app_start(d->path, cores, true);
	struct cpus seen = {0};

	print_message("# %.*s\n", (int)strcspn(d->reports, "\n"), d->reports);
	app_want(app, 3, cores);
	assert_true(app_await(app, cores));
	for (uint32_t s = 0; s < cores; s++) {
		assert_false(cpus_has(&seen, app->core[s].grant.cpu));
		assert_true(cpus_has(&d->config.cpus, app->core[s].grant.cpu));
		cpus_add(&seen, app->core[s].grant.cpu);
	}
	app_want(app, 3, 0);
	app_await(app, 0);
	app_stop(app);
	finish(d);
}

static void priority__the_more_urgent_gets_the_cores(void **state)
{
	(void)state;
	struct daemon *d = start(backend);
	uint32_t cores = cpus_count(&d->config.cpus);

	/* obedience must not hang on how busy the machine is */
	daemon_stop(d);
	d->config.grace_ns = 10 * NS_PER_S;
	assert_true(daemon_start(d));

	struct app *low = app_start(d->path, cores, true);
	struct app *high = app_start(d->path, cores, true);

	app_want(low, 5, cores);
	assert_true(app_await(low, cores));
	app_want(high, 0, 1);
	assert_true(app_await(high, 1));
	assert_true(app_await(low, cores - 1));
	app_want(high, 0, 0);
	assert_true(app_await(low, cores));

	struct arbiter_client_stats stats;

	app_stop(high);
	arbiter_client_stats(low->client, &stats);
	assert_int_equal(stats.revokes, 0);
	app_stop(low);
	finish(d);
}

static void grace__who_does_not_obey_loses_the_core(void **state)
{
	(void)state;
	struct daemon *d = start(backend);
	uint32_t cores = cpus_count(&d->config.cpus);
	struct app *deaf = app_start(d->path, cores, false);
	struct app *high = app_start(d->path, 1, true);
	struct arbiter_client_stats stats;

	app_want(deaf, 5, cores);
	assert_true(app_await(deaf, cores));
	app_want(high, 0, 1);
	assert_true(app_await(high, 1));
	pthread_mutex_lock(&deaf->mutex);
	do {
		arbiter_client_stats(deaf->client, &stats);
	} while (stats.revokes == 0 && pthread_cond_wait(&deaf->changed, &deaf->mutex) == 0);
	pthread_mutex_unlock(&deaf->mutex);
	assert_int_equal(stats.revokes, 1);
	assert_true(stats.releases >= 1);
	app_stop(high);
	app_stop(deaf);
	finish(d);
}

/* A child: takes all cores that there are and keeps them. */
static int hog_main(const char *path, const char *cores)
{
	uint32_t count = (uint32_t)strtoul(cores, NULL, 10);
	struct app *app = app_start(path, count, false);

	app_want(app, 0, count);
	if (app_await(app, count))
		child_ready();
	return 1;
}

static void death__a_killed_client_gives_its_cores_back(void **state)
{
	(void)state;
	struct daemon *d = start(backend);
	uint32_t cores = cpus_count(&d->config.cpus);
	char count[16];
	FILE *said;

	snprintf(count, sizeof(count), "%u", cores);

	const char *hog[] = {"test", "hog", d->path, count, NULL};
	pid_t pid = child_start(hog, &said);
	struct app *app = app_start(d->path, cores, true);

	app_want(app, 5, cores);
	app_await(app, 0);
	child_kill(pid, said);
	assert_true(app_await(app, cores));
	assert_true(daemon_said(d, "left"));
	app_stop(app);
	finish(d);
}

static void restart__clients_go_on_and_come_back(void **state)
{
	(void)state;
	struct daemon *d = start(backend);
	uint32_t cores = cpus_count(&d->config.cpus);
	struct app *app = app_start(d->path, cores, true);

	app_want(app, 2, cores);
	assert_true(app_await(app, cores));
	app->arbiter_ends = true;
	daemon_stop(d);
	app_await_connected(app, false);
	app_await(app, cores); /* they go on */
	app_want(app, 2, cores - 1);
	app_await(app, cores - 1); /* and the client itself does what is asked for */
	app_want(app, 2, cores);
	app_await(app, cores);

	assert_true(daemon_start(d));
	app_await_connected(app, true);
	while (!app_await(app, cores)) /* each parks once and is granted by the arbiter */
		sched_yield();
	app_stop(app);
	finish(d);
}

/* ---- an arbiter that is killed --------------------------------------------------------------- */

/* A child: an arbiter. */
static int arbiter_main(const char *path, const char *cgroups, const char *which)
{
	struct daemon *d = daemon_make((enum arbiter_backend)strtoul(which, NULL, 10));

	rmdir(d->folder); /* another's is used */
	d->config.path = path;
	d->config.folder = cgroups;
	d->config.manage_all = d->config.backend == ARBITER_BACKEND_CPUSET_V2;
	if (daemon_start(d))
		child_ready();
	return 1;
}

static void crash__the_next_arbiter_cleans_up(void **state)
{
	(void)state;
	struct daemon *d = daemon_make(backend);
	uint32_t cores = cpus_count(&d->config.cpus);
	struct cpus before, after;

	char number[16];
	FILE *said;

	d->config.manage_all = backend == ARBITER_BACKEND_CPUSET_V2;
	snprintf(number, sizeof(number), "%d", (int)backend);

	const char *arguments[] = {"test", "arbiter", d->path, d->cgroups, number, NULL};
	pid_t pid = child_start(arguments, &said);
	struct app *app = app_start(d->path, cores, true);

	app_want(app, 2, cores);
	assert_true(app_await(app, cores));
	app->arbiter_ends = true;
	child_kill(pid, said);
	app_await_connected(app, false);
	app_await(app, cores);

	if (!daemon_start(d))
		fail_msg("the arbiter did not start again: %s", d->reports);
	app_await_connected(app, true);
	while (!app_await(app, cores))
		sched_yield();
	app_stop(app);
	assert_ok(os_affinity_get(0, &before));
	finish(d);
	assert_ok(os_affinity_get(0, &after));
	assert_memory_equal(&before, &after, sizeof(before));
}

/* ---- once ------------------------------------------------------------------------------------ */

static void start__a_second_arbiter_is_refused(void **state)
{
	struct daemon *d = start(ARBITER_BACKEND_AFFINITY);
	struct arbiter_config config = d->config;

	(void)state;
	config.report = NULL;
	assert_status(arbiter_run(&config, d->stop), EXISTS);
	finish(d);
}

static void start__does_not_remove_what_is_no_socket(void **state)
{
	struct daemon *d = daemon_make(ARBITER_BACKEND_AFFINITY);
	FILE *file = fopen(d->path, "w");

	(void)state;
	assert_non_null(file);
	fclose(file);
	assert_false(daemon_start(d));
	pthread_join(d->thread, NULL);
	close(d->stop);
	assert_int_equal(access(d->path, F_OK), 0);
	daemon_free(d);
}

static void start__the_socket_is_private(void **state)
{
	struct daemon *d = start(ARBITER_BACKEND_AFFINITY);
	struct stat file;

	(void)state;
	assert_int_equal(stat(d->path, &file), 0);
	assert_int_equal(file.st_mode & 07777, 0600);
	finish(d);
}

static void start__bad_configurations(void **state)
{
	struct daemon *d = daemon_make(ARBITER_BACKEND_AFFINITY);
	struct arbiter_config good = d->config, bad;
	int stop = eventfd(1, 0);

	(void)state;
	bad = good;
	bad.mode = 0777;
	assert_status(arbiter_run(&bad, stop), INVALID);
	bad = good;
	cpus_add(&bad.cpus, CPUS_MAX - 1);
	assert_status(arbiter_run(&bad, stop), INVALID);
	bad = good;
	bad.clients_max = ARBITER_PROCESSES_MAX + 1;
	assert_status(arbiter_run(&bad, stop), INVALID);
	bad = good;
	bad.path = "/a-folder-that-is-not-there/socket";
	assert_status(arbiter_run(&bad, stop), NOT_FOUND);
	bad = good;
	bad.backend = ARBITER_BACKEND_CPUSET_V1;
	bad.mount_v1 = "/a-folder-that-is-not-there";
	assert_status(arbiter_run(&bad, stop), NOT_FOUND);
	/* left to itself it finds a way and says what is missing */
	bad.backend = ARBITER_BACKEND_AUTO;
	d->config = bad;
	if (daemon_start(d)) {
		assert_contains(d->reports, "affinity");
		daemon_stop(d);
	}
	close(stop);
	daemon_free(d);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Printed, not judged. */
static void latency__of_grants(void **state)
{
	(void)state;
	enum { ROUNDS = 300 };
	uint64_t grant_ns[ROUNDS], flag_ns[ROUNDS];
	struct daemon *d = daemon_make(backend);

	d->config.manage_all = backend == ARBITER_BACKEND_CPUSET_V2;
	/* one processor, so that the test's own thread and the arbiter have the other */
	uint32_t cpu = cpus_nth(&d->config.cpus, cpus_count(&d->config.cpus) - 1);

	memset(&d->config.cpus, 0, sizeof(d->config.cpus));
	cpus_add(&d->config.cpus, cpu);
	assert_true(daemon_start(d));

	struct app *app = app_start(d->path, 1, true);

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t asked = clock_ns();

		app_want(app, 0, 1);
		app_await(app, 1);
		grant_ns[i] = app->core[0].granted_at - asked;
		asked = clock_ns();
		app_want(app, 0, 0);
		app_await(app, 0);
		flag_ns[i] = clock_ns() - asked;
	}
	qsort(grant_ns, ROUNDS, sizeof(uint64_t), compare);
	qsort(flag_ns, ROUNDS, sizeof(uint64_t), compare);
	print_message("# request to running on the core: median %.1f us, least %.1f us; "
		      "request to giving it back: median %.1f us, least %.1f us\n",
		      (double)grant_ns[ROUNDS / 2] / 1e3, (double)grant_ns[0] / 1e3,
		      (double)flag_ns[ROUNDS / 2] / 1e3, (double)flag_ns[0] / 1e3);
	app_stop(app);
	finish(d);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "hog") == 0)
		return hog_main(argv[2], argv[3]);
	if (argc == 5 && strcmp(argv[1], "arbiter") == 0)
		return arbiter_main(argv[2], argv[3], argv[4]);

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grant__threads_run_where_they_were_told),
		cmocka_unit_test(priority__the_more_urgent_gets_the_cores),
		cmocka_unit_test(grace__who_does_not_obey_loses_the_core),
		cmocka_unit_test(death__a_killed_client_gives_its_cores_back),
		cmocka_unit_test(restart__clients_go_on_and_come_back),
		cmocka_unit_test(crash__the_next_arbiter_cleans_up),
		cmocka_unit_test(start__a_second_arbiter_is_refused),
		cmocka_unit_test(start__does_not_remove_what_is_no_socket),
		cmocka_unit_test(start__the_socket_is_private),
		cmocka_unit_test(start__bad_configurations),
		cmocka_unit_test(latency__of_grants),
	};

	if (argc == 3 && strcmp(argv[1], "with") == 0)
		backend = daemon_backend(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
