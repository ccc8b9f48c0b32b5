/* counts.c - see counts.h. */
#include "heap/counts.h"

static struct {
  tri_tally objects;
  _Atomic(uint64_t) large_allocated_bytes, large_freed_bytes;
} shared TRI_OWN_DATA;

static void add(_Atomic(uint64_t) *counter, uint64_t amount) {
  if (amount) atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static uint64_t get(const _Atomic(uint64_t) *counter) { return atomic_load_explicit(counter, memory_order_relaxed); }

/* Takes what a counter says out of it. */
static uint64_t take(_Atomic(uint64_t) *counter) { return atomic_exchange_explicit(counter, 0, memory_order_relaxed); }

void tri_count_swept(uint32_t size_class, uint32_t objects) { add(&shared.objects.freed[size_class], objects); }

void tri_count_large_allocated(size_t bytes) {
  add(&shared.large_allocated_bytes, bytes);
  add(&shared.objects.allocated[0], 1);
}

void tri_count_large_freed(size_t bytes) {
  add(&shared.large_freed_bytes, bytes);
  add(&shared.objects.freed[0], 1);
}

void tri_count_retire(tri_tally *tally) {
  for (int i = 0; i < TRI_CLASS_COUNT; i++) {
    add(&shared.objects.allocated[i], take(&tally->allocated[i]));
    add(&shared.objects.freed[i], take(&tally->freed[i]));
  }
  add(&shared.objects.tiny, take(&tally->tiny));
}

/* Frees first: read the other way round, a reader could see more frees than allocations. */
void tri_tally_sum(const tri_tally *tally, tri_counts *sum) {
  for (int i = 0; i < TRI_CLASS_COUNT; i++) sum->freed[i] += get(&tally->freed[i]);
  sum->tiny += get(&tally->tiny);
  for (int i = 0; i < TRI_CLASS_COUNT; i++) sum->allocated[i] += get(&tally->allocated[i]);
}

void tri_counts_add(tri_counts *sum) {
  sum->large_freed_bytes += get(&shared.large_freed_bytes);
  tri_tally_sum(&shared.objects, sum);
  sum->large_allocated_bytes += get(&shared.large_allocated_bytes);
}
