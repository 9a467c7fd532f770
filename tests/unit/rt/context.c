/*
 * The switch itself, without a runtime around it. This and the other files here also run under
 * qemu-aarch64: see cross.py.
 */
#include "rt/context.h"

#include "base/os.h"

#include "unit.h"

#define STACK_BYTES (WITH_ASAN || WITH_TSAN ? 262144 : 65536)

struct coroutine {
	struct context context;
	struct context *back;
	void (*body)(struct coroutine *);
	void *stack;
	uint64_t value;
	uint64_t seen;
};

static void coroutine_main(void *arg)
{
	struct coroutine *c = arg;

	context_entered();
	c->body(c);
	context_switch_last(&c->context, c->back);
	abort();
}

static void coroutine_init(struct coroutine *c, struct context *back,
			   void (*body)(struct coroutine *))
{
	*c = (struct coroutine){.back = back, .body = body};
	assert_ok(os_map(STACK_BYTES, 4096, &c->stack));
	context_init(&c->context, c->stack, STACK_BYTES, 0, coroutine_main, c);
}

static void coroutine_fini(struct coroutine *c)
{
	context_fini(&c->context);
	assert_ok(os_unmap(c->stack, STACK_BYTES));
}

static void yield_to_back(struct coroutine *c)
{
	context_switch(&c->context, c->back);
}

static void count_to_ten(struct coroutine *c)
{
	for (uint64_t i = 1; i <= 10; i++) {
		c->value = i;
		yield_to_back(c);
	}
}

static void context_switch__back_and_forth(void **state)
{
	struct context native;
	struct coroutine c;

	(void)state;
	context_init_native(&native);
	coroutine_init(&c, &native, count_to_ten);
	for (uint64_t i = 1; i <= 10; i++) {
		context_switch(&native, &c.context);
		assert_int_equal(c.value, i);
	}
	context_switch(&native, &c.context); /* it ends */
	coroutine_fini(&c);
	context_fini(&native);
}

/* What the calling convention asks to keep, in more values than there are registers for. */
static NOINLINE uint64_t mix(uint64_t seed, void (*between)(void *), void *arg)
{
	uint64_t a = seed * 3, b = seed ^ 0x55, c = seed + 17, d = seed << 7, e = ~seed,
		 f = seed * seed;
	uint64_t g = seed >> 3, h = seed * 11;
	double p = (double)seed * 0.5, q = p + 1, r = p * q, s = q - r, t = p / 3, u = r + t,
	       v = s * t;
	double w = u - v;

	for (int i = 0; i < 50; i++) {
		between(arg);
		a += b;
		b ^= c;
		c += d;
		d ^= e;
		e += f;
		f ^= g;
		g += h;
		h ^= a;
		p += q * 1e-3;
		q += r * 1e-3;
		r += s * 1e-3;
		s += t * 1e-3;
		t += u * 1e-3;
		u += v * 1e-3;
		v += w * 1e-3;
		w += p * 1e-3;
	}
	return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ (uint64_t)(int64_t)(p + q + r + s + t + u + v + w);
}

static void between_nothing(void *arg)
{
	(void)arg;
}

static void between_yield(void *arg)
{
	yield_to_back(arg);
}

static void mix_in_coroutine(struct coroutine *c)
{
	c->seen = mix(c->value, between_yield, c);
	c->value = 0;
}

/* Interleaved computations come to what each comes to by itself. */
static void context_switch__keeps_the_registers(void **state)
{
	enum { COUNT = 5 };
	struct coroutine c[COUNT];
	struct context native;
	bool any = true;

	(void)state;
	context_init_native(&native);
	for (uint64_t i = 0; i < COUNT; i++) {
		coroutine_init(&c[i], &native, mix_in_coroutine);
		c[i].value = i * 1234567 + 1;
	}
	while (any) {
		any = false;
		for (int i = 0; i < COUNT; i++) {
			if (c[i].value == 0)
				continue;
			context_switch(&native, &c[i].context);
			any = true;
		}
	}
	for (uint64_t i = 0; i < COUNT; i++) {
		assert_int_equal(c[i].seen, mix(i * 1234567 + 1, between_nothing, NULL));
		coroutine_fini(&c[i]);
	}
	context_fini(&native);
}

