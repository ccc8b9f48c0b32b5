/* thread.c - the registry. See thread.h. Lock: TRI_RANK_REGISTRY guards the lists here. */
#include "gc/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "base/options.h"
#include "gc/action.h"
#include "gc/parcel.h"
#include "heap/heap.h"

/* Of our own: those that mark, and the others. */
enum {
  TRI_OWN_THREADS = TRI_MOST_GC_THREADS + 8,
  ID_LISTS = 1024,
  EXIT_ROUND = PTHREAD_DESTRUCTOR_ITERATIONS - 1, /* sanitizers, which this code may call, leave in the last one */
};

static struct {
  tri_lock lock;
  tri_thread *threads;
  tri_thread *unused;
  tri_thread *by_id[ID_LISTS];
  int leaving[ID_LISTS]; /* ids of threads that were detached at their end, by the same hash; the last of each */
  int count;
  uint32_t made; /* records */
  _Atomic(uint32_t)
      own_ids[TRI_OWN_THREADS]; /* set by the threads themselves, without the lock; 0: not yet, or never */
  int own_count;
  bool starts_none; /* of our own */
  pthread_key_t exit_key;
  bool has_exit_key; /* from an earlier start, which failed later on */
} registry TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_REGISTRY)};

_Thread_local volatile uint32_t tri_thread_busy __attribute__((tls_model("initial-exec")));
static _Thread_local bool locked_for_fork __attribute__((tls_model("initial-exec")));

void tri_threads_lock(void) {
  if (locked_for_fork) return;
  tri_gate_look();
  tri_thread_busy_begin();
  tri_lock_take(&registry.lock);
}

void tri_threads_unlock(void) {
  if (locked_for_fork) return;
  tri_lock_drop(&registry.lock);
  tri_thread_busy_end();
}

void tri_threads_lock_for_fork(void) {
  tri_threads_lock();
  locked_for_fork = true;
}

void tri_threads_unlock_for_fork(void) {
  locked_for_fork = false;
  tri_threads_unlock();
}

tri_thread *tri_threads_first(void) {
  TRI_ASSERT(tri_lock_is_held(&registry.lock));
  return registry.threads;
}

/* As late as can be, so that what follows is the C library's work. */
static void on_thread_exit(void *thread) {
  static _Thread_local int round __attribute__((tls_model("initial-exec")));
  if (++round < EXIT_ROUND) {
    pthread_setspecific(registry.exit_key, thread);
    return;
  }
  tri_threads_lock();
  registry.leaving[(unsigned)tri_os_thread_id() % ID_LISTS] = tri_os_thread_id();
  tri_threads_unlock();
  tri_thread_detach_self();
}

bool tri_thread_is_leaving(int id) {
  TRI_ASSERT(tri_lock_is_held(&registry.lock));
  return registry.leaving[(unsigned)id % ID_LISTS] == id && tri_os_task_blocks_all(id);
}

bool tri_thread_defers_stops(void) { return atomic_load_explicit(&tri_cache_self->defer, memory_order_relaxed) > 0; }

static bool may_hold_lock(void) { return tri_cache_self == &tri_cache_none || tri_thread_defers_stops(); }

bool tri_threads_init(void) {
  tri_lock_may_hold = may_hold_lock;
  if (!registry.has_exit_key) registry.has_exit_key = pthread_key_create(&registry.exit_key, on_thread_exit) == 0;
  return registry.has_exit_key;
}

/* ---- records; the lock is held ---- */

static tri_thread **list_of_id(int id) { return &registry.by_id[(unsigned)id % ID_LISTS]; }

/* Handlers look here during a stop: a record is complete before it is linked. */
static void link_record(tri_thread *thread) {
  tri_thread **list = list_of_id(thread->id);
  thread->next_by_id = *list;
  *list = thread;
  thread->next = registry.threads;
  thread->link = &registry.threads;
  if (thread->next) thread->next->link = &thread->next;
  registry.threads = thread;
  registry.count++;
}

