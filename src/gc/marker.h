/* marker.h - one marker: scans objects and roots, marks what they point to, shares what it cannot do itself.
 *
 * A marker lives on its thread's stack and belongs to it. It takes part in a session (gc/work.h): the caller has begun
 * or joined one, except where said. The world may run. */
#ifndef TRI_MARKER_H
#define TRI_MARKER_H

#include "gc/roots.h"
#include "gc/work.h"

enum { TRI_MARKER_RING = 16 };

/* The arena's tables do not move; objects beyond what was used at the marker's beginning are new, and left alone.
 * Passed by value, so that their addresses stay in registers whatever is written. */
typedef struct tri_view {
  uintptr_t base;
  size_t used;
  tri_bits *bits;
  _Atomic(uint64_t) *marked_pages;
  const tri_page_info *info;
} tri_view;

typedef struct tri_marker {
  uintptr_t *top, *floor, *limit;  /* the stack of entries in buffer: next free one, first, one past the last */
  tri_work_buffer *buffer, *spare; /* the one worked on, and a full or empty one beside it */
  tri_view view;
  size_t bytes;      /* of the objects it has scanned, in slots */
  size_t told;       /* of these, the part that tri_marker_done has heard of */
  uint64_t deadline; /* after which it ends the session; 0: none */
  uint64_t until;    /* after which it leaves, having other things to do; 0: never */
  unsigned turn;     /* of the ring: where the next entry goes in and the oldest comes out */
  uintptr_t ring[TRI_MARKER_RING];
} tri_marker;

/* Bytes that markers have scanned, all of them and ever: it lags behind by what the markers at work have not told yet.
 * Relaxed. */
size_t tri_marker_done(void);

/* False when there is no memory for a buffer. */
bool tri_marker_begin(tri_marker *marker, uint64_t deadline);

/* What it has left is shared. No session need be on. */
void tri_marker_end(tri_marker *marker);

/* Marks what a root points to. No session need be on. */
void tri_marker_scan_root(tri_marker *marker, const tri_root *root);

/* Scans the marked objects in ranges of the heap again, as far as they lie in them. No session need be on. */
void tri_marker_rescan(tri_marker *marker, const tri_os_range *ranges, size_t count);

/* Scans what is grey until all markers are done, or the session is ended. */
void tri_marker_drain(tri_marker *marker);

/* The same for about so many bytes of objects, and until a time at most. */
void tri_marker_drain_some(tri_marker *marker, size_t bytes, uint64_t until);

/* Scans what waits in the grey bitmap, and what is below. Returns whether there was any. One marker at a time. */
bool tri_marker_drain_overflow(tri_marker *marker);

/* Whether there may be any. */
bool tri_marker_overflowed(void);

/* The grey bitmap is forgotten. */
void tri_marker_drop_overflow(void);

#endif
