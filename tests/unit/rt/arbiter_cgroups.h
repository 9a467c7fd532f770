/*
 * Cgroups in memory, of either version, behind struct arbiter_files: folders come with their
 * control files, a number that is written to `tasks` (or cgroup.procs, cgroup.threads) leaves the
 * folder where it was. As strict as the kernel about what our back-ends could get wrong: v1 takes
 * no task before processors and memory are set, nor processors that are not the parent's; v2 takes
 * threads only into threaded folders, whose process is in the root; no folder with tasks can be
 * removed; no two partitions have a processor in common.
 *
 * The n-th call can be made to fail.
 */
#pragma once

#include "base/os.h"
#include "rt/arbiter_place_int.h"
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#define CGROUPS_FOLDERS 16
#define CGROUPS_TASKS   32

struct cgroups_folder {
	char path[128]; /* below the mount, "" is the root; free if !there */
	bool there;
	char mems[32];
	char cpus[64];
	bool threaded;
	bool partition;
	int task[CGROUPS_TASKS]; /* 0: free */
};

struct cgroups {
	int version;
	const char *mount;
	int fail_at; /* this call fails; counts down; negative: none */
	uint32_t calls;
	char original[64]; /* what /proc says about any process's own cgroup */
	struct cgroups_folder folder[CGROUPS_FOLDERS];
};

static inline struct cgroups_folder *cgroups_find(struct cgroups *c, const char *path)
{
	for (int i = 0; i < CGROUPS_FOLDERS; i++)
		if (c->folder[i].there && strcmp(c->folder[i].path, path) == 0)
			return &c->folder[i];
	return NULL;
}

/* A folder that must be there. */
static inline struct cgroups_folder *cgroups_get(struct cgroups *c, const char *path)
{
	struct cgroups_folder *folder = cgroups_find(c, path);

	if (!folder) {
		print_error("%s is not there\n", path);
		abort();
	}
	return folder;
}

static inline bool cgroups_has(struct cgroups *c, const char *path, int task)
{
	struct cgroups_folder *folder = cgroups_find(c, path);

	for (int i = 0; folder && i < CGROUPS_TASKS; i++)
		if (folder->task[i] == task)
			return true;
	return false;
}

static inline void cgroups_enter(struct cgroups *c, struct cgroups_folder *to, int task)
{
	for (int i = 0; i < CGROUPS_FOLDERS; i++)
		for (int t = 0; t < CGROUPS_TASKS; t++)
			if (c->folder[i].task[t] == task)
				c->folder[i].task[t] = 0;
	for (int t = 0; t < CGROUPS_TASKS; t++)
		if (to->task[t] == 0) {
			to->task[t] = task;
			return;
		}
	fail_msg("too many tasks for the test");
}

static inline struct cgroups_folder *cgroups_add(struct cgroups *c, const char *path)
{
	for (int i = 0; i < CGROUPS_FOLDERS; i++)
		if (!c->folder[i].there) {
			c->folder[i] = (struct cgroups_folder){.there = true};
			snprintf(c->folder[i].path, sizeof(c->folder[i].path), "%s", path);
			return &c->folder[i];
		}
	print_error("too many folders for the test\n");
	abort();
}

static inline struct status cgroups_fault(struct cgroups *c)
{
	c->calls++;
	if (c->fail_at >= 0 && c->fail_at-- == 0)
		return fail(STATUS_IO, "made to fail");
	return OK;
}

/* The folder and the name of the file in it; NULL if the folder is not there. */
static inline struct cgroups_folder *cgroups_split(struct cgroups *c, const char *path,
						   const char **ret_name)
{
	char folder[256];
	const char *name = strrchr(path, '/');
	size_t mount = strlen(c->mount);

	if (strncmp(path, c->mount, mount) != 0)
		return NULL;
	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path - (long)mount), path + mount);
	*ret_name = name + 1;
	/* the root by its path "/", as /proc has it */
	return cgroups_find(c, strcmp(folder, "/") == 0 ? "" : folder);
}

