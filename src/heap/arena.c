/* arena.c - see arena.h. */
#include "heap/arena.h"

tri_arena tri_the_arena TRI_OWN_DATA;

enum { PREFERRED_SHIFT = 40, SMALLEST_SHIFT = 24 };

/* Huge pages pay for large heaps (fewer first-touch faults, fewer TLB misses while marking) and cost small ones memory
 * that is never used: the first chunks stay on small pages. docs/design/heap.md has the figures. */
static const size_t huge_threshold = 256 * TRI_MIB;

/* A marker looks at the bits of an address in the middle of the last granule, which are the next one's. */
static size_t bits_size(size_t pages) { return pages * TRI_WORDS_PER_PAGE * sizeof(tri_bits) + 4096; }

static bool reserve_all(tri_arena *arena, size_t size) {
  size_t pages = size >> TRI_PAGE_SHIFT;
  return tri_reservation_make(&arena->heap_reservation, size, TRI_CHUNK_SIZE, "tricolor: heap") &&
         tri_reservation_make(&arena->bits_reservation, bits_size(pages), 4096, "tricolor: bits") &&
         tri_reservation_make(&arena->grey_reservation, pages * TRI_WORDS_PER_PAGE * 8, 4096, "tricolor: grey") &&
         tri_reservation_make(&arena->marked_reservation, pages / 8, 4096, "tricolor: marked pages") &&
         tri_reservation_make(&arena->info_reservation, pages * sizeof *arena->info, 4096, "tricolor: page info") &&
         tri_reservation_make(&arena->spans_reservation, pages * sizeof *arena->spans, 4096, "tricolor: page spans") &&
         tri_meta_reserve(size);
}

static void unreserve_all(tri_arena *arena) {
  tri_reservation_end(&arena->heap_reservation);
  tri_reservation_end(&arena->bits_reservation);
  tri_reservation_end(&arena->grey_reservation);
  tri_reservation_end(&arena->marked_reservation);
  tri_reservation_end(&arena->info_reservation);
  tri_reservation_end(&arena->spans_reservation);
  tri_meta_unreserve();
}

bool tri_arena_init(size_t size) {
  tri_arena *arena = &tri_the_arena;
  size_t most = size ? SIZE_MAX : tri_reservation_fair_share(); /* who names a size knows what else he needs */
  size = size ? tri_align_up(tri_min(size, SIZE_MAX / 2), TRI_CHUNK_SIZE) : (size_t)1 << PREFERRED_SHIFT;
  while (size > most || !reserve_all(arena, size)) {
    unreserve_all(arena);
    if (size <= (size_t)1 << SMALLEST_SHIFT) {
      tri_reservation_report_refusal(size);
      return false;
    }
    size = tri_align_up(size / 2, TRI_CHUNK_SIZE);
  }
  arena->base = arena->heap_reservation.base;
  arena->reserved = size;
  arena->bits = (tri_bits *)arena->bits_reservation.base;
  arena->grey = (_Atomic(uint64_t) *)arena->grey_reservation.base;
  arena->marked_pages = (_Atomic(uint64_t) *)arena->marked_reservation.base;
  arena->info = (tri_page_info *)arena->info_reservation.base;
  arena->spans = (_Atomic(tri_span *) *)arena->spans_reservation.base;
  arena->huge_from = huge_threshold;
  return true;
}

bool tri_arena_grow(size_t count, bool *huge) {
  tri_arena *arena = &tri_the_arena;
  size_t used = atomic_load_explicit(&arena->used, memory_order_relaxed);
  size_t to = used + count * TRI_CHUNK_SIZE;
  size_t pages = to >> TRI_PAGE_SHIFT;
  if (count > (arena->reserved - used) / TRI_CHUNK_SIZE) return false;
  if (!tri_reservation_extend(&arena->bits_reservation, bits_size(pages)) ||
      !tri_reservation_extend(&arena->grey_reservation, pages * TRI_WORDS_PER_PAGE * 8) ||
      !tri_reservation_extend(&arena->marked_reservation, pages / 8) ||
      !tri_reservation_extend(&arena->info_reservation, pages * sizeof *arena->info) ||
      !tri_reservation_extend(&arena->spans_reservation, pages * sizeof *arena->spans) ||
      !tri_reservation_extend(&arena->heap_reservation, to))
    return false;
  *huge = used >= arena->huge_from;
  if (*huge) tri_os_advise_huge((void *)(arena->base + used), to - used, true);
  atomic_store_explicit(&arena->used, to, memory_order_release);
  return true;
}

size_t tri_arena_table_bytes(void) {
  const tri_arena *arena = &tri_the_arena;
  bool grey = atomic_load_explicit(&arena->grey_used, memory_order_relaxed);
  return arena->bits_reservation.committed + (grey ? arena->grey_reservation.committed : 0) +
         arena->marked_reservation.committed + arena->info_reservation.committed + arena->spans_reservation.committed;
}
