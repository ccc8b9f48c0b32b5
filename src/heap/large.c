/* large.c - objects over 32 KiB: a span of whole pages each.
 *
 * Owns the two lists of large spans; which one is swept follows from the epoch's parity, as in central.c. Lock: the
 * lists' own, of rank TRI_RANK_CENTRAL. An object's only bits are at its start. Follows
 * runtime/mcache.go:allocLarge. */
#include <errno.h>
#include <string.h>

#include "heap/heap.h"
#include "heap/object.h"
#include "heap/unswept.h"

static struct {
  tri_lock lock;
  tri_span_list lists[2];
} large TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_CENTRAL)};

/* Release: a marker that sees the bit sees what its page is. */
static void set_bit(uintptr_t start) {
  tri_heap_forget_slots(start, tri_bit_mask(start));
  atomic_store_explicit(&tri_arena_bits(start)->alloc, tri_bit_mask(start), memory_order_release);
}

static void list_add(tri_span *span) {
  tri_lock_take(&large.lock);
  atomic_store_explicit(&span->state, TRI_SPAN_LARGE, memory_order_relaxed);
  tri_span_push(&large.lists[tri_heap_epoch() & 1], span);
  tri_lock_drop(&large.lock);
}

/* Makes a cleared span an object. The bit is set last: until then a pointer to it is none. Collections may have passed
 * since the span was made, which knew nothing of it. */
static void *publish(tri_span *span) {
  atomic_store_explicit(&span->epoch, tri_heap_epoch(), memory_order_relaxed);
  set_bit(span->start);
  void *object = (void *)span->start;
  list_add(span);
  tri_count_large_allocated(span->slot_size);
  atomic_fetch_add_explicit(&tri_the_heap.live, (ptrdiff_t)span->slot_size, memory_order_relaxed);
  return object;
}

/* Clearing takes a millisecond for every ten megabytes or so: stops are not deferred meanwhile. The span is on no list
 * then and has no bits, so neither marking nor sweeping knows it. */
static void *create(tri_cache *cache, const tri_span_request *request, bool zero) {
  tri_cache_defer(cache);
  tri_unswept_pay(request->slot_size);
  tri_span *span = tri_span_create(request, NULL);
  if (span && zero && atomic_load_explicit(&span->needs_zero, memory_order_relaxed)) {
    tri_cache_undefer(cache);
    memset((void *)span->start, 0, request->page_count * TRI_PAGE_SIZE);
    tri_cache_defer(cache);
  }
  void *object = span ? publish(span) : NULL;
  tri_cache_undefer(cache);
  return object;
}

void *tri_large_alloc(size_t size, size_t alignment, uint32_t layout, bool noscan, bool zero) {
  tri_cache *cache = tri_cache_self;
  if (cache == &tri_cache_none && !(cache = tri_the_hooks.attach())) {
    errno = ENOMEM;
    return NULL;
  }
  if (size >= tri_the_arena.reserved || alignment > tri_the_arena.reserved - size) {
    errno = ENOMEM;
    return NULL;
  }
  size_t pages = size / TRI_PAGE_SIZE + 1; /* at least a byte of slack */
  tri_span_request request = {.page_count = pages,
                              .alignment = tri_max(alignment / TRI_PAGE_SIZE, 1),
                              .slot_size = pages * TRI_PAGE_SIZE,
                              .slots = 1,
                              .layout = layout,
                              .noscan = noscan};
  if (tri_heap_wants_collection() || tri_the_heap.collect_every) tri_the_hooks.collect();
  for (int attempt = 0;;) {
    void *object = create(cache, &request, zero);
    if (object && tri_unlikely(tri_heap_is_marking())) tri_the_hooks.assist(request.slot_size);
    if (object) return object;
    if (!tri_cache_find_memory(size, &attempt)) return NULL;
  }
}

static tri_span_list *unswept_list(void) { return &large.lists[~tri_heap_epoch() & 1]; }

bool tri_large_any_unswept(void) { return tri_span_list_any(unswept_list()); }

size_t tri_large_unswept_count(void) {
  tri_lock_take(&large.lock);
  size_t count = unswept_list()->count;
  tri_lock_drop(&large.lock);
  return count;
}

bool tri_large_sweep_one(void) {
  tri_span_list *unswept = unswept_list();
  tri_lock_take(&large.lock);
  tri_span *span = tri_span_pop(unswept);
  if (!span) {
    tri_lock_drop(&large.lock);
    return false;
  }
  uint64_t mark = atomic_load_explicit(tri_span_mark_word(span, 0), memory_order_relaxed);
  bool allocated = tri_slot_is_allocated(span->start); /* freed while the mark was on, else */
  bool live = allocated && mark;
  if (live) {
    atomic_store_explicit(&span->epoch, tri_heap_epoch(), memory_order_relaxed);
    tri_span_push(&large.lists[tri_heap_epoch() & 1], span);
  } else {
    atomic_store_explicit(&span->state, TRI_SPAN_SWEPT, memory_order_relaxed);
  }
  tri_lock_drop(&large.lock);
  tri_unswept_note_swept();
  if (!live && allocated) tri_count_large_freed(span->slot_size);
  if (!live) tri_span_destroy(span);
  return true;
}

/* What freeing does to a span: nothing, for it is free already; its bit goes and the next sweep takes it apart, while a
 * mark is on; or it is off its list, and the caller's. */
typedef enum tri_unlisted { UNLISTED_NOT, UNLISTED_LATER, UNLISTED_NOW } tri_unlisted;

/* Lock held. Looks once whether a mark is on: it may be given up at any time. */
static tri_unlisted unlist(tri_span *span) {
  bool listed = atomic_load_explicit(&span->state, memory_order_relaxed) == TRI_SPAN_LARGE;
  if (!listed || !tri_slot_is_allocated(span->start)) return UNLISTED_NOT;
  if (tri_heap_is_marking()) {
    atomic_store_explicit(&tri_arena_bits(span->start)->alloc, 0, memory_order_relaxed);
    return UNLISTED_LATER;
  }
  bool swept = atomic_load_explicit(&span->epoch, memory_order_relaxed) == tri_heap_epoch();
  tri_span_remove(&large.lists[(tri_heap_epoch() ^ !swept) & 1], span);
  atomic_store_explicit(&span->state, TRI_SPAN_SWEPT, memory_order_relaxed);
  return UNLISTED_NOW;
}

bool tri_large_free(tri_span *span) {
  tri_cache *cache = tri_cache_self;
  size_t size = span->slot_size;
  tri_cache_defer(cache);
  tri_lock_take(&large.lock);
  tri_unlisted result = unlist(span);
  tri_lock_drop(&large.lock);
  if (result != UNLISTED_NOT) {
    atomic_fetch_sub_explicit(&tri_the_heap.live, (ptrdiff_t)size, memory_order_relaxed);
    tri_count_large_freed(size);
  }
  if (result == UNLISTED_NOW) tri_span_destroy(span);
  tri_cache_undefer(cache);
  return result != UNLISTED_NOT;
}

void tri_large_mend_begin(void) {
  tri_lock_abandon(&large.lock);
  large.lists[0] = large.lists[1] = (tri_span_list){.count = 0};
}

void tri_large_mend_span(tri_span *span) {
  tri_span_push(&large.lists[atomic_load_explicit(&span->epoch, memory_order_relaxed) & 1], span);
}
