/* test_threads_registers.c - a pointer that only a callee-saved register knows while its thread is in a blocking
 * region: nobody stops such a thread, so what it had in registers when it entered must have been kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "child.h"
#include "steps.h"

#ifdef __x86_64__

/* Moves the pointer at *place into r12, clears it there, enters a region, overwrites the stack below, waits until *step
 * is set, leaves the region, and puts the pointer back. The red zone is not used: every frame here is a called one. */
void hold_in_register(void *volatile *place, test_step *step);
void clear_below(void);
__attribute__((used, noinline)) void clear_below(void) { forget_stack(); }

__asm__(".text\n"
        ".globl hold_in_register\n"
        ".type hold_in_register, @function\n"
        "hold_in_register:\n"
        "push %rbx\n"
        "push %rbp\n"
        "push %r12\n"
        "mov %rdi, %rbx\n"
        "mov %rsi, %rbp\n"
        "mov (%rbx), %r12\n"
        "movq $0, (%rbx)\n"
        "call tri_blocking_begin@PLT\n"
        "call clear_below@PLT\n"
        "movl $1, 4(%rbp)\n"
        "1: pause\n"
        "cmpl $0, (%rbp)\n"
        "je 1b\n"
        "call tri_blocking_end@PLT\n"
        "mov %r12, (%rbx)\n"
        "pop %r12\n"
        "pop %rbp\n"
        "pop %rbx\n"
        "ret\n"
        ".size hold_in_register, . - hold_in_register\n");

static void *volatile home;
static test_step steps[2]; /* may go on; holds */

static void *hold(void *unused) {
  CHILD_CHECK(tri_alloc(16));
  hold_in_register(&home, steps);
  return unused;
}

static void run_hold(void *unused) {
  pthread_t thread;
  (void)unused;
  hidden object = hidden_new(&home);
  CHILD_CHECK(pthread_create(&thread, NULL, hold, NULL) == 0);
  step_await(&steps[1], 1);
  for (int i = 0; i < 3; i++) {
    collect();
    CHILD_CHECK(!home && hidden_lives(object));
  }
  step_reach(&steps[0], 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
  CHILD_CHECK(home == hidden_reveal(object) && hidden_lives(object));
  home = NULL;
  collect();
  collect();
  CHILD_CHECK(UNDER_ASAN || !hidden_lives(object)); /* so nothing else kept it (ASan's large frames may) */
}

static void test_callee_saved_register_in_a_region(void **state) {
  (void)state;
  child_result result = child_run(run_hold, NULL, (const char *const[]){"TRICOLOR_DEBUG=poison=1,check=1", NULL});
  assert_true(child_succeeded(&result));
}

#else

/* The script above is written for x86-64 alone. */
static void test_callee_saved_register_in_a_region(void **state) {
  (void)state;
  skip();
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_callee_saved_register_in_a_region)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
