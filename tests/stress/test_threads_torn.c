/* test_threads_torn.c - forks at bad moments: when the heap cannot be brought to rest, while it is being started, in
 * signal handlers; and starting while another thread loads a library. Nothing hangs, and nothing that a child has is
 * lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "child.h"
#include "steps.h"

enum { FORKS = UNDER_ASAN ? 5 : 10, ALLOCATORS = 3, OBJECTS = 100, SIZES = 5 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", NULL};

static child_result in_child(void (*body)(void *), const char *const *environment) {
  child_result result = child_run(body, NULL, environment);
  assert_true(child_succeeded(&result));
  return result;
}

static pid_t fork_child(void) {
  pid_t child = fork();
  CHILD_CHECK(child >= 0);
  if (child == 0) alarm(CHILD_PATIENCE);
  return child;
}

static void await_child(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) == -1) CHILD_CHECK(errno == EINTR);
  if (status != 0) child_fail("a child ended with status %x", (unsigned)status);
}

/* ---- objects, each full of a number of its own ---- */

static const size_t sizes[SIZES] = {16, 120, 1024, 32768, 100000};

typedef struct batch {
  uint32_t *objects[OBJECTS];
} batch;

static size_t size_at(int i) { return sizes[i % SIZES]; }

static void batch_make(batch *made, uint32_t first) {
  for (int i = 0; i < OBJECTS; i++) {
    size_t words = size_at(i) / sizeof(uint32_t);
    uint32_t *object = i % 2 ? tri_alloc(size_at(i)) : tri_alloc_noscan(size_at(i));
    CHILD_CHECK(object && object[0] == 0 && object[words / 2] == 0 && object[words - 1] == 0);
    for (size_t word = 0; word < words; word++) object[word] = first + (uint32_t)i;
    made->objects[i] = object;
  }
}

static void batch_check(const batch *made, uint32_t first) {
  for (int i = 0; i < OBJECTS; i++)
    for (size_t word = 0; word < size_at(i) / sizeof(uint32_t); word++)
      CHILD_CHECK(made->objects[i][word] == first + (uint32_t)i);
}

static void batch_free(const batch *made) {
  for (int i = 0; i < OBJECTS; i++) tri_free(made->objects[i]);
}

static test_step may_end;

/* In the heap's slow paths nearly all of the time. */
static void *churn(void *unused) {
  while (!atomic_load(&may_end)) {
    batch made;
    batch_make(&made, 7);
    batch_check(&made, 7);
    batch_free(&made);
  }
  return unused;
}

/* ---- a thread that cannot be stopped ---- */

static test_step blocking;

static void *block_signal(void *unused) {
  uint64_t set = 1ull << (SIGURG - 1);
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8) == 0);
  step_reach(&blocking, 1);
  step_await(&may_end, 1);
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8) == 0);
  return unused;
}

/* What a child does that cannot collect: everything else. */
static void live_torn(const batch *inherited, const batch *to_free) {
  uint32_t before = collections();
  batch mine, more;
  batch_check(inherited, 1000);
  batch_make(&mine, 3000);
  batch_free(to_free);
  batch_make(&more, 4000);
  tri_gc();
  batch_make(to_free == inherited ? &more : &mine, 3000);
  CHILD_CHECK(collections() == before);
  if (to_free != inherited) batch_check(inherited, 1000);
  CHILD_CHECK(tri_add_root(&mine, sizeof mine) == TRI_OK && tri_remove_root(&mine) == TRI_OK);
}

static void live_with_threads(const batch *inherited, const batch *to_free) {
  pthread_t thread;
  atomic_store(&may_end, 0);
  CHILD_CHECK(pthread_create(&thread, NULL, churn, NULL) == 0);
  live_torn(inherited, to_free);
  pid_t grandchild = fork_child();
  if (grandchild == 0) {
    live_torn(inherited, inherited);
    _exit(0);
  }
  await_child(grandchild);
  step_reach(&may_end, 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void run_torn(void *unused) {
  pthread_t threads[ALLOCATORS + 1];
  static batch kept, dropped;
  (void)unused;
  batch_make(&kept, 1000);
  batch_make(&dropped, 2000);
  CHILD_CHECK(pthread_create(&threads[ALLOCATORS], NULL, block_signal, NULL) == 0);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, churn, NULL) == 0);
  step_await(&blocking, 1);
  for (int i = 0; i < FORKS; i++) {
    pid_t child = fork_child();
    if (child == 0) {
      (UNDER_ASAN ? live_torn : live_with_threads)(&kept, &dropped);
      _exit(0);
    }
    await_child(child);
  }
  step_reach(&may_end, 1);
  for (int i = 0; i <= ALLOCATORS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
  batch_check(&kept, 1000);
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK(collections() == before + 1);
}

static void test_heap_not_at_rest(void **state) {
  (void)state;
  child_result result = in_child(run_torn, poison);
  assert_non_null(strstr(result.text, "no collections in this process"));
}

/* ---- children fork again, whatever threads were on their way into collections ---- */

static test_step collecting; /* threads */

static void *collect_always(void *unused) {
  tri_gc();
  atomic_fetch_add(&collecting, 1);
  while (!atomic_load(&may_end)) tri_gc();
  return unused;
}

static void run_children_of_children(void *unused) {
  pthread_t threads[ALLOCATORS];
  (void)unused;
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, collect_always, NULL) == 0);
  step_await(&collecting, ALLOCATORS); /* see use_library */
  for (int i = 0; i < 10 * FORKS; i++) {
    pid_t child = fork_child();
    if (child == 0) {
      pid_t grandchild = fork_child();
      uint32_t before = collections();
      tri_gc();
      CHILD_CHECK(collections() == before + 1);
      if (grandchild) await_child(grandchild);
      _exit(0);
    }
    await_child(child);
  }
  step_reach(&may_end, 1);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_children_fork_again(void **state) {
  (void)state;
  in_child(run_children_of_children, poison);
}

