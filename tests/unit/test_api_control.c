/* test_api_control.c - collecting, roots, percentages, figures and starting, through the public functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>

#include "steps.h"

enum { COUNT = 200 };

static uintptr_t disguised[COUNT]; /* ~address */

__attribute__((noinline)) static void fill(void **block, size_t count) {
  for (size_t i = 0; i < count; i++) {
    block[i] = tri_alloc(300);
    disguised[i] = ~(uintptr_t)block[i];
  }
}

static int count_alive(size_t count) {
  int alive = 0;
  for (size_t i = 0; i < count; i++) alive += tri_base_of((void *)~disguised[i]) != NULL; /* NOLINT: undisguised */
  return alive;
}

#define ASSERT_FEW(expression) assert_in_range(expression, 0, COUNT / 20)

/* ---- roots ---- */

static void *static_block[COUNT];
static _Thread_local void *thread_block[COUNT];

static void test_static_data_is_a_root(void **state) {
  (void)state;
  fill(static_block, COUNT);
  tri_gc();
  assert_int_equal(count_alive(COUNT), COUNT);
  memset(static_block, 0, sizeof static_block);
  tri_gc();
  ASSERT_FEW(count_alive(COUNT));
}

static void test_thread_local_data_is_a_root(void **state) {
  (void)state;
  fill(thread_block, COUNT);
  tri_gc();
  assert_int_equal(count_alive(COUNT), COUNT);
  memset(thread_block, 0, sizeof thread_block);
  tri_gc();
  ASSERT_FEW(count_alive(COUNT));
}

static void test_malloc_is_no_root_until_named(void **state) {
  (void)state;
  void **block = malloc(COUNT * sizeof *block);
  fill(block, COUNT);
  tri_gc();
  ASSERT_FEW(count_alive(COUNT));
  memset(block, 0, COUNT * sizeof *block);
  assert_int_equal(tri_add_root(block, COUNT * sizeof *block), TRI_OK);
  fill(block, COUNT);
  tri_gc();
  assert_int_equal(count_alive(COUNT), COUNT);
  assert_int_equal(tri_remove_root(block), TRI_OK);
  tri_gc();
  ASSERT_FEW(count_alive(COUNT));
  assert_int_equal(tri_remove_root(block), TRI_ERR_NOT_FOUND);
  free(block);
}

static void test_the_same_root_twice_replaces_the_size(void **state) {
  (void)state;
  void **block = calloc(COUNT, sizeof *block);
  assert_int_equal(tri_add_root(block, COUNT * sizeof *block), TRI_OK);
  assert_int_equal(tri_add_root(block, COUNT / 2 * sizeof *block), TRI_OK);
  fill(block, COUNT);
  tri_gc();
  assert_in_range(count_alive(COUNT), COUNT / 2, COUNT / 2 + COUNT / 20);
  assert_int_equal(count_alive(COUNT / 2), COUNT / 2);
  assert_int_equal(tri_remove_root(block), TRI_OK);
  assert_int_equal(tri_remove_root(block), TRI_ERR_NOT_FOUND);
  free(block);
}

/* Only whole aligned words within the range count. */
static void test_unaligned_root(void **state) {
  (void)state;
  void **block = calloc(4, sizeof *block);
  assert_int_equal(tri_add_root((char *)block + 1, 4 * sizeof *block - 2), TRI_OK);
  fill(block, 4);
  tri_gc();
  assert_ptr_equal(tri_base_of(block[1]), block[1]);
  assert_ptr_equal(tri_base_of(block[2]), block[2]);
  assert_int_equal(tri_remove_root((char *)block + 1), TRI_OK);
  free(block);
}

static void test_many_roots(void **state) {
  (void)state;
  enum { MANY = 3000 };
  void ***blocks = calloc(MANY, sizeof *blocks);
  for (int i = 0; i < MANY; i++) {
    blocks[i] = calloc(1, sizeof **blocks);
    assert_int_equal(tri_add_root(blocks[i], sizeof **blocks), TRI_OK);
  }
  for (int i = 0; i < COUNT; i++) fill(blocks[i * 7], 1);
  tri_gc();
  for (int i = 0; i < COUNT; i++) assert_ptr_equal(tri_base_of(*blocks[i * 7]), *blocks[i * 7]);
  for (int i = 0; i < MANY; i++) assert_int_equal(tri_remove_root(blocks[i]), TRI_OK);
  for (int i = 0; i < MANY; i++) free(blocks[i]);
  free(blocks);
}

static void test_impossible_roots(void **state) {
  (void)state;
  char byte;
  assert_int_equal(tri_add_root(NULL, 8), TRI_ERR_INVALID);
  assert_int_equal(tri_add_root(&byte, SIZE_MAX), TRI_ERR_INVALID);
  assert_int_equal(tri_remove_root(&byte), TRI_ERR_NOT_FOUND);
  assert_int_equal(tri_add_root(&byte, 0), TRI_OK);
  assert_int_equal(tri_remove_root(&byte), TRI_OK);
}

/* ---- pointers ---- */

