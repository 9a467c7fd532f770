#include "rt/arbiter_plan.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/os.h"

#define NONE UINT32_MAX

enum slot_state {
	SLOT_EMPTY,
	SLOT_WAITING, /* for a core */
	SLOT_RUNNING,
	SLOT_ASKED, /* runs, and was asked for its core */
};

struct slot {
	enum slot_state state;
	uint32_t core;      /* that it has; NONE */
	uint32_t core_last; /* that it had last; NONE */
};

struct core {
	uint32_t process; /* NONE: free */
	uint32_t slot;
	uint64_t generation; /* of the grant; 0 when free */
	uint64_t deadline;   /* CLOCK_NEVER unless it was asked for */
	uint32_t group;      /* the lowest of the cores that share the physical core with it */
};

/* A user with processes here. */
struct user {
	uint32_t uid;
	uint32_t processes; /* 0: the entry is free */
	uint32_t share;     /* scratch of one division: what its processes have been given */
};

struct process {
	bool here;
	struct arbiter_limits limits;
	uint32_t user; /* its entry */
	uint32_t wanted[ARBITER_PRIORITIES];
	uint64_t place[ARBITER_PRIORITIES]; /* in the round of each priority: lower is earlier */
	uint32_t slots;
	uint32_t waiting; /* slots in these states */
	uint32_t running;
	struct slot slot[ARBITER_SLOTS_MAX];

	/* scratch of one division */
	uint32_t share;       /* cores that are its own by the rules */
	uint32_t share_level; /* of these, at the priority being looked at */
	uint32_t next_at_level;
};

struct arbiter_plan {
	struct arbiter_plan_config config;
	size_t bytes; /* of this object */
	bool settled; /* nothing happened since a division that had nothing to do */
	uint64_t generation_last;
	uint64_t place_last;
	uint64_t turn_at[ARBITER_PRIORITIES]; /* CLOCK_NEVER unless somebody has none */
	struct core core[ARBITER_CORES_MAX];
	struct user user[ARBITER_PROCESSES_MAX];
	struct process process[]; /* processes_max */
};

struct status arbiter_plan_create(const struct arbiter_plan_config *config,
				  struct arbiter_plan **ret)
{
	if (config->cores == 0 || config->cores > ARBITER_CORES_MAX)
		return fail(STATUS_INVALID, "arbiter: %u cores, 1 to %u can be managed",
			    config->cores, ARBITER_CORES_MAX);
	if (config->processes_max == 0 || config->processes_max > ARBITER_PROCESSES_MAX)
		return fail(STATUS_INVALID, "arbiter: %u clients, 1 to %u can be allowed",
			    config->processes_max, ARBITER_PROCESSES_MAX);

	size_t bytes = sizeof(struct arbiter_plan) + config->processes_max * sizeof(struct process);
	void *at;

	TRY(os_map(bytes, 0, &at));

	struct arbiter_plan *plan = at;

	plan->config = *config;
	plan->config.core_sibling = NULL;
	plan->bytes = bytes;
	plan->generation_last = config->generation_first;
	for (uint32_t c = 0; c < config->cores; c++) {
		uint32_t group = 0;

		while (group < c && !(config->core_sibling &&
				      config->core_sibling[group] == config->core_sibling[c]))
			group++;
		plan->core[c] =
			(struct core){.process = NONE, .deadline = CLOCK_NEVER, .group = group};
	}
	for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++)
		plan->turn_at[p] = CLOCK_NEVER;
	*ret = plan;
	return OK;
}

void arbiter_plan_destroy(struct arbiter_plan *plan)
{
	status_ignore(os_unmap(plan, plan->bytes)); /* fails only at the limit on mappings */
}

/* ---- events ---------------------------------------------------------------------------------- */

static struct process *process_of(struct arbiter_plan *plan, uint32_t process)
{
	ASSERT(process < plan->config.processes_max && plan->process[process].here);
	return &plan->process[process];
}

