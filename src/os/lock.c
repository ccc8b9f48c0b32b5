/* lock.c - the slow paths of lock.h. */
#include "os/lock.h"

enum {
  SPINS = 60,
  PATIENCE_NS = 1000 * 1000, /* for a lock of the heap's; for the collector's it is to be woken in vain once */
  GIVE_WAY_NS = 1000 * 1000, /* at most: who is hungry may have been stopped, or be gone by a jump from a handler */
};

static bool is_collectors(const tri_lock *lock) { return lock->rank <= TRI_RANK_REGISTRY; }

static bool take_contended(tri_lock *lock) {
  return atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) == 0;
}

static void sleep_until_taken(tri_lock *lock) {
  uint64_t hungry_at = tri_os_now() + (is_collectors(lock) ? 0 : PATIENCE_NS);
  bool hungry = false;
  while (!take_contended(lock)) {
    tri_os_wait(&lock->state, 2, 0);
    if (hungry || tri_os_now() < hungry_at) continue;
    if (take_contended(lock)) return;
    atomic_fetch_add_explicit(&lock->hungry, 1, memory_order_relaxed);
    hungry = true;
  }
  if (!hungry) return;
  atomic_fetch_sub_explicit(&lock->hungry, 1, memory_order_relaxed);
  tri_os_wake(&lock->hungry, INT32_MAX);
}

void tri_lock_wait(tri_lock *lock) {
  uint32_t hungry = atomic_load_explicit(&lock->hungry, memory_order_relaxed);
  if (hungry) tri_os_wait(&lock->hungry, hungry, GIVE_WAY_NS);
  for (int i = 0; i < SPINS; i++) {
    uint32_t free = 0;
    if (atomic_compare_exchange_weak_explicit(&lock->state, &free, 1, memory_order_acquire, memory_order_relaxed))
      return;
    tri_os_relax();
  }
  /* From here on the holder must wake somebody, so the lock is taken as contended. */
  sleep_until_taken(lock);
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
