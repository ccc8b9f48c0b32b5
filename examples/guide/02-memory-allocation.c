/* 02 - Memory allocation: one small and one large object, and how they count. */
#include "guide.h"

static GUIDE_NOINLINE void memory_allocation(void) {
  printf("=== Memory Allocation ===\n");

  kilobyte *small_obj = tri_new(kilobyte);
  printf("Small object size: %zu bytes\n", sizeof *small_obj);

  block64k *large_obj = tri_new(block64k);
  printf("Large object size: %zu bytes\n", sizeof *large_obj);

  tri_memstats m;
  tri_read_memstats(&m);

  printf("Alloc: %" PRIu64 " KB\n", m.Alloc / 1024);
  printf("Mallocs: %" PRIu64 "\n", m.Mallocs);
  printf("Frees: %" PRIu64 "\n", m.Frees);
  printf("HeapObjects: %" PRIu64 "\n", m.HeapObjects);
  tri_keep_alive(small_obj);
  tri_keep_alive(large_obj);
}

int main(void) {
  memory_allocation();
  return 0;
}
