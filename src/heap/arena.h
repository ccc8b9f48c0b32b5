/* arena.h - the one range of addresses that is the heap, and the tables indexed by heap address.
 *
 * "Is it ours?" is one subtraction and one comparison. The range grows from its base in chunks of 4 MiB and never
 * shrinks (memory goes back to the system page by page, addresses do not). Beside it, per 8 KiB page:
 *
 *   bits   one allocation bit and one mark bit per 16 bytes, in alternating words, so that the marker finds both in
 *          one cache line. Only slot starts ever have bits (tri_granule_of).
 *   grey   marked objects whose scan was put off because no work buffer could be had (gc/mark.c); untouched, hence
 *          without memory behind it, unless that happens.
 *   marked a bit: it is part of an object that may hold pointers and has been marked since marks were last cleared
 *          (gc/watch.c). Set by markers, by atomic OR; cleared when the page is free.
 *   info   what the marker has to know of a page (tri_page_info).
 *   spans  the span a page belongs to.
 *
 * Bits follow the owner-swept protocol of heap/cache.h. info and spans are written by the thread that makes the span,
 * before an object of it can be reached, and cleared by the thread that frees it, before its pages are free. Allocation
 * bits may be cleared by any thread (tri_free), so they change by atomic read-modify-write, except where the world is
 * stopped. */
#ifndef TRI_ARENA_H
#define TRI_ARENA_H

#include "heap/reservation.h"

typedef struct tri_span tri_span;

/* The bits of 64 granules. */
typedef struct tri_bits {
  _Atomic(uint64_t) alloc, mark;
} tri_bits;

/* Of a page in use. kind is 0 when the page is free, and then the rest means nothing. */
typedef struct tri_page_info {
  /* Which words of a slot may hold pointers: bit i, word i. 0: none, or more than 64 words to tell of. */
  _Atomic(uint64_t) pointers;
  _Atomic(uint32_t) kind;      /* see below */
  _Atomic(uint32_t) slot_size; /* 0 for large objects */
} tri_page_info;

typedef struct tri_arena {
  uintptr_t base;
  /* Bytes committed from base; grows only. Release at growth, acquire not needed: see tri_arena_has. */
  _Atomic(size_t) used;
  tri_bits *bits;
  _Atomic(uint64_t) *grey, *marked_pages;
  _Atomic(bool) grey_used; /* ever: relaxed, a figure */
  tri_page_info *info;
  _Atomic(tri_span *) *spans;
  size_t reserved;
  size_t huge_from; /* chunks from this offset on are advised to be huge pages; SIZE_MAX: none */
  tri_reservation heap_reservation, bits_reservation, grey_reservation, marked_reservation, info_reservation,
      spans_reservation;
} tri_arena;

extern tri_arena tri_the_arena;

/* Reserves up to size bytes of heap (0: 1 TiB, or what is fair under a limit), its tables and the metadata, halving
 * until the system agrees to all of it. False, with nothing reserved and a line on standard error, when it does not. */
bool tri_arena_init(size_t size);

/* Commits count more chunks and their tables. Caller holds the page heap's lock. */
bool tri_arena_grow(size_t count, bool *huge);

/* Bytes of tables committed: part of GCSys. Without grey as long as nothing was written there. */
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
  return atomic_load_explicit(&tri_the_arena.info[page].kind, memory_order_relaxed);
}

/* Pages [first, end) have marks. Relaxed: they are looked at when no marker is at work. */
TRI_INLINE void tri_note_marked_pages(size_t first, size_t end) {
  for (size_t page = first; page < end; page++) {
    _Atomic(uint64_t) *word = &tri_the_arena.marked_pages[page / 64];
    uint64_t bit = UINT64_C(1) << (page % 64);
    if (!(atomic_load_explicit(word, memory_order_relaxed) & bit))
      atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
  }
}

/* Where the bits of the slot that starts at start are, and which. A slot has the bit of the granule that it starts at;
 * every other one of 24 bytes starts in the middle of a granule and has that of the next. */
enum { TRI_BITS_SHIFT = TRI_GRANULE_SHIFT + 6 };
TRI_INLINE size_t tri_granule_of(uintptr_t start) {
  return (start + TRI_GRANULE / 2 - tri_the_arena.base) >> TRI_GRANULE_SHIFT;
}
TRI_INLINE tri_bits *tri_arena_bits(uintptr_t start) { return &tri_the_arena.bits[tri_granule_of(start) / 64]; }
TRI_INLINE uint64_t tri_bit_mask(uintptr_t start) {
  return 1ull << ((start + TRI_GRANULE / 2) >> TRI_GRANULE_SHIFT & 63);
}

/* In a page of 24 byte slots: whether one starts at address. What is left at its end is none. */
TRI_INLINE bool tri_is_odd_start(uintptr_t address) {
  uintptr_t offset = address % TRI_PAGE_SIZE;
  return (offset % TRI_ODD_SIZE == 0) & (offset != TRI_PAGE_SIZE - TRI_PAGE_SIZE % TRI_ODD_SIZE);
}

/* The slot whose bit is that of the granule at address. */
TRI_INLINE uintptr_t tri_slot_at_granule(uintptr_t address, size_t slot_size) {
  if (tri_likely(slot_size != TRI_ODD_SIZE)) return address;
  return address % TRI_PAGE_SIZE / TRI_GRANULE % TRI_ODD_GRANULES == 2 ? address - TRI_GRANULE / 2 : address;
}

#endif
