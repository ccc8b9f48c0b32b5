/* test_trouble.c - when no collection can be made: the program goes on, hears why, once, and collects again as soon as
 * it can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "child.h"
#include "gc/thread.h"
#include "steps.h"

enum { TRIES = 100, FEW_TRIES = 20 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", NULL};

static child_result in_child(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
  return result;
}

static int count(const char *text, const char *part) {
  int found = 0;
  for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) found++;
  return found;
}

static void assert_said_once(const child_result *result, const char *part) {
  assert_int_equal(count(result->text, part), 1);
  assert_int_equal(count(result->text, "tricolor: collections are put off"), 1);
}

static void assert_collects(bool expected) {
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK((collections() != before) == expected);
}

/* ---- descriptors ---- */

static struct rlimit limit;

static void take_descriptors_away(void) {
  CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
}

static void give_descriptors_back(void) { CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0); }

static test_step step;

static void *turn_round(void *unused) {
  step_reach(&step, 1);
  step_await(&step, 2);
  return unused;
}

static void run_unknown_thread(void *unused) {
  pthread_t thread;
  (void)unused;
  CHILD_CHECK(pthread_create(&thread, NULL, turn_round, NULL) == 0);
  step_await(&step, 1);
  CHILD_CHECK(tri_alloc(16));
  take_descriptors_away();
  assert_collects(false);
  assert_collects(false);
  give_descriptors_back();
  assert_collects(true);
  take_descriptors_away();
  assert_collects(true); /* everybody is known */
  step_reach(&step, 2);
  pthread_join(thread, NULL);
}

static void test_unknown_thread_and_no_descriptor(void **state) {
  (void)state;
  child_result result = in_child(run_unknown_thread, NULL);
  assert_said_once(&result, "/proc/self/task (errno 24)");
}

static void run_unknown_stack(void *unused) {
  (void)unused;
  take_descriptors_away();
  CHILD_CHECK(tri_alloc(16));
  assert_collects(false);
  assert_collects(false);
  give_descriptors_back();
  assert_collects(true);
}

static void test_unknown_stack_and_no_descriptor(void **state) {
  (void)state;
  child_result result = in_child(run_unknown_stack, NULL);
  assert_said_once(&result, "/proc/self/maps cannot be read (errno 24)");
}

/* From here on the kernel ends the process when it opens a file. */
static void forbid_files(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
  CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *attach(void *unused) {
  tri_thread *self = tri_thread_self();
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  CHILD_CHECK(self && !self->unbounded && here >= self->stack_low && here < self->stack_high);
  assert_collects(true);
  return unused;
}

/* To read the mappings takes the longer the more threads there are. */
static void run_start_without_files(void *unused) {
  pthread_t thread;
  (void)unused;
  CHILD_CHECK(tri_alloc(16));
  assert_collects(true); /* starts the library's own threads */
  forbid_files();
  CHILD_CHECK(pthread_create(&thread, NULL, attach, NULL) == 0);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_starting_a_thread_reads_no_file(void **state) {
  (void)state;
  if (UNDER_TSAN || UNDER_ASAN) skip(); /* they read the mappings themselves */
  in_child(run_start_without_files, NULL);
}

/* ---- no /proc ---- */

static void run_without_proc(void *folder) {
  pthread_t thread;
  CHILD_CHECK(chroot(folder) == 0 && chdir("/") == 0);
  CHILD_CHECK(pthread_create(&thread, NULL, turn_round, NULL) == 0);
  step_await(&step, 1);
  for (int i = 0; i < 100000; i++) CHILD_CHECK(tri_alloc(1000));
  assert_collects(false);
  step_reach(&step, 2);
  pthread_join(thread, NULL);
}

static void test_no_proc(void **state) {
  (void)state;
  if (geteuid() != 0) skip();
  char folder[] = "/tmp/tricolor-trouble-XXXXXX";
  assert_non_null(mkdtemp(folder));
  child_result result = in_child(run_without_proc, folder);
  assert_int_equal(rmdir(folder), 0);
  assert_said_once(&result, "/proc/self/task (errno 2)");
}

/* ---- a thread that blocks the signal ---- */

static int blocker;

static void set_blocked(bool blocked) {
  uint64_t set = 1ull << (SIGURG - 1);
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL, 8) == 0);
}

static void *block_by_turns(void *unused) {
  blocker = thread_id();
  CHILD_CHECK(tri_alloc(16));
  set_blocked(true);
  step_reach(&step, 1);
  step_await(&step, 2);
  set_blocked(false);
  step_reach(&step, 3);
  step_await(&step, 4);
  set_blocked(true);
  step_reach(&step, 5);
  step_await(&step, 6);
  set_blocked(false);
  return unused;
}

/* How often the thread is signalled in one attempt. */
static uint32_t count_signals(void) {
  tri_threads_lock();
  tri_thread *thread = tri_thread_find(blocker);
  tri_threads_unlock();
  uint32_t before = atomic_load(&thread->sent);
  assert_collects(false);
  return atomic_load(&thread->sent) - before;
}

static void run_blocker(void *unused) {
  pthread_t thread;
  (void)unused;
  CHILD_CHECK(pthread_create(&thread, NULL, block_by_turns, NULL) == 0);
  step_await(&step, 1);
  CHILD_CHECK(count_signals() >= TRIES);
  CHILD_CHECK(count_signals() <= FEW_TRIES);
  step_reach(&step, 2);
  step_await(&step, 3);
  assert_collects(true);
  step_reach(&step, 4);
  step_await(&step, 5);
  CHILD_CHECK(count_signals() >= TRIES);
  fprintf(stderr, "blocker %d\n", blocker);
  step_reach(&step, 6);
  pthread_join(thread, NULL);
}

