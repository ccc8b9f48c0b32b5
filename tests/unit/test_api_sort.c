/* test_api_sort.c - qsort and qsort_r, which the library stands in for: they sort, stably, whatever the elements; and
 * no object is lost while pointers to it are sorted and another thread collects. Every case that needs a heap runs in a
 * child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>

#include "child.h"
#include "random.h"
#include "steps.h"

enum { MOST = 3000, MOST_BYTES = 200, KEYS = 50 };

/* ---- sorting ---- */

/* An element begins with a key of one byte; when there is room, its number in the unsorted array follows, and a copy of
 * that ends it. */
static size_t element_size;
static test_random keys = {1};

static int by_key(const void *a, const void *b) { return *(const unsigned char *)a - *(const unsigned char *)b; }

static int by_key_downwards(const void *a, const void *b, void *sign) { return *(int *)sign * by_key(a, b); }

static uint32_t number_of(const char *element, size_t at) {
  uint32_t number;
  memcpy(&number, element + at, sizeof number);
  return number;
}

static void fill(char *elements, size_t count) {
  for (uint32_t i = 0; i < count; i++) {
    char *element = elements + i * element_size;
    memset(element, 0x5a, element_size);
    if (element_size >= 8) {
      memcpy(element + element_size - 4, &i, 4);
      memcpy(element + 4, &i, 4);
    }
    element[0] = (char)random_below(&keys, KEYS);
  }
}

static void check_sorted(const char *elements, size_t count, int sign) {
  for (size_t i = 0; i < count; i++) {
    const char *element = elements + i * element_size, *before = element - element_size;
    if (i) assert_true(sign * by_key(before, element) <= 0);
    if (element_size < 8) continue;
    assert_int_equal(number_of(element, 4), number_of(element, element_size - 4));
    if (i && element_size % 8 == 0 && by_key(before, element) == 0)
      assert_true(number_of(before, 4) < number_of(element, 4)); /* stable where the library sorts itself */
  }
}

static const size_t sizes[] = {1, 2, 4, 8, 12, 16, 24, 32, 40, 41, 48, MOST_BYTES};
static const size_t counts[] = {0, 1, 2, 3, 7, 64, 127, 128, 129, 1000, MOST};

static void check_all(void) {
  static _Alignas(16) char elements[MOST * MOST_BYTES];
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
      element_size = sizes[s];
      fill(elements, counts[c]);
      errno = 1234;
      qsort(elements, counts[c], element_size, by_key);
      assert_int_equal(errno, 1234);
      check_sorted(elements, counts[c], 1);
      int sign = -1;
      fill(elements, counts[c]);
      qsort_r(elements, counts[c], element_size, by_key_downwards, &sign);
      assert_int_equal(errno, 1234);
      check_sorted(elements, counts[c], -1);
    }
}

static void check_unaligned(void) {
  static _Alignas(16) char room[MOST * 12 + 4];
  element_size = 12;
  fill(room + 4, MOST);
  qsort(room + 4, MOST, element_size, by_key);
  check_sorted(room + 4, MOST, 1);
}

/* First before the heap has started, then after. */
static void test_every_size_and_count(void **state) {
  (void)state;
  check_all();
  assert_int_equal(tri_init(NULL), TRI_OK);
  check_all();
  check_unaligned();
}

static void test_in_a_blocking_region(void **state) {
  (void)state;
  tri_blocking_begin();
  check_all();
  tri_blocking_end();
}

/* A comparison may leave by longjmp; the array is some order of its elements then. */
static jmp_buf away;
static int comparisons_left;

static int by_key_for_a_while(const void *a, const void *b) {
  if (comparisons_left-- == 0) longjmp(away, 1);
  return by_key(a, b);
}

static void check_leaving(size_t size, size_t count) {
  static _Alignas(16) char elements[MOST * MOST_BYTES];
  static unsigned char seen[MOST];
  element_size = size;
  fill(elements, count);
  if (setjmp(away) == 0) qsort(elements, count, size, by_key_for_a_while);
  memset(seen, 0, sizeof seen);
  for (size_t i = 0; i < count; i++) seen[number_of(elements + i * size, 4)]++;
  for (size_t i = 0; i < count; i++) assert_int_equal(seen[i], 1);
}

static void test_leaving_the_comparison(void **state) {
  (void)state;
  for (int comparisons = 0; comparisons < 8000; comparisons += 501) {
    comparisons_left = comparisons;
    check_leaving(16, 1000);
    comparisons_left = comparisons;
    check_leaving(48, 1000);
  }
}

/* ---- collecting meanwhile ---- */

enum { SORTERS = 2, RECORDS = 20000, ROUNDS = 150, MAGIC = 42 };

typedef struct record {
  long key, magic, more[2];
} record;

typedef struct wide {
  long unused[5];
  record *of;
} wide;

static int by_record(const void *a, const void *b) {
  const record *x = *(record *const *)a, *y = *(record *const *)b;
  return (x->key > y->key) - (x->key < y->key);
}

static int by_record_of_wide(const void *a, const void *b) {
  return by_record(&((const wide *)a)->of, &((const wide *)b)->of);
}

static atomic_int sorters_left;

/* The records are known to the array alone. */
static void sort_records(record **records, test_random *numbers) {
  for (int i = 0; i < RECORDS; i++) records[i]->key = (long)random_next(numbers);
  qsort(records, RECORDS, sizeof *records, by_record);
  for (int i = 0; i < RECORDS; i++) CHILD_CHECK(records[i]->magic == MAGIC);
}

static void sort_wide(wide *all, test_random *numbers) {
  for (int i = 0; i < RECORDS / 4; i++) all[i].of->key = (long)random_next(numbers);
  qsort(all, RECORDS / 4, sizeof *all, by_record_of_wide);
  for (int i = 0; i < RECORDS / 4; i++) CHILD_CHECK(all[i].of->magic == MAGIC);
}

static record *new_record(void) {
  record *one = tri_new(record);
  one->magic = MAGIC;
  return one;
}

static void *sorter(void *seed) {
  test_random numbers = {*(uint64_t *)seed};
  record **records = tri_alloc_array(RECORDS, sizeof *records);
  wide *all = tri_alloc_array(RECORDS / 4, sizeof *all);
  for (int i = 0; i < RECORDS; i++) records[i] = new_record();
  for (int i = 0; i < RECORDS / 4; i++) all[i].of = new_record();
  for (int round = 0; round < ROUNDS; round++) {
    sort_records(records, &numbers);
    sort_wide(all, &numbers);
  }
  atomic_fetch_sub(&sorters_left, 1);
  return NULL;
}

static void sort_and_collect(void *unused) {
  (void)unused;
  pthread_t threads[SORTERS];
  uint64_t seeds[SORTERS] = {1, 2};
  atomic_store(&sorters_left, SORTERS);
  for (int i = 0; i < SORTERS; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, sorter, &seeds[i]) == 0);
  while (atomic_load(&sorters_left)) tri_gc();
  for (int i = 0; i < SORTERS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_no_object_is_lost(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("a stop may interrupt it, see tests/CMakeLists.txt");
  child_result result = child_run(sort_and_collect, NULL, (const char *const[]){"TRICOLOR_DEBUG=poison=1", NULL});
  if (!child_succeeded(&result)) fail_msg("%s", result.text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_object_is_lost), /* first: children want a parent without a heap */
      cmocka_unit_test(test_every_size_and_count),
      cmocka_unit_test(test_in_a_blocking_region),
      cmocka_unit_test(test_leaving_the_comparison),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
