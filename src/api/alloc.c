/* api/alloc.c - the public allocation functions: which bucket, then the thread's cache (heap/cache.h).
 *
 * The short way is a table look-up, a load, a ctz and a store; everything that can fail or wait is in
 * tri_cache_alloc_slow. Follows runtime/malloc.go. */
#include <errno.h>
#include <string.h>
#include <tricolor.h>

#include "api/link.h"
#include "api/types.h"
#include "heap/heap.h"
#include "heap/object.h"

/* ---- one object of a size ---- */

TRI_INLINE void *alloc_bucket(uint32_t bucket) {
  void *object = tri_cache_slot_pop(&tri_cache_self->slots[bucket]);
  return tri_likely(object) ? object : tri_cache_alloc_slow(bucket);
}

/* Slots over TRI_BULK_ZERO_MAX are cleared here, not when they are claimed. */
static TRI_NOINLINE void *alloc_medium(uint32_t bucket, uint32_t size_class) {
  void *object = alloc_bucket(bucket);
  if (object) tri_cache_clear_slot(object, tri_size_classes[size_class].size);
  return object;
}

TRI_INLINE void *alloc_small(size_t size, uint32_t first_bucket) {
  uint32_t size_class = tri_size_to_class_16[(size + 15) >> 4];
  return alloc_bucket(first_bucket + size_class);
}

static TRI_NOINLINE void *alloc_big(size_t size, uint32_t first_bucket) {
  if (size > TRI_SMALL_MAX) return tri_large_alloc(size, 1, 0, first_bucket == TRI_BUCKET_NOSCAN, true);
  uint32_t size_class = tri_size_class_of(size);
  return alloc_medium(first_bucket + size_class, size_class);
}

TRI_API void *tri_alloc(size_t size) {
  if (tri_likely(size <= TRI_CLASS_LOOKUP_MAX)) return alloc_small(size, TRI_BUCKET_CONSERVATIVE);
  return alloc_big(size, TRI_BUCKET_CONSERVATIVE);
}

/* Pointer-free requests under 16 bytes share a block (runtime/malloc.go: mallocgcTiny). Alignment by size, as there. */
static TRI_NOINLINE void *tiny_refill(size_t size) {
  char *block = alloc_bucket(TRI_BUCKET_TINY);
  if (!block) return NULL;
  tri_cache *cache = tri_cache_self;
  cache->tiny_left = TRI_TINY_SIZE - size;
  cache->tiny_next = (uintptr_t)block + size;
  return block;
}

TRI_INLINE void *alloc_tiny(size_t size) {
  tri_cache *cache = tri_cache_self;
  size_t alignment = (size & 7) == 0 ? 8 : (size & 3) == 0 ? 4 : (size & 1) == 0 ? 2 : 1;
  size += size == 0;
  size_t skip = -cache->tiny_next & (alignment - 1);
  if (cache->tiny_left < size + skip) return tiny_refill(size);
  uintptr_t object = cache->tiny_next + skip;
  cache->tiny_left -= size + skip;
  cache->tiny_next = object + size;
  cache->counts.tiny++;
  return (void *)object;
}

TRI_API void *tri_alloc_noscan(size_t size) {
  if (tri_unlikely(size < TRI_TINY_SIZE)) return alloc_tiny(size);
  if (tri_likely(size <= TRI_CLASS_LOOKUP_MAX)) return alloc_small(size, TRI_BUCKET_NOSCAN);
  return alloc_big(size, TRI_BUCKET_NOSCAN);
}

TRI_API void *tri_alloc_uninit(size_t size) {
  if (size <= TRI_BULK_ZERO_MAX) return tri_alloc_noscan(size);
  bool large = size > TRI_SMALL_MAX;
  uint32_t size_class = large ? 0 : tri_size_class_of(size);
  char *object = large ? tri_large_alloc(size, 1, 0, true, false) : alloc_bucket(TRI_BUCKET_NOSCAN + size_class);
  if (!object) return NULL;
  /* The slot's tail is zero all the same: tri_realloc may turn it into new contents. */
  size_t slot = large ? tri_span_of((uintptr_t)object)->slot_size : tri_size_classes[size_class].size;
  memset(object + size, 0, slot - size);
  return object;
}

TRI_API void *tri_alloc_array(size_t count, size_t size) {
  size_t bytes;
  if (!__builtin_mul_overflow(count, size, &bytes)) return tri_alloc(bytes);
  errno = ENOMEM;
  return NULL;
}

/* ---- alignment ---- */

enum { MAX_ALIGNMENT = 1024 * 1024 };