/* The entry of the user, or a free one, of which there is one for each process. */
static uint32_t user_of(const struct arbiter_plan *plan, uint32_t uid)
{
	uint32_t found = NONE;

	for (uint32_t u = 0; u < plan->config.processes_max; u++) {
		if (plan->user[u].processes > 0 && plan->user[u].uid == uid)
			return u;
		if (plan->user[u].processes == 0 && found == NONE)
			found = u;
	}
	return found;
}

struct status arbiter_plan_join(struct arbiter_plan *plan, const struct arbiter_limits *limits,
				uint32_t slots, uint32_t *ret_process)
{
	uint32_t found = 0;

	ASSERT(slots > 0 && slots <= ARBITER_SLOTS_MAX);
	while (found < plan->config.processes_max && plan->process[found].here)
		found++;
	if (found == plan->config.processes_max)
		return fail(STATUS_LIMIT, "arbiter: %u clients are connected, the limit", found);

	uint32_t u = user_of(plan, limits->uid);
	struct user *user = &plan->user[u];

	if (user->processes >= limits->processes_per_uid_max)
		return fail(STATUS_LIMIT, "arbiter: user %u has %u clients, its limit", limits->uid,
			    user->processes);
	user->uid = limits->uid;
	user->processes++;

	struct process *process = &plan->process[found];

	*process = (struct process){.here = true, .limits = *limits, .user = u, .slots = slots};
	if (process->limits.priority_best >= ARBITER_PRIORITIES)
		process->limits.priority_best = ARBITER_PRIORITIES - 1;
	for (uint32_t s = 0; s < slots; s++)
		process->slot[s] = (struct slot){.core = NONE, .core_last = NONE};
	*ret_process = found;
	return OK;
}

static void core_free(struct arbiter_plan *plan, struct process *process, struct slot *slot)
{
	struct core *core = &plan->core[slot->core];

	if (slot->state == SLOT_RUNNING)
		process->running--;
	core->process = NONE;
	core->generation = 0;
	core->deadline = CLOCK_NEVER;
	slot->core_last = slot->core;
	slot->core = NONE;
	slot->state = SLOT_EMPTY;
	plan->settled = false;
}

void arbiter_plan_leave(struct arbiter_plan *plan, uint32_t number)
{
	struct process *process = process_of(plan, number);

	for (uint32_t s = 0; s < process->slots; s++)
		if (process->slot[s].core != NONE)
			core_free(plan, process, &process->slot[s]);
	process->here = false;
	plan->user[process->user].processes--;
	plan->settled = false;
}

void arbiter_plan_request(struct arbiter_plan *plan, uint32_t number,
			  const uint32_t wanted[ARBITER_PRIORITIES])
{
	struct process *process = process_of(plan, number);
	uint32_t counted[ARBITER_PRIORITIES] = {0};

	for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++) {
		uint32_t as = p < process->limits.priority_best ? process->limits.priority_best : p;

		/* nobody can use more than there are: this also keeps the sums from wrapping */
		counted[as] += wanted[p] < plan->config.cores ? wanted[p] : plan->config.cores;
	}
	for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++) {
		/* a newcomer to a round goes to its end, so that nobody's turn is cut short */
		if (counted[p] > 0 && process->wanted[p] == 0)
			process->place[p] = ++plan->place_last;
		process->wanted[p] = counted[p];
	}
	plan->settled = false;
}

static struct status slot_of(struct process *process, uint32_t number, struct slot **ret)
{
	if (number >= process->slots)
		return fail(STATUS_INVALID, "arbiter: slot %u, the client has %u", number,
			    process->slots);
	*ret = &process->slot[number];
	return OK;
}

/* Takes the slot's core back if it has one under `generation`. */
static struct status slot_yield(struct arbiter_plan *plan, struct process *process,
				struct slot *slot, uint64_t generation)
{
	if (slot->core == NONE)
		return OK; /* whatever generation it means was revoked */
	if (plan->core[slot->core].generation != generation)
		return fail(STATUS_INVALID, "arbiter: grant %llu given back, the slot holds %llu",
			    (unsigned long long)generation,
			    (unsigned long long)plan->core[slot->core].generation);
	core_free(plan, process, slot);
	return OK;
}

