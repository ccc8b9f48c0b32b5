/* test_paced.c - what paces collections, in a heap that runs: collections for which nothing asks, and a percentage that
 * is changed while a mark is on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <tricolor.h>

#include "child.h"
#include "random.h"

enum { LIVE = 40000, CHANGES = 12, LENGTH = 8 };

static const char *const often[] = {"TRICOLOR_DEBUG=period=20,check=1", NULL};
static const char *const often_stopping[] = {"TRICOLOR_DEBUG=period=20,check=1", "TRICOLOR_GEAR=none", NULL};
static const char *const checked[] = {"TRICOLOR_DEBUG=check=1,poison=1", NULL};

typedef struct node {
  struct node *next;
  uint64_t number, check;
} node;
TRI_TYPE(node, next);

static node *node_new(uint64_t number, node *next) {
  node *new = tri_new(node);
  CHILD_CHECK(new);
  *new = (node){.next = next, .number = number, .check = ~number};
  return new;
}

static tri_memstats figures(void) {
  tri_memstats stats;
  tri_read_memstats(&stats);
  return stats;
}

static void rest(void) { (void)nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL); }

/* ---- for which nothing asks ---- */

static node *volatile held;

/* A thread of its own, so that no other one has had these pointers on its stack. */
static void *hold_nodes(void *unused) {
  (void)unused;
  for (uint64_t i = 0; i < LIVE; i++) held = node_new(i, held);
  return NULL;
}

/* They come after the first one, though the program allocates nothing, and free what it has let go. */
static void run_idle(void *unused) {
  pthread_t holder;
  (void)unused;
  CHILD_CHECK(pthread_create(&holder, NULL, hold_nodes, NULL) == 0 && pthread_join(holder, NULL) == 0);
  tri_gc();
  tri_memstats before = figures();
  CHILD_CHECK(before.HeapObjects >= LIVE);
  held = NULL;
  while (figures().NumGC < before.NumGC + 3 || figures().HeapObjects > LIVE / 2) rest();
  tri_memstats after = figures();
  CHILD_CHECK(after.NumForcedGC == 1 && after.Mallocs - before.Mallocs < LIVE / 2);
}

static void test_collections_for_which_nothing_asks(void **state) {
  (void)state;
  child_result result = child_run(run_idle, NULL, often);
  assert_true(child_succeeded(&result));
  result = child_run(run_idle, NULL, often_stopping);
  assert_true(child_succeeded(&result));
}

/* None while the percentage is off; when it is on again they go on. */
static void run_off_and_on(void *unused) {
  (void)unused;
  tri_gc();
  CHILD_CHECK(tri_set_gc_percent(-1) == 100);
  tri_gc(); /* does for one that was due before */
  uint32_t count = figures().NumGC;
  for (int i = 0; i < 100; i++) rest();
  CHILD_CHECK(figures().NumGC == count);
  CHILD_CHECK(tri_set_gc_percent(100) == -1);
  while (figures().NumGC < count + 2) rest();
}

static void test_none_while_off(void **state) {
  (void)state;
  child_result result = child_run(run_off_and_on, NULL, often);
  assert_true(child_succeeded(&result));
}

/* ---- the percentage while a mark is on ---- */

static _Atomic(int) changes;

static bool is_marking(void) {
  uint64_t begun, over;
  tri_read_cycles(&begun, &over);
  return begun != over;
}

/* Off, next to nothing, a lot, and on again, each time a collection is met. */
static void *change_percent(void *unused) {
  (void)unused;
  while (atomic_load(&changes) < CHANGES) {
    if (!is_marking()) {
      (void)sched_yield();
      continue;
    }
    CHILD_CHECK(tri_set_gc_percent(-1) == 100);
    CHILD_CHECK(tri_set_gc_percent(5) == -1);
    CHILD_CHECK(tri_set_gc_percent(400) == 5);
    CHILD_CHECK(tri_set_gc_percent(100) == 400);
    atomic_fetch_add(&changes, 1);
  }
  return NULL;
}

static node **table;

static void check_chain(const node *at) {
  for (int length = 0; at; at = at->next, length++) CHILD_CHECK(at->check == ~at->number && length <= LENGTH);
}

/* Chains that grow, are cut and go from one place to another. */
static void move_chains(uint64_t number, test_random *random) {
  size_t from = random_below(random, LIVE), to = random_below(random, LIVE);
  node *taken = table[from];
  table[from] = NULL;
  bool cut = taken && taken->number % LENGTH == 0;
  table[to] = node_new(cut     ? number * LENGTH + 1
                       : taken ? taken->number - 1
                               : number * LENGTH + LENGTH - 1,
                       cut ? NULL : taken);
  check_chain(table[to]);
}

static void run_changes(void *unused) {
  pthread_t changer;
  test_random random = {17};
  (void)unused;
  table = tri_make(node *, LIVE);
  CHILD_CHECK(pthread_create(&changer, NULL, change_percent, NULL) == 0);
  for (uint64_t i = 1; atomic_load(&changes) < CHANGES; i++) move_chains(i, &random);
  CHILD_CHECK(pthread_join(changer, NULL) == 0);
  for (size_t i = 0; i < LIVE; i++) check_chain(table[i]);
  uint32_t count = figures().NumGC;
  while (figures().NumGC < count + 3) move_chains(1, &random); /* they go on */
}

static void say_gear(void *unused) {
  tri_stopstats stats;
  (void)unused;
  tri_read_stopstats(&stats);
  child_fail("%s", stats.gear);
}

static void test_the_percentage_is_changed_while_marking(void **state) {
  (void)state;
  child_result gear = child_run(say_gear, NULL, NULL);
  if (!strstr(gear.text, "page")) skip(); /* who is stopped for the whole mark changes nothing meanwhile */
  child_result result = child_run(run_changes, NULL, checked);
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_collections_for_which_nothing_asks),
      cmocka_unit_test(test_none_while_off),
      cmocka_unit_test(test_the_percentage_is_changed_while_marking),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