/* Spans start on pages, so slots of a class are aligned to every power of two that divides both its size and a page. */
static uint32_t aligned_class(size_t alignment, size_t size) {
  if (alignment > TRI_PAGE_SIZE || size > TRI_SMALL_MAX) return 0;
  uint32_t size_class = tri_size_class_of(size);
  while (size_class < TRI_CLASS_COUNT && tri_size_classes[size_class].size % alignment) size_class++;
  return size_class < TRI_CLASS_COUNT ? size_class : 0;
}

static void *alloc_aligned(size_t alignment, size_t size, bool noscan) {
  if (alignment == 0 || (alignment & (alignment - 1)) || alignment > MAX_ALIGNMENT) {
    errno = EINVAL;
    return NULL;
  }
  uint32_t size_class = aligned_class(alignment, tri_max(size, TRI_GRANULE));
  if (!size_class) return tri_large_alloc(size, alignment, 0, noscan, true);
  uint32_t bucket = (noscan ? TRI_BUCKET_NOSCAN : TRI_BUCKET_CONSERVATIVE) + size_class;
  return tri_size_classes[size_class].size > TRI_BULK_ZERO_MAX ? alloc_medium(bucket, size_class)
                                                               : alloc_bucket(bucket);
}

TRI_API void *tri_alloc_aligned(size_t alignment, size_t size) { return alloc_aligned(alignment, size, false); }
TRI_API void *tri_alloc_noscan_aligned(size_t alignment, size_t size) { return alloc_aligned(alignment, size, true); }

/* ---- strings ---- */

static char *copy_string(const char *s, size_t length) {
  char *copy = tri_alloc_uninit(length + 1);
  if (!copy) return NULL;
  memcpy(copy, s, length);
  copy[length] = 0;
  return copy;
}

TRI_API char *tri_strdup(const char *s) { return copy_string(s, strlen(s)); }
TRI_API char *tri_strndup(const char *s, size_t max) { return copy_string(s, strnlen(s, max)); }

/* ---- questions, changes of size, freeing ---- */

/* Whether the span's slots are tiny blocks, which several objects share. */
static bool is_shared(const tri_span *span) { return span->bucket == TRI_BUCKET_TINY; }

/* The object that starts at ptr, or a fatal error that names the call. */
static tri_object object_for(const char *call, const void *ptr) {
  tri_object object;
  if (!tri_object_find((uintptr_t)ptr, &object)) tri_fatal("%s: %p is not an object of this heap", call, ptr);
  if (is_shared(object.span)) {
    object.size -= (uintptr_t)ptr - object.start;
    object.start = (uintptr_t)ptr;
  }
  if (object.start != (uintptr_t)ptr)
    tri_fatal("%s: %p is not the start of an object: it points %zu bytes into the one at %p", call, ptr,
              (size_t)((uintptr_t)ptr - object.start), (void *)object.start);
  return object;
}

TRI_API size_t tri_size_of(const void *ptr) { return object_for("tri_size_of", ptr).size; }

TRI_API void *tri_base_of(const void *ptr) {
  tri_object object;
  return tri_object_find((uintptr_t)ptr, &object) ? (void *)object.start : NULL;
}

static void *alloc_like(const tri_span *span, size_t size) {
  if (span->noscan) return tri_alloc_noscan(size);
  if (!span->layout) return tri_alloc(size);
  return tri_alloc_layout(span->layout, size);
}

TRI_API void *tri_realloc(void *ptr, size_t size) {
  if (!ptr) return tri_alloc(size);
  tri_object object = object_for("tri_realloc", ptr);
  size = tri_max(size, 1);
  size_t kept = tri_min(size, object.size);
  /* Where an object in a tiny block ends is not known: it moves, and what follows it there belongs to others. */
  if (!is_shared(object.span) && size <= object.size && size > object.size / 2) {
    memset((char *)ptr + size, 0, object.size - size); /* should it grow again, what is new is zero */
    return ptr;
  }
  void *moved = alloc_like(object.span, size);
  if (!moved) return NULL;
  memmove(moved, ptr, kept); /* pieces of one tiny block may overlap: an old one's size is not known */
  tri_free(ptr);
  return moved;
}

TRI_API void tri_free(void *ptr) {
  if (!ptr) return;
  if (tri_cache_self == &tri_cache_none && !tri_the_hooks.attach()) return;
  switch (tri_object_free((uintptr_t)ptr)) {
  case TRI_FREED:
  case TRI_FREE_SHARED: return;
  case TRI_FREE_NOT_OURS: tri_fatal("tri_free: %p is not an object of this heap", ptr);
  case TRI_FREE_TWICE: tri_fatal("tri_free: the object at %p is free already", ptr);
  case TRI_FREE_INTERIOR:
    tri_fatal("tri_free: %p is not the start of an object: it points into the one at %p", ptr, tri_base_of(ptr));
  }
}