struct status arbiter_plan_park(struct arbiter_plan *plan, uint32_t number, uint32_t slot_number,
				uint64_t returned)
{
	struct process *process = process_of(plan, number);
	struct slot *slot;

	TRY(slot_of(process, slot_number, &slot));
	if (slot->state == SLOT_WAITING)
		return fail(STATUS_INVALID, "arbiter: slot %u offers a thread twice", slot_number);
	TRY(slot_yield(plan, process, slot, returned));
	slot->state = SLOT_WAITING;
	process->waiting++;
	plan->settled = false;
	return OK;
}

struct status arbiter_plan_return(struct arbiter_plan *plan, uint32_t number, uint32_t slot_number,
				  uint64_t generation)
{
	struct process *process = process_of(plan, number);
	struct slot *slot;

	TRY(slot_of(process, slot_number, &slot));
	if (slot->state == SLOT_WAITING) {
		slot->state = SLOT_EMPTY;
		process->waiting--;
		plan->settled = false;
		return OK;
	}
	return slot_yield(plan, process, slot, generation);
}

/* ---- the division ---------------------------------------------------------------------------- */

/* Whether `process` could use one more core at priority `p` and may have it by its own limit. */
static bool hungry(const struct process *process, uint32_t p)
{
	return process->share_level < process->wanted[p] &&
	       process->share < process->waiting + process->running &&
	       process->share < process->limits.cores_max;
}

/* Whether the user of `process` has all that it may. */
static bool user_full(const struct arbiter_plan *plan, const struct process *process)
{
	return plan->user[process->user].share >= process->limits.cores_per_uid_max;
}

/* The processes that want cores at priority `p`, linked in the order of their places. */
static uint32_t level_list(struct arbiter_plan *plan, uint32_t p)
{
	uint32_t first = NONE;

	for (uint32_t i = 0; i < plan->config.processes_max; i++) {
		struct process *process = &plan->process[i];

		if (!process->here || process->wanted[p] == 0)
			continue;

		uint32_t *at = &first;

		while (*at != NONE && plan->process[*at].place[p] < process->place[p])
			at = &plan->process[*at].next_at_level;
		process->next_at_level = *at;
		*at = i;
	}
	return first;
}

/*
 * Divides `left` cores among those who want some at priority `p`, one each in turn. *needy becomes
 * the first who is given more than it holds, unless there is one already. Returns what is left.
 */
static uint32_t level_divide(struct arbiter_plan *plan, uint32_t p, uint32_t left, uint32_t *needy)
{
	uint32_t first = level_list(plan, p);
	bool given = true;

	for (uint32_t i = first; i != NONE; i = plan->process[i].next_at_level)
		plan->process[i].share_level = 0;
	while (left > 0 && given) {
		given = false;
		for (uint32_t i = first; i != NONE && left > 0;
		     i = plan->process[i].next_at_level) {
			struct process *process = &plan->process[i];

			if (!hungry(process, p) || user_full(plan, process))
				continue;
			process->share++;
			process->share_level++;
			plan->user[process->user].share++;
			left--;
			given = true;
			if (*needy == NONE && process->share > process->running)
				*needy = i;
		}
	}
	return left;
}

/*
 * Whether somebody has none at priority `p` while another has, whose core it could have: that of
 * anybody if cores have run out, that of its own user if the user's limit is what it met.
 */
static bool level_unfair(const struct arbiter_plan *plan, uint32_t p, uint32_t first)
{
	for (uint32_t i = first; i != NONE; i = plan->process[i].next_at_level) {
		const struct process *poor = &plan->process[i];

		if (poor->share_level > 0 || !hungry(poor, p))
			continue;
		for (uint32_t j = first; j != NONE; j = plan->process[j].next_at_level) {
			const struct process *rich = &plan->process[j];

			if (rich->share_level > 0 &&
			    (rich->user == poor->user || !user_full(plan, poor)))
				return true;
		}
	}
	return false;
}

/*
 * Rule 4, after a division of priority `p`. True if those who have a core there had it for their
 * turn and went to the end of the round, so that the division must be made again.
 */
