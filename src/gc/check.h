/* check.h - the collector's accountant: marks again by other means and compares (TRICOLOR_DEBUG=check=1).
 *
 * Runs after a mark while the world is still stopped. It shares no code with mark.c beyond the roots' list, the spans
 * and the layouts: one thread, an explicit stack, bits of its own, every object found by division. An object it reaches
 * that the mark left white is reported with the place that points to it, and the process aborts.
 *
 * After a mark beside the program one case is no mistake: a word that has not been written since it was read, and looks
 * like a pointer to an object that was made after that. No pointer to that object was ever stored there: it is what is
 * left of another that lay at the same place and was freed, or the end of a neighbour, or a number. So the objects
 * there were when the mark began, or of a young collection those that are old, are remembered, as long as their
 * slots are not handed out anew; a younger one has to be marked for what is read in the last stop alone. */
#ifndef TRI_CHECK_H
#define TRI_CHECK_H

#include "gc/roots.h"

/* Reserves the checker's tables; call once if checking is wanted. */
bool tri_check_init(void);

/* A mark beside the program begins: the world is stopped, waiting slots are hidden. marked_only: it goes on from the
 * marks there are. */
void tri_check_remember(bool marked_only);

/* Everything that can be reached from all roots is marked. read_last: what of static data was read in this stop, and
 * what of the heap is listed as dirty; NULL: the world was stopped for the whole mark. */
typedef struct tri_check_read {
  tri_root_list data;
  const tri_os_range *heap;
  size_t heap_count;
} tri_check_read;
void tri_check_run(tri_root_list roots, const tri_check_read *read_last);

#endif
