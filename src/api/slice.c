/* api/slice.c - what slices and builders need of the library: see tricolor/slice.h. Nothing is shared between threads
 * here; a slice is its user's. */
#include <stdio.h>
#include <string.h>
#include <tricolor/slice.h>

#include "api/link.h"
#include "api/types.h"
#include "base/fmt.h"
#include "heap/size_class.h"

enum { DOUBLED = 256 }; /* items up to which capacities double */

/* Go's rule (runtime/slice.go: nextslicecap): from doubling to a quarter more, without a jump. needed is above
 * capacity. */
static size_t grown(size_t capacity, size_t needed) {
  if (needed - capacity > capacity) return needed;
  if (capacity < DOUBLED) return capacity * 2;
  while (capacity < needed) {
    size_t more = (capacity >> 2) + 3 * DOUBLED / 4;
    if (__builtin_add_overflow(capacity, more, &capacity)) return needed;
  }
  return capacity;
}

/* What the heap takes for an array of so many bytes. */
static size_t rounded(size_t bytes) {
  if (bytes <= TRI_SMALL_MAX) return tri_size_classes[tri_size_class_of(tri_max(bytes, 1))].size;
  return bytes > SIZE_MAX / 2 ? bytes : tri_align_up(bytes, TRI_PAGE_SIZE);
}

TRI_API void *tri_slice_grow(tri_site *site, const void *items, size_t length, size_t *capacity, size_t needed) {
  size_t bytes, enough = grown(*capacity, needed);
  if (__builtin_mul_overflow(enough, site->size, &bytes) && __builtin_mul_overflow(needed, site->size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  size_t count = rounded(bytes) / site->size;
  char *array = tri_alloc_site_growing(site, count, length);
  if (!array) return NULL;
  if (length) memcpy(array, items, length * site->size);
  *capacity = count;
  return array;
}

TRI_API void tri_slice_bad_index(const char *call, size_t index, size_t length) {
  tri_fatal("%s: index %zu is out of range, the length is %zu", call, index, length);
}

TRI_API void tri_slice_bad_bounds(const char *call, size_t low, size_t high, size_t max, size_t capacity) {
  tri_fatal("%s: bounds [%zu:%zu:%zu] are out of range, there are %zu items", call, low, high, max, capacity);
}

/* ---- builders ---- */

/* Room for size more bytes and the terminating 0. The old text stays as it is: someone may read it still. */
static bool reserve(tri_builder *builder, size_t size) {
  size_t needed, capacity = builder->capacity;
  if (__builtin_add_overflow(builder->length, size, &needed) || needed > PTRDIFF_MAX) {
    errno = ENOMEM;
    return false;
  }
  if (needed < capacity) return true;
  capacity = rounded(grown(capacity, needed + 1));
  char *text = tri_alloc_uninit(capacity);
  if (!text) return false;
  if (builder->length) memcpy(text, builder->text, builder->length);
  text[builder->length] = 0;
  builder->text = text;
  builder->capacity = capacity;
  return true;
}

TRI_API bool tri_builder_reserve(tri_builder *builder, size_t size) { return reserve(builder, size); }

TRI_API bool tri_builder_add_bytes(tri_builder *builder, const void *bytes, size_t size) {
  if (!reserve(builder, size)) return false;
  if (size) memmove(builder->text + builder->length, bytes, size);
  builder->length += size;
  builder->text[builder->length] = 0;
  return true;
}

TRI_API bool tri_builder_add(tri_builder *builder, const char *s) {
  return tri_builder_add_bytes(builder, s, strlen(s));
}

/* Beside the text first, which may be among the arguments. */
TRI_API bool tri_builder_vprintf(tri_builder *builder, const char *format, va_list arguments) {
  char some[256], *all = some;
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(some, sizeof some, format, arguments);
  if (length >= (int)sizeof some) {
    all = tri_alloc_uninit((size_t)length + 1);
    if (all) length = vsnprintf(all, (size_t)length + 1, format, again);
  }
  va_end(again);
  return all && length >= 0 && tri_builder_add_bytes(builder, all, (size_t)length);
}

TRI_API bool tri_builder_printf(tri_builder *builder, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  bool good = tri_builder_vprintf(builder, format, arguments);
  va_end(arguments);
  return good;
}
