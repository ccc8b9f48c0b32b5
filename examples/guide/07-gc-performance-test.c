/* 07 - Collector performance: 100,000 objects of 1 KiB allocated, dropped and collected, each step timed. */
#include "guide.h"

static GUIDE_NOINLINE void allocate_and_drop(void) {
  kilobyte **objects = guide_kilobytes(100000);
  tri_keep_alive(objects);
}

static GUIDE_NOINLINE void gc_performance_test(void) {
  printf("=== GC Performance Test ===\n");

  uint64_t start = guide_now();
  allocate_and_drop();
  uint64_t alloc_time = guide_now() - start;

  guide_clear_stack();
  uint64_t gc_start = guide_now();
  tri_gc();
  uint64_t gc_time = guide_now() - gc_start;

  tri_memstats m;
  tri_read_memstats(&m);

  printf("Allocation time: %s\n", guide_duration(alloc_time).text);
  printf("GC time: %s\n", guide_duration(gc_time).text);
  printf("Total time: %s\n", guide_duration(guide_now() - start).text);
  printf("GC count: %" PRIu32 "\n", m.NumGC);
  printf("GC pause: %s\n", guide_duration(m.PauseNs[(m.NumGC + 255) % 256]).text);
}

int main(void) {
  gc_performance_test();
  guide_show_stops();
  return 0;
}
