/* central.h - the shared pools of spans, one for each (size class, layout): swept and unswept apart.
 *
 * The counterpart of Go's mcentral. A bucket number names a central:
 *
 *   TRI_BUCKET_CONSERVATIVE ..   conservative, by size class (0 is unused)
 *   TRI_BUCKET_NOSCAN ..         pointer-free, by size class
 *   TRI_BUCKET_TINY              tiny blocks: pointer-free requests under 16 bytes, several to a slot
 *   TRI_BUCKET_TYPED ..          typed: a (layout, size class) that earned spans of its own (heap/layout.h)
 *
 * Each central has four lists: {swept, unswept} x {with free slots, full}. Which index means swept follows from the
 * parity of the epoch, so the flip at the end of a mark turns every swept span into an unswept one without touching it.
 * The flip happens only when no unswept span is left. A span is swept outside the lock by the thread that took it off
 * its list.
 *
 * Lock: TRI_RANK_CENTRAL, one for each central, never two at once; it guards the lists and every span on them. */
#ifndef TRI_CENTRAL_H
#define TRI_CENTRAL_H

#include "heap/span.h"

enum {
  TRI_BUCKET_CONSERVATIVE = 0,
  TRI_BUCKET_NOSCAN = TRI_CLASS_COUNT,
  TRI_BUCKET_TINY = 2 * TRI_CLASS_COUNT,
  TRI_BUCKET_TYPED = TRI_BUCKET_TINY + 1,
  TRI_BUCKET_MAX = TRI_BUCKET_TYPED + 8192, /* the cap on layouts times classes */
};

bool tri_central_init(void);

/* A new bucket for the layout and class; 0 when the cap is reached. Takes no lock: the caller holds TRI_RANK_LAYOUT. */
uint32_t tri_central_create(uint32_t layout, uint32_t size_class);
uint32_t tri_central_count(void);
uint32_t tri_central_class(uint32_t bucket);
size_t tri_central_bytes(void); /* committed: part of OtherSys */

/* A span of the bucket with at least one free slot, in state swept, the caller's: swept now if need be, or fresh. NULL
 * when memory is out. */
tri_span *tri_central_take(uint32_t bucket, tri_span_supply *supply);

/* Takes back a swept span that is the caller's: lists it, or frees its pages when it holds nothing. */
void tri_central_give(tri_span *span);

/* Sweeps one unswept span of the bucket. False when there is none. */
bool tri_central_sweep_one(uint32_t bucket);
/* Whether a list has one: a look without the lock. */
bool tri_central_any_unswept(uint32_t bucket);
size_t tri_central_unswept_count(uint32_t bucket);

/* Frees one object of a span that no cache of the calling thread owns. False when the slot is not allocated. Sets
 * needs_zero. start is a slot start. */
bool tri_central_free_slot(tri_span *span, uintptr_t start);

/* For heap/mend.c: empties all lists and frees their locks; puts a span in state central on the list it belongs on. */
void tri_central_mend_begin(void);
void tri_central_mend_span(tri_span *span);

#endif
