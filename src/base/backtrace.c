#include "base/backtrace.h"

#include "base/line.h"
#include "base/os.h"

#include <dlfcn.h>
#include <string.h>
#include <ucontext.h>

/* Frames are at most this far apart; a larger step is a broken chain. */
#define FRAME_BYTES_MAX (16ul << 20)

struct backtrace_at backtrace_of_signal(const void *ucontext)
{
	const ucontext_t *u = ucontext;
	struct backtrace_at at = {0};

#if defined(__x86_64__)
	at.pc = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
	at.fp = (uintptr_t)u->uc_mcontext.gregs[REG_RBP];
	at.sp = (uintptr_t)u->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	at.pc = (uintptr_t)u->uc_mcontext.pc;
	at.fp = (uintptr_t)u->uc_mcontext.regs[29];
	at.sp = (uintptr_t)u->uc_mcontext.sp;
#endif
	return at;
}

/* After a jump to where no code is, the caller's address lies on top of the stack. */
static size_t first_frames(struct backtrace_at at, uintptr_t *frames, size_t max)
{
	size_t count = 0;
	uintptr_t caller;
	char code;

	if (at.pc && count < max)
		frames[count++] = at.pc;
#if defined(__x86_64__)
	if (at.pc && count < max && !os_memory_peek(&code, (const void *)at.pc, 1) &&
	    os_memory_peek(&caller, (const void *)at.sp, sizeof(caller)))
		frames[count++] = caller;
#else
	(void)caller;
	(void)code;
#endif
	return count;
}

size_t backtrace_walk(struct backtrace_at at, uintptr_t *frames, size_t max)
{
	size_t count = first_frames(at, frames, max);
	uintptr_t frame = at.fp;

	/* a frame record: the caller's frame pointer, then the return address */
	while (count < max && frame % sizeof(uintptr_t) == 0) {
		uintptr_t record[2];

		if (!os_memory_peek(record, (const void *)frame, sizeof(record)) || record[1] == 0)
			break;
		frames[count++] = record[1];
		if (record[0] <= frame || record[0] - frame > FRAME_BYTES_MAX)
			break;
		frame = record[0];
	}
	return count;
}

static void write_frame(struct line *l, size_t number, uintptr_t pc)
{
	Dl_info info;

	line_text(l, "  #");
	line_u64(l, number);
	line_char(l, ' ');
	line_address(l, (const void *)pc);
	/* a return address may lie behind the end of a function that does not return */
	if (!dladdr((const void *)(number ? pc - 1 : pc), &info) || !info.dli_fname) {
		line_text(l, " ?\n");
		return;
	}
	line_char(l, ' ');
	line_text(l, info.dli_fname);
	line_text(l, "+0x");
	line_hex(l, pc - (uintptr_t)info.dli_fbase);
	if (info.dli_sname) {
		line_text(l, " ");
		line_text(l, info.dli_sname);
		line_text(l, "+0x");
		line_hex(l, pc - (uintptr_t)info.dli_saddr);
	}
	line_char(l, '\n');
}

void backtrace_write(int fd, const uintptr_t *frames, size_t count)
{
	char text[512];
	struct line l;

	for (size_t i = 0; i < count; i++) {
		line_init(&l, text, sizeof(text));
		write_frame(&l, i, frames[i]);
		os_write_text(fd, l.text, l.used);
	}
}
