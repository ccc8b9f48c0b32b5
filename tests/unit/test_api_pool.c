/* test_api_pool.c - pools as a program sees them: what comes back, what is let go and when, what misuse is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <tricolor/pool.h>

#include "child.h"
#include "steps.h"

enum { SIZE = 48 };

static int made, destroyed;

static void *make(void *context) {
  made++;
  void *object = tri_alloc(SIZE);
  *(void **)object = context;
  return object;
}

static void destroy(void *object, void *context) {
  assert_ptr_equal(*(void **)object, context);
  destroyed++;
}

static tri_pool *pool_new(tri_pool_options options) {
  options.size = sizeof options;
  made = destroyed = 0;
  tri_pool *pool = tri_pool_new(&options);
  assert_non_null(pool);
  return pool;
}

static tri_pool_stats stats_of(const tri_pool *pool) {
  tri_pool_stats stats;
  tri_pool_read_stats(pool, &stats);
  return stats;
}

static void test_empty_pools(void **state) {
  (void)state;
  tri_pool *bare = tri_pool_new(NULL), *makes = pool_new((tri_pool_options){.make = make, .context = &made});
  assert_null(tri_pool_get(bare));
  void *object = tri_pool_get(makes);
  assert_int_equal(made, 1);
  assert_ptr_equal(*(void **)object, &made);
  tri_pool_stats stats = stats_of(makes);
  assert_true(stats.gets == 1 && stats.misses == 1 && stats.puts == 0 && stats.held == 0 && stats.dropped == 0);
}

static void test_the_last_one_comes_first(void **state) {
  (void)state;
  tri_pool *pool = tri_pool_new(NULL);
  void *objects[3];
  for (int i = 0; i < 3; i++) tri_pool_put(pool, objects[i] = tri_alloc(SIZE));
  tri_pool_put(pool, NULL);
  assert_true(stats_of(pool).held == 3 && stats_of(pool).puts == 3);
  assert_ptr_equal(tri_pool_get(pool), objects[0]); /* the one in the thread's own place */
  assert_ptr_equal(tri_pool_get(pool), objects[2]);
  assert_ptr_equal(tri_pool_get(pool), objects[1]);
  assert_null(tri_pool_get(pool));
  tri_pool_stats stats = stats_of(pool);
  assert_true(stats.gets == 4 && stats.misses == 1 && stats.held == 0);
}

/* More than fit into one ring, and all are found again, once. */
static void test_many_objects(void **state) {
  (void)state;
  enum { COUNT = 20000 };
  tri_pool *pool = pool_new((tri_pool_options){0});
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < COUNT; i++) {
      size_t *object = tri_alloc_noscan(SIZE);
      *object = i;
      tri_pool_put(pool, object);
    }
    assert_int_equal(stats_of(pool).held, COUNT);
    char *seen = tri_alloc_noscan(COUNT);
    for (size_t i = 0; i < COUNT; i++) {
      size_t *object = tri_pool_get(pool);
      assert_non_null(object);
      assert_false(seen[*object]++);
    }
    assert_null(tri_pool_get(pool));
  }
}

/* ---- letting go ---- */

static __attribute__((noinline)) hidden put_hidden(tri_pool *pool) {
  void *volatile home;
  hidden object = hidden_new(&home);
  tri_pool_put(pool, home);
  home = NULL;
  return object;
}

static void test_two_collections_empty_it(void **state) {
  (void)state;
  tri_pool *pool = tri_pool_new(NULL);
  hidden first = put_hidden(pool), second = put_hidden(pool);
  collect();
  assert_true(hidden_lives(first) && hidden_lives(second));
  assert_int_equal(stats_of(pool).held, 2);
  collect();
  assert_true(UNDER_ASAN || !(hidden_lives(first) || hidden_lives(second)));
  assert_null(tri_pool_get(pool));
  assert_true(stats_of(pool).held == 0 && stats_of(pool).dropped == 2);
}

static void test_what_is_used_stays(void **state) {
  (void)state;
  tri_pool *pool = tri_pool_new(NULL);
  void *object = tri_alloc(SIZE);
  for (int i = 0; i < 5; i++) {
    tri_pool_put(pool, object);
    collect();
    assert_ptr_equal(tri_pool_get(pool), object);
  }
}

