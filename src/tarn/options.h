/*
 * The flags of a command, as a table. (`tarn serve` has base/config.h instead: its keys also come
 * from a file and from the environment.)
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>

enum option_kind {
	OPTION_SWITCH,  /* bool: takes no value */
	OPTION_COUNT,   /* uint64_t: a whole number, K M G T allowed (binary) */
	OPTION_SECONDS, /* double: a time with ns us ms s, seconds without */
	OPTION_TEXT,    /* const char *: anything but the empty text; borrows from argv */
};

struct option {
	const char *name; /* without the dashes; NULL ends the table */
	enum option_kind kind;
	void *to;     /* of the type that the kind names; keeps its value when the flag is absent */
	double least; /* of counts and seconds */
	double most;  /* likewise */
};

/*
 * Reads argv[1] to argv[argc - 1]. What is no flag goes to `words`, which has room for argc, in
 * order; `--` ends the flags. STATUS_INVALID with a text for the user: an unknown flag (with the
 * nearest that exists), a value that is missing, no number, or out of range.
 */
struct status options_parse(const struct option *options, int argc, char **argv, const char **words,
			    uint32_t *ret_words);
