/* test_roots.c - no word of a root or of a large object is overlooked, wherever it lies in it and wherever it points
 * to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <tricolor.h>

#include "heap/arena.h"
#include "steps.h"

enum { WORDS = 128 * 1024, FEW = 20 };

/* ---- every word ---- */

static void *volatile static_block[WORDS];
static hidden objects[WORDS];

static int count_living(int count) {
  int living = 0;
  for (int i = 0; i < count; i++) living += hidden_lives(objects[i]);
  return living;
}

typedef int place_of(int i); /* the word that the i-th pointer goes to */

static int every_word(int i) { return i; }

/* Large blocks are cut into pieces that markers share: all of them together are the block. Garbage lies between the
 * objects, for a pointer to one would be taken for the end of the one before. */
static void check_block(void *volatile *block, int count, place_of *place) {
  assert_in_range(count, 1, WORDS);
  for (int i = 0; i < count; i++) {
    objects[i] = hidden_new(&block[place(i)]);
    tri_keep_alive(tri_alloc(64));
  }
  collect();
  assert_int_equal(count_living(count), count);
  for (int i = 0; i < count; i++) block[place(i)] = NULL;
  collect();
  collect();
  assert_in_range(count_living(count), 0, FEW);
}

static void test_every_word_of_static_data(void **state) {
  (void)state;
  check_block(static_block, WORDS, every_word);
}

static void test_every_word_of_a_registered_range(void **state) {
  (void)state;
  void **block = malloc(WORDS * sizeof *block);
  assert_non_null(block);
  assert_int_equal(tri_add_root(block, WORDS * sizeof *block), TRI_OK);
  check_block(block, WORDS, every_word);
  assert_int_equal(tri_remove_root(block), TRI_OK);
  free(block);
}

/* ---- many ranges ---- */

enum { RANGES = 100 * 1000 };

/* Ranges of a word each. Every other one is removed again, and what it held with it. */
static void test_many_ranges(void **state) {
  (void)state;
  void *volatile *block = malloc(RANGES * sizeof *block);
  assert_non_null(block);
  tri_set_gc_percent(-1);
  for (int i = 0; i < RANGES; i++) {
    objects[i] = hidden_new(&block[i]);
    block[i] = (char *)block[i] + 8; /* a pointer to its start would keep the object before it, too */
    assert_int_equal(tri_add_root((void *)&block[i], i % 3 ? sizeof *block : 0), TRI_OK);
  }
  for (int i = 0; i < RANGES; i += 3) assert_int_equal(tri_add_root((void *)&block[i], sizeof *block), TRI_OK);
  collect();
  for (int i = 0; i < RANGES; i++) assert_true(hidden_lives(objects[i]));
  for (int i = 1; i < RANGES; i += 2) assert_int_equal(tri_remove_root((void *)&block[RANGES - i]), TRI_OK);
  for (int i = 1; i < RANGES; i += 2) assert_int_equal(tri_remove_root((void *)&block[i]), TRI_ERR_NOT_FOUND);
  collect();
  collect();
  int living = 0;
  for (int i = 0; i < RANGES; i++) {
    if (i % 2 == 0) assert_true(hidden_lives(objects[i]));
    if (i % 2 == 1) living += hidden_lives(objects[i]);
  }
  assert_in_range(living, 0, FEW);
  for (int i = 0; i < RANGES; i += 2) assert_int_equal(tri_remove_root((void *)&block[i]), TRI_OK);
  assert_int_equal(tri_remove_root((void *)block), TRI_ERR_NOT_FOUND);
  tri_set_gc_percent(100);
  free((void *)block);
}

/* ---- large objects ---- */

/* Of one piece, of several, and with little left for the last one. */
static const int sizes[] = {33000, 100000, 128 * 1024 + 4000, 256 * 1024 + 8000, 384 * 1024 + 40};
static void *volatile large; /* a root */

static void test_every_word_of_large_objects(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    large = tri_alloc((size_t)sizes[i]);
    assert_non_null(large);
    check_block(large, sizes[i] / 8, every_word);
  }
}

typedef struct triple {
  void *first;
  long number;
  void *last;
} triple;
TRI_TYPE(triple, first, last);

static int first_and_last(int i) { return i / 2 * 3 + i % 2 * 2; }

static void test_every_pointer_of_large_arrays(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    int count = sizes[i] / (int)sizeof(triple);
    large = tri_make(triple, (size_t)count);
    assert_non_null(large);
    check_block(large, 2 * count, first_and_last);
  }
}

/* ---- the end of the heap ---- */

static void *volatile home, *volatile end_pointer; /* roots */

/* An object that ends where the heap does, so that a pointer to its end is not one into the heap. Only end_pointer
 * knows of it; NULL when there is none. */
static __attribute__((noinline)) hidden last_object(void) {
  hidden object = {0, 0};
  for (int i = 0; i < WORDS && !end_pointer; i++) {
    object = hidden_new(&home);
    uintptr_t end = (uintptr_t)home + tri_size_of(home);
    if (end == tri_the_arena.base + atomic_load(&tri_the_arena.used)) end_pointer = (void *)end;
    home = NULL;
  }
  return object;
}

static void test_the_end_of_the_heap(void **state) {
  (void)state;
  tri_set_gc_percent(-1);
  hidden object = last_object();
  assert_non_null(end_pointer);
  for (int i = 0; i < 3; i++) collect();
  assert_true(hidden_lives(object));
  end_pointer = NULL;
  collect();
  collect();
  if (!UNDER_ASAN) assert_false(hidden_lives(object)); /* whose frames are large and keep old words */
  tri_set_gc_percent(100);
}

/* ---- neighbours ---- */

typedef struct odd { /* 24 bytes, in slots of 24 */
  struct odd *next;
  uint64_t numbers[2];
} odd;
TRI_TYPE(odd, next);

static odd *volatile second; /* root */

/* Two objects side by side, of which only the second is held: the address of the first, disguised, or 0. */
static __attribute__((noinline)) uintptr_t make_neighbours(void) {
  for (int i = 0; i < WORDS; i++) second = tri_new(odd); /* the type earns spans of its own */
  for (int i = 0; i < WORDS; i++) {
    odd *one = tri_new(odd);
    second = tri_new(odd);
    if ((uintptr_t)second == (uintptr_t)one + sizeof(odd)) return ~(uintptr_t)one;
  }
  return 0;
}

static __attribute__((noinline)) bool is_object(uintptr_t disguised) { return tri_base_of((void *)~disguised) != NULL; }

/* A pointer to an object's start is not taken for the end of the one before when that is a single one of its type. */
static void test_a_neighbour_that_ends_before(void **state) {
  (void)state;
  uintptr_t first = make_neighbours();
  assert_int_not_equal(first, 0);
  collect();
  collect();
  if (!UNDER_ASAN) assert_false(is_object(first)); /* whose frames are large and keep old words */
  assert_non_null(tri_base_of(second));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_end_of_the_heap), /* first: the heap has not grown yet */
      cmocka_unit_test(test_every_word_of_static_data),
      cmocka_unit_test(test_every_word_of_a_registered_range),
      cmocka_unit_test(test_every_word_of_large_objects),
      cmocka_unit_test(test_every_pointer_of_large_arrays),
      cmocka_unit_test(test_many_ranges),
      cmocka_unit_test(test_a_neighbour_that_ends_before),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
