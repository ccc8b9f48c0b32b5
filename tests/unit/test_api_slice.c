/* test_api_slice.c - slices and builders as a program sees them. What capacities become is held against Go's rule, what
 * is in them against plain arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor/slice.h>

#include "child.h"
#include "random.h"
#include "steps.h"

typedef struct node {
  struct node *next;
  uint64_t number;
} node;
TRI_TYPE(node, next);
TRI_TYPE(short);

typedef struct wide {
  alignas(64) char line[64];
} wide;

TRI_SLICE(numbers, uint64_t);
TRI_SLICE(shorts, short);
TRI_SLICE(nodes, node);
TRI_SLICE(pointers, node *);
TRI_SLICE(wides, wide);

typedef struct big {
  char bytes[1000];
} big;
TRI_SLICE(bigs, big);

static numbers up_to(size_t count) {
  numbers list = {0};
  for (size_t i = 0; i < count; i++) assert_true(numbers_append(&list, i));
  return list;
}

static void check_up_to(numbers list, size_t count) {
  assert_int_equal(list.length, count);
  for (size_t i = 0; i < count; i++) assert_int_equal(list.items[i], i);
}

/* What Go 1.27.3 says of a []uint64 that grows one by one, from 2 on; it has one of 8 bytes first. */
static void test_capacities_are_go_s(void **state) {
  (void)state;
  static const size_t go[] = {2, 4, 8, 16, 32, 64, 128, 256, 512, 848, 1280, 1792, 2560, 3408, 5120, 7168};
  numbers list = {0};
  for (size_t i = 0; i < sizeof go / sizeof go[0]; i++) {
    while (list.length < list.capacity) numbers_append(&list, 0);
    numbers_append(&list, 0);
    assert_int_equal(list.capacity, go[i]);
  }
}

static void test_append_copy_and_sub(void **state) {
  (void)state;
  numbers list = up_to(5000), none = {0};
  check_up_to(list, 5000);
  assert_true(numbers_append_all(&none, none) && none.length == 0 && none.items == NULL);
  numbers middle = numbers_sub(list, 10, 20);
  assert_int_equal(middle.length, 10);
  assert_int_equal(middle.capacity, list.capacity - 10);
  assert_int_equal(*numbers_at(middle, 9), 19);
  numbers_append(&middle, 77); /* as in Go */
  assert_int_equal(list.items[20], 77);
  list.items[20] = 20;
  numbers clipped = numbers_clip(numbers_sub(list, 10, 20));
  numbers_append(&clipped, 77);
  check_up_to(list, 5000);
  assert_int_equal(numbers_sub_capped(list, 1, 2, 3).capacity, 2);
  assert_int_equal(numbers_copy(numbers_sub(list, 1, 5000), list), 4999); /* they overlap */
  assert_true(list.items[0] == 0 && list.items[1] == 0 && list.items[4999] == 4998);
  assert_int_equal(numbers_copy(none, list), 0);
}

static void test_append_all_of_itself(void **state) {
  (void)state;
  numbers list = up_to(3);
  for (int i = 0; i < 10; i++) assert_true(numbers_append_all(&list, list));
  assert_int_equal(list.length, 3 << 10);
  for (size_t i = 0; i < list.length; i++) assert_int_equal(list.items[i], i % 3);
}

static void test_insert_and_remove(void **state) {
  (void)state;
  test_random random = {5};
  numbers list = {0};
  uint64_t plain[600];
  size_t count = 0;
  for (int i = 0; i < 20000; i++) {
    size_t at = random_below(&random, count + 1);
    if (count < 600 && random_below(&random, 2)) {
      memmove(plain + at + 1, plain + at, (count - at) * sizeof *plain);
      plain[at] = (uint64_t)i;
      count++;
      assert_true(numbers_insert(&list, at, (uint64_t)i));
    } else {
      size_t high = at + random_below(&random, (count - at < 3 ? count - at : 3) + 1);
      memmove(plain + at, plain + high, (count - high) * sizeof *plain);
      count -= high - at;
      numbers_remove(&list, at, high);
      for (size_t k = 0; k < high - at; k++) assert_int_equal(list.items[count + k], 0);
    }
    assert_int_equal(list.length, count);
    assert_true(count == 0 || memcmp(list.items, plain, count * sizeof *plain) == 0);
  }
}

