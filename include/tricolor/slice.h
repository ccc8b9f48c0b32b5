/* tricolor/slice.h - growable arrays as Go's slices, and strings built piece by piece. (Go: append, copy,
 * strings.Builder)
 *
 *     TRI_SLICE(numbers, int);                      // at file scope: the type numbers, and functions numbers_...
 *
 *     numbers list = {0};                           // empty, no memory yet
 *     for (int i = 0; i < 10; i++)
 *       if (!numbers_append(&list, i)) return ENOMEM;
 *     numbers middle = numbers_sub(list, 3, 7);     // shares list's items, as in Go
 *     list.items[0] = 7;                            // not checked; *numbers_at(list, 0) is
 *
 * A slice is a small struct: copy it, return it, keep it in other structs. Slices that share items see each other's
 * writes, and appending to one that ends before its capacity overwrites what another has there, as in Go: numbers_clip
 * keeps it from that. When append needs room it takes a larger array and leaves the old one to the collector.
 *
 * TRI_SLICE(name, T) defines what follows, for any object type T. Items are read precisely when there is a TRI_TYPE for
 * T, otherwise conservatively: TRI_TYPE(int) spares the collector numbers.
 *
 *   name                                          struct { T *items; size_t length, capacity; }
 *   name name_make(size_t length, size_t capacity)   zeroed items; capacity below length counts as length. items NULL
 *                                                    with errno ENOMEM, and length 0. (Go: make([]T, length, capacity))
 *   bool name_append(name *s, T value)               amortised O(1). (Go: append(s, value))
 *   bool name_append_array(name *s, const T *values, size_t count)
 *   bool name_append_all(name *s, name other)        (Go: append(s, other...)); both may have items of s itself
 *   bool name_insert(name *s, size_t index, T value) (Go: slices.Insert)
 *   void name_remove(name *s, size_t low, size_t high)  closes the gap, zeroes what is left over. (Go: slices.Delete)
 *   bool name_reserve(name *s, size_t more)          room for so many more. (Go: slices.Grow)
 *   T *name_at(name s, size_t index)                 checked
 *   name name_sub(name s, size_t low, size_t high)   items low to high - 1; high up to the capacity. (Go: s[low:high])
 *   name name_sub_capped(name s, size_t low, size_t high, size_t max)  (Go: s[low:high:max])
 *   name name_clip(name s)                           with no capacity to spare. (Go: slices.Clip)
 *   size_t name_copy(name to, name from)             as many as both have; they may overlap. (Go: copy)
 *   name name_clone(name s)                          with items of its own; as name_make when memory is out
 *
 * What returns bool gives false with errno ENOMEM when memory is out, and the slice is as it was. An index or bound out
 * of range aborts with a line that names call and values. Capacities grow by Go's rule (double up to 256 items, then by
 * less and less towards a quarter), rounded up to the memory that the heap really gives; the smallest is 16 bytes.
 *
 * Slices may be used by any thread, by one at a time; not in signal handlers.
 */
#ifndef TRICOLOR_SLICE_H
#define TRICOLOR_SLICE_H

#include <stdarg.h>
#include <string.h>
#include <tricolor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Strings built piece by piece -------------------------------------------------------------------------------- */

/* An empty one is {0}. text is NULL or terminated; read it as you like, but call tri_builder_text for one that is never
 * NULL. Grows as slices do. (Go: strings.Builder) */
typedef struct tri_builder {
  char *text;
  size_t length;   /* without the terminating 0 */
  size_t capacity; /* with it */
} tri_builder;

/* Each adds to the end. false with errno ENOMEM when memory is out, or, of the formatted one, with printf's errno; then
 * nothing was added. s must not be NULL. What is added may be part of the builder's own text. */
