#include "base/random.h"

#include <string.h>

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void random_init(struct random *r, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->s); i++)
		r->s[i] = splitmix64(&seed);
}

void random_fork(struct random *from, struct random *ret_child)
{
	random_init(ret_child, random_u64(from));
}

void random_bytes(struct random *r, void *to, size_t count)
{
	char *at = to;

	while (count > 0) {
		uint64_t v = random_u64(r);
		size_t part = count < sizeof(v) ? count : sizeof(v);

		memcpy(at, &v, part);
		at += part;
		count -= part;
	}
}
