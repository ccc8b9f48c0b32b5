/* mend.c - see mend.h. */
#include "heap/mend.h"

#include "heap/layout.h"
#include "heap/object.h"

/* A span is taken apart in this order: the table forgets it, its bits are cleared, its pages are free. */
static void clear_bits(size_t page) {
  tri_bits *bits = tri_arena_bits(tri_arena_address(page));
  for (int i = 0; i < TRI_WORDS_PER_PAGE; i++) {
    if (atomic_load_explicit(&bits[i].alloc, memory_order_relaxed))
      atomic_store_explicit(&bits[i].alloc, 0, memory_order_relaxed);
    if (atomic_load_explicit(&bits[i].mark, memory_order_relaxed))
      atomic_store_explicit(&bits[i].mark, 0, memory_order_relaxed);
  }
}

static void relist(tri_span *span) {
  switch (atomic_load_explicit(&span->state, memory_order_relaxed)) {
  case TRI_SPAN_CENTRAL: tri_central_mend_span(span); break;
  case TRI_SPAN_LARGE: tri_large_mend_span(span); break;
  default: break; /* this thread's, or lost */
  }
}

void tri_heap_mend(void) {
  size_t pages = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_PAGE_SHIFT;
  size_t used = 0, spans = 0;
  tri_meta_mend();
  tri_layout_mend();
  tri_central_mend_begin();
  tri_large_mend_begin();
  for (size_t page = 0; page < pages; page++) {
    tri_span *span = tri_span_of(tri_arena_address(page));
    if (!span) {
      clear_bits(page);
      continue;
    }
    used++;
    if (span->start != tri_arena_address(page)) continue;
    spans++;
    relist(span);
  }
  if (tri_cache_self != &tri_cache_none) tri_cache_mend(tri_cache_self);
  tri_page_heap_mend(used, spans);
}