static void unlink_record(tri_thread *thread) {
  tri_thread **link = list_of_id(thread->id);
  while (*link != thread) link = &(*link)->next_by_id;
  *link = thread->next_by_id;
  *thread->link = thread->next;
  if (thread->next) thread->next->link = thread->link;
  registry.count--;
}

tri_thread *tri_thread_find(int id) {
  TRI_ASSERT(tri_lock_is_held(&registry.lock));
  for (tri_thread *thread = *list_of_id(id); thread; thread = thread->next_by_id)
    if (thread->id == id && !thread->gone) return thread;
  return NULL;
}

tri_thread *tri_thread_record(int id) {
  TRI_ASSERT(tri_lock_is_held(&registry.lock));
  tri_thread *thread = tri_thread_find(id);
  if (thread) return thread;
  thread = registry.unused;
  if (!thread && !(thread = tri_meta_alloc(TRI_META_CACHE, sizeof *thread))) return NULL;
  uint32_t number = thread == registry.unused ? thread->cache.number : registry.made++;
  if (thread == registry.unused) registry.unused = thread->next;
  memset((void *)thread, 0, sizeof *thread);
  tri_cache_init(&thread->cache);
  thread->cache.number = number;
  thread->id = id;
  thread->unbounded = true;
  /* Neither this stop nor the next one has asked it, however often the sequence has gone round. */
  atomic_store_explicit(&thread->asked, tri_stop_sequence() & ~1u, memory_order_relaxed);
  link_record(thread);
  return thread;
}

void tri_thread_forget(tri_thread *thread) {
  TRI_ASSERT(tri_lock_is_held(&registry.lock));
  unlink_record(thread);
  tri_cache_release(&thread->cache);
  tri_count_retire(&thread->cache.counts);
  thread->id = 0;
  thread->next = registry.unused;
  registry.unused = thread;
}

/* ---- the library's own threads ---- */

/* A sanitizer's pthread_create may call our interposed one, which must tell these from threads of the program. */
static _Thread_local bool starting_own __attribute__((tls_model("initial-exec")));
TRI_UNSANITIZED bool tri_thread_is_starting_own(void) { return starting_own; }

/* Where the next one of our own writes its id; NULL when there is to be none. */
static _Atomic(uint32_t) *claim_own(void) {
  _Atomic(uint32_t) *id = NULL;
  tri_threads_lock();
  if (registry.own_count < TRI_OWN_THREADS && !registry.starts_none) id = &registry.own_ids[registry.own_count++];
  tri_threads_unlock();
  return id;
}

/* Without the lock: to start a thread the C library takes locks that it holds in dlopen, too, while it waits for that
 * of dl_iterate_phdr; and a stop takes our lock with that one held. So a stop may find the new task before it has said
 * that it is ours. It is taken for one of the program's then, until it has (stop.c): it runs, and need not wait for
 * anybody to do so. */
bool tri_thread_start_own(void (*run)(void *), void *argument, const char *name) {
  TRI_ASSERT(!tri_thread_defers_stops() && !tri_lock_holds_any());
  _Atomic(uint32_t) *id = claim_own();
  if (!id) return false;
  starting_own = true;
  bool started = tri_os_thread_start(run, argument, name, id);
  starting_own = false;
  return started;
}

/* Relaxed: an id stands alone. */
bool tri_thread_is_ours(int id) {
  TRI_ASSERT(tri_lock_is_held(&registry.lock));
  for (int i = 0; i < registry.own_count; i++)
    if (atomic_load_explicit(&registry.own_ids[i], memory_order_relaxed) == (uint32_t)id) return true;
  return false;
}

int tri_threads_expected_tasks(void) {
  TRI_ASSERT(tri_lock_is_held(&registry.lock));
  int expected = registry.count;
  for (int i = 0; i < registry.own_count; i++)
    expected += atomic_load_explicit(&registry.own_ids[i], memory_order_relaxed) != 0;
  return expected;
}

