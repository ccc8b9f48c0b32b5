/* test_threads_hold.c - a pointer is found wherever a thread may keep it, however the thread was made and whatever it
 * is doing.
 *
 * Every case follows one script. The thread is given objects that nobody else knows of, keeps them in one place, and
 * waits; collections must leave them. Then it drops them and waits again; collections must take them, or the case would
 * prove nothing. (A stale word here and there may keep a few.) Each case is a process of its own, with poison=1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <threads.h>

#include "child.h"
#include "steps.h"

enum { OBJECTS = 50, FEW = 5 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1,check=1", NULL};

/* ---- the script ---- */

enum { BORN = 1, MAY_TAKE, TAKEN, MAY_DROP, DROPPED, MAY_END };

static struct {
  test_step theirs, ours;
  sem_t turn; /* posted with every step of ours */
  void *volatile handed[OBJECTS];
  hidden objects[OBJECTS];
  bool all_blocked;
  void (*wait)(uint32_t number);
  void (*hold)(void);
} script;

static void hand_over(uint32_t number) {
  step_reach(&script.ours, number);
  sem_post(&script.turn);
}

static int count_living(void) {
  int living = 0;
  for (int i = 0; i < OBJECTS; i++) living += hidden_lives(script.objects[i]);
  return living;
}

static __attribute__((noinline)) void make_objects(void) {
  for (int i = 0; i < OBJECTS; i++) script.objects[i] = hidden_new(&script.handed[i]);
}

/* Takes the objects from where they are handed over to *places, and leaves no other copy. */
static __attribute__((noinline)) void take(void *volatile *places) {
  for (int i = 0; i < OBJECTS; i++) {
    places[i] = script.handed[i];
    script.handed[i] = NULL;
  }
}

static void drop(void *volatile *places) {
  for (int i = 0; i < OBJECTS; i++) places[i] = NULL;
}

static void check_few(void) {
  int living = count_living();
  if (living > FEW) child_fail("%d of %d objects live on after they were dropped", living, OBJECTS);
}

/* The collecting thread's half; the other one has been started. */
static void play_collector(void) {
  step_await(&script.theirs, BORN);
  make_objects();
  collect();
  CHILD_CHECK(count_living() == OBJECTS);
  hand_over(MAY_TAKE);
  step_await(&script.theirs, TAKEN);
  for (int i = 0; i < 3; i++) {
    collect();
    CHILD_CHECK(count_living() == OBJECTS);
  }
  hand_over(MAY_DROP);
  step_await(&script.theirs, DROPPED);
  collect();
  collect();
  check_few();
  hand_over(MAY_END);
}

static void *play_holder(void *unused) {
  if (script.all_blocked) {
    sigset_t all;
    sigfillset(&all);
    CHILD_CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
  }
  step_reach(&script.theirs, BORN);
  step_await(&script.ours, MAY_TAKE);
  script.hold();
  step_reach(&script.theirs, DROPPED);
  step_await(&script.ours, MAY_END);
  return unused;
}

/* ---- ways of waiting ---- */

static void wait_running(uint32_t number) {
  while (atomic_load_explicit(&script.ours, memory_order_relaxed) < number) continue;
}

static void wait_in_semaphore(uint32_t number) {
  while (atomic_load(&script.ours) < number) CHILD_CHECK(sem_wait(&script.turn) == 0);
}

static void wait_in_poll(uint32_t number) {
  while (atomic_load(&script.ours) < number) CHILD_CHECK(poll(NULL, 0, 1) == 0);
}

/* A system call that the library does not know of. */
static void wait_in_futex(uint32_t number) {
  uint32_t seen;
  while ((seen = atomic_load(&script.ours)) < number) {
    struct timespec while_ = {.tv_nsec = 1000000};
    syscall(SYS_futex, &script.ours, 0 /* FUTEX_WAIT */, seen, &while_, NULL, 0);
  }
}

static void wait_in_region(uint32_t number) {
  tri_blocking_begin();
  tri_blocking_begin();
  wait_running(number);
  tri_blocking_end();
  tri_blocking_end();
}

static void (*const waits[])(uint32_t) = {wait_running, wait_in_semaphore, wait_in_poll, wait_in_futex, wait_in_region};
enum { WAITS = sizeof waits / sizeof waits[0] };

