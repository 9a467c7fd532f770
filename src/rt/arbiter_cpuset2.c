/*
 * Fences of cgroup v2. Below its mount:
 *
 *	tarn-arbiter            empty: holds the lock, and says that an arbiter runs or crashed
 *	tarn-arbiter.N          client N: threaded; a cpuset partition while it has processors
 *
 * A partition takes its processors from every other cgroup, so nobody else need be moved. But a
 * thread can only go to threaded cgroups below its own process's cgroup, and partitions begin at
 * the root before Linux 6.7: so the whole process moves to the root cgroup while it is a client,
 * and afterwards back to its own.
 */
#include "base/diag.h"
#include "base/os.h"
#include "rt/arbiter_place_int.h"

#include <stdio.h>
#include <string.h>

static void folder_base(const struct arbiter_place *place, char *path)
{
	snprintf(path, 2 * PLACE_PATH_BYTES, "%s/%s", place->mount_v2, place->folder);
}

static void folder_process(const struct arbiter_place *place, uint32_t process, char *path)
{
	snprintf(path, 2 * PLACE_PATH_BYTES, "%s/%s.%u", place->mount_v2, place->folder, process);
}

static struct status has_cpuset(struct arbiter_place *place)
{
	char text[PLACE_PATH_BYTES];
	char *at = text, *word;

	TRY(place_read(place, place->mount_v2, "cgroup.controllers", text, sizeof(text)));
	while ((word = strsep(&at, " \n")) != NULL)
		if (strcmp(word, "cpuset") == 0)
			return OK;
	return fail(STATUS_UNSUPPORTED, "%s has no cpuset controller", place->mount_v2);
}

static void folder_drain(struct arbiter_place *place, const char *folder)
{
	place_drain(place, folder, place->mount_v2, "cgroup.threads");
}

/* What an arbiter left behind that could not end in order. */
static void stale_remove(struct arbiter_place *place)
{
	char folder[2 * PLACE_PATH_BYTES];

	for (uint32_t i = 0; i < ARBITER_PROCESSES_MAX; i++) {
		folder_process(place, i, folder);
		folder_drain(place, folder);
		/* there is none, or it is still in use: then join() takes it over */
		status_ignore(place->files.remove(place->files.arg, folder));
	}
}

static void v2_clean(struct arbiter_place *place)
{
	char base[2 * PLACE_PATH_BYTES];
	struct status status;

	folder_base(place, base);
	status = place->files.make(place->files.arg, base);
	if (status_is(status, STATUS_EXISTS)) {
		if (place->real && !status_ok(arbiter_os_lock(base, &place->lock)))
			return;
		stale_remove(place);
	}
	/* not ours to remove, or a task in it: it does no harm */
	status_ignore(place->files.remove(place->files.arg, base));
	os_close(place->lock);
	place->lock = -1;
}

static struct status v2_open(struct arbiter_place *place)
{
	char base[2 * PLACE_PATH_BYTES];
	struct status status;

	TRY(has_cpuset(place));
	/* stays on afterwards: others may have come to rely on it */
	TRY(place_write(place, place->mount_v2, "cgroup.subtree_control", "+cpuset"));
	folder_base(place, base);
	status = place->files.make(place->files.arg, base);
	if (!status_ok(status) && !status_is(status, STATUS_EXISTS))
		return status;
	if (place->real)
		TRY(arbiter_os_lock(base, &place->lock));
	if (status_is(status, STATUS_EXISTS))
		stale_remove(place);
	return OK;
}

static void v2_close(struct arbiter_place *place)
{
	char base[2 * PLACE_PATH_BYTES];

	folder_base(place, base);
	status_ignore(place->files.remove(place->files.arg, base)); /* the next arbiter takes it */
}

