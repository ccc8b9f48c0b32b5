/* fault.h - the fault that a test has put into the collector, to see that it is found (TRICOLOR_DEBUG=inject=...).
 *
 * Set once, at the start; NONE but in such tests. Who has something to leave out asks tri_fault_is whether to; an
 * object that is to stay white loses its mark here. Under the cycle lock, the world being stopped. */
#ifndef TRI_FAULT_H
#define TRI_FAULT_H

#include "base/options.h"

extern tri_fault tri_the_fault;

TRI_INLINE bool tri_fault_is(tri_fault fault) { return tri_unlikely(tri_the_fault == fault); }

/* A mark beside the program begins; any mark is complete. */
void tri_fault_mark_begins(void);
void tri_fault_mark_ends(void);

#endif
