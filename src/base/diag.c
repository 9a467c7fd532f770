#include "base/diag.h"

#include "base/assert.h"
#include "base/self.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct diag *diag_self(void)
{
	return &self()->thread->diag;
}

const char *diag_text(void)
{
	return diag_self()->text;
}

static struct diag *diag_begin(const char *file, int line, enum status_code code)
{
	struct diag *d = diag_self();

	ASSERT(code != STATUS_OK);
	d->code = code;
	d->file = file;
	d->line = line;
	return d;
}

struct status diag_fail(const char *file, int line, enum status_code code, const char *format, ...)
{
	struct diag *d = diag_begin(file, line, code);
	va_list args;

	va_start(args, format);
	vsnprintf(d->text, sizeof(d->text), format, args);
	va_end(args);
	return (struct status){code};
}

struct status diag_fail_errno(const char *file, int line, int error, const char *format, ...)
{
	struct status status = status_of_errno(error, STATUS_IO);
	struct diag *d = diag_begin(file, line, status.code);
	const char *name = strerrorname_np(error);
	va_list args;

	va_start(args, format);
	int used = vsnprintf(d->text, sizeof(d->text), format, args);
	va_end(args);
	if (used >= 0 && (size_t)used < sizeof(d->text))
		snprintf(d->text + used, sizeof(d->text) - (size_t)used, ": %s",
			 name ? name : "unknown error");
	return status;
}