/* Into the middle, and in roots just past the end; the slot has the object's size exactly. */
static void test_inner_and_end_pointers(void **state) {
  (void)state;
  static const size_t sizes[] = {16, 64, 1024, 2048, 32768, 100000};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    fill(static_block, 2);
    char *object = tri_alloc(sizes[s]);
    disguised[0] = ~(uintptr_t)object;
    static_block[0] = object + sizes[s] / 2 + 1;
    object = tri_alloc(sizes[s]);
    disguised[1] = ~(uintptr_t)object;
    static_block[1] = object + sizes[s];
    object = NULL;
    tri_gc();
    assert_int_equal(count_alive(2), 2);
  }
  memset(static_block, 0, sizeof static_block);
}

typedef struct single {
  void *first;
  long second;
} single;
TRI_TYPE(single, first);

/* In static data it is a pointer to what follows, if anything does. */
static void test_the_end_of_a_single_object(void **state) {
  (void)state;
  for (int i = 0; i < 4000; i++) tri_keep_alive(tri_new(single)); /* the type has spans of its own from then on */
  for (int i = 0; i < COUNT; i++) {
    single *object = tri_new(single), *behind = tri_new(single);
    disguised[i] = ~(uintptr_t)object;
    static_block[i] = behind == object + 1 ? behind : NULL;
  }
  tri_gc();
  ASSERT_FEW(count_alive(COUNT));
  memset(static_block, 0, sizeof static_block);
}

static void test_noscan_keeps_nothing(void **state) {
  (void)state;
  static void *volatile holder; /* else the compiler keeps it nowhere */
  holder = tri_alloc_noscan(COUNT * sizeof(void *));
  fill(holder, COUNT);
  tri_gc();
  ASSERT_FEW(count_alive(COUNT));
  holder = tri_alloc(COUNT * sizeof(void *));
  fill(holder, COUNT);
  tri_gc();
  assert_int_equal(count_alive(COUNT), COUNT);
  holder = NULL;
}

typedef struct ring {
  struct ring *next, *previous;
} ring;

static void test_cycles_are_collected(void **state) {
  (void)state;
  for (int i = 0; i < COUNT; i++) {
    ring *first = tri_new(ring), *second = tri_new(ring), *third = tri_new(ring);
    *first = (ring){second, third};
    *second = (ring){third, first};
    *third = (ring){first, second};
    disguised[i] = ~(uintptr_t)first;
  }
  tri_gc();
  tri_gc();
  ASSERT_FEW(count_alive(COUNT));
}

static void test_keep_alive(void **state) {
  (void)state;
  char *object = tri_alloc(300);
  tri_gc();
  assert_ptr_equal(tri_base_of((void *)~(~(uintptr_t)object)), object); /* NOLINT */
  tri_keep_alive(object);
}

/* ---- when collections happen ---- */

static void allocate(size_t bytes) {
  for (size_t i = 0; i < bytes / 1000; i++) tri_keep_alive(tri_alloc(1000));
}

static void test_percentage(void **state) {
  (void)state;
  assert_int_equal(tri_set_gc_percent(-1), 100);
  uint32_t before = collections();
  allocate(60 << 20);
  assert_int_equal(collections(), before);
  assert_int_equal(tri_set_gc_percent(100), -1); /* overdue by now */
  assert_true(collections() > before);
  before = collections();
  allocate(60 << 20);
  uint32_t at_100 = collections() - before;
  assert_true(at_100 >= 3);
  assert_int_equal(tri_set_gc_percent(400), 100);
  tri_gc();
  before = collections();
  allocate(60 << 20);
  assert_true(collections() - before < at_100);
  assert_int_equal(tri_set_gc_percent(-7), 400);
  assert_int_equal(tri_set_gc_percent(100), -1);
}

static void test_forced_collections_are_counted(void **state) {
  (void)state;
  tri_memstats before, after;
  tri_read_memstats(&before);
  for (int i = 0; i < 5; i++) tri_gc();
  tri_read_memstats(&after);
  assert_int_equal(after.NumForcedGC - before.NumForcedGC, 5);
  assert_true(after.NumGC - before.NumGC >= 5);
  assert_true(after.LastGC > before.LastGC);
  assert_true(after.PauseTotalNs > before.PauseTotalNs);
  assert_true(after.PauseNs[(after.NumGC + 255) % 256] > 0);
  assert_int_equal(after.PauseEnd[(after.NumGC + 255) % 256], after.LastGC);
}

/* What a tri_gc finds unreachable is free, and counted so, when it returns. */
static void test_gc_sweeps_everything(void **state) {
  (void)state;
  tri_memstats before, after;
  tri_set_gc_percent(-1);
  tri_gc();
  tri_gc();
  tri_read_memstats(&before);
  for (int i = 0; i < 10000; i++) tri_keep_alive(tri_alloc((size_t)i % 3000));
  for (int i = 0; i < 30; i++) tri_keep_alive(tri_alloc(200000));
  tri_gc();
  tri_read_memstats(&after);
  assert_true(after.HeapObjects <= before.HeapObjects + 20);
  assert_true(after.HeapAlloc <= before.HeapAlloc + 20 * 3000 + 500000);
  assert_int_equal(after.Mallocs - before.Mallocs, 10030);
  tri_set_gc_percent(100);
}

