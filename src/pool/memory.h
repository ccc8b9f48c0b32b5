/* memory.h - memory for the pool layer's own structures: objects of the heap, zeroed and scanned conservatively. */
#ifndef TRI_POOL_MEMORY_H
#define TRI_POOL_MEMORY_H

#include "heap/cache.h"
#include "heap/size_class.h"

/* At most TRI_SMALL_MAX bytes; from 128 bytes on aligned to 128 where the size is. NULL with errno ENOMEM. May collect:
 * stops are not deferred. */
TRI_INLINE void *tri_pool_alloc(size_t size) {
  uint32_t size_class = tri_size_class_of(size), bucket = TRI_BUCKET_CONSERVATIVE + size_class;
  void *object = tri_cache_slot_pop(&tri_cache_self->slots[tri_cache_slot_index(bucket)]);
  if (!object) object = tri_cache_alloc_slow(bucket);
  if (object && size > TRI_BULK_ZERO_MAX) tri_cache_clear_slot(object, tri_size_classes[size_class].size);
  return object;
}

#endif