static inline struct status cgroups_read(void *arg, const char *path, char *text, size_t size)
{
	struct cgroups *c = arg;
	struct cgroups_folder *folder;
	const char *name;
	size_t used = 0;

	TRY(cgroups_fault(c));
	if (strncmp(path, "/proc/", 6) == 0) {
		snprintf(text, size, c->version == 1 ? "%s\n" : "1:x:/wrong\n0::%s\n", c->original);
		return OK;
	}
	folder = cgroups_split(c, path, &name);
	if (!folder)
		return fail(STATUS_NOT_FOUND, "%s: not there", path);
	text[0] = '\0';
	if (strcmp(name, "cgroup.controllers") == 0)
		snprintf(text, size, "cpu cpuset memory\n");
	else if (strcmp(name, "cpuset.mems") == 0)
		snprintf(text, size, "%s", folder->mems);
	else if (strcmp(name, "cpuset.cpus.partition") == 0)
		snprintf(text, size, "%s\n", folder->partition ? "root" : "member");
	for (int t = 0; t < CGROUPS_TASKS && strstr("tasks cgroup.procs cgroup.threads", name); t++)
		if (folder->task[t])
			used += (size_t)snprintf(text + used, size - used, "%d\n", folder->task[t]);
	return OK;
}

static inline bool cgroups_overlap(const char *a, const char *b)
{
	struct cpus x, y;
	bool overlap = false;

	assert_ok(cpus_parse(a, &x));
	assert_ok(cpus_parse(b, &y));
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++)
		overlap |= cpus_has(&x, cpu) && cpus_has(&y, cpu);
	return overlap;
}

static inline struct status cgroups_write_task(struct cgroups *c, struct cgroups_folder *folder,
					       const char *name, int task)
{
	if (task <= 0)
		return fail(STATUS_INVALID, "no number");
	if (c->version == 1 && (!folder->cpus[0] || !folder->mems[0]))
		return fail(STATUS_NO_SPACE, "%s: no processors or memory", folder->path);
	if (c->version == 2 && strcmp(name, "cgroup.threads") == 0 && folder->path[0] &&
	    !folder->threaded)
		return fail(STATUS_UNSUPPORTED, "%s: not threaded", folder->path);
	if (c->version == 2 && strcmp(name, "cgroup.procs") == 0 && folder->threaded)
		return fail(STATUS_UNSUPPORTED, "%s: threaded", folder->path);
	cgroups_enter(c, folder, task);
	return OK;
}

static inline struct status cgroups_write_cpus(struct cgroups *c, struct cgroups_folder *folder,
					       const char *text)
{
	char cpus[64];

	snprintf(cpus, sizeof(cpus), "%.*s", (int)strcspn(text, "\n"), text);
	if (c->version == 1 && !cpus[0])
		return fail(STATUS_NO_SPACE, "%s: no processors", folder->path);
	for (int i = 0; i < CGROUPS_FOLDERS && c->version == 2; i++)
		if (c->folder[i].there && &c->folder[i] != folder && c->folder[i].partition &&
		    cgroups_overlap(c->folder[i].cpus, cpus))
			return fail(STATUS_INVALID, "%s: overlaps a partition", folder->path);
	memcpy(folder->cpus, cpus, sizeof(cpus));
	return OK;
}

static inline struct status cgroups_write(void *arg, const char *path, const char *text)
{
	struct cgroups *c = arg;
	struct cgroups_folder *folder;
	const char *name;

	TRY(cgroups_fault(c));
	folder = cgroups_split(c, path, &name);
	if (!folder)
		return fail(STATUS_NOT_FOUND, "%s: not there", path);
	if (strcmp(name, "cpuset.cpus") == 0)
		return cgroups_write_cpus(c, folder, text);
	if (strcmp(name, "cpuset.mems") == 0)
		snprintf(folder->mems, sizeof(folder->mems), "%s", text);
	else if (strcmp(name, "cgroup.type") == 0)
		folder->threaded = strcmp(text, "threaded") == 0;
	else if (strcmp(name, "cpuset.cpus.partition") == 0)
		folder->partition = strcmp(text, "root") == 0;
	else if (strcmp(name, "cgroup.subtree_control") != 0)
		return cgroups_write_task(c, folder, name, (int)strtol(text, NULL, 10));
	return OK;
}

static inline struct status cgroups_make(void *arg, const char *path)
{
	struct cgroups *c = arg;

	TRY(cgroups_fault(c));
	path += strlen(c->mount);
	if (cgroups_find(c, path))
		return fail(STATUS_EXISTS, "%s: there already", path);
	cgroups_add(c, path);
	return OK;
}

static inline struct status cgroups_remove(void *arg, const char *path)
{
	struct cgroups *c = arg;
	struct cgroups_folder *folder;

	TRY(cgroups_fault(c));
	path += strlen(c->mount);
	folder = cgroups_find(c, path);
	if (!folder)
		return fail(STATUS_NOT_FOUND, "%s: not there", path);
	for (int t = 0; t < CGROUPS_TASKS; t++)
		if (folder->task[t])
			return fail(STATUS_BUSY, "%s: in use", path);
	for (int i = 0; i < CGROUPS_FOLDERS; i++)
		if (c->folder[i].there && &c->folder[i] != folder &&
		    strncmp(c->folder[i].path, path, strlen(path)) == 0 &&
		    c->folder[i].path[strlen(path)] == '/')
			return fail(STATUS_BUSY, "%s: has folders", path);
	folder->there = false;
	return OK;
}

