/* reservation.h - reserved address space that is committed from its start as it is needed, and the library's own memory
 * in it.
 *
 * Every byte the library obtains from the system belongs to one reservation: the heap itself, the tables indexed by
 * heap address, and metadata by kind. The parts of Sys are sums of committed reservation bytes, so they are exact by
 * construction and can be held against /proc/self/smaps, where the reservations carry their names. Metadata is never
 * given back; who needs less keeps a free list. Lock: TRI_RANK_META inside tri_meta_alloc; tri_reservation_extend is
 * the caller's to serialise. */
#ifndef TRI_RESERVATION_H
#define TRI_RESERVATION_H

#include "os/lock.h"

typedef struct tri_reservation {
  uintptr_t base;
  size_t reserved;
  size_t committed;
  const char *name;
} tri_reservation;

bool tri_reservation_make(tri_reservation *reservation, size_t size, size_t alignment, const char *name);
void tri_reservation_end(tri_reservation *reservation);

/* Commits up to size bytes from the base (rounded up); what is committed reads as zero. False when memory is out. */
bool tri_reservation_extend(tri_reservation *reservation, size_t size);

/* The size of a heap that leaves the program half of the address space that it is limited to (ulimit -v). */
size_t tri_reservation_fair_share(void);
/* Says, once, that not even size bytes of heap could be reserved, and what the limit is. */
void tri_reservation_report_refusal(size_t size);

typedef enum tri_meta_kind {
  TRI_META_SPAN,  /* span descriptors: MSpanSys */
  TRI_META_CACHE, /* threads and their caches: MCacheSys */
  TRI_META_GC,    /* work buffers: part of GCSys */
  TRI_META_OTHER, /* centrals, layouts, roots: OtherSys */
  TRI_META_KINDS
} tri_meta_kind;

/* Reserves what a heap of so many bytes can need; the arena's, which halves until all of it fits. */
bool tri_meta_reserve(size_t heap_bytes);
void tri_meta_unreserve(void);

/* size bytes, zeroed, aligned to 64; NULL when memory is out. Never freed. */
void *tri_meta_alloc(tri_meta_kind kind, size_t size);

/* For heap/mend.c: frees the lock. */
void tri_meta_mend(void);

const tri_reservation *tri_meta_reservation(tri_meta_kind kind);

#endif
