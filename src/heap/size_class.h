/* size_class.h - the sizes small objects come in.
 *
 * Classes by Go's method (runtime/_mkmalloc/mksizeclasses.go; docs/design/heap.md), every one a multiple of 16 but for
 * 24, which only single objects from tri_new come from, of types that are aligned to 8 at most. Class 0 stands for
 * large objects, which have spans of their own. All tables are constant. */
#ifndef TRI_SIZE_CLASS_H
#define TRI_SIZE_CLASS_H

#include "base/base.h"
#include "heap/size_class_table.h"

enum {
  TRI_CLASS_COUNT = TRI_SIZE_CLASS_COUNT,
  TRI_CLASS_ODD = 2,           /* of TRI_ODD_SIZE bytes */
  TRI_SMALL_MAX = 32768,       /* larger objects are whole pages */
  TRI_CLASS_LOOKUP_MAX = 1024, /* up to here classes are found by steps of 16, above by steps of 128 */
  /* Slots up to here are cleared when their bitmap word is claimed, larger ones when handed out. */
  TRI_BULK_ZERO_MAX = 1024,
};

typedef struct tri_size_class {
  uint32_t size;
  uint32_t magic; /* slot index = (offset in span * magic) >> 32, exact for every offset (a test checks them all) */
  uint16_t slots;
  uint8_t pages;
  uint8_t step; /* granules by which the first slot start moves back from one bitmap word to the next; sizes < 1 KiB */
  /* Slot starts in a bitmap word whose first granule is one; of odd slots, those that start at a granule. */
  uint64_t starts;
} tri_size_class;

extern const tri_size_class tri_size_classes[TRI_CLASS_COUNT];
extern const uint8_t tri_size_to_class_16[];
extern const uint8_t tri_size_to_class_128[];

/* Granules from one slot that starts at one to the next that does. */
TRI_INLINE uint32_t tri_size_class_period(const tri_size_class *size_class) {
  return size_class->size == TRI_ODD_SIZE ? TRI_ODD_GRANULES : size_class->size / TRI_GRANULE;
}

/* The class for a size of at most TRI_SMALL_MAX, aligned to 16: never the odd one. */
TRI_INLINE uint32_t tri_size_class_of(size_t size) {
  if (tri_likely(size <= TRI_CLASS_LOOKUP_MAX)) return tri_size_to_class_16[(size + 15) >> 4];
  return tri_size_to_class_128[(size - TRI_CLASS_LOOKUP_MAX + 127) >> 7];
}

/* That for a single object of a type. */
TRI_INLINE uint32_t tri_size_class_of_type(size_t size, size_t align) {
  bool odd = size > TRI_GRANULE && size <= TRI_ODD_SIZE && align < TRI_GRANULE;
  return odd ? (uint32_t)TRI_CLASS_ODD : tri_size_class_of(size);
}

/* The index of the slot that contains the byte at offset of a span of the class. */
TRI_INLINE uint32_t tri_size_class_slot(uint32_t size_class, uint32_t offset) {
  return (uint32_t)(((uint64_t)offset * tri_size_classes[size_class].magic) >> 32);
}

#endif
