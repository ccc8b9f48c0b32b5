/* crew.c - a queue of job ranges behind one lock.
 *
 * A posted range stays at the head of the queue until its last number is taken; threads take one number at a time. Each
 * job's use of memory is added to its group's, which is what makes the figures the same whatever thread ran it.
 */
#include "crew.h"

#include <stdatomic.h>
#include <stdio.h>

typedef struct job_range {
  struct job_range *next;
  crew_function *function;
  void *context;
  crew_group *group;
  uint32_t taken, count;
} job_range;
TRI_TYPE(job_range, next, context, group);

static struct {
  pthread_mutex_t lock;
  pthread_cond_t work; /* a range was queued, or the end has come */
  pthread_cond_t done; /* a group has no pending jobs left */
  job_range *head, *tail;
  pthread_t *threads;
  uint32_t thread_count;
  bool ending;
} crew = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static _Atomic uint64_t finished_bytes;

/* Takes one job; the lock is held. False when the queue is empty. */
static bool take(job_range *job, uint32_t *number) {
  job_range *range = crew.head;
  if (range == NULL) return false;
  *job = *range;
  *number = range->taken++;
  if (range->taken == range->count) {
    crew.head = range->next;
    if (crew.head == NULL) crew.tail = NULL;
    memory_give(range);
  }
  return true;
}

static void run(const job_range *job, uint32_t number) {
  memory_use before = memory_used;
  job->function(job->context, number);
  uint64_t bytes = memory_used.bytes - before.bytes;
  /* Relaxed: only shown. */
  atomic_fetch_add_explicit(&finished_bytes, bytes, memory_order_relaxed);
  pthread_mutex_lock(&crew.lock);
  job->group->use.bytes += bytes;
  job->group->use.objects += memory_used.objects - before.objects;
  if (--job->group->pending == 0) pthread_cond_broadcast(&crew.done);
}

static void *serve(void *unused) {
  (void)unused;
  pthread_mutex_lock(&crew.lock);
  for (;;) {
    job_range job;
    uint32_t number;
    if (take(&job, &number)) {
      pthread_mutex_unlock(&crew.lock);
      run(&job, number); /* comes back with the lock held */
    } else if (crew.ending) {
      break;
    } else {
      pthread_cond_wait(&crew.work, &crew.lock);
    }
  }
  pthread_mutex_unlock(&crew.lock);
  return NULL;
}

void crew_start(uint32_t threads) {
  crew.threads = memory_array(pthread_t, threads);
  crew.thread_count = threads;
  for (uint32_t i = 0; i < threads; i++) {
    int error = pthread_create(&crew.threads[i], NULL, serve, NULL);
    if (error != 0) {
      fprintf(stderr, "textindex: pthread_create: %s\n", strerror(error));
      exit(3);
    }
  }
}

void crew_post(crew_group *group, crew_function *function, void *context, uint32_t count) {
  if (count == 0) return;
  job_range *range = memory_new(job_range);
  *range = (job_range){.function = function, .context = context, .group = group, .count = count};
  pthread_mutex_lock(&crew.lock);
  group->pending += count;
  if (crew.tail != NULL) {
    crew.tail->next = range;
  } else {
    crew.head = range;
  }
  crew.tail = range;
  pthread_cond_broadcast(&crew.work);
  pthread_mutex_unlock(&crew.lock);
}

void crew_wait(crew_group *group) {
  pthread_mutex_lock(&crew.lock);
  while (group->pending != 0) pthread_cond_wait(&crew.done, &crew.lock);
  pthread_mutex_unlock(&crew.lock);
}

void crew_stop(void) {
  pthread_mutex_lock(&crew.lock);
  crew.ending = true;
  pthread_cond_broadcast(&crew.work);
  pthread_mutex_unlock(&crew.lock);
  for (uint32_t i = 0; i < crew.thread_count; i++) pthread_join(crew.threads[i], NULL);
  memory_give(crew.threads);
}

uint64_t crew_bytes(void) { return atomic_load_explicit(&finished_bytes, memory_order_relaxed); /* only shown */ }
