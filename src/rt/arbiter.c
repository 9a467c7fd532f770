#include "rt/arbiter_int.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/os.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE_NS           (10 * NS_PER_MS)
#define TURN_NS            (100 * NS_PER_MS)
#define CLIENTS_MAX        64
#define MESSAGES_PER_S_MAX 20000
#define REPORTS_PER_S_MAX  20
#define ACCEPTS_AT_ONCE    8
#define LISTEN_AGAIN_NS    (100 * NS_PER_MS)

#define RUN_FOLDER "/run/tarn"

#define KEY_STOP   UINT64_MAX
#define KEY_LISTEN (UINT64_MAX - 1)

/* ---- machine --------------------------------------------------------------------------------- */

void arbiter_path_default(bool existing, char *path)
{
	const char *folder = getenv("XDG_RUNTIME_DIR");

	if (folder && folder[0] == '/' && arbiter_os_uid() != 0) {
		snprintf(path, ARBITER_PATH_BYTES, "%s/tarn-arbiter.sock", folder);
		if (!existing || access(path, F_OK) == 0)
			return;
	}
	snprintf(path, ARBITER_PATH_BYTES, RUN_FOLDER "/arbiter.sock");
}

void arbiter_topology(const char *sys, const struct cpus *cpus, uint32_t *ret_sibling)
{
	char path[256], text[1024];
	size_t bytes;
	uint32_t i = 0;

	for (uint32_t cpu = 0; cpu < CPUS_MAX && i < ARBITER_CORES_MAX; cpu++) {
		struct cpus core;

		if (!cpus_has(cpus, cpu))
			continue;
		ret_sibling[i] = cpu;
		snprintf(path, sizeof(path), "%s/cpu%u/topology/thread_siblings_list",
			 sys ? sys : "/sys/devices/system/cpu", cpu);
		if (status_ok(os_file_read(path, text, sizeof(text), &bytes)) &&
		    status_ok(cpus_parse(text, &core)) && cpus_has(&core, cpu))
			ret_sibling[i] = cpus_nth(&core, 0);
		i++;
	}
}

/* All processors but those of the first core, which is left to everybody else. */
static struct status cpus_default(const char *sys, struct cpus *ret)
{
	uint32_t sibling[ARBITER_CORES_MAX];
	struct cpus all, chosen = {0};
	uint32_t count;

	TRY(os_affinity_get(0, &all));
	count = cpus_count(&all);
	arbiter_topology(sys, &all, sibling);
	for (uint32_t i = 0; i < count && i < ARBITER_CORES_MAX; i++)
		if (sibling[i] != sibling[0])
			cpus_add(&chosen, cpus_nth(&all, i));
	*ret = cpus_count(&chosen) > 0 ? chosen : all;
	return OK;
}

void arbiter_say(struct arbiter *arbiter, enum arbiter_report kind, const char *format, ...)
{
	uint64_t second = clock_ns() / NS_PER_S;
	char text[512];
	va_list args;

	if (!arbiter->config.report)
		return;
	if (second != arbiter->report_at) {
		uint32_t more = arbiter->report_count > REPORTS_PER_S_MAX
					? arbiter->report_count - REPORTS_PER_S_MAX
					: 0;

		arbiter->report_at = second;
		arbiter->report_count = 0;
		if (more > 0) {
			snprintf(text, sizeof(text), "%u more lines were left out", more);
			arbiter->config.report(arbiter->config.report_arg, ARBITER_REPORT_WARNING,
					       text);
		}
	}
	if (arbiter->report_count++ >= REPORTS_PER_S_MAX)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	arbiter->config.report(arbiter->config.report_arg, kind, text);
}

/* ---- start and end --------------------------------------------------------------------------- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

/* The default path, with the folder that no package has made for us. */
static void path_default_make(char *path)
{
	arbiter_path_default(false, path);
	/* it mostly is there; if it cannot be made, listening says so */
	if (strncmp(path, RUN_FOLDER "/", sizeof(RUN_FOLDER)) == 0)
		status_ignore(arbiter_os_folder_make(RUN_FOLDER));
}

static struct status config_complete(struct arbiter *arbiter)
{
	struct arbiter_config *config = &arbiter->config;

