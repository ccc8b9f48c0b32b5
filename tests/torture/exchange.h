/* exchange.h - where actors leave a pointer for any other: slots in static data, and lists in the heap that threads
 * push to and pop from by compare-and-exchange.
 *
 * No locks: a child that was forked while others were at it finds some slots taken for ever, and is content. */
#ifndef TORTURE_EXCHANGE_H
#define TORTURE_EXCHANGE_H

#include "actor.h"

/* Moves the pointer in *home to a free slot; false when the one that was tried is not free. */
bool exchange_give(test_random *random, const ticket *t, void *volatile *home);
/* Moves one to *home, which is empty; false when the slot that was tried holds none. */
bool exchange_take(test_random *random, ticket *t, void *volatile *home);

/* The same with lists; false when there are enough in it, or none. */
bool exchange_push(test_random *random, const ticket *t, void *volatile *home);
bool exchange_pop(test_random *random, ticket *t, void *volatile *home);

/* Looks at all that is left; no actor is at work. */
void exchange_check_all(void);

#endif
