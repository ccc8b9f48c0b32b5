/* blocking.c - blocking regions: what a thread does around a call in which no stop need interrupt it.
 *
 * The states and their transitions are told at the head of stop.c. A region begins by writing down where the thread's
 * frames are and what its registers hold, for the collector never makes it tell; it ends by waiting until no stop
 * counts on it. Handlers of the program that interrupt a region leave it (gc/action.c). No lock; all is
 * async-signal-safe. */
#include <errno.h>
#include <string.h>

#include "gc/thread.h"

/* Word by word: memcpy would leave what it copied in vector registers, where stale pointers last. */
static void copy_registers(volatile uint64_t *to, const volatile uint64_t *from) {
  for (int i = 0; i < TRI_SAVED_REGISTERS; i++) to[i] = from[i];
}

/* The thread's own stack: no sanitizer. */
__attribute__((no_sanitize("address", "thread"))) static void save_registers(void *argument, uintptr_t sp) {
  tri_thread *thread = argument;
  const volatile uint64_t *spilled = (const volatile uint64_t *)sp;
  for (int i = 0; i < TRI_SAVED_REGISTERS; i++) thread->registers[i] = spilled[i];
  thread->sp = sp;
}

/* Only the thread itself makes it RUNNING or not, so to itself the answer is exact. */
static bool is_running(const tri_thread *thread) {
  return atomic_load_explicit(&thread->state, memory_order_relaxed) == TRI_THREAD_RUNNING;
}

bool tri_thread_blocking_enter(tri_thread *thread) {
  if (!is_running(thread) || atomic_load_explicit(&thread->cache.defer, memory_order_relaxed)) return false;
  thread->alternate_low = thread->alternate_high = 0;
  tri_os_with_registers(save_registers, thread);
  atomic_store_explicit(&thread->state, TRI_THREAD_BLOCKING, memory_order_release);
  return true;
}

/* A signal that is handled in between finds the thread in the region still, or out of it: never half. */
void tri_thread_blocking_exit(tri_thread *thread) {
  for (;;) {
    uint32_t sequence = tri_stop_sequence();
    uint32_t state = TRI_THREAD_BLOCKING;
    if (atomic_compare_exchange_strong_explicit(&thread->state, &state, TRI_THREAD_RUNNING, memory_order_acquire,
                                                memory_order_relaxed) ||
        state == TRI_THREAD_RUNNING) /* a handler has jumped out of the region */
      return;
    tri_stop_await_end(sequence);
  }
}

/* ---- handlers of the program ---- */

void tri_thread_blocking_leave(tri_thread *thread, tri_blocking_state *saved) {
  saved->blocking = !is_running(thread);
  saved->sp = thread->sp; /* also when running: the handler may have interrupted an entry */
  copy_registers(saved->registers, thread->registers);
  if (saved->blocking) tri_thread_blocking_exit(thread);
}

/* ---- regions of the program's own ---- */

#ifdef TRI_ASSERTIONS

/* A number that changes when the thread allocates, or frees what lies in its own spans. */
static uint64_t print_heap(const tri_cache *cache) {
  uint64_t print = cache->tiny_left;
  for (size_t i = 0; i < TRI_CACHE_SLOTS; i++) {
    print = print * 31 + atomic_load_explicit(&cache->slots[i].free, memory_order_relaxed);
    print = print * 31 + atomic_load_explicit(&cache->slots[i].base, memory_order_relaxed);
  }
  return print;
}

/* Handlers may allocate: each takes the print again when it returns. */
static void take_print(tri_thread *thread) { thread->heap_print = print_heap(&thread->cache); }

static void check_print(const tri_thread *thread) {
  uint32_t handlers;
  bool same;
  do {
    handlers = tri_signals_seen.handlers;
    same = thread->heap_print == print_heap(&thread->cache);
  } while (handlers != tri_signals_seen.handlers);
  if (!same) tri_fatal("tri_blocking_end: this thread has used the heap since tri_blocking_begin");
}

#else
static void take_print(tri_thread *thread) { (void)thread; }
static void check_print(const tri_thread *thread) { (void)thread; }
#endif

void tri_thread_blocking_begin(tri_thread *thread) {
  if (thread->blocking_depth++) return;
  take_print(thread);
  (void)tri_thread_blocking_enter(thread);
}

void tri_thread_blocking_end(tri_thread *thread) {
  if (thread->blocking_depth == 1) {
    if (!is_running(thread)) check_print(thread);
    tri_thread_blocking_exit(thread);
  }
  thread->blocking_depth--;
}

/* A stop that has asked this thread in the meantime does not mind: its signal arrives in either state. A handler that
 * has left a region of its own open loses it. */
void tri_thread_blocking_resume(tri_thread *thread, const tri_blocking_state *saved) {
  if (!is_running(thread)) tri_thread_blocking_exit(thread);
  if (thread->blocking_depth) take_print(thread);
  thread->sp = saved->sp;
  thread->alternate_low = thread->alternate_high = 0;
  copy_registers(thread->registers, saved->registers);
  if (saved->blocking) atomic_store_explicit(&thread->state, TRI_THREAD_BLOCKING, memory_order_release);
}
