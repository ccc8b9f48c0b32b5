/* test_stress_alloc.c - threads that allocate, link, exchange, free each other's objects and come and go, while another
 * thread collects without pause. Every object carries what is needed to recognise damage; the work is bounded, not the
 * time. Each setting runs in a child of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <tricolor.h>

#include "child.h"
#include "random.h"

enum { WORKERS = 4, GENERATIONS = 5, BOXES = 48, LONGEST_CHAIN = 30, TAG = 0x5aa5 };

/* Owned by whoever took it out of its box, with all that hangs on it. */
typedef struct message {
  struct message *next;
  unsigned char *payload; /* pointer-free */
  uint64_t check;         /* over seed and length */
  uint32_t seed, length, depth, tag;
} message;
TRI_TYPE(message, next, payload);

static _Atomic(message *) boxes[BOXES]; /* acq_rel exchanges hand messages over */
static _Atomic(int) workers_left;
static uint64_t first_seed;
static int steps;

static uint64_t check_of(const message *m) { return random_mix((uint64_t)m->seed << 32 | m->length); }

static void fill(message *m) {
  for (uint32_t i = 0; i < m->length; i++) m->payload[i] = (unsigned char)(m->seed + i * 7);
}

static void verify(const message *m) {
  if (m->tag != TAG || m->check != check_of(m)) child_fail("message %p is damaged: tag %x", (const void *)m, m->tag);
  for (uint32_t i = 0; i < m->length; i++)
    if (m->payload[i] != (unsigned char)(m->seed + i * 7))
      child_fail("byte %u of %u of the payload of message %p is %#x", i, m->length, (const void *)m, m->payload[i]);
}

static size_t pick_length(test_random *random) {
  size_t kind = random_below(random, 100);
  if (kind < 70) return random_below(random, 200);
  if (kind < 95) return random_below(random, 5000);
  return random_below(random, 100000);
}

static message *make_message(test_random *random, message *next) {
  /* The same struct from three kinds of span: typed, conservative, aligned. */
  size_t kind = random_below(random, 3);
  message *m = kind == 0   ? tri_new(message)
               : kind == 1 ? tri_alloc(sizeof *m + random_below(random, 400))
                           : tri_alloc_aligned(64, sizeof *m);
  if (!m) child_fail("no memory for a message");
  if (m->next || m->payload || m->check || m->length || m->tag) child_fail("a new message is not zero");
  m->length = (uint32_t)pick_length(random);
  m->payload = random_below(random, 4) ? tri_alloc_noscan(m->length) : tri_alloc_uninit(m->length);
  if (!m->payload) child_fail("no memory for a payload");
  m->seed = (uint32_t)random_next(random);
  m->tag = TAG;
  m->check = check_of(m);
  fill(m);
  if (next && next->depth < LONGEST_CHAIN) {
    m->next = next;
    m->depth = next->depth + 1;
  }
  return m;
}

static message *take(test_random *random) {
  return atomic_exchange_explicit(&boxes[random_below(random, BOXES)], NULL, memory_order_acq_rel);
}

static void put(test_random *random, message *m) {
  (void)atomic_exchange_explicit(&boxes[random_below(random, BOXES)], m, memory_order_acq_rel);
}

/* Frees some of the chain, most of it made by other threads, and leaves the rest to the collector. */
static void dispose(test_random *random, message *m) {
  while (m) {
    message *next = m->next;
    verify(m);
    size_t fate = random_below(random, 4);
    if (fate & 1) tri_free(m->payload);
    if (fate & 2) tri_free(m);
    m = next;
  }
}

static void grow(test_random *random, message *m) {
  verify(m);
  uint32_t length = (uint32_t)pick_length(random), kept = length < m->length ? length : m->length;
  m->payload = tri_realloc(m->payload, length);
  if (!m->payload) child_fail("no memory to grow a payload");
  for (uint32_t i = 0; i < kept; i++)
    if (m->payload[i] != (unsigned char)(m->seed + i * 7)) child_fail("realloc lost byte %u of %u", i, kept);
  m->length = length;
  m->check = check_of(m);
  fill(m);
}

