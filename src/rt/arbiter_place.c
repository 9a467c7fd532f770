#include "rt/arbiter_place_int.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

/* What was given back is often wanted again at once; widening the others' set costs 16 us. */
#define SPREAD_NS     (10 * NS_PER_MS)
#define REMOVE_NS     (2 * NS_PER_MS) /* a killed process takes about so long to die */
#define REMOVE_NS_MAX NS_PER_S
#define MOUNTS_BYTES  65536

/* ---- the machine's files --------------------------------------------------------------------- */

static struct status real_read(void *arg, const char *path, char *text, size_t size)
{
	size_t bytes;

	(void)arg;
	return os_file_read(path, text, size, &bytes);
}

static struct status real_write(void *arg, const char *path, const char *text)
{
	(void)arg;
	return os_file_write(path, text, strlen(text));
}

static struct status real_make(void *arg, const char *path)
{
	(void)arg;
	return arbiter_os_folder_make(path);
}

static struct status real_remove(void *arg, const char *path)
{
	(void)arg;
	return arbiter_os_folder_remove(path);
}

static const struct arbiter_files real_files = {
	.read = real_read,
	.write = real_write,
	.make = real_make,
	.remove = real_remove,
};

static void path_join(char *path, const char *folder, const char *name)
{
	/* longer ones do not exist below a cgroup mount; cut, they would not be found */
	snprintf(path, 2 * PLACE_PATH_BYTES, "%s/%s", folder, name);
}

struct status place_write(struct arbiter_place *place, const char *folder, const char *name,
			  const char *text)
{
	char path[2 * PLACE_PATH_BYTES];

	path_join(path, folder, name);
	return place->files.write(place->files.arg, path, text);
}

struct status place_read(struct arbiter_place *place, const char *folder, const char *name,
			 char *text, size_t size)
{
	char path[2 * PLACE_PATH_BYTES];

	path_join(path, folder, name);
	return place->files.read(place->files.arg, path, text, size);
}

struct status place_write_cpus(struct arbiter_place *place, const char *folder, const char *name,
			       const struct cpus *set)
{
	char text[4 * CPUS_MAX];

	cpus_format(set, text, sizeof(text) - 1);
	memcpy(text + strlen(text), "\n", 2);
	return place_write(place, folder, name, text);
}

/* Moves what is listed now; says whether anything moved. */
static bool drain_once(struct arbiter_place *place, const char *from, const char *to,
		       const char *name)
{
	bool moved = false;
	char *at = place->list;

	if (!status_ok(place_read(place, from, name, place->list, sizeof(place->list))))
		return false;
	while (*at) {
		char *end = strchr(at, '\n');

		if (end)
			*end = '\0';
		/* what ended meanwhile, and kernel threads, stay: nothing to be done about them */
		if (*at && status_ok(place_write(place, to, name, at)))
			moved = true;
		if (!end)
			break;
		at = end + 1;
	}
	return moved;
}

void place_drain(struct arbiter_place *place, const char *from, const char *to, const char *name)
{
	for (int pass = 0; pass < 10 && drain_once(place, from, to, name); pass++)
		;
}

/* ---- sets of processors ---------------------------------------------------------------------- */

static bool empty(const struct cpus *set)
{
	return cpus_count(set) == 0;
}

static struct cpus without(const struct cpus *set, const struct cpus *less)
{
	struct cpus rest = *set;

	for (size_t i = 0; i < ARRAY_SIZE(rest.words); i++)
		rest.words[i] &= ~less->words[i];
	return rest;
}

/* `set` without managed processors; if there are no others, without granted ones; if ... */
static struct cpus idle_of(const struct arbiter_place *place, const struct cpus *set)
{
	struct cpus rest = without(set, &place->managed);

	if (empty(&rest))
		rest = without(set, &place->granted);
	return empty(&rest) ? *set : rest;
}

struct cpus place_idle_cpus(const struct arbiter_place *place)
{
	return idle_of(place, &place->all);
}

/* ---- threads --------------------------------------------------------------------------------- */

