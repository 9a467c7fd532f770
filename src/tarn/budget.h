/*
 * How --memory is divided: the one table that /status shows and docs/serve.md explains.
 */
#pragma once

#include "base/compiler.h"

struct budget_part {
	const char *role;
	const char *use;    /* what for, one line */
	uint32_t per_mille; /* of --memory */
	uint64_t bytes;
};

enum budget_role {
	BUDGET_STACKS,  /* stacks of user threads */
	BUDGET_OBJECTS, /* everything that mem hands out */
	BUDGET_ROLES,
};

struct budget {
	struct budget_part part[BUDGET_ROLES];
	uint32_t threads_max; /* that the part for stacks allows */
};

/* Divides `memory_bytes`. The parts add up to it. */
void budget_divide(uint64_t memory_bytes, struct budget *ret);
