/* thread.c - the registry. See thread.h. Lock: TRI_RANK_REGISTRY guards the lists here. */
#include "gc/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "gc/action.h"
#include "heap/heap.h"

enum { TRI_OWN_THREADS = 72 };

static struct {
  tri_lock lock;
  tri_thread *threads;
  tri_thread *unused;
  int count;
  int own_ids[TRI_OWN_THREADS], own_count;
  tri_thread_parcel *parcels[TRI_PARCEL_LISTS], *unused_parcels;
  pthread_key_t exit_key;
} registry TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_REGISTRY)};

void tri_threads_lock(void) { tri_lock_take(&registry.lock); }
void tri_threads_unlock(void) { tri_lock_drop(&registry.lock); }
tri_thread *tri_threads_first(void) { return registry.threads; }

static void on_thread_exit(void *thread) {
  (void)thread;
  tri_thread_detach_self();
}

static bool may_hold_lock(void) {
  const tri_cache *cache = tri_cache_self;
  return cache == &tri_cache_none || atomic_load_explicit(&cache->defer, memory_order_relaxed) > 0;
}

bool tri_threads_init(void) {
  tri_lock_may_hold = may_hold_lock;
  return pthread_key_create(&registry.exit_key, on_thread_exit) == 0;
}

/* ---- records; the lock is held ---- */

tri_thread *tri_thread_find(int id) {
  for (tri_thread *thread = registry.threads; thread; thread = thread->next)
    if (thread->id == id && !thread->gone) return thread;
  return NULL;
}

tri_thread *tri_thread_record(int id) {
  tri_thread *thread = tri_thread_find(id);
  if (thread) return thread;
  thread = registry.unused;
  if (thread)
    registry.unused = thread->next;
  else if (!(thread = tri_meta_alloc(TRI_META_CACHE, sizeof *thread)))
    return NULL;
  memset((void *)thread, 0, sizeof *thread);
  tri_cache_init(&thread->cache);
  thread->id = id;
  thread->next = registry.threads;
  registry.threads = thread;
  registry.count++;
  return thread;
}

void tri_thread_forget(tri_thread *thread) {
  tri_thread **link = &registry.threads;
  while (*link != thread) link = &(*link)->next;
  *link = thread->next;
  tri_cache_release(&thread->cache);
  tri_count_retire(&thread->cache.counts);
  memset((void *)&thread->cache.counts, 0, sizeof thread->cache.counts);
  thread->id = 0;
  registry.count--;
  thread->next = registry.unused;
  registry.unused = thread;
}

/* ---- the library's own threads ---- */

/* A sanitizer's pthread_create may call our interposed one, which must tell these from threads of the program. */
static _Thread_local bool starting_own __attribute__((tls_model("initial-exec")));
TRI_UNSANITIZED bool tri_thread_is_starting_own(void) { return starting_own; }

/* Under the lock, so that no stop finds the new task before its id is known to be ours. */
bool tri_thread_start_own(void (*run)(void *), void *argument, const char *name) {
  tri_threads_lock();
  starting_own = true;
  int id = registry.own_count < TRI_OWN_THREADS ? tri_os_thread_start(run, argument, name) : 0;
  starting_own = false;
  if (id) registry.own_ids[registry.own_count++] = id;
  tri_threads_unlock();
  return id != 0;
}

bool tri_thread_is_ours(int id) {
  for (int i = 0; i < registry.own_count; i++)
    if (registry.own_ids[i] == id) return true;
  return false;
}

int tri_threads_expected_tasks(void) { return registry.count + registry.own_count; }

/* ---- the calling thread ---- */

TRI_UNSANITIZED tri_thread *tri_thread_known(void) {
  tri_cache *cache = tri_cache_self;
  return cache == &tri_cache_none ? NULL : (tri_thread *)cache;
}

tri_thread *tri_thread_self(void) {
  tri_thread *thread = tri_thread_known();
  return thread ? thread : (tri_thread *)tri_the_hooks.attach();
}

