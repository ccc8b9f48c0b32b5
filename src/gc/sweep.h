/* sweep.h - turning what a mark left white into free memory, when somebody needs it or in the background.
 *
 * A span is swept by whoever comes first: the thread that wants slots of its bucket (heap/central.c), one that takes
 * memory and has to sweep its part (heap/unswept.h), the background thread, the next collection before it stops the
 * world, or tri_gc. The background thread afterwards gives memory
 * back (scavenging, runtime/mgcscavenge.go): it keeps what the next cycle will want and works for 1 % of a processor.
 * Lock: TRI_RANK_SWEEP is held by the background thread while it sweeps and by the collector from before it sweeps what
 * is left until after the flip, so that no span is between lists at a flip. */
#ifndef TRI_SWEEP_H
#define TRI_SWEEP_H

#include "base/base.h"

/* Sweeps some of what is unswept. False when nothing is left. */
bool tri_sweep_batch(void);

/* Waits for the background thread to put down the span it may have in hand. Stops are not deferred. */
void tri_sweep_settle(void);

/* Sweeps all that is unswept, for the collector, which then keeps the sweep lock until tri_sweep_resume. */
void tri_sweep_finish(void);
void tri_sweep_resume(void);
/* Keeps the background thread from sweeping until tri_sweep_resume, without sweeping anything. */
void tri_sweep_pause(void);

/* Starts the background thread if there is none. By a thread of the program, holding no lock. */
void tri_sweep_start(void);

/* The trigger of the next collection is set: shares out what is to be swept over what may be claimed until then. Stops
 * deferred, or by a thread of our own. */
void tri_sweep_share_out(void);

/* A collection is over: sweep in the background, then give back what lies over retain bytes of heap. */
void tri_sweep_in_background(size_t retain);

/* Gives every free page back now. Returns the bytes. */
size_t tri_scavenge_all(void);

/* For assertions: whether the sweep lock is held and no list has an unswept span. */
bool tri_sweep_is_done(void);

/* In a fork's child there is no background thread. paused: the forking thread holds the lock. */
void tri_sweep_after_fork_child(bool paused);

#endif