static struct status pin(struct arbiter_place *place, uint32_t number, uint32_t slot, uint32_t cpu)
{
	const struct place_process *process = &place->process[number];
	struct cpus one = {0};

	if (!arbiter_os_peer_has(process->peer, process->tid[slot]))
		return fail(STATUS_DENIED, "arbiter: process %d has no thread %d",
			    (int)process->peer->pid, (int)process->tid[slot]);
	cpus_add(&one, cpu);
	return os_affinity_set(process->tid[slot], &one);
}

/* Lets a thread run where the process may without a grant. */
static void unpin(struct arbiter_place *place, uint32_t number, uint32_t slot)
{
	const struct place_process *process = &place->process[number];
	struct cpus wide = place->fence ? process->original : idle_of(place, &process->original);

	/* a thread that has ended, or whose process took the right away, needs nothing from us */
	if (arbiter_os_peer_has(process->peer, process->tid[slot]))
		status_ignore(os_affinity_set(process->tid[slot], &wide));
}

/* Pins all granted threads of a process anew: older kernels widen them when a cpuset changes. */
static struct status pin_all(struct arbiter_place *place, uint32_t number)
{
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
		const struct place_cpu *at = &place->cpu[cpu];

		if (at->granted && at->process == number)
			TRY(pin(place, number, at->slot, cpu));
	}
	return OK;
}

/* Whether some processor is granted to the slot at this moment. */
static bool granted_somewhere(const struct arbiter_place *place, uint32_t number, uint32_t slot)
{
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
		const struct place_cpu *at = &place->cpu[cpu];

		if (at->granted && at->process == number && at->slot == slot)
			return true;
	}
	return false;
}

/* Takes `cpu` away from whom it was with last: from the fence, and the thread that was pinned. */
static void evict(struct arbiter_place *place, uint32_t cpu)
{
	struct place_cpu *at = &place->cpu[cpu];
	uint32_t number = at->process, slot = at->slot;

	at->process = PLACE_NONE;
	at->granted = false;
	cpus_remove(&place->granted, cpu);
	if (number == PLACE_NONE)
		return;
	if (place->fence && cpus_has(&place->process[number].fence, cpu)) {
		cpus_remove(&place->process[number].fence, cpu);
		/* if it cannot be narrowed, the next fence that wants the processor shares it, and
		 * the pinning below still holds for who plays fair */
		status_ignore(place->fence->set(place, number));
		status_ignore(pin_all(place, number));
	}
	if (!granted_somewhere(place, number, slot))
		unpin(place, number, slot);
}

/* ---- choosing a back-end --------------------------------------------------------------------- */

/* Finds the mounts of the two kinds of cgroups in /proc/mounts, as far as they were not given. */
static void mounts_find(struct arbiter_place *place)
{
	char *at = place->list, *line;
	size_t bytes;

	if (!status_ok(os_file_read("/proc/mounts", place->list, MOUNTS_BYTES, &bytes)))
		return;
	while ((line = strsep(&at, "\n")) != NULL) {
		char *rest = line;

		strsep(&rest, " ");

		const char *folder = strsep(&rest, " ");
		const char *type = strsep(&rest, " ");
		const char *options = strsep(&rest, " ");

		if (!options)
			continue;
		if (!place->mount_v2[0] && strcmp(type, "cgroup2") == 0)
			snprintf(place->mount_v2, PLACE_PATH_BYTES, "%s", folder);
		if (!place->mount_v1[0] && strcmp(type, "cgroup") == 0 && strstr(options, "cpuset"))
			snprintf(place->mount_v1, PLACE_PATH_BYTES, "%s", folder);
	}
}

static struct status fence_open(struct arbiter_place *place, enum arbiter_backend backend)
{
	const struct place_fence *fence = backend == ARBITER_BACKEND_CPUSET_V1 ? &place_fence_v1
									       : &place_fence_v2;
	const char *mount = fence == &place_fence_v1 ? place->mount_v1 : place->mount_v2;

