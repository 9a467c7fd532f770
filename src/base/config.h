/*
 * The configuration: one table of settings makes the command line's parser, the file's, the
 * environment's, the checks, `--help`, `--dump-config` and the documentation.
 *
 * A setting "log-level" is the flag `--log-level VALUE` (or `--log-level=VALUE`), the line
 * `log-level = VALUE` of `--config FILE`, and the variable TARN_LOG_LEVEL. A flag beats the
 * environment beats the file beats the default. What is unknown, given twice in one place, out of
 * range or contradictory fails with one line that names the place, what was wrong and what would be
 * right.
 *
 *	#define NODE_SETTINGS(X, S)                                                             \
 *		X(S, data, STRING, "data", .initial = "./tarn-data", .value = "DIR", .min = 1,  \
 *		  .meaning = "where the data lives")                                            \
 *		X(S, memory, SIZE, "memory", .compute = quarter, .about = "a quarter of it",    \
 *		  .min = 64 << 20, .meaning = "memory to use")
 *	CONFIG_STRUCT(node_config, NODE_SETTINGS);
 *	static const struct config_setting table[] = CONFIG_TABLE(node_config, NODE_SETTINGS);
 *
 * Nothing here suspends; config_create() may block to read the file. Not safe between threads while
 * it is made; read-only afterwards.
 */
#pragma once

#include "base/compiler.h"
#include "base/line.h"
#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>

enum config_type {
	CONFIG_BOOL,     /* bool: on, off */
	CONFIG_INT,      /* uint64_t */
	CONFIG_SIZE,     /* uint64_t, in bytes */
	CONFIG_DURATION, /* uint64_t, in ns */
	CONFIG_STRING,   /* const char *, never NULL */
	CONFIG_SECRET,   /* the same, never printed */
	CONFIG_ENUM,     /* uint32_t: the index in .choices */
	CONFIG_LIST,     /* struct config_list: texts with commas between them */
	CONFIG_ENDPOINT, /* struct config_endpoint: host:port, or "off" if it may be */
};

struct config_list {
	size_t count;
	char **items;
};

struct config_endpoint {
	bool on;
	struct endpoint at; /* if on */
};

/* A setting. What is not named in the table is zero. */
struct config_setting {
	const char *name; /* lower case with dashes */
	enum config_type type;
	size_t offset;       /* of the value in the caller's struct */
	const char *initial; /* the default, as text; NULL: nothing, off, 0, the first choice */
	void (*compute)(struct line *l); /* or appends it, found out at the start */
	const char *about;               /* what compute() gives, in words for the documentation */
	uint64_t min, max;               /* of a number, or of a text's length; max 0: no bound */
	const char *const *choices;      /* of an ENUM; ends with NULL */
	bool may_be_off;                 /* an ENDPOINT may be "off" */
	const char *value;   /* what --help calls the value; by default after the type */
	const char *meaning; /* one line, without a full stop */
	const char *role;    /* who uses it; NULL: every node */
	/* Checks more than the range, on the text; fails as fail() wants it. May be NULL. */
	struct status (*check)(const char *text);
};

struct config;

/* All about one program's configuration. Borrowed for the life of the configuration. */
struct config_schema {
	const char *program; /* "tarn serve", for --help */
	const struct config_setting *settings;
	size_t count;
	size_t values_bytes;                /* of the caller's struct */
	bool takes_arguments;               /* what is no flag is kept, instead of being refused */
	const char *const *other_variables; /* TARN_… of others; ends with NULL, or is NULL */
	/* Finds contradictions; fails with config_fail(). May be NULL. */
	struct status (*check)(const struct config *c, const void *values);
};

#define CONFIG_C_BOOL     bool
#define CONFIG_C_INT      uint64_t
#define CONFIG_C_SIZE     uint64_t
#define CONFIG_C_DURATION uint64_t
#define CONFIG_C_STRING   const char *
#define CONFIG_C_SECRET   const char *
#define CONFIG_C_ENUM     uint32_t
#define CONFIG_C_LIST     struct config_list
#define CONFIG_C_ENDPOINT struct config_endpoint

#define CONFIG_MEMBER_(s, member, kind, flag, ...) CONFIG_C_##kind member;
#define CONFIG_ROW_(s, member, kind, flag, ...)                                                    \
	{.name = (flag), .type = CONFIG_##kind, .offset = offsetof(s, member), __VA_ARGS__},

/* The struct of the values, and the table, of a list of settings as shown above. */
#define CONFIG_STRUCT(tag, settings)                                                               \
	struct tag {                                                                               \
		settings(CONFIG_MEMBER_, struct tag)                                               \
	}
#define CONFIG_TABLE(tag, settings)                                                                \
	{                                                                                          \
		settings(CONFIG_ROW_, struct tag)                                                  \
	}

/*
 * Reads the configuration from argv[0…argc) (without the program's name), the environment (as
 * environ has it; NULL: none) and the file that --config or TARN_CONFIG names. INVALID with a line
 * for the user, or NO_MEMORY. Free with config_destroy().
 */
struct status config_create(const struct config_schema *schema, int argc, char *const *argv,
			    char *const *environment, struct config **ret_config);

/* Frees it and all values. NULL is allowed. */
void config_destroy(struct config *c);

/* The caller's struct, with all values. Valid until config_destroy(). */
const void *config_values(const struct config *c);

/* What was no flag: *ret_count texts, valid as long as argv. */
char *const *config_arguments(const struct config *c, size_t *ret_count);

/* Whether --help or --dump-config was given. With --help nothing else was read or checked. */
bool config_help_wanted(const struct config *c);
bool config_dump_wanted(const struct config *c);

/* Whether the setting was given anywhere. Asserts that it exists. */
bool config_given(const struct config *c, const char *name);

/* Where the value comes from: "--name", "TARN_NAME", "file:12" or "default". */
const char *config_place(const struct config *c, const char *name);

/* INVALID with the detail "<place>: <name>: <what>", for checks of the caller. */
struct status config_fail(const struct config *c, const char *name, const char *format, ...)
	PRINTF(3, 4);

/*
 * Writes all settings with meaning, default, range and origin, in the file's form: what is written
 * can be read back. Secrets are hidden.
 */
void config_dump(const struct config *c, FILE *to);

/* Writes the flags for --help, and a table for the documentation (Markdown). */
void config_help(const struct config_schema *schema, FILE *to);
void config_markdown(const struct config_schema *schema, FILE *to);
