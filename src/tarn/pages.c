/*
 * What a node answers on its HTTP door.
 */
#include "base/clock.h"
#include "base/diag.h"
#include "base/metrics.h"
#include "base/version.h"
#include "mem/mem.h"
#include "rt/rt.h"
#include "tarn/dashboard.h"
#include "tarn/node.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double node_uptime(const void *arg)
{
	const struct node *node = arg;

	return (double)(clock_ns() - node->started_ns) / 1e9;
}

/* ---- small pages ----------------------------------------------------------------------------- */

static void page_dashboard(void *arg, const struct http_request *request,
			   struct http_response *response)
{
	(void)arg;
	(void)request;
	response->type = "text/html; charset=utf-8";
	fwrite(dashboard, 1, dashboard_bytes, response->body);
}

static void page_healthz(void *arg, const struct http_request *request,
			 struct http_response *response)
{
	const struct node *node = arg;

	(void)request;
	if (atomic_u32_load(&node->phase, ORDER_ACQUIRE) != NODE_SERVING)
		response->status = HTTP_UNAVAILABLE;
	fprintf(response->body, "%s\n", node_phase_name(node));
}

static void page_metrics(void *arg, const struct http_request *request,
			 struct http_response *response)
{
	(void)arg;
	(void)request;
	response->type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(response->body);
}

/* ---- /status --------------------------------------------------------------------------------- */

static json_t *integer(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *status_doors(const struct node *node)
{
	json_t *doors = json_object();

	if (node->http)
		json_object_set_new(doors, "http", json_string(http_address(node->http)->text));
	return doors;
}

static json_t *status_memory(const struct node *node)
{
	json_t *memory = json_object();
	json_t *parts = json_array();
	struct mem_stats stats;

	mem_stats(&stats);
	json_object_set_new(memory, "total_bytes", integer(node->settings->memory));
	json_object_set_new(memory, "limit_bytes", integer(stats.limit_bytes));
	json_object_set_new(memory, "resident_bytes", integer(stats.resident_bytes));
	json_object_set_new(memory, "used_bytes", integer(stats.used_bytes));
	json_object_set_new(memory, "cached_bytes", integer(stats.cached_bytes));
	json_object_set_new(memory, "backing",
			    json_string(mem_backing_text(mem_backing(MEM_PRIVATE))));
	json_object_set_new(memory, "backing_shareable",
			    json_string(mem_backing_text(mem_backing(MEM_SHAREABLE))));
	for (uint32_t i = 0; i < BUDGET_ROLES; i++) {
		const struct budget_part *part = &node->budget.part[i];

		json_array_append_new(parts,
				      json_pack("{s:s, s:s, s:I}", "role", part->role, "for",
						part->use, "bytes", (json_int_t)part->bytes));
	}
	json_object_set_new(memory, "budget", parts);
	return memory;
}

static json_t *status_cores(const struct node *node, const struct rt_stats *stats)
{
	static const char *const modes[] = {"shared", "dedicated", "exclusive"};
	json_t *cores = json_object();

	json_object_set_new(cores, "count", integer(rt_cores(node->rt)));
	json_object_set_new(cores, "mode", json_string(modes[node->settings->core_mode]));
	json_object_set_new(cores, "busy_ns", integer(stats->busy_ns));
	json_object_set_new(cores, "idle_ns", integer(stats->idle_ns));
	json_object_set_new(cores, "parked_ns", integer(stats->parked_ns));
	json_object_set_new(cores, "parks", integer(stats->parks));
	json_object_set_new(cores, "kicks", integer(stats->kicks));
	return cores;
}

static json_t *status_threads(const struct node *node, const struct rt_stats *stats)
{
	json_t *threads = json_object();

	json_object_set_new(threads, "alive", integer(stats->threads_alive));
	json_object_set_new(threads, "created", integer(stats->threads_created));
	json_object_set_new(threads, "most", integer(node->budget.threads_max));
	json_object_set_new(threads, "switches", integer(stats->switches));
	return threads;
}

static json_t *status_holds_back(const struct node *node)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < node->holdback.count; i++) {
		const struct holdback_item *item = &node->holdback.item[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", item->what,
						      "found", item->found, "fix", item->fix));
	}
	return list;
}

/* The configuration's dump, line by line: it knows how each value is written, and hides secrets. */
static json_t *status_settings(const struct node *node)
{
	json_t *settings = json_object();
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);
	char *rest;
	char *line;

	if (!file)
		return settings;
	config_dump(node->config, file);
	fclose(file);
	rest = text;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *value = strstr(line, " = ");

		if (line[0] == '#' || !value)
			continue;
		*value = 0;
		json_object_set_new(settings, line, json_string(value + 3));
	}
	free(text);
	return settings;
}

static void page_status(void *arg, const struct http_request *request,
			struct http_response *response)
{
	const struct node *node = arg;
	json_t *status = json_object();
	struct rt_stats stats;

	(void)request;
	rt_stats(node->rt, &stats);
	json_object_set_new(status, "name", json_string(node->settings->name));
	json_object_set_new(status, "version", json_string(version_text));
	json_object_set_new(status, "commit", json_string(version_commit));
	json_object_set_new(status, "phase", json_string(node_phase_name(node)));
	json_object_set_new(status, "uptime_s", json_real(node_uptime(node)));
	json_object_set_new(status, "pid", integer((uint64_t)getpid()));
	json_object_set_new(status, "doors", status_doors(node));
	json_object_set_new(status, "memory", status_memory(node));
	json_object_set_new(status, "cores", status_cores(node, &stats));
	json_object_set_new(status, "threads", status_threads(node, &stats));
	json_object_set_new(status, "holds_back", status_holds_back(node));
	json_object_set_new(status, "settings", status_settings(node));
	response->type = "application/json";
	if (!status || json_dumpf(status, response->body, JSON_INDENT(2) | JSON_REAL_PRECISION(10)))
		response->status = HTTP_ERROR;
	fputc('\n', response->body);
	json_decref(status);
}

/* ---- registration ---------------------------------------------------------------------------- */

struct status node_pages_add(struct node *node, struct http *http)
{
	const struct http_route routes[] = {
		{.path = "/", .handle = page_dashboard, .arg = node},
		{.path = "/healthz", .handle = page_healthz, .arg = node},
		{.path = "/metrics", .handle = page_metrics, .arg = node},
		{.path = "/status", .handle = page_status, .arg = node},
	};

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		TRY(http_route_add(http, &routes[i]));
	return OK;
}