/* An empty hierarchy whose root has this process's threads' numbers, and a folder of its own. */
static inline struct cgroups *cgroups_create(int version)
{
	struct cgroups *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->version = version;
	c->mount = "/fake";
	c->fail_at = -1;
	snprintf(c->original, sizeof(c->original), "/own");
	for (int i = 0; i < 2; i++) {
		struct cgroups_folder *folder = cgroups_add(c, i ? "/own" : "");

		snprintf(folder->mems, sizeof(folder->mems), "0\n");
		snprintf(folder->cpus, sizeof(folder->cpus), "0-1023");
	}
	return c;
}

static inline struct arbiter_files cgroups_files(struct cgroups *c)
{
	return (struct arbiter_files){
		.read = cgroups_read,
		.write = cgroups_write,
		.make = cgroups_make,
		.remove = cgroups_remove,
		.arg = c,
	};
}

static inline uint32_t cgroups_count(const struct cgroups *c)
{
	uint32_t count = 0;

	for (int i = 0; i < CGROUPS_FOLDERS; i++)
		count += c->folder[i].there;
	return count;
}

/* This process, as the arbiter knows a client. */
static inline struct arbiter_peer cgroups_peer(void)
{
	struct arbiter_peer peer = {.pid = getpid(), .uid = getuid()};

	assert_ok(os_open("/proc/self", O_PATH | O_DIRECTORY, 0, &peer.proc));
	return peer;
}

/* Processors that this process may use, at most two. */
static inline struct cpus cgroups_cpus(void)
{
	struct cpus all, some = {0};

	assert_ok(os_affinity_get(0, &all));
	for (uint32_t i = 0; i < 2 && i < cpus_count(&all); i++)
		cpus_add(&some, cpus_nth(&all, i));
	return some;
}

static inline struct arbiter_place_config cgroups_config(struct cgroups *c,
							 const struct arbiter_files *files)
{
	return (struct arbiter_place_config){
		.backend = c->version == 1 ? ARBITER_BACKEND_CPUSET_V1 : ARBITER_BACKEND_CPUSET_V2,
		.managed = cgroups_cpus(),
		.manage_all = c->version == 2,
		.processes_max = 2,
		.mount_v1 = c->version == 1 ? c->mount : NULL,
		.mount_v2 = c->version == 2 ? c->mount : NULL,
		.files = files,
	};
}

/*
 * The whole life of a client with the n-th call failing, for each n until it goes through: whatever
 * fails, nothing ends the process, and everything is put back once calls go through again.
 */
static inline void cgroups_each_call_fails(int version)
{
	bool done = false;

	for (int n = 0; !done; n++) {
		struct cgroups *c = cgroups_create(version);
		struct arbiter_files files = cgroups_files(c);
		struct arbiter_place_config config = cgroups_config(c, &files);
		struct arbiter_peer peer = cgroups_peer();
		uint32_t cpu = cpus_nth(&config.managed, 0);
		struct arbiter_place *place;
		struct status status;
		struct cpus before, after;

		assert_ok(os_affinity_get(0, &before));
		cgroups_enter(c, cgroups_get(c, "/own"), getpid());
		c->fail_at = n;
		status = arbiter_place_open(&config, &place);
		if (status_ok(status)) {
			status = arbiter_place_join(place, 0, &peer);
			if (status_ok(status)) {
				status = arbiter_place_adopt(place, 0, 0, os_gettid());
				if (status_ok(status))
					status = arbiter_place_grant(place, 0, 0, cpu);
				if (status_ok(status))
					arbiter_place_revoke(place, cpu);
				arbiter_place_leave(place, 0);
			}
			arbiter_place_tick(place, UINT64_MAX - 1);
			done = c->fail_at >= 0;
			c->fail_at = -1;
			arbiter_place_close(place);
		}
		assert_ok(os_affinity_get(0, &after));
		assert_memory_equal(&before, &after, sizeof(before));
		/* what a failed removal left, the next arbiter clears away */
		c->fail_at = -1;
		assert_ok(arbiter_place_open(&config, &place));
		arbiter_place_close(place);
		if (cgroups_count(c) != 2)
			fail_msg("with call %d failing %u folders are left", n,
				 cgroups_count(c) - 2);
		assert_true(cgroups_has(c, "/own", getpid()) || cgroups_has(c, "", getpid()));
		close(peer.proc);
		free(c);
	}
}
