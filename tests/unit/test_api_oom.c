/* test_api_oom.c - memory running out: the handler, NULL with ENOMEM, and a heap that goes on working. Every case runs
 * in a child with a small reservation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <tricolor.h>

#include "child.h"

static const char *const small_heap[] = {"TRICOLOR_HEAP_RESERVE=64MiB", NULL};

typedef struct link {
  struct link *next;
} link;

static link *kept; /* a root: everything until memory is out */

/* Until NULL. Returns how many. */
static size_t fill(size_t size) {
  for (size_t count = 0;; count++) {
    errno = 0;
    link *new = tri_alloc(size);
    if (!new) {
      CHILD_CHECK(errno == ENOMEM);
      return count;
    }
    for (size_t i = 0; i < size; i++) CHILD_CHECK(((char *)new)[i] == 0);
    memset(new, 0x11, size);
    new->next = kept;
    kept = new;
  }
}

/* Link by link, so that a stale word that points into the list holds one object and not all that follow. */
static void drop(void) {
  while (kept) {
    link *next = kept->next;
    kept->next = NULL;
    kept = next;
  }
}

static size_t size_of_case;

static void run_out_and_recover(void *unused) {
  (void)unused;
  size_t first = fill(size_of_case);
  CHILD_CHECK(first * size_of_case > 30u << 20);
  for (int round = 0; round < 3; round++) {
    drop();
    size_t again = fill(size_of_case);
    CHILD_CHECK(again * 10 >= first * 9); /* what stale words hold is little */
  }
  drop();
  for (int i = 0; i < 1000; i++) CHILD_CHECK(tri_alloc((size_t)i * 50));
}

static void test_null_and_recovery(void **state) {
  (void)state;
  static const size_t sizes[] = {16, 100, 1024, 3000, 20000, 40000, 1 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_of_case = sizes[i];
    child_result result = child_run(run_out_and_recover, NULL, small_heap);
    if (!child_succeeded(&result)) fail_msg("objects of %zu bytes", sizes[i]);
  }
}

/* ---- the handler ---- */

typedef struct calls {
  size_t size;
  int count, last_attempt, give_up_at;
  bool drop, nested_failed;
} calls;

static bool handler(size_t size, int attempt, void *context) {
  calls *seen = context;
  seen->count++;
  seen->size = size;
  CHILD_CHECK(attempt == seen->last_attempt + 1);
  seen->last_attempt = attempt;
  if (seen->drop) drop();
  return attempt < seen->give_up_at;
}

static void count_attempts(void *unused) {
  (void)unused;
  static calls seen = {.give_up_at = 4};
  CHILD_CHECK(tri_set_oom_handler(handler, &seen) == NULL);
  fill(100000);
  CHILD_CHECK(seen.count == 4 && seen.size == 100000);
  seen.last_attempt = seen.count = 0;
  CHILD_CHECK(!tri_alloc_noscan(30u << 20));
  CHILD_CHECK(seen.count == 4 && seen.size == 30u << 20);
}

static void test_attempts_are_counted(void **state) {
  (void)state;
  child_result result = child_run(count_attempts, NULL, small_heap);
  assert_true(child_succeeded(&result));
}

/* The handler drops what the program holds: the allocation succeeds. */
static void drop_in_the_handler(void *unused) {
  (void)unused;
  static calls seen = {.give_up_at = 2, .drop = true};
  tri_set_oom_handler(handler, &seen);
  for (int i = 0; i < 300000; i++) {
    link *new = tri_alloc(1000 + (size_t)(i % 50) * 100);
    CHILD_CHECK(new);
    new->next = kept;
    kept = new;
    seen.last_attempt = 0;
  }
  CHILD_CHECK(seen.count >= 3);
}

static void test_the_handler_may_drop_objects(void **state) {
  (void)state;
  child_result result = child_run(drop_in_the_handler, NULL, small_heap);
  assert_true(child_succeeded(&result));
}

/* A failure inside the handler does not call it again; it may allocate. */
static bool allocating_handler(size_t size, int attempt, void *context) {
  calls *seen = context;
  (void)size;
  seen->count++;
  void *more = tri_alloc(50u << 20);
  seen->nested_failed = !more && errno == ENOMEM;
  (void)attempt;
  return false;
}

static void allocate_in_the_handler(void *unused) {
  (void)unused;
  static calls seen;
  tri_set_oom_handler(allocating_handler, &seen);
  fill(5000);
  CHILD_CHECK(seen.count == 1 && seen.nested_failed);
  CHILD_CHECK(tri_set_oom_handler(NULL, NULL) == allocating_handler);
  fill(5000);
  CHILD_CHECK(seen.count == 1);
}

