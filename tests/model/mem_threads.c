/*
 * Memory with several threads: each takes objects, fills them, and leaves them in mailboxes that
 * all share; whoever finds one looks at it and frees it, so that most objects die on another thread
 * than they were born on. One of the threads has no cache. The grower runs.
 */
#include "model.h"

#include "mem/check.h"
#include "mem/mem.h"

#include <pthread.h>

#define THREADS    4u
#define BOXES      2048u
#define OPERATIONS 150000u

/* The head of an object: what the finder needs to look at the rest. */
struct letter {
	size_t bytes;
	unsigned char pattern;
};

static struct atomic_ptr boxes[BOXES];
static struct mem_tag tag = MEM_TAG("model.letters");

static void look_and_free(struct letter *l)
{
	const unsigned char *body = (const unsigned char *)(l + 1);
	size_t bytes = l->bytes - sizeof(*l);

	for (size_t i = 0; i < bytes; i += bytes / 256 + 1)
		MODEL_CHECK(body[i] == l->pattern);
	MODEL_CHECK(mem_size(l) >= l->bytes);
	mem_free(l);
}

static struct letter *letter_write(struct random *r)
{
	uint64_t bits = random_below(r, random_below(r, 16) == 0 ? 20 : 13);
	size_t bytes = sizeof(struct letter) + (size_t)random_below(r, (uint64_t)1 << bits);
	struct letter *l = random_below(r, 32) == 0
				   ? mem_buffer_alloc(MEM_SHAREABLE, bytes, 4096, &tag)
				   : mem_alloc(bytes, &tag);

	if (!l)
		return NULL;
	l->bytes = bytes;
	l->pattern = (unsigned char)random_u64(r);
	memset(l + 1, l->pattern, bytes - sizeof(*l));
	return l;
}

static void work(struct random *r)
{
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		struct letter *l = random_below(r, 2) == 0 ? letter_write(r) : NULL;

		/* acquire and release: the finder sees what was written */
		l = atomic_ptr_exchange(&boxes[random_below(r, BOXES)], l, ORDER_ACQ_REL);
		if (l)
			look_and_free(l);
	}
}

static void *thread_main(void *arg)
{
	uint64_t number = (uint64_t)(uintptr_t)arg;
	struct self_thread thread = {.name = "model"};
	struct self me;
	struct random r;

	random_init(&r, model_seed + number);
	if (number == 0) {
		work(&r);
		return NULL;
	}
	/* caches come and go while others work */
	for (int life = 0; life < 3; life++) {
		self_init(&me, &thread);
		self_set(&me);
		MODEL_CHECK(status_ok(mem_cache_attach(&me)));
		work(&r);
		mem_cache_detach(&me);
		self_set(NULL);
		self_fini(&me);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct mem_config config = MEM_CONFIG_DEFAULT;
	pthread_t threads[THREADS];
	struct random r;

	model_begin(argc, argv, &r);
	config.limit_bytes = (uint64_t)128 << 20;
	config.reserve_bytes = (uint64_t)1 << 30;
	config.give_back_ns = 1000000;
	MODEL_CHECK(status_ok(mem_start(&config)));
	for (uintptr_t i = 0; i < THREADS; i++)
		MODEL_CHECK(pthread_create(&threads[i], NULL, thread_main, (void *)i) == 0);
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < BOXES; i++) {
		struct letter *l = atomic_ptr_exchange(&boxes[i], NULL, ORDER_ACQUIRE);

		if (l)
			look_and_free(l);
	}
	MODEL_CHECK(mem_stop() == 0);
	return 0;
}
