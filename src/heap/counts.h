/* counts.h - how many objects were allocated and freed, by class.
 *
 * A thread's cache counts the slots it claims (heap/cache.h) and what tri_free gives back; what sweeping frees, large
 * objects, and the counts of threads that ended are kept here, in relaxed atomics shared by all. Figures are sums:
 * mallocs = claimed - waiting in caches. */
#ifndef TRI_COUNTS_H
#define TRI_COUNTS_H

#include <stdatomic.h>

#include "heap/size_class.h"

typedef struct tri_counts {
  uint64_t allocated[TRI_CLASS_COUNT]; /* objects; [0]: large */
  uint64_t freed[TRI_CLASS_COUNT];
  uint64_t large_allocated_bytes;
  uint64_t large_freed_bytes;
  uint64_t tiny; /* requests that shared a tiny block with an earlier one */
} tri_counts;

/* A thread's own, written by the thread and read by others meanwhile. Relaxed: each stands alone. */
typedef struct tri_tally {
  _Atomic(uint64_t) allocated[TRI_CLASS_COUNT], freed[TRI_CLASS_COUNT], tiny;
} tri_tally;

/* Owner only, hence no read-modify-write. */
TRI_INLINE void tri_tally_add(_Atomic(uint64_t) *count, uint64_t amount) {
  atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + amount, memory_order_relaxed);
}

void tri_count_swept(uint32_t size_class, uint32_t objects);
void tri_count_large_allocated(size_t bytes);
void tri_count_large_freed(size_t bytes);

/* Takes a thread's own over, which end with it. */
void tri_count_retire(tri_tally *tally);

/* Adds a thread's own to *sum. */
void tri_tally_sum(const tri_tally *tally, tri_counts *sum);

/* Adds everything counted here to *sum. */
void tri_counts_add(tri_counts *sum);

#endif