static bool level_turn(struct arbiter_plan *plan, uint32_t p, uint64_t now)
{
	uint32_t first = plan->config.turn_ns > 0 ? level_list(plan, p) : NONE;

	if (!level_unfair(plan, p, first)) {
		plan->turn_at[p] = CLOCK_NEVER;
		return false;
	}

	bool over = now >= plan->turn_at[p];

	if (over || plan->turn_at[p] == CLOCK_NEVER)
		plan->turn_at[p] = now + plan->config.turn_ns;
	if (!over)
		return false;
	for (uint32_t i = first; i != NONE; i = plan->process[i].next_at_level)
		if (plan->process[i].share_level > 0)
			plan->process[i].place[p] = ++plan->place_last;
	return true;
}

/*
 * Divides all cores by the rules: every process's `share`. Returns the process that comes first
 * among those which have fewer; NONE if there is none.
 */
static uint32_t divide(struct arbiter_plan *plan, uint64_t now)
{
	uint32_t needy, left;
	bool again;

	do { /* twice at most at each priority: a turn that begins is not over */
		again = false;
		needy = NONE;
		left = plan->config.cores;
		for (uint32_t i = 0; i < plan->config.processes_max; i++)
			plan->process[i].share = plan->user[i].share = 0;
		for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++) {
			left = level_divide(plan, p, left, &needy);
			again = again || level_turn(plan, p, now);
		}
	} while (again);
	return needy;
}

/* ---- choices --------------------------------------------------------------------------------- */

/* How many cores of each group `process` has; NONE counts the free ones. */
static void groups_count(const struct arbiter_plan *plan, uint32_t process, uint32_t *groups)
{
	for (uint32_t c = 0; c < plan->config.cores; c++)
		groups[plan->core[c].group] += plan->core[c].process == process;
}

/* Which of its running slots the process should give up: the one with the fewest own siblings,
 * among these the youngest. */
static uint32_t slot_to_ask(const struct arbiter_plan *plan, uint32_t number)
{
	const struct process *process = &plan->process[number];
	uint32_t best = NONE, best_siblings = 0;
	uint64_t best_generation = 0;
	uint32_t own[ARBITER_CORES_MAX] = {0};

	groups_count(plan, number, own);
	for (uint32_t s = 0; s < process->slots; s++) {
		if (process->slot[s].state != SLOT_RUNNING)
			continue;

		uint32_t core = process->slot[s].core;
		uint32_t count = own[plan->core[core].group];
		uint64_t generation = plan->core[core].generation;

		if (best == NONE || count < best_siblings ||
		    (count == best_siblings && generation > best_generation)) {
			best = s;
			best_siblings = count;
			best_generation = generation;
		}
	}
	ASSERT(best != NONE);
	return best;
}

static bool ask(struct arbiter_plan *plan, uint64_t now, struct arbiter_action *ret)
{
	for (uint32_t i = 0; i < plan->config.processes_max; i++) {
		struct process *process = &plan->process[i];

		if (!process->here || process->running <= process->share)
			continue;

		uint32_t s = slot_to_ask(plan, i);
		struct slot *slot = &process->slot[s];
		struct core *core = &plan->core[slot->core];

		slot->state = SLOT_ASKED;
		process->running--;
		core->deadline = now + plan->config.grace_ns;
		*ret = (struct arbiter_action){ARBITER_ACTION_ASK, i, s, slot->core,
					       core->generation};
		return true;
	}
	return false;
}

/* Marks the cores that waiting slots of other processes had last: better leave them to those. */
static void mark_missed(const struct arbiter_plan *plan, uint32_t not_by, bool *missed)
{
	for (uint32_t i = 0; i < plan->config.processes_max; i++) {
		const struct process *process = &plan->process[i];

		if (!process->here || i == not_by || process->waiting == 0)
			continue;
		for (uint32_t s = 0; s < process->slots; s++)
			if (process->slot[s].state == SLOT_WAITING &&
			    process->slot[s].core_last != NONE)
				missed[process->slot[s].core_last] = true;
	}
}