/* A victim's own object and those of its queue. */
static void test_victims_are_given_again(void **state) {
  (void)state;
  tri_pool *pool = tri_pool_new(NULL);
  void *objects[5];
  for (int i = 0; i < 5; i++) tri_pool_put(pool, objects[i] = tri_alloc(SIZE));
  collect();
  for (int i = 0; i < 5; i++) assert_non_null(tri_pool_get(pool));
  assert_null(tri_pool_get(pool));
  tri_keep_alive(objects);
}

static void test_destructor(void **state) {
  (void)state;
  enum { COUNT = 100 };
  tri_pool *pool = pool_new((tri_pool_options){.make = make, .destroy = destroy, .context = &made});
  void *objects[COUNT];
  for (int i = 0; i < COUNT; i++) objects[i] = tri_pool_get(pool);
  for (int i = 0; i < COUNT; i++) tri_pool_put(pool, objects[i]);
  tri_gc();
  assert_int_equal(destroyed, 0);
  tri_gc();
  assert_int_equal(destroyed, COUNT);
  assert_int_equal(stats_of(pool).dropped, COUNT);
  assert_int_equal(stats_of(pool).held, 0);
}

/* Besides the one in the thread's place. */
static void test_limit(void **state) {
  (void)state;
  tri_pool *pool = pool_new((tri_pool_options){.destroy = destroy, .make = make, .max = 10});
  void *objects[20];
  for (int i = 0; i < 20; i++) objects[i] = tri_pool_get(pool);
  for (int i = 0; i < 20; i++) tri_pool_put(pool, objects[i]);
  assert_int_equal(destroyed, 9);
  assert_int_equal(stats_of(pool).held, 11);
  for (int i = 0; i < 11; i++) (void)tri_pool_get(pool);
  assert_int_equal(made, 20);
  for (int i = 0; i < 11; i++) tri_pool_put(pool, objects[i]);
  assert_int_equal(destroyed, 9);
  tri_gc();
  tri_gc();
  assert_int_equal(destroyed, 20);
  for (int i = 0; i < 11; i++) tri_pool_put(pool, tri_alloc(SIZE));
  assert_int_equal(destroyed, 20); /* what was let go counts no more */
}

/* ---- pools come and go ---- */

static __attribute__((noinline)) void make_and_use(int count) {
  for (int i = 0; i < count; i++) {
    tri_pool *pool = tri_pool_new(NULL);
    tri_pool_put(pool, tri_alloc(SIZE));
    tri_pool_put(pool, tri_alloc(SIZE));
  }
}

static void test_pools_are_collected(void **state) {
  (void)state;
  tri_memstats before, after;
  collect();
  collect();
  collect();
  tri_read_memstats(&before);
  make_and_use(1000);
  for (int i = 0; i < 4; i++) collect();
  tri_read_memstats(&after);
  assert_true(after.HeapObjects < before.HeapObjects + 100);
}

/* ---- threads ---- */

enum { THREADS = 100, ROUNDS = UNDER_TSAN ? 200 : 2000 };
static tri_pool *shared;
static _Atomic(size_t) live;

typedef struct item {
  _Atomic(int) users;
  uint64_t tag;
} item;

static void *make_item(void *unused) {
  (void)unused;
  item *new = tri_alloc(sizeof *new);
  new->tag = 0x7a9;
  return new;
}

/* No object is in two hands. */
static void *get_and_put(void *unused) {
  for (int i = 0; i < ROUNDS; i++) {
    item *held[5];
    for (int j = 0; j < 5; j++) {
      held[j] = tri_pool_get(shared);
      CHILD_CHECK(held[j]->tag == 0x7a9);
      CHILD_CHECK(atomic_fetch_add(&held[j]->users, 1) == 0);
    }
    for (int j = 0; j < 5; j++) {
      CHILD_CHECK(atomic_fetch_sub(&held[j]->users, 1) == 1);
      tri_pool_put(shared, held[j]);
    }
    if (!UNDER_TSAN && i % 500 == 0) tri_gc();
  }
  return unused;
}

static void destroy_item(void *object, void *unused) {
  (void)unused;
  item *old = object;
  CHILD_CHECK(atomic_fetch_add(&old->users, 1) == 0);
  old->tag = 0;
  atomic_fetch_add(&live, 1);
}

