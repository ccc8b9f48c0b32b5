/* arena.h - the one range of addresses that is the heap, and the tables indexed by heap address.
 *
 * "Is it ours?" is one subtraction and one comparison. The range grows from its base in chunks of 4 MiB and never
 * shrinks (memory goes back to the system page by page, addresses do not). Beside it, per 8 KiB page:
 *
 *   bits   one allocation bit and one mark bit per 16 bytes, a cache line each, side by side: the two lines that
 *          marking touches share a page of the system's memory. Only slot starts ever have bits.
 *   grey   marked objects whose scan was put off because no work buffer could be had (gc/mark.c); untouched, hence
 *          without memory behind it, unless that happens.
 *   kinds  what the marker has to know of a page, packed into 32 bits (tri_page_kind).
 *   spans  the span a page belongs to.
 *
 * Bits follow the owner-swept protocol of heap/cache.h. kinds and spans are written under the page heap's lock before
 * an object of the span can be reached, and cleared when the span is freed. Allocation bits may be cleared by any
 * thread (tri_free), so they change by atomic read-modify-write, except where the world is stopped. */
#ifndef TRI_ARENA_H
#define TRI_ARENA_H

#include "heap/region.h"

typedef struct tri_span tri_span;

typedef struct tri_page_bits {
  _Atomic(uint64_t) alloc[TRI_WORDS_PER_PAGE];
  _Atomic(uint64_t) mark[TRI_WORDS_PER_PAGE];
} tri_page_bits;

typedef struct tri_arena {
  uintptr_t base;
  _Atomic(size_t)
      used; /* bytes committed from base; grows only. Release at growth, acquire not needed: see tri_arena_has */
  tri_page_bits *bits;
  _Atomic(uint64_t) *grey;
  _Atomic(uint32_t) *kinds;
  _Atomic(tri_span *) *spans;
  size_t reserved;
  size_t huge_from; /* chunks from this offset on are advised to be huge pages; SIZE_MAX: none */
  tri_region heap_region, bits_region, grey_region, kinds_region, spans_region;
} tri_arena;

extern tri_arena tri_the_arena;

/* Reserves up to size bytes of heap (0: 1 TiB), halving until the system agrees. */
bool tri_arena_init(size_t size);

/* Commits count more chunks and their tables. Caller holds the page heap's lock. */
bool tri_arena_grow(size_t count, bool *huge);

/* Bytes of tables committed: part of GCSys. */
size_t tri_arena_table_bytes(void);

/* ---- page kinds ---- */

enum {
  TRI_KIND_IN_USE = 1,
  TRI_KIND_NOSCAN = 2,
  TRI_KIND_LARGE = 4,
  TRI_KIND_CLASS_SHIFT = 3,   /* 7 bits: size class */
  TRI_KIND_OFFSET_SHIFT = 10, /* 4 bits: which page of its (small) span */
  TRI_KIND_LAYOUT_SHIFT = 14, /* 18 bits: layout, 0 = conservative */
};

TRI_INLINE uint32_t tri_kind_class(uint32_t kind) { return kind >> TRI_KIND_CLASS_SHIFT & 127; }
TRI_INLINE uint32_t tri_kind_offset(uint32_t kind) { return kind >> TRI_KIND_OFFSET_SHIFT & 15; }
TRI_INLINE uint32_t tri_kind_layout(uint32_t kind) { return kind >> TRI_KIND_LAYOUT_SHIFT; }

/* ---- addresses ---- */

/* A pointer handed to another thread was published by the program's own synchronisation, which also publishes used. */
TRI_INLINE bool tri_arena_has(uintptr_t address) {
  return address - tri_the_arena.base < atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed);
}
TRI_INLINE size_t tri_arena_page(uintptr_t address) { return (address - tri_the_arena.base) >> TRI_PAGE_SHIFT; }
TRI_INLINE uintptr_t tri_arena_address(size_t page) { return tri_the_arena.base + (page << TRI_PAGE_SHIFT); }
TRI_INLINE uint32_t tri_arena_kind(size_t page) {
  return atomic_load_explicit(&tri_the_arena.kinds[page], memory_order_relaxed);
}

/* Where the bits of the 16 bytes at address are. */
TRI_INLINE tri_page_bits *tri_arena_bits(uintptr_t address) { return &tri_the_arena.bits[tri_arena_page(address)]; }
TRI_INLINE unsigned tri_bit_word(uintptr_t address) {
  return (unsigned)(address >> (TRI_GRANULE_SHIFT + 6)) & (TRI_WORDS_PER_PAGE - 1);
}
TRI_INLINE uint64_t tri_bit_mask(uintptr_t address) { return 1ull << (address >> TRI_GRANULE_SHIFT & 63); }

#endif
