/*
 * `tarn serve`: settings in, a node until a signal says stop.
 */
#include "base/diag.h"
#include "base/log.h"
#include "base/self.h"
#include "base/text.h"
#include "base/version.h"
#include "mem/mem.h"
#include "tarn/command.h"
#include "tarn/node.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define HOLDBACKS_SHOWN 3
#define FLAG_COLUMN     31

/* ---- what the user sees at the start --------------------------------------------------------- */

static void print_title(const struct node *node)
{
	static const char *const modes[] = {"shared", "dedicated", "exclusive"};
	char memory[32];
	struct line l;

	line_init(&l, memory, sizeof(memory));
	text_size_round(&l, node->settings->memory);
	printf("tarn %s (%s): node %s, %u core%s (%s), memory %s\n", version_text, version_commit,
	       node->settings->name, node->cores.count, node->cores.count == 1 ? "" : "s",
	       modes[node->settings->core_mode], memory);
}

static void print_holdbacks(const struct holdback *found)
{
	uint32_t shown = found->count < HOLDBACKS_SHOWN ? found->count : HOLDBACKS_SHOWN;

	if (found->count == 0)
		return;
	printf("what holds it back%s:\n",
	       shown < found->count ? " (the gravest; /status has all)" : "");
	for (uint32_t i = 0; i < shown; i++) {
		const struct holdback_item *item = &found->item[i];

		printf("  %s: %s\n    %s\n", item->what, item->found, item->fix);
	}
}

/* At most 14 lines, and only doors that listen. */
static void print_start(const struct node *node)
{
	const char *door = node->http ? http_address(node->http)->text : NULL;
	const char *program = command_program();

	print_title(node);
	printf("  data   %s\n", node->settings->data);
	if (door)
		printf("  http   http://%s/ (/healthz, /metrics, /status)\n", door);
	print_holdbacks(&node->holdback);
	printf("try:\n");
	if (door)
		printf("  curl -s http://%s/status\n  curl -s http://%s/metrics\n", door, door);
	else
		printf("  %s version\n  %s serve --help\n", program, program);
	printf("  %s limits\n", program);
	fflush(stdout);
}

/* ---- signals --------------------------------------------------------------------------------- */

/* Blocked in all threads that are started later; the main thread takes them one at a time. */
static void signals_block(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, ret, NULL);
}

/* A second SIGTERM or Ctrl-C ends a stop that takes too long. */
static void signals_force_from_now_on(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void reopen_log(void)
{
	if (!status_ok(log_reopen()))
		log_error("the log could not be reopened: %s", diag_text());
}

/* Returns when the node is to stop. */
static void serve_until_signal(const struct node *node, const sigset_t *signals)
{
	for (;;) {
		int number;

		if (sigwait(signals, &number))
			continue;
		switch (number) {
		case SIGHUP: reopen_log(); break;
		case SIGUSR1: node_dump(node); break;
		default:
			log_info("stopping on %s", number == SIGINT ? "Ctrl-C" : "SIGTERM");
			return;
		}
	}
}

/* ---- the command ----------------------------------------------------------------------------- */

static enum command_exit serve(const struct config *config)
{
	struct node node;
	sigset_t signals;
	struct status s;

	self()->thread->name = "main";
	signals_block(&signals);
	s = node_start(&node, config);
	if (!status_ok(s))
		return command_fail("serve", s);
	print_start(&node);
	serve_until_signal(&node, &signals);
	signals_force_from_now_on();
	node_stop(&node);
	return COMMAND_DONE;
}

static enum command_exit serve_main(int argc, char **argv)
{
	enum command_exit result = COMMAND_DONE;
	struct config *config;

	if (!status_ok(settings_load(argc - 1, argv + 1, &config)))
		return command_wrong_usage("serve", "%s", diag_text());
	if (config_dump_wanted(config))
		config_dump(config, stdout);
	else
		result = serve(config);
	config_destroy(config);
	return result;
}

/* A flag that is too long for its column has a line of its own. */
static void print_flag(FILE *out, char *line)
{
	size_t at = strspn(line, " ");

	for (int words = 0; words < 2; words++)
		at += strcspn(line + at, " ") + (words == 0);
	if (at > FLAG_COLUMN && line[at] == ' ') {
		fprintf(out, "%.*s\n%*s", (int)at, line, (int)FLAG_COLUMN, "");
		line += at + 1;
		command_print_wrapped(out, line, FLAG_COLUMN, FLAG_COLUMN);
		return;
	}
	command_print_wrapped(out, line, 0, FLAG_COLUMN);
}

/* Prints the table's help within 80 columns. */
static void print_flags(FILE *out)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);
	char *rest;
	char *line;

	if (!file)
		return;
	config_help(&settings_schema, file);
	fclose(file);
	rest = text;
	while ((line = strsep(&rest, "\n")) != NULL && rest)
		print_flag(out, line);
	free(text);
}

static void print_page(FILE *out)
{
	config_markdown(&settings_schema, out);
}

const struct command command_serve = {
	.name = "serve",
	.summary = "runs a node until Ctrl-C or SIGTERM",
	.usage = "[FLAG VALUE]...",
	.help = "Runs one node. Each flag is also a line `key = value` of --config FILE and a\n"
		"variable TARN_KEY of the environment; a flag beats the environment, which beats\n"
		"the file. Ctrl-C or SIGTERM stops it cleanly, a second one at once; SIGHUP opens\n"
		"the log file anew; SIGUSR1 prints what every thread does.\n"
		"\n"
		"Example: tarn serve --data /var/lib/tarn --memory 8G --http 127.0.0.1:8080\n"
		"\n",
	.help_more = print_flags,
	.page = print_page,
	.main = serve_main,
};
