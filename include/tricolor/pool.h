/* tricolor/pool.h - pools: objects that are used again instead of being made anew. (Go: sync.Pool)
 *
 *     static void *make_request(void *context) { (void)context; return tri_new(request); }
 *
 *     tri_pool *requests = tri_pool_new(&(tri_pool_options){.size = sizeof(tri_pool_options), .make = make_request});
 *     request *r = tri_pool_get(requests);
 *     ...
 *     tri_pool_put(requests, r);              // whoever gets it next finds it as it was put
 *
 * A pool is a cache, not a store: what lies in it unused is let go by the second full collection after it was put (as
 * in Go), so a burst leaves no memory behind. Each thread has a place of its own for one object, and a list that others
 * take from when theirs are empty; no call takes a lock.
 *
 * Pools and what they hold are objects of the heap. A pool that nobody can reach is collected like any other object,
 * two full collections after its last use.
 *
 * Every function may be called from any thread, not from signal handlers. Link with tricolor as ever.
 */
#ifndef TRICOLOR_POOL_H
#define TRICOLOR_POOL_H

#include <tricolor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tri_pool tri_pool;

/* Zero means "none". Set size to sizeof(tri_pool_options), so that programs built against an older header keep
 * working. */
typedef struct tri_pool_options {
  size_t size;                                  /* sizeof(tri_pool_options); required */
  void *(*make)(void *context);                 /* what tri_pool_get returns when the pool is empty (Go: Pool.New); may
                                                  itself use the pool. None: NULL is returned then */
  void (*destroy)(void *object, void *context); /* called once for each object that the pool lets go: over max, or not
                                                  used for two full collections. Then by a thread of the program that
                                                  calls tri_gc, or uses a pool, later; never during a collection. A pool
                                                  with it takes a few nanoseconds longer, and holds its unused objects
                                                  until such a call */
  void *context;                                /* passed to both; the pool keeps what it points to */
  size_t max; /* objects that the pool holds at most, besides one for each thread; what
                                                  is put beyond them is let go */
} tri_pool_options;

/* A pool. options may be NULL: an empty pool without functions. NULL with errno ENOMEM, or with EINVAL and a line on
 * standard error when options->size is not possible. */
TRI_API tri_pool *tri_pool_new(const tri_pool_options *options);

/* An object from the pool, any of them, as it was when it was put; else what make returns; else NULL. The caller's own
 * last object comes first. A few nanoseconds; with many threads and an empty pool O(threads). (Go: Pool.Get) */
static inline void *tri_pool_get(tri_pool *pool);

/* Gives an object to the pool; the caller must not use it any more. NULL is ignored. Where memory for the list is out,
 * the object is let go. Abort, with a line that names the object: when it is no object of this heap, and when it is
 * found to be in the pool already (the caller's last one always; under TRICOLOR_DEBUG=check=1 any of the calling
 * thread's, and there a pointer into the middle of an object is refused, too). A few nanoseconds. (Go: Pool.Put) */
static inline void tri_pool_put(tri_pool *pool, void *object);

/* What became of a pool's calls. Exact when no thread is in one, but for calls that two full collections interrupted,
 * which may be missing where the pool has no destroy. */
typedef struct tri_pool_stats {
  uint64_t gets;    /* calls of tri_pool_get; */
  uint64_t misses;  /* those of them that found nothing: calls of make, or NULL */
  uint64_t puts;    /* calls of tri_pool_put with an object */
  uint64_t dropped; /* objects let go: over max, out of memory, or unused for two full collections */
  uint64_t held;    /* objects in the pool now */
} tri_pool_stats;

/* Fills *stats. Stops nobody; O(threads). */
TRI_API void tri_pool_read_stats(const tri_pool *pool, tri_pool_stats *stats);

/* ---- Pools of buffers by size ------------------------------------------------------------------------------------ */

/* Pools of pointer-free buffers, one for each of a few sizes. */
typedef struct tri_sized_pool tri_sized_pool;

/* sizes: ascending, none twice, none 0; read during the call only. NULL: 64, 256, 1024, 4096 and 16384 bytes, count is
 * ignored. NULL with errno ENOMEM, or with EINVAL and a line on standard error when the sizes are not so. */
TRI_API tri_sized_pool *tri_sized_pool_new(const size_t *sizes, size_t count);

/* A buffer of tri_sized_pool_size(pool, size) bytes: one that was put, as it was then, or a new one of zeros. NULL with
 * errno ENOMEM. As fast as tri_pool_get. */
TRI_API void *tri_sized_pool_get(tri_sized_pool *pool, size_t size);

/* The least of the pool's sizes that is not below this one; size itself when it is larger than all: such buffers are
 * made for the call, and not kept. */
TRI_API size_t tri_sized_pool_size(const tri_sized_pool *pool, size_t size);

/* Gives a buffer of exactly one of the pool's sizes to it, to be had again as it is; _clear fills it with zeros first.
 * false, and the buffer is the caller's still, when size is none of them. NULL: false. Abort, with a line that names
 * the values, when the buffer is no object of this heap, or has fewer than size bytes. */
TRI_API bool tri_sized_pool_put(tri_sized_pool *pool, void *buffer, size_t size);
TRI_API bool tri_sized_pool_put_clear(tri_sized_pool *pool, void *buffer, size_t size);

/* ---- The short ways of the two, compiled into the program; the rest is the library's own, and changes with its
 * SONAME */

TRI_API void *tri_pool_get_long(tri_pool *pool);
TRI_API void tri_pool_put_long(tri_pool *pool, void *object);

/* A thread's place in a pool: one object, and calls of tri_pool_get. */
typedef struct tri_pool_place_ {
  void *own;
  uint64_t gets;
} tri_pool_place_;
enum { TRI_POOL_PLACES_ = 64 };

/* NULL: the long way. */
static inline tri_pool_place_ *tri_pool_place_here_(const tri_pool *pool) {
  uint32_t number = tri_self.number;
  tri_pool_place_ *const *places;
  if (!pool || number >= TRI_POOL_PLACES_) return NULL;
  places = __atomic_load_n((tri_pool_place_ *const *const *)(const void *)pool, __ATOMIC_ACQUIRE);
  return __atomic_load_n(&places[number], __ATOMIC_ACQUIRE);
}

/* A thread may be stopped anywhere here, and the pool turned meanwhile: its place is then in a register, and the object
 * is before the place is emptied. */
static inline void *tri_pool_get(tri_pool *pool) {
  tri_pool_place_ *place = tri_pool_place_here_(pool);
  void *object;
  if (__builtin_expect(!place, 0)) return tri_pool_get_long(pool);
  object = __atomic_load_n(&place->own, __ATOMIC_RELAXED);
  if (__builtin_expect(!object, 0)) return tri_pool_get_long(pool);
  __asm__("" : "+r"(object));
  __atomic_store_n(&place->own, NULL, __ATOMIC_RELAXED);
  __atomic_store_n(&place->gets, __atomic_load_n(&place->gets, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
  return object;
}

static inline void tri_pool_put(tri_pool *pool, void *object) {
  tri_pool_place_ *place = tri_pool_place_here_(pool);
  if (__builtin_expect(!place || (uintptr_t)object - tri_self.heap >= tri_self.heap_size ||
                           __atomic_load_n(&place->own, __ATOMIC_RELAXED),
                       0))
    tri_pool_put_long(pool, object);
  else
    __atomic_store_n(&place->own, object, __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif
#endif