	if (!mount[0])
		return fail(STATUS_UNSUPPORTED, "no cgroup %s hierarchy is mounted",
			    fence == &place_fence_v1 ? "v1 cpuset" : "v2");
	if (fence == &place_fence_v2 && !place->manage_all)
		return fail(STATUS_DENIED, "cgroup v2 needs client processes moved out of their "
					   "cgroups, which --manage-all allows");
	TRY(fence->open(place));
	place->fence = fence;
	place->backend = backend;
	return OK;
}

static void text_set(struct arbiter_place *place, const char *why)
{
	static const char *const kinds[] = {
		[ARBITER_BACKEND_CPUSET_V1] = "cpusets (cgroup v1)",
		[ARBITER_BACKEND_CPUSET_V2] = "cpuset partitions (cgroup v2)",
		[ARBITER_BACKEND_AFFINITY] = "plain affinity: clients are trusted to keep to it",
	};
	const char *others = "";

	if (place->fence)
		others = place->manage_all ? "; other processes are kept off granted processors"
					   : "; other processes may use granted processors too";
	snprintf(place->text, sizeof(place->text), "cores are given out by %s%s%s%s%s",
		 kinds[place->backend], others, why[0] ? " (" : "", why, why[0] ? ")" : "");
}

static struct status backend_choose(struct arbiter_place *place, enum arbiter_backend wanted)
{
	static const enum arbiter_backend order[] = {ARBITER_BACKEND_CPUSET_V1,
						     ARBITER_BACKEND_CPUSET_V2};
	char why[200] = "";

	place->backend = ARBITER_BACKEND_AFFINITY;
	for (size_t i = 0; i < ARRAY_SIZE(order) && wanted != ARBITER_BACKEND_AFFINITY; i++) {
		if (wanted != ARBITER_BACKEND_AUTO && wanted != order[i])
			continue;

		struct status status = fence_open(place, order[i]);

		if (status_ok(status)) {
			why[0] = '\0';
			break;
		}
		if (wanted != ARBITER_BACKEND_AUTO)
			return status;

		size_t used = strlen(why);

		snprintf(why + used, sizeof(why) - used, "%s%s", used ? "; " : "", diag_text());
	}
	text_set(place, why);
	return OK;
}

static struct status processors_check(struct arbiter_place *place)
{
	struct cpus beyond;
	char text[64];

	TRY(os_affinity_get(0, &place->all));
	beyond = without(&place->managed, &place->all);
	if (empty(&place->managed))
		return fail(STATUS_INVALID, "arbiter: no processors to give out");
	if (!empty(&beyond)) {
		cpus_format(&beyond, text, sizeof(text));
		return fail(STATUS_INVALID,
			    "arbiter: processors %s are not there or not allowed to it", text);
	}
	return OK;
}

static void place_init(struct arbiter_place *place, const struct arbiter_place_config *config)
{
	place->lock = -1;
	place->managed = config->managed;
	place->manage_all = config->manage_all;
	place->processes_max = config->processes_max;
	place->spread_at = CLOCK_NEVER;
	place->real = config->files == NULL;
	place->files = config->files ? *config->files : real_files;
	snprintf(place->folder, sizeof(place->folder), "%s",
		 config->folder ? config->folder : "tarn-arbiter");
	snprintf(place->mount_v1, PLACE_PATH_BYTES, "%s", config->mount_v1 ? config->mount_v1 : "");
	snprintf(place->mount_v2, PLACE_PATH_BYTES, "%s", config->mount_v2 ? config->mount_v2 : "");
	for (uint32_t c = 0; c < CPUS_MAX; c++)
		place->cpu[c].process = PLACE_NONE;
	for (uint32_t i = 0; i < place->processes_max; i++)
		place->process[i].remove_at = CLOCK_NEVER;
	if (place->real)
		mounts_find(place);
}

