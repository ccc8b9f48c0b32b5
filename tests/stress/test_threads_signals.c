/* test_threads_signals.c - the program's signals beside the stop signal: masks, actions, and SIGURG itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "child.h"
#include "steps.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* the old functions are interposed, too */

void (*__sysv_signal(int signal_, void (*function)(int)))(int);
void (*bsd_signal(int signal_, void (*function)(int)))(int);

enum { SIGNALS_SENT = 500 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", NULL};
static const char *const other_signal[] = {"TRICOLOR_SIGNAL=40", NULL};

static void in_child(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
}

static void start_heap(void) { CHILD_CHECK(tri_init(NULL) == TRI_OK); }

static bool is_blocked(int signal_) {
  uint64_t set;
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, 8) == 0);
  return set >> (signal_ - 1) & 1;
}

/* ---- masks ---- */

static void check_masks(void) {
  sigset_t all, one, before;
  sigfillset(&all);
  sigemptyset(&one);
  sigaddset(&one, SIGURG);
  CHILD_CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  CHILD_CHECK(!is_blocked(SIGURG) && is_blocked(SIGUSR1) && is_blocked(SIGTERM) && is_blocked(40));
  CHILD_CHECK(pthread_sigmask(SIG_SETMASK, &before, &all) == 0);
  CHILD_CHECK(sigismember(&all, SIGUSR1) == 1 && sigismember(&all, SIGURG) == 0 && !is_blocked(SIGUSR1));
  sigfillset(&all);
  CHILD_CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
  CHILD_CHECK(!is_blocked(SIGURG) && is_blocked(SIGUSR1));
  CHILD_CHECK(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
  CHILD_CHECK(!is_blocked(SIGURG) && !is_blocked(SIGUSR1));
  CHILD_CHECK(pthread_sigmask(SIG_BLOCK, &one, NULL) == 0 && !is_blocked(SIGURG));
  CHILD_CHECK(sighold(SIGURG) == 0 && !is_blocked(SIGURG));
  CHILD_CHECK(sighold(SIGUSR2) == 0 && is_blocked(SIGUSR2));
  (void)sigsetmask(-1);
  CHILD_CHECK(!is_blocked(SIGURG) && is_blocked(SIGUSR1));
  (void)sigsetmask(0);
  (void)sigblock(1 << (SIGURG - 1) | 1 << (SIGUSR1 - 1));
  CHILD_CHECK(!is_blocked(SIGURG) && is_blocked(SIGUSR1));
  (void)sigsetmask(0);
  errno = 0;
  CHILD_CHECK(sigprocmask(77, &one, NULL) == -1 && errno == EINVAL);
  CHILD_CHECK(sigprocmask(SIG_BLOCK, NULL, &before) == 0);
}

static void run_masks(void *unused) {
  (void)unused;
  check_masks();
  start_heap();
  check_masks();
}

static void test_masks_leave_the_stop_signal_open(void **state) {
  (void)state;
  in_child(run_masks, NULL);
}

static void *see_mask(void *unused) {
  CHILD_CHECK(!is_blocked(SIGURG) && is_blocked(SIGUSR1));
  return unused;
}

static void run_attribute_mask(void *unused) {
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all;
  (void)unused;
  sigfillset(&all);
  start_heap();
  pthread_attr_init(&attributes);
  CHILD_CHECK(pthread_attr_setsigmask_np(&attributes, &all) == 0);
  CHILD_CHECK(pthread_create(&thread, &attributes, see_mask, NULL) == 0);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_mask_of_thread_attributes(void **state) {
  (void)state;
  in_child(run_attribute_mask, NULL);
}

/* Blocked before the library could see it: by the program that executed this one, as it were. */
static void run_inherited(void *unused) {
  uint64_t set = 1ull << (SIGURG - 1);
  (void)unused;
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8) == 0 && is_blocked(SIGURG));
  start_heap();
  CHILD_CHECK(tri_alloc(16) && !is_blocked(SIGURG));
}

static void test_attaching_opens_the_signal(void **state) {
  (void)state;
  in_child(run_inherited, NULL);
}

static void run_other_signal(void *unused) {
  sigset_t all;
  (void)unused;
  start_heap();
  sigfillset(&all);
  CHILD_CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
  CHILD_CHECK(is_blocked(SIGURG) && !is_blocked(40));
  tri_gc();
  CHILD_CHECK(collections() == 1);
}

static void test_another_signal(void **state) {
  (void)state;
  child_result result = child_run(run_other_signal, NULL, other_signal);
  assert_true(child_succeeded(&result));
}

