/* work.c - see work.h. */
#include "gc/work.h"

#include "os/lock.h"

enum { SPINS = 200 };

static struct {
  tri_lock lock;
  tri_work_buffer *full; /* shared work */
  tri_work_buffer *unused;
  size_t made, limit;
  int markers;          /* taking part */
  _Atomic(int) waiting; /* of them; written under the lock, read as a hint */
  _Atomic(bool) over;   /* written under the lock; seq_cst against the coordinator's wait for helpers (mark.c) */
  _Atomic(uint32_t)
      change; /* futex word: bumped when work is shared or the mark ends. Release; pairs with the waiters' acquire */
} work TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_WORK), .over = true};

void tri_work_limit(size_t buffers) { work.limit = buffers; }

tri_work_buffer *tri_work_new(void) {
  tri_lock_take(&work.lock);
  tri_work_buffer *buffer = work.unused;
  bool may_make = !work.limit || work.made < work.limit;
  if (buffer)
    work.unused = buffer->next;
  else
    work.made += may_make;
  tri_lock_drop(&work.lock);
  if (!buffer && may_make) buffer = tri_meta_alloc(TRI_META_GC, sizeof *buffer);
  if (buffer) {
    buffer->next = NULL;
    buffer->count = 0;
  }
  return buffer;
}

void tri_work_recycle(tri_work_buffer *buffer) {
  tri_lock_take(&work.lock);
  buffer->next = work.unused;
  work.unused = buffer;
  tri_lock_drop(&work.lock);
}

static void announce(int count) {
  atomic_fetch_add_explicit(&work.change, 1, memory_order_release);
  tri_os_wake(&work.change, count);
}

void tri_work_begin(void) {
  tri_lock_take(&work.lock);
  TRI_ASSERT(work.over && !work.full);
  atomic_store_explicit(&work.over, false, memory_order_seq_cst);
  work.markers = 1;
  atomic_store_explicit(&work.waiting, 0, memory_order_relaxed);
  tri_lock_drop(&work.lock);
}

bool tri_work_is_over(void) { return atomic_load_explicit(&work.over, memory_order_seq_cst); }

bool tri_work_join(void) {
  tri_lock_take(&work.lock);
  bool joined = !work.over;
  if (joined) work.markers++;
  tri_lock_drop(&work.lock);
  return joined;
}

void tri_work_share(tri_work_buffer *buffer) {
  tri_lock_take(&work.lock);
  buffer->next = work.full;
  work.full = buffer;
  bool wanted = atomic_load_explicit(&work.waiting, memory_order_relaxed) > 0;
  tri_lock_drop(&work.lock);
  if (wanted) announce(1);
}

bool tri_work_is_wanted(void) { return atomic_load_explicit(&work.waiting, memory_order_relaxed) > 0; }

static tri_work_buffer *pop_full(void) {
  tri_work_buffer *buffer = work.full;
  if (buffer) work.full = buffer->next;
  return buffer;
}

static void wait_for_change(uint32_t seen) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(&work.change, memory_order_acquire) != seen) return;
    tri_os_relax();
  }
  tri_os_wait(&work.change, seen, 0);
}

tri_work_buffer *tri_work_take(void) {
  tri_lock_take(&work.lock);
  tri_work_buffer *buffer;
  while (!(buffer = pop_full()) && !work.over) {
    int waiting = atomic_load_explicit(&work.waiting, memory_order_relaxed) + 1;
    atomic_store_explicit(&work.waiting, waiting, memory_order_relaxed);
    if (waiting == work.markers) {
      atomic_store_explicit(&work.over, true, memory_order_seq_cst);
      announce(INT32_MAX);
      break;
    }
    uint32_t seen = atomic_load_explicit(&work.change, memory_order_relaxed);
    tri_lock_drop(&work.lock);
    wait_for_change(seen);
    tri_lock_take(&work.lock);
    if (!work.over) {
      waiting = atomic_load_explicit(&work.waiting, memory_order_relaxed) - 1;
      atomic_store_explicit(&work.waiting, waiting, memory_order_relaxed);
    }
  }
  tri_lock_drop(&work.lock);
  return buffer;
}
