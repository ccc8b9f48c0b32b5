/* test_threads_fork.c - parent and child of a fork go on allocating and collecting, whatever other threads were
 * doing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "child.h"
#include "steps.h"

#define ASAN_FORK "a thread that is no more in the child of a fork may have held a lock of its malloc"

enum { FORKS = UNDER_TSAN ? 20 : 200, ALLOCATORS = 3, DEPTH = 10 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1,check=1", NULL};

static void in_child(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
}

/* ---- work ---- */

typedef struct tree {
  struct tree *left, *right;
  uint64_t check;
} tree;
TRI_TYPE(tree, left, right);

static tree *tree_new(int depth) {
  tree *new = depth % 2 ? tri_new(tree) : tri_alloc(sizeof *new);
  CHILD_CHECK(new);
  new->check = ~(uint64_t)depth;
  if (depth == 0) return new;
  new->left = tree_new(depth - 1);
  new->right = tree_new(depth - 1);
  return new;
}

static void tree_check(const tree *root, int depth) {
  CHILD_CHECK(root->check == ~(uint64_t)depth);
  if (depth == 0) return;
  tree_check(root->left, depth - 1);
  tree_check(root->right, depth - 1);
}

static test_step may_end;
static tree *kept; /* by static data, made before any fork */

static void work_a_little(void) {
  tree *mine = tree_new(DEPTH);
  char *large = tri_alloc_noscan(100000);
  CHILD_CHECK(large && large[99999] == 0);
  large[99999] = 1;
  tree_check(mine, DEPTH);
  tri_free(large);
}

static void *work_on(void *collects) {
  tree *mine = tree_new(DEPTH);
  for (int i = 0; !atomic_load(&may_end); i++) {
    work_a_little();
    if (collects && i % 4 == 0) tri_gc();
    tree_check(mine, DEPTH);
  }
  return NULL;
}

/* What a child does. It starts threads of its own, and collections must come to an end in it. */
static void live_as_child(const tree *inherited) {
  uint32_t before = collections();
  tree_check(kept, DEPTH);
  tree_check(inherited, DEPTH);
  work_a_little();
  collect();
  CHILD_CHECK(collections() >= before + 1);
  work_a_little();
  collect();
  CHILD_CHECK(collections() >= before + 2);
  tree_check(kept, DEPTH);
  tree_check(inherited, DEPTH);
}

/* Not under sanitizers: ASan takes the stacks of the threads that are no more, which new threads get, for in use
 * still. */
static void live_with_threads(const tree *inherited) {
  pthread_t thread;
  CHILD_CHECK(pthread_create(&thread, NULL, work_on, NULL) == 0);
  live_as_child(inherited);
  step_reach(&may_end, 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
  live_as_child(inherited);
}

static void await_child(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) == -1) CHILD_CHECK(errno == EINTR);
  if (status != 0) child_fail("a child ended with status %x", (unsigned)status);
}

static void fork_often(void) {
  tree *mine = tree_new(DEPTH);
  for (int i = 0; i < FORKS; i++) {
    pid_t child = fork();
    CHILD_CHECK(child >= 0);
    if (child == 0) {
      alarm(CHILD_PATIENCE);
      (!UNDER_TSAN && !UNDER_ASAN && i % 4 == 0 ? live_with_threads : live_as_child)(mine);
      _exit(0);
    }
    work_a_little();
    await_child(child);
    tree_check(mine, DEPTH);
  }
}

static void run_forks(void *unused) {
  pthread_t threads[ALLOCATORS];
  (void)unused;
  kept = tree_new(DEPTH);
  for (int i = 0; i < ALLOCATORS; i++)
    CHILD_CHECK(pthread_create(&threads[i], NULL, work_on, i == 0 ? &kept : NULL) == 0);
  fork_often();
  step_reach(&may_end, 1);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
  uint32_t before = collections();
  collect();
  CHILD_CHECK(collections() >= before + 1);
  tree_check(kept, DEPTH);
}

static void test_forks_among_allocating_threads(void **state) {
  (void)state;
  SKIP_UNDER_ASAN(ASAN_FORK);
  in_child(run_forks, NULL);
}

/* ---- two threads fork at once; children of children ---- */