/* ---- the calling thread ---- */

TRI_UNSANITIZED tri_thread *tri_thread_known(void) {
  tri_cache *cache = tri_cache_self;
  return cache == &tri_cache_none ? NULL : (tri_thread *)cache;
}

TRI_UNSANITIZED tri_thread *tri_thread_here(void) {
  tri_thread *thread = tri_thread_known();
  return thread && thread->id == tri_os_thread_id() ? thread : NULL;
}

tri_thread *tri_thread_self(void) {
  tri_thread *thread = tri_thread_known();
  return thread ? thread : (tri_thread *)tri_the_hooks.attach();
}

/* The bounds are asked for outside the lock: the C library may allocate, and we may be its allocator one day. A stop
 * that comes in between finds the thread by its id and attaches it from the handler (stop.c). A record found here may
 * be that of a thread which ended unseen and whose id was given away again: nothing in it but the cache is taken
 * over. Handlers of the program wait while the lock is held: they may allocate, or fork. */
tri_thread *tri_thread_attach_self(void) {
  uintptr_t low = 0, high = 0;
  int saved_errno = errno;
  tri_stop_unblock();
  bool bounded = tri_os_stack_bounds(&low, &high);
  tri_threads_lock();
  uint64_t mask = tri_os_block_signals();
  int id = tri_os_thread_id(), *leaving = &registry.leaving[(unsigned)id % ID_LISTS];
  if (*leaving == id) *leaving = 0;
  tri_thread *thread = tri_thread_record(id);
  if (thread) {
    thread->thread_pointer = tri_os_thread_pointer();
    thread->shares_tls = false;
    thread->blocking_depth = 0;
    atomic_store_explicit(&thread->state, TRI_THREAD_RUNNING,
                          memory_order_relaxed); /* no stop is on: we have the lock */
    thread->stack_low = low;
    thread->stack_high = high;
    thread->unbounded = !bounded;
    tri_cache_adopt(&thread->cache);
  }
  tri_threads_unlock();
  tri_os_unblock_signals(mask);
  if (thread) pthread_setspecific(registry.exit_key, thread);
  errno = saved_errno;
  return thread;
}

/* A stop may find the one bound changed and the other not, so they are not to be believed meanwhile. */
bool tri_thread_set_stack(tri_thread *self, uintptr_t low, uintptr_t high) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  if (self->id != tri_os_thread_id()) return false;
  bool given = low || high, bounded = given || tri_os_stack_bounds(&low, &high);
  if (given && (here < low || here >= high)) return false;
  self->unbounded = true;
  atomic_signal_fence(memory_order_seq_cst);
  self->stack_low = low;
  self->stack_high = high;
  atomic_signal_fence(memory_order_seq_cst);
  self->unbounded = !bounded;
  return true;
}

void tri_thread_detach_self(void) {
  tri_thread *thread = tri_thread_known();
  if (!thread) return;
  pthread_setspecific(registry.exit_key, NULL);
  tri_threads_lock();
  uint64_t mask = tri_os_block_signals();
  tri_cache_adopt(&tri_cache_none);
  tri_thread_forget(thread);
  tri_threads_unlock();
  tri_os_unblock_signals(mask);
}

/* ---- stacks that nobody told us ---- */

/* A thread's stack is the mapping its static TLS lies in, up to the end of that: so the C library lays it out. One
 * without TLS of its own has no other sign of its stack than the stack pointer; the same goes where TLS is nowhere. */
