/* work.h - grey objects waiting to be scanned: buffers that markers fill, share and take from each other.
 *
 * Each marker works on buffers of its own (gc/mark.c) and puts full ones on a shared stack, where any marker takes
 * them; a marker that sees others wait gives half of what it has. Marking ends when every marker that takes part waits
 * and the stack is empty: all counts change under one lock, so that state is seen by exactly one marker, which declares
 * the end. Buffers are metadata, kept for reuse. When none can be had the caller puts the object into the grey bitmap
 * instead, so marking never fails. Lock: TRI_RANK_WORK. */
#ifndef TRI_WORK_H
#define TRI_WORK_H

#include "heap/region.h"

enum { TRI_WORK_ENTRIES = 1022 };

/* What an entry means is the marker's business (gc/mark.c). */
typedef struct tri_work_buffer {
  struct tri_work_buffer *next;
  size_t count;
  uintptr_t entries[TRI_WORK_ENTRIES];
} tri_work_buffer;

/* At most so many buffers, 0: no limit (TRICOLOR_DEBUG=workbufs). */
void tri_work_limit(size_t buffers);

/* An empty buffer, or NULL when memory is out. */
tri_work_buffer *tri_work_new(void);
void tri_work_recycle(tri_work_buffer *buffer);

/* A mark begins, with the caller as its only marker. */
void tri_work_begin(void);
/* One more marker takes part. False when the mark is over (or none is on). */
bool tri_work_join(void);
/* Whether no mark is on. seq_cst. */
bool tri_work_is_over(void);

/* Puts a buffer where others find it. */
void tri_work_share(tri_work_buffer *buffer);
/* Takes one; waits for one while others still work. NULL: the mark is over. */
tri_work_buffer *tri_work_take(void);

/* Whether another marker waits for work. Relaxed hint. */
bool tri_work_is_wanted(void);

#endif
