#include "rt/arbiter_wire.h"

#include "base/diag.h"

#include <string.h>

uint32_t arbiter_wire_bytes(uint16_t type)
{
	switch (type) {
	case ARBITER_HELLO: return sizeof(struct arbiter_wire_hello);
	case ARBITER_REQUEST: return sizeof(struct arbiter_wire_request);
	case ARBITER_PARK: return sizeof(struct arbiter_wire_park);
	case ARBITER_RETURN: return sizeof(struct arbiter_wire_return);
	case ARBITER_WELCOME: return sizeof(struct arbiter_wire_welcome);
	case ARBITER_GRANTED:
	case ARBITER_RELEASE:
	case ARBITER_REVOKED: return sizeof(struct arbiter_wire_event);
	case ARBITER_REFUSED: return sizeof(struct arbiter_wire_refused);
	default: return 0;
	}
}

struct arbiter_wire_head arbiter_wire_head(enum arbiter_wire_type type)
{
	return (struct arbiter_wire_head){
		.magic = ARBITER_WIRE_MAGIC,
		.version = type == ARBITER_HELLO ? ARBITER_WIRE_VERSION_MIN : ARBITER_WIRE_VERSION,
		.type = (uint16_t)type,
		.bytes = arbiter_wire_bytes((uint16_t)type),
	};
}

static bool from_client(uint16_t type)
{
	return type < ARBITER_WELCOME;
}

static struct status head_check(const struct arbiter_wire_head *head, size_t bytes,
				enum arbiter_side from)
{
	if (bytes < sizeof(*head))
		return fail(STATUS_CORRUPT, "arbiter: a message of %zu bytes, the least is %zu",
			    bytes, sizeof(*head));
	if (head->magic != ARBITER_WIRE_MAGIC)
		return fail(STATUS_CORRUPT, "arbiter: a message begins with %08x instead of %08x",
			    head->magic, ARBITER_WIRE_MAGIC);
	if (head->version < ARBITER_WIRE_VERSION_MIN || head->version > ARBITER_WIRE_VERSION)
		return fail(STATUS_CORRUPT, "arbiter: version %u, spoken are %u to %u",
			    head->version, ARBITER_WIRE_VERSION_MIN, ARBITER_WIRE_VERSION);

	uint32_t due = arbiter_wire_bytes(head->type);

	if (due == 0 || from_client(head->type) != (from == ARBITER_FROM_CLIENT))
		return fail(STATUS_CORRUPT, "arbiter: no message of type %u comes from that side",
			    head->type);
	if (bytes != due || head->bytes != due)
		return fail(STATUS_CORRUPT,
			    "arbiter: a message of type %u has %zu bytes and says %u, it has %u",
			    head->type, bytes, head->bytes, due);
	if (head->reserved != 0)
		return fail(STATUS_CORRUPT, "arbiter: a reserved field is %u instead of 0",
			    head->reserved);
	return OK;
}

static struct status slot_check(uint32_t slot)
{
	if (slot >= ARBITER_SLOTS_MAX)
		return fail(STATUS_CORRUPT, "arbiter: slot %u, the last is %u", slot,
			    ARBITER_SLOTS_MAX - 1);
	return OK;
}

static struct status text_check(const char *text, size_t bytes)
{
	if (memchr(text, 0, bytes) == NULL)
		return fail(STATUS_CORRUPT, "arbiter: a text of %zu bytes has no end", bytes);
	return OK;
}

static struct status hello_check(const struct arbiter_wire_hello *hello)
{
	if (hello->slots == 0 || hello->slots > ARBITER_SLOTS_MAX)
		return fail(STATUS_CORRUPT, "arbiter: %u slots asked for, 1 to %u can be had",
			    hello->slots, ARBITER_SLOTS_MAX);
	if (hello->version_min > hello->version_max)
		return fail(STATUS_CORRUPT, "arbiter: versions %u to %u are no range",
			    hello->version_min, hello->version_max);
	return text_check(hello->name, sizeof(hello->name));
}

static struct status welcome_check(const struct arbiter_wire_welcome *welcome)
{
	if (welcome->slots == 0 || welcome->slots > ARBITER_SLOTS_MAX)
		return fail(STATUS_CORRUPT, "arbiter: %u slots, 1 to %u can be", welcome->slots,
			    ARBITER_SLOTS_MAX);
	if (welcome->page_bytes != ARBITER_PAGE_BYTES)
		return fail(STATUS_CORRUPT, "arbiter: a page of %u bytes instead of %u",
			    welcome->page_bytes, ARBITER_PAGE_BYTES);
	return OK;
}

struct status arbiter_wire_check(const union arbiter_wire_message *message, size_t bytes,
				 enum arbiter_side from)
{
	TRY(head_check(&message->head, bytes, from));
	switch (message->head.type) {
	case ARBITER_HELLO: return hello_check(&message->hello);
	case ARBITER_PARK: return slot_check(message->park.slot);
	case ARBITER_RETURN: return slot_check(message->returned.slot);
	case ARBITER_WELCOME: return welcome_check(&message->welcome);
	case ARBITER_GRANTED:
	case ARBITER_RELEASE:
	case ARBITER_REVOKED: return slot_check(message->event.slot);
	case ARBITER_REFUSED:
		return text_check(message->refused.text, sizeof(message->refused.text));
	default: return OK; /* REQUEST: every value has a meaning */
	}
}
