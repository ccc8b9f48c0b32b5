/* test_api_alloc.c - the public allocation functions, as include/tricolor.h describes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <tricolor.h>

static const size_t sizes[] = {0,
                               1,
                               2,
                               7,
                               8,
                               15,
                               16,
                               17,
                               31,
                               32,
                               33,
                               48,
                               63,
                               100,
                               127,
                               128,
                               129,
                               255,
                               1000,
                               1023,
                               1024,
                               1025,
                               1500,
                               2048,
                               4096,
                               8191,
                               8192,
                               8193,
                               9000,
                               16383,
                               20000,
                               32767,
                               32768,
                               32769,
                               65536,
                               1 << 20,
                               (1 << 20) + 1,
                               5 << 20};
enum { SIZES = sizeof sizes / sizeof *sizes };

typedef void *maker(size_t size);

static size_t largest_power_dividing(uintptr_t address) { return (size_t)(address & -address); }

static void check_one(maker *make, size_t size, size_t alignment) {
  unsigned char *object = make(size);
  assert_non_null(object);
  assert_true(largest_power_dividing((uintptr_t)object) >= alignment);
  for (size_t i = 0; i < size; i++) object[i] = (unsigned char)i;
  for (size_t i = 0; i < size; i++) assert_int_equal(object[i], (unsigned char)i);
}

static void *make_array(size_t size) { return tri_alloc_array(1, size); }
static void *make_by_realloc(size_t size) { return tri_realloc(NULL, size); }

static void test_alignment_of_16(void **state) {
  (void)state;
  static maker *const makers[] = {tri_alloc, make_array, make_by_realloc};
  for (size_t i = 0; i < SIZES; i++)
    for (size_t make = 0; make < sizeof makers / sizeof *makers; make++)
      for (int times = 0; times < 3; times++) check_one(makers[make], sizes[i], 16);
}

static void test_alignment_of_pointer_free(void **state) {
  (void)state;
  static maker *const makers[] = {tri_alloc_noscan, tri_alloc_uninit};
  for (size_t i = 0; i < SIZES; i++)
    for (int make = 0; make < 2; make++)
      for (int times = 0; times < 5; times++) {
        size_t size = sizes[i];
        /* As much as a C object of the size can ask for: struct { int length; char text[]; } of 5 bytes wants 4. */
        check_one(makers[make], size, size >= 16 ? 16 : size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1);
      }
}

static void test_every_alignment(void **state) {
  (void)state;
  for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2)
    for (size_t i = 0; i < SIZES; i++) {
      if (alignment * 4 < sizes[i]) continue; /* fewer, for time */
      unsigned char *scan = tri_alloc_aligned(alignment, sizes[i]);
      unsigned char *noscan = tri_alloc_noscan_aligned(alignment, sizes[i]);
      assert_non_null(scan);
      assert_non_null(noscan);
      assert_ptr_not_equal(scan, noscan);
      assert_int_equal((uintptr_t)scan % alignment, 0);
      assert_int_equal((uintptr_t)noscan % alignment, 0);
      memset(scan, 1, sizes[i]);
      memset(noscan, 2, sizes[i]);
      tri_free(scan);
      if (sizes[i] >= 16) tri_free(noscan);
    }
}

static void test_bad_alignments(void **state) {
  (void)state;
  static const size_t bad[] = {0, 3, 6, 24, 100, (1 << 20) + 1, 1 << 21, SIZE_MAX, (size_t)1 << 63};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    errno = 0;
    assert_null(tri_alloc_aligned(bad[i], 16));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(tri_alloc_noscan_aligned(bad[i], 16));
    assert_int_equal(errno, EINVAL);
  }
}

/* ---- sizes that can never succeed ---- */

static int handler_calls;

static bool count_call(size_t size, int attempt, void *context) {
  (void)size, (void)attempt, (void)context;
  handler_calls++;
  return false;
}

#define ASSERT_NO_MEMORY(expression)                                                                                   \
  do {                                                                                                                 \
    errno = 0;                                                                                                         \
    assert_null(expression);                                                                                           \
    assert_int_equal(errno, ENOMEM);                                                                                   \
  } while (0)

