/* work.h - grey objects waiting to be scanned: buffers that markers fill, share and take from each other, and the
 * sessions in which they do so.
 *
 * Each marker works on buffers of its own (gc/marker.c) and puts full ones on a shared stack, where any marker takes
 * them; a marker that sees others wait gives half of what it has. A session ends when every marker that takes part
 * waits and the stack is empty: all counts change under one lock, so that state is seen by exactly one marker, which
 * declares the end. Or it is ended from outside, and then what is grey stays on the stack for the next one: the markers
 * share what they have and leave. Who directs sessions, one at a time, is settled by turns: to take the turn ends the
 * session of whoever had it before, and it begins no other.
 *
 * Buffers are metadata, kept for reuse. When none can be had the caller puts the object into the grey bitmap instead,
 * so marking never fails. Lock: TRI_RANK_WORK. */
#ifndef TRI_WORK_H
#define TRI_WORK_H

#include "heap/reservation.h"

enum { TRI_WORK_ENTRIES = 1022 };

/* What an entry means is the marker's business (gc/marker.c). */
typedef struct tri_work_buffer {
  struct tri_work_buffer *next;
  size_t count;
  uintptr_t entries[TRI_WORK_ENTRIES];
} tri_work_buffer;

/* At most so many buffers, 0: no limit (TRICOLOR_DEBUG=workbufs). */
void tri_work_limit(size_t buffers);

/* In the child of a fork that was prepared: no session was on. */
void tri_work_after_fork_child(void);

/* In a child of which the library was not told: other threads may have been at it. No session is on, nothing is
 * grey. */
void tri_work_mend(void);

/* An empty buffer, or NULL when memory is out. */
tri_work_buffer *tri_work_new(void);
void tri_work_recycle(tri_work_buffer *buffer);
/* One to begin with: empty, or else, when no more can be had, a shared one with what it holds. NULL: neither. */
tri_work_buffer *tri_work_first(void);

/* ---- sessions ---- */

/* Takes the turn to direct sessions from whoever had it; a session under way ends. Never 0. */
uint32_t tri_work_take_turn(void);

/* A session begins, with the caller as its only marker. False when the turn is another's by now. */
bool tri_work_begin(uint32_t turn);
/* One more marker takes part. False when no session is on. */
bool tri_work_join(void);
/* A marker that took part goes before the end, having shared what it had. */
void tri_work_leave(void);
/* Ends the session under way: its markers leave as soon as they look. */
void tri_work_end(void);
/* Whether no session is on. seq_cst. */
bool tri_work_is_over(void);

/* Whether grey objects are on the shared stack. Exact when no session is on. */
bool tri_work_is_left(void);
/* Forgets them. No session is on. */
void tri_work_drop(void);

/* ---- sharing ---- */

/* Puts a buffer where others find it. */
void tri_work_share(tri_work_buffer *buffer);
/* Takes one; waits for one while others still work, until the deadline (0: none), which ends the session. NULL: the
 * session is over. */
tri_work_buffer *tri_work_take(uint64_t deadline);
/* Takes one; waits for one, without sleeping, until the deadline, which ends nothing. NULL: there was none. */
tri_work_buffer *tri_work_take_awake(uint64_t deadline);

/* Whether a marker should look up: another waits for work, or the session is over. Relaxed hint. */
bool tri_work_is_wanted(void);

#endif
