/* page_heap.c - spans made from pages and taken apart again; the page allocator's lock; memory going back to the
 * system.
 *
 * Owns: the tri_pages tables, the free span descriptors, the figures of the heap by pages. Lock: TRI_RANK_PAGES guards
 * all three, except the used_pages and span counters, which are relaxed statistics. Follows runtime/mheap.go
 * (allocSpan, grow). */
#include <string.h>

#include "heap/heap.h"
#include "heap/layout.h"
#include "heap/span.h"

enum {
  SUPPLY_MAX_PAGES = 15, /* larger spans go to the page heap directly, as in mheap.allocSpan */
  DESCRIPTOR_BATCH = 32,
};

static struct {
  tri_lock lock;
  tri_pages pages;
  tri_reservation table_reservation;
  size_t slice_committed[TRI_PAGES_SLICES];
  tri_span *descriptors;
  _Atomic(size_t) used_pages;
  _Atomic(size_t) spans_in_use;
} page_heap TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_PAGES)};

/* Commits what the page allocator's tables need for so many chunks. */
static bool commit_tables(size_t chunk_count) {
  tri_pages_slice slices[TRI_PAGES_SLICES];
  tri_pages_slices(&page_heap.pages, chunk_count, slices);
  for (int i = 0; i < TRI_PAGES_SLICES; i++) {
    size_t have = page_heap.slice_committed[i], want = tri_align_up(slices[i].size, tri_os_page_size());
    if (want <= have) continue;
    if (!tri_os_commit((char *)slices[i].start + have, want - have, page_heap.table_reservation.name)) return false;
    page_heap.slice_committed[i] = want;
    page_heap.table_reservation.committed += want - have;
  }
  return true;
}

/* Again, after a start that failed: what was reserved serves. */
bool tri_page_heap_init(void) {
  size_t chunks = tri_the_arena.reserved / TRI_CHUNK_SIZE;
  tri_reservation *reservation = &page_heap.table_reservation;
  if (!reservation->base && !tri_reservation_make(reservation, tri_pages_table_size(chunks), 4096, "tricolor: pages"))
    return false;
  tri_pages_init(&page_heap.pages, (void *)page_heap.table_reservation.base, chunks);
  return commit_tables(1);
}

/* ---- descriptors ---- */

/* Takes up to count free descriptors as a list, making new ones as needed; NULL when memory is out. Lock held. */
static tri_span *take_descriptors(int count) {
  tri_span *taken = NULL;
  for (int i = 0; i < count; i++) {
    tri_span *span = page_heap.descriptors;
    if (span)
      page_heap.descriptors = span->next;
    else if (!(span = tri_meta_alloc(TRI_META_SPAN, sizeof *span)))
      break;
    span->next = taken;
    taken = span;
  }
  return taken;
}

static void give_descriptors(tri_span *list) {
  while (list) {
    tri_span *next = list->next;
    list->next = page_heap.descriptors;
    page_heap.descriptors = list;
    list = next;
  }
}

/* ---- pages ---- */

static bool grow(tri_pages_kind kind, size_t count) {
  size_t chunks = tri_pages_chunks_wanted(&page_heap.pages, kind, count);
  bool huge = false;
  if (!commit_tables(tri_pages_chunk_count(&page_heap.pages) + chunks) || !tri_arena_grow(chunks, &huge)) return false;
  tri_pages_grow(&page_heap.pages, chunks, huge);
  return true;
}

/* count pages whose first is a multiple of alignment. Lock held. */
static tri_pages_run take_pages(tri_pages_kind kind, size_t count, size_t alignment) {
  size_t wanted = count + alignment - 1;
  tri_pages_run run = tri_pages_alloc(&page_heap.pages, kind, wanted);
  if (run.page == TRI_PAGES_NONE && grow(kind, wanted)) run = tri_pages_alloc(&page_heap.pages, kind, wanted);
  if (run.page == TRI_PAGES_NONE || alignment == 1) return run;
  size_t first = tri_align_up(run.page, alignment);
  if (first > run.page) tri_pages_free(&page_heap.pages, run.page, first - run.page);
  size_t end = run.page + wanted;
  if (end > first + count) tri_pages_free(&page_heap.pages, first + count, end - first - count);
  run.page = first;
  run.count = count;
  return run;
}

