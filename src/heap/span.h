/* span.h - a run of pages that holds objects of one size class and one layout, or one large object.
 *
 * The counterpart of Go's mspan (runtime/mheap.go). A span's objects are described by the side bitmaps (heap/arena.h)
 * alone; nothing of ours is inside it. It is, at any time, in exactly one state:
 *
 *   free      no pages; the descriptor waits for reuse
 *   central   on a list of its central (heap/central.h), whose lock guards everything in it
 *   swept     taken off a list by a thread that sweeps it or is about to cache or free it: that thread's
 *   cached    owned by one slot of one thread's cache (heap/cache.h): that thread's. No stop writes its slot's
 *             word; its owner sweeps it at refill when it finds that the epoch has moved on
 *   large     on the list of large objects
 *
 * epoch says which collection's marks the allocation bits reflect. epoch == heap epoch: swept. epoch + 1 == heap epoch:
 * objects that the last collection has not marked still have their bits. No other value can occur: a collection begins
 * by sweeping what is left. */
#ifndef TRI_SPAN_H
#define TRI_SPAN_H

#include "heap/arena.h"
#include "heap/pages.h"
#include "heap/size_class.h"

struct tri_cache_slot;

typedef enum tri_span_state {
  TRI_SPAN_FREE,
  TRI_SPAN_CENTRAL,
  TRI_SPAN_SWEPT,
  TRI_SPAN_CACHED,
  TRI_SPAN_LARGE,
} tri_span_state;

struct tri_span {
  tri_span *next, *prev; /* central's or large list */
  uintptr_t start;
  size_t page_count;
  size_t slot_size;
  uint32_t slots;
  uint32_t live;   /* allocated slots when last counted; one or two too many where others freed meanwhile */
  uint32_t bucket; /* which central (heap/central.h) */
  uint32_t layout;
  _Atomic(uint32_t)
      epoch; /* written by whoever sweeps; relaxed: ordered by the lock or the ownership that goes with it */
  _Atomic(uint8_t) state;
  _Atomic(uint8_t) needs_zero; /* some free slot may hold old contents */
  uint8_t size_class;
  bool noscan;
  _Atomic(struct tri_cache_slot *) owner; /* while cached */
};

typedef struct tri_span_list {
  _Atomic(tri_span *) head; /* written under the list's lock. Relaxed: without it, one may look whether there is any */
  size_t count;
} tri_span_list;

TRI_INLINE bool tri_span_list_any(const tri_span_list *list) {
  return atomic_load_explicit(&list->head, memory_order_relaxed) != NULL;
}
void tri_span_push(tri_span_list *list, tri_span *span);
void tri_span_remove(tri_span_list *list, tri_span *span);
tri_span *tri_span_pop(tri_span_list *list);

/* The span that the address, which must lie in the arena, belongs to; NULL for a free page. */
TRI_INLINE tri_span *tri_span_of(uintptr_t address) {
  return atomic_load_explicit(&tri_the_arena.spans[tri_arena_page(address)], memory_order_acquire);
}

TRI_INLINE bool tri_slot_is_allocated(uintptr_t start) {
  return atomic_load_explicit(&tri_arena_bits(start)->alloc, memory_order_relaxed) & tri_bit_mask(start);
}

/* Words of bitmap the span has, and where word i is. */
TRI_INLINE size_t tri_span_words(const tri_span *span) { return span->page_count * TRI_WORDS_PER_PAGE; }
TRI_INLINE _Atomic(uint64_t) *tri_span_alloc_word(const tri_span *span, size_t word) {
  return &tri_arena_bits(span->start)[word].alloc;
}
TRI_INLINE _Atomic(uint64_t) *tri_span_mark_word(const tri_span *span, size_t word) {
  return &tri_arena_bits(span->start)[word].mark;
}

/* Slots become another's: a new object is not old, whatever was there before. A marker that comes by an old pointer may
 * set the mark again, which keeps the new object for longer and loses nothing; but one that has read a pointer to the
 * new object must set it after this. Hence the fence: it orders this before the store of any such pointer, and who
 * reads that finds the mark's address by it. */
TRI_INLINE void tri_clear_marks(tri_bits *bits, uint64_t mask) {
  if (tri_likely(!(atomic_load_explicit(&bits->mark, memory_order_relaxed) & mask))) return;
  atomic_fetch_and_explicit(&bits->mark, ~mask, memory_order_relaxed);
  atomic_thread_fence(memory_order_release);
}

/* Objects allocated by the bits. */
uint32_t tri_span_count(const tri_span *span);

/* Sweeps a small span: objects without a mark are freed (but for those in also, of word also_word). Marks stay: they
 * tell what is old until a full collection clears them. The caller owns the span. Bits cleared meanwhile by tri_free
 * stay clear. Returns how many objects that freed and sets live. Poisons what it frees in poison mode. */
uint32_t tri_span_sweep(tri_span *span, size_t also_word, uint64_t also);

/* ---- the page heap: spans from pages ---- */

typedef struct tri_span_request {
  size_t page_count;
  size_t alignment; /* of the start, in pages; 1 mostly */
  size_t slot_size;
  uint32_t slots;
  uint32_t size_class; /* 0: large */
  uint32_t layout;
  uint32_t bucket;
  bool noscan;
} tri_span_request;

/* What a thread keeps at hand to make small spans without a lock: pages of either kind, and descriptors. The owner's,
 * in its slow paths only; the collector flushes it while the thread is stopped. */
typedef struct tri_span_supply {
  tri_page_cache pages[TRI_PAGES_KINDS];
  tri_span *descriptors; /* linked by next */
} tri_span_supply;

/* A new span in state swept, pages assigned and published; grows the arena as needed. supply may be NULL. NULL when
 * memory is out. Takes TRI_RANK_PAGES. */
tri_span *tri_span_create(const tri_span_request *request, tri_span_supply *supply);

/* Gives the pages of a span in state swept back; clears its bits. */
void tri_span_destroy(tri_span *span);

void tri_span_supply_flush(tri_span_supply *supply);

bool tri_page_heap_init(void);

/* Takes up to max_pages of free memory from the heap and gives it to the system. Returns the pages given; 0: none left.
 * any: also parts of huge pages. */
size_t tri_page_heap_release(size_t max_pages, bool any);

/* For heap/mend.c: the pages in use are those of spans, this many. Free descriptors are lost, and supplies void. */
void tri_page_heap_mend(size_t used_pages, size_t spans);

typedef struct tri_page_heap_figures {
  size_t heap_bytes;     /* committed: HeapSys */
  size_t used_bytes;     /* in spans: HeapInuse */
  size_t released_bytes; /* HeapReleased */
  size_t spans_in_use;
  size_t table_bytes; /* of the page allocator: part of GCSys */
} tri_page_heap_figures;
tri_page_heap_figures tri_page_heap_read(void);

#endif