static void *fork_in_thread(void *unused) {
  tree *mine = tree_new(DEPTH);
  for (int i = 0; i < FORKS / 10; i++) {
    pid_t child = fork();
    if (child == 0) {
      alarm(CHILD_PATIENCE);
      live_as_child(mine);
      pid_t grandchild = fork();
      if (grandchild == 0) {
        live_as_child(mine);
        _exit(0);
      }
      await_child(grandchild);
      _exit(0);
    }
    await_child(child);
  }
  return unused;
}

static void run_forks_in_threads(void *unused) {
  pthread_t threads[3];
  (void)unused;
  kept = tree_new(DEPTH);
  for (int i = 0; i < 3; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, fork_in_thread, NULL) == 0);
  for (int i = 0; i < 3; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_forks_in_several_threads(void **state) {
  (void)state;
  SKIP_UNDER_ASAN(ASAN_FORK);
  in_child(run_forks_in_threads, NULL);
}

/* ---- handlers of the program around ours ---- */

static _Atomic(int) prepared, resumed;
static tree *volatile made_in_handler;

static void allocate_before(void) {
  made_in_handler = tree_new(DEPTH);
  tri_gc();
  atomic_fetch_add(&prepared, 1);
}

static void allocate_after(void) {
  tree_check(made_in_handler, DEPTH);
  made_in_handler = tree_new(DEPTH);
  tri_gc();
  atomic_fetch_add(&resumed, 1);
}

static void run_forks_with_handlers(void *unused) {
  pthread_t threads[ALLOCATORS];
  (void)unused;
  CHILD_CHECK(pthread_atfork(allocate_before, allocate_after, allocate_after) == 0);
  kept = tree_new(DEPTH);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, work_on, NULL) == 0);
  fork_often();
  CHILD_CHECK(atomic_load(&prepared) == FORKS && atomic_load(&resumed) == FORKS);
  step_reach(&may_end, 1);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_the_programs_handlers_may_allocate(void **state) {
  (void)state;
  SKIP_UNDER_ASAN(ASAN_FORK);
  in_child(run_forks_with_handlers, NULL);
}

/* ---- before the heap is started, and without threads ---- */

static void run_early_fork(void *unused) {
  (void)unused;
  pid_t child = fork();
  kept = tree_new(DEPTH);
  live_as_child(kept);
  if (child == 0) _exit(0);
  await_child(child);
  child = fork();
  live_as_child(kept);
  if (child == 0) _exit(0);
  await_child(child);
}

static void test_fork_before_the_heap(void **state) {
  (void)state;
  in_child(run_early_fork, NULL);
}

/* ---- with the loader's lock in hand ---- */

static _Atomic(int) collector_id;

static void *collect_once(void *unused) {
  atomic_store(&collector_id, thread_id());
  tri_gc();
  return unused;
}

/* The collector waits for the loader's lock, and the fork for the collector. The child can collect no more: it could
 * not do anything else with the loader either. */
static int fork_in_callback(struct dl_phdr_info *info, size_t size, void *raw) {
  pthread_t *collector = raw;
  (void)info, (void)size;
  CHILD_CHECK(pthread_create(collector, NULL, collect_once, NULL) == 0);
  while (!atomic_load(&collector_id)) sched_yield();
  await_asleep(atomic_load(&collector_id));
  pid_t child = fork();
  CHILD_CHECK(child >= 0);
  if (child == 0) {
    work_a_little();
    tri_gc();
    tree_check(kept, DEPTH);
    _exit(0);
  }
  await_child(child);
  return 1;
}

static void run_fork_in_callback(void *unused) {
  pthread_t collector;
  (void)unused;
  kept = tree_new(DEPTH);
  dl_iterate_phdr(fork_in_callback, &collector);
  CHILD_CHECK(pthread_join(collector, NULL) == 0);
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK(collections() == before + 1);
  tree_check(kept, DEPTH);
}

static void test_fork_with_the_loaders_lock(void **state) {
  (void)state;
  SKIP_UNDER_ASAN(ASAN_FORK);
  in_child(run_fork_in_callback, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fork_before_the_heap),       cmocka_unit_test(test_forks_among_allocating_threads),
      cmocka_unit_test(test_forks_in_several_threads),   cmocka_unit_test(test_the_programs_handlers_may_allocate),
      cmocka_unit_test(test_fork_with_the_loaders_lock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
