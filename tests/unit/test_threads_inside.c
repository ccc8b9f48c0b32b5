/* test_threads_inside.c - a fork that meets its own thread inside the library; the heap mended; a new thread's
 * record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "child.h"
#include "gc/thread.h"
#include "heap/mend.h"
#include "heap/object.h"
#include "steps.h"

static void in_child(void (*body)(void *)) {
  child_result result = child_run(body, NULL, (const char *const[]){"TRICOLOR_DEBUG=poison=1", NULL});
  assert_true(child_succeeded(&result));
}

static void await_child(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) == -1) CHILD_CHECK(errno == EINTR);
  if (status != 0) child_fail("a child ended with status %x", (unsigned)status);
}

/* ---- a handler forks while its thread waits for the registry's lock ---- */

static pthread_t interrupted;
static int interrupted_id;
static test_step locked, handled;
static volatile pid_t forked = -1;

static void fork_in_handler(int signal_) {
  (void)signal_;
  forked = fork();
  if (forked) step_reach(&handled, 1);
}

static void *hold_lock(void *unused) {
  tri_threads_lock();
  step_reach(&locked, 1);
  await_asleep(interrupted_id);
  CHILD_CHECK(pthread_kill(interrupted, SIGUSR1) == 0);
  step_await(&handled, 1);
  tri_threads_unlock();
  return unused;
}

static void *alloc_once(void *unused) {
  CHILD_CHECK(tri_alloc(16));
  return unused;
}

static void use_everything(void) {
  pthread_t thread;
  for (int i = 0; i < 10000; i++) tri_free(tri_alloc((size_t)i));
  CHILD_CHECK(pthread_create(&thread, NULL, alloc_once, NULL) == 0 && pthread_join(thread, NULL) == 0);
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK(collections() == before);
  pid_t child = fork();
  if (child) await_child(child);
}

static void run_interrupted(void *unused) {
  pthread_t holder;
  (void)unused;
  CHILD_CHECK(tri_alloc(16));
  tri_gc();
  signal(SIGUSR1, fork_in_handler);
  interrupted = pthread_self();
  interrupted_id = thread_id();
  CHILD_CHECK(pthread_create(&holder, NULL, hold_lock, NULL) == 0);
  step_await(&locked, 1);
  (void)collections(); /* counts by thread, under the lock */
  CHILD_CHECK(forked >= 0);
  if (forked == 0) {
    alarm(CHILD_PATIENCE);
    use_everything();
    _exit(0);
  }
  await_child(forked);
  CHILD_CHECK(pthread_join(holder, NULL) == 0);
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK(collections() == before + 1);
}

static void test_fork_in_a_waiting_thread(void **state) {
  (void)state;
  in_child(run_interrupted);
}

/* ---- mending ---- */

enum { OBJECTS = 3000 };

static unsigned char *objects[OBJECTS];
static size_t object_sizes[OBJECTS];

static unsigned char number_of(size_t i) { return (unsigned char)(i % 251 + 1); }

static void make(size_t i) {
  object_sizes[i] = i % 100 == 0 ? 50000 + i : i % 10 == 0 ? 3000 + i : i % 500 + 1;
  objects[i] = tri_alloc_noscan(object_sizes[i]);
  CHILD_CHECK(objects[i]);
  for (size_t byte = 0; byte < object_sizes[i]; byte++) CHILD_CHECK(objects[i][byte] == 0);
  memset(objects[i], number_of(i), object_sizes[i]);
}

static void drop(size_t i) {
  tri_free(objects[i]);
  objects[i] = NULL;
}

static void check(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    for (size_t byte = 0; objects[i] && byte < object_sizes[i]; byte++) CHILD_CHECK(objects[i][byte] == number_of(i));
}

/* As a thread leaves them that has taken a span out of the table and was about to clear them. */
static void leave_bits(void) {
  for (size_t page = 0; page < tri_the_arena.used >> TRI_PAGE_SHIFT; page++)
    if (!tri_span_of(tri_arena_address(page)))
      atomic_store(&tri_arena_bits(tri_arena_address(page))->alloc, ~(uint64_t)0);
}

/* No list is trusted: a page in use that a list had lost would be handed out again, or one whose bits a thread had not
 * come to clear. */
