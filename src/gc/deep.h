/* deep.h - deep stacks: frames so far from where their thread is at work that they mostly stay as they are. They are
 * watched for writes, as static data is, and read beside the program, so that a stop reads the upper frames alone.
 *
 * The deep part of a stack is chosen and armed in the first stop of a collection, and read after it. Later stops read
 * what lies above it and what is dirty of it; rounds beside the program read what is dirty and arm it again.
 *
 * What is relied on is a statement about memory, whichever thread uses it: a page of a deep part that is not dirty was
 * read since it was written, and what it points to was marked, in this full collection or in young ones since. So it
 * does no harm that a thread has left its frames or has ended, or that its stack has become another's. Frames that were
 * not seen in the last stop are let alone beside the program, and what may be unmapped meanwhile is read by the system,
 * which tells.
 *
 * All is for the holder of the cycle lock. */
#ifndef TRI_DEEP_H
#define TRI_DEEP_H

#include "gc/helpers.h"

/* When there is a dirty-page provider. Where it arms the whole process at once nothing is watched here. */
void tri_deep_init(void);

/* In a stop, before the threads' frames are shown to one of the three that follow. */
void tri_deep_stop_begins(void);

/* Adds the frames [low, high) of a stopped thread to the roots (tri_roots_frames): in the first stop of a full
 * collection what is not deep, and of a young one; in a stop that may be the last, that and what is dirty of the deep
 * part. False when memory for the list is out. */
bool tri_deep_add_full(uintptr_t low, uintptr_t high);
bool tri_deep_add_young(uintptr_t low, uintptr_t high);
bool tri_deep_add_dirty(uintptr_t low, uintptr_t high);

/* Beside the program, before the next stop: marks what deep parts point to, what is new or dirty of them, which is
 * armed again; and how many bytes that was. The caller has the turn, and keeps it. False when they could not be read:
 * the mark cannot go on. */
bool tri_deep_read(uint32_t turn, tri_helpers_call call, size_t *bytes);

/* Bytes of all deep parts there are. */
size_t tri_deep_bytes(void);

/* In a child that was forked, where nothing is watched. */
void tri_deep_forget(void);

#endif
