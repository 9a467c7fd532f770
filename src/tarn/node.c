#include "tarn/node.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/diag.h"
#include "base/log.h"
#include "base/trace.h"
#include "mem/mem.h"
#include "rt/rt.h"

#include <string.h>

#define WATCHDOG_NS (100 * NS_PER_MS)
#define DUMP_EVENTS 200

static enum rt_mode mode_of(const struct settings *s)
{
	/* the choices of --core-mode are in this order */
	static const enum rt_mode modes[] = {RT_SHARED, RT_DEDICATED, RT_EXCLUSIVE};

	return modes[s->core_mode];
}

/* ---- the parts ------------------------------------------------------------------------------- */

static struct status start_memory(struct node *node)
{
	const struct settings *s = node->settings;
	struct mem_config config = MEM_CONFIG_DEFAULT;

	if (s->hugepages > 0)
		TRY(mem_hugepages_reserve(s->hugepages));
	config.limit_bytes = node->budget.part[BUDGET_OBJECTS].bytes;
	return mem_start(&config);
}

/* The arbiter's socket as rt wants it: NULL is none, "" the default one. */
static const char *arbiter_of(const struct settings *s)
{
	if (strcmp(s->arbiter, "off") == 0)
		return NULL;
	return strcmp(s->arbiter, "default") == 0 ? "" : s->arbiter;
}

static struct status start_cores(struct node *node)
{
	const char *arbiter = arbiter_of(node->settings);
	const struct rt_config config = {
		.cores = node->cores.count,
		.cpus = node->cores.listed ? node->cores.cpus : NULL,
		.mode = mode_of(node->settings),
		.threads_max = node->budget.threads_max,
		.elastic = arbiter != NULL,
		.arbiter = arbiter,
		.priority = (uint32_t)node->settings->priority,
		.watchdog_ns = WATCHDOG_NS,
	};

	return rt_start(&config, &node->rt);
}

static struct status start_http(struct node *node)
{
	struct http_config config = {.rt = node->rt};
	struct status s;

	if (!node->settings->http.on)
		return OK;
	TRY(address_resolve(&node->settings->http.at, &config.address));
	TRY(http_create(&config, &node->http));
	s = node_pages_add(node, node->http);
	if (status_ok(s))
		s = http_start(node->http);
	if (!status_ok(s)) {
		http_stop(node->http);
		node->http = NULL;
	}
	return s;
}

static struct status start_log(const struct settings *s)
{
	return log_configure(&(struct log_config){
		.level = (enum log_level)s->log_level,
		.format = (enum log_format)s->log_format,
		.path = *s->log ? s->log : NULL,
	});
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void look_for_holdbacks(struct node *node)
{
	const struct holdback_need need = {
		.memory_bytes = node->settings->memory,
		.open_files = HOLDBACK_OPEN_FILES,
		.cores = node->cores.count,
		.spins = mode_of(node->settings) == RT_EXCLUSIVE,
	};

	holdback_find("", &need, &node->holdback);
}

static struct status start_rest(struct node *node)
{
	struct status s;

	TRY(start_memory(node));
	/* after the reservation of huge pages, which may have mended something */
	look_for_holdbacks(node);
	s = start_cores(node);
	if (!status_ok(s)) {
		mem_stop();
		return s;
	}
	s = start_http(node);
	if (!status_ok(s)) {
		rt_stop(node->rt);
		mem_stop();
	}
	return s;
}

struct status node_start(struct node *node, const struct config *config)
{
	const struct settings *settings = config_values(config);
	struct status s;

	memset(node, 0, sizeof(*node));
	node->config = config;
	node->settings = settings;
	node->started_ns = clock_ns();
	TRY(start_log(settings));
	TRY(crash_init());
	TRY(settings_cores(settings->cores, &node->cores));
	budget_divide(settings->memory, &node->budget);
	TRY(data_dir_open(settings->data, &node->data));
	s = start_rest(node);
	if (!status_ok(s)) {
		data_dir_close(&node->data);
		return s;
	}
	atomic_u32_store(&node->phase, NODE_SERVING, ORDER_RELEASE);
	log_info("node %s serves, data in %s", settings->name, settings->data);
	return OK;
}

void node_stop(struct node *node)
{
	uint64_t leaked;

	atomic_u32_store(&node->phase, NODE_DRAINING, ORDER_RELEASE);
	http_stop(node->http);
	rt_stop(node->rt);
	leaked = mem_stop();
	if (leaked)
		log_warn("%llu bytes were never given back", (unsigned long long)leaked);
	data_dir_close(&node->data);
	log_info("node %s has stopped", node->settings->name);
}

const char *node_phase_name(const struct node *node)
{
	static const char *const names[] = {"starting", "serving", "draining"};

	return names[atomic_u32_load(&node->phase, ORDER_ACQUIRE)];
}

void node_dump(const struct node *node)
{
	rt_dump(node->rt, stderr);
	mem_dump(stderr);
	trace_dump(stderr, DUMP_EVENTS);
	fflush(stderr);
}
