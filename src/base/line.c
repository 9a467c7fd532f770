#include "base/line.h"

#include <string.h>

void line_init(struct line *l, char *buffer, size_t size)
{
	*l = (struct line){.text = buffer, .size = size};
	buffer[0] = '\0';
}

void line_clear(struct line *l)
{
	line_init(l, l->text, l->size);
}

size_t line_room(const struct line *l)
{
	return l->size - 1 - l->used;
}

void line_bytes(struct line *l, const void *bytes, size_t count)
{
	if (count > line_room(l)) {
		count = line_room(l);
		l->cut = true;
	}
	memcpy(l->text + l->used, bytes, count);
	l->used += count;
	l->text[l->used] = '\0';
}

void line_char(struct line *l, char c)
{
	line_bytes(l, &c, 1);
}

void line_text(struct line *l, const char *text)
{
	if (!text)
		text = "(null)";
	line_bytes(l, text, strlen(text));
}

static void number(struct line *l, uint64_t v, unsigned base, unsigned width)
{
	char digits[64];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v != 0);
	while (sizeof(digits) - at < width && at > 0)
		digits[--at] = '0';
	line_bytes(l, digits + at, sizeof(digits) - at);
}

void line_u64(struct line *l, uint64_t v)
{
	number(l, v, 10, 1);
}

void line_u64_padded(struct line *l, uint64_t v, unsigned width)
{
	number(l, v, 10, width);
}

void line_i64(struct line *l, int64_t v)
{
	if (v < 0)
		line_char(l, '-');
	number(l, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, 1);
}

void line_hex(struct line *l, uint64_t v)
{
	number(l, v, 16, 1);
}

void line_address(struct line *l, const void *address)
{
	line_text(l, "0x");
	number(l, (uint64_t)(uintptr_t)address, 16, 16);
}

/* One conversion, as it stands in a format between the % and its letter. */
struct conversion {
	unsigned bytes; /* width of the argument */
	char letter;
	const char *end; /* behind the letter */
};

static struct conversion conversion_read(const char *at)
{
	struct conversion c = {.bytes = 4};

	while (*at && strchr("#0- +'.123456789", *at))
		at++;
	for (; *at && strchr("hlzjt", *at); at++)
		c.bytes = *at == 'h' ? c.bytes / 2 : 8;
	c.letter = *at;
	c.end = *at ? at + 1 : at;
	return c;
}

/* The word as the conversion sees it: cut to its width, extended by the sign if it is signed. */
static uint64_t narrow(uint64_t word, unsigned bytes, bool is_signed)
{
	unsigned unused = 64 - 8 * bytes;

	if (bytes >= 8)
		return word;
	word <<= unused;
	return is_signed ? (uint64_t)((int64_t)word >> unused) : word >> unused;
}

/* False if the letter is not known. */
static bool convert(struct line *l, struct conversion c, uint64_t word)
{
	switch (c.letter) {
	case 'd':
	case 'i': line_i64(l, (int64_t)narrow(word, c.bytes, true)); return true;
	case 'u': line_u64(l, narrow(word, c.bytes, false)); return true;
	case 'x': line_hex(l, narrow(word, c.bytes, false)); return true;
	case 'c': line_char(l, (char)word); return true;
	case 's': line_text(l, (const char *)(uintptr_t)word); return true;
	case 'p': line_address(l, (const void *)(uintptr_t)word); return true;
	default: return false;
	}
}

void line_words(struct line *l, const char *format, const uint64_t *words, size_t count)
{
	size_t next = 0;

	while (*format) {
		size_t plain = strcspn(format, "%");

		line_bytes(l, format, plain);
		format += plain;
		if (*format == '\0')
			return;
		if (format[1] == '%') {
			line_char(l, '%');
			format += 2;
			continue;
		}

		struct conversion c = conversion_read(format + 1);

		if (next < count && convert(l, c, words[next]))
			next++;
		else
			line_bytes(l, format, (size_t)(c.end - format));
		format = c.end;
	}
}
