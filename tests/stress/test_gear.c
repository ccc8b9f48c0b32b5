/* test_gear.c - collections beside the program: that they run so when asked to, and that nothing is lost that moves
 * meanwhile. What a thread of the program does to its pointers while it is not stopped is the whole point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tricolor.h>

#include "child.h"
#include "random.h"
#include "steps.h"

enum { MIB = 1024 * 1024, LIVE = 60000, CYCLES = UNDER_TSAN ? 4 : 12, MOVERS = 2 };

/* Few markers, whatever the machine: many would mark what there is in a stop. */
static const char *const page_gear[] = {"TRICOLOR_GEAR=page", "TRICOLOR_GC_THREADS=2",
                                        "TRICOLOR_DEBUG=check=1,poison=1", NULL};
static const char *const full_page_gear[] = {"TRICOLOR_GEAR=page", "TRICOLOR_GC_THREADS=2", "TRICOLOR_YOUNG=0", NULL};
static const char *const stopping_gear[] = {"TRICOLOR_GEAR=none", NULL};

typedef struct node {
  struct node *left, *right;
  uint64_t number, check;
} node;
TRI_TYPE(node, left, right);

static node *node_new(uint64_t number) {
  node *new = tri_new(node);
  CHILD_CHECK(new);
  new->number = number;
  new->check = ~number;
  return new;
}

static tri_stopstats stops(void) {
  tri_stopstats stats;
  tri_read_stopstats(&stats);
  return stats;
}

static void say_gear(void *unused) {
  (void)unused;
  const char *gear = stops().gear;
  CHILD_CHECK(write(STDERR_FILENO, gear, strlen(gear)) > 0);
}

/* In a child: what follows starts heaps of its own. */
static bool works_here(void) {
  child_result result = child_run(say_gear, NULL, NULL);
  return strcmp(result.text, "page") == 0;
}

/* A table that is always full; what it held before is garbage. Its nodes hang on it by chains of up to four. */
static node **table;

static node *ballast;

static void add_ballast(void) {
  for (uint64_t i = 0; i < LIVE / 2; i++) {
    node *new = node_new(i);
    new->right = ballast;
    ballast = new;
  }
}

/* Each is made as the one before it cost; the first two cost more than those that come later. */
static bool are_made_beside(void) {
  enum { WARM_UP = 2, ASKED = 4 };
  for (int i = 0; i < WARM_UP; i++) tri_gc();
  uint64_t before = stops().concurrent;
  for (int i = 0; i < ASKED; i++) tri_gc();
  return stops().concurrent == before + ASKED;
}

static void fill_table(void) {
  table = tri_make(node *, LIVE);
  for (uint64_t i = 0; i < LIVE; i++) table[i] = node_new(i);
}

/* With so much besides that a mark takes longer than a stop may: this machine may be fast. */
static void fill_heap(void) {
  fill_table();
  while (!are_made_beside()) add_ballast();
  add_ballast();
}

static void check_chain(const node *at) {
  for (int length = 0; at; at = at->left, length++) CHILD_CHECK(at->check == ~at->number && length <= 8);
}

static void check_table(void) {
  for (size_t i = 0; i < LIVE; i++) {
    CHILD_CHECK(table[i]);
    check_chain(table[i]);
  }
}

/* Until so many collections beside the program have come and gone, nodes move: a chain goes from one place of the table
 * to another by way of a register alone, gets a new head, or loses all but its head. */
static void move_nodes(uint64_t cycles, uint64_t seed) {
  test_random random = {seed};
  uint64_t until = stops().concurrent + cycles;
  for (uint64_t i = 0; i % 256 || stops().concurrent < until; i++) {
    size_t from = random_below(&random, LIVE), to = random_below(&random, LIVE);
    node *taken = table[from];
    table[from] = NULL;
    node *put = node_new(i);
    put->left = taken->right ? NULL : taken;
    taken->right = random_below(&random, 2) ? put : NULL;
    node *other = table[to];
    table[to] = put;
    table[from] = other ? other : node_new(i);
    if (put->left && put->left->left) put->left->left->left = NULL;
    check_chain(put);
  }
}

static void run_moves(void *unused) {
  (void)unused;
  fill_heap();
  tri_stopstats before = stops();
  move_nodes(CYCLES, 1);
  check_table();
  tri_stopstats after = stops();
  CHILD_CHECK(after.concurrent >= before.concurrent + CYCLES && after.rounds >= before.rounds + CYCLES);
  CHILD_CHECK(after.cycles_begun >= after.concurrent && strcmp(after.gear, "page") == 0);
}

