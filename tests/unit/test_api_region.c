/* test_api_region.c - regions as a program sees them: what objects are, how long they live, what misuse is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor/region.h>

#include "child.h"
#include "random.h"
#include "steps.h"

enum { KIB = 1024, MANY = 20000, LARGE = 300 * KIB };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1,check=1", NULL};

typedef struct node {
  struct node *next;
  uint64_t number;
} node;
TRI_TYPE(node, next);

static bool is_zero(const void *object, size_t size) {
  const char *bytes = object;
  for (size_t i = 0; i < size; i++)
    if (bytes[i]) return false;
  return true;
}

static void test_objects_are_zero_and_apart(void **state) {
  (void)state;
  test_random random = {1};
  tri_region *region = tri_region_begin();
  unsigned char **objects = tri_alloc(MANY * sizeof *objects);
  size_t *sizes = tri_alloc_noscan(MANY * sizeof *sizes), asked = 0;
  for (size_t i = 0; i < MANY; i++) {
    sizes[i] = random_below(&random, i % 100 == 0 ? 100 * KIB : 200);
    objects[i] = i % 3 ? tri_region_alloc(region, sizes[i]) : tri_region_alloc_noscan(region, sizes[i]);
    assert_non_null(objects[i]);
    assert_int_equal((uintptr_t)objects[i] % 16, 0);
    assert_true(is_zero(objects[i], sizes[i]));
    memset(objects[i], (int)(i % 251 + 1), sizes[i]);
    asked += sizes[i];
  }
  for (size_t i = 0; i < MANY; i++)
    for (size_t at = 0; at < sizes[i]; at++) assert_int_equal(objects[i][at], i % 251 + 1);
  assert_true(tri_region_used(region) >= asked && tri_region_used(region) <= asked + MANY * 16);
  assert_true(tri_region_reserved(region) >= tri_region_used(region));
  tri_region_end(region);
}

static void test_objects_of_no_size_are_apart(void **state) {
  (void)state;
  tri_region *region = tri_region_begin();
  assert_ptr_not_equal(tri_region_alloc(region, 0), tri_region_alloc(region, 0));
  tri_region_end(region);
}

typedef struct wide {
  alignas(64) char line[64];
} wide;

static void test_types_have_their_alignment(void **state) {
  (void)state;
  tri_region *region = tri_region_begin();
  for (int i = 0; i < 1000; i++) {
    wide *one = tri_region_new(region, wide);
    assert_int_equal((uintptr_t)one % 64, 0);
    one->line[63] = 1;
    char *page = tri_region_alloc_array(region, 4096, 1, (size_t)i + 1);
    assert_int_equal((uintptr_t)page % 4096, 0);
    assert_true(is_zero(page, (size_t)i + 1));
    memset(page, 0xff, (size_t)i + 1);
    uint64_t *numbers = tri_region_make(region, uint64_t, 3);
    assert_true(numbers[0] == 0 && numbers[2] == 0);
    memset(numbers, 0xff, 3 * sizeof *numbers);
    assert_string_equal(tri_region_strdup(region, "a string"), "a string");
  }
  tri_region_end(region);
}

static node *chain_in(tri_region *region, int length) {
  node *head = NULL;
  for (int i = 0; i < length; i++) {
    node *one = i % 2 ? tri_region_new(region, node) : tri_new(node); /* each kind points to the other */
    *one = (node){head, (uint64_t)i};
    head = one;
  }
  return head;
}

static void check_chain(const node *head, int length) {
  for (; head; head = head->next) assert_int_equal(head->number, --length);
  assert_int_equal(length, 0);
}

static node *chain_of_dropped_region(void) { return chain_in(tri_region_begin(), MANY); }

static void test_objects_live_while_they_are_reached(void **state) {
  (void)state;
  node *volatile head = chain_of_dropped_region();
  forget_stack();
  for (int i = 0; i < 3; i++) tri_gc();
  check_chain(head, MANY);
}

static uint64_t live(void) {
  static tri_memstats stats;
  collect();
  tri_read_memstats(&stats);
  return stats.HeapAlloc;
}

static __attribute__((noinline)) void drop_regions(void) {
  for (int i = 0; i < 20; i++) {
    tri_region *region = tri_region_begin();
    for (int k = 0; k < 10 * KIB; k++) memset(tri_region_alloc(region, 100), 0, 100);
  }
}

static void test_dropped_regions_are_collected(void **state) {
  (void)state;
  uint64_t before = live();
  drop_regions();
  assert_true(live() < before + 4 * KIB * KIB);
}

static uint64_t allocated(void) {
  static tri_memstats stats;
  tri_read_memstats(&stats);
  return stats.HeapAlloc;
}

static void run_end(void *unused) {
  (void)unused;
  tri_set_gc_percent(-1);
  tri_region *region = tri_region_begin();
  uint64_t before = allocated();
  for (int k = 0; k < MANY; k++) CHILD_CHECK(tri_region_alloc(region, 1000));
  CHILD_CHECK(tri_region_alloc(region, LARGE));
  CHILD_CHECK(allocated() >= before + MANY * 1000);
  tri_region_end(region);
  CHILD_CHECK(allocated() <= before + 4 * KIB);
}

/* The heap has it back without a collection. */
static void test_end_gives_everything_back(void **state) {
  (void)state;
  child_result result = child_run(run_end, NULL, NULL);
  assert_true(child_succeeded(&result));
}