static void run_signalfd(void *unused) {
  sigset_t all;
  struct signalfd_siginfo info;
  (void)unused;
  start_heap();
  sigfillset(&all);
  CHILD_CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
  int fd = signalfd(-1, &all, SFD_NONBLOCK);
  CHILD_CHECK(fd >= 0 && raise(SIGURG) == 0 && raise(SIGUSR1) == 0);
  CHILD_CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
  CHILD_CHECK(read(fd, &info, sizeof info) == -1 && errno == EAGAIN);
}

static void test_signalfd(void **state) {
  (void)state;
  in_child(run_signalfd, NULL);
}

/* ---- actions ---- */

static _Atomic(int) simple_calls, info_calls;
static bool stop_open_in_handler;

static void on_simple(int signal_) {
  stop_open_in_handler = !is_blocked(SIGURG);
  atomic_fetch_add(&simple_calls, 1);
  (void)signal_;
}

static void on_info(int signal_, siginfo_t *info, void *context) {
  CHILD_CHECK(info->si_signo == signal_ && context);
  stop_open_in_handler = !is_blocked(SIGURG);
  atomic_fetch_add(&info_calls, 1);
}

/* open: whether the stop signal can arrive in the handler. */
static void check_action(int signal_, bool open) {
  struct sigaction simple = {.sa_handler = on_simple, .sa_flags = SA_RESTART}, old;
  struct sigaction with_info = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | SA_NODEFER};
  struct sigaction none = {.sa_handler = SIG_IGN};
  int simple_before = atomic_load(&simple_calls), info_before = atomic_load(&info_calls);
  sigfillset(&simple.sa_mask);
  sigaddset(&with_info.sa_mask, SIGTERM);
  CHILD_CHECK(sigaction(signal_, &simple, &old) == 0 && old.sa_handler == SIG_DFL);
  CHILD_CHECK(raise(signal_) == 0 && atomic_load(&simple_calls) == simple_before + 1 && stop_open_in_handler == open);
  CHILD_CHECK(sigaction(signal_, &with_info, &old) == 0);
  CHILD_CHECK(old.sa_handler == on_simple && (old.sa_flags & (SA_RESTART | SA_SIGINFO)) == SA_RESTART);
  CHILD_CHECK(sigismember(&old.sa_mask, SIGTERM) == 1);
  CHILD_CHECK(raise(signal_) == 0 && atomic_load(&info_calls) == info_before + 1 && stop_open_in_handler);
  CHILD_CHECK(sigaction(signal_, NULL, &old) == 0);
  CHILD_CHECK(old.sa_sigaction == on_info && (old.sa_flags & (SA_NODEFER | SA_SIGINFO)) == (SA_NODEFER | SA_SIGINFO));
  CHILD_CHECK(sigismember(&old.sa_mask, SIGTERM) == 1 && sigismember(&old.sa_mask, SIGUSR2) == 0);
  CHILD_CHECK(sigaction(signal_, &none, NULL) == 0 && raise(signal_) == 0);
  CHILD_CHECK(signal(signal_, on_simple) == SIG_IGN);
  CHILD_CHECK(raise(signal_) == 0 && atomic_load(&simple_calls) == simple_before + 2);
  CHILD_CHECK(bsd_signal(signal_, on_simple) == on_simple && ssignal(signal_, on_simple) == on_simple);
  CHILD_CHECK(sigset(signal_, on_simple) == on_simple && sysv_signal(signal_, on_simple) == on_simple);
  CHILD_CHECK(__sysv_signal(signal_, on_simple) == on_simple);
  CHILD_CHECK(sigaction(signal_, &simple, &old) == 0 && (old.sa_flags & (int)SA_RESETHAND));
  CHILD_CHECK(siginterrupt(signal_, 1) == 0);
  CHILD_CHECK(sigaction(signal_, NULL, &old) == 0 && !(old.sa_flags & SA_RESTART) && old.sa_handler == on_simple);
  CHILD_CHECK(sigignore(signal_) == 0 && sigaction(signal_, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
  CHILD_CHECK(signal(signal_, SIG_DFL) == SIG_IGN);
  CHILD_CHECK(atomic_load(&simple_calls) == simple_before + 2 && atomic_load(&info_calls) == info_before + 1);
}

static void run_actions(void *unused) {
  struct sigaction action = {.sa_handler = on_simple};
  (void)unused;
  check_action(SIGUSR1, true);
  check_action(SIGURG, false); /* any signal is blocked in its own handler */
  start_heap();
  check_action(SIGUSR1, true);
  check_action(SIGURG, true);
  check_action(SIGRTMAX, true);
  errno = 0;
  CHILD_CHECK(sigaction(0, &action, NULL) == -1 && errno == EINVAL);
  CHILD_CHECK(sigaction(SIGKILL, &action, NULL) == -1 && errno == EINVAL);
  CHILD_CHECK(sigaction(1000, &action, NULL) == -1 && errno == EINVAL);
  CHILD_CHECK(signal(SIGKILL, on_simple) == SIG_ERR && signal(-1, on_simple) == SIG_ERR);
  CHILD_CHECK(signal(SIGUSR1, SIG_ERR) == SIG_ERR && signal(SIGURG, SIG_ERR) == SIG_ERR);
  tri_gc();
  CHILD_CHECK(collections() == 1);
}

static void test_actions_are_reported_as_asked_for(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* it keeps signals back until its next interposed call, and puts its own flags */
  in_child(run_actions, NULL);
}

/* What was installed before the heap started is called afterwards. */
static void run_early_handler(void *unused) {
  struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO}, old;
  (void)unused;
  CHILD_CHECK(sigaction(SIGURG, &action, NULL) == 0);
  start_heap();
  CHILD_CHECK(raise(SIGURG) == 0);
  CHILD_CHECK(atomic_load(&info_calls) == 1);
  CHILD_CHECK(sigaction(SIGURG, NULL, &old) == 0 && old.sa_sigaction == on_info && (old.sa_flags & SA_SIGINFO));
  tri_gc();
  CHILD_CHECK(atomic_load(&info_calls) == 1);
}

