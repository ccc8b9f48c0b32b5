/* test_blocking.c - a signal of the program that meets a blocking region at any instruction of its beginning or end.
 *
 * The thread is run step by step by the processor's trap flag. The trap's handler is installed by a bare system call,
 * so that it is not one of the program's; at the chosen step it sends the thread the program's signal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "gc/thread.h"
#include "steps.h"
#include "trap.h"

static _Atomic(bool) ran;

#if defined(__x86_64__)

enum { MOST_STEPS = 2000 };

static void send_signal(void) { syscall(SYS_tgkill, getpid(), thread_id(), SIGUSR1); }
static void install_trap(void) { assert_true(tri_os_install_handler(SIGTRAP, on_trap, NULL)); }

/* ---- the end of a region, while the world is stopped ---- */

static test_step turn;
static _Atomic(bool) world_stopped, ran_while_stopped, over;
static _Atomic(int) steps, stepper_id;

static void on_signal(int signal_) {
  (void)signal_;
  if (atomic_load(&world_stopped)) atomic_store(&ran_while_stopped, true);
  atomic_store(&ran, true);
}

/* 3 n + 1: in the region; 3 n + 2: the world is stopped; 3 n + 3: out of the region. */
static void *leave_regions(void *unused) {
  tri_thread *self = tri_thread_self();
  atomic_store(&stepper_id, thread_id());
  for (uint32_t n = 0; !atomic_load(&over); n++) {
    assert_true(tri_thread_blocking_enter(self));
    step_reach(&turn, 3 * n + 1);
    step_await(&turn, 3 * n + 2);
    start_stepping((int)n + 1, send_signal);
    tri_thread_blocking_exit(self);
    stop_stepping();
    if (!trap.sprung) atomic_store(&over, true);
    atomic_store(&steps, trap.taken);
    step_reach(&turn, 3 * n + 3);
  }
  return unused;
}

/* The end of the region sleeps while the world is stopped, and so must the handler that interrupts it. */
static void test_no_handler_runs_beside_a_stop(void **state) {
  (void)state;
  pthread_t thread;
  if (UNDER_TSAN) skip(); /* it puts signals off */
  assert_non_null(tri_thread_self());
  install_trap();
  signal(SIGUSR1, on_signal);
  assert_int_equal(pthread_create(&thread, NULL, leave_regions, NULL), 0);
  for (uint32_t n = 0; !atomic_load(&over); n++) {
    step_await(&turn, 3 * n + 1);
    atomic_store(&ran, false);
    assert_true(tri_stop_begin());
    atomic_store(&world_stopped, true);
    step_reach(&turn, 3 * n + 2);
    await_asleep(atomic_load(&stepper_id));
    atomic_store(&world_stopped, false);
    tri_stop_end();
    step_await(&turn, 3 * n + 3);
    assert_false(atomic_load(&ran_while_stopped));
    assert_true(atomic_load(&ran) || atomic_load(&over));
    assert_in_range(n, 0, MOST_STEPS);
  }
  pthread_join(thread, NULL);
  assert_in_range(atomic_load(&steps), 10, MOST_STEPS);
}

/* ---- the beginning of a region ---- */

/* As a call of the handler's own that blocks would. */
static void block_in_handler(int signal_) {
  tri_thread *self = tri_thread_known();
  (void)signal_;
  if (!tri_thread_blocking_enter(self)) abort();
  tri_thread_blocking_exit(self);
}

static __attribute__((noinline)) uintptr_t enter_at_step(tri_thread *self, int step) {
  start_stepping(step, send_signal);
  bool entered = tri_thread_blocking_enter(self);
  stop_stepping();
  assert_true(entered);
  assert_int_equal(atomic_load(&self->state), TRI_THREAD_BLOCKING);
  uintptr_t sp = self->sp;
  tri_thread_blocking_exit(self);
  return sp;
}

/* Whatever the handler did, what is written down is the region's. */
static void test_a_handler_leaves_the_region_as_it_was(void **state) {
  (void)state;
  if (UNDER_TSAN) skip();
  tri_thread *self = tri_thread_self();
  install_trap();
  signal(SIGUSR1, block_in_handler);
  uintptr_t sp = enter_at_step(self, MOST_STEPS);
  assert_false(trap.sprung);
  int step = 0;
  do assert_int_equal(enter_at_step(self, ++step), sp);
  while (trap.sprung);
  assert_in_range(step, 10, MOST_STEPS);
}

#else

static void test_no_handler_runs_beside_a_stop(void **state) {
  (void)state;
  skip();
}

static void test_a_handler_leaves_the_region_as_it_was(void **state) {
  (void)state;
  skip();
}

#endif

/* ---- the thread that stops the others ---- */

static _Atomic(bool) stopping, met_stop;

static void look_at_stop(int signal_) {
  (void)signal_;
  if (atomic_load(&stopping)) atomic_store(&met_stop, true);
  atomic_store(&ran, true);
}

static void test_no_handler_interrupts_the_collector(void **state) {
  (void)state;
  if (UNDER_TSAN) skip();
  assert_non_null(tri_thread_self());
  signal(SIGUSR1, look_at_stop);
  atomic_store(&ran, false);
  assert_true(tri_stop_begin());
  atomic_store(&stopping, true);
  raise(SIGUSR1);
  atomic_store(&stopping, false);
  tri_stop_end();
  assert_true(atomic_load(&ran));
  assert_false(atomic_load(&met_stop));
}

/* ---- states ---- */

static void test_a_held_thread_stays_held(void **state) {
  (void)state;
  tri_thread thread = {.id = 1};
  assert_true(tri_thread_blocking_enter(&thread));
  assert_false(tri_thread_blocking_enter(&thread));
  atomic_store(&thread.state, TRI_THREAD_HELD);
  assert_false(tri_thread_blocking_enter(&thread));
  atomic_store(&thread.state, TRI_THREAD_BLOCKING);
  tri_thread_blocking_exit(&thread);
  assert_int_equal(atomic_load(&thread.state), TRI_THREAD_RUNNING);
  tri_thread_blocking_exit(&thread); /* a handler had jumped out */
  assert_int_equal(atomic_load(&thread.state), TRI_THREAD_RUNNING);
}

int main(void) {
  tri_init(NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_held_thread_stays_held),
      cmocka_unit_test(test_no_handler_interrupts_the_collector),
      cmocka_unit_test(test_no_handler_runs_beside_a_stop),
      cmocka_unit_test(test_a_handler_leaves_the_region_as_it_was),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