/* The free core that suits `process` best when none of its slots' own is free; NONE: none is. */
static uint32_t core_to_grant(const struct arbiter_plan *plan, uint32_t process)
{
	uint32_t best = NONE, best_score = 0;
	uint32_t own[ARBITER_CORES_MAX] = {0}, empty[ARBITER_CORES_MAX] = {0};
	bool missed[ARBITER_CORES_MAX] = {false};

	groups_count(plan, process, own);
	groups_count(plan, NONE, empty);
	mark_missed(plan, process, missed);
	for (uint32_t c = 0; c < plan->config.cores; c++) {
		if (plan->core[c].process != NONE)
			continue;

		uint32_t group = plan->core[c].group;
		uint32_t score = own[group] * 1024 + empty[group] * 2 + !missed[c];

		if (best == NONE || score > best_score) {
			best = c;
			best_score = score;
		}
	}
	return best;
}

static bool grant(struct arbiter_plan *plan, uint32_t number, struct arbiter_action *ret)
{
	struct process *process = &plan->process[number];
	uint32_t chosen = NONE, core = NONE;

	for (uint32_t s = 0; s < process->slots; s++) {
		const struct slot *slot = &process->slot[s];

		if (slot->state != SLOT_WAITING)
			continue;
		if (chosen == NONE)
			chosen = s;
		if (slot->core_last != NONE && plan->core[slot->core_last].process == NONE) {
			chosen = s;
			core = slot->core_last;
			break;
		}
	}
	ASSERT(chosen != NONE); /* rule 3 */
	if (core == NONE)
		core = core_to_grant(plan, number);
	if (core == NONE)
		return false;

	plan->core[core].process = number;
	plan->core[core].slot = chosen;
	plan->core[core].generation = ++plan->generation_last;
	process->slot[chosen].state = SLOT_RUNNING;
	process->slot[chosen].core = core;
	process->waiting--;
	process->running++;
	*ret = (struct arbiter_action){ARBITER_ACTION_GRANT, number, chosen, core,
				       plan->generation_last};
	return true;
}

/* Rule 1: takes the first core whose grace is over. */
static bool revoke(struct arbiter_plan *plan, uint64_t now, struct arbiter_action *ret)
{
	for (uint32_t c = 0; c < plan->config.cores; c++) {
		const struct core *core = &plan->core[c];

		if (core->deadline == CLOCK_NEVER || now < core->deadline)
			continue;

		struct process *process = &plan->process[core->process];

		*ret = (struct arbiter_action){ARBITER_ACTION_REVOKE, core->process, core->slot, c,
					       core->generation};
		ASSERT(process->slot[core->slot].state == SLOT_ASKED);
		core_free(plan, process, &process->slot[core->slot]);
		return true;
	}
	return false;
}

static bool turn_due(const struct arbiter_plan *plan, uint64_t now)
{
	for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++)
		if (now >= plan->turn_at[p])
			return true;
	return false;
}

bool arbiter_plan_step(struct arbiter_plan *plan, uint64_t now, struct arbiter_action *ret)
{
	if (revoke(plan, now, ret))
		return true;
	if (plan->settled && !turn_due(plan, now))
		return false;

	uint32_t needy = divide(plan, now);

	if (ask(plan, now, ret))
		return true;
	if (needy != NONE && grant(plan, needy, ret))
		return true;
	plan->settled = true;
	return false;
}

uint64_t arbiter_plan_deadline(const struct arbiter_plan *plan)
{
	uint64_t first = CLOCK_NEVER;

	for (uint32_t c = 0; c < plan->config.cores; c++)
		if (plan->core[c].deadline < first)
			first = plan->core[c].deadline;
	for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++)
		if (plan->turn_at[p] < first)
			first = plan->turn_at[p];
	return first;
}

uint32_t arbiter_plan_free(const struct arbiter_plan *plan)
{
	uint32_t count = 0;

	for (uint32_t c = 0; c < plan->config.cores; c++)
		count += plan->core[c].process == NONE;
	return count;
}
