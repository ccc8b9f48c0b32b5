/* helpers.h - the library's own threads that help to mark.
 *
 * How many help is said by who directs a session (gc/mark.c):
 *
 *   a share   a mark beside the program has a quarter of the processors, as Go's (runtime/mgcpacer.go:
 *             gcBackgroundUtilization), its director counted, and those that are idle on top
 *   all       when the world is stopped, or the program asked for the collection by name
 *
 * An idle processor is found by a thread of low priority, which the system runs at once where nothing else runs. It
 * marks nothing itself: it would be taken off the processor with work in its hands, and the end of the
 * session, for which a stop may have to wait, would wait for it. It calls a helper, for a moment; when it runs again
 * after that, the processor is still idle, and it calls again.
 *
 * No lock: invitations are counted, and whoever wakes takes one or sleeps again. One that comes late for its session
 * finds it over, or makes himself useful in the next. */
#ifndef TRI_HELPERS_H
#define TRI_HELPERS_H

#include "base/base.h"

typedef enum tri_helpers_call { TRI_HELPERS_NONE, TRI_HELPERS_SHARE, TRI_HELPERS_ALL } tri_helpers_call;

/* There will be up to so many markers, who directs them counted. help: joins the session that is on, if one is, and
 * marks until it is over or, when that is not 0, a time; returns whether there was anything to do. */
void tri_helpers_init(int markers, bool (*help)(uint64_t until));

/* Starts the threads that are not there yet. By a thread of the program, holding no lock. */
void tri_helpers_start(void);

/* How many there are, but for those that only look for idle processors. */
int tri_helpers_count(void);

/* A session has begun; and is over. By its director. */
void tri_helpers_call_in(tri_helpers_call call);
void tri_helpers_dismiss(void);

/* In a fork's child there are none. */
void tri_helpers_after_fork_child(void);

#endif
