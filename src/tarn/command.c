#include "tarn/command.h"

#include "base/diag.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define COMMANDS_MAX 64
#define COLUMNS      80

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = command_table; *c; c++) {
		if (strcmp((*c)->name, name) == 0)
			return *c;
	}
	return NULL;
}

/* ---- help ------------------------------------------------------------------------------------ */

static const char *program = "tarn";

const char *command_program(void)
{
	return program;
}

void command_print_wrapped(FILE *out, const char *line, size_t column, size_t indent)
{
	size_t spaces = strspn(line, " ");

	while (line[spaces]) {
		size_t word = strcspn(line + spaces, " ");

		if (column + spaces + word > COLUMNS && column > indent) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
			line += spaces;
			spaces = 0;
		}
		fprintf(out, "%.*s", (int)(spaces + word), line);
		column += spaces + word;
		line += spaces + word;
		spaces = strspn(line, " ");
	}
	fputc('\n', out);
}

void command_print_overview(FILE *out)
{
	fprintf(out, "usage: tarn COMMAND [ARGUMENT…]\n\n");
	for (const struct command *const *c = command_table; *c; c++)
		fprintf(out, "  %-9s %s\n", (*c)->name, (*c)->summary);
	fprintf(out, "\n`tarn COMMAND --help` says more.\n");
}

void command_print_help(FILE *out, const struct command *command)
{
	fprintf(out, "usage: tarn %s %s\n\n%s", command->name, command->usage, command->help);
	if (command->help_more)
		command->help_more(out);
}

static enum command_exit help_main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		command_print_overview(stdout);
		return COMMAND_DONE;
	}
	command = command_find(argv[1]);
	if (!command)
		return command_wrong_usage("help", "no such command: %s", argv[1]);
	if (argc == 2)
		command_print_help(stdout, command);
	else if (strcmp(argv[2], "--markdown") == 0 && command->page)
		command->page(stdout);
	else
		return command_wrong_usage("help", "%s has no %s", argv[1], argv[2]);
	return COMMAND_DONE;
}

const struct command command_help = {
	.name = "help",
	.summary = "shows this overview, or how a command is used",
	.usage = "[COMMAND [--markdown]]",
	.help = "Shows all commands, or one in detail. --markdown prints the table of settings\n"
		"that the documentation has, for commands with such a table.\n"
		"\n"
		"Example: tarn help serve\n",
	.main = help_main,
};

/* ---- errors ---------------------------------------------------------------------------------- */

enum command_exit command_fail(const char *name, struct status s)
{
	const char *text = diag_text();

	fprintf(stderr, "tarn %s: %s\n", name, *text ? text : status_text(s.code));
	return COMMAND_FAILED;
}

enum command_exit command_wrong_usage(const char *name, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "tarn %s: ", name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	return COMMAND_WRONG_USAGE;
}

const char *command_nearest(const char *word, const char *const *candidates, uint32_t count)
{
	const char *nearest = NULL;
	size_t least = SIZE_MAX;

	for (uint32_t i = 0; i < count; i++) {
		size_t d = text_distance(word, candidates[i]);

		if (d < least) {
			least = d;
			nearest = candidates[i];
		}
	}
	/* one slip for short words, two for longer ones, three for long ones */
	if (!nearest || least > 1 + strlen(word) / 4)
		return NULL;
	return nearest;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static enum command_exit unknown_command(const char *name)
{
	const char *names[COMMANDS_MAX];
	uint32_t count = 0;
	const char *near;

	for (const struct command *const *c = command_table; *c && count < COMMANDS_MAX; c++)
		names[count++] = (*c)->name;
	near = command_nearest(name, names, count);
	if (near)
		fprintf(stderr, "tarn: no command \"%s\", did you mean \"%s\"?\n", name, near);
	else
		fprintf(stderr, "tarn: no command \"%s\", see tarn help\n", name);
	return COMMAND_WRONG_USAGE;
}

static bool asks_for_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

enum command_exit command_main(int argc, char **argv)
{
	const struct command *command;

	if (argc > 0 && argv[0][0])
		program = argv[0];
	if (argc < 2) {
		command_print_overview(stderr);
		return COMMAND_WRONG_USAGE;
	}
	if (asks_for_help(argv[1])) {
		command_print_overview(stdout);
		return COMMAND_DONE;
	}
	command = command_find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
	if (!command)
		return unknown_command(argv[1]);
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (asks_for_help(argv[i])) {
			command_print_help(stdout, command);
			return COMMAND_DONE;
		}
	}
	return command->main(argc - 1, argv + 1);
}