typedef struct item {
  void *pointer;
  char name[24];
} item;
TRI_TYPE(item, pointer);

static void test_impossible_sizes(void **state) {
  (void)state;
  volatile size_t huge[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX - 4096, (size_t)1 << 62};
  void *object = tri_alloc(100);
  memset(object, 7, 100);
  tri_set_oom_handler(count_call, NULL);
  for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
    ASSERT_NO_MEMORY(tri_alloc(huge[i]));
    ASSERT_NO_MEMORY(tri_alloc_noscan(huge[i]));
    ASSERT_NO_MEMORY(tri_alloc_uninit(huge[i]));
    ASSERT_NO_MEMORY(tri_alloc_aligned(64, huge[i]));
    ASSERT_NO_MEMORY(tri_alloc_noscan_aligned(1 << 20, huge[i]));
    ASSERT_NO_MEMORY(tri_alloc_array(huge[i], 2));
    ASSERT_NO_MEMORY(tri_alloc_array(3, huge[i]));
    ASSERT_NO_MEMORY(tri_make(item, huge[i]));
    ASSERT_NO_MEMORY(tri_realloc(object, huge[i]));
  }
  assert_int_equal(((unsigned char *)object)[99], 7);
  assert_int_equal(handler_calls, 0);
  tri_set_oom_handler(NULL, NULL);
}

static void test_arrays(void **state) {
  (void)state;
  for (size_t count = 0; count < 200; count += 13)
    for (size_t size = 0; size < 200; size += 17) {
      unsigned char *array = tri_alloc_array(count, size);
      assert_non_null(array);
      assert_true(tri_size_of(array) >= count * size);
      memset(array, 1, count * size);
    }
  volatile size_t half = (size_t)1 << 33;
  ASSERT_NO_MEMORY(tri_alloc_array(half, half));
}

/* size 0 gives objects of their own. */
static void test_size_zero(void **state) {
  (void)state;
  void *objects[50];
  for (int i = 0; i < 50; i++) {
    objects[i] = i & 1 ? tri_alloc(0) : tri_alloc_noscan(0);
    assert_non_null(objects[i]);
    for (int j = 0; j < i; j++) assert_ptr_not_equal(objects[i], objects[j]);
  }
  assert_true(tri_size_of(objects[1]) >= 1);
}

/* No two objects share a byte, whatever their kinds. */
static void test_objects_do_not_overlap(void **state) {
  (void)state;
  enum { COUNT = 400 };
  static unsigned char *objects[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    size_t size = 1 + i % 37;
    objects[i] = i % 3 == 0 ? tri_alloc(size) : i % 3 == 1 ? tri_alloc_noscan(size) : tri_alloc_uninit(size);
    memset(objects[i], (int)(i & 255), size);
  }
  for (size_t i = 0; i < COUNT; i++)
    for (size_t at = 0; at < 1 + i % 37; at++) assert_int_equal(objects[i][at], i & 255);
}

/* ---- strings ---- */

static void test_strings(void **state) {
  (void)state;
  char text[2100];
  for (size_t length = 0; length < sizeof text; length += length < 40 ? 1 : 97) {
    memset(text, 'x', length);
    text[length] = 0;
    char *copy = tri_strdup(text);
    assert_string_equal(copy, text);
    assert_ptr_not_equal(copy, text);
    assert_string_equal(tri_strndup(text, SIZE_MAX), text);
    char *half = tri_strndup(text, length / 2);
    assert_int_equal(strlen(half), length / 2);
  }
  assert_string_equal(tri_strndup("abc", 0), "");
  static const char unterminated[3] = {'a', 'b', 'c'};
  assert_string_equal(tri_strndup(unterminated, 3), "abc");
}

/* ---- realloc ---- */

__attribute__((noinline)) static void fill(unsigned char *object, size_t size) {
  for (size_t i = 0; i < size; i++) object[i] = (unsigned char)(i * 13 + 1);
}

static void assert_filled(const unsigned char *object, size_t size) {
  for (size_t i = 0; i < size; i++) assert_int_equal(object[i], (unsigned char)(i * 13 + 1));
}

