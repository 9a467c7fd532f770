/*
 * What holds this machine back, and what to do about it.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

#define HOLDBACK_MAX 12

/* Open files that are enough for everything. */
#define HOLDBACK_OPEN_FILES 65536

struct holdback_item {
	const char *what; /* "open files" */
	char found[96];   /* "1024 at most" */
	char fix[128];    /* what to type, or to set */
};

struct holdback {
	uint32_t count;
	struct holdback_item item[HOLDBACK_MAX]; /* the gravest first */
};

/* What the node is about to use. */
struct holdback_need {
	uint64_t memory_bytes;
	uint64_t open_files;
	uint32_t cores;
	bool spins; /* its cores never sleep */
};

/*
 * Looks at the limits of the process and at the system's settings below `root` ("" is the machine
 * itself; tests have a tree of their own). What cannot be read counts as good. May block on the
 * kernel's files for a moment.
 */
void holdback_find(const char *root, const struct holdback_need *need, struct holdback *ret);