/* Small spans come from the thread's own supply, refilled 64 pages at a time. */
static tri_pages_run take_supply(tri_span_supply *supply, tri_pages_kind kind, size_t count) {
  tri_page_cache *cache = &supply->pages[kind];
  tri_pages_run run = tri_page_cache_alloc(cache, count);
  if (run.page != TRI_PAGES_NONE && supply->descriptors) return run;
  tri_lock_take(&page_heap.lock);
  if (!supply->descriptors) supply->descriptors = take_descriptors(DESCRIPTOR_BATCH);
  if (run.page == TRI_PAGES_NONE) {
    tri_page_cache_flush(&page_heap.pages, cache);
    tri_page_cache_fill(&page_heap.pages, kind, cache);
    if (!cache->free && grow(kind, count)) tri_page_cache_fill(&page_heap.pages, kind, cache);
    run = tri_page_cache_alloc(cache, count);
    if (run.page == TRI_PAGES_NONE) run = take_pages(kind, count, 1); /* no run of count in that group of 64 */
  }
  tri_lock_drop(&page_heap.lock);
  return run;
}

void tri_span_supply_flush(tri_span_supply *supply) {
  if (!supply->descriptors && !supply->pages[TRI_PAGES_SCAN].free && !supply->pages[TRI_PAGES_NOSCAN].free) return;
  tri_lock_take(&page_heap.lock);
  for (int kind = 0; kind < TRI_PAGES_KINDS; kind++) tri_page_cache_flush(&page_heap.pages, &supply->pages[kind]);
  give_descriptors(supply->descriptors);
  supply->descriptors = NULL;
  tri_lock_drop(&page_heap.lock);
}

/* ---- spans ---- */

/* Makes the pages findable. The span's fields come first: release, pairs with the acquire in tri_span_of. */
static void publish(tri_span *span) {
  size_t first = tri_arena_page(span->start);
  uint32_t kind = TRI_KIND_IN_USE | (span->noscan ? TRI_KIND_NOSCAN : 0u) | span->layout << TRI_KIND_LAYOUT_SHIFT;
  bool large = span->size_class == 0;
  kind |= large ? TRI_KIND_LARGE : (uint32_t)span->size_class << TRI_KIND_CLASS_SHIFT;
  uint64_t pointers = span->noscan || large ? 0 : tri_layout_slot_pointers(span->layout, span->slot_size);
  for (size_t i = 0; i < span->page_count; i++) {
    tri_page_info *info = &tri_the_arena.info[first + i];
    uint32_t offset = large ? 0 : (uint32_t)i << TRI_KIND_OFFSET_SHIFT;
    atomic_store_explicit(&tri_the_arena.spans[first + i], span, memory_order_release);
    atomic_store_explicit(&info->pointers, pointers, memory_order_relaxed);
    atomic_store_explicit(&info->slot_size, large ? 0 : (uint32_t)span->slot_size, memory_order_relaxed);
    atomic_store_explicit(&info->kind, kind | offset, memory_order_release);
  }
}

static void unpublish(const tri_span *span) {
  size_t first = tri_arena_page(span->start);
  for (size_t i = 0; i < span->page_count; i++) {
    atomic_store_explicit(&tri_the_arena.info[first + i].kind, 0, memory_order_relaxed);
    atomic_store_explicit(&tri_the_arena.spans[first + i], NULL, memory_order_relaxed);
  }
}

static void fill_in(tri_span *span, const tri_span_request *request, tri_pages_run run) {
  span->start = tri_arena_address(run.page);
  span->page_count = request->page_count;
  span->slot_size = request->slot_size;
  span->slots = request->slots;
  span->live = 0;
  span->bucket = request->bucket;
  span->layout = request->layout;
  span->size_class = (uint8_t)request->size_class;
  span->noscan = request->noscan;
  span->next = span->prev = NULL;
  atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
  atomic_store_explicit(&span->needs_zero, !run.zero, memory_order_relaxed);
  atomic_store_explicit(&span->epoch, tri_heap_epoch(), memory_order_relaxed);
  atomic_store_explicit(&span->state, TRI_SPAN_SWEPT, memory_order_relaxed);
}

