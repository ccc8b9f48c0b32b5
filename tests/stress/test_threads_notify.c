/* test_threads_notify.c - threads that the system starts for timers and message queues (SIGEV_THREAD): they are threads
 * of the program like others, what they are given is kept, and collections go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "child.h"
#include "steps.h"

enum { TIMERS = 40, FEW = 4, ROUNDS = 20, NODES = 5, STACK_SIZE = 64 << 20 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", NULL};

static void in_child(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
}

/* Notified threads may collect at the same time. */
static void check_collection(void) {
  uint32_t before = collections();
  tri_gc();
  CHILD_CHECK(collections() > before);
}

/* ---- what the threads do ---- */

typedef struct node {
  struct node *next;
  uint64_t number, check;
} node;

static _Atomic(uint32_t) notified;

static node *list_new(void) {
  node *list = NULL;
  for (uint64_t i = 0; i < NODES; i++) {
    node *new = tri_alloc(sizeof *new);
    CHILD_CHECK(new);
    *new = (node){.next = list, .number = i, .check = ~i};
    list = new;
  }
  return list;
}

static void list_check(const node *list) {
  int length = 0;
  for (; list; list = list->next, length++) CHILD_CHECK(list->check == ~list->number);
  CHILD_CHECK(length == NODES);
}

static void be_notified(union sigval value) {
  sigset_t mask;
  CHILD_CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGUSR1));
  list_check(value.sival_ptr);
  node *own = list_new();
  tri_gc();
  list_check(own);
  atomic_fetch_add(&notified, 1);
}

static void await_notified(uint32_t count) {
  while (atomic_load(&notified) < count) sched_yield();
}

static struct sigevent event_for(void (*run)(union sigval), void *value) {
  return (struct sigevent){
      .sigev_notify = SIGEV_THREAD, .sigev_notify_function = run, .sigev_value = {.sival_ptr = value}};
}

/* ---- timers ---- */

static void arm(timer_t timer) {
  struct itimerspec time = {.it_value = {.tv_nsec = 1}};
  CHILD_CHECK(timer_settime(timer, 0, &time, NULL) == 0);
}

static __attribute__((noinline)) timer_t timer_with_list(void) {
  timer_t timer;
  struct sigevent event = event_for(be_notified, list_new());
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  return timer;
}

static void run_timer(void *unused) {
  (void)unused;
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  timer_t timer = timer_with_list();
  collect();
  check_collection();
  for (uint32_t i = 1; i <= ROUNDS; i++) {
    arm(timer);
    check_collection();
    await_notified(i);
  }
  CHILD_CHECK(timer_delete(timer) == 0);
  CHILD_CHECK(timer_delete(timer) == -1 && errno == EINVAL);
  check_collection();
}

static void test_a_timer_starts_threads(void **state) {
  (void)state;
  in_child(run_timer, NULL);
}

/* Nothing of the library's is there yet when the timer is made. */
static void ignore(union sigval value) {
  CHILD_CHECK(value.sival_int == 17);
  atomic_fetch_add(&notified, 1);
}

static void run_early_timer(void *unused) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = ignore, .sigev_value.sival_int = 17};
  (void)unused;
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  arm(timer);
  await_notified(1);
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  check_collection();
  arm(timer);
  await_notified(2);
  check_collection();
}

static void test_a_timer_from_before_the_heap(void **state) {
  (void)state;
  in_child(run_early_timer, NULL);
}

/* The value lasts as long as the timer, and no longer. */
static __attribute__((noinline)) hidden timer_with_object(timer_t *timer) {
  void *volatile home;
  hidden object = hidden_new(&home);
  struct sigevent event = event_for(be_notified, home);
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &event, timer) == 0);
  home = NULL;
  return object;
}

static int living(const hidden *objects) {
  int count = 0;
  for (int i = 0; i < TIMERS; i++) count += hidden_lives(objects[i]);
  return count;
}

static void run_values(void *unused) {
  timer_t timers[TIMERS];
  hidden objects[TIMERS];
  (void)unused;
  for (int i = 0; i < TIMERS; i++) objects[i] = timer_with_object(&timers[i]);
  collect();
  collect();
  CHILD_CHECK(living(objects) == TIMERS);
  for (int i = 0; i < TIMERS; i++) CHILD_CHECK(timer_delete(timers[i]) == 0);
  collect();
  collect();
  if (living(objects) > FEW) child_fail("%d values are kept for nobody", living(objects));
}

static void test_values_last_as_long_as_their_timers(void **state) {
  (void)state;
  in_child(run_values, NULL);
}

static void check_attributes(union sigval value) {
  pthread_attr_t attributes;
  size_t size = 0;
  CHILD_CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHILD_CHECK(pthread_attr_getstacksize(&attributes, &size) == 0 && size >= STACK_SIZE);
  CHILD_CHECK(pthread_attr_destroy(&attributes) == 0);
  be_notified(value);
}