void arbiter_place_clean(const struct arbiter_place_config *config)
{
	struct arbiter_place *place;
	void *at;

	/* without memory there will be no arbiter either */
	if (!status_ok(os_map(sizeof(*place), 0, &at)))
		return;
	place = at;
	place_init(place, config);
	if (place->mount_v1[0])
		place_fence_v1.clean(place);
	if (place->mount_v2[0])
		place_fence_v2.clean(place);
	status_ignore(os_unmap(place, sizeof(*place))); /* fails only at the limit on mappings */
}

struct status arbiter_place_open(const struct arbiter_place_config *config,
				 struct arbiter_place **ret)
{
	struct arbiter_place *place;
	void *at;

	TRY(os_map(sizeof(*place), 0, &at));
	place = at;
	place->bytes = sizeof(*place);
	place_init(place, config);

	struct status status = processors_check(place);

	if (status_ok(status)) {
		place->others = place->all;
		status = backend_choose(place, config->backend);
	}
	if (!status_ok(status)) {
		os_close(place->lock);
		status_ignore(os_unmap(place, place->bytes));
		return status;
	}
	*ret = place;
	return OK;
}

void arbiter_place_close(struct arbiter_place *place)
{
	for (uint32_t i = 0; i < place->processes_max; i++) {
		if (place->process[i].here)
			arbiter_place_leave(place, i);
		/* the last attempt; what is left the next arbiter removes */
		if (place->process[i].folder)
			status_ignore(place->fence->leave(place, i, false));
	}
	if (place->fence)
		place->fence->close(place);
	os_close(place->lock);
	status_ignore(os_unmap(place, place->bytes)); /* fails only at the limit on mappings */
}

const char *arbiter_place_text(const struct arbiter_place *place)
{
	return place->text;
}

enum arbiter_backend arbiter_place_backend(const struct arbiter_place *place)
{
	return place->backend;
}

/* ---- processes ------------------------------------------------------------------------------- */

struct status arbiter_place_join(struct arbiter_place *place, uint32_t number,
				 const struct arbiter_peer *peer)
{
	struct place_process *process = &place->process[number];

	ASSERT(number < place->processes_max && !process->here);
	memset(&process->fence, 0, sizeof(process->fence));
	memset(process->tid, 0, sizeof(process->tid));
	process->fenced = false;
	process->peer = peer;
	process->origin[0] = '\0';
	process->remove_at = CLOCK_NEVER;
	TRY(os_affinity_get(peer->pid, &process->original));
	if (place->fence) {
		struct status status = place->fence->join(place, number);

		if (!status_ok(status)) {
			if (process->folder)
				status_ignore(place->fence->leave(place, number, true));
			return status;
		}
	}
	process->here = true;
	return OK;
}

static void folder_remove(struct arbiter_place *place, uint32_t number, bool lives)
{
	struct place_process *process = &place->process[number];

	if (!process->folder)
		return;
	if (status_ok(place->fence->leave(place, number, lives))) {
		process->remove_at = CLOCK_NEVER;
		return;
	}
	process->remove_wait = process->remove_at == CLOCK_NEVER ? REMOVE_NS
								 : process->remove_wait * 2;
	if (process->remove_wait > REMOVE_NS_MAX)
		process->remove_wait = REMOVE_NS_MAX;
	process->remove_at = clock_ns() + process->remove_wait;
}

void arbiter_place_leave(struct arbiter_place *place, uint32_t number)
{
	struct place_process *process = &place->process[number];

	ASSERT(process->here);
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
		if (place->cpu[cpu].process != number)
			continue;
		place->cpu[cpu] = (struct place_cpu){.process = PLACE_NONE};
		if (cpus_has(&place->granted, cpu)) {
			cpus_remove(&place->granted, cpu);
			place->spread_at = clock_ns() + SPREAD_NS;
		}
	}

	bool lives = arbiter_os_peer_has(process->peer, process->peer->pid);

	folder_remove(place, number, lives);
	for (uint32_t s = 0; s < ARBITER_SLOTS_MAX && lives; s++)
		if (process->tid[s] && arbiter_os_peer_has(process->peer, process->tid[s]))
			status_ignore(os_affinity_set(process->tid[s], &process->original));
	process->here = false;
	process->peer = NULL;
}