/* The process's cgroup, from the line "0::/path" of /proc/PID/cgroup. */
static void origin_read(struct arbiter_place *place, struct place_process *process)
{
	char path[40], text[4096];
	const char *at = text;

	process->origin[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d", (int)process->peer->pid);
	if (!status_ok(place_read(place, path, "cgroup", text, sizeof(text))))
		return;
	while (at && strncmp(at, "0::", 3) != 0) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (at && strcspn(at + 3, "\n") < PLACE_PATH_BYTES) {
		size_t bytes = strcspn(at + 3, "\n");

		memcpy(process->origin, at + 3, bytes);
		process->origin[bytes] = '\0';
	}
}

static struct status process_move(struct arbiter_place *place, uint32_t number, const char *below)
{
	char folder[2 * PLACE_PATH_BYTES], text[16];

	snprintf(folder, sizeof(folder), "%s%s", place->mount_v2, below);
	snprintf(text, sizeof(text), "%d", (int)place->process[number].peer->pid);
	return place_write(place, folder, "cgroup.procs", text);
}

/* Another connection of the same process; NULL if there is none. */
static struct place_process *twin_of(struct arbiter_place *place, uint32_t number)
{
	for (uint32_t i = 0; i < place->processes_max; i++) {
		struct place_process *other = &place->process[i];

		if (i != number && other->here &&
		    other->peer->pid == place->process[number].peer->pid)
			return other;
	}
	return NULL;
}

static struct status v2_join(struct arbiter_place *place, uint32_t number)
{
	struct place_process *process = &place->process[number];
	char folder[2 * PLACE_PATH_BYTES];
	struct status status;

	if (twin_of(place, number))
		memcpy(process->origin, twin_of(place, number)->origin, sizeof(process->origin));
	else
		origin_read(place, process);
	folder_process(place, number, folder);
	status = place->files.make(place->files.arg, folder);
	if (!status_ok(status) && !status_is(status, STATUS_EXISTS))
		return status;
	process->folder = true;
	if (status_ok(status))
		TRY(place_write(place, folder, "cgroup.type", "threaded"));
	/* moving it once more would move the threads that are fenced already */
	return twin_of(place, number) ? OK : process_move(place, number, "");
}

static struct status v2_leave(struct arbiter_place *place, uint32_t number, bool lives)
{
	struct place_process *process = &place->process[number];
	char folder[2 * PLACE_PATH_BYTES];

	folder_process(place, number, folder);
	struct place_process *twin = lives ? twin_of(place, number) : NULL;

	/* moves all its threads; should its cgroup be gone, they go to the root */
	if (twin)
		memcpy(twin->origin, process->origin, sizeof(twin->origin));
	else if (lives && process->origin[0])
		status_ignore(process_move(place, number, process->origin));
	folder_drain(place, folder);
	TRY(place->files.remove(place->files.arg, folder));
	process->folder = false;
	return OK;
}

static struct status v2_adopt(struct arbiter_place *place, uint32_t number, pid_t tid)
{
	char folder[2 * PLACE_PATH_BYTES], text[16];

	folder_process(place, number, folder);
	snprintf(text, sizeof(text), "%d", (int)tid);
	return place_write(place, folder, "cgroup.threads", text);
}

static struct status v2_set(struct arbiter_place *place, uint32_t number)
{
	const struct cpus *set = &place->process[number].fence;
	char folder[2 * PLACE_PATH_BYTES], state[64];

	folder_process(place, number, folder);
	if (cpus_count(set) == 0) {
		/* without processors of its own a cgroup has its parent's, less the partitions' */
		TRY(place_write(place, folder, "cpuset.cpus.partition", "member"));
		return place_write(place, folder, "cpuset.cpus", "\n");
	}
	TRY(place_write_cpus(place, folder, "cpuset.cpus", set));
	TRY(place_write(place, folder, "cpuset.cpus.partition", "root"));
	/*
	 * the write succeeds even where there can be no partition, say because it would take the
	 * last processor from the others; then the fence holds its own inside, and nobody outside
	 */
	TRY(place_read(place, folder, "cpuset.cpus.partition", state, sizeof(state)));
	if (strncmp(state, "root", 4) != 0 || strstr(state, "invalid"))
		return place_write(place, folder, "cpuset.cpus.partition", "member");
	return OK;
}

const struct place_fence place_fence_v2 = {
	.clean = v2_clean,
	.open = v2_open,
	.close = v2_close,
	.join = v2_join,
	.leave = v2_leave,
	.adopt = v2_adopt,
	.set = v2_set,
};
