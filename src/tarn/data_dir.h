/*
 * The data directory of a node: made when it is missing, and locked so that no second node uses it.
 */
#pragma once

#include "base/status.h"

struct data_dir {
	int lock; /* the descriptor that holds the lock */
};

/*
 * Makes the directory (and what leads to it) and locks it. STATUS_BUSY: another process has it,
 * which is named; STATUS_DENIED, STATUS_NO_SPACE, STATUS_IO: it cannot be made or written. The lock
 * ends with the process at the latest. Blocks on the disk.
 */
struct status data_dir_open(const char *path, struct data_dir *ret);

/* Ends the lock. */
void data_dir_close(struct data_dir *dir);