static void test_giving_memory_back(void **state) {
  (void)state;
  tri_memstats stats;
  allocate(30 << 20);
  tri_free_os_memory();
  tri_read_memstats(&stats);
  assert_int_equal(stats.HeapReleased, stats.HeapIdle);
}

static void test_stop_figures(void **state) {
  (void)state;
  tri_stopstats before, after;
  tri_read_stopstats(&before);
  tri_gc();
  tri_read_stopstats(&after);
  assert_true(after.count > before.count);
  assert_true(after.total_ns > before.total_ns);
  assert_true(after.longest_ns > 0 && after.longest_ns <= after.total_ns);
  uint64_t counted = 0;
  for (int i = 0; i < TRI_STOP_BUCKETS; i++) counted += after.counts[i];
  assert_int_equal(counted, after.count);
}

/* ---- threads ---- */

static void *use_and_detach(void *argument) {
  void *volatile kept = tri_alloc(100);
  assert_non_null(kept);
  if (argument) assert_int_equal(tri_thread_detach(), TRI_OK);
  if (argument) assert_int_equal(tri_thread_detach(), TRI_ERR_NOT_FOUND);
  kept = tri_alloc(100);
  assert_non_null(kept);
  return NULL;
}

static void test_attach_and_detach(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("a stop may interrupt it, see tests/CMakeLists.txt");
  static char other[8];
  char stack[16];
  assert_int_equal(tri_thread_attach(NULL, NULL), TRI_OK);
  assert_int_equal(tri_thread_attach(NULL, NULL), TRI_OK);
  assert_int_equal(tri_thread_attach(stack + 8, stack), TRI_ERR_INVALID);
  assert_int_equal(tri_thread_attach(other, other + 8), TRI_ERR_INVALID);
  for (int i = 0; i < 20; i++) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, use_and_detach, i & 1 ? &thread : NULL), 0);
    tri_gc();
    assert_int_equal(pthread_join(thread, NULL), 0);
  }
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

/* What its stack holds stays while it is in a blocking region; regions nest. */
static void *block(void *argument) {
  void *volatile mine = tri_alloc(500);
  atomic_store_explicit((_Atomic(uintptr_t) *)argument, ~(uintptr_t)mine, memory_order_release);
  tri_blocking_begin();
  tri_blocking_begin();
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  tri_blocking_end();
  tri_blocking_end();
  assert_ptr_equal(tri_base_of(mine), mine);
  return NULL;
}

static void test_blocking_regions(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("a stop may interrupt it, see tests/CMakeLists.txt");
  static _Atomic(uintptr_t) held;
  pthread_t thread;
  pthread_mutex_lock(&gate);
  assert_int_equal(pthread_create(&thread, NULL, block, (void *)&held), 0);
  while (!held) {}
  for (int i = 0; i < 10; i++) tri_gc();
  assert_non_null(tri_base_of((void *)~held)); /* NOLINT: undisguised */
  pthread_mutex_unlock(&gate);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- starting, names ---- */

static void test_init_after_the_start(void **state) {
  (void)state;
  tri_options options = {.size = sizeof options};
  tri_gc();
  assert_int_equal(tri_init(NULL), TRI_OK);
  assert_int_equal(tri_init(&options), TRI_ERR_ALREADY);
}

static void test_error_names(void **state) {
  (void)state;
  for (int err = -1; err < 10; err++) {
    assert_non_null(tri_err_name((tri_err)err));
    assert_true(strlen(tri_err_name((tri_err)err)) > 1);
    for (int other = TRI_OK; other < err && err <= TRI_ERR_SYSTEM; other++)
      assert_string_not_equal(tri_err_name((tri_err)err), tri_err_name((tri_err)other));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_static_data_is_a_root),
      cmocka_unit_test(test_thread_local_data_is_a_root),
      cmocka_unit_test(test_malloc_is_no_root_until_named),
      cmocka_unit_test(test_the_same_root_twice_replaces_the_size),
      cmocka_unit_test(test_unaligned_root),
      cmocka_unit_test(test_many_roots),
      cmocka_unit_test(test_impossible_roots),
      cmocka_unit_test(test_inner_and_end_pointers),
      cmocka_unit_test(test_the_end_of_a_single_object),
      cmocka_unit_test(test_noscan_keeps_nothing),
      cmocka_unit_test(test_cycles_are_collected),
      cmocka_unit_test(test_keep_alive),
      cmocka_unit_test(test_percentage),
      cmocka_unit_test(test_forced_collections_are_counted),
      cmocka_unit_test(test_gc_sweeps_everything),
      cmocka_unit_test(test_giving_memory_back),
      cmocka_unit_test(test_stop_figures),
      cmocka_unit_test(test_attach_and_detach),
      cmocka_unit_test(test_blocking_regions),
      cmocka_unit_test(test_init_after_the_start),
      cmocka_unit_test(test_error_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
