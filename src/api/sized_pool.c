/* api/sized_pool.c - pools of pointer-free buffers: one pool (api/pool.c) for each size. Nothing in it changes once it
 * is made, so no lock. */
#include <errno.h>
#include <string.h>
#include <tricolor/pool.h>

#include "api/link.h"
#include "base/fmt.h"

typedef struct entry {
  size_t size;
  tri_pool *pool;
} entry;

struct tri_sized_pool {
  size_t count;
  entry entries[]; /* by ascending size */
};

enum { SHARED = 16 }; /* smaller objects without pointers share memory: they are no objects by themselves */

static const size_t usual_sizes[] = {64, 256, 1024, 4096, 16384};

static bool are_possible(const size_t *sizes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (sizes[i] > (i ? sizes[i - 1] : 0)) continue;
    tri_print("tricolor: tri_sized_pool_new: size %zu, %zu bytes, is not above the one before\n", i, sizes[i]);
    return false;
  }
  if (count) return true;
  tri_print("tricolor: tri_sized_pool_new: no size\n");
  return false;
}

TRI_API tri_sized_pool *tri_sized_pool_new(const size_t *sizes, size_t count) {
  if (!sizes) {
    sizes = usual_sizes;
    count = sizeof usual_sizes / sizeof usual_sizes[0];
  }
  if (!are_possible(sizes, count)) {
    errno = EINVAL;
    return NULL;
  }
  size_t bytes;
  if (__builtin_mul_overflow(count, sizeof(entry), &bytes) || bytes > SIZE_MAX / 2) {
    errno = ENOMEM;
    return NULL;
  }
  tri_sized_pool *pool = tri_alloc(sizeof *pool + bytes);
  if (!pool) return NULL;
  pool->count = count;
  for (size_t i = 0; i < count; i++) {
    pool->entries[i] = (entry){sizes[i], tri_pool_new(NULL)};
    if (!pool->entries[i].pool) return NULL;
  }
  return pool;
}

static const entry *entry_for(const tri_sized_pool *pool, size_t size) {
  for (size_t i = 0; i < pool->count; i++)
    if (size <= pool->entries[i].size) return &pool->entries[i];
  return NULL;
}

TRI_API size_t tri_sized_pool_size(const tri_sized_pool *pool, size_t size) {
  const entry *found = entry_for(pool, size);
  return found ? found->size : size;
}

TRI_API void *tri_sized_pool_get(tri_sized_pool *pool, size_t size) {
  const entry *found = entry_for(pool, size);
  void *buffer = found ? tri_pool_get(found->pool) : NULL;
  size_t bytes = found ? found->size : size;
  return buffer ? buffer : tri_alloc_noscan(bytes < SHARED ? SHARED : bytes);
}

static void check_buffer(void *buffer, size_t size) {
  if (tri_base_of(buffer) != buffer) tri_fatal("tri_sized_pool_put: %p is not an object of this heap", buffer);
  size_t has = tri_size_of(buffer);
  if (has < size) tri_fatal("tri_sized_pool_put: the buffer at %p has %zu bytes, not %zu", buffer, has, size);
}

static bool put(tri_sized_pool *pool, void *buffer, size_t size, bool clear) {
  const entry *found = buffer ? entry_for(pool, size) : NULL;
  if (!found || found->size != size) return false;
  check_buffer(buffer, size);
  if (clear) memset(buffer, 0, size);
  tri_pool_put(found->pool, buffer);
  return true;
}

TRI_API bool tri_sized_pool_put(tri_sized_pool *pool, void *buffer, size_t size) {
  return put(pool, buffer, size, false);
}

TRI_API bool tri_sized_pool_put_clear(tri_sized_pool *pool, void *buffer, size_t size) {
  return put(pool, buffer, size, true);
}