tri_span *tri_span_create(const tri_span_request *request, tri_span_supply *supply) {
  tri_pages_kind kind = request->noscan ? TRI_PAGES_NOSCAN : TRI_PAGES_SCAN;
  tri_span *span = NULL;
  tri_pages_run run;
  if (supply && request->page_count <= SUPPLY_MAX_PAGES && request->alignment == 1) {
    run = take_supply(supply, kind, request->page_count);
    span = supply->descriptors;
    if (span) supply->descriptors = span->next;
  } else {
    tri_lock_take(&page_heap.lock);
    span = take_descriptors(1);
    run = take_pages(kind, request->page_count, request->alignment);
    tri_lock_drop(&page_heap.lock);
  }
  if (!span || run.page == TRI_PAGES_NONE) {
    tri_lock_take(&page_heap.lock);
    if (span) {
      span->next = NULL;
      give_descriptors(span);
    }
    if (run.page != TRI_PAGES_NONE) tri_pages_free(&page_heap.pages, run.page, run.count);
    tri_lock_drop(&page_heap.lock);
    return NULL;
  }
  fill_in(span, request, run);
  publish(span);
  atomic_fetch_add_explicit(&page_heap.used_pages, span->page_count, memory_order_relaxed);
  atomic_fetch_add_explicit(&page_heap.spans_in_use, 1, memory_order_relaxed);
  return span;
}

/* No object of the span is left; its bits go too, so that fresh spans start with clear ones. */
static void clear_bits(const tri_span *span) {
  tri_bits *bits = tri_arena_bits(span->start);
  size_t words = span->size_class ? tri_span_words(span) : 1; /* a large object has bits at its start only */
  memset((void *)bits, 0, words * sizeof *bits);
  size_t first = tri_arena_page(span->start);
  for (size_t page = first; page < first + span->page_count; page++) {
    _Atomic(uint64_t) *marked = &tri_the_arena.marked_pages[page / 64];
    uint64_t bit = UINT64_C(1) << (page % 64);
    if (atomic_load_explicit(marked, memory_order_relaxed) & bit)
      atomic_fetch_and_explicit(marked, ~bit, memory_order_relaxed);
  }
}

void tri_span_destroy(tri_span *span) {
  TRI_ASSERT(atomic_load_explicit(&span->state, memory_order_relaxed) == TRI_SPAN_SWEPT);
  unpublish(span);
  clear_bits(span);
  atomic_fetch_sub_explicit(&page_heap.used_pages, span->page_count, memory_order_relaxed);
  atomic_fetch_sub_explicit(&page_heap.spans_in_use, 1, memory_order_relaxed);
  atomic_store_explicit(&span->state, TRI_SPAN_FREE, memory_order_relaxed);
  tri_lock_take(&page_heap.lock);
  tri_pages_free(&page_heap.pages, tri_arena_page(span->start), span->page_count);
  span->next = NULL;
  give_descriptors(span);
  tri_lock_drop(&page_heap.lock);
}

size_t tri_page_heap_release(size_t max_pages, bool any) {
  tri_lock_take(&page_heap.lock);
  tri_pages_run run = tri_pages_take_unreleased(&page_heap.pages, max_pages, any);
  tri_lock_drop(&page_heap.lock);
  if (!run.count) return 0;
  bool done = tri_os_discard((void *)tri_arena_address(run.page), run.count * TRI_PAGE_SIZE);
  tri_lock_take(&page_heap.lock);
  tri_pages_released(&page_heap.pages, run, done);
  tri_lock_drop(&page_heap.lock);
  return done ? run.count : 0;
}

static bool is_in_span(size_t page) { return tri_span_of(tri_arena_address(page)) != NULL; }

void tri_page_heap_mend(size_t used_pages, size_t spans) {
  tri_lock_abandon(&page_heap.lock);
  page_heap.descriptors = NULL;
  tri_pages_mend(&page_heap.pages, is_in_span);
  atomic_store_explicit(&page_heap.used_pages, used_pages, memory_order_relaxed);
  atomic_store_explicit(&page_heap.spans_in_use, spans, memory_order_relaxed);
}

tri_page_heap_figures tri_page_heap_read(void) {
  tri_lock_take(&page_heap.lock);
  tri_page_heap_figures figures = {
      .heap_bytes = tri_the_arena.heap_reservation.committed,
      .used_bytes = atomic_load_explicit(&page_heap.used_pages, memory_order_relaxed) * TRI_PAGE_SIZE,
      .released_bytes = tri_pages_free_released(&page_heap.pages) * TRI_PAGE_SIZE,
      .spans_in_use = atomic_load_explicit(&page_heap.spans_in_use, memory_order_relaxed),
      .table_bytes = page_heap.table_reservation.committed,
  };
  tri_lock_drop(&page_heap.lock);
  return figures;
}
