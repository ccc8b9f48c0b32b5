/* threads.c - latency beside many threads that sleep in calls which block, with something of their own in hand.
 *
 *     bench-threads-PEER [THREADS OPERATIONS]      (100 and 5,000,000)
 *
 * All threads but two make a list of 1,000 nodes, which only a local variable leads to, and fall asleep: one half in
 * poll, the other in pthread_cond_wait. When all of them have their lists, the other two divide the operations; each
 * makes one node of garbage. Then the sleepers are woken, and each walks its list. The Go twin has goroutines for
 * threads; they wait for a pipe and for a channel, and hold no thread of the system while they do. */
#include <poll.h>

#include "latency.h"
#include "node.h"

enum { CHURNERS = 2, LIST = 1000, THREADS_MAX = 20000 };

typedef struct sleeper {
  pthread_t thread;
  uint64_t number;
  uint64_t intact; /* result */
} sleeper;

typedef struct churner {
  pthread_t thread;
  size_t operations;
  uint64_t start_ns;
  bench_latency *latency;
  uint64_t intact; /* result */
} churner;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  size_t ready; /* sleepers that have their lists */
  bool woken;
  int pipe[2]; /* closed at its writing end to wake those in poll */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static BENCH_NOINLINE node *list_make(uint64_t number) {
  node *list = NULL;
  for (uint64_t i = 0; i < LIST; i++) {
    node *n = node_make(number * LIST + i);
    n->edge[0] = list;
    list = n;
  }
  return list;
}

/* How many nodes of the list are those that were made, up to the first that is not; drops them. */
static uint64_t list_end(node *list, uint64_t number) {
  uint64_t intact = 0;
  while (list != NULL && node_intact(list) && list->word[0] == number * LIST + LIST - 1 - intact) {
    node *next = list->edge[0];
    bench_drop(list);
    list = next;
    intact++;
  }
  return intact;
}

static void sleep_in_poll(void) {
  struct pollfd wait = {.fd = state.pipe[0], .events = POLLIN};
  while (poll(&wait, 1, -1) < 0 && errno == EINTR) {}
}

static void sleep_in_cond_wait(void) {
  pthread_mutex_lock(&state.lock);
  while (!state.woken) pthread_cond_wait(&state.changed, &state.lock);
  pthread_mutex_unlock(&state.lock);
}

static void *sleeper_run(void *argument) {
  sleeper *s = argument;
  node *volatile list = list_make(s->number);
  pthread_mutex_lock(&state.lock);
  state.ready++;
  pthread_cond_broadcast(&state.changed);
  pthread_mutex_unlock(&state.lock);
  if (s->number % 2 == 0)
    sleep_in_poll();
  else
    sleep_in_cond_wait();
  s->intact = list_end(list, s->number);
  return NULL;
}

static void *churner_run(void *argument) {
  churner *c = argument;
  garbage g = garbage_begin();
  bench_latency_begin(c->latency, c->start_ns);
  for (size_t i = 0; i < c->operations; i++) {
    garbage_make(&g);
    bench_latency_end(c->latency);
  }
  c->intact = garbage_end(&g);
  return NULL;
}

static void sleepers_start(sleeper *sleepers, size_t count) {
  if (pipe(state.pipe) != 0) {
    fprintf(stderr, "pipe: %s\n", strerror(errno));
    exit(1);
  }
  for (size_t i = 0; i < count; i++) {
    sleepers[i].number = i;
    bench_thread_start(&sleepers[i].thread, sleeper_run, &sleepers[i]);
  }
  pthread_mutex_lock(&state.lock);
  while (state.ready < count) pthread_cond_wait(&state.changed, &state.lock);
  pthread_mutex_unlock(&state.lock);
}

/* Wakes all; returns how many nodes of theirs are intact. */
static uint64_t sleepers_end(sleeper *sleepers, size_t count) {
  uint64_t intact = 0;
  pthread_mutex_lock(&state.lock);
  state.woken = true;
  pthread_cond_broadcast(&state.changed);
  pthread_mutex_unlock(&state.lock);
  (void)close(state.pipe[1]);
  for (size_t i = 0; i < count; i++) {
    bench_thread_join(sleepers[i].thread);
    intact += sleepers[i].intact;
  }
  return intact;
}

int main(int argc, char **argv) {
  size_t threads = (size_t)bench_arg(argc, argv, 1, 100);
  size_t operations = (size_t)bench_arg(argc, argv, 2, 5000000);
  if (threads <= CHURNERS || threads > THREADS_MAX) {
    fprintf(stderr, "%s: %zu threads are not 3 to %d\n", argv[0], threads, THREADS_MAX);
    return 2;
  }
  size_t asleep = threads - CHURNERS;
  bench_start();
  sleeper *sleepers = bench_map(asleep * sizeof(sleeper), true);
  sleepers_start(sleepers, asleep);

  churner churners[CHURNERS];
  uint64_t start = bench_now_ns();
  for (int i = 0; i < CHURNERS; i++) {
    churners[i] = (churner){.operations = operations / CHURNERS, .start_ns = start, .latency = bench_latency_make()};
    bench_thread_start(&churners[i].thread, churner_run, &churners[i]);
  }
  for (int i = 0; i < CHURNERS; i++) bench_thread_join(churners[i].thread);
  double wall_ms = bench_ms_since(start);
  bench_measured();

  bench_latency_add(churners[0].latency, churners[1].latency);
  uint64_t intact = sleepers_end(sleepers, asleep);
  if (intact != asleep * LIST) nodes_lost("threads", asleep * LIST - intact);
  bench_report("threads", "wall_ms=%.3f %s check=%" PRIu64, wall_ms, bench_latency_text(churners[0].latency),
               intact + churners[0].intact + churners[1].intact);
  return 0;
}
