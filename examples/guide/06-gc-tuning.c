/* 06 - Tuning: the growth that starts a collection, and the collections that allocating then causes. */
#include "guide.h"

static GUIDE_NOINLINE void gc_tuning(void) {
  printf("=== GC Tuning ===\n");

  tri_set_gc_percent(100);

  tri_memstats m;
  tri_read_memstats(&m);

  printf("GC target percentage: 100%%\n");
  printf("Current GC count: %" PRIu32 "\n", m.NumGC);
  printf("GC pause total: %s\n", guide_duration(m.PauseTotalNs).text);

  kilobyte **objects = guide_kilobytes(50000);

  struct timespec pause = {.tv_sec = 0, .tv_nsec = 100 * 1000 * 1000};
  nanosleep(&pause, NULL);

  tri_read_memstats(&m);
  printf("After work - GC count: %" PRIu32 "\n", m.NumGC);
  printf("GC pause total: %s\n", guide_duration(m.PauseTotalNs).text);
  printf("GC CPU fraction: %.6f\n", m.GCCPUFraction);
  tri_keep_alive(objects);
}

int main(void) {
  gc_tuning();
  guide_show_stops();
  return 0;
}
