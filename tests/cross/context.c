/*
 * The machine-dependent part of the runtime on another machine: switching stacks, and reading the
 * one thread-local variable. Built by a cross compiler and run by qemu's user emulation.
 */
#include "rt/context.h"
#include "base/assert.h"
#include "base/self.h"

#include <stdio.h>
#include <stdlib.h>

_Thread_local struct self *self_current __attribute__((tls_model("initial-exec")));

void assert_failed(const char *file, int line, const char *condition)
{
	printf("%s:%d: %s\n", file, line, condition);
	abort();
}

struct self *self_foreign(void)
{
	return NULL;
}

#define ROUNDS 1000

static struct context native;
static struct context other;
static uint64_t seen;

/* A value that must be in a register over a switch: the compiler may not know what it is. */
static double unknown(double value)
{
	__asm__("" : "+w"(value));
	return value;
}

/* Keeps a value in each floating-point register that a call preserves, over every switch. */
static void entry(void *arg)
{
	double a = unknown(0), b = unknown(1), c = unknown(2), d = unknown(3);
	double e = unknown(4), f = unknown(5), g = unknown(6), h = unknown(7);
	uint64_t r = 8, s = 9, t = 10, u = 11;

	context_entered();
	ASSERT(arg == &seen);
	for (;;) {
		a += 1, b += 1, c += 1, d += 1, e += 1, f += 1, g += 1, h += 1;
		r += 1, s += 1, t += 1, u += 1;
		seen++;
		context_switch(&other, &native);
		double n = (double)seen;
		ASSERT(a == n && b == n + 1 && c == n + 2 && d == n + 3);
		ASSERT(e == n + 4 && f == n + 5 && g == n + 6 && h == n + 7);
		ASSERT(r == seen + 8 && s == seen + 9 && t == seen + 10 && u == seen + 11);
	}
}

static void switches_keep_registers(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	double mine = unknown(0.25), more = unknown(0.5), most = unknown(0.75);

	context_init_native(&native);
	context_init(&other, stack, sizeof(stack), 64, entry, &seen);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		mine += 1, more += 1, most += 1;
		context_switch(&native, &other);
		ASSERT(seen == i && mine == 0.25 + (double)i);
		ASSERT(more == 0.5 + (double)i && most == 0.75 + (double)i);
	}
	/* an ended computation's context starts anew */
	seen = 0;
	context_reinit(&other, stack, sizeof(stack), 0, entry, &seen);
	context_switch(&native, &other);
	ASSERT(seen == 1);
	context_fini(&other);
}

static void self_is_read(void)
{
	struct self s = {0};

	ASSERT(self_or_null() == NULL);
	self_current = &s;
	ASSERT(self_or_null() == &s && self() == &s);
	self_current = NULL;
}

int main(void)
{
	printf("1..2\n");
	switches_keep_registers();
	printf("ok 1 - context_switch__keeps_registers\n");
	self_is_read();
	printf("ok 2 - self_or_null__reads_the_variable\n");
	return 0;
}