/* Threads that compute cannot be stopped under ThreadSanitizer, which here looks at the queues alone. */
static void run_threads(int count) {
  pthread_t threads[THREADS];
  int percent = UNDER_TSAN ? tri_set_gc_percent(-1) : 100;
  for (int i = 0; i < count; i++) assert_int_equal(pthread_create(&threads[i], NULL, get_and_put, NULL), 0);
  for (int i = 0; i < count; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  tri_set_gc_percent(percent);
}

static void test_threads_share(void **state) {
  (void)state;
  shared = pool_new((tri_pool_options){.make = make_item});
  uint32_t before = collections();
  run_threads(4);
  tri_pool_stats stats = stats_of(shared);
  size_t calls = 4 * 5 * ROUNDS, lost = 4 * (collections() - before); /* at most one of each thread's in each */
  assert_true(stats.gets <= calls && stats.gets + lost >= calls && stats.puts <= calls && stats.puts + lost >= calls);
}

static void test_threads_share_a_pool_with_a_destructor(void **state) {
  (void)state;
  shared = pool_new((tri_pool_options){.make = make_item, .destroy = destroy_item, .max = 12});
  atomic_store(&live, 0);
  run_threads(4);
  tri_pool_stats stats = stats_of(shared);
  assert_true(stats.gets == 4 * 5 * ROUNDS && stats.puts == stats.gets);
  tri_gc();
  tri_gc();
  assert_int_equal(stats_of(shared).held, 0);
  assert_int_equal(atomic_load(&live), stats.misses); /* each that was made is destroyed, once */
}

static test_step all_here;

static void *wait_and_use(void *number) {
  item *mine = make_item(NULL);
  tri_pool_put(shared, mine);
  atomic_fetch_add(&all_here, 1);
  step_await(&all_here, THREADS);
  item *again = tri_pool_get(shared);
  CHILD_CHECK(again == mine); /* each has a place of its own */
  return number;
}

static void test_many_threads(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  shared = tri_pool_new(NULL);
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, wait_and_use, NULL), 0);
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(stats_of(shared).held, 0);
}

static void *put_two(void *pool) {
  tri_pool_put(pool, tri_alloc(SIZE));
  tri_pool_put(pool, tri_alloc(SIZE));
  return NULL;
}

