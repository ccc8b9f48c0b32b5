/* test_retention.c - what moves through the heap does not pile up in it: a linked queue that ten million objects pass
 * through, and cyclic structures that are dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <tricolor.h>

#include "steps.h"

enum { PASSED = 10000000, QUEUED = 1000, RINGS = 2000, RING_LENGTH = 500 };

typedef struct node {
  struct node *next;
  struct node *other;
  long number;
} node;
TRI_TYPE(node, next, other);

static uint64_t heap_in_use(void) {
  tri_memstats stats;
  tri_read_memstats(&stats);
  return stats.HeapInuse;
}

/* Wilson, "Uniprocessor garbage collection techniques", and Boehm, "Bounding space usage of conservative garbage
 * collectors", 2002: one stale pointer to a queue's old head holds everything that ever passed after it. The queue
 * unlinks what leaves it, as is advised there, so a stale pointer holds one object. */
static void run_queue(void *(*make)(size_t), uint64_t *peak) {
  node *head = make(sizeof *head), *last = head;
  for (long i = 0; i < PASSED; i++) {
    node *new = make(sizeof *new);
    new->number = i;
    last->next = new;
    last = new;
    if (i < QUEUED) continue;
    node *old = head;
    head = old->next;
    old->next = NULL;
    if (i % 100000 == 0 && heap_in_use() > *peak) *peak = heap_in_use();
  }
  assert_int_equal(head->next->number, PASSED - QUEUED);
}

static void test_queue(void **state) {
  (void)state;
  uint64_t peak = 0;
  run_queue(tri_alloc, &peak);
  assert_true(peak > 0 && peak < 24 << 20);
}

/* The queue that nobody takes such care of: what left it still leads to all that came after, and one stale pointer that
 * lasts would show. */
static struct { node *head, *last; } plain;

__attribute__((noinline)) static void enter(void *(*make)(size_t), long number) {
  node *new = make(sizeof *new);
  new->number = number;
  plain.last->next = new;
  plain.last = new;
}

static void run_plain_queue(void *(*make)(size_t)) {
  uint64_t peak = 0;
  if (UNDER_ASAN || UNDER_TSAN) skip(); /* their frames and data keep old words */
  plain.head = plain.last = make(sizeof *plain.head);
  for (long i = 0; i < PASSED; i++) {
    enter(make, i);
    if (i < QUEUED) continue;
    plain.head = plain.head->next;
    if (i % 100000 == 0 && heap_in_use() > peak) peak = heap_in_use();
  }
  assert_int_equal(plain.head->next->number, PASSED - QUEUED);
  assert_true(peak > 0 && peak < 24 << 20);
}

static void test_plain_queue(void **state) {
  (void)state;
  run_plain_queue(tri_alloc);
}

static void *make_typed(size_t size) {
  (void)size;
  return tri_new(node);
}

static void test_plain_queue_typed(void **state) {
  (void)state;
  run_plain_queue(make_typed);
}

/* Doubly linked rings with chords. */
__attribute__((noinline)) static void make_ring(void) {
  node *first = tri_alloc(sizeof *first), *last = first;
  for (int i = 1; i < RING_LENGTH; i++) {
    node *new = i & 1 ? tri_alloc(sizeof *new) : tri_alloc(sizeof *new + 100);
    new->other = last;
    last->next = new;
    last = new;
  }
  last->next = first;
  first->other = last;
}

static void test_dropped_rings(void **state) {
  (void)state;
  uint64_t peak = 0;
  for (int i = 0; i < RINGS; i++) {
    make_ring();
    if (i % 20 == 0 && heap_in_use() > peak) peak = heap_in_use();
  }
  assert_true(peak > 0 && peak < 24 << 20);
  tri_gc();
  tri_gc();
  tri_memstats stats;
  tri_read_memstats(&stats);
  assert_true(stats.HeapAlloc < 4 << 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_queue),
      cmocka_unit_test(test_plain_queue),
      cmocka_unit_test(test_plain_queue_typed),
      cmocka_unit_test(test_dropped_rings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