static void test_a_handler_from_before_the_heap(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* as above */
  in_child(run_early_handler, NULL);
}

/* ---- the program's own SIGURG among ours ---- */

static test_step may_end;

static void *collect_on(void *unused) {
  while (!atomic_load(&may_end)) tri_gc();
  return unused;
}

/* None of ours may be taken for one of the program's. How many of these are seen is the system's matter: a stop signal
 * that is pending at the moment swallows the next of the same number. */
static void run_own_signal(void *unused) {
  pthread_t thread;
  (void)unused;
  CHILD_CHECK(signal(SIGURG, on_simple) == SIG_DFL);
  start_heap();
  CHILD_CHECK(pthread_create(&thread, NULL, collect_on, NULL) == 0);
  for (int i = 0; i < SIGNALS_SENT; i++) {
    CHILD_CHECK(raise(SIGURG) == 0);
    CHILD_CHECK(tri_alloc(64));
  }
  step_reach(&may_end, 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
  int calls = atomic_load(&simple_calls);
  if (calls > SIGNALS_SENT || calls == 0) child_fail("%d signals were sent, %d seen", SIGNALS_SENT, calls);
}

static void test_own_use_of_the_stop_signal(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* as above */
  in_child(run_own_signal, NULL);
}

/* From outside, as for a socket's urgent data, every one is seen: it is told by what the kernel says of it. */
static void run_foreign_signal(void *unused) {
  pthread_t thread;
  pid_t parent = getpid(), sender;
  (void)unused;
  CHILD_CHECK(signal(SIGURG, on_simple) == SIG_DFL);
  start_heap();
  CHILD_CHECK(pthread_create(&thread, NULL, collect_on, NULL) == 0);
  for (int i = 1; i <= 50; i++) {
    if ((sender = fork()) == 0) _exit(kill(parent, SIGURG) != 0);
    while (atomic_load(&simple_calls) < i) sched_yield();
    while (waitpid(sender, NULL, 0) == -1) CHILD_CHECK(errno == EINTR);
  }
  step_reach(&may_end, 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
  CHILD_CHECK(atomic_load(&simple_calls) == 50); /* and none of ours among them */
}

static void test_the_stop_signal_from_outside(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* as above */
  in_child(run_foreign_signal, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_masks_leave_the_stop_signal_open),
      cmocka_unit_test(test_mask_of_thread_attributes),
      cmocka_unit_test(test_attaching_opens_the_signal),
      cmocka_unit_test(test_another_signal),
      cmocka_unit_test(test_signalfd),
      cmocka_unit_test(test_actions_are_reported_as_asked_for),
      cmocka_unit_test(test_a_handler_from_before_the_heap),
      cmocka_unit_test(test_own_use_of_the_stop_signal),
      cmocka_unit_test(test_the_stop_signal_from_outside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