static void litter(test_random *random) {
  for (size_t i = random_below(random, 40); i; i--) {
    size_t size = pick_length(random) / 4;
    unsigned char *bytes = i & 1 ? tri_alloc(size) : tri_alloc_noscan(size);
    if (!bytes) child_fail("no memory for %zu bytes", size);
    for (size_t at = 0; at < size; at++)
      if (bytes[at]) child_fail("byte %zu of %zu new ones is %#x", at, size, bytes[at]);
    memset(bytes, 0xff, size);
  }
}

static void step(test_random *random) {
  message *m;
  switch (random_below(random, 8)) {
  case 0:
  case 1:
  case 2:
  case 3: put(random, make_message(random, take(random))); break;
  case 4:
  case 5: dispose(random, take(random)); break;
  case 6:
    if ((m = take(random))) {
      grow(random, m);
      put(random, m);
    }
    break;
  default: litter(random);
  }
}

static void *work(void *argument) {
  test_random random = {first_seed * 1000 + (uint64_t)(uintptr_t)argument};
  for (int i = 0; i < steps; i++) step(&random);
  return NULL;
}

/* One worker after another in the same place: threads end and begin while others are stopped. */
static void *run_generations(void *argument) {
  for (uintptr_t generation = 0; generation < GENERATIONS; generation++) {
    pthread_t worker;
    uintptr_t number = (uintptr_t)argument * GENERATIONS + generation;
    if (pthread_create(&worker, NULL, work, (void *)number) != 0) child_fail("no thread"); /* NOLINT: a number */
    pthread_join(worker, NULL);
  }
  atomic_fetch_sub_explicit(&workers_left, 1, memory_order_release);
  return NULL;
}

/* Everything is dropped: what is left are the objects that stale words hold. */
static void check_what_is_left(void) {
  tri_memstats stats;
  for (int i = 0; i < BOXES; i++) atomic_store_explicit(&boxes[i], NULL, memory_order_relaxed);
  for (int i = 0; i < 3; i++) tri_gc();
  tri_read_memstats(&stats);
  if (stats.HeapObjects > 4000 || stats.HeapAlloc > 20000000)
    child_fail("%llu objects, %llu bytes are left", (unsigned long long)stats.HeapObjects,
               (unsigned long long)stats.HeapAlloc);
}

static void stress(void *argument) {
  pthread_t threads[WORKERS];
  tri_memstats stats;
  (void)argument;
  atomic_store_explicit(&workers_left, WORKERS, memory_order_relaxed);
  for (uintptr_t i = 0; i < WORKERS; i++)
    CHILD_CHECK(pthread_create(&threads[i], NULL, run_generations, (void *)i) == 0); /* NOLINT: a number */
  while (atomic_load_explicit(&workers_left, memory_order_acquire)) {
    tri_gc();
    tri_read_memstats(&stats);
  }
  for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  check_what_is_left();
}

static void run(const char *debug, int count) {
  const char *environment[] = {debug, "TRICOLOR_GC_THREADS=3", NULL};
  steps = count;
  child_result result = child_run(stress, NULL, environment);
  assert_true(child_succeeded(&result));
}

static void test_stress(void **state) {
  (void)state;
  run("TRICOLOR_DEBUG=", 40000);
}

static void test_stress_checked(void **state) {
  (void)state;
  run("TRICOLOR_DEBUG=check=1,poison=1", 6000);
}

static void test_stress_one_work_buffer(void **state) {
  (void)state;
  run("TRICOLOR_DEBUG=check=1,workbufs=1", 5000);
}

static void test_stress_collecting_every_20(void **state) {
  (void)state;
  run("TRICOLOR_DEBUG=check=1,poison=1,gcevery=20", 300);
}

int main(void) {
  first_seed = random_seed(1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stress),
      cmocka_unit_test(test_stress_checked),
      cmocka_unit_test(test_stress_one_work_buffer),
      cmocka_unit_test(test_stress_collecting_every_20),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
