/* check.h - the collector's accountant: marks again by other means and compares (TRICOLOR_DEBUG=check=1).
 *
 * Runs after a mark while the world is still stopped. It shares no code with mark.c beyond the roots' list, the spans
 * and the layouts: one thread, an explicit stack, bits of its own, every object found by division. An object it reaches
 * that the mark left white is reported with the place that points to it, and the process aborts. */
#ifndef TRI_CHECK_H
#define TRI_CHECK_H

#include "gc/roots.h"

/* Reserves the checker's tables; call once if checking is wanted. */
bool tri_check_init(void);

void tri_check_run(tri_root_list roots);

#endif
