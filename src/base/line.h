/*
 * Text put together piece by piece in a buffer of the caller: no allocation, no locale, no lock, so
 * it may be used in a signal handler. What does not fit is cut; the text always ends with a NUL.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

struct line {
	char *text;  /* borrows; NUL-terminated */
	size_t size; /* of the buffer, at least 1 */
	size_t used; /* without the NUL; below size */
	bool cut;    /* something did not fit */
};

/* Begins an empty text in buffer[size], which is borrowed while the line is used. */
void line_init(struct line *l, char *buffer, size_t size);

/* Makes the text empty again. */
void line_clear(struct line *l);

/* How many bytes still fit. */
size_t line_room(const struct line *l);

/* Appends. line_text() prints a NULL as "(null)". */
void line_char(struct line *l, char c);
void line_text(struct line *l, const char *text);
void line_bytes(struct line *l, const void *bytes, size_t count);

/* Appends a number: decimal, decimal with at least `width` digits, hexadecimal without 0x. */
void line_u64(struct line *l, uint64_t v);
void line_u64_padded(struct line *l, uint64_t v, unsigned width);
void line_i64(struct line *l, int64_t v);
void line_hex(struct line *l, uint64_t v);

/* Appends a hexadecimal number with 0x and 16 digits, as addresses are printed. */
void line_address(struct line *l, const void *address);

/*
 * Appends `format` with the words put in for its conversions: d i u x c s p with an optional h, l,
 * ll, z or j; flags, width and precision are read over. A conversion that is unknown, or that has
 * no word left, stands as it is. A word for %s must point to a string that lives for ever.
 */
void line_words(struct line *l, const char *format, const uint64_t *words, size_t count);
