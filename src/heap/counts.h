/* counts.h - how many objects were allocated and freed, by class.
 *
 * Allocations are counted by the thread's cache when it claims slots (heap/cache.h); what sweeping frees and large
 * objects are counted here, in relaxed atomics shared by all. Figures are sums: mallocs = claimed - waiting in
 * caches. */
#ifndef TRI_COUNTS_H
#define TRI_COUNTS_H

#include "heap/size_class.h"

typedef struct tri_counts {
  uint64_t allocated[TRI_CLASS_COUNT]; /* objects; [0]: large */
  uint64_t freed[TRI_CLASS_COUNT];
  uint64_t large_allocated_bytes;
  uint64_t large_freed_bytes;
  uint64_t tiny; /* requests that shared a tiny block with an earlier one */
} tri_counts;

void tri_count_swept(uint32_t size_class, uint32_t objects);
void tri_count_large_allocated(size_t bytes);
void tri_count_large_freed(size_t bytes);

/* Adds a thread's own counts that end with it. */
void tri_count_retire(const tri_counts *counts);

/* Adds everything counted here to *sum. */
void tri_counts_add(tri_counts *sum);

#endif
