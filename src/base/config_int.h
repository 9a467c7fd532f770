/*
 * The configuration from within: for base/config*.c, their tests and the fuzzer.
 */
#pragma once

#include "base/config.h"

/* By precedence. */
enum config_source {
	CONFIG_SOURCE_NONE,
	CONFIG_SOURCE_DEFAULT,
	CONFIG_SOURCE_FILE,
	CONFIG_SOURCE_ENVIRONMENT,
	CONFIG_SOURCE_FLAG,
};

struct config_origin {
	enum config_source source;
	char *place; /* owns */
	char *text;  /* owns; values of texts point to it */
};

struct config {
	const struct config_schema *schema;
	char *values;                  /* owns; the caller's struct */
	struct config_origin *origins; /* owns; one for each setting */
	char **arguments;              /* owns the array, borrows the texts */
	size_t argument_count;
	const char *file;      /* borrows; what is read, or NULL */
	const char *file_flag; /* borrows; --config, or NULL */
	bool dump;
	bool help;
};

/* A longest file that is read. */
#define CONFIG_FILE_BYTES (256 << 10)

/* An empty configuration, with neither defaults nor anything else. NULL without memory. */
struct config *config_new(const struct config_schema *schema);

/* Sets every setting to its default. */
struct status config_apply_defaults(struct config *c);

/* Applies a file's text[bytes]; `name` is what messages call it. */
struct status config_apply_text(struct config *c, const char *name, const char *text, size_t bytes);

/* A value that was found somewhere. All is borrowed. */
struct config_found {
	const char *text;
	size_t bytes;
	enum config_source source;
	const char *place;
};

/* Checks a value and sets the setting of that index to it. */
struct status config_apply(struct config *c, size_t index, struct config_found found);

/* The setting of that name (length bytes; - and _ are the same); schema->count if there is none. */
size_t config_find(const struct config_schema *schema, const char *name, size_t length);

/* INVALID: "<place>: <what> "<name>" is unknown", with the nearest name if there is a near one. */
struct status config_fail_unknown(const struct config_schema *schema, const char *place,
				  const char *what, const char *name, size_t length);

/* Checks `text` and stores its value at `to`, borrowing the text. Says nothing of the place. */
struct status config_value_parse(const struct config_setting *s, char *text, void *to);

/* The default of a setting without compute(): its own, or "off", "0", the first choice, "". */
const char *config_initial(const struct config_setting *s);

/* Frees what the value owns. */
void config_value_free(const struct config_setting *s, void *value);

/* "64M to 1T", "one of a, b", "at least 1", or "" if everything goes. */
void config_range(struct line *l, const struct config_setting *s);
