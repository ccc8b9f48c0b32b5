/* test_size_class.c - the tables of size_class.h against their definitions, exhaustively, and against their
 * generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap/size_class.h"

static const double waste_bounds[] = {0,
#define WASTE(number, size, pages, slots, percent) percent,
                                      TRI_SIZE_CLASSES(WASTE)};

static size_t span_bytes(uint32_t class) { return (size_t)tri_size_classes[class].pages * TRI_PAGE_SIZE; }

static void test_every_size_maps_to_the_smallest_class(void **state) {
  (void)state;
  uint32_t want = 1;
  for (size_t size = 0; size <= TRI_SMALL_MAX; size++) {
    if (size > tri_size_classes[want].size) want += tri_size_classes[want + 1].size == TRI_ODD_SIZE ? 2 : 1;
    assert_int_equal(tri_size_class_of(size), want);
    bool odd = size > 16 && size <= 24;
    assert_int_equal(tri_size_class_of_type(size, 8), odd ? (uint32_t)TRI_CLASS_ODD : want);
    assert_int_equal(tri_size_class_of_type(size, 16), want);
  }
  assert_int_equal(want, TRI_CLASS_COUNT - 1);
}

static void test_classes_are_sound(void **state) {
  (void)state;
  for (uint32_t class = 1; class < TRI_CLASS_COUNT; class ++) {
    const tri_size_class *c = &tri_size_classes[class];
    if (class == TRI_CLASS_ODD)
      assert_int_equal(c->size, TRI_ODD_SIZE);
    else
      assert_int_equal(c->size % TRI_GRANULE, 0);
    assert_true(c->size > tri_size_classes[class - 1].size);
    assert_int_equal(c->slots, span_bytes(class) / c->size);
    assert_true(c->pages >= 1 && c->pages <= 16); /* tri_kind_offset has 4 bits */
  }
  assert_int_equal(tri_size_classes[TRI_CLASS_COUNT - 1].size, TRI_SMALL_MAX);
}

static void test_slot_of_every_offset(void **state) {
  (void)state;
  for (uint32_t class = 1; class < TRI_CLASS_COUNT; class ++)
    for (uint32_t offset = 0; offset < span_bytes(class); offset++)
      if (tri_size_class_slot(class, offset) != offset / tri_size_classes[class].size)
        fail_msg("class %u, offset %u: slot %u", class, offset, tri_size_class_slot(class, offset));
}

/* Going from word to word by step, starts shows all slot starts and nothing else. */
static void test_starts_and_steps(void **state) {
  (void)state;
  for (uint32_t class = 1; class < TRI_CLASS_COUNT; class ++) {
    const tri_size_class *c = &tri_size_classes[class];
    if (c->size > TRI_BULK_ZERO_MAX) continue;
    uint32_t granules = tri_size_class_period(c), offset = 0;
    for (uint32_t word = 0; word < span_bytes(class) / TRI_GRANULE / 64; word++) {
      uint64_t want = 0;
      for (uint32_t bit = 0; bit < 64; bit++)
        if ((word * 64 + bit) % granules == 0) want |= 1ull << bit;
      assert_true(offset < granules);
      assert_int_equal(offset < 64 ? c->starts << offset : 0, want);
      offset = offset >= c->step ? offset - c->step : offset + granules - c->step;
    }
  }
}

/* Percent of a full span lost when every request is the smallest of its class. */
static void test_waste(void **state) {
  (void)state;
  for (uint32_t class = 1; class < TRI_CLASS_COUNT; class ++) {
    size_t span = span_bytes(class), slots = tri_size_classes[class].slots;
    size_t below = tri_size_classes[class - 1].size;
    size_t used = slots * ((below == TRI_ODD_SIZE ? 16 : below) + 1); /* no request of any size is served by that one */
    double waste = 100.0 * (double)(span - used) / (double)span;
    assert_true(waste <= waste_bounds[class] + 0.005 && waste >= waste_bounds[class] - 0.005);
    assert_true(span - slots * tri_size_classes[class].size <= span / 8);
  }
}

/* The table in the tree is what the generator prints. */
static void test_table_is_generated(void **state) {
  (void)state;
  static char made[64 * 1024], kept[64 * 1024];
  char root[512], command[600];
  if (system("python3 --version >/dev/null 2>&1") != 0) skip();
  size_t length = strlen(__FILE__) - strlen("/tests/unit/test_size_class.c");
  snprintf(root, sizeof root, "%.*s", (int)length, __FILE__);
  snprintf(command, sizeof command, "%s/src/heap/size_class_table.h", root);
  FILE *table = fopen(command, "r");
  snprintf(command, sizeof command, "python3 '%s/tools/dev/gen_size_classes.py'", root);
  FILE *generator = popen(command, "r"); /* NOLINT: a fixed command */
  assert_non_null(generator);
  assert_non_null(table);
  made[fread(made, 1, sizeof made - 1, generator)] = 0;
  kept[fread(kept, 1, sizeof kept - 1, table)] = 0;
  assert_int_equal(pclose(generator), 0);
  fclose(table);
  assert_true(strlen(made) > 1000);
  assert_string_equal(made, kept);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_size_maps_to_the_smallest_class),
      cmocka_unit_test(test_classes_are_sound),
      cmocka_unit_test(test_slot_of_every_offset),
      cmocka_unit_test(test_starts_and_steps),
      cmocka_unit_test(test_waste),
      cmocka_unit_test(test_table_is_generated),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
