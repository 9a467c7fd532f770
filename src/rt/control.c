/*
 * The control thread: placeholder until the watchdog exists.
 */
#include "rt/rt_int.h"

struct status control_start(struct rt *rt)
{
	(void)rt;
	return OK;
}

void control_stop(struct rt *rt)
{
	(void)rt;
}
