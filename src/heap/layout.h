/* layout.h - pointer maps: which words of a typed object may hold pointers.
 *
 * A layout is the map of one element; arrays are scanned by tiling it over the slot. Equal maps share a layout,
 * whatever their types are called. Layout 0 means conservative; maps without pointers are not layouts but the
 * pointer-free kind. A layout's objects of a size class live in the class's conservative spans until EARN_BYTES of them
 * were made; then that (layout, class) gets a bucket of its own (heap/central.h) and its objects are scanned precisely
 * from then on (in check mode at once, so that a wrong map shows early). So a program with ten thousand types that
 * makes a few objects of each has no ten thousand idle spans. Layouts are never removed; there are at most
 * TRI_LAYOUT_MAX, further ones are conservative. Lock: TRI_RANK_LAYOUT; the calling thread has a cache, so that it can
 * defer stops. */
#ifndef TRI_LAYOUT_H
#define TRI_LAYOUT_H

#include "heap/central.h"

enum {
  TRI_LAYOUT_CONSERVATIVE = 0,
  TRI_LAYOUT_MAX = 4096,
  TRI_LAYOUT_NOSCAN = 0xffffffff, /* what tri_layout_intern answers for maps without pointers */
  TRI_LAYOUT_FAILED = 0xfffffffe,
};

typedef struct tri_layout {
  uint32_t element_words;                   /* 8-byte words per element */
  uint32_t map_words;                       /* 64-bit words of map per element */
  const uint64_t *map;                      /* bit i: word i may hold a pointer */
  uint32_t next;                            /* hash chain */
  _Atomic(uint32_t) bytes[TRI_CLASS_COUNT]; /* made so far; relaxed, approximate */
  /* 0: not earned yet. Release: pairs with the acquire in tri_layout_bucket. */
  _Atomic(uint32_t) buckets[TRI_CLASS_COUNT];
} tri_layout;

bool tri_layout_init(void);

/* The layout of an element of size bytes (a multiple of 8 or not; a tail under 8 bytes holds no pointer) whose pointer
 * words are set in map. map is copied. */
uint32_t tri_layout_intern(size_t size, const uint64_t *map);

const tri_layout *tri_layout_get(uint32_t layout);

/* The words of a slot of so many bytes that may hold pointers, elements of the layout tiled over it: bit i, word i. 0
 * for slots of more than 64 words. */
uint64_t tri_layout_slot_pointers(uint32_t layout, size_t slot_size);

/* The bucket that objects of the layout and class come from now, and whether that is final (earned). Counts size
 * towards earning. */
uint32_t tri_layout_bucket(uint32_t layout, uint32_t size_class, size_t size, bool *final);

/* For heap/mend.c: frees the lock. */
void tri_layout_mend(void);

#endif
