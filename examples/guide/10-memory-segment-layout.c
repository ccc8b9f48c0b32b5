/* 10 - Memory segments: the parts that everything obtained from the system is made of. */
#include "guide.h"

static GUIDE_NOINLINE void memory_segment_layout(void) {
  printf("=== Memory Segment Layout ===\n");

  tri_memstats m;
  tri_read_memstats(&m);

  printf("Memory segments:\n");
  printf("  Heap: %" PRIu64 " KB\n", m.HeapSys / 1024);
  printf("  Stack: %" PRIu64 " KB\n", m.StackSys / 1024);
  printf("  MSpan: %" PRIu64 " KB\n", m.MSpanSys / 1024);
  printf("  MCache: %" PRIu64 " KB\n", m.MCacheSys / 1024);
  printf("  BuckHash: %" PRIu64 " KB\n", m.BuckHashSys / 1024);
  printf("  GC: %" PRIu64 " KB\n", m.GCSys / 1024);
  printf("  Other: %" PRIu64 " KB\n", m.OtherSys / 1024);
  printf("  Total: %" PRIu64 " KB\n", m.Sys / 1024);
}

int main(void) {
  memory_segment_layout();
  return 0;
}
