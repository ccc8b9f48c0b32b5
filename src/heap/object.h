/* object.h - from an address to the object it points into; large objects; freeing by address.
 *
 * Finding takes no lock: page info and spans are published before an object can be reached (heap/arena.h). Freeing
 * takes that of the span's central or, for large objects, that of their lists (heap/large.c), both TRI_RANK_CENTRAL. */
#ifndef TRI_OBJECT_H
#define TRI_OBJECT_H

#include "heap/cache.h"

typedef struct tri_object {
  uintptr_t start;
  size_t size; /* of the slot */
  tri_span *span;
} tri_object;

/* The allocated object that contains address (its end excluded). False when there is none. Any thread; the caller keeps
 * the object alive if it matters. O(1). */
bool tri_object_find(uintptr_t address, tri_object *object);

/* The slot start that address lies in, allocated or not; 0 for addresses outside spans, in a span's tail. The
 * marker's. */
TRI_INLINE uintptr_t tri_object_slot_start(uintptr_t address, uint32_t kind) {
  if (tri_unlikely(kind & TRI_KIND_LARGE)) {
    const tri_span *span = tri_span_of(address);
    return span ? span->start : 0;
  }
  uint32_t size_class = tri_kind_class(kind);
  uintptr_t span_start =
      (address & ~(uintptr_t)(TRI_PAGE_SIZE - 1)) - ((uintptr_t)tri_kind_offset(kind) << TRI_PAGE_SHIFT);
  uint32_t index = tri_size_class_slot(size_class, (uint32_t)(address - span_start));
  if (tri_unlikely(index >= tri_size_classes[size_class].slots)) return 0;
  return span_start + (uintptr_t)index * tri_size_classes[size_class].size;
}

/* Whether a pointer in a root to address is to be taken for one to the end of an object that fills its slot, too. Not
 * when none can: typed objects whose size does not divide their slots never do. And not of single objects of a type,
 * whose neighbours would else live as long as they: of 24 bytes nowhere, of other sizes not in static data, where no
 * compiler puts such pointers (docs/design/heap.md). */
bool tri_object_may_end_at(uintptr_t address, bool is_data);

/* ---- large objects: a span each, swept like small ones through two lists by epoch parity ---- */

/* size bytes plus one of slack (an end pointer must stay inside), aligned to alignment; zeroed unless contents may be
 * arbitrary. NULL with errno ENOMEM. */
void *tri_large_alloc(size_t size, size_t alignment, uint32_t layout, bool noscan, bool zero);

/* Frees a large object at once. False when it is free already. */
bool tri_large_free(tri_span *span);

/* Sweeps one unswept large object; false when there is none. */
bool tri_large_sweep_one(void);
/* Whether there is one: a look without the lock. */
bool tri_large_any_unswept(void);
size_t tri_large_unswept_count(void);

/* For heap/mend.c: empties the lists and frees their lock; puts a span in state large on the list it belongs on. */
void tri_large_mend_begin(void);
void tri_large_mend_span(tri_span *span);

/* ---- freeing ---- */

typedef enum tri_free_result {
  TRI_FREED,
  TRI_FREE_SHARED,
  TRI_FREE_NOT_OURS,
  TRI_FREE_INTERIOR,
  TRI_FREE_TWICE
} tri_free_result;

/* Frees the object that starts at address. Attaches nothing: the calling thread's cache must exist. */
tri_free_result tri_object_free(uintptr_t address);

#endif
