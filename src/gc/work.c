/* work.c - see work.h. */
#include "gc/work.h"

#include "os/lock.h"

enum { SPINS = 200 };

enum { OVER = 1 << 20 }; /* in attention */

static struct {
  tri_lock lock;
  tri_work_buffer *full; /* shared work */
  tri_work_buffer *unused;
  size_t made, limit;
  uint32_t turn;
  int markers;            /* taking part */
  int waiting;            /* of them */
  _Atomic(int) attention; /* waiting, plus OVER when the session is: written under the lock, relaxed, read as a hint */
  _Atomic(bool) over; /* written under the lock; seq_cst against those who wait for the markers to be gone (mark.c) */
  /* futex word: bumped when work is shared or the session ends. Release; pairs with the waiters' acquire */
  _Atomic(uint32_t) change;
} work TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_WORK), .over = true, .attention = OVER};

void tri_work_limit(size_t buffers) { work.limit = buffers; }

/* Nobody was changing anything: who held the lock was looking. */
void tri_work_after_fork_child(void) { tri_lock_abandon(&work.lock); }

/* The lists may be half changed: what is on them is lost. */
void tri_work_mend(void) {
  tri_lock_abandon(&work.lock);
  work.full = work.unused = NULL;
  work.markers = work.waiting = 0;
  work.made = 0;
  atomic_store_explicit(&work.over, true, memory_order_relaxed);
  atomic_store_explicit(&work.attention, OVER, memory_order_relaxed);
}

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

/* ---- sessions; what ends in _locked has the lock ---- */

static void set_waiting_locked(int waiting) {
  work.waiting = waiting;
  atomic_store_explicit(&work.attention, waiting + (work.over ? OVER : 0), memory_order_relaxed);
}

static void set_over_locked(bool over) {
  atomic_store_explicit(&work.over, over, memory_order_seq_cst);
  set_waiting_locked(work.waiting);
  if (over) announce(INT32_MAX);
}

uint32_t tri_work_take_turn(void) {
  tri_lock_take(&work.lock);
  if (++work.turn == 0) work.turn = 1;
  uint32_t turn = work.turn;
  if (!work.over) set_over_locked(true);
  tri_lock_drop(&work.lock);
  return turn;
}

bool tri_work_begin(uint32_t turn) {
  tri_lock_take(&work.lock);
  bool mine = turn == work.turn;
  if (mine) {
    TRI_ASSERT(work.over);
    work.markers = 1;
    work.waiting = 0;
    set_over_locked(false);
  }
  tri_lock_drop(&work.lock);
  return mine;
}

bool tri_work_is_over(void) { return atomic_load_explicit(&work.over, memory_order_seq_cst); }

bool tri_work_join(void) {
  tri_lock_take(&work.lock);
  bool joined = !work.over;
  if (joined) work.markers++;
  tri_lock_drop(&work.lock);
  return joined;
}

/* Everybody waits, and nothing is left to wait for. */
static bool is_done_locked(void) { return work.waiting == work.markers && !work.full; }

void tri_work_leave(void) {
  tri_lock_take(&work.lock);
  work.markers--;
  if (!work.over && is_done_locked()) set_over_locked(true);
  tri_lock_drop(&work.lock);
}

void tri_work_end(void) {
  tri_lock_take(&work.lock);
  if (!work.over) set_over_locked(true);
  tri_lock_drop(&work.lock);
}

bool tri_work_is_left(void) {
  tri_lock_take(&work.lock);
  bool left = work.full != NULL;
  tri_lock_drop(&work.lock);
  return left;
}

static tri_work_buffer *pop_full_locked(void) {
  tri_work_buffer *buffer = work.full;
  if (buffer) work.full = buffer->next;
  return buffer;
}

void tri_work_drop(void) {
  tri_lock_take(&work.lock);
  for (tri_work_buffer *buffer; (buffer = pop_full_locked());) {
    buffer->next = work.unused;
    work.unused = buffer;
  }
  tri_lock_drop(&work.lock);
}

tri_work_buffer *tri_work_first(void) {
  tri_work_buffer *buffer = tri_work_new();
  if (buffer) return buffer;
  tri_lock_take(&work.lock);
  buffer = pop_full_locked();
  tri_lock_drop(&work.lock);
  return buffer;
}

/* ---- sharing ---- */

void tri_work_share(tri_work_buffer *buffer) {
  tri_lock_take(&work.lock);
  buffer->next = work.full;
  work.full = buffer;
  bool wanted = work.waiting > 0;
  tri_lock_drop(&work.lock);
  if (wanted) announce(1);
}

bool tri_work_is_wanted(void) { return atomic_load_explicit(&work.attention, memory_order_relaxed) > 0; }

/* False when the deadline has passed. Who assists does not sleep: a sleep of a few microseconds takes a hundred. */
static bool wait_for_change(uint32_t seen, uint64_t deadline, bool sleeps) {
  uint64_t now = 0;
  do {
    for (int i = 0; i < SPINS; i++) {
      if (atomic_load_explicit(&work.change, memory_order_acquire) != seen) return true;
      tri_os_relax();
    }
    if (deadline && (now = tri_os_now()) >= deadline) return false;
  } while (!sleeps);
  tri_os_wait(&work.change, seen, deadline ? deadline - now : 0);
  return true;
}

static tri_work_buffer *take(uint64_t deadline, bool is_marker) {
  tri_work_buffer *buffer = NULL;
  tri_lock_take(&work.lock);
  while (!work.over && !(buffer = pop_full_locked())) {
    set_waiting_locked(work.waiting + 1);
    if (is_done_locked()) {
      set_over_locked(true);
      break;
    }
    uint32_t seen = atomic_load_explicit(&work.change, memory_order_relaxed);
    tri_lock_drop(&work.lock);
    bool in_time = wait_for_change(seen, deadline, is_marker);
    tri_lock_take(&work.lock);
    if (work.over) break;
    set_waiting_locked(work.waiting - 1);
    if (in_time) continue;
    if (is_marker) set_over_locked(true);
    break;
  }
  tri_lock_drop(&work.lock);
  return buffer;
}

tri_work_buffer *tri_work_take(uint64_t deadline) { return take(deadline, true); }
/* One waits awake, whoever comes first: many would take the processors from those they wait for. */
tri_work_buffer *tri_work_take_awake(uint64_t deadline) {
  static _Atomic(bool) taken TRI_OWN_DATA; /* relaxed: the lock orders the rest */
  bool other = atomic_exchange_explicit(&taken, true, memory_order_relaxed);
  tri_work_buffer *buffer = take(other ? 1 : deadline, false);
  if (!other) atomic_store_explicit(&taken, false, memory_order_relaxed);
  return buffer;
}