	config->mode = config->mode ? config->mode : 0600;
	if (config->mode != 0600 && config->mode != 0660)
		return fail(STATUS_INVALID, "arbiter: socket mode %03o, it can be 600 or 660",
			    config->mode);
	config->grace_ns = config->grace_ns ? config->grace_ns : GRACE_NS;
	config->turn_ns = config->turn_ns ? config->turn_ns : TURN_NS;
	if (config->grace_ns > 10 * NS_PER_S)
		return fail(STATUS_INVALID, "arbiter: a grace period of %llu ms, 10 s is the most",
			    (unsigned long long)(config->grace_ns / NS_PER_MS));
	config->clients_max = or_default(config->clients_max, CLIENTS_MAX);
	if (config->clients_max > ARBITER_PROCESSES_MAX)
		return fail(STATUS_INVALID, "arbiter: %u clients, %u is the most",
			    config->clients_max, ARBITER_PROCESSES_MAX);
	config->clients_per_uid_max =
		or_default(config->clients_per_uid_max, (config->clients_max + 1) / 2);
	config->cores_per_client_max = or_default(config->cores_per_client_max, ARBITER_CORES_MAX);
	config->messages_per_s_max = or_default(config->messages_per_s_max, MESSAGES_PER_S_MAX);
	if (config->path)
		snprintf(arbiter->path, sizeof(arbiter->path), "%.*s", ARBITER_PATH_BYTES - 1,
			 config->path);
	else
		path_default_make(arbiter->path);
	if (config->path && strlen(config->path) >= ARBITER_PATH_BYTES)
		return fail(STATUS_INVALID, "arbiter: %s: a socket's name has at most %d bytes",
			    config->path, ARBITER_PATH_BYTES - 1);
	return OK;
}

static struct status plan_start(struct arbiter *arbiter)
{
	uint32_t sibling[ARBITER_CORES_MAX];
	struct arbiter_plan_config plan = {
		.cores = cpus_count(&arbiter->config.cpus),
		.core_sibling = sibling,
		.processes_max = arbiter->config.clients_max,
		.grace_ns = arbiter->config.grace_ns,
		.turn_ns = arbiter->config.turn_ns,
		/* nobody grants a million cores a second, so these are above all that an
		 * arbiter before us gave to clients that are still there */
		.generation_first = clock_wall_ns() / NS_PER_US,
	};

	arbiter_topology(arbiter->config.sys, &arbiter->config.cpus, sibling);
	TRY(arbiter_plan_create(&plan, &arbiter->plan));
	arbiter->core_count = plan.cores;
	for (uint32_t c = 0; c < plan.cores; c++)
		arbiter->cpu[c] = cpus_nth(&arbiter->config.cpus, c);
	return OK;
}

static struct arbiter_place_config place_config(const struct arbiter *arbiter)
{
	return (struct arbiter_place_config){
		.backend = arbiter->config.backend,
		.managed = arbiter->config.cpus,
		.manage_all = arbiter->config.manage_all,
		.processes_max = arbiter->config.clients_max,
		.folder = arbiter->config.folder,
		.mount_v1 = arbiter->config.mount_v1,
		.mount_v2 = arbiter->config.mount_v2,
	};
}

static struct status listen_start(struct arbiter *arbiter, int stop_fd)
{
	struct arbiter_os_socket_file file = {
		.path = arbiter->path,
		.mode = arbiter->config.mode,
		.gid = arbiter->config.mode == 0660 ? arbiter->config.gid : 0,
	};

	TRY(arbiter_os_epoll(&arbiter->epoll));
	TRY(arbiter_os_watch(arbiter->epoll, stop_fd, KEY_STOP));
	TRY(arbiter_os_listen(&file, &arbiter->listener, &arbiter->lock));
	TRY(arbiter_os_watch(arbiter->epoll, arbiter->listener, KEY_LISTEN));
	arbiter->listening = true;
	return OK;
}

static struct status start(struct arbiter *arbiter, int stop_fd)
{
	struct arbiter_place_config place;
	char cpus[128];

	TRY(config_complete(arbiter));
	/* first the socket: its lock says whether we are alone */
	TRY(listen_start(arbiter, stop_fd));
	place = place_config(arbiter);
	arbiter_place_clean(&place);
	if (cpus_count(&arbiter->config.cpus) == 0)
		TRY(cpus_default(arbiter->config.sys, &arbiter->config.cpus));
	TRY(plan_start(arbiter));
	place = place_config(arbiter);
	TRY(arbiter_place_open(&place, &arbiter->place));
	cpus_format(&arbiter->config.cpus, cpus, sizeof(cpus));
	arbiter_say(arbiter, ARBITER_REPORT_INFO, "%s", arbiter_place_text(arbiter->place));
	arbiter_say(arbiter, ARBITER_REPORT_INFO, "gives out processors %s at %s", cpus,
		    arbiter->path);
	return OK;
}

