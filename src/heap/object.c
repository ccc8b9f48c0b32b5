/* object.c - looking objects up and freeing them by address. See object.h. */
#include "heap/object.h"

#include <string.h>

#include "heap/heap.h"
#include "heap/layout.h"

static bool kind_at(uintptr_t address, uint32_t *kind) {
  if (!tri_arena_has(address)) return false;
  *kind = atomic_load_explicit(&tri_the_arena.info[tri_arena_page(address)].kind, memory_order_acquire);
  return *kind & TRI_KIND_IN_USE;
}

bool tri_object_find(uintptr_t address, tri_object *object) {
  uint32_t kind;
  if (!kind_at(address, &kind)) return false;
  tri_span *span = tri_span_of(address);
  uintptr_t start = tri_object_slot_start(address, kind);
  if (!span || !start || !tri_slot_is_allocated(start) || tri_cache_slot_is_waiting(span, start)) return false;
  *object = (tri_object){.start = start, .size = span->slot_size, .span = span};
  return true;
}

bool tri_object_may_end_at(uintptr_t address, bool is_data) {
  uint32_t kind;
  if (!kind_at(address - 1, &kind)) return false;
  if (kind & TRI_KIND_LARGE || tri_kind_class(kind) == TRI_CLASS_ODD) return false; /* large ones have slack */
  if (address % TRI_GRANULE) return false;
  uint32_t layout = tri_kind_layout(kind);
  if (layout == TRI_LAYOUT_CONSERVATIVE) return true;
  size_t slot = tri_size_classes[tri_kind_class(kind)].size, element = tri_layout_get(layout)->element_words * 8;
  return slot % element == 0 && !(is_data && slot == element);
}

tri_free_result tri_object_free(uintptr_t address) {
  uint32_t kind;
  if (!kind_at(address, &kind)) return TRI_FREE_NOT_OURS;
  uintptr_t start = tri_object_slot_start(address, kind);
  tri_span *span = tri_span_of(address);
  if (!span) return TRI_FREE_NOT_OURS;
  if (span->bucket == TRI_BUCKET_TINY && span->size_class) return TRI_FREE_SHARED;
  tri_object object;
  if (start != address) return tri_object_find(address, &object) ? TRI_FREE_INTERIOR : TRI_FREE_NOT_OURS;
  if (kind & TRI_KIND_LARGE) return tri_large_free(span) ? TRI_FREED : TRI_FREE_TWICE;
  if (!tri_slot_is_allocated(start)) return TRI_FREE_TWICE;
  tri_cache *cache = tri_cache_self;
  tri_cache_defer(cache);
  tri_cache_slot *owner = atomic_load_explicit(&span->owner, memory_order_relaxed);
  bool own = owner >= cache->slots && owner < cache->slots + TRI_CACHE_SLOTS;
  if (tri_the_heap.poison && !tri_cache_slot_is_waiting(span, start))
    memset((void *)start, TRI_POISON_BYTE, span->slot_size);
  bool freed = own ? tri_cache_free_own(cache, owner, span, start) : tri_central_free_slot(span, start);
  if (freed) {
    uint32_t size_class = tri_kind_class(kind); /* the span may be another's by now, when this was its last object */
    tri_tally_add(&cache->counts.freed[size_class], 1);
    if (!own) cache->claimed_bytes -= (ptrdiff_t)tri_size_classes[size_class].size;
  }
  tri_cache_undefer(cache);
  return freed ? TRI_FREED : TRI_FREE_TWICE;
}
