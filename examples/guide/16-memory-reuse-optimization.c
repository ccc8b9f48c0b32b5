/* 16 - Memory reuse: 100,000 buffers of 1 KiB from a pool, and as many made anew. The compiler may not leave out what
 * is never read: in C a pointer that is shown to it (tri_keep_alive) is made; Go's drops the second loop's
 * altogether. */
#include <tricolor/pool.h>

#include "guide.h"

enum { ROUNDS = 100000, SIZE = 1024 };

static void *make_buffer(void *unused) {
  (void)unused;
  return tri_alloc_noscan(SIZE);
}

static uint64_t time_pool(tri_pool *pool) {
  uint64_t start = guide_now();
  for (int i = 0; i < ROUNDS; i++) {
    char *object = tri_pool_get(pool);
    object[0] = (char)(i % 256);
    tri_pool_put(pool, object);
  }
  return guide_now() - start;
}

static uint64_t time_allocation(void) {
  uint64_t start = guide_now();
  for (int i = 0; i < ROUNDS; i++) {
    char *object = tri_alloc_noscan(SIZE);
    object[0] = (char)(i % 256);
    tri_keep_alive(object);
  }
  return guide_now() - start;
}

int main(void) {
  printf("=== Memory Reuse Optimization ===\n");

  uint64_t pool_time =
      time_pool(tri_pool_new(&(tri_pool_options){.size = sizeof(tri_pool_options), .make = make_buffer}));
  uint64_t no_pool_time = time_allocation();

  printf("With pool: %s\n", guide_duration(pool_time).text);
  printf("Without pool: %s\n", guide_duration(no_pool_time).text);
  printf("Improvement: %.2fx\n", (double)no_pool_time / (double)pool_time);
  return 0;
}
