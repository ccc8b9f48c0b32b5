/* thread.c - the registry. See thread.h. Lock: TRI_RANK_REGISTRY guards the lists here. */
#include "gc/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "heap/heap.h"

enum { TRI_OWN_THREADS = 72 };

static struct {
  tri_lock lock;
  tri_thread *threads;
  tri_thread *unused;
  int count;
  int own_ids[TRI_OWN_THREADS], own_count;
  tri_thread_parcel *parcels, *unused_parcels;
  pthread_key_t exit_key;
} registry TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_REGISTRY)};

void tri_threads_lock(void) { tri_lock_take(&registry.lock); }
void tri_threads_unlock(void) { tri_lock_drop(&registry.lock); }
tri_thread *tri_threads_first(void) { return registry.threads; }

static void on_thread_exit(void *thread) {
  (void)thread;
  tri_thread_detach_self();
}

bool tri_threads_init(void) { return pthread_key_create(&registry.exit_key, on_thread_exit) == 0; }

/* ---- records; the lock is held ---- */

tri_thread *tri_thread_find(int id) {
  for (tri_thread *thread = registry.threads; thread; thread = thread->next)
    if (thread->id == id) return thread;
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

/* Under the lock, so that no stop finds the new task before its id is known to be ours. */
bool tri_thread_start_own(void (*run)(void *), void *argument, const char *name) {
  tri_threads_lock();
  int id = registry.own_count < TRI_OWN_THREADS ? tri_os_thread_start(run, argument, name) : 0;
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

tri_thread *tri_thread_known(void) {
  tri_cache *cache = tri_cache_self;
  return cache == &tri_cache_none ? NULL : (tri_thread *)cache;
}

tri_thread *tri_thread_self(void) {
  tri_thread *thread = tri_thread_known();
  return thread ? thread : (tri_thread *)tri_the_hooks.attach();
}

/* The bounds are asked for outside the lock: the C library may allocate, and we may be its allocator one day. A stop that
 * comes in between finds the thread by its id and attaches it from the handler (stop.c). */
tri_thread *tri_thread_attach_self(void) {
  uintptr_t low = 0, high = 0;
  int saved_errno = errno;
  bool bounded = tri_os_stack_bounds(&low, &high);
  tri_threads_lock();
  tri_thread *thread = tri_thread_record(tri_os_thread_id());
  if (thread) {
    thread->thread_pointer = tri_os_thread_pointer();
    if (bounded && !thread->bounds_given) {
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

tri_thread_parcel *tri_thread_parcel_new(uintptr_t key, void *(*run)(void *), void *pointer) {
  tri_threads_lock();
  tri_thread_parcel *parcel = registry.unused_parcels;
  if (parcel)
    registry.unused_parcels = parcel->next;
  else
    parcel = tri_meta_alloc(TRI_META_OTHER, sizeof *parcel);
  if (parcel) {
    *parcel = (tri_thread_parcel){.next = registry.parcels, .key = key, .run = run, .pointer = pointer};
    registry.parcels = parcel;
  }
  tri_threads_unlock();
  return parcel;
}

static void drop_at(tri_thread_parcel **link) {
  tri_thread_parcel *parcel = *link;
  *link = parcel->next;
  *parcel = (tri_thread_parcel){.next = registry.unused_parcels};
  registry.unused_parcels = parcel;
}

void tri_thread_parcel_drop(tri_thread_parcel *parcel) {
  tri_threads_lock();
  tri_thread_parcel **link = &registry.parcels;
  while (*link != parcel) link = &(*link)->next;
  drop_at(link);
  tri_threads_unlock();
}

void tri_thread_parcel_drop_key(uintptr_t key) {
  tri_threads_lock();
  tri_thread_parcel **link = &registry.parcels;
  while (*link && (*link)->key != key) link = &(*link)->next;
  if (*link) drop_at(link);
  tri_threads_unlock();
}

tri_thread_parcel *tri_thread_parcels(void) { return registry.parcels; }

/* ---- fork: only the caller goes on in the child ---- */

void tri_threads_after_fork_child(void) {
  tri_thread *self = tri_thread_known();
  for (tri_thread *thread = registry.threads, *next; thread; thread = next) {
    next = thread->next;
    if (thread != self) tri_thread_forget(thread);
  }
  if (self) self->id = tri_os_thread_id();
  registry.own_count = 0;
}
