/* lock.c - the slow paths of lock.h. */
#include "os/lock.h"

enum { SPINS = 60 };

void tri_lock_wait(tri_lock *lock) {
  for (int i = 0; i < SPINS; i++) {
    uint32_t free = 0;
    if (atomic_compare_exchange_weak_explicit(&lock->state, &free, 1, memory_order_acquire, memory_order_relaxed))
      return;
    tri_os_relax();
  }
  /* From here on the holder must wake somebody, so the lock is taken as contended. */
  while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0) tri_os_wait(&lock->state, 2, 0);
}

void tri_lock_wake(tri_lock *lock) { tri_os_wake(&lock->state, 1); }

/* Ranks held by this thread, one bit each. Initial-exec TLS: no allocation on first use. */
static _Thread_local uint32_t ranks_held;
bool (*tri_lock_may_hold)(void) TRI_OWN_DATA;

bool tri_lock_holds_any(void) { return ranks_held != 0; }

void tri_lock_check_order(const tri_lock *lock, bool taking) {
  uint32_t bit = 1u << lock->rank;
  if (!taking) {
    TRI_ASSERT(ranks_held & bit);
    ranks_held &= ~bit;
    return;
  }
  if (ranks_held >= bit)
    tri_fatal("lock order: rank %u taken while ranks %x are held", (unsigned)lock->rank, (unsigned)ranks_held);
  bool stoppable = lock->rank > TRI_RANK_REGISTRY && !(ranks_held & 1u << TRI_RANK_REGISTRY);
  if (stoppable && tri_lock_may_hold && !tri_lock_may_hold())
    tri_fatal("lock rank %u taken by a thread that may be stopped holding it", (unsigned)lock->rank);
  ranks_held |= bit;
}