/* ---- on the stack, by threads made in all ways ---- */

static void hold_on_stack(void) {
  void *volatile places[OBJECTS];
  take(places);
  step_reach(&script.theirs, TAKEN);
  script.wait(MAY_DROP);
  drop(places);
  forget_stack();
}

static int play_holder_c11(void *unused) { return play_holder(unused) == NULL ? 7 : 8; }

typedef enum making { BY_PTHREAD, BY_LIBRARY, EARLY, EARLY_ALL_BLOCKED, ALL_BLOCKED, INHERITED_MASK, DETACHED } making;

static void start_heap(void) { CHILD_CHECK(tri_init(NULL) == TRI_OK); }

static void start_by_library(pthread_t *thread) {
  void *library = dlopen(TEST_LIB_DIR "/lib_threads.so", RTLD_NOW);
  CHILD_CHECK(library);
  int (*start)(pthread_t *, void *(*)(void *), void *) =
      (int (*)(pthread_t *, void *(*)(void *), void *))dlsym(library, "lib_start_thread");
  CHILD_CHECK(start && start(thread, play_holder, NULL) == 0);
}

static void start_with_mask(pthread_t *thread) {
  sigset_t all, before;
  sigfillset(&all);
  CHILD_CHECK(sigprocmask(SIG_SETMASK, &all, &before) == 0);
  CHILD_CHECK(pthread_create(thread, NULL, play_holder, NULL) == 0);
  CHILD_CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
}

static void start_detached(pthread_t *thread) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  CHILD_CHECK(pthread_create(thread, &attributes, play_holder, NULL) == 0);
  pthread_attr_destroy(&attributes);
}

