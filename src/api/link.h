/* api/link.h - what all public functions have in common.
 *
 * It keeps the static library whole: whoever links any public function gets api/link.c, too, which ties the layers
 * together before main. And it keeps errno as it was in calls that succeed. */
#ifndef TRI_API_LINK_H
#define TRI_API_LINK_H

#include <errno.h>

#include "base/base.h"

extern const char tri_api_link;
__attribute__((used)) static const char *const tri_api_linked = &tri_api_link;

/* ---- errno ---- */

TRI_INLINE void tri_errno_restore(const int *saved) { errno = *saved; }

/* errno at the end of the block is what it is here. */
#define TRI_KEEP_ERRNO __attribute__((cleanup(tri_errno_restore), unused)) const int saved_errno_ = errno

/* The pointer that call gives; errno changes only when that is NULL. */
#define TRI_KEEPING_ERRNO(call)                                                                                        \
  __extension__({                                                                                                      \
    int saved_ = errno;                                                                                                \
    void *object_ = (call);                                                                                            \
    if (tri_likely(object_)) errno = saved_;                                                                           \
    object_;                                                                                                           \
  })

/* tri_cache_alloc_slow, which see, and errno kept. */
void *tri_api_alloc_slow(uint32_t bucket);

/* ---- the lock of this layer's own variables: the types, the out-of-memory handler ---- */

/* Any thread may take it, attached or not, the heap started or not, and in a handler of pthread_atfork, where the
 * library's other locks are taken already: so it has no rank, and whoever holds it calls nothing. Its holder may be
 * stopped, for nobody wants it during a stop, and may be left behind by a fork, for the child finds it free. */
void tri_api_lock(void);
void tri_api_unlock(void);

#endif
