/* test_threads_stacks.c - threads on stacks of many kinds: what is on them is found, and collections go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "child.h"
#include "gc/check.h"
#include "gc/thread.h"
#include "steps.h"

enum { OBJECTS = 64, STACK = 64 * 1024, ROUNDS = UNDER_TSAN ? 20 : 200, GARBAGE = 20000 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", NULL};
static const char *const check[] = {"TRICOLOR_DEBUG=check=1,poison=1", NULL};

static void in_child(void (*body)(void *), void *argument, const char *const *environment) {
  child_result result = child_run(body, argument, environment);
  assert_true(child_succeeded(&result));
}

static void *map_stack(void) {
  void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHILD_CHECK(stack != MAP_FAILED);
  return stack;
}

/* ---- an alternate signal stack that is a part of the thread's own ---- */

static test_step step;

static void *collect_while_handled(void *unused) {
  step_await(&step, 1);
  for (int i = 0; i < 3; i++) {
    tri_gc();
    for (int k = 0; k < GARBAGE; k++) CHILD_CHECK(tri_alloc(48));
  }
  step_reach(&step, 2);
  return unused;
}

static void handle_on_alternate(int signal_) {
  (void)signal_;
  step_reach(&step, 1);
  step_await(&step, 2);
}

static void use_alternate(void *area) {
  stack_t stack = {.ss_sp = area, .ss_size = STACK};
  struct sigaction action = {.sa_handler = handle_on_alternate, .sa_flags = SA_ONSTACK};
  CHILD_CHECK(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
}

/* The objects are known to this frame alone, which the signal interrupts. */
static __attribute__((noinline)) void hold_objects(void) {
  uint64_t *objects[OBJECTS];
  for (uint64_t i = 0; i < OBJECTS; i++) {
    objects[i] = tri_alloc(48);
    *objects[i] = 1234 + i;
  }
  __asm__ volatile("" : : "r"(objects) : "memory");
  raise(SIGUSR1);
  __asm__ volatile("" : : "r"(objects) : "memory");
  for (uint64_t i = 0; i < OBJECTS; i++) CHILD_CHECK(*objects[i] == 1234 + i);
}

static void run_alternate_in_frame(void *unused) {
  char area[STACK];
  pthread_t thread;
  (void)unused;
  use_alternate(area);
  CHILD_CHECK(tri_alloc(16));
  CHILD_CHECK(pthread_create(&thread, NULL, collect_while_handled, NULL) == 0);
  hold_objects();
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_alternate_stack_in_a_frame(void **state) {
  (void)state;
  in_child(run_alternate_in_frame, NULL, poison);
}

static void *use_own_lowest_part(void *stack) {
  use_alternate(stack);
  CHILD_CHECK(tri_alloc(16));
  hold_objects();
  return NULL;
}

static void run_alternate_at_the_end(void *unused) {
  pthread_t thread, collector;
  pthread_attr_t attributes;
  size_t size = 16 * STACK;
  void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  (void)unused;
  CHILD_CHECK(stack != MAP_FAILED && tri_alloc(16));
  pthread_attr_init(&attributes);
  CHILD_CHECK(pthread_attr_setstack(&attributes, stack, size) == 0);
  CHILD_CHECK(pthread_create(&collector, NULL, collect_while_handled, NULL) == 0);
  CHILD_CHECK(pthread_create(&thread, &attributes, use_own_lowest_part, stack) == 0);
  CHILD_CHECK(pthread_join(thread, NULL) == 0 && pthread_join(collector, NULL) == 0);
}

static void test_alternate_stack_at_the_end_of_the_own(void **state) {
  (void)state;
  in_child(run_alternate_at_the_end, NULL, poison);
}

/* ---- a collection on a coroutine's stack, which is itself looked into ---- */

static ucontext_t outside, inside;

static void collect_again_and_again(void) {
  for (;;) {
    for (int i = 0; i < 20; i++) {
      void *volatile garbage = tri_alloc(64);
      CHILD_CHECK(garbage);
    }
    tri_gc();
    swapcontext(&inside, &outside);
  }
}

static void run_coroutine(void *stack) {
  getcontext(&inside);
  inside.uc_stack.ss_sp = stack;
  inside.uc_stack.ss_size = STACK;
  inside.uc_link = &outside;
  makecontext(&inside, collect_again_and_again, 0);
  for (int i = 0; i < ROUNDS; i++) CHILD_CHECK(swapcontext(&outside, &inside) == 0);
}

static void run_coroutine_on_root(void *unused) {
  void *stack = map_stack();
  (void)unused;
  CHILD_CHECK(tri_add_root(stack, STACK) == TRI_OK);
  run_coroutine(stack);
}

static void run_coroutine_on_object(void *unused) {
  void *volatile stack = tri_alloc(STACK);
  (void)unused;
  CHILD_CHECK(stack);
  run_coroutine(stack);
}

/* Checks a word that points to an object which no mark has reached, and lies so many bytes below what the collector
 * wrote down as its stack pointer. */
static void run_check_of_a_frame(void *distance) {
  uintptr_t words[STACK / 8 + 2] = {0};
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  words[0] = (uintptr_t)tri_alloc(64);
  tri_root root = {.low = (uintptr_t)words, .high = (uintptr_t)(words + 1), .kind = TRI_ROOT_REGISTERED};
  tri_thread_self()->sp = root.low + *(size_t *)distance;
  tri_check_run((tri_root_list){.roots = &root, .count = 1}, NULL);
}

static void test_the_check_leaves_own_frames_out(void **state) {
  (void)state;
  size_t within[] = {8, STACK}, without[] = {0, STACK + 8};
  for (int i = 0; i < 2; i++) in_child(run_check_of_a_frame, &within[i], check);
  for (int i = 0; i < 2; i++) {
    child_result result = child_run(run_check_of_a_frame, &without[i], check);
    assert_true(child_aborted(&result, (const char *const[]){"reachable but not marked", NULL}));
  }
}

/* The check mode compares two looks at the collector's own frames. */
static void test_collecting_on_a_registered_stack(void **state) {
  (void)state;
  if (UNDER_TSAN || UNDER_ASAN) skip(); /* they would have to be told of coroutines */
  in_child(run_coroutine_on_root, NULL, check);
  in_child(run_coroutine_on_object, NULL, check);
}

/* ---- a thread that the kernel knows and the C library does not ---- */

static int turn_round(void *unused) {
  (void)unused;
  step_reach(&step, 1);
  while (atomic_load(&step) < 2) tri_os_relax(); /* no call: it has no errno of its own */
  syscall(SYS_exit, 0);
  return 0;
}

static void run_bare_clone(void *unused) {
  char *stack = map_stack();
  int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  hidden object;
  void *volatile home;
  (void)unused;
  CHILD_CHECK(tri_alloc(16));
  int id = clone(turn_round, stack + STACK, flags, NULL);
  CHILD_CHECK(id > 0);
  step_await(&step, 1);
  object = hidden_new(&home);
  ((void **)(void *)stack)[STACK / 8 - 1] = home; /* above the thread's frames */
  home = NULL;
  uint32_t before = collections();
  for (int i = 0; i < 10; i++) collect();
  CHILD_CHECK(collections() == before + 10);
  CHILD_CHECK(hidden_lives(object));
  step_reach(&step, 2);
  await_gone(id);
  for (int i = 0; i < 10; i++) collect();
  CHILD_CHECK(collections() == before + 20);
  CHILD_CHECK(tri_thread_known() && tri_thread_known()->id == thread_id());
  CHILD_CHECK(!hidden_lives(object));
}

static void test_thread_without_thread_local_storage(void **state) {
  (void)state;
  if (UNDER_TSAN || UNDER_ASAN) skip(); /* they want it to have some */
  in_child(run_bare_clone, NULL, poison);
}

/* ---- bounds that the program gives ---- */

static void check_bounds(uintptr_t low, uintptr_t high, bool good) {
  uint32_t before = collections();
  CHILD_CHECK(tri_thread_set_stack(tri_thread_self(), low, high) == good);
  tri_gc();
  CHILD_CHECK(collections() == before + 1);
}

static void run_bounds(void *unused) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0), low, high;
  (void)unused;
  CHILD_CHECK(tri_alloc(16) && tri_os_stack_bounds(&low, &high));
  check_bounds(1, 2, false);
  check_bounds(here + 16, high, false);
  check_bounds(low, here - STACK, false);
  check_bounds(low, high, true);
  tri_thread_self()->stack_low = tri_thread_self()->stack_high = 0;
  check_bounds(0, 0, true);
  CHILD_CHECK(tri_thread_self()->stack_low == low && tri_thread_self()->stack_high == high);
}

static void test_bounds(void **state) {
  (void)state;
  in_child(run_bounds, NULL, poison);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alternate_stack_in_a_frame),
      cmocka_unit_test(test_alternate_stack_at_the_end_of_the_own),
      cmocka_unit_test(test_the_check_leaves_own_frames_out),
      cmocka_unit_test(test_collecting_on_a_registered_stack),
      cmocka_unit_test(test_thread_without_thread_local_storage),
      cmocka_unit_test(test_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
