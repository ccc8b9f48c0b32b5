/* api/alloc.c - the public allocation functions: which bucket, then the thread's cache (heap/cache.h).
 *
 * The short way is a table look-up, a load, a ctz and a store; everything that can fail or wait, and so could change
 * errno, is in tri_api_alloc_slow. No lock of its own. Follows runtime/malloc.go. */
#include <string.h>
#include <tricolor.h>

#include "api/link.h"
#include "api/types.h"
#include "heap/heap.h"
#include "heap/layout.h"
#include "heap/object.h"

/* ---- one object of a size ---- */

TRI_INLINE void *alloc_bucket(uint32_t bucket) {
  void *object = tri_cache_slot_pop(&tri_cache_self->slots[bucket]);
  return tri_likely(object) ? object : tri_api_alloc_slow(bucket);
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

static void *alloc_large(size_t size, size_t alignment, bool noscan, bool zero) {
  return TRI_KEEPING_ERRNO(tri_large_alloc(size, alignment, 0, noscan, zero));
}

static TRI_NOINLINE void *alloc_big(size_t size, uint32_t first_bucket) {
  if (size > TRI_SMALL_MAX) return alloc_large(size, 1, first_bucket == TRI_BUCKET_NOSCAN, true);
  uint32_t size_class = tri_size_class_of(size);
  return alloc_medium(first_bucket + size_class, size_class);
}

TRI_API void *tri_alloc(size_t size) {
  if (tri_likely(size <= TRI_CLASS_LOOKUP_MAX)) return alloc_small(size, TRI_BUCKET_CONSERVATIVE);
  return alloc_big(size, TRI_BUCKET_CONSERVATIVE);
}

/* Pointer-free requests under 16 bytes share a block (runtime/malloc.go: mallocgcTiny). Go aligns by what divides the
 * size; in C a struct that ends in an array may have any size, so alignment follows from the size alone. */
static TRI_NOINLINE void *tiny_refill(size_t size) {
  char *block = alloc_bucket(TRI_BUCKET_TINY);
  if (!block) return NULL;
  tri_cache *cache = tri_cache_self;
  cache->tiny_left = TRI_TINY_SIZE - size;
  cache->tiny_next = (uintptr_t)block + size;
  return block;
}

TRI_INLINE size_t tiny_alignment(size_t size) { return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1; }

TRI_INLINE void *alloc_tiny(size_t size, size_t alignment) {
  tri_cache *cache = tri_cache_self;
  size += size == 0;
  size_t skip = -cache->tiny_next & (alignment - 1);
  if (cache->tiny_left < size + skip) return tiny_refill(size);
  uintptr_t object = cache->tiny_next + skip;
  cache->tiny_left -= size + skip;
  cache->tiny_next = object + size;
  tri_tally_add(&cache->counts.tiny, 1);
  return (void *)object;
}

TRI_API void *tri_alloc_noscan(size_t size) {
  if (tri_unlikely(size < TRI_TINY_SIZE)) return alloc_tiny(size, tiny_alignment(size));
  if (tri_likely(size <= TRI_CLASS_LOOKUP_MAX)) return alloc_small(size, TRI_BUCKET_NOSCAN);
  return alloc_big(size, TRI_BUCKET_NOSCAN);
}

TRI_API void *tri_alloc_uninit(size_t size) {
  if (size <= TRI_BULK_ZERO_MAX) return tri_alloc_noscan(size);
  bool large = size > TRI_SMALL_MAX;
  uint32_t size_class = large ? 0 : tri_size_class_of(size);
  char *object = large ? alloc_large(size, 1, true, false) : alloc_bucket(TRI_BUCKET_NOSCAN + size_class);
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
  if (!size_class) return alloc_large(size, alignment, noscan, true);
  uint32_t bucket = (noscan ? TRI_BUCKET_NOSCAN : TRI_BUCKET_CONSERVATIVE) + size_class;
  return tri_size_classes[size_class].size > TRI_BULK_ZERO_MAX ? alloc_medium(bucket, size_class)
                                                               : alloc_bucket(bucket);
}

TRI_API void *tri_alloc_aligned(size_t alignment, size_t size) { return alloc_aligned(alignment, size, false); }
TRI_API void *tri_alloc_noscan_aligned(size_t alignment, size_t size) { return alloc_aligned(alignment, size, true); }

/* ---- strings ---- */

/* Characters need no alignment. */
static char *copy_string(const char *s, size_t length) {
  char *copy = length < TRI_TINY_SIZE - 1 ? alloc_tiny(length + 1, 1) : tri_alloc_uninit(length + 1);
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

/* That of a large object which was freed or collected is no object's any more: of it nothing is known. */
_Noreturn static void not_an_object(const char *call, const void *ptr) {
  tri_fatal("%s: %p is not an object of this heap (or no longer)", call, ptr);
}

_Noreturn static void not_a_start(const char *call, const void *ptr, uintptr_t start) {
  tri_fatal("%s: %p is not the start of an object: it points %zu bytes into the one at %p", call, ptr,
            (size_t)((uintptr_t)ptr - start), (void *)start);
}

/* The object that starts at ptr, or a fatal error that names the call. */
static tri_object object_for(const char *call, const void *ptr) {
  tri_object object;
  if (!tri_object_find((uintptr_t)ptr, &object)) not_an_object(call, ptr);
  if (is_shared(object.span)) {
    object.size -= (uintptr_t)ptr - object.start;
    object.start = (uintptr_t)ptr;
  }
  if (object.start != (uintptr_t)ptr) not_a_start(call, ptr, object.start);
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

/* A typed object that is no whole number of elements must not fill its slot: a root is not taken for its end then
 * (heap/object.h: tri_object_may_end_at). */
static size_t with_slack(const tri_span *span, size_t size) {
  if (!span->layout || size == SIZE_MAX) return size;
  return size + (size % (tri_layout_get(span->layout)->element_words * 8) != 0);
}

TRI_API void *tri_realloc(void *ptr, size_t size) {
  if (!ptr) return tri_alloc(size);
  tri_object object = object_for("tri_realloc", ptr);
  size = tri_max(size, 1);
  size_t kept = tri_min(size, object.size), wanted = with_slack(object.span, size);
  /* Where an object in a tiny block ends is not known: it moves, and what follows it there belongs to others. */
  if (!is_shared(object.span) && wanted <= object.size && size > object.size / 2) {
    memset((char *)ptr + size, 0, object.size - size); /* should it grow again, what is new is zero */
    return ptr;
  }
  void *moved = alloc_like(object.span, wanted);
  if (!moved) return NULL;
  memmove(moved, ptr, kept); /* pieces of one tiny block may overlap: an old one's size is not known */
  tri_free(ptr);
  return moved;
}

static bool attach(void) {
  TRI_KEEP_ERRNO;
  return tri_the_hooks.attach() != NULL;
}

TRI_API void tri_free(void *ptr) {
  if (!ptr) return;
  if (tri_unlikely(tri_cache_self == &tri_cache_none) && !attach()) return;
  switch (tri_object_free((uintptr_t)ptr)) {
  case TRI_FREED:
  case TRI_FREE_SHARED: return;
  case TRI_FREE_NOT_OURS: not_an_object("tri_free", ptr);
  case TRI_FREE_TWICE: tri_fatal("tri_free: the object at %p is free already", ptr);
  case TRI_FREE_INTERIOR: not_a_start("tri_free", ptr, (uintptr_t)tri_base_of(ptr));
  }
}