/* ---- while the heap is being started ---- */

static int forker;
static int complaints[2];
static test_step starting;

static void *start_slowly(void *unused) {
  step_reach(&starting, 1);
  CHILD_CHECK(tri_alloc(16));
  return unused;
}

/* Lets the starting thread go on, when the forking one waits for it, or for a child that waits in vain. */
static void *read_complaints(void *unused) {
  char text[4096];
  await_asleep(forker);
  while (read(complaints[0], text, sizeof text) > 0) {}
  return unused;
}

static void fill(int pipe_end) {
  static const char page[4096];
  CHILD_CHECK(fcntl(pipe_end, F_SETFL, O_NONBLOCK) == 0);
  while (write(pipe_end, page, sizeof page) > 0) {}
  while (write(pipe_end, page, 1) > 0) {}
  CHILD_CHECK(errno == EAGAIN && fcntl(pipe_end, F_SETFL, 0) == 0);
}

/* The start complains of the environment, into a pipe that is full: so the thread stays in the middle of it. */
static void run_fork_in_start(void *unused) {
  pthread_t starter, reader;
  (void)unused;
  int error = dup(STDERR_FILENO);
  CHILD_CHECK(error >= 0 && pipe(complaints) == 0 && dup2(complaints[1], STDERR_FILENO) == STDERR_FILENO);
  close(complaints[1]);
  fill(STDERR_FILENO);
  forker = thread_id();
  CHILD_CHECK(pthread_create(&starter, NULL, start_slowly, NULL) == 0);
  step_await(&starting, 1);
  CHILD_CHECK(pthread_create(&reader, NULL, read_complaints, NULL) == 0);
  pid_t child = fork_child();
  if (child == 0) {
    uint32_t before = collections();
    dup2(error, STDERR_FILENO);
    CHILD_CHECK(tri_alloc(16));
    tri_gc();
    CHILD_CHECK(collections() == before + 1);
    _exit(0);
  }
  await_child(child);
  CHILD_CHECK(dup2(error, STDERR_FILENO) == STDERR_FILENO); /* the last writing end is gone */
  CHILD_CHECK(pthread_join(starter, NULL) == 0 && pthread_join(reader, NULL) == 0);
}

static void test_fork_while_the_heap_starts(void **state) {
  (void)state;
  in_child(run_fork_in_start, (const char *const[]){"TRICOLOR_DEBUG=nonsense", NULL});
}

/* ---- the program's handlers use the library, and start it, in the middle of a fork ---- */

/* Of a handler. */
typedef struct work {
  void *volatile made;
  pthread_t thread;
  bool has_thread;
} work;

static bool handlers_work;
static work in_prepare, in_parent, in_child_of;

static void *alloc_once(void *unused) {
  CHILD_CHECK(tri_alloc(16));
  return unused;
}

/* AddressSanitizer allocates for a thread that begins or ends, and what a fork finds locked of it stays so in the
 * child: under it no thread is started before a fork, and all have ended before the next one. */
static void use_library(work *own) {
  if (!handlers_work) return;
  own->made = tri_alloc(100);
  CHILD_CHECK(own->made);
  own->has_thread = !UNDER_ASAN || own != &in_prepare;
  if (own->has_thread) CHILD_CHECK(pthread_create(&own->thread, NULL, alloc_once, NULL) == 0);
  (void)tri_set_gc_percent(100);
  (void)collections();
  tri_gc(); /* makes none here */
}

static void on_prepare(void) { use_library(&in_prepare); }
static void on_parent(void) { use_library(&in_parent); }
static void on_child(void) { use_library(&in_child_of); }

