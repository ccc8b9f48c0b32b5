/* fork.h - letting parent and child of a fork go on allocating and collecting.
 *
 * prepare, parent and child are pthread_atfork's. They are registered when the library is loaded, so that prepare runs
 * last: what other handlers wait for may be held by a thread that waits for us. Until the heap is started they see to
 * it that it is not being started, and to the parcels.
 *
 * A signal handler may fork, too. One that has interrupted the library can prepare nothing, for it may have to wait for
 * its own thread. Its child makes no collections. It may use the heap once the handler has returned, unless what was
 * interrupted is a slow path of the heap's (tri_cache_defer): such a child may call exec or _exit, and nothing of
 * ours. */
#ifndef TRI_FORK_H
#define TRI_FORK_H

#include "base/base.h"

void tri_fork_prepare(void);
void tri_fork_parent(void);
void tri_fork_child(void);

/* Stands in for _Fork, which calls no handlers: make is the real one, whose result it returns. */
int tri_fork_bare(int (*make)(void));

/* Whoever makes a child, it finds out (heap/gate.h): called when the library is loaded. */
void tri_fork_watch(void);

/* Called in a child that finds out, or that _Fork made, where handlers of pthread_atfork would have been; for the layer
 * above. It takes no lock. */
extern void (*tri_fork_observer)(void);

#endif