/* The bounds are asked for outside the lock: the C library may allocate, and we may be its allocator one day. A stop
 * that comes in between finds the thread by its id and attaches it from the handler (stop.c). A record found here may
 * be that of a thread which ended unseen and whose id was given away again: nothing in it but the cache is taken
 * over. */
tri_thread *tri_thread_attach_self(void) {
  uintptr_t low = 0, high = 0;
  int saved_errno = errno;
  tri_stop_unblock();
  bool bounded = tri_os_stack_bounds(&low, &high);
  tri_threads_lock();
  tri_thread *thread = tri_thread_record(tri_os_thread_id());
  if (thread) {
    thread->thread_pointer = tri_os_thread_pointer();
    thread->blocking_depth = 0;
    thread->bounds_given = false;
    atomic_store_explicit(&thread->state, TRI_THREAD_RUNNING,
                          memory_order_relaxed); /* no stop is on: we have the lock */
    if (bounded) {
      thread->stack_low = low;
      thread->stack_high = high;
    }
    tri_cache_self = &thread->cache;
  }
  tri_threads_unlock();
  if (thread) pthread_setspecific(registry.exit_key, thread);
  errno = saved_errno;
  return thread;
}

void tri_thread_detach_self(void) {
  tri_thread *thread = tri_thread_known();
  if (!thread) return;
  pthread_setspecific(registry.exit_key, NULL);
  tri_threads_lock();
  tri_cache_self = &tri_cache_none;
  tri_thread_forget(thread);
  tri_threads_unlock();
}

/* ---- parcels ---- */

static tri_thread_parcel **parcel_list(uintptr_t key) {
  return &registry.parcels[((uint64_t)key * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}
_Static_assert(TRI_PARCEL_LISTS == 1 << (64 - 58), "as many lists as the hash has values");

static void drop_at(tri_thread_parcel **link) {
  tri_thread_parcel *parcel = *link;
  *link = parcel->next;
  *parcel = (tri_thread_parcel){.next = registry.unused_parcels};
  registry.unused_parcels = parcel;
}

static void drop_all(tri_thread_parcel **list) {
  while (*list) drop_at(list);
}

static void drop_older(uintptr_t key, uint64_t serial) {
  for (tri_thread_parcel **link = parcel_list(key); *link;)
    if ((*link)->key == key && (*link)->serial <= serial)
      drop_at(link);
    else
      link = &(*link)->next;
}

bool tri_thread_parcel_send(uintptr_t key, uint64_t serial, void *pointer) {
  tri_threads_lock();
  drop_older(key, serial);
  tri_thread_parcel *parcel = registry.unused_parcels;
  if (parcel)
    registry.unused_parcels = parcel->next;
  else
    parcel = tri_meta_alloc(TRI_META_OTHER, sizeof *parcel);
  if (parcel) {
    tri_thread_parcel **list = parcel_list(key);
    *parcel = (tri_thread_parcel){.next = *list, .key = key, .serial = serial, .pointer = pointer};
    *list = parcel;
  }
  tri_threads_unlock();
  return parcel != NULL;
}

void tri_thread_parcel_drop(uintptr_t key, uint64_t serial) {
  tri_threads_lock();
  drop_older(key, serial);
  tri_threads_unlock();
}

tri_thread_parcel *tri_thread_parcels(int list) { return registry.parcels[list]; }

/* ---- fork: only the caller goes on in the child ---- */

void tri_threads_after_fork_child(void) {
  tri_thread *self = tri_thread_known();
  for (tri_thread *thread = registry.threads, *next; thread; thread = next) {
    next = thread->next;
    if (thread != self) tri_thread_forget(thread);
  }
  if (self) self->id = tri_os_thread_id();
  registry.own_count = 0;
  for (int i = 0; i < TRI_PARCEL_LISTS; i++) drop_all(&registry.parcels[i]);
}
