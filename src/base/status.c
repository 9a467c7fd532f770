#include "base/status.h"

#include <errno.h>

struct status_entry {
	const char *name;
	const char *text;
	enum status_class class;
};

static const struct status_entry table[] = {
#define STATUS_ROW(id, number, label, kind, meaning)                                               \
	[number] = {.name = (label), .text = (meaning), .class = STATUS_CLASS_##kind},
	STATUS_CODES(STATUS_ROW)
#undef STATUS_ROW
};

static const struct status_entry unknown = {"unknown", "not a status of ours", STATUS_CLASS_BUG};

static const struct status_entry *entry(enum status_code code)
{
	return (size_t)code < ARRAY_SIZE(table) ? &table[code] : &unknown;
}

const char *status_name(enum status_code code)
{
	return entry(code)->name;
}

const char *status_text(enum status_code code)
{
	return entry(code)->text;
}

enum status_class status_class(enum status_code code)
{
	return entry(code)->class;
}

const char *status_class_name(enum status_class class)
{
	static const char *const names[] = {
		[STATUS_CLASS_OK] = "ok",           [STATUS_CLASS_RETRY] = "retry",
		[STATUS_CLASS_BUSY] = "busy",       [STATUS_CLASS_NOT_FOUND] = "not_found",
		[STATUS_CLASS_INVALID] = "invalid", [STATUS_CLASS_CORRUPT] = "corrupt",
		[STATUS_CLASS_LIMIT] = "limit",     [STATUS_CLASS_IO] = "io",
		[STATUS_CLASS_DENIED] = "denied",   [STATUS_CLASS_BUG] = "bug",
	};
	return (size_t) class < ARRAY_SIZE(names) ? names[class] : "unknown";
}

struct status status_of_errno(int error, enum status_code fallback)
{
	switch (error) {
	case ENOMEM: return (struct status){STATUS_NO_MEMORY};
	case ENOSPC:
	case EDQUOT: return (struct status){STATUS_NO_SPACE};
	case EMFILE:
	case ENFILE: return (struct status){STATUS_LIMIT};
	case ENOENT: return (struct status){STATUS_NOT_FOUND};
	case EEXIST: return (struct status){STATUS_EXISTS};
	case EACCES:
	case EPERM: return (struct status){STATUS_DENIED};
	case EPIPE:
	case ECONNRESET: return (struct status){STATUS_CLOSED};
	case ETIMEDOUT: return (struct status){STATUS_TIMEOUT};
	case ENOSYS:
	case EOPNOTSUPP: return (struct status){STATUS_UNSUPPORTED};
	default: return (struct status){fallback == STATUS_OK ? STATUS_IO : fallback};
	}
}
