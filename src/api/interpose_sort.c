/* api/interpose_sort.c - qsort and qsort_r whose copies the collector sees.
 *
 * glibc sorts arrays of a KiB and more through a copy in malloc memory. While it copies back, a pointer may be in that
 * copy alone, and a collection that another thread starts would free its object. This is the same merge sort, stable as
 * well, with the copy on the stack or in conservative memory of the heap. As there, elements of more than four words
 * are sorted by pointers to them and moved once at the end; and while the comparison runs, the array holds every
 * element.
 *
 * The C library's own function sorts what cannot hold pointers (elements that are not whole aligned words), everything
 * before the heap has started, and where no memory can be had: in a blocking region or a slow path of ours that a
 * signal interrupted, and when it is out. No lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>

#include "api/interpose.h"
#include "gc/thread.h"

const char tri_interpose_anchor_sort = 0;

TRI_INTERPOSES(qsort);
TRI_INTERPOSES(qsort_r);

TRI_UNSANITIZED_BEGIN

enum {
  STACK_WORDS = 128,     /* the scratch of smaller sorts is on the stack */
  MOST_DIRECT_WORDS = 4, /* larger elements are sorted by pointers to them */
};

typedef struct sort_order {
  __compar_fn_t compare;              /* this one, */
  __compar_d_fn_t compare_in_context; /* or this one with context */
  void *context;
  bool by_pointer; /* the words sorted are pointers to elements */
} sort_order;

static bool in_order(const sort_order *order, const uintptr_t *a, const uintptr_t *b) {
  const void *left = order->by_pointer ? (const void *)*a : a;
  const void *right = order->by_pointer ? (const void *)*b : b;
  return (order->compare ? order->compare(left, right) : order->compare_in_context(left, right, order->context)) <= 0;
}

/* Word by word where there are few: a call for each element would take longer than the copy. */
TRI_INLINE void copy_element(uintptr_t *to, const uintptr_t *from, size_t words) {
  for (size_t i = 0; i < words; i++) to[i] = from[i];
}

/* Merges the left elements from first on and the right ones behind them, both sorted. */
TRI_INLINE void merge(const sort_order *order, uintptr_t *first, size_t left, size_t right, size_t words,
                      uintptr_t *scratch) {
  uintptr_t *a = first, *b = first + left * words, *to = scratch;
  if (in_order(order, b - words, b)) return;
  while (left && right) {
    bool take_left = in_order(order, a, b);
    copy_element(to, take_left ? a : b, words);
    to += words;
    a += take_left ? words : 0;
    b += take_left ? 0 : words;
    left -= take_left;
    right -= !take_left;
  }
  memcpy(to, a, left * words * sizeof *a);
  to += left * words;
  memcpy(first, scratch, (size_t)(to - scratch) * sizeof *first);
}

/* As deep as the count has bits. */
static void sort_elements(const sort_order *order, uintptr_t *first, size_t count, size_t words, uintptr_t *scratch) {
  if (count < 2) return;
  size_t left = count / 2;
  sort_elements(order, first, left, words, scratch);
  sort_elements(order, first + left * words, count - left, words, scratch);
  if (words == 1)
    merge(order, first, left, count - left, 1, scratch);
  else
    merge(order, first, left, count - left, words, scratch);
}

/* Puts every element where its pointer is in the sorted list: along each cycle, with one element in hand. */
static void move_to_places(uintptr_t *elements, uintptr_t *pointers, size_t count, size_t words, uintptr_t *hand) {
  size_t bytes = words * sizeof *elements;
  for (size_t i = 0; i < count; i++) {
    uintptr_t *place = elements + i * words;
    if (pointers[i] == (uintptr_t)place) continue;
    memcpy(hand, place, bytes);
    for (size_t at = i;;) {
      uintptr_t *to = elements + at * words, *from = (uintptr_t *)pointers[at];
      pointers[at] = (uintptr_t)to;
      if (from == place) {
        memcpy(to, hand, bytes);
        break;
      }
      memcpy(to, from, bytes);
      at = (size_t)(from - elements) / words;
    }
  }
}

static void sort_by_pointers(sort_order *order, uintptr_t *elements, size_t count, size_t words, uintptr_t *scratch) {
  uintptr_t *pointers = scratch + count;
  for (size_t i = 0; i < count; i++) pointers[i] = (uintptr_t)(elements + i * words);
  order->by_pointer = true;
  sort_elements(order, pointers, count, 1, scratch);
  move_to_places(elements, pointers, count, words, scratch + 2 * count);
}

/* Words of scratch; 0 when there would be too many, or nothing to sort so. */
static size_t scratch_words(const void *base, size_t count, size_t size) {
  size_t bytes, words = size / sizeof(uintptr_t);
  if (count < 2 || size == 0 || ((uintptr_t)base | size) % sizeof(uintptr_t)) return 0;
  if (__builtin_mul_overflow(count, size, &bytes) || count > SIZE_MAX / 64) return 0;
  return words <= MOST_DIRECT_WORDS ? count * words : 2 * count + words;
}

static bool may_allocate(void) {
  if (!tri_stop_signal()) return false;
  const tri_thread *thread = tri_thread_known();
  return !thread || (atomic_load_explicit(&thread->state, memory_order_relaxed) == TRI_THREAD_RUNNING &&
                     !atomic_load_explicit(&thread->cache.defer, memory_order_relaxed));
}

/* False: it is left to the C library. */
static bool sort(sort_order *order, void *base, size_t count, size_t size) {
  uintptr_t on_stack[STACK_WORDS], *scratch = on_stack;
  size_t words = size / sizeof(uintptr_t), needed = scratch_words(base, count, size);
  if (!needed) return false;
  if (needed > STACK_WORDS) {
    int saved_errno = errno;
    scratch = may_allocate() ? tri_alloc(needed * sizeof *scratch) : NULL;
    errno = saved_errno;
    if (!scratch) return false;
  }
  if (words <= MOST_DIRECT_WORDS)
    sort_elements(order, base, count, words, scratch);
  else
    sort_by_pointers(order, base, count, words, scratch);
  if (scratch != on_stack) tri_free(scratch);
  return true;
}

TRI_INTERPOSED void qsort(void *base, size_t count, size_t size, __compar_fn_t compare) {
  sort_order order = {.compare = compare};
  if (!sort(&order, base, count, size)) TRI_REAL(qsort)(base, count, size, compare);
}

TRI_INTERPOSED void qsort_r(void *base, size_t count, size_t size, __compar_d_fn_t compare, void *context) {
  sort_order order = {.compare_in_context = compare, .context = context};
  if (!sort(&order, base, count, size)) TRI_REAL(qsort_r)(base, count, size, compare, context);
}

TRI_UNSANITIZED_END