TRI_API bool tri_builder_add(tri_builder *builder, const char *s);
TRI_API bool tri_builder_add_bytes(tri_builder *builder, const void *bytes, size_t size);
TRI_API bool tri_builder_printf(tri_builder *builder, const char *format, ...) __attribute__((format(printf, 2, 3)));
TRI_API bool tri_builder_vprintf(tri_builder *builder, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
static inline bool tri_builder_add_char(tri_builder *builder, char c);

/* Room for size more bytes, so that the next ones do not allocate. (Go: Builder.Grow) */
TRI_API bool tri_builder_reserve(tri_builder *builder, size_t size);

/* The text, terminated, never NULL; the builder's own until the next add. O(1). (Go: Builder.String) */
static inline const char *tri_builder_text(const tri_builder *builder) { return builder->text ? builder->text : ""; }

/* The text as the caller's own, never NULL; the builder is empty then. O(1). */
static inline char *tri_builder_take(tri_builder *builder) {
  static char empty[1];
  char *text = builder->text ? builder->text : empty;
  memset(builder, 0, sizeof *builder);
  return text;
}

/* ---- What the macro and the inline functions are made of --------------------------------------------------------- */

/* A larger array for a slice: of capacity items, that Go's rule gives for needed ones, the first length of them as in
 * items, the rest zero. NULL with errno ENOMEM. */
TRI_API void *tri_slice_grow(tri_site *site, const void *items, size_t length, size_t *capacity, size_t needed);

/* Says that index or bounds are out of range, and aborts. */
TRI_API void tri_slice_bad_index(const char *call, size_t index, size_t length) __attribute__((noreturn, cold));
TRI_API void tri_slice_bad_bounds(const char *call, size_t low, size_t high, size_t max, size_t capacity)
    __attribute__((noreturn, cold));

static inline bool tri_builder_add_char(tri_builder *builder, char c) {
  if (__builtin_expect(builder->capacity - builder->length < 2, 0)) return tri_builder_add_bytes(builder, &c, 1);
  builder->text[builder->length++] = c;
  builder->text[builder->length] = 0;
  return true;
}

#define TRI_SLICE_DO_ __attribute__((unused)) static inline

/* clang-format off */
#define TRI_SLICE(name, T)                                                                                             \
  typedef struct name { T *items; size_t length, capacity; } name;                                                     \
  __attribute__((unused, noinline)) static bool name##_grow_(name *s, size_t more) {                                   \
    static tri_site site = TRI_SITE_(T);                                                                               \
    size_t capacity = s->capacity, needed;                                                                             \
    T *grown_;                                                                                                         \
    if (__builtin_add_overflow(s->length, more, &needed)) needed = SIZE_MAX;                                           \
    grown_ = (T *)tri_slice_grow(&site, s->items, s->length, &capacity, needed);                                       \
    if (!grown_) return false;                                                                                         \
    s->items = grown_;                                                                                                 \
    s->capacity = capacity;                                                                                            \
    return true;                                                                                                       \
  }                                                                                                                    \
  TRI_SLICE_DO_ bool name##_reserve(name *s, size_t more) {                                                            \
    return s->capacity - s->length >= more || name##_grow_(s, more);                                                   \
  }                                                                                                                    \
  TRI_SLICE_DO_ name name##_make(size_t length, size_t capacity) {                                                     \
    name s;                                                                                                            \
    s.items = tri_make(T, capacity > length ? capacity : length);                                                      \
    s.length = s.items ? length : 0;                                                                                   \
    s.capacity = !s.items ? 0 : capacity > length ? capacity : length;                                                 \
    return s;                                                                                                          \
  }                                                                                                                    \
  TRI_SLICE_DO_ bool name##_append(name *s, T value) {                                                                 \
    if (__builtin_expect(s->length == s->capacity, 0) && !name##_grow_(s, 1)) return false;                            \
    s->items[s->length++] = value;                                                                                     \
    return true;                                                                                                       \
  }                                                                                                                    \
  TRI_SLICE_DO_ bool name##_append_array(name *s, T const *values, size_t count) {                                     \
    if (!name##_reserve(s, count)) return false;                                                                       \
    if (count) memmove(s->items + s->length, values, count * sizeof(T));                                               \
    s->length += count;                                                                                                \
    return true;                                                                                                       \
  }                                                                                                                    \
  TRI_SLICE_DO_ bool name##_append_all(name *s, name other) {                                                          \
    return name##_append_array(s, other.items, other.length);                                                          \
  }                                                                                                                    \
  TRI_SLICE_DO_ bool name##_insert(name *s, size_t index, T value) {                                                   \
    if (index > s->length) tri_slice_bad_index(#name "_insert", index, s->length);                                     \
    if (!name##_reserve(s, 1)) return false;                                                                           \
    memmove(s->items + index + 1, s->items + index, (s->length - index) * sizeof(T));                                  \
    s->items[index] = value;                                                                                           \
    s->length++;                                                                                                       \
    return true;                                                                                                       \
  }                                                                                                                    \
  TRI_SLICE_DO_ void name##_remove(name *s, size_t low, size_t high) {                                                 \
    if (low > high || high > s->length) tri_slice_bad_bounds(#name "_remove", low, high, high, s->length);             \
    if (low == high) return;                                                                                           \
    memmove(s->items + low, s->items + high, (s->length - high) * sizeof(T));                                          \
    memset((void *)(s->items + s->length - (high - low)), 0, (high - low) * sizeof(T));                                \
    s->length -= high - low;                                                                                           \
  }                                                                                                                    \
  TRI_SLICE_DO_ T *name##_at(name s, size_t index) {                                                                   \
    if (__builtin_expect(index >= s.length, 0)) tri_slice_bad_index(#name "_at", index, s.length);                     \
    return &s.items[index];                                                                                            \
  }                                                                                                                    \
  TRI_SLICE_DO_ name name##_sub_capped(name s, size_t low, size_t high, size_t max) {                                  \
    if (__builtin_expect(low > high || high > max || max > s.capacity, 0))                                             \
      tri_slice_bad_bounds(#name "_sub", low, high, max, s.capacity);                                                  \
    if (max > low) s.items += low; /* one past the end would keep nothing, or a neighbour */                           \
    s.length = high - low;                                                                                             \
    s.capacity = max - low;                                                                                            \
    return s;                                                                                                          \
  }                                                                                                                    \
  TRI_SLICE_DO_ name name##_sub(name s, size_t low, size_t high) {                                                     \
    return name##_sub_capped(s, low, high, s.capacity);                                                                \
  }                                                                                                                    \
  TRI_SLICE_DO_ name name##_clip(name s) {                                                                             \
    s.capacity = s.length;                                                                                             \
    return s;                                                                                                          \
  }                                                                                                                    \
  TRI_SLICE_DO_ size_t name##_copy(name to, name from) {                                                               \
    size_t count = to.length < from.length ? to.length : from.length;                                                  \
    if (count) memmove(to.items, from.items, count * sizeof(T));                                                       \
    return count;                                                                                                      \
  }                                                                                                                    \
  TRI_SLICE_DO_ name name##_clone(name s) {                                                                            \
    name copy = name##_make(s.length, 0);                                                                              \
    name##_copy(copy, s);                                                                                              \
    return copy;                                                                                                       \
  }                                                                                                                    \
  struct name
/* clang-format on */

#ifdef __cplusplus
}
#endif
#endif
