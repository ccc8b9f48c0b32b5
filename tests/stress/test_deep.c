/* test_deep.c - stacks so deep that most of them is read beside the program (gc/deep.h): what lies in old frames is
 * kept, what is written there late is seen, and threads may go up and down, or end, while it is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tricolor.h>

#include "child.h"
#include "gc/deep.h"
#include "random.h"
#include "steps.h"

enum { HELD = 32, FRAMES = 6000, FRAME = HELD * 8, CYCLES = 10, BALLAST = 60000, WALKERS = 3, STACK = 16 << 20 };

static const char *const page_gear[] = {"TRICOLOR_GEAR=page", "TRICOLOR_GC_THREADS=2",
                                        "TRICOLOR_DEBUG=check=1,poison=1", NULL};
static const char *const full_page_gear[] = {"TRICOLOR_GEAR=page", "TRICOLOR_GC_THREADS=2", "TRICOLOR_YOUNG=0",
                                             "TRICOLOR_DEBUG=check=1,poison=1", NULL};

typedef struct node {
  struct node *next;
  uint64_t number, check;
} node;
TRI_TYPE(node, next);

static node *node_new(uint64_t number) {
  node *new = tri_new(node);
  CHILD_CHECK(new);
  new->number = number;
  new->check = ~number;
  return new;
}

static bool is_intact(const node *at) { return at->check == ~at->number; }

static tri_stopstats stops(void) {
  tri_stopstats stats;
  tri_read_stopstats(&stats);
  return stats;
}

/* So much that a mark is made beside the program. */
static node *ballast;

static void add_ballast(void) {
  for (uint64_t i = 0; i < BALLAST; i++) {
    node *new = node_new(i);
    new->next = ballast;
    ballast = new;
  }
}

/* Frames of a thread; where they hold their nodes is known to others. */
typedef void at_the_bottom(void);
static node *volatile *frames[FRAMES];

static __attribute__((noinline)) void descend(size_t depth, at_the_bottom *then) {
  node *volatile held[HELD];
  for (size_t i = 0; i < HELD; i++) held[i] = node_new(depth * HELD + i);
  frames[depth] = held;
  if (depth + 1 < FRAMES)
    descend(depth + 1, then);
  else
    then();
  for (size_t i = 0; i < HELD; i++) CHILD_CHECK(is_intact(held[i]));
}