static void note_alignment(struct coroutine *c)
{
	/* the convention: 16 bytes at every call, or vector instructions fault */
	char at[64] __attribute__((aligned(16)));

	c->value = (uintptr_t)__builtin_frame_address(0);
	c->seen = (uintptr_t)at;
	memset(at, 1, sizeof(at));
	/* variable arguments store vector registers with aligned moves */
	snprintf(at, sizeof(at), "%.3f %s", 1.5, "x");
	if (strcmp(at, "1.500 x") != 0)
		c->seen = 1;
}

static void context_init__stack_is_aligned_and_inside(void **state)
{
	(void)state;
	for (size_t offset = 0; offset < 1024; offset += 16) {
		struct context native;
		struct coroutine c;

		context_init_native(&native);
		coroutine_init(&c, &native, note_alignment);
		context_fini(&c.context);
		context_init(&c.context, c.stack, STACK_BYTES, offset, coroutine_main, &c);
		context_switch(&native, &c.context);
		assert_int_equal(c.value % 16, 0);
		assert_int_equal(c.seen % 16, 0);
#if !WITH_ASAN
		uintptr_t top = (uintptr_t)c.stack + STACK_BYTES - offset;

		assert_true(c.value < top && c.value > top - 512);
#endif
		coroutine_fini(&c);
		context_fini(&native);
	}
}

static void once(struct coroutine *c)
{
	c->value++;
}

static void twice(struct coroutine *c)
{
	c->value += 2;
}

static void context_reinit__runs_again(void **state)
{
	struct context native;
	struct coroutine c;

	(void)state;
	context_init_native(&native);
	coroutine_init(&c, &native, once);
	for (uint64_t i = 0; i < 100; i++) {
		c.body = i % 2 ? twice : once;
		context_switch(&native, &c.context);
		context_reinit(&c.context, c.stack, STACK_BYTES, i % 16 * 64, coroutine_main, &c);
	}
	assert_int_equal(c.value, 150);
	coroutine_fini(&c);
	context_fini(&native);
}

#define DEEP 64

struct chain {
	struct coroutine coroutines[DEEP];
	struct context native;
};

/* Each starts the next, on a stack of its own, and gets back from it. */
static void start_next(struct coroutine *c)
{
	struct coroutine *next = c + 1;

	if (c->value + 1 < DEEP) {
		next->value = c->value + 1;
		next->back = &c->context;
		context_switch(&c->context, &next->context);
		c->seen = next->seen + 1;
	}
}

static void context_switch__chain(void **state)
{
	static struct chain chain;

	(void)state;
	context_init_native(&chain.native);
	for (int i = 0; i < DEEP; i++)
		coroutine_init(&chain.coroutines[i], &chain.native, start_next);
	context_switch(&chain.native, &chain.coroutines[0].context);
	assert_int_equal(chain.coroutines[0].seen, DEEP - 1);
	for (int i = 0; i < DEEP; i++)
		coroutine_fini(&chain.coroutines[i]);
	context_fini(&chain.native);
}

static void *resume_elsewhere(void *arg)
{
	struct coroutine *c = arg;
	struct context native;

	context_init_native(&native);
	c->back = &native;
	context_switch(&native, &c->context);
	context_fini(&native);
	return NULL;
}

/* A computation may go on on another kernel thread than it began on. */
static void context_switch__moves_between_kernel_threads(void **state)
{
	struct context native;
	struct coroutine c;

	(void)state;
	context_init_native(&native);
	coroutine_init(&c, &native, count_to_ten);
	for (uint64_t i = 1; i <= 10; i++) {
		if (i % 2) {
			c.back = &native;
			context_switch(&native, &c.context);
		} else {
			pthread_t thread;

			assert_ok(os_thread_start(resume_elsewhere, &c, "elsewhere", &thread));
			os_thread_join(thread);
		}
		assert_int_equal(c.value, i);
	}
	c.back = &native;
	context_switch(&native, &c.context);
	coroutine_fini(&c);
	context_fini(&native);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context_switch__back_and_forth),
		cmocka_unit_test(context_switch__keeps_the_registers),
		cmocka_unit_test(context_init__stack_is_aligned_and_inside),
		cmocka_unit_test(context_reinit__runs_again),
		cmocka_unit_test(context_switch__chain),
		cmocka_unit_test(context_switch__moves_between_kernel_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