static void test_a_thread_steals(void **state) {
  (void)state;
  pthread_t thread;
  tri_pool *pool = tri_pool_new(NULL);
  tri_pool_put(pool, tri_alloc(SIZE));
  assert_int_equal(pthread_create(&thread, NULL, put_two, pool), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_non_null(tri_pool_get(pool));
  assert_non_null(tri_pool_get(pool)); /* the other's second; its first is its own, or whose thread has its number */
  assert_null(tri_pool_get(pool));
}

/* ---- misuse ---- */

static void put_foreign(void *unused) {
  int on_stack;
  (void)unused;
  tri_pool_put(tri_pool_new(NULL), &on_stack);
}

static void put_twice(void *unused) {
  (void)unused;
  tri_pool *pool = tri_pool_new(NULL);
  void *object = tri_alloc(SIZE);
  tri_pool_put(pool, object);
  tri_pool_put(pool, object);
}

static void put_twice_among_others(void *unused) {
  (void)unused;
  tri_pool *pool = tri_pool_new(NULL);
  void *object = tri_alloc(SIZE);
  for (int i = 0; i < 10; i++) tri_pool_put(pool, i == 5 ? object : tri_alloc(SIZE));
  tri_pool_put(pool, object);
}

static void put_middle(void *unused) {
  (void)unused;
  tri_pool *pool = tri_pool_new(NULL);
  for (int i = 0; i < 2; i++) tri_pool_put(pool, (char *)tri_alloc(SIZE) + 8);
}

static void get_from_nothing(void *unused) {
  (void)unused;
  (void)tri_pool_get(NULL);
}

static void test_misuse(void **state) {
  (void)state;
  static const char *const check[] = {"TRICOLOR_DEBUG=check=1", NULL};
  static const struct {
    void (*body)(void *);
    const char *const *environment;
    const char *texts[2]; /* up to a NULL */
  } cases[] = {
      {put_foreign, NULL, {"tri_pool_put: 0x"}},
      {put_foreign, NULL, {"is not an object of this heap"}},
      {put_twice, NULL, {"is in the pool already"}},
      {put_twice_among_others, check, {"is in the pool already"}},
      {put_middle, check, {"it points 8 bytes into the one at"}},
      {get_from_nothing, NULL, {"tri_pool_get: the pool is NULL"}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    child_result result = child_run(cases[i].body, NULL, cases[i].environment);
    assert_true(child_aborted(&result, cases[i].texts));
  }
}

static void test_impossible_options(void **state) {
  (void)state;
  tri_pool_options options = {.size = 3};
  errno = 0;
  assert_null(tri_pool_new(&options));
  assert_int_equal(errno, EINVAL);
}

/* ---- buffers by size ---- */

static void test_sized_pools(void **state) {
  (void)state;
  tri_sized_pool *pool = tri_sized_pool_new(NULL, 0);
  static const size_t asked[] = {0, 1, 64, 65, 4096, 16384}, given[] = {64, 64, 64, 256, 4096, 16384};
  for (int i = 0; i < 6; i++) {
    assert_int_equal(tri_sized_pool_size(pool, asked[i]), given[i]);
    char *buffer = tri_sized_pool_get(pool, asked[i]);
    for (size_t at = 0; at < given[i]; at++) assert_int_equal(buffer[at], 0);
    buffer[given[i] - 1] = 7;
    assert_true(tri_sized_pool_put(pool, buffer, given[i]));
    assert_ptr_equal(tri_sized_pool_get(pool, asked[i]), buffer);
    assert_int_equal(buffer[given[i] - 1], 7);
    assert_true(tri_sized_pool_put_clear(pool, buffer, given[i]));
    assert_int_equal(buffer[given[i] - 1], 0);
    (void)tri_sized_pool_get(pool, asked[i]);
  }
  char *large = tri_sized_pool_get(pool, 100000);
  assert_true(tri_size_of(large) >= 100000 && tri_sized_pool_size(pool, 100000) == 100000);
  assert_false(tri_sized_pool_put(pool, large, 100000));
  assert_false(tri_sized_pool_put_clear(pool, large, 65));
  assert_false(tri_sized_pool_put(pool, NULL, 64));
}

static void test_small_sizes(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 8};
  tri_sized_pool *pool = tri_sized_pool_new(sizes, 2);
  char *one = tri_sized_pool_get(pool, 1), *other = tri_sized_pool_get(pool, 5);
  assert_true(tri_sized_pool_put(pool, one, 1) && tri_sized_pool_put(pool, other, 8));
  assert_ptr_equal(tri_sized_pool_get(pool, 1), one);
  assert_ptr_equal(tri_sized_pool_get(pool, 2), other);
}

static void test_impossible_sizes(void **state) {
  (void)state;
  static const size_t falling[] = {64, 32}, twice[] = {64, 64}, none[] = {0};
  assert_null(tri_sized_pool_new(falling, 2));
  assert_null(tri_sized_pool_new(twice, 2));
  errno = 0;
  assert_null(tri_sized_pool_new(none, 1));
  assert_int_equal(errno, EINVAL);
  assert_null(tri_sized_pool_new(falling, 0));
}

static void put_short(void *unused) {
  (void)unused;
  (void)tri_sized_pool_put(tri_sized_pool_new(NULL, 0), tri_alloc(64), 1024);
}

static void put_foreign_buffer(void *unused) {
  char on_stack[64];
  (void)unused;
  (void)tri_sized_pool_put(tri_sized_pool_new(NULL, 0), on_stack, 64);
}

static void test_misuse_of_sized_pools(void **state) {
  (void)state;
  child_result result = child_run(put_short, NULL, NULL);
  assert_true(child_aborted(
      &result, (const char *const[]){"tri_sized_pool_put: the buffer at 0x", "has 64 bytes, not 1024", NULL}));
  result = child_run(put_foreign_buffer, NULL, NULL);
  assert_true(
      child_aborted(&result, (const char *const[]){"tri_sized_pool_put: 0x", "is not an object of this heap", NULL}));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_misuse), /* children first: the parent has no heap yet */
      cmocka_unit_test(test_misuse_of_sized_pools),
      cmocka_unit_test(test_empty_pools),
      cmocka_unit_test(test_sized_pools),
      cmocka_unit_test(test_small_sizes),
      cmocka_unit_test(test_impossible_sizes),
      cmocka_unit_test(test_the_last_one_comes_first),
      cmocka_unit_test(test_many_objects),
      cmocka_unit_test(test_two_collections_empty_it),
      cmocka_unit_test(test_what_is_used_stays),
      cmocka_unit_test(test_victims_are_given_again),
      cmocka_unit_test(test_destructor),
      cmocka_unit_test(test_limit),
      cmocka_unit_test(test_pools_are_collected),
      cmocka_unit_test(test_threads_share),
      cmocka_unit_test(test_threads_share_a_pool_with_a_destructor),
      cmocka_unit_test(test_many_threads),
      cmocka_unit_test(test_a_thread_steals),
      cmocka_unit_test(test_impossible_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
