/* queue.h - a thread's list of objects in a pool: its owner puts and takes at one end, others take at the other.
 *
 * Rings of slots, each twice as large as the one before, until there are MAX_RING. The owner's end is in the newest
 * ring, the others' in the oldest that is not empty. Head and tail of a ring are one word, so that who takes the last
 * object wins it by a compare-and-swap:
 *
 *   push  (owner)  fills the slot at head, then moves head on (release; pairs with the acquire of who takes)
 *   take  (owner)  moves head back, then empties the slot
 *   steal (any)    moves tail on, then empties the slot (release; pairs with the acquire in push: a slot that is not
 *                  empty yet makes the ring full)
 *
 * Rings are objects of the heap and linked only towards newer and older ones. A ring that a thief is still looking at
 * is kept by his registers, so nothing is used again too early, and no counter against that is needed. No lock. Follows
 * sync/poolqueue.go; tests/spin/queue.pml is a model of
 * one ring. */
#ifndef TRI_QUEUE_H
#define TRI_QUEUE_H

#include <stdatomic.h>

#include "base/base.h"

typedef struct tri_ring {
  _Atomic(uint64_t) ends;           /* head in the upper half, tail in the lower; both only grow, and wrap */
  _Atomic(struct tri_ring *) newer; /* release when it is linked, acquire */
  _Atomic(struct tri_ring *) older; /* thieves cut it off; relaxed: the owner finds an empty ring or none */
  uint32_t size;                    /* a power of two */
  _Atomic(void *) slots[];
} tri_ring;

typedef struct tri_queue {
  tri_ring *head;           /* the owner's */
  _Atomic(tri_ring *) tail; /* NULL: there was never a ring. Release when set, acquire */
} tri_queue;

/* The next ring that the queue needs; NULL when memory is out. Allocates: stops are not deferred. */
tri_ring *tri_ring_new(const tri_queue *queue);

/* Owner only. False: the queue is full, and room, if not NULL, was of no use either. *room is taken, and NULL then,
 * when it was needed. */
bool tri_queue_push(tri_queue *queue, void *object, tri_ring **room);
void *tri_queue_take(tri_queue *queue);

/* Any thread. NULL when it found nothing. */
void *tri_queue_steal(tri_queue *queue);

/* Objects in it; a guess while others change it. */
size_t tri_queue_count(const tri_queue *queue);

/* Whether the object is in it; as tri_queue_count. */
bool tri_queue_has(const tri_queue *queue, const void *object);

#endif
