/* span.c - lists of spans and the exchange of their bitmaps. See span.h. */
#include "heap/span.h"

#include <string.h>

#include "heap/heap.h"

void tri_span_push(tri_span_list *list, tri_span *span) {
  span->prev = NULL;
  span->next = list->head;
  if (list->head) list->head->prev = span;
  list->head = span;
  list->count++;
}

void tri_span_remove(tri_span_list *list, tri_span *span) {
  if (span->prev)
    span->prev->next = span->next;
  else
    list->head = span->next;
  if (span->next) span->next->prev = span->prev;
  span->next = span->prev = NULL;
  list->count--;
}

tri_span *tri_span_pop(tri_span_list *list) {
  tri_span *span = list->head;
  if (span) tri_span_remove(list, span);
  return span;
}

uint32_t tri_span_count(const tri_span *span) {
  uint32_t count = 0;
  const tri_page_bits *bits = tri_arena_bits(span->start);
  for (size_t page = 0; page < span->page_count; page++)
    for (int word = 0; word < TRI_WORDS_PER_PAGE; word++)
      count += tri_popcount(atomic_load_explicit(&bits[page].alloc[word], memory_order_relaxed));
  return count;
}

static void poison_freed(const tri_span *span, size_t word, uint64_t freed) {
  for (; freed; freed &= freed - 1) {
    uintptr_t slot = span->start + (word * 64 + (size_t)__builtin_ctzll(freed)) * TRI_GRANULE;
    memset((void *)slot, TRI_POISON_BYTE, span->slot_size);
  }
}

/* One word; returns the freed bits. Relaxed: the exchange is ordered by the caller's ownership of the span, and a
 * concurrent tri_free only clears allocation bits. A mark may outlive its allocation bit (freed since the mark), so
 * marks are cleared whatever the allocation word says. */
TRI_INLINE uint64_t exchange_word(_Atomic(uint64_t) *alloc, _Atomic(uint64_t) *mark, uint64_t also) {
  uint64_t keep = atomic_load_explicit(mark, memory_order_relaxed);
  if (keep) atomic_store_explicit(mark, 0, memory_order_relaxed);
  keep |= also;
  if (!(atomic_load_explicit(alloc, memory_order_relaxed) & ~keep)) return 0;
  return atomic_fetch_and_explicit(alloc, keep, memory_order_relaxed) & ~keep;
}

uint32_t tri_span_exchange(tri_span *span, size_t also_word, uint64_t also) {
  tri_page_bits *bits = tri_arena_bits(span->start);
  uint32_t freed = 0, live = 0;
  size_t index = 0;
  for (size_t page = 0; page < span->page_count; page++)
    for (int word = 0; word < TRI_WORDS_PER_PAGE; word++, index++) {
      uint64_t gone = exchange_word(&bits[page].alloc[word], &bits[page].mark[word], index == also_word ? also : 0);
      freed += tri_popcount(gone);
      live += tri_popcount(atomic_load_explicit(&bits[page].alloc[word], memory_order_relaxed));
      if (tri_unlikely(tri_the_heap.poison) && gone) poison_freed(span, index, gone);
    }
  span->live = live;
  if (freed) atomic_store_explicit(&span->needs_zero, 1, memory_order_relaxed);
  atomic_store_explicit(&span->epoch, tri_heap_epoch(), memory_order_relaxed);
  return freed;
}
