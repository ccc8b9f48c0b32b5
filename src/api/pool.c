/* api/pool.c - the public functions of pools: the long ways' beginnings, and what misuse is told. See pool/pool.h. */
#include <string.h>
#include <tricolor/pool.h>

#include "api/link.h"
#include "base/fmt.h"
#include "gc/start.h"
#include "heap/arena.h"
#include "pool/pool.h"

static bool read_options(const tri_pool_options *given, tri_pool_options *options) {
  *options = (tri_pool_options){.size = sizeof *options};
  if (!given) return true;
  if (given->size < sizeof given->size || given->size > 4096) {
    tri_print("tricolor: tri_pool_new: options.size is %zu, not sizeof(tri_pool_options)\n", given->size);
    return false;
  }
  memcpy(options, given, tri_min(given->size, sizeof *options));
  return true;
}

TRI_API tri_pool *tri_pool_new(const tri_pool_options *given) {
  tri_pool_options options;
  if (!read_options(given, &options)) {
    errno = EINVAL;
    return NULL;
  }
  tri_pool *pool = TRI_KEEPING_ERRNO(tri_pool_create());
  if (!pool) return NULL;
  pool->make = options.make;
  pool->destroy = options.destroy;
  pool->careful = options.destroy != NULL;
  pool->context = options.context;
  pool->max = options.max ? options.max : SIZE_MAX;
  return pool;
}

_Noreturn static TRI_COLD void no_pool(const char *call) { tri_fatal("%s: the pool is NULL", call); }

TRI_API void *tri_pool_get_long(tri_pool *pool) {
  if (!pool) no_pool("tri_pool_get");
  void *object = tri_pool_find(pool);
  return object || !pool->make ? object : pool->make(pool->context);
}

_Noreturn static TRI_COLD void not_ours(const void *object) {
  tri_fatal("tri_pool_put: %p is not an object of this heap (or no longer)", object);
}

static void check_start(void *object) {
  void *base = tri_base_of(object);
  if (!base) not_ours(object);
  if (base != object)
    tri_fatal("tri_pool_put: %p is not the start of an object: it points %zu bytes into the one at %p", object,
              (size_t)((char *)object - (char *)base), base);
}

TRI_API void tri_pool_put_long(tri_pool *pool, void *object) {
  if (!object) return;
  if (!pool) no_pool("tri_pool_put");
  if (!tri_arena_has((uintptr_t)object)) not_ours(object);
  if (tri_start_settings()->check) check_start(object);
  tri_pool_add(pool, object);
}

TRI_API void tri_pool_read_stats(const tri_pool *pool, tri_pool_stats *stats) {
  if (!pool) no_pool("tri_pool_read_stats");
  TRI_KEEP_ERRNO;
  tri_pool_count(pool, stats);
}
