/* generation.h - which collections look at young objects only.
 *
 * Marks stay when a collection is over: what has one is old. A full collection clears them first; a young one goes on
 * from them, so that it scans what was written since (gc/watch.h), marks what is new, and takes everything old to live
 * (Demers, Weiser, Hayes, Boehm, Bobrow and Shenker, "Combining generational and conservative garbage collection",
 * 1990). It costs what the young that live and the pages written cost, and frees nothing that is old.
 *
 * Pure: figures in, a decision out. Held under the cycle lock. */
#ifndef TRI_GENERATION_H
#define TRI_GENERATION_H

#include "base/base.h"

typedef struct tri_generations {
  bool can_be_young; /* the last collection has left marks that hold, and what was written since is known */
  size_t full_left;  /* bytes after the last full one, */
  size_t left;       /* and after the last one of either kind */
  size_t growth;     /* by how much the next young one is expected to raise that */
  uint32_t backoff;  /* how many full ones in a row are made after a young one that did not pay */
  uint32_t full_due; /* how many of those are still to come */
} tri_generations;

/* A full one has left so many bytes; watched: what is written from its end on is known. */
void tri_generations_end_full(tri_generations *generations, size_t left, bool watched);

/* A young one has marked so many bytes of new objects, scanned so many bytes of old ones again, and left so many. */
void tri_generations_end_young(tri_generations *generations, size_t marked, size_t rescanned, size_t left);

/* Marks are gone, or not to be trusted. */
void tri_generations_forget(tri_generations *generations);

/* Whether the next one should be young, when it begins at a heap of `goal` bytes. */
bool tri_generations_next_is_young(const tri_generations *generations, size_t goal);

#endif
