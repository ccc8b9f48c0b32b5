/* 08 - Heap layout: what the heap has from the system, what of it is in use, idle or released. */
#include "guide.h"

static GUIDE_NOINLINE void heap_layout(void) {
  printf("=== Heap Memory Layout ===\n");

  tri_memstats m;
  tri_read_memstats(&m);

  printf("Heap memory:\n");
  printf("  Alloc: %" PRIu64 " KB (allocated now)\n", m.HeapAlloc / 1024);
  printf("  Sys: %" PRIu64 " KB (from the system)\n", m.HeapSys / 1024);
  printf("  Idle: %" PRIu64 " KB (idle)\n", m.HeapIdle / 1024);
  printf("  Inuse: %" PRIu64 " KB (in use)\n", m.HeapInuse / 1024);
  printf("  Released: %" PRIu64 " KB (released)\n", m.HeapReleased / 1024);
  printf("  Objects: %" PRIu64 " (objects)\n", m.HeapObjects);

  kilobyte **objects = guide_kilobytes(1000);

  tri_read_memstats(&m);
  printf("\nAfter allocation:\n");
  printf("  Alloc: %" PRIu64 " KB\n", m.HeapAlloc / 1024);
  printf("  Objects: %" PRIu64 "\n", m.HeapObjects);
  tri_keep_alive(objects);
}

int main(void) {
  heap_layout();
  return 0;
}