static void test_collections_run_beside_the_program(void **state) {
  (void)state;
  if (!works_here()) skip();
  child_result result = child_run(run_moves, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- young collections ---- */

enum { HOLDERS = 32, HELD = 4 };

/* Part of the table's nodes, all over it, and of its places. */
static node *holder(uint64_t which) { return table[which % HOLDERS * (LIVE / HOLDERS)]; }
static node **place(uint64_t which) { return &table[which % HOLDERS * (LIVE / HOLDERS) + 1]; }

static node *young_chain(uint64_t number) {
  node *chain = NULL;
  for (int i = 0; i < HELD; i++) {
    node *head = node_new(number);
    head->left = chain;
    chain = head;
  }
  return chain;
}

/* All of them hold what they were given, whichever collections have come since. */
static void check_held(uint64_t given) {
  for (uint64_t i = given > HOLDERS ? given - HOLDERS : 0; i < given; i++) {
    int length = 0;
    for (const node *at = holder(i)->right; at; at = at->left, length++)
      CHILD_CHECK(at->number == i && at->check == ~i && length < HELD);
    CHILD_CHECK(length == HELD && (*place(i))->number == i && (*place(i))->check == ~i);
  }
}

/* What is new dies at once, but for what old objects are given after each young collection: nothing else points to
 * that. They keep it through the next ones. */
static void run_young(void *unused) {
  (void)unused;
  fill_heap();
  tri_gc(); /* what there is now is old, or will be after the next full one */
  tri_stopstats before = stops();
  uint64_t given = 0, seen = before.young;
  for (uint64_t i = 0; given < HOLDERS + CYCLES; i++) {
    CHILD_CHECK(node_new(i)->number == i);
    if (i % 256 || stops().young == seen) continue;
    seen = stops().young;
    check_held(given);
    holder(given)->right = young_chain(given);
    *place(given) = node_new(given);
    given++;
  }
  tri_stopstats after = stops();
  CHILD_CHECK(after.young >= before.young + given && after.concurrent >= before.concurrent + given);
  check_held(given);
  tri_gc();
  check_held(given);
  check_table();
}

static void test_old_objects_keep_young_ones(void **state) {
  (void)state;
  if (!works_here()) skip();
  child_result result = child_run(run_young, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* By the option. */
static void run_full_only(void *unused) {
  (void)unused;
  fill_heap();
  tri_stopstats before = stops();
  move_nodes(2, 13);
  CHILD_CHECK(stops().concurrent > before.concurrent && stops().young == 0);
}

static void test_none_is_young_when_told_so(void **state) {
  (void)state;
  if (!works_here()) skip();
  child_result result = child_run(run_full_only, NULL, full_page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- several threads, each with a table of its own, and pointers on their stacks alone ---- */

static void *keep_on_stack(void *seed) {
  test_random random = {(uint64_t)(uintptr_t)seed};
  node *volatile kept[64];
  uint64_t until = stops().concurrent + CYCLES;
  for (int i = 0; i < 64; i++) kept[i] = node_new((uint64_t)i);
  for (uint64_t i = 0; i % 256 || stops().concurrent < until; i++) {
    size_t at = random_below(&random, 64), with = random_below(&random, 64);
    node *one = kept[at];
    kept[at] = kept[with];
    kept[with] = NULL;
    node *new = node_new(i);
    new->right = one;
    one->right = NULL;
    kept[with] = new;
    CHILD_CHECK(new->right->check == ~new->right->number &&kept[at]->check == ~kept[at]->number);
  }
  return NULL;
}

static void run_stacks(void *unused) {
  pthread_t threads[MOVERS];
  (void)unused;
  fill_heap();
  for (uintptr_t i = 0; i < MOVERS; i++)
    CHILD_CHECK(pthread_create(&threads[i], NULL, keep_on_stack, (void *)(i + 7)) == 0);
  move_nodes(CYCLES, 3);
  for (int i = 0; i < MOVERS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
  check_table();
}

static void test_stacks_are_taken_again(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("threads that compute are not stopped under it");
  if (!works_here()) skip();
  child_result result = child_run(run_stacks, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- freeing while a mark is on ---- */

/* Small and large objects are freed and others made in their place, all through collections. */
static void run_frees(void *unused) {
  test_random random = {11};
  char *blocks[64] = {NULL};
  (void)unused;
  fill_heap();
  uint64_t until = stops().concurrent + CYCLES, i;
  for (i = 0; i % 64 || stops().concurrent < until; i++) {
    size_t at = random_below(&random, 64), size = (size_t)1 << (4 + random_below(&random, 14));
    if (blocks[at]) {
      CHILD_CHECK(blocks[at][0] == (char)at);
      tri_free(blocks[at]);
    }
    blocks[at] = tri_alloc(size);
    CHILD_CHECK(blocks[at] && blocks[at][0] == 0 && blocks[at][size - 1] == 0);
    blocks[at][0] = (char)at;
    size_t place = random_below(&random, LIVE);
    table[place] = node_new(i);
  }
  check_table();
  tri_gc();
  for (int at = 0; at < 64; at++) CHILD_CHECK(!blocks[at] || blocks[at][0] == (char)at);
}

static void test_frees_while_marking(void **state) {
  (void)state;
  if (!works_here()) skip();
  child_result result = child_run(run_frees, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- forks in the middle ---- */

static void live_as_child(void) {
  uint64_t begun, over;
  tri_read_cycles(&begun, &over);
  CHILD_CHECK(begun == over && begun > 0); /* the one that was on is given up */
  check_table();
  uint32_t collections = 0;
  tri_memstats stats;
  for (int i = 0; i < 3; i++) {
    tri_gc();
    tri_read_memstats(&stats);
    CHILD_CHECK(stats.NumGC > collections);
    collections = stats.NumGC;
  }
  move_nodes(2, 5);
  check_table();
}

/* Until some forks have come while a collection was on. */
static void run_forks(void *unused) {
  (void)unused;
  fill_heap();
  for (int met = 0; met < 3;) {
    for (int i = 0; i < 2000; i++) table[(size_t)i * 7 % LIVE] = node_new((uint64_t)i);
    tri_stopstats stats = stops();
    tri_memstats memory;
    tri_read_memstats(&memory);
    if (stats.cycles_begun == memory.NumGC) continue;
    pid_t child = fork();
    CHILD_CHECK(child >= 0);
    if (child == 0) {
      live_as_child();
      _exit(0);
    }
    move_nodes(1, 9);
    int status;
    CHILD_CHECK(waitpid(child, &status, 0) == child && status == 0);
    check_table();
    met++;
  }
}

static void test_forks_while_marking(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("a child of several threads starts threads");
  if (!works_here()) skip();
  child_result result = child_run(run_forks, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- without a collector's thread: a child of several threads, which the library was not told of, starts none ---- */

static _Atomic(bool) has_moved;

static void *move_on(void *unused) {
  move_nodes(CYCLES, 13);
  atomic_store(&has_moved, true);
  return unused;
}

static bool is_collecting(void) {
  uint64_t begun, over;
  tri_read_cycles(&begun, &over);
  return begun != over;
}

/* A fork ends the session of who marks. */
static void fork_while_others_mark(void) {
  pthread_t mover;
  fill_heap();
  CHILD_CHECK(pthread_create(&mover, NULL, move_on, NULL) == 0);
  while (!atomic_load(&has_moved)) {
    if (!is_collecting()) continue;
    pid_t child = fork();
    CHILD_CHECK(child >= 0);
    if (child == 0) _exit(0);
    CHILD_CHECK(waitpid(child, NULL, 0) == child);
  }
  CHILD_CHECK(pthread_join(mover, NULL) == 0);
  check_table();
}

static void *sleep_on(void *unused) {
  pause();
  return unused;
}

static void run_without_collector(void *unused) {
  pthread_t sleeper;
  int status;
  (void)unused;
  CHILD_CHECK(tri_alloc(64));
  CHILD_CHECK(pthread_create(&sleeper, NULL, sleep_on, NULL) == 0);
  pid_t child = _Fork();
  CHILD_CHECK(child >= 0);
  if (child == 0) {
    alarm(CHILD_PATIENCE); /* a child inherits none */
    fork_while_others_mark();
    _exit(0);
  }
  CHILD_CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void test_marks_go_on_without_a_collector(void **state) {
  (void)state;
  SKIP_UNDER_ASAN("its malloc has locks that the sleeper, which starts, may hold during a fork that it does not see");
  SKIP_UNDER_TSAN("a child of several threads starts threads");
  if (!works_here()) skip();
  child_result result = child_run(run_without_collector, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- a thread that holds the loader's lock, for which the collector waits ---- */

enum { CROWD = 4 };
static _Atomic(bool) is_crowd_over;

static void *crowd(void *unused) {
  while (!atomic_load(&is_crowd_over)) tri_keep_alive(node_new(1));
  return unused;
}

static int allocate_much(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)info, (void)size, (void)unused;
  for (int i = 0; i < 32 * MIB / (int)sizeof(node); i++) tri_keep_alive(node_new((uint64_t)i));
  return 1;
}

static void run_in_loader(void *unused) {
  pthread_t threads[CROWD];
  (void)unused;
  fill_heap();
  for (int i = 0; i < CROWD; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, crowd, NULL) == 0);
  CHILD_CHECK(dl_iterate_phdr(allocate_much, NULL) == 1);
  atomic_store(&is_crowd_over, true);
  for (int i = 0; i < CROWD; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_the_loaders_lock_is_given_back(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("threads that compute are not stopped under it");
  if (!works_here()) skip();
  child_result result = child_run(run_in_loader, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- the other gear ---- */

static void run_stopping(void *unused) {
  (void)unused;
  fill_table();
  for (int i = 0; i < 4; i++) tri_gc();
  tri_stopstats stats = stops();
  CHILD_CHECK(strcmp(stats.gear, "none") == 0 && stats.concurrent == 0 && stats.rounds == 0);
  check_table();
}

static void test_the_gear_that_stops(void **state) {
  (void)state;
  child_result result = child_run(run_stopping, NULL, stopping_gear);
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_collections_run_beside_the_program),
      cmocka_unit_test(test_old_objects_keep_young_ones),
      cmocka_unit_test(test_none_is_young_when_told_so),
      cmocka_unit_test(test_stacks_are_taken_again),
      cmocka_unit_test(test_frees_while_marking),
      cmocka_unit_test(test_forks_while_marking),
      cmocka_unit_test(test_marks_go_on_without_a_collector),
      cmocka_unit_test(test_the_loaders_lock_is_given_back),
      cmocka_unit_test(test_the_gear_that_stops),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