static void test_realloc_keeps_contents(void **state) {
  (void)state;
  for (size_t from = 0; from < SIZES; from++)
    for (size_t to = 0; to < SIZES; to++) {
      if (sizes[from] + sizes[to] > 300000) continue;
      for (int kind = 0; kind < 2; kind++) {
        unsigned char *object = kind ? tri_alloc_noscan(sizes[from]) : tri_alloc(sizes[from]);
        fill(object, sizes[from]);
        size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
        object = tri_realloc(object, sizes[to]);
        assert_non_null(object);
        assert_filled(object, kept);
        if (kind && sizes[from] < 16) continue; /* where it ended is not known */
        for (size_t i = kept; i < sizes[to]; i++) assert_int_equal(object[i], 0);
        assert_true(tri_size_of(object) >= sizes[to]);
      }
    }
}

/* Objects that share a block do not see each other grow or shrink. */
static void test_realloc_of_tiny_objects(void **state) {
  (void)state;
  for (size_t size = 1; size < 16; size++)
    for (size_t to = 0; to < 40; to++) {
      unsigned char *before = tri_alloc_noscan(size), *object = tri_alloc_noscan(size), *after = tri_alloc_noscan(size);
      memset(before, 0xb1, size);
      fill(object, size);
      memset(after, 0xb2, size);
      unsigned char *moved = tri_realloc(object, to);
      assert_filled(moved, size < to ? size : to);
      memset(moved, 0xb3, to);
      for (size_t i = 0; i < size; i++) {
        assert_int_equal(before[i], 0xb1);
        assert_int_equal(after[i], 0xb2);
      }
    }
}

static void test_realloc_frees_the_old_object(void **state) {
  (void)state;
  tri_memstats before, after;
  tri_set_gc_percent(-1);
  tri_gc();
  void *object = tri_alloc(100);
  tri_read_memstats(&before);
  for (int i = 0; i < 1000; i++) object = tri_realloc(object, i & 1 ? 100 : 5000);
  tri_read_memstats(&after);
  tri_keep_alive(object);
  assert_true(after.HeapObjects <= before.HeapObjects + 1);
  tri_set_gc_percent(100);
}

static void test_realloc_to_zero(void **state) {
  (void)state;
  unsigned char *object = tri_alloc(64);
  object[0] = 9;
  object = tri_realloc(object, 0);
  assert_non_null(object);
  assert_int_equal(object[0], 9);
}

/* ---- questions ---- */

static void test_size_and_base(void **state) {
  (void)state;
  for (size_t i = 0; i < SIZES; i++) {
    unsigned char *object = tri_alloc(sizes[i]);
    size_t size = tri_size_of(object);
    assert_true(size >= sizes[i]);
    assert_true(size <= 32 || size <= sizes[i] + sizes[i] / 3 + 8192);
    for (size_t at = 0; at < size; at += 1 + size / 50) assert_ptr_equal(tri_base_of(object + at), object);
    assert_ptr_equal(tri_base_of(object + size - 1), object);
    assert_ptr_not_equal(tri_base_of(object + size), object);
    memset(object, 1, size); /* all of it is the program's */
  }
}

static void test_base_of_foreign_pointers(void **state) {
  (void)state;
  int local;
  static int global;
  assert_null(tri_base_of(NULL));
  assert_null(tri_base_of(&local));
  assert_null(tri_base_of(&global));
  assert_null(tri_base_of((void *)tri_base_of));
  assert_null(tri_base_of((void *)UINTPTR_MAX)); /* NOLINT: an address nobody has */
}

static void test_base_of_a_freed_object(void **state) {
  (void)state;
  static const size_t some[] = {16, 200, 1024, 5000, 32768, 100000};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
    char *object = tri_alloc(some[i]);
    tri_free(object);
    assert_null(tri_base_of(object));
    assert_null(tri_base_of(object + some[i] / 2));
  }
}

static void test_tiny_objects_answer_with_the_rest_of_their_block(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) {
    char *object = tri_alloc_noscan(4);
    size_t size = tri_size_of(object);
    assert_true(size >= 4 && size <= 16);
    assert_int_equal(((uintptr_t)object + size) % 16, 0);
  }
}