/* Before the library's own in a static link, so that they run within what it does about a fork. */
__attribute__((constructor(101))) static void register_handlers(void) {
  (void)pthread_atfork(on_prepare, on_parent, on_child);
}

static void fork_with_handlers(void) {
  pid_t child = fork_child();
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK(collections() == before + 1);
  work *last = child ? &in_parent : &in_child_of;
  CHILD_CHECK(tri_size_of(in_prepare.made) >= 100 && tri_size_of(last->made) >= 100);
  CHILD_CHECK(pthread_join(last->thread, NULL) == 0);
  if (child == 0) _exit(0);
  if (in_prepare.has_thread) CHILD_CHECK(pthread_join(in_prepare.thread, NULL) == 0);
  await_child(child);
}

static void run_handlers_in_forks(void *unused) {
  (void)unused;
  handlers_work = true;
  fork_with_handlers();
  fork_with_handlers();
}

static void test_handlers_in_forks(void **state) {
  (void)state;
  in_child(run_handlers_in_forks, poison);
}

/* ---- in signal handlers ---- */

static volatile int forks_made;

static void fork_in_handler(int signal_) {
  (void)signal_;
  pid_t child = fork();
  if (child == 0) _exit(0);
  int status;
  while (waitpid(child, &status, 0) == -1) CHILD_CHECK(errno == EINTR);
  CHILD_CHECK(status == 0);
  forks_made++;
}

static void *send_signals(void *target) {
  for (int i = 0; i < 20 * FORKS; i++) {
    CHILD_CHECK(pthread_kill(*(pthread_t *)target, SIGUSR1) == 0);
    while (forks_made <= i) sched_yield();
  }
  step_reach(&may_end, 1);
  return NULL;
}

/* Where malloc is called: the C library's fork waits for ever for a malloc that its own thread has interrupted. */
static sigset_t block_forks(void) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHILD_CHECK(pthread_sigmask(SIG_BLOCK, &set, &before) == 0);
  return before;
}

static void start_and_join(void) {
  pthread_t thread;
  sigset_t before = block_forks();
  CHILD_CHECK(pthread_create(&thread, NULL, alloc_once, NULL) == 0 && pthread_join(thread, NULL) == 0);
  CHILD_CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

/* Wherever else the library's own code is interrupted. */
static void run_forks_in_handlers(void *unused) {
  pthread_t self = pthread_self(), others[2];
  (void)unused;
  sigset_t before = block_forks();
  signal(SIGUSR1, fork_in_handler);
  CHILD_CHECK(pthread_create(&others[0], NULL, collect_always, NULL) == 0);
  CHILD_CHECK(pthread_create(&others[1], NULL, send_signals, &self) == 0);
  CHILD_CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
  while (!atomic_load(&may_end)) {
    batch made;
    tri_gc();
    batch_make(&made, 1);
    start_and_join();
    (void)collections();
    batch_check(&made, 1);
  }
  for (int i = 0; i < 2; i++) CHILD_CHECK(pthread_join(others[i], NULL) == 0);
}

static void test_handlers_that_fork(void **state) {
  (void)state;
  in_child(run_forks_in_handlers, poison);
}

/* ---- while another thread loads a library ---- */

static void *load(void *unused) {
  CHILD_CHECK(dlopen(TEST_LIB_DIR "/lib_constructor.so", RTLD_NOW));
  return unused;
}

/* The library's constructor waits, with the loader's lock held, until the heap was started and has collected; and then
 * for the library, to start a thread. */
static void run_load(void *unused) {
  int said[2], heard[2];
  char pipes[64], byte = 0;
  pthread_t thread;
  (void)unused;
  CHILD_CHECK(pipe(said) == 0 && pipe(heard) == 0);
  snprintf(pipes, sizeof pipes, "%d %d", said[1], heard[0]);
  CHILD_CHECK(setenv("TEST_CONSTRUCTOR_PIPES", pipes, 1) == 0);
  CHILD_CHECK(pthread_create(&thread, NULL, load, NULL) == 0);
  CHILD_CHECK(read(said[0], &byte, 1) == 1);
  CHILD_CHECK(tri_alloc(16));
  tri_gc();
  CHILD_CHECK(collections() == 1);
  CHILD_CHECK(write(heard[1], &byte, 1) == 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_start_while_a_library_is_loaded(void **state) {
  (void)state;
  in_child(run_load, poison);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fork_while_the_heap_starts), cmocka_unit_test(test_handlers_in_forks),
      cmocka_unit_test(test_heap_not_at_rest),           cmocka_unit_test(test_children_fork_again),
      cmocka_unit_test(test_handlers_that_fork),         cmocka_unit_test(test_start_while_a_library_is_loaded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
