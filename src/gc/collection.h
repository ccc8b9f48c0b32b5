/* collection.h - the one collection under way: its phases, each a step between two moments at which the collector's
 * locks are free.
 *
 * Everything but tri_collection_mark, _assist and the questions is called under a visit of the loader (os.h) that has
 * noted static data and thread-local storage (gc/roots.h), with the cycle lock held, by the collector's thread or by
 * one of the program's that defers stops. cycle.c, whose head tells the story, decides who calls what when. */
#ifndef TRI_COLLECTION_H
#define TRI_COLLECTION_H

#include "base/options.h"
#include "gc/history.h"

typedef enum tri_collection_status {
  TRI_COLLECTION_NONE,    /* there is none under way */
  TRI_COLLECTION_MARKING, /* a concurrent mark goes on: tri_collection_mark, then tri_collection_advance */
  TRI_COLLECTION_DONE,    /* it has just been finished: tri_collection_report */
  TRI_COLLECTION_FAILED,  /* it could not be made and was given up: a thread cannot be stopped, or memory is out */
} tri_collection_status;

bool tri_collection_init(const tri_settings *settings);

/* Called in the first stop of every full collection, before any root is read, when it is not NULL. Relaxed. */
extern _Atomic(void (*)(void)) tri_collection_full_begins;

/* Begins one; none is under way. Where that takes less than a stop may last, or nothing else can be done, it stops the
 * world, marks, and is done. */
tri_collection_status tri_collection_begin(tri_cycle_reason reason);

/* Looks at what became dirty, and finishes if that can be done in the time a stop may last. */
tri_collection_status tri_collection_advance(void);

/* The turn of who has begun or advanced it: read with the lock still held. */
uint32_t tri_collection_turn(void);

/* Marks beside the program, until there is nothing left to mark or somebody else has taken over, for the turn is no
 * longer his. No lock held. by_name: the program waits for it, so that all processors may be used. */
void tri_collection_mark(uint32_t turn, bool by_name);

/* Whether a concurrent mark is under way. Any thread; exact under the cycle lock, and for threads that defer stops. */
bool tri_collection_is_marking(void);

/* Whether the next one is expected to take less than a stop may last. Relaxed. */
bool tri_collection_is_short(void);

/* Whether one can be made beside the program at all. */
bool tri_collection_is_concurrent(void);

/* The report of the one that is DONE. */
const tri_cycle_report *tri_collection_report(void);

/* Sets the percentage; returns the old one. Cycle lock held. */
int tri_collection_set_percent(int percent);

/* Under the cycle lock. */
tri_cycle_history tri_collection_history(void);

/* Gives up the one under way, if any. Cycle lock held. */
void tri_collection_drop(void);

/* Nobody marks when this returns, and nobody will before tri_collection_advance. Cycle lock held. */
void tri_collection_rest(void);

/* A thread of the program that allocates while a mark is on scans for the bytes it has claimed. Stops deferred. */
void tri_collection_assist(size_t claimed);

/* One that is over the limit does what it can for some time. False when there was nothing to do. Stops deferred. */
bool tri_collection_assist_fully(void);

/* In the child, of what was under way nothing is left. torn: locks may be held by nobody. */
void tri_collection_after_fork_child(bool torn);

#endif