static void test_make_reserve_and_clone(void **state) {
  (void)state;
  shorts list = shorts_make(3, 100);
  assert_true(list.length == 3 && list.capacity == 100 && list.items[99] == 0);
  short *items = list.items;
  for (int i = 0; i < 97; i++) shorts_append(&list, 1);
  assert_ptr_equal(list.items, items);
  assert_true(shorts_reserve(&list, 1000) && list.length == 100 && list.capacity >= 1100);
  for (size_t i = 100; i < list.capacity; i++) assert_int_equal(list.items[i], 0);
  shorts copy = shorts_clone(list);
  assert_true(copy.length == 100 && copy.items != list.items && memcmp(copy.items, list.items, 200) == 0);
  wides aligned = {0};
  for (int i = 0; i < 100; i++) {
    wides_append(&aligned, (wide){{1}});
    assert_int_equal((uintptr_t)aligned.items % 64, 0);
  }
  bigs large = {0};
  for (int i = 0; i < 100; i++) bigs_append(&large, (big){{(char)i}});
  for (size_t i = 0; i < 100; i++) assert_int_equal(bigs_at(large, i)->bytes[0], (char)i);
}

/* Items are all that holds what they point to, in arrays that are precise and in those that are not. */
static void test_items_are_kept(void **state) {
  (void)state;
  nodes precise = {0};
  pointers plain = {0};
  for (uint64_t i = 0; i < 20000; i++) {
    node *one = tri_new(node), *other = tri_new(node);
    *one = *other = (node){NULL, i};
    assert_true(nodes_append(&precise, (node){one, i}) && pointers_append(&plain, other));
    if (i % 4000 == 0) collect();
  }
  collect();
  for (uint64_t i = 0; i < 20000; i++) {
    assert_int_equal(precise.items[i].next->number, i);
    assert_int_equal(plain.items[i]->number, i);
  }
}

static __attribute__((noinline)) numbers tail_of_new(void) { return numbers_sub(up_to(1000), 900, 1000); }

static void test_a_part_keeps_its_items(void **state) {
  (void)state;
  numbers tail = tail_of_new();
  for (int i = 0; i < 3; i++) collect();
  for (size_t i = 0; i < 100; i++) assert_int_equal(tail.items[i], 900 + i);
}

static void test_no_memory(void **state) {
  (void)state;
  numbers list = up_to(10), before = list;
  errno = 0;
  assert_false(numbers_reserve(&list, SIZE_MAX));
  assert_int_equal(errno, ENOMEM);
  errno = 0;
  assert_false(numbers_reserve(&list, SIZE_MAX / 16));
  assert_int_equal(errno, ENOMEM);
  assert_memory_equal(&list, &before, sizeof list);
  errno = 0;
  numbers none = numbers_make(1, SIZE_MAX / 8 + 2);
  assert_true(!none.items && !none.length && !none.capacity && errno == ENOMEM);
}

static numbers ten(void) { return numbers_make(10, 20); }
static void at_end(void *unused) { (void)unused, *numbers_at(ten(), 10) = 1; }
static void sub_beyond(void *unused) { (void)unused, (void)numbers_sub(ten(), 5, 21); }
static void sub_backwards(void *unused) { (void)unused, (void)numbers_sub(ten(), 5, 3); }
static void sub_huge(void *unused) { (void)unused, (void)numbers_sub(ten(), SIZE_MAX, 2); }
static void sub_capped(void *unused) { (void)unused, (void)numbers_sub_capped(ten(), 1, 9, 8); }
static void insert_beyond(void *unused) {
  numbers list = ten();
  (void)unused, (void)numbers_insert(&list, 11, 1);
}
static void remove_beyond(void *unused) {
  numbers list = ten();
  (void)unused, numbers_remove(&list, 2, 11);
}

