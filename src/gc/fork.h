/* fork.h - letting parent and child of a fork go on allocating and collecting.
 *
 * The three functions are pthread_atfork's. They are registered when the library is loaded, so that prepare runs last:
 * what other handlers wait for may be held by a thread that waits for us. Until then the heap may not have been
 * started, and they do nothing. Nor do they in a signal handler that interrupted one of our slow paths: such a child
 * must not use the heap. */
#ifndef TRI_FORK_H
#define TRI_FORK_H

#include "base/base.h"

void tri_fork_prepare(void);
void tri_fork_parent(void);
void tri_fork_child(void);

/* Whether the calling thread must not wait for the end of a fork: it is the one that forks; or a child whose heap could
 * not be brought to rest, where collections are off for good. */
bool tri_fork_forbids_waiting(void);

#endif
