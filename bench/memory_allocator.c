#include "base/diag.h"
#include "bench/memory_int.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

#define PEER_LIBRARY "libmimalloc.so.2"

struct mem_tag memory_tag = MEM_TAG("bench.memory");

/* POSIX lets a data pointer from dlsym() be read as one to a function; C needs the detour. */
static bool find(void *library, const char *name, void *ret_function)
{
	void *symbol = dlsym(library, name);

	memcpy(ret_function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

struct status memory_peer(struct memory_allocator *ret)
{
	/* local: its malloc() must not become that of the process */
	void *library = dlopen(PEER_LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return fail(STATUS_NOT_FOUND, "%s cannot be loaded (package libmimalloc2.0): %s",
			    PEER_LIBRARY, dlerror());
	if (!find(library, "mi_malloc", &ret->alloc) || !find(library, "mi_free", &ret->release) ||
	    !find(library, "mi_usable_size", &ret->usable) ||
	    !find(library, "mi_collect", &ret->collect))
		return fail(STATUS_NOT_FOUND, "%s lacks a function of mimalloc 2", PEER_LIBRARY);
	return OK;
}

struct status memory_guest_enter(struct memory_guest *g)
{
	struct status s;

	memset(g, 0, sizeof(*g));
	g->thread.name = "bench";
	self_init(&g->self, &g->thread);
	s = mem_cache_attach(&g->self);
	if (!status_ok(s)) {
		self_fini(&g->self);
		return s;
	}
	self_set(&g->self);
	return OK;
}

void memory_guest_leave(struct memory_guest *g)
{
	self_set(NULL);
	mem_cache_detach(&g->self);
	self_fini(&g->self);
}

size_t memory_size_drawn(struct random *r)
{
	/* 16 times 2 to the power of 0 to 12 */
	return (size_t)(16 * exp2(12 * random_double(r)));
}