static void run_mending(void *unused) {
  (void)unused;
  tri_set_gc_percent(-1);
  for (size_t i = 0; i < OBJECTS; i++) make(i);
  for (size_t i = 0; i < OBJECTS; i += 3) drop(i);
  for (size_t i = 0; i < OBJECTS; i++)
    if (i % 7 == 0 && objects[i]) drop(i);
  tri_cache_defer(tri_cache_self); /* locks of the heap are held only so */
  tri_page_heap_figures before = tri_page_heap_read();
  leave_bits();
  tri_heap_mend();
  tri_page_heap_figures after = tri_page_heap_read();
  tri_cache_undefer(tri_cache_self);
  CHILD_CHECK(before.used_bytes == after.used_bytes && before.spans_in_use == after.spans_in_use);
  check();
  for (size_t i = 0; i < OBJECTS; i++)
    if (!objects[i]) make(i);
  check();
  for (size_t i = 0; i < OBJECTS; i += 2) drop(i);
  for (size_t i = 0; i < OBJECTS; i += 2) make(i);
  check();
}

static void test_mending(void **state) {
  (void)state;
  in_child(run_mending);
}

/* ---- a record ---- */

/* A sequence goes round; whatever it is, a record is made that neither this stop nor the next has asked. */
static void test_new_record(void **state) {
  (void)state;
  enum { NOBODY = 0x7ffffff0 };
  assert_non_null(tri_thread_self());
  for (int i = 0; i < 3; i++) tri_gc();
  for (int stopped = 0; stopped < 2; stopped++) {
    if (stopped)
      assert_true(tri_stop_begin());
    else
      tri_threads_lock();
    uint32_t sequence = tri_stop_sequence();
    tri_thread *thread = tri_thread_record(NOBODY);
    assert_non_null(thread);
    assert_int_equal(sequence & 1, stopped);
    assert_int_equal(atomic_load(&thread->asked), sequence - (uint32_t)stopped);
    tri_thread_forget(thread);
    if (stopped)
      tri_stop_end();
    else
      tri_threads_unlock();
  }
}

/* ---- stops come while threads of the library's own are started ---- */

enum { OWN_THREADS = 5, LONG_NS = 20 * 1000 * 1000 };
static test_step has_collected, all_started;

static void wait_for_ever(void *unused) {
  static _Atomic(uint32_t) never;
  (void)unused;
  for (;;) tri_os_wait(&never, 0, 0);
}

static void *collect_until_started(void *unused) {
  for (uint32_t asked = 1; !atomic_load(&all_started); asked++) {
    tri_gc();
    CHILD_CHECK(collections() >= asked);
    step_reach(&has_collected, asked);
  }
  return unused;
}

/* A stop has found the new thread by then, and waits for it. */
static void wait_for_stop(void) {
  while (!(tri_stop_sequence() & 1)) sched_yield();
  tri_os_sleep(LONG_NS);
}

static void start_own_threads(void *unused) {
  pthread_t collector;
  (void)unused;
  CHILD_CHECK(tri_thread_self() && pthread_create(&collector, NULL, collect_until_started, NULL) == 0);
  step_await(&has_collected, 3); /* what the library starts by itself is there */
  tri_os_thread_observer = wait_for_stop;
  for (int i = 0; i < OWN_THREADS; i++) CHILD_CHECK(tri_thread_start_own(wait_for_ever, NULL, "tri-test"));
  step_reach(&all_started, 1);
  CHILD_CHECK(pthread_join(collector, NULL) == 0);
  tri_gc();
  tri_threads_lock();
  CHILD_CHECK(tri_os_task_count() == tri_threads_expected_tasks()); /* none is taken for the program's */
  tri_threads_unlock();
}

/* No stop waits for one of them, nor is given up. */
static void test_own_threads_are_never_stopped(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("threads that compute are not stopped under it");
  child_result result = child_run(start_own_threads, NULL, (const char *const[]){"TRICOLOR_GC_THREADS=1", NULL});
  assert_true(child_succeeded(&result));
  assert_string_equal(result.text, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fork_in_a_waiting_thread),
      cmocka_unit_test(test_mending),
      cmocka_unit_test(test_new_record),
      cmocka_unit_test(test_own_threads_are_never_stopped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
