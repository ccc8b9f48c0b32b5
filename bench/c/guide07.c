/* guide07.c - the collector benchmark of the guide (its program 07): allocate, drop, collect.
 *
 *     bench-guide07-PEER [OBJECTS]      (100,000)
 *
 * OBJECTS objects of 1 KiB without pointers go into an array; the array is dropped; a collection is forced. Allocating
 * and collecting are timed apart. On malloc, freeing every object takes the collection's place. */
#include "bench.h"

enum { OBJECT_BYTES = 1024 };

static uint64_t **objects;

static BENCH_NOINLINE void objects_make(size_t count) {
  objects = bench_scan(count * sizeof(uint64_t *));
  for (size_t i = 0; i < count; i++) {
    objects[i] = bench_noscan(OBJECT_BYTES);
    objects[i][0] = i;
  }
}

static BENCH_NOINLINE uint64_t objects_sum(size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) sum = sum * 31 + objects[i][0];
  return sum;
}

static BENCH_NOINLINE void objects_drop(size_t count) {
  for (size_t i = 0; BENCH_FREES && i < count; i++) bench_drop(objects[i]);
  bench_drop(objects);
  objects = NULL;
}

int main(int argc, char **argv) {
  size_t count = (size_t)bench_arg(argc, argv, 1, 100000);
  bench_start();
  uint64_t start = bench_now_ns();
  objects_make(count);
  double alloc_ms = bench_ms_since(start);
  uint64_t check = objects_sum(count);
  start = bench_now_ns();
  objects_drop(count);
  bench_collect();
  double collect_ms = bench_ms_since(start);
  bench_report("guide07", "alloc_ms=%.3f collect_ms=%.3f total_ms=%.3f check=%" PRIu64, alloc_ms, collect_ms,
               alloc_ms + collect_ms, check);
  return 0;
}
