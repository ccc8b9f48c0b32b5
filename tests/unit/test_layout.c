/* test_layout.c - pointer maps: which of them are layouts, that equal ones share, that spans are earned, and the
 * caps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <tricolor.h>

#include "heap/heap.h"
#include "heap/layout.h"

static int start_heap(void **state) {
  (void)state;
  return tri_init(NULL) == TRI_OK && tri_alloc(1) ? 0 : -1;
}

static uint32_t intern(size_t size, uint64_t map) { return tri_layout_intern(size, &map); }

static void test_maps_that_are_no_layouts(void **state) {
  (void)state;
  assert_int_equal(intern(64, 0), TRI_LAYOUT_NOSCAN);
  assert_int_equal(intern(4, 0), TRI_LAYOUT_NOSCAN);
  assert_int_equal(intern(64, 0xff), TRI_LAYOUT_CONSERVATIVE); /* nothing but pointers */
  assert_int_equal(intern(20, 1), TRI_LAYOUT_CONSERVATIVE);    /* does not tile by words */
}

static void test_equal_maps_share(void **state) {
  (void)state;
  uint32_t one = intern(64, 0x5), again = intern(64, 0x5), other = intern(64, 0x9), larger = intern(72, 0x5);
  assert_true(one != TRI_LAYOUT_CONSERVATIVE && one < TRI_LAYOUT_MAX);
  assert_int_equal(one, again);
  assert_int_not_equal(one, other);
  assert_int_not_equal(one, larger);
  const tri_layout *layout = tri_layout_get(one);
  assert_int_equal(layout->element_words, 8);
  assert_int_equal(layout->map_words, 1);
  assert_int_equal(layout->map[0], 0x5);
}

/* The map is copied; words beyond the first 64 count. */
static void test_long_maps(void **state) {
  (void)state;
  uint64_t map[3] = {1, 0, 2};
  uint32_t one = tri_layout_intern(150 * 8, map);
  map[2] = 4;
  uint32_t other = tri_layout_intern(150 * 8, map);
  assert_int_not_equal(one, other);
  assert_int_equal(tri_layout_get(one)->map_words, 3);
  assert_int_equal(tri_layout_get(one)->map[2], 2);
  map[2] = 2;
  assert_int_equal(tri_layout_intern(150 * 8, map), one);
}

static void test_fixed_buckets(void **state) {
  (void)state;
  bool final = false;
  assert_int_equal(tri_layout_bucket(TRI_LAYOUT_NOSCAN, 5, 80, &final), TRI_BUCKET_NOSCAN + 5);
  assert_true(final);
  final = false;
  assert_int_equal(tri_layout_bucket(TRI_LAYOUT_CONSERVATIVE, 5, 80, &final), TRI_BUCKET_CONSERVATIVE + 5);
  assert_true(final);
}

/* Each size class of a layout earns for itself, after 32 KiB. */
static void test_earning(void **state) {
  (void)state;
  uint32_t layout = intern(48, 0x11), earned[2];
  for (uint32_t size_class = 3; size_class <= 4; size_class++) {
    size_t size = tri_size_classes[size_class].size, made = 0;
    bool final = false;
    uint32_t bucket = TRI_BUCKET_CONSERVATIVE + size_class;
    while (!final) {
      assert_int_equal(bucket, TRI_BUCKET_CONSERVATIVE + size_class);
      bucket = tri_layout_bucket(layout, size_class, size, &final);
      made += size;
    }
    assert_in_range(made, 32 * TRI_KIB, 32 * TRI_KIB + 2 * size);
    assert_true(bucket >= TRI_BUCKET_TYPED && bucket < tri_central_count());
    assert_int_equal(tri_central_class(bucket), size_class);
    assert_int_equal(tri_layout_bucket(layout, size_class, size, &final), bucket);
    assert_true(final);
    earned[size_class - 3] = bucket;
  }
  assert_int_not_equal(earned[0], earned[1]);
}

/* In check mode a type is precise from its first object on. */
static void test_earning_in_check_mode(void **state) {
  (void)state;
  bool final = false;
  tri_the_heap.check = true;
  uint32_t layout = intern(72, 0x15), size_class = tri_size_class_of(72);
  assert_true(tri_layout_bucket(layout, size_class, 72, &final) >= TRI_BUCKET_TYPED);
  assert_true(final);
  tri_the_heap.check = false;
}

/* There are at most so many buckets, and so many layouts: what comes later is conservative, and says so for good. */
static void test_caps(void **state) {
  (void)state;
  uint32_t last = 0, refused = 0;
  for (uint64_t i = 1; i <= TRI_LAYOUT_MAX + 100; i++) {
    uint64_t map[2] = {i, 0};
    uint32_t layout = tri_layout_intern(100 * 8, map);
    if (layout == TRI_LAYOUT_CONSERVATIVE)
      refused++;
    else
      last = layout;
  }
  assert_true(refused >= 100 && refused < 200);
  assert_int_equal(last, TRI_LAYOUT_MAX - 1);
  uint64_t first[2] = {1, 0};
  assert_int_not_equal(tri_layout_intern(100 * 8, first), TRI_LAYOUT_CONSERVATIVE); /* known ones still are */
  uint32_t conservative = 0;
  for (uint32_t layout = 1; layout < TRI_LAYOUT_MAX && conservative < 50; layout++)
    for (uint32_t size_class = 40; size_class < 44; size_class++) {
      bool final = false;
      uint32_t bucket = 0;
      while (!final) bucket = tri_layout_bucket(layout, size_class, 32 * TRI_KIB, &final);
      conservative += bucket == TRI_BUCKET_CONSERVATIVE + size_class;
    }
  assert_int_equal(tri_central_count(), TRI_BUCKET_MAX);
  assert_true(conservative >= 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_maps_that_are_no_layouts),
      cmocka_unit_test(test_equal_maps_share),
      cmocka_unit_test(test_long_maps),
      cmocka_unit_test(test_fixed_buckets),
      cmocka_unit_test(test_earning),
      cmocka_unit_test(test_earning_in_check_mode),
      cmocka_unit_test(test_caps),
  };
  return cmocka_run_group_tests(tests, start_heap, NULL);
}
