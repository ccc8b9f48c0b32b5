/* reservation.c - see reservation.h. */
#include "heap/reservation.h"

#include "base/fmt.h"

enum {
  COMMIT_STEP = 64 * 1024, /* few system calls, little unused memory; whole pages of the system's */
  META_SHARE = 16,         /* of the heap's size, for each kind of metadata; */
  LEAST_META = 64,         /* in MiB: small heaps may have many threads */
  LEAST_META_LIMITED = 4,
};

bool tri_reservation_make(tri_reservation *reservation, size_t size, size_t alignment, const char *name) {
  size = tri_align_up(size, COMMIT_STEP);
  void *base = tri_os_reserve(size, tri_max(alignment, tri_os_page_size()));
  if (!base) return false;
  *reservation = (tri_reservation){.base = (uintptr_t)base, .reserved = size, .name = name};
  return true;
}

void tri_reservation_end(tri_reservation *reservation) {
  if (reservation->base) tri_os_unreserve((void *)reservation->base, reservation->reserved);
  *reservation = (tri_reservation){0};
}

bool tri_reservation_extend(tri_reservation *reservation, size_t size) {
  if (size <= reservation->committed) return true;
  size = tri_align_up(size, COMMIT_STEP);
  if (size > reservation->reserved) return false;
  if (!tri_os_commit((void *)(reservation->base + reservation->committed), size - reservation->committed,
                     reservation->name))
    return false;
  reservation->committed = size;
  return true;
}

/* Half of the limit is ours. Tables and metadata take a good quarter of what the heap takes. */
size_t tri_reservation_fair_share(void) {
  size_t limit = tri_os_address_limit();
  return limit ? limit / 8 * 3 : SIZE_MAX;
}

void tri_reservation_report_refusal(size_t size) {
  static _Atomic(bool) reported TRI_OWN_DATA; /* relaxed: it stands alone */
  size_t limit = tri_os_address_limit();
  if (atomic_exchange_explicit(&reported, true, memory_order_relaxed)) return;
  if (limit)
    tri_print("tricolor: no address space for a heap of even %zu MiB: the limit (ulimit -v) is %zu KiB\n",
              size / TRI_MIB, limit / TRI_KIB);
  else
    tri_print("tricolor: no address space for a heap of even %zu MiB, though no limit (ulimit -v) is set\n",
              size / TRI_MIB);
}

static struct {
  tri_lock lock;
  tri_reservation reservations[TRI_META_KINDS];
  size_t used[TRI_META_KINDS];
} meta TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_META)};

bool tri_meta_reserve(size_t heap_bytes) {
  static const char *const names[TRI_META_KINDS] = {"tricolor: spans", "tricolor: caches", "tricolor: work",
                                                    "tricolor: other"};
  size_t least = (tri_os_address_limit() ? LEAST_META_LIMITED : LEAST_META) * TRI_MIB;
  for (int kind = 0; kind < TRI_META_KINDS; kind++)
    if (!tri_reservation_make(&meta.reservations[kind], tri_max(heap_bytes / META_SHARE, least), TRI_CACHE_LINE,
                              names[kind]))
      return false;
  return true;
}

void tri_meta_unreserve(void) {
  for (int kind = 0; kind < TRI_META_KINDS; kind++) tri_reservation_end(&meta.reservations[kind]);
}

void *tri_meta_alloc(tri_meta_kind kind, size_t size) {
  size = tri_align_up(size, TRI_CACHE_LINE);
  tri_lock_take(&meta.lock);
  tri_reservation *reservation = &meta.reservations[kind];
  void *block = NULL;
  if (tri_reservation_extend(reservation, meta.used[kind] + size)) {
    block = (void *)(reservation->base + meta.used[kind]);
    meta.used[kind] += size;
  }
  tri_lock_drop(&meta.lock);
  return block;
}

/* A block is taken by one store: it is somebody's, or nobody's. */
void tri_meta_mend(void) { tri_lock_abandon(&meta.lock); }

const tri_reservation *tri_meta_reservation(tri_meta_kind kind) { return &meta.reservations[kind]; }
