/* counts.c - see counts.h. */
#include "heap/counts.h"

#include <stdatomic.h>

static struct {
  _Atomic(uint64_t) allocated[TRI_CLASS_COUNT], freed[TRI_CLASS_COUNT];
  _Atomic(uint64_t) large_allocated_bytes, large_freed_bytes, tiny;
} shared TRI_OWN_DATA;

static void add(_Atomic(uint64_t) *counter, uint64_t amount) {
  if (amount) atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static uint64_t get(const _Atomic(uint64_t) *counter) { return atomic_load_explicit(counter, memory_order_relaxed); }

void tri_count_swept(uint32_t size_class, uint32_t objects) { add(&shared.freed[size_class], objects); }

void tri_count_large_allocated(size_t bytes) {
  add(&shared.large_allocated_bytes, bytes);
  add(&shared.allocated[0], 1);
}

void tri_count_large_freed(size_t bytes) {
  add(&shared.large_freed_bytes, bytes);
  add(&shared.freed[0], 1);
}

void tri_count_retire(const tri_counts *counts) {
  for (int i = 0; i < TRI_CLASS_COUNT; i++) {
    add(&shared.allocated[i], counts->allocated[i]);
    add(&shared.freed[i], counts->freed[i]);
  }
  add(&shared.tiny, counts->tiny);
}

/* Frees first: read the other way round, a reader could see more frees than allocations. */
void tri_counts_add(tri_counts *sum) {
  for (int i = 0; i < TRI_CLASS_COUNT; i++) sum->freed[i] += get(&shared.freed[i]);
  sum->large_freed_bytes += get(&shared.large_freed_bytes);
  for (int i = 0; i < TRI_CLASS_COUNT; i++) sum->allocated[i] += get(&shared.allocated[i]);
  sum->large_allocated_bytes += get(&shared.large_allocated_bytes);
  sum->tiny += get(&shared.tiny);
}
