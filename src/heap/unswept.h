/* unswept.h - what the last mark has left to be swept, and who takes memory sweeping his part of it.
 *
 * Spans are swept by whoever wants slots of their bucket, and by the background thread (gc/sweep.h). Should that have
 * no processor, the next collection would have to sweep all that is left before it can begin, and the heap outgrow its
 * goal meanwhile. So what is left is shared out over the bytes that may be taken until then, and who takes some sweeps
 * what is due for them. What others have swept counts for everybody (runtime/mgcsweep.go: deductSweepCredit).
 *
 * No lock of its own. All figures are relaxed: who reads them while they are set sweeps some spans too many or too few,
 * within what a payment may come to. */
#ifndef TRI_UNSWEPT_H
#define TRI_UNSWEPT_H

#include "base/base.h"

/* Sweeps up to `most` spans of any kind; returns how many it found, fewer when nothing is left. Stops deferred, or the
 * sweep lock held. */
size_t tri_unswept_sweep(size_t most);

/* How many spans are unswept, while others sweep. Takes the lock of each central. */
size_t tri_unswept_count(void);

/* From now on so many spans are due over so many bytes taken; 0: nothing is. */
void tri_unswept_share_out(size_t spans, size_t bytes);

/* Somebody has swept one. */
void tri_unswept_note_swept(void);

/* The caller is about to take memory of so many bytes: sweeps what is due, some 30 spans at most. Stops deferred, no
 * lock held. */
void tri_unswept_pay(size_t bytes);

#endif