static void test_the_handler_may_allocate(void **state) {
  (void)state;
  child_result result = child_run(allocate_in_the_handler, NULL, small_heap);
  assert_true(child_succeeded(&result));
}

/* ---- all functions; all kinds ---- */

typedef struct typed {
  void *pointer;
  char bytes[500];
} typed;
TRI_TYPE(typed, pointer);

#define ASSERT_NO_MEMORY(expression)                                                                                   \
  do {                                                                                                                 \
    errno = 0;                                                                                                         \
    CHILD_CHECK(!(expression));                                                                                        \
    CHILD_CHECK(errno == ENOMEM);                                                                                      \
  } while (0)

static void fail_everywhere(void *unused) {
  (void)unused;
  fill(1 << 20);
  fill(30000);
  fill(3000);
  unsigned char *object = (unsigned char *)kept;
  ASSERT_NO_MEMORY(tri_alloc(100000));
  ASSERT_NO_MEMORY(tri_alloc_noscan(5000000));
  ASSERT_NO_MEMORY(tri_alloc_uninit(5000000));
  ASSERT_NO_MEMORY(tri_alloc_aligned(1 << 20, 5000000));
  ASSERT_NO_MEMORY(tri_alloc_noscan_aligned(1 << 20, 5000000));
  ASSERT_NO_MEMORY(tri_alloc_array(1000, 5000));
  ASSERT_NO_MEMORY(tri_make(typed, 10000));
  ASSERT_NO_MEMORY(tri_realloc(object, 5000000));
  CHILD_CHECK(object[2999] == 0x11); /* untouched */
  for (;;) {
    typed *one = tri_new(typed);
    if (!one) break;
    one->pointer = kept;
    kept = (link *)(void *)one;
  }
  CHILD_CHECK(errno == ENOMEM);
}

static void test_every_function_says_so(void **state) {
  (void)state;
  child_result result = child_run(fail_everywhere, NULL, small_heap);
  assert_true(child_succeeded(&result));
}

/* ---- threads ---- */

static void *fill_in_thread(void *unused) {
  (void)unused;
  link *mine = NULL;
  for (int i = 0; i < 20000; i++) {
    link *new = tri_alloc(500 + (size_t)i % 7 * 1000);
    if (new) new->next = mine;
    mine = new;
  }
  return NULL;
}

static void run_out_in_threads(void *unused) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, fill_in_thread, unused) == 0);
  for (int i = 0; i < 4; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
  for (int i = 0; i < 1000; i++) CHILD_CHECK(tri_alloc((size_t)i * 50));
}

static void test_threads(void **state) {
  (void)state;
  child_result result = child_run(run_out_in_threads, NULL, small_heap);
  assert_true(child_succeeded(&result));
}

/* Garbage alone never runs out: collections come in time, or at the end. */
static void make_garbage(void *percent) {
  tri_set_gc_percent(*(int *)percent);
  for (int i = 0; i < 4000; i++) {
    CHILD_CHECK(tri_alloc(100000));
    CHILD_CHECK(tri_alloc((size_t)i % 40 * 1000));
  }
}

static void test_garbage_is_no_reason(void **state) {
  (void)state;
  int percents[] = {100, -1, 1000};
  for (int i = 0; i < 3; i++) {
    child_result result = child_run(make_garbage, &percents[i], small_heap);
    assert_true(child_succeeded(&result));
  }
}

static void *make_garbage_in_thread(void *percent) {
  make_garbage(percent);
  return NULL;
}

/* A thread that finds another one's collection done finds its memory, too. */
static void make_garbage_in_threads(void *percent) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, make_garbage_in_thread, percent) == 0);
  for (int i = 0; i < 3; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_garbage_of_threads_is_no_reason(void **state) {
  (void)state;
  int percents[] = {100, 300}; /* the goal stays under the limit */
  for (int i = 0; i < 2; i++) {
    child_result result = child_run(make_garbage_in_threads, &percents[i], small_heap);
    assert_true(child_succeeded(&result));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_null_and_recovery),
      cmocka_unit_test(test_attempts_are_counted),
      cmocka_unit_test(test_the_handler_may_drop_objects),
      cmocka_unit_test(test_the_handler_may_allocate),
      cmocka_unit_test(test_every_function_says_so),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_garbage_is_no_reason),
      cmocka_unit_test(test_garbage_of_threads_is_no_reason),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