static void test_blocked_signal(void **state) {
  (void)state;
  child_result result = in_child(run_blocker, NULL);
  const char *note = strstr(result.text, "blocker ");
  char wanted[64];
  assert_non_null(note);
  snprintf(wanted, sizeof wanted, "thread %d blocks the stop signal", atoi(note + strlen("blocker ")));
  assert_said_once(&result, wanted);
}

/* ---- a signal that the system does not send ---- */

static void *hold_object(void *unused) {
  uint64_t *object = tri_alloc(512);
  CHILD_CHECK(object);
  object[63] = 42;
  step_reach(&step, 1);
  while (atomic_load(&step) < 2) CHILD_CHECK(object[63] == 42); /* poisoned, were it taken for garbage */
  return unused;
}

/* Of real-time signals only so many can wait. */
static void run_full_queue(void *unused) {
  pthread_t thread;
  struct rlimit before, none = {0};
  (void)unused;
  CHILD_CHECK(tri_alloc(16));
  CHILD_CHECK(pthread_create(&thread, NULL, hold_object, NULL) == 0);
  step_await(&step, 1);
  CHILD_CHECK(getrlimit(RLIMIT_SIGPENDING, &before) == 0);
  none.rlim_max = before.rlim_max;
  CHILD_CHECK(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
  assert_collects(false);
  assert_collects(false);
  CHILD_CHECK(setrlimit(RLIMIT_SIGPENDING, &before) == 0);
  assert_collects(true);
  step_reach(&step, 2);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_signal_that_is_not_sent(void **state) {
  (void)state;
  child_result result = child_run(run_full_queue, NULL, (const char *const[]){poison[0], "TRICOLOR_SIGNAL=40", NULL});
  assert_true(child_succeeded(&result));
  assert_said_once(&result, "cannot be sent the stop signal (errno 11)");
}

/* ---- a start that fails late ---- */

static volatile int handled;

static void count_signal(int signal_) {
  (void)signal_;
  handled++;
}

/* With a little more memory each time it gets a little further. The program's handler for the stop signal is its own in
 * the end, whatever was installed on the way. */
static void run_failed_starts(void *unused) {
  struct rlimit before, little;
  int failures = 0;
  (void)unused;
  signal(SIGURG, count_signal);
  CHILD_CHECK(getrlimit(RLIMIT_DATA, &before) == 0);
  little = before;
  tri_err error = TRI_ERR_NOMEM;
  for (little.rlim_cur = 4096; error != TRI_OK; little.rlim_cur += 4096) {
    CHILD_CHECK(setrlimit(RLIMIT_DATA, &little) == 0);
    error = tri_init(NULL);
    failures += error != TRI_OK;
    CHILD_CHECK(failures < 100000);
  }
  CHILD_CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
  CHILD_CHECK(failures > 2 && tri_alloc(16));
  raise(SIGURG);
  CHILD_CHECK(handled == 1);
  assert_collects(true);
  CHILD_CHECK(handled == 1);
}

static void test_start_tried_again(void **state) {
  (void)state;
  if (UNDER_TSAN || UNDER_ASAN) skip(); /* they need memory themselves */
  child_result result = child_run(run_failed_starts, NULL, NULL);
  assert_true(child_succeeded(&result));
}

/* ---- the heap used in a blocking region ---- */

static void run_alloc_in_region(void *unused) {
  (void)unused;
  CHILD_CHECK(tri_alloc(64));
  tri_blocking_begin();
  CHILD_CHECK(tri_alloc(64));
  tri_blocking_end();
}

static void run_collect_in_region(void *unused) {
  (void)unused;
  CHILD_CHECK(tri_alloc(64));
  tri_blocking_begin();
  tri_gc();
  tri_blocking_end();
}

static void alloc_in_handler(int signal_) {
  (void)signal_;
  CHILD_CHECK(tri_alloc(64));
}

static void run_handler_in_region(void *unused) {
  (void)unused;
  CHILD_CHECK(tri_alloc(64));
  signal(SIGUSR1, alloc_in_handler);
  for (int i = 0; i < 100; i++) {
    tri_blocking_begin();
    raise(SIGUSR1);
    tri_blocking_end();
    raise(SIGUSR1);
  }
}

static void test_heap_in_a_region(void **state) {
  (void)state;
  in_child(run_handler_in_region, NULL);
#ifdef TRI_ASSERTIONS
  child_result alloc = child_run(run_alloc_in_region, NULL, poison);
  assert_true(child_aborted(&alloc, (const char *const[]){"tri_blocking_end: this thread has used the heap", NULL}));
  child_result gc = child_run(run_collect_in_region, NULL, poison);
  assert_true(child_aborted(&gc, (const char *const[]){"between tri_blocking_begin and tri_blocking_end", NULL}));
#else
  (void)run_alloc_in_region, (void)run_collect_in_region;
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unknown_thread_and_no_descriptor),
      cmocka_unit_test(test_unknown_stack_and_no_descriptor),
      cmocka_unit_test(test_starting_a_thread_reads_no_file),
      cmocka_unit_test(test_no_proc),
      cmocka_unit_test(test_blocked_signal),
      cmocka_unit_test(test_signal_that_is_not_sent),
      cmocka_unit_test(test_start_tried_again),
      cmocka_unit_test(test_heap_in_a_region),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