static bool show_mapping(void *argument, const tri_os_mapping *mapping) {
  (void)argument;
  for (tri_thread *thread = registry.threads; thread; thread = thread->next) {
    if (!thread->unbounded || !thread->thread_pointer) continue;
    bool by_tls = thread->tls_top > mapping->low && thread->tls_top <= mapping->high;
    bool by_sp = !thread->stack_high && thread->sp >= mapping->low && thread->sp < mapping->high;
    if (!by_tls && !by_sp) continue;
    thread->stack_low = mapping->low;
    thread->stack_high = by_tls ? thread->tls_top : mapping->high;
  }
  return true;
}

/* False when the system cannot be asked so. */
static bool ask_for_mapping(tri_thread *thread) {
  tri_os_mapping mapping;
  tri_os_answer by_tls = thread->tls_top ? tri_os_query_mapping(thread->tls_top - 1, &mapping) : TRI_OS_NO;
  tri_os_answer answer = by_tls == TRI_OS_NO ? tri_os_query_mapping(thread->sp, &mapping) : by_tls;
  if (answer != TRI_OS_YES) return answer == TRI_OS_NO;
  thread->stack_low = mapping.low;
  thread->stack_high = by_tls == TRI_OS_YES ? thread->tls_top : mapping.high;
  return true;
}

static void begin_search(tri_thread *thread) {
  thread->stack_low = thread->stack_high = 0;
  thread->tls_top = thread->shares_tls ? 0 : tri_os_static_tls(thread->thread_pointer).high;
}

/* The main thread's is where the loader put it, and its TLS elsewhere. */
static bool end_search(tri_thread *thread) {
  if (thread->id == tri_os_process_id() && !tri_os_main_stack(&thread->stack_low, &thread->stack_high)) return false;
  thread->unbounded = thread->stack_high == 0;
  return !thread->unbounded;
}

/* One without a thread pointer has run nothing since it was found. */
static tri_thread *next_unbounded(tri_thread *thread) {
  while (thread && !(thread->unbounded && thread->thread_pointer)) thread = thread->next;
  return thread;
}

bool tri_threads_find_stacks(void) {
  tri_thread *first = next_unbounded(registry.threads);
  bool answered = true;
  for (tri_thread *thread = first; thread; thread = next_unbounded(thread->next)) {
    begin_search(thread);
    answered = answered && ask_for_mapping(thread);
  }
  if (!answered && !tri_os_visit_mappings(show_mapping, NULL)) {
    tri_stop_blame(TRI_TROUBLE_MAPPINGS, 0, errno);
    return false;
  }
  for (tri_thread *thread = first; thread; thread = next_unbounded(thread->next))
    if (!end_search(thread)) {
      tri_stop_blame(TRI_TROUBLE_STACK, thread->id, errno);
      return false;
    }
  return true;
}

/* ---- fork: only the caller goes on in the child ---- */

/* What was counted stays counted. The records are lost: they hold the caches that own spans. */
static void lose_all(const tri_thread *self) {
  for (tri_thread *thread = registry.threads; thread; thread = thread->next)
    if (thread != self) tri_count_retire(&thread->cache.counts);
  memset(registry.by_id, 0, sizeof registry.by_id);
  registry.threads = registry.unused = NULL;
  registry.count = 0;
}

static void forget_others(const tri_thread *self) {
  for (tri_thread *thread = registry.threads, *next; thread; thread = next) {
    next = thread->next;
    if (thread != self) tri_thread_forget(thread);
  }
}

void tri_threads_start_none(void) { registry.starts_none = true; }

bool tri_threads_is_only(const tri_thread *thread) { return registry.threads == thread && !thread->next; }

void tri_threads_after_fork_child(bool torn) {
  tri_thread *self = tri_thread_known();
  tri_lock_after_fork_child(&registry.lock, locked_for_fork);
  if (torn)
    lose_all(self);
  else
    forget_others(self);
  if (self && !torn) unlink_record(self);
  if (self) {
    self->id = tri_os_thread_id();
    link_record(self);
  }
  registry.own_count = 0;
  memset((void *)registry.own_ids, 0, sizeof registry.own_ids);
  tri_parcels_after_fork_child(pthread_self());
}