static void in_thread(void *(*run)(void *), size_t stack_size) {
  pthread_t thread;
  pthread_attr_t attributes;
  CHILD_CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, stack_size) == 0);
  CHILD_CHECK(pthread_create(&thread, &attributes, run, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

static void check_frames(void) {
  for (size_t depth = 0; depth < FRAMES; depth++)
    for (size_t i = 0; i < HELD; i++) CHILD_CHECK(is_intact(frames[depth][i]));
}

/* ---- what is written late into frames far up ---- */

static void make_garbage(void) {
  for (int i = 0; i < 64; i++) tri_keep_alive(node_new((uint64_t)i));
}

/* The only pointer to a node lies there, comes from there, or goes from one such place to another. */
static void exchange(test_random *random, uint64_t number) {
  node *volatile *from = &frames[random_below(random, FRAMES)][random_below(random, HELD)];
  node *volatile *to = &frames[random_below(random, FRAMES)][random_below(random, HELD)];
  CHILD_CHECK(is_intact(*from) && is_intact(*to));
  node *moved = *from;
  *from = *to;
  *to = moved;
  *from = node_new(number);
}

static void write_into_frames(void) {
  test_random random = {41};
  uint64_t until = stops().concurrent + CYCLES;
  for (uint64_t i = 0; i % 256 || stops().concurrent < until; i++) {
    exchange(&random, i);
    if (i % 16 == 0) make_garbage();
  }
  CHILD_CHECK(tri_deep_bytes() > FRAMES * FRAME / 2);
  check_frames();
}

static void *descend_and_write(void *unused) {
  descend(0, write_into_frames);
  return unused;
}

static void run_writes(void *unused) {
  (void)unused;
  add_ballast();
  in_thread(descend_and_write, STACK);
}

/* ---- the main thread's stack, whose bounds the C library reads from the mappings ---- */

static void watch_main(void) {
  pthread_attr_t attributes;
  void *before, *after;
  size_t size;
  CHILD_CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHILD_CHECK(pthread_attr_getstack(&attributes, &before, &size) == 0);
  write_into_frames();
  CHILD_CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHILD_CHECK(pthread_attr_getstack(&attributes, &after, &size) == 0);
  CHILD_CHECK(before == after);
}

static void run_main(void *unused) {
  (void)unused;
  add_ballast();
  descend(0, watch_main);
}

/* ---- threads that go up and down, and end ---- */

static __attribute__((noinline)) void wander(test_random *random, size_t depth, int *steps) {
  node *volatile held[HELD];
  for (size_t i = 0; i < HELD; i++) held[i] = i % 4 ? NULL : node_new(i);
  while (--*steps > 0 && random_below(random, 200 + depth / 50) > 1)
    if (depth < FRAMES)
      wander(random, depth + 1, steps);
    else
      break;
  for (size_t i = 0; i < HELD; i += 4) CHILD_CHECK(is_intact(held[i]));
}

static void *walk(void *argument) {
  test_random random = {(uint64_t)(uintptr_t)argument};
  int steps = (int)(FRAMES + random_below(&random, 4 * FRAMES));
  while (steps > 0) wander(&random, 0, &steps);
  return NULL;
}

static void run_walks(void *unused) {
  enum { ROUNDS = 12 };
  pthread_t threads[WALKERS];
  (void)unused;
  add_ballast();
  for (uintptr_t round = 0; round < ROUNDS; round++) {
    pthread_attr_t attributes;
    CHILD_CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK) == 0);
    for (uintptr_t i = 0; i < WALKERS; i++)
      CHILD_CHECK(pthread_create(&threads[i], &attributes, walk, (void *)(round * WALKERS + i + 1)) == 0);
    for (int i = 0; i < WALKERS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHILD_CHECK(stops().concurrent > 0);
}

/* ---- forks ---- */

static void fork_below(void) {
  write_into_frames();
  pid_t child = fork();
  CHILD_CHECK(child >= 0);
  write_into_frames();
  if (child == 0) _exit(0);
  int status;
  CHILD_CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void *descend_and_fork(void *unused) {
  descend(0, fork_below);
  return unused;
}

static void run_forks(void *unused) {
  (void)unused;
  add_ballast();
  in_thread(descend_and_fork, STACK);
}

/* ---- all of them, where the gear works ---- */

static void say_gear(void *unused) {
  (void)unused;
  const char *gear = stops().gear;
  CHILD_CHECK(write(STDERR_FILENO, gear, strlen(gear)) > 0);
}

static void check_in_child(void (*run)(void *)) {
  child_result gear = child_run(say_gear, NULL, NULL);
  if (strcmp(gear.text, "page") != 0) skip();
  child_result young = child_run(run, NULL, page_gear), full = child_run(run, NULL, full_page_gear);
  assert_true(child_succeeded(&young) && child_succeeded(&full));
}

static void test_writes_into_frames_are_seen(void **state) {
  (void)state;
  check_in_child(run_writes);
}

static void test_main_thread_keeps_its_bounds(void **state) {
  (void)state;
  check_in_child(run_main);
}

static void test_threads_go_up_and_down(void **state) {
  (void)state;
  check_in_child(run_walks);
}

static void test_both_sides_of_a_fork_go_on(void **state) {
  (void)state;
  check_in_child(run_forks);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_writes_into_frames_are_seen),
      cmocka_unit_test(test_main_thread_keeps_its_bounds),
      cmocka_unit_test(test_threads_go_up_and_down),
      cmocka_unit_test(test_both_sides_of_a_fork_go_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
