/* pool.h - object pools: what is used again, and let go when it is not. See tricolor/pool.h for what they promise.
 *
 * A pool has a place for each thread that uses it: one object that only its thread touches, and a queue that others
 * steal from (pool/queue.h). They hang from an array by thread number. Everything is memory of the heap, watched and
 * marked as the program's is.
 *
 * LETTING GO. The first stop of every full collection turns the pools (tri_pools_turn): the arrays of the last time are
 * dropped, those in use become the victims, and threads begin new ones. Only pointers to arrays move, never objects:
 * a thread that is stopped in the middle of a call has its place in a register and goes on with it, though it is a
 * victim, or dropped, by then. So a call needs neither lock nor deferral (Go pins the goroutine); what it puts into a
 * dropped place is garbage, and not counted.
 *
 * A pool with a destructor may not lose objects so: its calls defer stops (careful), and what is dropped is condemned,
 * to be destroyed by the next thread of the program that comes (tri_pools_destroy).
 *
 * THE LIST of pools is what keeps those alive that hold something. A pool is on it from its first array on, and leaves
 * it in the turn that leaves it without any. Pushed to by compare-and-swap; taken from only in stops, in which nobody
 * that walks it is stopped (they defer stops). No lock anywhere, so a fork finds none taken. Follows sync/pool.go. */
#ifndef TRI_POOL_H
#define TRI_POOL_H

#include <tricolor/pool.h>

#include "pool/queue.h"

/* Two cache lines that no other place shares. The first two fields are tri_pool_place_ of tricolor/pool.h. */
typedef struct tri_pool_place {
  _Atomic(void *) own; /* an object. The owner's; others only read whether there is one. Relaxed */
  _Atomic(uint64_t)
      gets; /* the owner's figure; relaxed. Puts follow from it: what was put was got, is held, or dropped */
  tri_queue queue;
} __attribute__((aligned(128))) tri_pool_place;

enum {
  TRI_PLACES = 64,       /* in the array itself, */
  TRI_MORE_PLACES = 256, /* in each of the further ones, */
  TRI_MORE_ARRAYS = 63,  /* of which there may be so many. Threads with higher numbers have no place */
};

/* Arrays are never copied, so that no place is lost by their growing. Each place is set by its thread, each further
 * array by compare-and-swap; release, acquire. */
typedef struct tri_more_places {
  _Atomic(tri_pool_place *) at[TRI_MORE_PLACES];
} tri_more_places;

typedef struct tri_pool_places {
  _Atomic(tri_pool_place *) at[TRI_PLACES];
  _Atomic(tri_more_places *) more[TRI_MORE_ARRAYS];
  _Atomic(bool) searched;       /* victims: all were found empty. Relaxed: it only spares looking again */
  struct tri_pool_places *next; /* condemned, too */
} tri_pool_places;

struct tri_pool {
  /* What the short ways of tricolor/pool.h look into: places, or tri_pool_no_places where they are not to: in careful
   * pools, and until a long way has come by. It may lag behind and show victims, which are as good. Release,
   * acquire. */
  _Atomic(const tri_pool_places *) quick;
  _Atomic(tri_pool_places *) places; /* compare-and-swap: acq_rel; acquire. NULL again in stops alone */
  bool careful;                      /* has a destructor */
  _Atomic(bool) listed;
  _Atomic(tri_pool_places *) victims;   /* set in stops; acquire and release are theirs */
  _Atomic(tri_pool_places *) condemned; /* added to in stops; taken by exchange, acquire */
  struct tri_pool *next;                /* on the list */
  void *(*make)(void *);
  void (*destroy)(void *, void *);
  void *context;
  size_t max;             /* SIZE_MAX: no limit */
  _Atomic(size_t) queued; /* objects in queues, as far as they are counted: with a limit */
  /* Relaxed. The calls of tri_pool_get are those without a place, or of one that is gone; dropped in calls, and all. */
  _Atomic(uint64_t) misses, dropped, gets;
};

extern const tri_pool_places tri_pool_no_places;

/* The long ways: all of tri_pool_get, but for make, which the caller calls when this is NULL; and all of
 * tri_pool_put. */
void *tri_pool_find(tri_pool *pool);
void tri_pool_add(tri_pool *pool, void *object);

/* NULL with errno ENOMEM. */
tri_pool *tri_pool_create(void);

/* Adds the figures of all places. */
void tri_pool_count(const tri_pool *pool, tri_pool_stats *stats);

/* Destroys what is condemned. Calls functions of the program: no lock is held and stops are not deferred. */
void tri_pools_destroy(void);

#endif
