/* interpose.h - how functions of the C library are stood in for.
 *
 * A file says TRI_INTERPOSES(name) and defines TRI_INTERPOSED type name(...); TRI_REAL(name)(...) calls the function
 * that would have been called without the library: a sanitizer's version if there is one, else the C library's. Real
 * functions are looked up when the library is loaded, for the dynamic loader may not be asked in a signal handler. */
#ifndef TRI_INTERPOSE_H
#define TRI_INTERPOSE_H

#include <stdatomic.h>

#include "base/base.h"
#include "gc/action.h"

/* Named in tools/dev/interposed.txt as well. used: nothing in the library calls them. */
#define TRI_INTERPOSED __attribute__((visibility("default"), used))

typedef struct tri_real {
  const char *name;
  _Atomic(uintptr_t) function; /* 0: not looked up yet. Relaxed: it stands alone, and all who look find the same */
} tri_real;

/* Kept in a section of their own, so that one loop finds them all. */
#define TRI_INTERPOSES(name) static tri_real real_##name __attribute__((section("tri_reals"), used)) = {#name, 0}

#define TRI_REAL(name) ((__typeof__(&name))tri_real_function(&real_##name))

uintptr_t tri_real_find(tri_real *real);

TRI_INLINE uintptr_t tri_real_function(tri_real *real) {
  uintptr_t function = atomic_load_explicit(&real->function, memory_order_relaxed);
  return tri_likely(function) ? function : tri_real_find(real);
}

/* A static link takes only those files of the library that something refers to. interpose.c refers to the files that
 * interpose, and api/link.c, which every program that uses the library has, to interpose.c. */
extern const char tri_interpose_anchor, tri_interpose_anchor_threads, tri_interpose_anchor_signals,
    tri_interpose_anchor_blocking, tri_interpose_anchor_waiting, tri_interpose_anchor_sort,
    tri_interpose_anchor_children, tri_interpose_anchor_notify;

#endif
