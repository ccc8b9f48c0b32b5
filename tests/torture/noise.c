/* noise.c - see noise.h. */
#include "noise.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "report.h"
#include "trips.h"

enum { MAPPINGS = 32, LARGEST = 1 << 20, PAGE = 4096 };

typedef struct mapping {
  unsigned char *at;
  size_t size;
} mapping;

static void toggle(mapping *m, test_random *random) {
  if (m->at) {
    if (munmap(m->at, m->size) != 0) report_call("munmap", (long)m->size);
    m->at = NULL;
    return;
  }
  m->size = PAGE + random_below(random, LARGEST) / PAGE * PAGE;
  m->at = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m->at == MAP_FAILED) report_call("mmap", (long)m->size);
  memset(m->at, 1, m->size);
}

/* Splits, merges, moves, empties. */
static void change(mapping *m, test_random *random) {
  void *moved;
  if (!m->at) return;
  switch (random_below(random, 3)) {
  case 0:
    if (mprotect(m->at, PAGE, PROT_READ) != 0 || mprotect(m->at, PAGE, PROT_READ | PROT_WRITE) != 0)
      report_call("mprotect", PAGE);
    return;
  case 1:
    if (madvise(m->at, m->size, MADV_DONTNEED) != 0) report_call("madvise", (long)m->size);
    return;
  default:
    moved = mremap(m->at, m->size, m->size + PAGE, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) report_call("mremap", (long)m->size);
    m->at = moved;
    m->size += PAGE;
  }
}

static void *run_noise(void *argument) {
  noise *n = argument;
  mapping mappings[MAPPINGS] = {{NULL, 0}};
  test_random random = {.state = torture.seed};
  while (!atomic_load_explicit(&n->is_over, memory_order_relaxed)) {
    struct timespec time = {0, (long)random_below(&random, 500000)};
    mapping *m = &mappings[random_below(&random, MAPPINGS)];
    if (random_below(&random, 2))
      toggle(m, &random);
    else
      change(m, &random);
    trip_disturb(&n->actors[random_below(&random, torture.threads)]);
    (void)nanosleep(&time, NULL);
  }
  for (int i = 0; i < MAPPINGS; i++)
    if (mappings[i].at) munmap(mappings[i].at, mappings[i].size);
  return NULL;
}

void noise_start(noise *n, actor *actors) {
  n->actors = actors;
  atomic_store_explicit(&n->is_over, false, memory_order_relaxed); /* the thread's start comes after */
  int error = pthread_create(&n->thread, NULL, run_noise, n);
  if (error) report_text("pthread_create: error %d", error);
}

void noise_end(noise *n) {
  atomic_store_explicit(&n->is_over, true, memory_order_relaxed); /* a wish; the join orders the rest */
  int error = pthread_join(n->thread, NULL);
  if (error) report_text("pthread_join: error %d", error);
}
