/*
 * Fences of cgroup v1. Below the mount of the cpuset hierarchy:
 *
 *	tarn-arbiter/               all processors that the arbiter may use; no tasks
 *	tarn-arbiter/others         with manage_all: every process that was in the root cpuset
 *	tarn-arbiter/process-N      the offered threads of client N
 *
 * A thread keeps its process's other cgroups (memory, cpu); only its cpuset changes.
 */
#include "base/diag.h"
#include "base/os.h"
#include "rt/arbiter_place_int.h"

#include <stdio.h>
#include <string.h>

static void folder_base(const struct arbiter_place *place, char *path)
{
	snprintf(path, 2 * PLACE_PATH_BYTES, "%s/%s", place->mount_v1, place->folder);
}

static void folder_others(const struct arbiter_place *place, char *path)
{
	snprintf(path, 2 * PLACE_PATH_BYTES, "%s/%s/others", place->mount_v1, place->folder);
}

static void folder_process(const struct arbiter_place *place, uint32_t process, char *path)
{
	snprintf(path, 2 * PLACE_PATH_BYTES, "%s/%s/process-%u", place->mount_v1, place->folder,
		 process);
}

/* Makes a cpuset, or takes one that is there, and gives it its memory nodes and processors: in v1
 * both must be set before a task can enter. */
static struct status cpuset_make(struct arbiter_place *place, const char *folder,
				 const struct cpus *cpus)
{
	struct status status = place->files.make(place->files.arg, folder);

	if (!status_ok(status) && !status_is(status, STATUS_EXISTS))
		return status;
	TRY(place_write(place, folder, "cpuset.mems", place->mems));
	return place_write_cpus(place, folder, "cpuset.cpus", cpus);
}

static void cpuset_remove(struct arbiter_place *place, const char *folder)
{
	/* not empty or not there: the next arbiter tries again */
	status_ignore(place->files.remove(place->files.arg, folder));
}

/* What an arbiter left behind that could not end in order. */
static void stale_remove(struct arbiter_place *place)
{
	char folder[2 * PLACE_PATH_BYTES];

	for (uint32_t i = 0; i < ARBITER_PROCESSES_MAX; i++) {
		folder_process(place, i, folder);
		place_drain(place, folder, place->mount_v1, "tasks");
		cpuset_remove(place, folder);
	}
	folder_others(place, folder);
	place_drain(place, folder, place->mount_v1, "tasks");
	cpuset_remove(place, folder);
}

static void v1_clean(struct arbiter_place *place)
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
	cpuset_remove(place, base);
	os_close(place->lock);
	place->lock = -1;
}

static struct status others_make(struct arbiter_place *place)
{
	char folder[2 * PLACE_PATH_BYTES];

	folder_others(place, folder);
	TRY(cpuset_make(place, folder, &place->others));
	place_drain(place, place->mount_v1, folder, "cgroup.procs");
	return OK;
}

static struct status v1_open(struct arbiter_place *place)
{
	char base[2 * PLACE_PATH_BYTES];
	struct status status;

	folder_base(place, base);
	TRY(place_read(place, place->mount_v1, "cpuset.mems", place->mems, sizeof(place->mems)));
	status = place->files.make(place->files.arg, base);
	if (!status_ok(status) && !status_is(status, STATUS_EXISTS))
		return status;
	if (place->real)
		TRY(arbiter_os_lock(base, &place->lock));
	if (status_is(status, STATUS_EXISTS))
		stale_remove(place);
	status = cpuset_make(place, base, &place->all);
	if (status_ok(status) && place->manage_all)
		status = others_make(place);
	if (!status_ok(status)) {
		stale_remove(place);
		cpuset_remove(place, base);
		os_close(place->lock);
		place->lock = -1;
	}
	return status;
}

static void v1_close(struct arbiter_place *place)
{
	char folder[2 * PLACE_PATH_BYTES];

	folder_others(place, folder);
	if (place->manage_all) {
		place_drain(place, folder, place->mount_v1, "cgroup.procs");
		cpuset_remove(place, folder);
	}
	folder_base(place, folder);
	cpuset_remove(place, folder);
}

static struct status v1_join(struct arbiter_place *place, uint32_t number)
{
	struct place_process *process = &place->process[number];
	char folder[2 * PLACE_PATH_BYTES], path[40];
	struct cpus idle = place_idle_cpus(place);

	snprintf(path, sizeof(path), "/proc/%d", (int)process->peer->pid);
	if (!status_ok(place_read(place, path, "cpuset", process->origin, PLACE_PATH_BYTES)))
		process->origin[0] = '\0'; /* then its threads go back to the root */
	process->origin[strcspn(process->origin, "\n")] = '\0';
	folder_process(place, number, folder);
	process->folder = true;
	return cpuset_make(place, folder, &idle);
}

static struct status v1_leave(struct arbiter_place *place, uint32_t number, bool lives)
{
	struct place_process *process = &place->process[number];
	char folder[2 * PLACE_PATH_BYTES], origin[2 * PLACE_PATH_BYTES];

	/* also when it is dead: what its threads started is in the same cpuset */
	(void)lives;
	folder_process(place, number, folder);
	snprintf(origin, sizeof(origin), "%s%s", place->mount_v1, process->origin);
	if (process->fenced) {
		place_drain(place, folder, origin, "tasks");
		place_drain(place, folder, place->mount_v1, "tasks"); /* should that be gone */
	}
	TRY(place->files.remove(place->files.arg, folder));
	process->folder = false;
	return OK;
}

static struct status v1_adopt(struct arbiter_place *place, uint32_t number, pid_t tid)
{
	char folder[2 * PLACE_PATH_BYTES], text[16];

	folder_process(place, number, folder);
	snprintf(text, sizeof(text), "%d", (int)tid);
	return place_write(place, folder, "tasks", text);
}

static struct status v1_set(struct arbiter_place *place, uint32_t number)
{
	char folder[2 * PLACE_PATH_BYTES];
	struct cpus set = place->process[number].fence;

	if (cpus_count(&set) == 0)
		set = place_idle_cpus(place);
	folder_process(place, number, folder);
	return place_write_cpus(place, folder, "cpuset.cpus", &set);
}

static struct status v1_set_others(struct arbiter_place *place)
{
	char folder[2 * PLACE_PATH_BYTES];

	folder_others(place, folder);
	return place_write_cpus(place, folder, "cpuset.cpus", &place->others);
}

const struct place_fence place_fence_v1 = {
	.clean = v1_clean,
	.open = v1_open,
	.close = v1_close,
	.join = v1_join,
	.leave = v1_leave,
	.adopt = v1_adopt,
	.set = v1_set,
	.set_others = v1_set_others,
};