static void end(struct arbiter *arbiter)
{
	for (uint32_t i = 0; i < arbiter->config.clients_max; i++)
		if (arbiter->session[i].socket >= 0)
			session_end(arbiter, &arbiter->session[i], NULL);
	if (arbiter->place)
		arbiter_place_close(arbiter->place);
	if (arbiter->plan)
		arbiter_plan_destroy(arbiter->plan);
	if (arbiter->listener >= 0)
		arbiter_os_socket_remove(arbiter->path);
	os_close(arbiter->listener);
	os_close(arbiter->epoll);
	os_close(arbiter->lock);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void on_listen(struct arbiter *arbiter)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int socket;

		switch (arbiter_os_accept(arbiter->listener, &socket)) {
		case ARBITER_IO_DONE: session_begin(arbiter, socket); break;
		case ARBITER_IO_FULL:
			/* it would be ready for ever and the loop would spin */
			arbiter_os_unwatch(arbiter->epoll, arbiter->listener);
			arbiter->listening = false;
			arbiter->listen_at = clock_deadline(LISTEN_AGAIN_NS);
			arbiter_say(arbiter, ARBITER_REPORT_WARNING,
				    "out of file descriptors or memory: new clients wait");
			return;
		default: return;
		}
	}
}

static uint64_t listen_again(struct arbiter *arbiter, uint64_t now)
{
	if (arbiter->listening)
		return CLOCK_NEVER;
	if (now < arbiter->listen_at)
		return arbiter->listen_at;
	arbiter->listening =
		status_ok(arbiter_os_watch(arbiter->epoll, arbiter->listener, KEY_LISTEN));
	arbiter->listen_at = now + LISTEN_AGAIN_NS;
	return arbiter->listening ? CLOCK_NEVER : arbiter->listen_at;
}

static void on_session(struct arbiter *arbiter, const struct arbiter_ready *ready)
{
	struct session *session = &arbiter->session[(uint32_t)ready->key];

	/* an earlier event of the same wait may have ended it */
	if (session->socket < 0 || session->serial != ready->key >> 32)
		return;
	if (ready->input)
		session_input(arbiter, session);
	else if (ready->ended)
		session_end(arbiter, session, NULL);
}

/* Decides all that can be decided now. */
static void decide(struct arbiter *arbiter)
{
	struct arbiter_action action;

	while (arbiter_plan_step(arbiter->plan, clock_ns(), &action))
		session_act(arbiter, &action);
}

/* Does what is due and says when the next of it is. */
static uint64_t deadlines(struct arbiter *arbiter)
{
	uint64_t now = clock_ns();
	uint64_t next[] = {
		session_expire(arbiter, now),
		listen_again(arbiter, now),
		arbiter_place_tick(arbiter->place, now),
		arbiter_plan_deadline(arbiter->plan),
	};
	uint64_t first = CLOCK_NEVER;

	for (size_t i = 0; i < ARRAY_SIZE(next); i++)
		if (next[i] < first)
			first = next[i];
	return first;
}

static void loop(struct arbiter *arbiter)
{
	struct arbiter_ready ready[64];

	for (;;) {
		uint32_t count = arbiter_os_wait(arbiter->epoll, ready, ARRAY_SIZE(ready),
						 deadlines(arbiter));

		for (uint32_t i = 0; i < count; i++) {
			if (ready[i].key == KEY_STOP)
				return;
			if (ready[i].key == KEY_LISTEN)
				on_listen(arbiter);
			else
				on_session(arbiter, &ready[i]);
			/* at once: a core that came back is not to wait for others' packets */
			decide(arbiter);
		}
		decide(arbiter);
	}
}

struct status arbiter_run(const struct arbiter_config *config, int stop_fd)
{
	struct arbiter *arbiter;
	void *at;

	TRY(os_map(sizeof(*arbiter), 0, &at));
	arbiter = at;
	arbiter->config = *config;
	arbiter->epoll = arbiter->listener = arbiter->lock = -1;
	for (uint32_t i = 0; i < ARBITER_PROCESSES_MAX; i++) {
		arbiter->session[i].socket = -1;
		arbiter->session_of[i] = SESSION_NONE;
	}

	struct status status = start(arbiter, stop_fd);

	if (status_ok(status))
		loop(arbiter);
	end(arbiter);
	status_ignore(
		os_unmap(arbiter, sizeof(*arbiter))); /* fails only at the limit on mappings */
	return status;
}
