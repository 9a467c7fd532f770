/*
 * The commands of the program: one table entry and one function each.
 */
#pragma once

#include "base/compiler.h"
#include "base/status.h"

#include <stdio.h>

/* What the program exits with. */
enum command_exit {
	COMMAND_DONE = 0,
	COMMAND_FAILED = 1,
	COMMAND_WRONG_USAGE = 2,
};

struct command {
	const char *name;
	const char *summary; /* one line, under 60 columns */
	const char *usage;   /* what follows the name: "[--json]" */
	const char *help;    /* complete, 80 columns, with an example; ends with a newline */
	/* prints what follows `help` and is made from tables; may be NULL */
	void (*help_more)(FILE *out);
	/* prints the tables of docs/NAME.md, for `tarn help NAME --markdown`; may be NULL */
	void (*page)(FILE *out);
	/* argv[0] is the command's name; `--help` was dealt with before */
	enum command_exit (*main)(int argc, char **argv);
};

extern const struct command command_arbiter;
extern const struct command command_bench;
extern const struct command command_help;
extern const struct command command_limits;
extern const struct command command_serve;
extern const struct command command_version;

/* All commands in the order of the overview, ended by NULL. */
extern const struct command *const command_table[];

/* The whole program: finds the command and runs it. */
enum command_exit command_main(int argc, char **argv);

/* How the user called the program, for commands to paste. */
const char *command_program(void);

/*
 * Prints one line that begins at `column`, broken between words at 80 columns and continued at
 * column `indent`.
 */
void command_print_wrapped(FILE *out, const char *line, size_t column, size_t indent);

/* Prints what `tarn COMMAND --help` shows. */
void command_print_help(FILE *out, const struct command *command);

/* Prints the overview of all commands. */
void command_print_overview(FILE *out);

/* The command of that name, NULL if there is none. */
const struct command *command_find(const char *name);

/* The candidate that `word` was most likely meant to be, NULL if none is near. */
const char *command_nearest(const char *word, const char *const *candidates, uint32_t count);

/* One line on standard error, "tarn NAME: text"; returns what to exit with. */
enum command_exit command_fail(const char *name, struct status s);
enum command_exit command_wrong_usage(const char *name, const char *format, ...) PRINTF(2, 3);
