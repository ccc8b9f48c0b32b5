/* test_check_mode.c - TRICOLOR_DEBUG=check finds a collector that was broken on purpose, names the place, and is
 * content with one that was not. Every case runs in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <tricolor.h>

#include "child.h"

typedef struct tree {
  struct tree *left, *right;
  long number;
} tree;
TRI_TYPE(tree, left, right);

static tree *static_tree;
static _Thread_local tree *thread_tree;

static tree *build(int depth) {
  tree *node = tri_new(tree);
  if (depth > 0) {
    node->left = build(depth - 1);
    node->right = build(depth - 1);
  }
  node->number = depth;
  return node;
}

static long count(const tree *node) { return node ? 1 + count(node->left) + count(node->right) : 0; }

/* Objects reached from static data, from thread-local storage, from the stack, from a named block, and as arrays. */
static void run_program(void *unused) {
  (void)unused;
  void **block = calloc(100, sizeof *block);
  CHILD_CHECK(tri_add_root(block, 100 * sizeof *block) == TRI_OK);
  tree *volatile on_stack = build(10);
  static_tree = build(10);
  thread_tree = build(5);
  for (int i = 0; i < 100; i++) block[i] = i & 1 ? (void *)tri_make(tree, 2000) : tri_alloc((size_t)i * 100);
  for (int i = 0; i < 5; i++) {
    tri_gc();
    static_tree->left = build(8);
  }
  CHILD_CHECK(count(on_stack) == 2047);
  CHILD_CHECK(count(thread_tree) == 63);
}

/* Objects full of pointers to objects: more wait to be scanned than a buffer holds. */
static void run_wide(void *unused) {
  (void)unused;
  enum { WIDE = 20000, ARRAYS = 5 };
  static tree **arrays[ARRAYS];
  for (int a = 0; a < ARRAYS; a++) {
    arrays[a] = tri_alloc_array(WIDE, sizeof **arrays);
    for (int i = 0; i < WIDE; i++) arrays[a][i] = build(1);
  }
  for (int round = 0; round < 4; round++) {
    tri_gc();
    for (int a = 0; a < ARRAYS; a++)
      for (int i = 0; i < WIDE; i++) CHILD_CHECK(arrays[a][i]->number == 1 && arrays[a][i]->right->number == 0);
    for (int i = 0; i < WIDE; i += 3) arrays[round][i] = build(1); /* some of it is used again */
  }
}

/* A list: whichever object is not scanned, the next one is lost. */
static void run_list(void *unused) {
  (void)unused;
  for (int i = 0; i < 1000; i++) {
    tree *node = tri_new(tree);
    node->left = static_tree;
    static_tree = node;
  }
  tri_gc();
  CHILD_CHECK(count(static_tree) == 1000);
}

static void test_a_sound_collector_passes(void **state) {
  (void)state;
  static const char *const settings[] = {"TRICOLOR_DEBUG=check=1", "TRICOLOR_DEBUG=check=1,poison=1",
                                         "TRICOLOR_DEBUG=check=1,workbufs=1", "TRICOLOR_DEBUG=check=1,gcevery=100"};
  for (int i = 0; i < 4; i++) {
    child_result result = child_run(run_program, NULL, (const char *const[]){settings[i], NULL});
    assert_true(child_succeeded(&result));
    assert_string_equal(result.text, "");
  }
  for (int i = 0; i < 3; i++) {
    child_result result = child_run(run_wide, NULL, (const char *const[]){settings[i], NULL});
    assert_true(child_succeeded(&result));
  }
  child_result result = child_run(run_wide, NULL, (const char *const[]){"TRICOLOR_DEBUG=workbufs=1,poison=1", NULL});
  assert_true(child_succeeded(&result));
  result = child_run(run_list, NULL, (const char *const[]){settings[0], NULL});
  assert_true(child_succeeded(&result));
}

static void test_skipped_roots_are_found(void **state) {
  (void)state;
  child_result result = child_run(run_program, NULL, (const char *const[]){"TRICOLOR_DEBUG=check=1,inject=root", NULL});
  assert_true(child_aborted(&result, (const char *const[]){"tricolor: check: object 0x", "is reachable but not marked",
                                                           "the root word at 0x", "(stack) points to it", NULL}));
}

static void test_an_object_not_scanned_is_found(void **state) {
  (void)state;
  child_result result = child_run(run_list, NULL, (const char *const[]){"TRICOLOR_DEBUG=check=1,inject=child", NULL});
  assert_true(
      child_aborted(&result, (const char *const[]){"tricolor: check: object 0x", "is reachable but not marked",
                                                   "the word at 0x", "bytes into object 0x", "points to it", NULL}));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_sound_collector_passes),
      cmocka_unit_test(test_skipped_roots_are_found),
      cmocka_unit_test(test_an_object_not_scanned_is_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
