/* 11 - Object pool: 1,000 buffers of 1 KiB from a pool, and back. */
#include <string.h>
#include <tricolor/pool.h>

#include "guide.h"

enum { OBJECTS = 1000, SIZE = 1024 };

typedef struct object_pool {
  tri_pool *pool;
} object_pool;

static void *make_buffer(void *unused) {
  (void)unused;
  return tri_alloc_noscan(SIZE);
}

static object_pool object_pool_new(void) {
  return (object_pool){tri_pool_new(&(tri_pool_options){.size = sizeof(tri_pool_options), .make = make_buffer})};
}

static char *object_pool_get(object_pool *p) { return tri_pool_get(p->pool); }

static void object_pool_put(object_pool *p, char *object) {
  memset(object, 0, SIZE);
  tri_pool_put(p->pool, object);
}

static uint64_t allocated(void) {
  tri_memstats m;
  tri_read_memstats(&m);
  return m.Alloc;
}

int main(void) {
  printf("=== Object Pool ===\n");

  object_pool pool = object_pool_new();
  uint64_t before = allocated();

  char **objects = tri_make(char *, OBJECTS);
  for (int i = 0; i < OBJECTS; i++) {
    char *object = object_pool_get(&pool);
    object[0] = (char)(i % 256);
    objects[i] = object;
  }
  for (int i = 0; i < OBJECTS; i++) object_pool_put(&pool, objects[i]);

  uint64_t after = allocated();
  printf("Memory before pool: %" PRIu64 " KB\n", before / 1024);
  printf("Memory after pool: %" PRIu64 " KB\n", after / 1024);
  printf("Memory difference: %" PRIu64 " KB\n", (after - before) / 1024);
  return 0;
}
