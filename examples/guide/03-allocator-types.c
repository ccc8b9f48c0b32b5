/* 03 - Allocator types: 1000 objects from the small size classes, 10 large ones from whole pages. */
#include "guide.h"

enum { SMALL_OBJECTS = 1000, LARGE_OBJECTS = 10 };

static GUIDE_NOINLINE void small_object_allocator(void) {
  printf("=== Small Object Allocator ===\n");

  kilobyte **objects = guide_kilobytes(SMALL_OBJECTS);

  tri_memstats m;
  tri_read_memstats(&m);

  printf("Small objects allocated: %d\n", SMALL_OBJECTS);
  printf("Alloc: %" PRIu64 " KB\n", m.Alloc / 1024);
  printf("Mallocs: %" PRIu64 "\n", m.Mallocs);
  tri_keep_alive(objects);
}

static GUIDE_NOINLINE void large_object_allocator(void) {
  printf("=== Large Object Allocator ===\n");

  block64k **objects = tri_make(block64k *, LARGE_OBJECTS);
  for (int i = 0; objects != NULL && i < LARGE_OBJECTS; i++) objects[i] = tri_new(block64k);

  tri_memstats m;
  tri_read_memstats(&m);

  printf("Large objects allocated: %d\n", LARGE_OBJECTS);
  printf("Alloc: %" PRIu64 " KB\n", m.Alloc / 1024);
  printf("Mallocs: %" PRIu64 "\n", m.Mallocs);
  tri_keep_alive(objects);
}

int main(void) {
  small_object_allocator();
  large_object_allocator();
  return 0;
}