static void test_bad_indexes_are_named(void **state) {
  (void)state;
  static const struct {
    void (*misuse)(void *);
    const char *texts[3];
  } cases[] = {
      {at_end, {"numbers_at: index 10", "length is 10", NULL}},
      {sub_beyond, {"numbers_sub: bounds [5:21:20]", "20 items", NULL}},
      {sub_backwards, {"numbers_sub: bounds [5:3:20]", NULL}},
      {sub_huge, {"numbers_sub: bounds [18446744073709551615:2:20]", NULL}},
      {sub_capped, {"numbers_sub: bounds [1:9:8]", NULL}},
      {insert_beyond, {"numbers_insert: index 11", NULL}},
      {remove_beyond, {"numbers_remove: bounds [2:11", "10 items", NULL}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    child_result result = child_run(cases[i].misuse, NULL, NULL);
    assert_true(child_aborted(&result, cases[i].texts));
  }
}

/* ---- builders ---- */

static void test_builder_builds(void **state) {
  (void)state;
  tri_builder builder = {0};
  char plain[64 * 1024] = "";
  size_t length = 0;
  assert_string_equal(tri_builder_text(&builder), "");
  for (int i = 0; i < 3000; i++) {
    assert_true(tri_builder_add(&builder, "ab") && tri_builder_add_char(&builder, 'c'));
    assert_true(tri_builder_printf(&builder, "%d", i) && tri_builder_add_bytes(&builder, "x\0y", 3));
    length += (size_t)sprintf(plain + length, "abc%dx", i) + 2;
    plain[length - 1] = 'y';
    assert_int_equal(builder.length, length);
    assert_int_equal(builder.text[length], 0);
    if (i % 500 == 0) collect();
  }
  assert_memory_equal(builder.text, plain, length);
  char *text = tri_builder_take(&builder);
  assert_true(builder.length == 0 && builder.capacity == 0);
  assert_memory_equal(text, plain, length);
  assert_string_equal(tri_builder_take(&builder), "");
}

static void test_builder_adds_its_own_text(void **state) {
  (void)state;
  tri_builder builder = {0};
  tri_builder_add(&builder, "ab");
  for (int i = 0; i < 6; i++) tri_builder_add(&builder, builder.text);
  assert_int_equal(builder.length, 128);
  tri_builder_printf(&builder, "%s!%s", builder.text, builder.text);
  assert_int_equal(builder.length, 128 * 3 + 1);
  assert_int_equal(strlen(builder.text), 128 * 3 + 1);
  assert_int_equal(builder.text[256], '!');
  assert_int_equal(builder.text[257], 'a');
}

static void test_builder_keeps_what_was_read(void **state) {
  (void)state;
  tri_builder builder = {0};
  tri_builder_add(&builder, "first");
  const char *first = tri_builder_text(&builder);
  for (int i = 0; i < 1000; i++) tri_builder_add(&builder, "more");
  collect();
  assert_memory_equal(first, "first", 5);
}

static void test_builder_without_memory(void **state) {
  (void)state;
  tri_builder builder = {0};
  tri_builder_add(&builder, "text");
  errno = 0;
  assert_false(tri_builder_reserve(&builder, SIZE_MAX));
  assert_int_equal(errno, ENOMEM);
  assert_false(tri_builder_add_bytes(&builder, "", SIZE_MAX - 4));
  assert_string_equal(builder.text, "text");
  assert_true(tri_builder_reserve(&builder, 1000) && builder.capacity > 1000);
  const char *text = builder.text;
  for (int i = 0; i < 1000; i++) tri_builder_add_char(&builder, 'x');
  assert_ptr_equal(builder.text, text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_capacities_are_go_s),       cmocka_unit_test(test_append_copy_and_sub),
      cmocka_unit_test(test_append_all_of_itself),      cmocka_unit_test(test_insert_and_remove),
      cmocka_unit_test(test_make_reserve_and_clone),    cmocka_unit_test(test_items_are_kept),
      cmocka_unit_test(test_a_part_keeps_its_items),    cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_bad_indexes_are_named),     cmocka_unit_test(test_builder_builds),
      cmocka_unit_test(test_builder_adds_its_own_text), cmocka_unit_test(test_builder_keeps_what_was_read),
      cmocka_unit_test(test_builder_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
