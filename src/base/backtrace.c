#include "base/backtrace.h"

#include "base/line.h"
#include "base/os.h"
#include "base/symbol.h"

#include <dlfcn.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>

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
		frames[count++] = caller - 1;
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
		frames[count++] = record[1] - 1;
		if (record[0] <= frame || record[0] - frame > FRAME_BYTES_MAX)
			break;
		frame = record[0];
	}
	return count;
}

struct unwinding {
	uintptr_t from;
	uintptr_t *frames;
	size_t count;
	size_t max;
	bool begun;
};

static _Unwind_Reason_Code unwind_step(struct _Unwind_Context *context, void *arg)
{
	struct unwinding *u = arg;
	int before_instruction = 0;
	uintptr_t pc = _Unwind_GetIPInfo(context, &before_instruction);

	u->begun |= pc == u->from;
	if (u->count == u->max || pc == 0)
		return _URC_END_OF_STACK;
	if (u->begun)
		u->frames[u->count++] = before_instruction ? pc : pc - 1;
	return _URC_NO_REASON;
}

size_t backtrace_unwind(uintptr_t pc, uintptr_t *frames, size_t max)
{
	struct unwinding u = {.from = pc, .frames = frames, .max = max};

	_Unwind_Backtrace(unwind_step, &u);
	return u.count;
}

bool backtrace_is_ours(uintptr_t pc)
{
	Dl_info here, there;

	return dladdr((const void *)(uintptr_t)backtrace_is_ours, &here) &&
	       dladdr((const void *)pc, &there) && here.dli_fbase == there.dli_fbase;
}

static void write_frame(struct line *l, size_t number, uintptr_t pc)
{
	struct symbol symbol;

	line_text(l, "  #");
	line_u64(l, number);
	line_char(l, ' ');
	line_address(l, (const void *)pc);
	if (!symbol_find(pc, &symbol)) {
		line_text(l, " ?\n");
		return;
	}
	if (symbol.function) {
		line_char(l, ' ');
		line_text(l, symbol.function);
	}
	line_text(l, " (");
	line_text(l, symbol.module);
	line_text(l, "+0x");
	line_hex(l, symbol.address);
	line_text(l, ")\n");
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
