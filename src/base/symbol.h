/*
 * Names of functions, for backtraces, from the symbol tables of the program and its libraries.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

struct symbol {
	const char *module;   /* the file; borrows until it is unloaded */
	uintptr_t address;    /* within the module, as addr2line and objdump have it */
	const char *function; /* NULL if it is not known; borrows until the next symbol_find() */
};

/*
 * Which function has `pc`. False if it lies in no module. Allocates nothing: it maps the module's
 * file and keeps it mapped for the next call. For one thread at a time; in a signal handler it may
 * wait for the loader's lock, if the signal came in the middle of dlopen().
 */
bool symbol_find(uintptr_t pc, struct symbol *ret_symbol);
