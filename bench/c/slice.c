/* slice.c - arrays that grow one item at a time.
 *
 *     bench-slice-PEER [ITEMS ROUNDS]      (100,000 and 500)
 *
 * Appends ITEMS numbers to an empty array, and as many pointers to another, ROUNDS times; the arrays are dropped. Peers
 * without slices grow theirs by realloc, to twice the size. append_ns is the time of one append, of numbers and
 * pointers together. */
#include "bench.h"

typedef struct item {
  struct item *next;
} item;

#if defined(BENCH_TRICOLOR)

#include <tricolor/slice.h>

TRI_TYPE(uint64_t);
TRI_SLICE(numbers, uint64_t);
TRI_SLICE(pointers, item *);
#define slice_drop(slice) ((void)(slice))

#else

#if defined(BENCH_BDWGC)
#define slice_realloc(p, size) GC_REALLOC(p, size)
#define slice_free(p) ((void)(p))
#else
#define slice_realloc(p, size) realloc(p, size)
#define slice_free(p) free(p)
#endif

#define SLICE(name, T)                                                                                                 \
  typedef struct name {                                                                                                \
    T *items;                                                                                                          \
    size_t length, capacity;                                                                                           \
  } name;                                                                                                              \
  static inline bool name##_append(name *s, T value) {                                                                 \
    if (s->length == s->capacity) {                                                                                    \
      s->capacity = s->capacity ? s->capacity * 2 : 2;                                                                 \
      s->items = slice_realloc(s->items, s->capacity * sizeof(T));                                                     \
    }                                                                                                                  \
    s->items[s->length++] = value;                                                                                     \
    return true;                                                                                                       \
  }
SLICE(numbers, uint64_t)
SLICE(pointers, item *)
#define slice_drop(slice) slice_free((slice).items)

#endif

static BENCH_NOINLINE uint64_t append_numbers(size_t count) {
  numbers list = {0};
  for (size_t i = 0; i < count; i++) (void)numbers_append(&list, i);
  bench_keep(list.items);
  uint64_t last = list.items[count - 1];
  slice_drop(list);
  return last;
}

static BENCH_NOINLINE uint64_t append_pointers(size_t count) {
  static item one;
  pointers list = {0};
  for (size_t i = 0; i < count; i++) (void)pointers_append(&list, &one);
  bench_keep(list.items);
  uint64_t last = list.items[count - 1] == &one;
  slice_drop(list);
  return last;
}

int main(int argc, char **argv) {
  size_t count = (size_t)bench_arg(argc, argv, 1, 100000), rounds = (size_t)bench_arg(argc, argv, 2, 500);
  uint64_t check = 0;
  bench_start();
  uint64_t start = bench_now_ns();
  for (size_t i = 0; i < rounds; i++) check += append_numbers(count) + append_pointers(count);
  bench_report("slice", "append_ns=%.3f check=%" PRIu64,
               bench_ms_since(start) * 1e6 / (2.0 * (double)count * (double)rounds), check);
  return 0;
}
