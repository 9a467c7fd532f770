/* The first check that the arbiter makes of every packet of every client. */
#include "fuzz.h"

#include "rt/arbiter_wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	union arbiter_wire_message message;

	/* as recv() does: the buffer holds what came before, the length says how much is new */
	memset(&message, 0xa5, sizeof(message));
	memcpy(&message, data, bytes < sizeof(message) ? bytes : sizeof(message));
	for (int side = ARBITER_FROM_CLIENT; side <= ARBITER_FROM_ARBITER; side++) {
		struct status status = arbiter_wire_check(&message, bytes, (enum arbiter_side)side);

		if (status_ok(status) && arbiter_wire_bytes(message.head.type) != bytes)
			__builtin_trap();
	}
	return 0;
}
