/* lock.h - the library's mutual exclusion: a futex lock with a rank.
 *
 * Follows Drepper, "Futexes Are Tricky" (mutex 2). Who drops it and takes it again at once would be faster than
 * whoever it wakes, each time; so those that came too late go first (as Go's mutex does when it is starving). Locks are
 * taken in ascending rank only; assertion builds check it with a thread-local set of held ranks, so the order below is
 * data, not folklore (as runtime/lockrank.go).
 *
 * Nobody is ever stopped inside a lock. Those up to TRI_RANK_REGISTRY are the collector's: a stop needs the first and
 * the last of them, and keeps the sweeper out by the second. So their holders are not stopped; but who waits for one
 * must not defer stops, unless he holds TRI_RANK_CYCLE: its holder may be about to stop him. The others are the heap's:
 * a thread of the program holds one only while it defers stops (heap/cache.h) or holds TRI_RANK_REGISTRY. */
#ifndef TRI_OS_LOCK_H
#define TRI_OS_LOCK_H

#include "os/os.h"

typedef enum tri_lock_rank {
  TRI_RANK_CYCLE,    /* one collection at a time */
  TRI_RANK_SWEEP,    /* the background sweeper's and the collector's turn at the sweep lists */
  TRI_RANK_REGISTRY, /* the list of threads */
  TRI_RANK_ROOTS,    /* registered root ranges */
  TRI_RANK_LAYOUT,   /* pointer maps */
  TRI_RANK_CENTRAL,  /* one per (size class, layout); never two at once */
  TRI_RANK_PAGES,    /* the page heap and the arena's growth */
  TRI_RANK_META,     /* metadata regions */
  TRI_RANK_WORK,     /* the markers' shared buffers */
} tri_lock_rank;

typedef struct tri_lock {
  _Atomic(uint32_t) state; /* 0 free, 1 held, 2 held with waiters */
  uint32_t rank;
  _Atomic(uint32_t) hungry; /* those that were woken and came too late: who comes now lets them go first. Relaxed */
} tri_lock;

#define TRI_LOCK_INIT(lock_rank)                                                                                       \
  { .state = 0, .rank = (lock_rank) }

/* Whether this thread may hold a lock of the heap's now: it is none of the program's, or defers stops. Asked in
 * assertion builds for every rank above TRI_RANK_REGISTRY (whose holder nobody stops). Set by the gc layer. */
extern bool (*tri_lock_may_hold)(void);

void tri_lock_wait(tri_lock *lock);
void tri_lock_wake(tri_lock *lock);
void tri_lock_check_order(const tri_lock *lock, bool taking);
/* Whether this thread holds any lock. For assertions: only builds with these keep account. */
bool tri_lock_holds_any(void);

#ifdef TRI_ASSERTIONS
#define TRI_LOCK_CHECK(lock, taking) tri_lock_check_order(lock, taking)
#else
#define TRI_LOCK_CHECK(lock, taking) ((void)0)
#endif

/* Acquire; pairs with the release in tri_lock_drop. */
TRI_INLINE void tri_lock_take(tri_lock *lock) {
  TRI_LOCK_CHECK(lock, true);
  uint32_t free = 0;
  if (tri_unlikely(
          atomic_load_explicit(&lock->hungry, memory_order_relaxed) ||
          !atomic_compare_exchange_strong_explicit(&lock->state, &free, 1, memory_order_acquire, memory_order_relaxed)))
    tri_lock_wait(lock);
}

TRI_INLINE void tri_lock_drop(tri_lock *lock) {
  TRI_LOCK_CHECK(lock, false);
  if (tri_unlikely(atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)) tri_lock_wake(lock);
}

TRI_INLINE bool tri_lock_is_held(const tri_lock *lock) {
  return atomic_load_explicit(&lock->state, memory_order_relaxed) != 0;
}

/* In the child of a fork, where the calling thread is the only one and holds the lock or does not. Relaxed: see
 * there. */
TRI_INLINE void tri_lock_after_fork_child(tri_lock *lock, bool held) {
  if (!held) atomic_store_explicit(&lock->state, 0, memory_order_relaxed);
  atomic_store_explicit(&lock->hungry, 0, memory_order_relaxed);
}
TRI_INLINE void tri_lock_abandon(tri_lock *lock) { tri_lock_after_fork_child(lock, false); }

#endif