static void test_reset_begins_anew(void **state) {
  (void)state;
  tri_region *region = tri_region_begin();
  size_t reserved = 0;
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 5000; i++) {
      unsigned char *one = tri_region_alloc(region, 64), *other = tri_region_alloc_noscan(region, 64);
      assert_true(is_zero(one, 64) && is_zero(other, 64));
      memset(one, 0xff, 64);
      memset(other, 0xff, 64);
    }
    assert_int_equal(tri_region_used(region), 5000 * 128);
    if (round == 1) reserved = tri_region_reserved(region);
    if (round > 1) assert_true(tri_region_reserved(region) <= reserved);
    tri_region_reset(region);
    assert_int_equal(tri_region_used(region), 0);
  }
  tri_region_end(region);
}

static void test_what_can_never_be(void **state) {
  (void)state;
  tri_region *region = tri_region_begin();
  errno = 0;
  assert_null(tri_region_alloc(region, SIZE_MAX));
  assert_int_equal(errno, ENOMEM);
  errno = 0;
  assert_null(tri_region_make(region, node, SIZE_MAX / 8));
  assert_int_equal(errno, ENOMEM);
  errno = 0;
  assert_null(tri_region_alloc_array(region, 24, 1, 8));
  assert_int_equal(errno, EINVAL);
  assert_null(tri_region_alloc_array(region, 8192, 1, 8));
  errno = 7;
  assert_non_null(tri_region_alloc(region, 8));
  assert_non_null(tri_region_alloc(region, LARGE));
  assert_int_equal(errno, 7);
  tri_region_end(region);
  tri_region_end(NULL);
}

/* ---- misuse ---- */

static void end_twice(void *unused) {
  (void)unused;
  tri_region *region = tri_region_begin();
  tri_region_end(region);
  tri_region_end(region);
}

static void allocate_after_end(void *unused) {
  (void)unused;
  tri_region *region = tri_region_begin();
  (void)tri_region_alloc(region, 8);
  tri_region_end(region);
  (void)tri_region_alloc(region, 8);
}

static void allocate_from_null(void *unused) {
  (void)unused;
  tri_region *volatile none = NULL;
  (void)tri_region_alloc(none, 8);
}

static void free_object(void *unused) {
  (void)unused;
  void *volatile object = tri_region_alloc(tri_region_begin(), 8);
  tri_free(object);
}

static void test_misuse_is_named(void **state) {
  (void)state;
  child_result result = child_run(end_twice, NULL, NULL);
  assert_true(child_aborted(&result, (const char *const[]){"tri_region_end", "has ended", NULL}));
  result = child_run(allocate_after_end, NULL, NULL);
  assert_true(child_aborted(&result, (const char *const[]){"tri_region_alloc", "has ended", NULL}));
  result = child_run(allocate_from_null, NULL, NULL);
  assert_true(child_aborted(&result, (const char *const[]){"tri_region_alloc", "the region is NULL", NULL}));
  result = child_run(free_object, NULL, NULL);
  assert_true(child_aborted(&result, (const char *const[]){"tri_free", NULL}));
}

static void write_after_end(void *reset) {
  tri_region *region = tri_region_begin();
  uint64_t *volatile object = tri_region_alloc(region, 64);
  (reset ? tri_region_reset : tri_region_end)(region);
  CHILD_CHECK(object[0] == 0xdbdbdbdbdbdbdbdb && object[7] == object[0]);
  object[3] = 0;
  for (int i = 0; i < 100; i++) {
    tri_region *other = tri_region_begin();
    CHILD_CHECK(tri_region_alloc(other, 8));
    tri_region_end(other);
  }
}

static void test_poison_finds_writes_after_the_end(void **state) {
  (void)state;
  SKIP_UNDER_ASAN("it finds the use at once");
  child_result result = child_run(write_after_end, NULL, poison);
  assert_true(child_aborted(&result, (const char *const[]){"written after its region ended", NULL}));
  result = child_run(write_after_end, &result, poison);
  assert_true(child_aborted(&result, (const char *const[]){"written after its region ended", NULL}));
}

static void use_well(void *unused) {
  (void)unused;
  node *head = NULL;
  for (int i = 0; i < 300; i++) {
    tri_region *region = tri_region_begin();
    node *chain = chain_in(region, 2000);
    if (i % 7 == 0) tri_gc();
    if (i % 11 == 0) head = tri_new(node);
    check_chain(chain, 2000);
    if (i % 2) tri_region_reset(region);
    if (i % 5) tri_region_end(region);
  }
  CHILD_CHECK(head && !head->next);
}

static void test_poison_is_content_with_right_use(void **state) {
  (void)state;
  child_result result = child_run(use_well, NULL, poison);
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      /* First, for their children start the heap with options of their own. */
      cmocka_unit_test(test_poison_finds_writes_after_the_end),
      cmocka_unit_test(test_poison_is_content_with_right_use),
      cmocka_unit_test(test_objects_are_zero_and_apart),
      cmocka_unit_test(test_objects_of_no_size_are_apart),
      cmocka_unit_test(test_types_have_their_alignment),
      cmocka_unit_test(test_objects_live_while_they_are_reached),
      cmocka_unit_test(test_dropped_regions_are_collected),
      cmocka_unit_test(test_end_gives_everything_back),
      cmocka_unit_test(test_reset_begins_anew),
      cmocka_unit_test(test_what_can_never_be),
      cmocka_unit_test(test_misuse_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