static void run_attributes(void *unused) {
  timer_t timer;
  pthread_attr_t attributes;
  (void)unused;
  CHILD_CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0);
  struct sigevent event = event_for(check_attributes, list_new());
  event.sigev_notify_attributes = &attributes;
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  CHILD_CHECK(pthread_attr_destroy(&attributes) == 0);
  arm(timer);
  await_notified(1);
}

static void test_the_threads_have_the_attributes_asked_for(void **state) {
  (void)state;
  in_child(run_attributes, NULL);
}

/* A fork's child has neither timers nor the thread that looks after them. */
static void run_fork(void *unused) {
  int status;
  run_timer(unused);
  pid_t child = fork();
  CHILD_CHECK(child >= 0);
  if (child == 0) {
    atomic_store(&notified, 0);
    run_timer(unused);
    _exit(0);
  }
  CHILD_CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void test_a_timer_in_the_child_of_a_fork(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* it starts no threads in such a child */
  in_child(run_fork, NULL);
}

/* Other timers are the C library's. */
static void run_signal_timer(void *unused) {
  timer_t timer;
  sigset_t set;
  int got;
  (void)unused;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  CHILD_CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0);
  arm(timer);
  CHILD_CHECK(sigwait(&set, &got) == 0 && got == SIGALRM);
  CHILD_CHECK(timer_delete(timer) == 0);
}

static void test_a_timer_that_sends_a_signal(void **state) {
  (void)state;
  in_child(run_signal_timer, NULL);
}

/* ---- message queues ---- */

static __attribute__((noinline)) void ask(mqd_t queue) {
  struct sigevent event = event_for(be_notified, list_new());
  CHILD_CHECK(mq_notify(queue, &event) == 0);
}

static void run_queue(void *unused) {
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
  char name[NAME_MAX], byte;
  (void)unused;
  snprintf(name, sizeof name, "/tricolor-test-%d", (int)getpid());
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  CHILD_CHECK(queue != (mqd_t)-1 && mq_unlink(name) == 0);
  for (uint32_t i = 1; i <= ROUNDS; i++) {
    ask(queue);
    collect();
    check_collection();
    struct sigevent second = event_for(be_notified, NULL);
    CHILD_CHECK(mq_notify(queue, &second) == -1 && errno == EBUSY);
    CHILD_CHECK(mq_send(queue, "x", 1, 0) == 0);
    await_notified(i);
    CHILD_CHECK(mq_receive(queue, &byte, 1, NULL) == 1);
  }
  ask(queue);
  CHILD_CHECK(mq_notify(queue, NULL) == 0); /* taken back */
  CHILD_CHECK(mq_close(queue) == 0);
  check_collection();
  CHILD_CHECK(atomic_load(&notified) == ROUNDS);
}

static void test_a_message_queue_starts_threads(void **state) {
  (void)state;
  in_child(run_queue, NULL);
}

/* ---- a timer, the first, made while another thread loads a library ---- */

/* Who loads has a lock that starting a thread takes, and waits for the one of who visits the modules, and collects. */
enum { READY = 1, GO };
static test_step loader, maker;
static _Atomic(int) loader_id, maker_id;

static void wait_for_turn(test_step *step, _Atomic(int) *id) {
  atomic_store(id, thread_id());
  step_reach(step, READY);
  step_await(step, GO);
}

static void *load(void *unused) {
  wait_for_turn(&loader, &loader_id);
  CHILD_CHECK(dlopen(TEST_LIB_DIR "/lib_tls_small.so", RTLD_NOW));
  return unused;
}

static void *make_timer(void *unused) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = ignore, .sigev_value.sival_int = 17};
  wait_for_turn(&maker, &maker_id);
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  arm(timer);
  await_notified(1);
  return unused;
}

static int visit(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)info, (void)size, (void)unused;
  step_reach(&loader, GO);
  await_asleep(atomic_load(&loader_id));
  step_reach(&maker, GO);
  while (!is_asleep(atomic_load(&maker_id)) && !atomic_load(&notified)) sched_yield();
  check_collection();
  return 1;
}

static void run_visit(void *unused) {
  pthread_t loads, makes;
  (void)unused;
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  check_collection();
  CHILD_CHECK(pthread_create(&loads, NULL, load, NULL) == 0 && pthread_create(&makes, NULL, make_timer, NULL) == 0);
  step_await(&loader, READY);
  step_await(&maker, READY);
  CHILD_CHECK(dl_iterate_phdr(visit, NULL) == 1);
  CHILD_CHECK(pthread_join(loads, NULL) == 0 && pthread_join(makes, NULL) == 0);
}

static void test_a_timer_made_while_a_library_is_loaded(void **state) {
  (void)state;
  in_child(run_visit, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_timer_starts_threads),
      cmocka_unit_test(test_a_timer_from_before_the_heap),
      cmocka_unit_test(test_values_last_as_long_as_their_timers),
      cmocka_unit_test(test_the_threads_have_the_attributes_asked_for),
      cmocka_unit_test(test_a_timer_in_the_child_of_a_fork),
      cmocka_unit_test(test_a_timer_that_sends_a_signal),
      cmocka_unit_test(test_a_message_queue_starts_threads),
      cmocka_unit_test(test_a_timer_made_while_a_library_is_loaded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
