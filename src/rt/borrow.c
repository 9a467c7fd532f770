#include "rt/borrow.h"

#include "base/trace.h"
#include "rt/arbiter_client.h"

struct status borrow_start(struct rt *rt)
{
	const char *path = rt->config.arbiter;

	if (!path)
		return OK;

	struct arbiter_client_config config = {
		.path = path[0] ? path : NULL,
		.slots = rt->core_count,
	};

	TRY(arbiter_connect(&config, &rt->arbiter));
	borrow_request(rt, rt->config.elastic ? 1 : rt->core_count);
	return OK;
}

void borrow_stop(struct rt *rt)
{
	if (!rt->arbiter)
		return;
	arbiter_client_stop(rt->arbiter);
	arbiter_disconnect(rt->arbiter);
	rt->arbiter = NULL;
}

uint32_t borrow_cores_at_start(const struct rt_config *config)
{
	return config->arbiter ? 1 : config->cores;
}

static void kick_all(struct rt *rt)
{
	for (uint32_t i = 0; i < rt->core_count; i++)
		core_kick(&rt->cores[i]);
}

/* The processor, if there was one, goes back; the kernel thread is offered for another. */
static void offer(struct rt_core *c)
{
	if (c->borrow == BORROW_GRANTED) {
		TRACE("rt: core %u gives its processor back", c->number);
		policy_core_remove(c->rt, c);
	}
	c->borrow = arbiter_core_offer(c->rt->arbiter, c->number) ? BORROW_OFFERED : BORROW_NONE;
	kick_all(c->rt); /* without an arbiter, another core may have been granted what we left */
}

static void claim(struct rt_core *c)
{
	struct arbiter_grant grant;

	if (!arbiter_core_claim(c->rt->arbiter, c->number, &grant))
		return;
	TRACE("rt: core %u is granted processor %u", c->number, grant.cpu);
	c->borrow = BORROW_GRANTED;
	policy_core_add(c->rt, c);
}

void borrow_look(struct rt_core *c)
{
	if (c->borrow == BORROW_NONE ||
	    (c->borrow == BORROW_GRANTED &&
	     arbiter_release_wanted(arbiter_slot(c->rt->arbiter, c->number))))
		offer(c);
	if (c->borrow == BORROW_OFFERED)
		claim(c);
}

void borrow_request(struct rt *rt, uint32_t cores)
{
	uint32_t wanted[ARBITER_PRIORITIES] = {0};

	wanted[rt->config.priority] = cores;
	arbiter_request(rt->arbiter, wanted);
	kick_all(rt);
}

void borrow_wait(struct rt *rt, uint64_t deadline)
{
	if (arbiter_client_wait(rt->arbiter, deadline))
		kick_all(rt);
}
