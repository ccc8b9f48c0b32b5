/* watch.h - which memory was written since the collector last looked: the pages of the heap that may hold pointers, and
 * static data.
 *
 * Owns the list of dirty heap ranges and the table of watched data, and stands between the collector and the dirty-page
 * provider (os/dirty.h). What cannot be watched counts as dirty at every look. All is for the holder of the cycle lock,
 * what is about data under a visit of the loader (gc/roots.h). */
#ifndef TRI_WATCH_H
#define TRI_WATCH_H

#include "gc/roots.h"

/* Probes for a provider. False when there is none, or the heap cannot be watched. */
bool tri_watch_init(void);

/* The provider's name. */
const char *tri_watch_name(void);

/* Arms static data, then what is in use of the heap: what is written from then on is dirty at the next look. The
 * program may run. False when there is no memory, or the heap can no longer be watched. */
bool tri_watch_arm_data(void);
bool tri_watch_arm_heap(void);

/* ---- the heap ---- */

/* All marks have been cleared. */
void tri_watch_forget_marks(void);

/* Adds what of the heap is dirty to the list; arms: and arms it, which takes two or three times as long. The world is
 * stopped. Returns the bytes found. */
size_t tri_watch_look_at_heap(bool arms);

/* The same while the program runs, and arms what it lists, which takes some ten times as long, for other processors
 * have to be told. all: not only what has marks and was never armed; nothing else can be had where arming is for the
 * whole process at once. No marker is at work. */
size_t tri_watch_look_beside(bool all);

/* At the end of a full mark: what is armed and holds nothing that lives is let go, for it will be written soon. The
 * program may run. */
void tri_watch_release_dead(void);

/* Memory of its tables: part of GCSys. */
size_t tri_watch_table_bytes(void);

/* The list, in pieces for markers to share. */
const tri_os_range *tri_watch_dirty(size_t *count);

size_t tri_watch_dirty_bytes(void);

/* Leaves only the last ones of the list, so many, in it. */
void tri_watch_keep_last(size_t count);

/* ---- static data ---- */

/* Adds what is dirty, or not watched, of the static data that the visit has noted to the roots gathered; arms: and arms
 * it, the new, too. False when memory for the list is out. */
bool tri_watch_look_at_data(bool arms);

/* Whether what is dirty can be armed again beside the program, range by range. */
bool tri_watch_rearms(void);

/* In a stop, when both have been looked at. False when they may not have been armed again. */
bool tri_watch_end_look(void);

/* In a child that was forked, before anything else here. False as for tri_watch_init. */
bool tri_watch_after_fork(void);

#endif
