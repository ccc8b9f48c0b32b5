/* test_api_zero.c - every byte of every new object is zero, whoever had its memory before and however he gave it up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <tricolor.h>

#include "random.h"

enum { KEPT = 64, ROUNDS = 6, DIRT = 0xff };

static void *kept[KEPT]; /* a root */

static void assert_zero(const void *start, size_t size) {
  const unsigned char *bytes = start;
  for (size_t i = 0; i < size; i++)
    if (bytes[i]) fail_msg("byte %zu of %zu is %#x", i, size, bytes[i]);
}

typedef void *maker(size_t size);

static void *make_array(size_t size) { return tri_alloc_array(size, 1); }
static void *make_aligned(size_t size) { return tri_alloc_aligned(64, size); }
static void *make_noscan_aligned(size_t size) { return tri_alloc_noscan_aligned(256, size); }
static void *make_page_aligned(size_t size) { return tri_alloc_aligned(8192, size); }
static void *make_grown(size_t size) { return tri_realloc(tri_realloc(NULL, size / 2), size); }
static void *make_grown_noscan(size_t size) {
  size_t before = size / 2 < 16 ? 16 : size / 2;
  unsigned char *bytes = tri_alloc_noscan(before);
  return tri_realloc(bytes, size < before ? before : size);
}

static maker *const makers[] = {tri_alloc,           tri_alloc_noscan,  make_array, make_aligned,
                                make_noscan_aligned, make_page_aligned, make_grown, make_grown_noscan};
enum { MAKERS = sizeof makers / sizeof *makers };

/* Makes many of a size, zero each, fills all of their slots, keeps some, frees some, drops the others. */
static void recycle(maker *make, size_t size, test_random *random) {
  size_t count = size > 100000 ? 3 : size > 2000 ? 30 : 300;
  for (size_t i = 0; i < count; i++) {
    unsigned char *object = make(size);
    assert_non_null(object);
    assert_zero(object, size);
    memset(object, DIRT, size);
    size_t fate = random_below(random, 4);
    if (fate == 0) kept[random_below(random, KEPT)] = object;
    if (fate == 1 && size >= 16) tri_free(object);
  }
}

static void recycle_sizes(const size_t *sizes, size_t count) {
  test_random random = {1};
  for (int round = 0; round < ROUNDS; round++)
    for (size_t i = 0; i < count; i++) {
      for (int make = 0; make < MAKERS; make++) recycle(makers[make], sizes[i], &random);
      if (i % 8 == 0) tri_gc();
    }
  memset(kept, 0, sizeof kept);
}

static void test_small_sizes(void **state) {
  (void)state;
  size_t sizes[80], count = 0;
  for (size_t size = 0; size <= 1024; size += size < 64 ? 1 : size < 256 ? 31 : 129) sizes[count++] = size;
  recycle_sizes(sizes, count);
}

/* Every class, its size and one more. */
static void test_every_class(void **state) {
  (void)state;
  tri_memstats stats;
  tri_read_memstats(&stats);
  for (int i = 0; i < TRI_BY_SIZE_COUNT; i++) {
    size_t sizes[2] = {stats.BySize[i].Size, stats.BySize[i].Size + 1};
    if (sizes[0]) recycle_sizes(sizes, 2);
  }
}

static void test_large_sizes(void **state) {
  (void)state;
  static const size_t sizes[] = {32767, 32768, 32769, 40960, 65536, 100001, 1 << 20, (1 << 20) + 8191};
  recycle_sizes(sizes, sizeof sizes / sizeof *sizes);
}

typedef struct record {
  struct record *next;
  long numbers[6];
} record;
TRI_TYPE(record, next);

typedef struct table {
  char bytes[4000];
  void *end;
} table;
TRI_TYPE(table, end);

typedef struct numbers {
  double values[12];
} numbers;
TRI_TYPE(numbers);

typedef struct plain {
  void *words[9];
} plain;

#define RECYCLE_TYPE(T)                                                                                                \
  do {                                                                                                                 \
    T *one = tri_new(T);                                                                                               \
    T *many = tri_make(T, 1 + i % 40);                                                                                 \
    assert_zero(one, sizeof *one);                                                                                     \
    assert_zero(many, (1 + i % 40) * sizeof *many);                                                                    \
    memset(one, DIRT, sizeof *one);                                                                                    \
    memset(many, DIRT, (1 + i % 40) * sizeof *many);                                                                   \
    if (i % 3 == 0) tri_free(one);                                                                                     \
    if (i % 5 == 0) tri_free(many);                                                                                    \
    if (i % 7 == 0) kept[i / 7 % KEPT] = many;                                                                         \
  } while (0)

static void test_typed(void **state) {
  (void)state;
  for (size_t i = 0; i < 6000; i++) {
    RECYCLE_TYPE(record);
    RECYCLE_TYPE(table);
    RECYCLE_TYPE(numbers);
    RECYCLE_TYPE(plain);
    if (i % 500 == 0) tri_gc();
  }
  memset(kept, 0, sizeof kept);
}

/* Growing in place: what an earlier, longer life of the same object left behind is not seen. */
static void test_shrunk_and_grown(void **state) {
  (void)state;
  static const size_t sizes[] = {16, 48, 100, 500, 1000, 1500, 5000, 20000, 32768, 33000, 300000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (size_t less = 1; less < sizes[i]; less = less * 2 + 1) {
      size_t size = sizes[i];
      unsigned char *object = less & 2 ? tri_alloc(size) : tri_alloc_noscan(size);
      memset(object, DIRT, size);
      object = tri_realloc(object, size - less);
      object = tri_realloc(object, size);
      for (size_t at = 0; at < size - less; at++)
        assert_int_equal(object[at], size - less < 16 && !(less & 2) ? object[at] : DIRT);
      if (size - less >= 16) assert_zero(object + size - less, less);
    }
}

/* An object that was made without clearing: what lies behind its end is zero all the same once it grows. */
static void test_uninit_grown(void **state) {
  (void)state;
  static const size_t sizes[] = {16, 100, 1025, 1500, 5000, 20000, 32760, 33000, 100000, 300001};
  for (int round = 0; round < 4; round++) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
      for (int j = 0; j < 20; j++) {
        unsigned char *object = tri_alloc_uninit(sizes[i]);
        memset(object, DIRT, sizes[i]);
        size_t more = sizes[i] + 1 + (size_t)j * 401;
        object = tri_realloc(object, more);
        assert_int_equal(object[sizes[i] - 1], DIRT);
        assert_zero(object + sizes[i], more - sizes[i]);
        memset(object, DIRT, more);
        if (j & 1) tri_free(object);
      }
    tri_gc();
  }
}

/* Memory that went back to the system and came again. */
static void test_after_giving_memory_back(void **state) {
  (void)state;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 200; i++) {
      unsigned char *object = tri_alloc_noscan(50000), *small = tri_alloc(200);
      assert_zero(object, 50000);
      assert_zero(small, 200);
      memset(object, DIRT, 50000);
      memset(small, DIRT, 200);
      kept[i % KEPT] = object;
    }
    memset(kept, 0, sizeof kept);
    tri_free_os_memory();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_small_sizes),
      cmocka_unit_test(test_every_class),
      cmocka_unit_test(test_large_sizes),
      cmocka_unit_test(test_typed),
      cmocka_unit_test(test_shrunk_and_grown),
      cmocka_unit_test(test_uninit_grown),
      cmocka_unit_test(test_after_giving_memory_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
