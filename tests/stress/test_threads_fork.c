/* test_threads_fork.c - parent and child of a fork go on allocating and collecting, whatever other threads were
 * doing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "child.h"
#include "steps.h"
#include "trees.h"

#define ASAN_FORK "a thread that is no more in the child of a fork may have held a lock of its malloc"

enum { FORKS = UNDER_TSAN ? 20 : 200, HANDLED_FORKS = FORKS / 2, ALLOCATORS = 3, DEPTH = 10 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1,check=1", NULL};

static void in_child(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
}

/* ---- work ---- */

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

typedef struct worker {
  pthread_t thread;
  bool collects;
  test_step works; /* done */
} worker;

static worker workers[ALLOCATORS];
static pthread_mutex_t may_work = PTHREAD_MUTEX_INITIALIZER; /* held to keep all of them waiting */

static void *work_on(void *argument) {
  worker *self = argument;
  tree *mine = tree_new(DEPTH);
  for (uint32_t i = 0; !atomic_load(&may_end); i++) {
    pthread_mutex_lock(&may_work);
    pthread_mutex_unlock(&may_work);
    work_a_little();
    if (self->collects && i % 4 == 0) tri_gc();
    tree_check(mine, DEPTH);
    step_reach(&self->works, i + 1);
  }
  return NULL;
}

static void start_worker(worker *new, bool collects) {
  new->collects = collects;
  CHILD_CHECK(pthread_create(&new->thread, NULL, work_on, new) == 0);
}

static void start_workers(bool one_collects) {
  for (int i = 0; i < ALLOCATORS; i++) start_worker(&workers[i], one_collects && i == 0);
}

static void await_workers(void) {
  uint32_t before[ALLOCATORS];
  for (int i = 0; i < ALLOCATORS; i++) before[i] = atomic_load(&workers[i].works);
  for (int i = 0; i < ALLOCATORS; i++) step_await(&workers[i].works, before[i] + 1);
}

static void end_workers(void) {
  step_reach(&may_end, 1);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_join(workers[i].thread, NULL) == 0);
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
  worker mine = {.collects = false};
  may_work = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* a worker of the parent's may have had it */
  start_worker(&mine, false);
  live_as_child(inherited);
  step_reach(&may_end, 1);
  CHILD_CHECK(pthread_join(mine.thread, NULL) == 0);
  live_as_child(inherited);
}

/* Forks come while the workers work, at whatever they are then. While the child lives they wait, three times of four:
 * they would only keep it from running. */
static void fork_often(int forks) {
  tree *mine = tree_new(DEPTH);
  for (int i = 0; i < forks; i++) {
    await_workers();
    work_a_little();
    pid_t child = fork();
    CHILD_CHECK(child >= 0);
    if (child == 0) {
      alarm(CHILD_PATIENCE);
      (!UNDER_TSAN && !UNDER_ASAN && i % 4 == 0 ? live_with_threads : live_as_child)(mine);
      _exit(0);
    }
    bool they_wait = i / 4 % 4 != 0;
    if (they_wait) pthread_mutex_lock(&may_work);
    work_a_little();
    await_child(child);
    if (they_wait) pthread_mutex_unlock(&may_work);
    tree_check(mine, DEPTH);
  }
}

