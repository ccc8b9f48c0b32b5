/* span.c - lists of spans and the sweeping of one. See span.h. */
#include "heap/span.h"

#include <string.h>

#include "heap/heap.h"

static tri_span *head_of(const tri_span_list *list) { return atomic_load_explicit(&list->head, memory_order_relaxed); }

static void set_head(tri_span_list *list, tri_span *span) {
  atomic_store_explicit(&list->head, span, memory_order_relaxed);
}

void tri_span_push(tri_span_list *list, tri_span *span) {
  tri_span *next = head_of(list);
  span->prev = NULL;
  span->next = next;
  if (next) next->prev = span;
  set_head(list, span);
  list->count++;
}

void tri_span_remove(tri_span_list *list, tri_span *span) {
  if (span->prev)
    span->prev->next = span->next;
  else
    set_head(list, span->next);
  if (span->next) span->next->prev = span->prev;
  span->next = span->prev = NULL;
  list->count--;
}

tri_span *tri_span_pop(tri_span_list *list) {
  tri_span *span = head_of(list);
  if (span) tri_span_remove(list, span);
  return span;
}

/* Acquire: pairs with the release of tri_free by another thread, whose last use of the memory is over when the bit is
 * seen clear. The memory of an empty span is given away. */
uint32_t tri_span_count(const tri_span *span) {
  uint32_t count = 0;
  for (size_t word = 0; word < tri_span_words(span); word++)
    count += tri_popcount(atomic_load_explicit(tri_span_alloc_word(span, word), memory_order_acquire));
  return count;
}

static void poison_freed(const tri_span *span, size_t word, uint64_t freed) {
  for (; freed; freed &= freed - 1) {
    uintptr_t granule = span->start + (word * 64 + (size_t)__builtin_ctzll(freed)) * TRI_GRANULE;
    memset((void *)tri_slot_at_granule(granule, span->slot_size), TRI_POISON_BYTE, span->slot_size);
  }
}

/* One word; returns the freed bits. Relaxed: the exchange is ordered by the caller's ownership of the span, and a
 * concurrent tri_free only clears bits. */
TRI_INLINE uint64_t sweep_word(tri_bits *bits, uint64_t also) {
  uint64_t keep = atomic_load_explicit(&bits->mark, memory_order_relaxed) | also;
  if (!(atomic_load_explicit(&bits->alloc, memory_order_relaxed) & ~keep)) return 0;
  return atomic_fetch_and_explicit(&bits->alloc, keep, memory_order_relaxed) & ~keep;
}

uint32_t tri_span_sweep(tri_span *span, size_t also_word, uint64_t also) {
  tri_bits *bits = tri_arena_bits(span->start);
  uint32_t freed = 0, live = 0;
  for (size_t word = 0; word < tri_span_words(span); word++) {
    uint64_t gone = sweep_word(&bits[word], word == also_word ? also : 0);
    freed += tri_popcount(gone);
    live += tri_popcount(atomic_load_explicit(&bits[word].alloc, memory_order_acquire)); /* as in tri_span_count */
    if (tri_unlikely(tri_the_heap.poison) && gone) poison_freed(span, word, gone);
  }
  span->live = live;
  if (freed) atomic_store_explicit(&span->needs_zero, 1, memory_order_relaxed);
  atomic_store_explicit(&span->epoch, tri_heap_epoch(), memory_order_relaxed);
  return freed;
}