static void run_case(void *argument) {
  making how = *(making *)argument;
  pthread_t thread;
  sem_init(&script.turn, 0, 0);
  if (how != EARLY && how != EARLY_ALL_BLOCKED) start_heap();
  script.all_blocked = how == EARLY_ALL_BLOCKED || how == ALL_BLOCKED;
  switch (how) {
  case BY_LIBRARY: start_by_library(&thread); break;
  case INHERITED_MASK: start_with_mask(&thread); break;
  case DETACHED: start_detached(&thread); break;
  default: CHILD_CHECK(pthread_create(&thread, NULL, play_holder, NULL) == 0);
  }
  step_await(&script.theirs, BORN);
  start_heap();
  play_collector();
  if (how != DETACHED) CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void in_children(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
}

static void run_on_stack(making how) {
  script.hold = hold_on_stack;
  for (int i = 0; i < WAITS; i++) {
    script.wait = waits[i];
    in_children(run_case, &how);
  }
}

static void test_stack(void **state) {
  (void)state;
  run_on_stack(BY_PTHREAD);
}

static void test_stack_of_a_librarys_thread(void **state) {
  (void)state;
  run_on_stack(BY_LIBRARY);
}

/* The wait that takes the region by hand attaches the thread; the others leave it to be found. */
static void test_stack_of_a_thread_before_the_heap(void **state) {
  (void)state;
  run_on_stack(EARLY);
}

static void test_stack_with_all_signals_blocked(void **state) {
  (void)state;
  run_on_stack(ALL_BLOCKED);
  run_on_stack(INHERITED_MASK);
}

static void test_stack_with_all_signals_blocked_before_the_heap(void **state) {
  (void)state;
  run_on_stack(EARLY_ALL_BLOCKED);
}

static void test_stack_of_a_detached_thread(void **state) {
  (void)state;
  run_on_stack(DETACHED);
}

static void run_c11(void *unused) {
  thrd_t thread;
  int result = 0;
  (void)unused;
  sem_init(&script.turn, 0, 0);
  start_heap();
  CHILD_CHECK(thrd_create(&thread, play_holder_c11, NULL) == thrd_success);
  play_collector();
  CHILD_CHECK(thrd_join(thread, &result) == thrd_success && result == 7);
}

static void test_stack_of_a_c11_thread(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* it does not know thrd_create */
  script.hold = hold_on_stack;
  for (int i = 0; i < WAITS; i++) {
    script.wait = waits[i];
    in_children(run_c11, NULL);
  }
}

/* ---- in other places ---- */

static void run_hold(void (*hold)(void)) {
  making how = BY_PTHREAD;
  script.hold = hold;
  for (int i = 0; i < WAITS; i++) {
    script.wait = waits[i];
    in_children(run_case, &how);
  }
}

static _Thread_local void *volatile local_places[OBJECTS];

static void hold_in_tls(void) {
  take(local_places);
  step_reach(&script.theirs, TAKEN);
  script.wait(MAY_DROP);
  drop(local_places);
}

static void test_thread_local_variables(void **state) {
  (void)state;
  run_hold(hold_in_tls);
}

/* The libraries' blocks are of 64 bytes and of 1 MiB; the small one holds as many of the objects as it can. */
static void hold_in_block(const char *library_name, const char *function, size_t size) {
  void *volatile rest[OBJECTS];
  void *library = dlopen(library_name, RTLD_NOW);
  CHILD_CHECK(library);
  char *(*block)(void) = (char *(*)(void))dlsym(library, function);
  CHILD_CHECK(block);
  uintptr_t start = ((uintptr_t)block() + 7) & ~(uintptr_t)7;
  void *volatile *places = (void *volatile *)start;
  size_t count = (uintptr_t)block() + size - start >= sizeof rest ? OBJECTS : 7;
  take(rest);
  for (size_t i = 0; i < count; i++) {
    places[i] = rest[i];
    rest[i] = NULL;
  }
  step_reach(&script.theirs, TAKEN);
  script.wait(MAY_DROP);
  for (size_t i = 0; i < count; i++) places[i] = NULL;
  drop(rest);
  forget_stack();
}

static void hold_in_small_block(void) { hold_in_block(TEST_LIB_DIR "/lib_tls_small.so", "tls_small_block", 64); }
static void hold_in_large_block(void) { hold_in_block(TEST_LIB_DIR "/lib_tls_large.so", "tls_large_block", 1 << 20); }

static void test_thread_local_variables_of_loaded_libraries(void **state) {
  (void)state;
  run_hold(hold_in_small_block);
  run_hold(hold_in_large_block);
}

/* The first 32 keys lie in the thread's own block. Some may be taken. */
static void hold_in_keys(void) {
  void *volatile rest[OBJECTS];
  pthread_key_t keys[16];
  take(rest);
  for (int i = 0; i < 16; i++) {
    CHILD_CHECK(pthread_key_create(&keys[i], NULL) == 0 && keys[i] < 32);
    CHILD_CHECK(pthread_setspecific(keys[i], rest[i]) == 0);
    rest[i] = NULL;
  }
  forget_stack();
  step_reach(&script.theirs, TAKEN);
  script.wait(MAY_DROP);
  for (int i = 0; i < 16; i++) CHILD_CHECK(pthread_setspecific(keys[i], NULL) == 0);
  drop(rest);
  forget_stack();
}

static void test_thread_specific_values(void **state) {
  (void)state;
  run_hold(hold_in_keys);
}

/* ---- alternate signal stacks ---- */

static char alternate[256 * 1024] __attribute__((aligned(64)));

/* Calls the handler on an alternate stack at memory. Sanitizers have one in use. */
static void run_on_alternate(void (*handler)(int), void *memory) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
  stack_t stack = {.ss_sp = memory, .ss_size = sizeof alternate}, before;
  sigfillset(&action.sa_mask);
  CHILD_CHECK(memory && sigaltstack(&stack, &before) == 0);
  CHILD_CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  CHILD_CHECK(raise(SIGUSR1) == 0);
  CHILD_CHECK(sigaltstack(&before, NULL) == 0);
}

static bool on_alternate(const void *address) { return (uintptr_t)address - (uintptr_t)alternate < sizeof alternate; }

static void wait_in_handler(int signal_) {
  (void)signal_;
  CHILD_CHECK(on_alternate(__builtin_frame_address(0)));
  step_reach(&script.theirs, TAKEN);
  script.wait(MAY_DROP);
}

/* The pointers lie on the thread's own stack while it runs on the alternate one. */
static void hold_below_handler(void) {
  void *volatile places[OBJECTS];
  take(places);
  run_on_alternate(wait_in_handler, alternate);
  drop(places);
  forget_stack();
}

static void test_own_stack_while_on_the_alternate_one(void **state) {
  (void)state;
  run_hold(hold_below_handler);
}

