/* 20 - Practice: an object from a pool, used, and given back. */
#include <tricolor/pool.h>

#include "guide.h"

static void *make_buffer(void *unused) {
  (void)unused;
  return tri_alloc_noscan(1024);
}

int main(void) {
  tri_pool *pool = tri_pool_new(&(tri_pool_options){.size = sizeof(tri_pool_options), .make = make_buffer});

  char *object = tri_pool_get(pool);
  object[0] = 1;
  tri_pool_put(pool, object);
  return 0;
}
