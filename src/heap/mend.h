/* mend.h - making a heap usable that threads were cut off in: in the child of a fork for which it was not brought to
 * rest (gc/fork.c).
 *
 * The other threads were anywhere in their slow paths, and are not there any more. What they changed under a lock may
 * be half changed: the lists of spans, the page allocator's tables. But what these say follows from the spans, each of
 * which was whole before the table of pages by address led to it; so they are made anew from there. What such a thread
 * had in hand is lost: spans it was sweeping, pages and descriptors it had not made spans of, its cache. Objects keep
 * their places, and are freed by tri_free as ever.
 *
 * Spans that are lost are never swept, so their marks are stale from now on: no collection may follow. */
#ifndef TRI_MEND_H
#define TRI_MEND_H

/* The caller is the only thread, and in none of the heap's slow paths. Takes no lock. */
void tri_heap_mend(void);

#endif