static void hold_in_handler(int signal_) {
  (void)signal_;
  hold_on_stack();
}

/* Static data is a root, so the alternate stack must not lie in it here. */
static void hold_on_alternate(void) { run_on_alternate(hold_in_handler, malloc(sizeof alternate)); }

static void test_alternate_stack(void **state) {
  (void)state;
  run_hold(hold_on_alternate);
}

/* ---- vector registers ---- */

#ifdef __x86_64__

/* Moves the word at *place to a vector register without another register seeing it, clears it there, and waits until
 * *step has reached number. The pointer is back at *place afterwards. */
#define DEFINE_WAIT_IN(name, load, store)                                                                              \
  __attribute__((noinline)) static void name(void *volatile *place, test_step *step, uint32_t number) {                \
    __asm__ volatile(load "movq $0, (%0)\n"                                                                            \
                          "1: pause\n"                                                                                 \
                          "cmpl %2, (%1)\n"                                                                            \
                          "jb 1b\n" store                                                                              \
                     :                                                                                                 \
                     : "r"(place), "r"(step), "r"(number)                                                              \
                     : "memory", "cc", "xmm9", "xmm15");                                                               \
  }

DEFINE_WAIT_IN(wait_in_xmm, "movq (%0), %%xmm15\n", "movq %%xmm15, (%0)\n")
/* The upper half of a 256-bit register. */
DEFINE_WAIT_IN(wait_in_ymm,
               "vmovq (%0), %%xmm9\n"
               "vpxor %%xmm15, %%xmm15, %%xmm15\n"
               "vinsertf128 $1, %%xmm9, %%ymm15, %%ymm15\n"
               "vpxor %%xmm9, %%xmm9, %%xmm9\n",
               "vextractf128 $1, %%ymm15, %%xmm9\n"
               "vmovq %%xmm9, (%0)\n"
               "vzeroupper\n")

typedef void vector_wait(void *volatile *place, test_step *step, uint32_t number);

/* One object in the register; the others are dropped, and stand for the proof that there was nothing else to be
 * found. */
static void *volatile vector_home;

static void *play_vector(void *wait) {
  step_reach(&script.theirs, BORN);
  step_await(&script.ours, MAY_TAKE);
  ((vector_wait *)wait)(&vector_home, &script.ours, MAY_DROP);
  step_reach(&script.theirs, TAKEN);
  return NULL;
}

static void run_vector(void *wait) {
  pthread_t thread;
  start_heap();
  CHILD_CHECK(pthread_create(&thread, NULL, play_vector, wait) == 0);
  step_await(&script.theirs, BORN);
  hidden object = hidden_new(&vector_home);
  make_objects();
  for (int i = 0; i < OBJECTS; i++) script.handed[i] = NULL;
  step_reach(&script.ours, MAY_TAKE);
  while (vector_home) sched_yield();
  for (int i = 0; i < 3; i++) {
    collect();
    check_few();
    CHILD_CHECK(hidden_lives(object));
  }
  step_reach(&script.ours, MAY_DROP);
  step_await(&script.theirs, TAKEN);
  CHILD_CHECK(vector_home == hidden_reveal(object));
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_vector_registers(void **state) {
  (void)state;
  in_children(run_vector, (void *)wait_in_xmm);
  if (__builtin_cpu_supports("avx")) in_children(run_vector, (void *)wait_in_ymm);
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stack),
      cmocka_unit_test(test_stack_of_a_librarys_thread),
      cmocka_unit_test(test_stack_of_a_thread_before_the_heap),
      cmocka_unit_test(test_stack_with_all_signals_blocked),
      cmocka_unit_test(test_stack_with_all_signals_blocked_before_the_heap),
      cmocka_unit_test(test_stack_of_a_detached_thread),
      cmocka_unit_test(test_stack_of_a_c11_thread),
      cmocka_unit_test(test_thread_local_variables),
      cmocka_unit_test(test_thread_local_variables_of_loaded_libraries),
      cmocka_unit_test(test_thread_specific_values),
      cmocka_unit_test(test_own_stack_while_on_the_alternate_one),
      cmocka_unit_test(test_alternate_stack),
#ifdef __x86_64__
      cmocka_unit_test(test_vector_registers),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
