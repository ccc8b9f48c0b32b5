/* interpose_region.h - the blocking region around an interposed call.
 *
 * Inside it a collection need not interrupt the thread (gc/thread.h), so the call sees no EINTR of ours, but for one
 * case: a stop signal that was sent before the region was entered may arrive in the call. Then the call is made again,
 * unless a handler of the program ran too (gc/action.c counts), for the program may wait for just that EINTR. A thread
 * that is not attached may become so in its first stop, in the middle of the call. All calls here are cancellation
 * points: the region is left by cleanup, also when the thread is unwound. errno is kept. */
#ifndef TRI_INTERPOSE_REGION_H
#define TRI_INTERPOSE_REGION_H

#include <errno.h>
#include <time.h>

#include "gc/thread.h"

enum { TRI_REGION_KEEPS = 4 };

typedef struct tri_call_region {
  tri_thread *thread; /* NULL: no region was entered */
  tri_signal_counts before;
  const void *keeps[TRI_REGION_KEEPS]; /* what the call was given: it must be found on this stack, not in a register */
} tri_call_region;

TRI_INLINE tri_signal_counts tri_signals_now(void) {
  return (tri_signal_counts){.stops = tri_signals_seen.stops, .handlers = tri_signals_seen.handlers};
}

/* Somebody else might read the region here: the compiler has to have it in memory. */
TRI_INLINE void tri_region_show(const tri_call_region *region) { __asm__ volatile("" : : "r"(region) : "memory"); }

TRI_INLINE void tri_region_enter(tri_call_region *region) {
  tri_thread *thread = tri_thread_known();
  tri_region_show(region);
  region->before = tri_signals_now();
  region->thread = thread && tri_thread_blocking_enter(thread) ? thread : NULL;
}

TRI_INLINE void tri_region_leave(tri_call_region *region) {
  tri_region_show(region);
  if (!region->thread) return;
  int saved_errno = errno;
  tri_thread_blocking_exit(region->thread);
  errno = saved_errno;
}

/* Whether a call that failed with error is to be made again. */
TRI_INLINE bool tri_region_restarts(tri_call_region *region, int error) {
  if (tri_likely(error != EINTR)) return false;
  tri_signal_counts now = tri_signals_now();
  if (now.stops == region->before.stops || now.handlers != region->before.handlers) return false;
  if (region->thread)
    region->before = now;
  else
    tri_region_enter(region);
  return true;
}

/* A region until the end of the block; the arguments are the pointers that the call is given. */
#define TRI_REGION(name, ...)                                                                                          \
  tri_call_region name __attribute__((cleanup(tri_region_leave))) = {.keeps = {__VA_ARGS__}};                          \
  tri_region_enter(&name)

/* call in a region, made once: its result. The other arguments are the pointers it is given. */
#define TRI_BLOCKING_ONCE(call, ...)                                                                                   \
  __extension__({                                                                                                      \
    TRI_REGION(region_, __VA_ARGS__);                                                                                  \
    (call);                                                                                                            \
  })

/* The same for a call that returns -1 and sets errno. */
#define TRI_BLOCKING(call, ...)                                                                                        \
  __extension__({                                                                                                      \
    TRI_REGION(region_, __VA_ARGS__);                                                                                  \
    __typeof__(call) result_;                                                                                          \
    do result_ = (call);                                                                                               \
    while (tri_unlikely(result_ == -1) && tri_region_restarts(&region_, errno));                                       \
    result_;                                                                                                           \
  })

#endif
