/* 05 - Garbage collection: 10,000 objects are allocated and dropped; a forced collection takes them back. */
#include "guide.h"

static GUIDE_NOINLINE void allocate_and_drop(void) {
  kilobyte **objects = guide_kilobytes(10000);

  tri_memstats m2;
  tri_read_memstats(&m2);
  printf("After allocation - Alloc: %" PRIu64 " KB, NumGC: %" PRIu32 "\n", m2.Alloc / 1024, m2.NumGC);
  tri_keep_alive(objects);
}

static GUIDE_NOINLINE void garbage_collection(void) {
  printf("=== Garbage Collection ===\n");

  tri_memstats m1;
  tri_read_memstats(&m1);
  printf("Before GC - Alloc: %" PRIu64 " KB, NumGC: %" PRIu32 "\n", m1.Alloc / 1024, m1.NumGC);

  allocate_and_drop();
  guide_clear_stack();

  tri_gc();

  tri_memstats m3;
  tri_read_memstats(&m3);
  printf("After GC - Alloc: %" PRIu64 " KB, NumGC: %" PRIu32 "\n", m3.Alloc / 1024, m3.NumGC);
  printf("GC pause: %s\n", guide_duration(m3.PauseNs[(m3.NumGC + 255) % 256]).text);
}

int main(void) {
  garbage_collection();
  guide_show_stops();
  return 0;
}
