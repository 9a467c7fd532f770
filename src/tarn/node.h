/*
 * A node: what `tarn serve` starts and stops.
 */
#pragma once

#include "base/atomic.h"
#include "serve/http/http.h"
#include "tarn/budget.h"
#include "tarn/data_dir.h"
#include "tarn/holdback.h"
#include "tarn/settings.h"

enum node_phase {
	NODE_STARTING,
	NODE_SERVING, /* every door listens */
	NODE_DRAINING,
};

struct node {
	const struct config *config; /* borrows until node_stop() */
	const struct settings *settings;
	struct settings_cores cores;
	struct budget budget;
	struct holdback holdback;
	struct data_dir data;
	struct rt *rt;
	struct http *http;       /* NULL: off */
	uint64_t started_ns;     /* clock_ns() */
	struct atomic_u32 phase; /* enum node_phase */
};

/*
 * Starts everything that the configuration asks for, in order; what was started is stopped again if
 * something fails, with a text for the user. Blocks; from the main thread, with signals blocked.
 */
struct status node_start(struct node *node, const struct config *config);

/* Stops everything in the opposite order: doors first. Blocks until all is quiet. */
void node_stop(struct node *node);

/* Who runs, what waits for what, who holds memory, the last events: on standard error. */
void node_dump(const struct node *node);

/* "starting", "serving", "draining". */
const char *node_phase_name(const struct node *node);

/* Registers the paths of a node: /, /healthz, /metrics, /status. `node` is borrowed. (pages.c) */
struct status node_pages_add(struct node *node, struct http *http);