static void run_forks(void *unused) {
  (void)unused;
  kept = tree_new(DEPTH);
  start_workers(true);
  fork_often(FORKS);
  end_workers();
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
  (void)unused;
  CHILD_CHECK(pthread_atfork(allocate_before, allocate_after, allocate_after) == 0);
  kept = tree_new(DEPTH);
  start_workers(false);
  fork_often(HANDLED_FORKS);
  CHILD_CHECK(atomic_load(&prepared) == HANDLED_FORKS && atomic_load(&resumed) == HANDLED_FORKS);
  end_workers();
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

/* The collector waits for the loader's lock, and the fork for the collector. In the child the thread has the lock
 * still, by a new name. */
static int fork_in_callback(struct dl_phdr_info *info, size_t size, void *raw) {
  pthread_t *collector = raw;
  (void)info, (void)size;
  CHILD_CHECK(pthread_create(collector, NULL, collect_once, NULL) == 0);
  while (!atomic_load(&collector_id)) sched_yield();
  await_asleep(atomic_load(&collector_id));
  pid_t child = fork();
  CHILD_CHECK(child >= 0);
  if (child == 0) {
    alarm(CHILD_PATIENCE);
    live_as_child(kept);
    return 2;
  }
  await_child(child);
  return 1;
}

static void run_fork_in_callback(void *unused) {
  pthread_t collector;
  (void)unused;
  kept = tree_new(DEPTH);
  if (dl_iterate_phdr(fork_in_callback, &collector) == 2) {
    live_with_threads(kept); /* which want the lock, too: it is free */
    _exit(0);
  }
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

/* ---- while another thread has it ---- */

static test_step in_callback, may_return;

static int stay_in_callback(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)info, (void)size, (void)unused;
  step_reach(&in_callback, 1);
  step_await(&may_return, 1);
  return 1;
}

static void *look_at_modules(void *unused) {
  CHILD_CHECK(dl_iterate_phdr(stay_in_callback, unused) == 1);
  return unused;
}

/* That child cannot collect, and says so; all else it can. */
static void run_fork_beside_callback(void *unused) {
  pthread_t looker;
  (void)unused;
  kept = tree_new(DEPTH);
  CHILD_CHECK(pthread_create(&looker, NULL, look_at_modules, NULL) == 0);
  step_await(&in_callback, 1);
  pid_t child = fork();
  if (child == 0) {
    alarm(CHILD_PATIENCE);
    uint32_t before = collections();
    for (int i = 0; i < 100; i++) work_a_little();
    tri_gc();
    CHILD_CHECK(collections() == before);
    tree_check(kept, DEPTH);
    _exit(0);
  }
  await_child(child);
  step_reach(&may_return, 1);
  CHILD_CHECK(pthread_join(looker, NULL) == 0);
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK(collections() >= before + 1);
}

static void test_fork_while_another_has_the_loaders_lock(void **state) {
  (void)state;
  SKIP_UNDER_ASAN(ASAN_FORK);
  child_result result = child_run(run_fork_beside_callback, NULL, poison);
  assert_true(child_succeeded(&result));
  assert_non_null(strstr(result.text, "while a thread held the loader's lock"));
}

/* ---- while another has it for a collection, and takes its time ---- */

static test_step is_inside, forks;
static _Thread_local bool is_slow;

typedef struct iteration {
  int (*callback)(struct dl_phdr_info *, size_t, void *);
  void *data;
} iteration;

/* As if the thread were not run for a while, for longer than a fork waits for who is in nobody's list. */
static __attribute__((unused)) int be_slow(struct dl_phdr_info *info, size_t size, void *raw) {
  const iteration *inner = raw;
  if (is_slow) {
    is_slow = false;
    step_reach(&is_inside, 1);
    step_await(&forks, 1);
    usleep(500000);
  }
  return inner->callback(info, size, inner->data);
}

/* Stands before the C library's, for the library under test, too; not before AddressSanitizer's, which calls it before
 * instrumented code can run. */
#if !defined(__SANITIZE_ADDRESS__) && !HAS_FEATURE(address_sanitizer)
int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data) {
  static int (*_Atomic real)(int (*)(struct dl_phdr_info *, size_t, void *), void *);
  iteration inner = {callback, data};
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "dl_iterate_phdr");
  return real(be_slow, &inner);
}
#endif

static void *collect_slowly(void *unused) {
  is_slow = true;
  tri_gc();
  return unused;
}

static void run_fork_beside_slow_collection(void *unused) {
  pthread_t slow;
  (void)unused;
  kept = tree_new(DEPTH);
  CHILD_CHECK(pthread_create(&slow, NULL, collect_slowly, NULL) == 0);
  step_await(&is_inside, 1);
  step_reach(&forks, 1);
  pid_t child = fork();
  if (child == 0) {
    alarm(CHILD_PATIENCE);
    live_with_threads(kept);
    _exit(0);
  }
  await_child(child);
  CHILD_CHECK(pthread_join(slow, NULL) == 0);
  live_as_child(kept);
}

static void test_fork_while_another_is_slow_to_collect(void **state) {
  (void)state;
  SKIP_UNDER_ASAN(ASAN_FORK);
  in_child(run_fork_beside_slow_collection, NULL);
}

/* ---- while another loads a library ---- */

static void *load(void *unused) {
  CHILD_CHECK(dlopen(TEST_LIB_DIR "/lib_constructor.so", RTLD_NOW));
  return unused;
}

/* The library's constructor waits for the parent. The child collects, with threads of its own. */
static void run_fork_beside_load(void *unused) {
  int said[2], heard[2];
  char pipes[64], byte = 0;
  pthread_t loader;
  (void)unused;
  kept = tree_new(DEPTH);
  CHILD_CHECK(pipe(said) == 0 && pipe(heard) == 0);
  snprintf(pipes, sizeof pipes, "%d %d", said[1], heard[0]);
  CHILD_CHECK(setenv("TEST_CONSTRUCTOR_PIPES", pipes, 1) == 0);
  CHILD_CHECK(pthread_create(&loader, NULL, load, NULL) == 0);
  CHILD_CHECK(read(said[0], &byte, 1) == 1);
  for (int i = 0; i < 10; i++) {
    pid_t child = fork();
    if (child == 0) {
      alarm(CHILD_PATIENCE);
      live_with_threads(kept);
      _exit(0);
    }
    await_child(child);
  }
  CHILD_CHECK(write(heard[1], &byte, 1) == 1);
  CHILD_CHECK(pthread_join(loader, NULL) == 0);
  live_as_child(kept);
}

static void test_fork_while_a_library_is_loaded(void **state) {
  (void)state;
  SKIP_UNDER_ASAN(ASAN_FORK);
  in_child(run_fork_beside_load, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fork_before_the_heap),
      cmocka_unit_test(test_forks_among_allocating_threads),
      cmocka_unit_test(test_forks_in_several_threads),
      cmocka_unit_test(test_the_programs_handlers_may_allocate),
      cmocka_unit_test(test_fork_with_the_loaders_lock),
      cmocka_unit_test(test_fork_while_another_has_the_loaders_lock),
      cmocka_unit_test(test_fork_while_another_is_slow_to_collect),
      cmocka_unit_test(test_fork_while_a_library_is_loaded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