struct status arbiter_place_adopt(struct arbiter_place *place, uint32_t number, uint32_t slot,
				  pid_t tid)
{
	struct place_process *process = &place->process[number];

	if (tid > 0 && process->tid[slot] == tid)
		return OK;
	if (!arbiter_os_peer_has(process->peer, tid))
		return fail(STATUS_DENIED, "arbiter: process %d has no thread %d",
			    (int)process->peer->pid, (int)tid);
	for (uint32_t s = 0; s < ARBITER_SLOTS_MAX; s++)
		if (process->tid[s] == tid)
			return fail(STATUS_INVALID, "arbiter: thread %d is offered in two slots",
				    (int)tid);
	if (place->fence) {
		TRY(place->fence->adopt(place, number, tid));
		/* the number could have gone to a thread of another process in between */
		if (!arbiter_os_peer_has(process->peer, tid))
			return fail(STATUS_DENIED, "arbiter: thread %d of process %d has ended",
				    (int)tid, (int)process->peer->pid);
		process->fenced = true;
	}
	process->tid[slot] = tid;
	return OK;
}

void arbiter_place_disown(struct arbiter_place *place, uint32_t number, uint32_t slot)
{
	unpin(place, number, slot);
	place->process[number].tid[slot] = 0;
}

/* ---- cores ----------------------------------------------------------------------------------- */

struct status arbiter_place_grant(struct arbiter_place *place, uint32_t number, uint32_t slot,
				  uint32_t cpu)
{
	struct place_process *process = &place->process[number];
	struct place_cpu *at = &place->cpu[cpu];

	ASSERT(process->here && process->tid[slot] != 0 && !at->granted);
	if (at->process != PLACE_NONE && at->process != number)
		evict(place, cpu);
	else if (at->process == number && at->slot != slot &&
		 !granted_somewhere(place, number, at->slot))
		unpin(place, number, at->slot); /* it may go on running without a core */
	*at = (struct place_cpu){.process = number, .slot = slot, .granted = true};
	cpus_add(&place->granted, cpu);
	if (place->manage_all && place->fence && place->fence->set_others &&
	    cpus_has(&place->others, cpu)) {
		struct cpus others = without(&place->others, &place->granted);

		if (!empty(&others)) {
			place->others = others;
			TRY(place->fence->set_others(place));
		}
	}
	if (place->fence && !cpus_has(&process->fence, cpu)) {
		cpus_add(&process->fence, cpu);
		TRY(place->fence->set(place, number));
		return pin_all(place, number);
	}
	return pin(place, number, slot, cpu);
}

void arbiter_place_return(struct arbiter_place *place, uint32_t cpu)
{
	place->cpu[cpu].granted = false;
	cpus_remove(&place->granted, cpu);
	place->spread_at = clock_ns() + SPREAD_NS;
}

void arbiter_place_revoke(struct arbiter_place *place, uint32_t cpu)
{
	evict(place, cpu);
	place->spread_at = clock_ns() + SPREAD_NS;
}

/* ---- what was put off ------------------------------------------------------------------------ */

static void spread(struct arbiter_place *place)
{
	struct cpus others = without(&place->all, &place->granted);

	place->spread_at = CLOCK_NEVER;
	if (!place->manage_all || !place->fence || !place->fence->set_others || empty(&others) ||
	    memcmp(&others, &place->others, sizeof(others)) == 0)
		return;
	place->others = others;
	/* the next change tries again; until then the others have a processor less */
	status_ignore(place->fence->set_others(place));
}

uint64_t arbiter_place_tick(struct arbiter_place *place, uint64_t now)
{
	if (now >= place->spread_at)
		spread(place);

	uint64_t next = place->spread_at;

	for (uint32_t i = 0; i < place->processes_max && place->fence; i++) {
		struct place_process *process = &place->process[i];

		if (!process->here && now >= process->remove_at)
			folder_remove(place, i, false);
		if (process->remove_at < next)
			next = process->remove_at;
	}
	return next;
}
