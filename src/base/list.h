/*
 * Intrusive lists: the links live in the objects, so that nothing is allocated and nothing fails.
 *
 * struct list is circular and doubly linked, with a head that is itself a link: insertion and
 * removal know no special case. struct queue is singly linked, first in first out.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* A head becomes an empty list; an object's link becomes "in no list". */
static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

/* Whether the head has no objects; for an object's link: whether it is in no list. */
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Puts `l`, which must be in no list, between two neighbours. */
static inline void list_insert_between(struct list *l, struct list *prev, struct list *next)
{
	l->prev = prev;
	l->next = next;
	prev->next = l;
	next->prev = l;
}

/* At the front. `l` must be in no list. */
static inline void list_push(struct list *head, struct list *l)
{
	list_insert_between(l, head, head->next);
}

/* At the end. `l` must be in no list. */
static inline void list_append(struct list *head, struct list *l)
{
	list_insert_between(l, head->prev, head);
}

/* Takes `l` out of its list, if it is in one; afterwards it is in none. */
static inline void list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* Takes the first link out and returns it, or NULL from an empty list. */
static inline struct list *list_pop(struct list *head)
{
	struct list *first = head->next;

	if (first == head)
		return NULL;
	list_remove(first);
	return first;
}

/* The object at the front, NULL if there is none. */
#define LIST_FIRST(head, type, member)                                                             \
	(list_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))

#define list_for_each(l, head) for (struct list *l = (head)->next; l != (head); l = l->next)

/* The same; the body may remove `l`. */
#define list_for_each_safe(l, head)                                                                \
	for (struct list *l = (head)->next, *l##_next = l->next; l != (head);                      \
	     l = l##_next, l##_next = l->next)

struct queue_link {
	struct queue_link *next;
};

struct queue {
	struct queue_link *first;
	struct queue_link *last; /* undefined while first is NULL */
};

/* Whether nothing is queued. */
static inline bool queue_empty(const struct queue *q)
{
	return q->first == NULL;
}

/* At the end. `l` must be in no queue. */
static inline void queue_append(struct queue *q, struct queue_link *l)
{
	l->next = NULL;
	if (q->first)
		q->last->next = l;
	else
		q->first = l;
	q->last = l;
}

/* The oldest link, taken out; NULL if the queue is empty. */
static inline struct queue_link *queue_pop(struct queue *q)
{
	struct queue_link *l = q->first;

	if (l)
		q->first = l->next;
	return l;
}

/* Takes `l` out wherever it stands, in O(length). False if it is not in the queue. */
static inline bool queue_remove(struct queue *q, const struct queue_link *l)
{
	struct queue_link *before = NULL;

	for (struct queue_link *at = q->first; at; before = at, at = at->next) {
		if (at != l)
			continue;
		if (before)
			before->next = at->next;
		else
			q->first = at->next;
		if (q->last == at)
			q->last = before;
		return true;
	}
	return false;
}