/* Strings go side by side. */
static void test_strings_are_packed(void **state) {
  (void)state;
  int blocks = 0;
  for (int i = 0; i < 300; i++) blocks += tri_size_of(tri_strdup("four")) == 16;
  assert_in_range(blocks, 99, 101); /* three strings of five bytes to a block */
}

static void test_free_null_and_tiny(void **state) {
  (void)state;
  tri_free(NULL);
  char *first = tri_alloc_noscan(3), *second = tri_alloc_noscan(3);
  memset(second, 5, 3);
  tri_free(first);
  assert_int_equal(second[0], 5);
  assert_int_equal(second[2], 5);
}

/* What was freed is handed out again: the heap does not grow. */
static void test_freed_memory_is_used_again(void **state) {
  (void)state;
  tri_memstats before, after;
  tri_set_gc_percent(-1);
  tri_gc(); /* nothing is left to be swept, and counted as freed, meanwhile */
  for (size_t i = 0; i < SIZES; i++) {
    tri_free(tri_alloc(sizes[i]));
    tri_read_memstats(&before);
    for (int times = 0; times < 2000; times++) {
      char *object = tri_alloc(sizes[i]);
      assert_non_null(object);
      if (sizes[i]) object[0] = object[sizes[i] - 1] = 1;
      tri_free(object);
    }
    tri_read_memstats(&after);
    assert_true(after.HeapInuse <= before.HeapInuse + (1 << 20));
    assert_int_equal(after.Mallocs - before.Mallocs, 2000);
    assert_int_equal(after.Frees - before.Frees, 2000);
  }
  tri_set_gc_percent(100);
}

/* An object at a time, whole spans become free, and their pages with them. */
static void test_freeing_everything_gives_pages_back(void **state) {
  (void)state;
  enum { MANY = 20000 };
  static void *objects[MANY];
  static const size_t some[] = {16, 500, 1024, 3000, 32768};
  tri_memstats before, full, after;
  tri_set_gc_percent(-1);
  for (size_t s = 0; s < sizeof some / sizeof *some; s++) {
    size_t count = some[s] > 5000 ? 1000 : MANY;
    tri_gc();
    tri_read_memstats(&before);
    for (size_t i = 0; i < count; i++) objects[i] = tri_alloc(some[s]);
    tri_read_memstats(&full);
    assert_true(full.HeapInuse - before.HeapInuse >= count * some[s] - (1 << 18));
    for (size_t i = 0; i < count; i++) tri_free(objects[i * 7919 % count]); /* in no order of theirs */
    tri_read_memstats(&after);
    assert_true(after.HeapInuse <= before.HeapInuse + (1 << 18));
    assert_int_equal(after.HeapObjects, before.HeapObjects);
    memset(objects, 0, sizeof objects);
  }
  tri_set_gc_percent(100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alignment_of_16),
      cmocka_unit_test(test_alignment_of_pointer_free),
      cmocka_unit_test(test_every_alignment),
      cmocka_unit_test(test_bad_alignments),
      cmocka_unit_test(test_impossible_sizes),
      cmocka_unit_test(test_arrays),
      cmocka_unit_test(test_size_zero),
      cmocka_unit_test(test_objects_do_not_overlap),
      cmocka_unit_test(test_strings),
      cmocka_unit_test(test_realloc_keeps_contents),
      cmocka_unit_test(test_realloc_of_tiny_objects),
      cmocka_unit_test(test_realloc_frees_the_old_object),
      cmocka_unit_test(test_realloc_to_zero),
      cmocka_unit_test(test_size_and_base),
      cmocka_unit_test(test_base_of_foreign_pointers),
      cmocka_unit_test(test_base_of_a_freed_object),
      cmocka_unit_test(test_tiny_objects_answer_with_the_rest_of_their_block),
      cmocka_unit_test(test_strings_are_packed),
      cmocka_unit_test(test_free_null_and_tiny),
      cmocka_unit_test(test_freed_memory_is_used_again),
      cmocka_unit_test(test_freeing_everything_gives_pages_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
