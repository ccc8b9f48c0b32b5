/* 12 - Pools by size: 1,000 times a buffer of each of five sizes, cleared when it is put back. */
#include <tricolor/pool.h>

#include "guide.h"

int main(void) {
  static const size_t sizes[] = {64, 256, 1024, 4096, 16384};
  enum { COUNT = sizeof sizes / sizeof sizes[0] };

  printf("=== Optimized Pool ===\n");
  tri_sized_pool *pool = tri_sized_pool_new(sizes, COUNT);

  for (int s = 0; s < COUNT; s++) {
    uint64_t start = guide_now();
    for (int i = 0; i < 1000; i++) {
      char *object = tri_sized_pool_get(pool, sizes[s]);
      object[0] = (char)(i % 256);
      (void)tri_sized_pool_put_clear(pool, object, sizes[s]);
    }
    printf("Size %zu: %s\n", sizes[s], guide_duration(guide_now() - start).text);
  }
  return 0;
}
