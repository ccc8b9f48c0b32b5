/* dirty.h - the dirty-page provider: which pages were written since they were armed.
 *
 * The concurrent collector's eyes. One provider is chosen at run time: userfaultfd WP_ASYNC with
 * PAGEMAP_SCAN (Linux 6.7), soft-dirty (where configured), or none. Own constants: older headers lack them. A page
 * that cannot be answered for is reported dirty, never clean; one that holds no memory yet is not reported.
 *
 * Ranges need not begin or end at a page: a page partly in a range is watched as a whole, and what is reported is cut
 * to the range. Ranges that share a page are therefore watched and harvested as one: re-arming the page for one of them
 * would lose what was written to the other. Calls may come from several threads at once for different ranges; none
 * allocates. Not seen are writes by the kernel into pages it has pinned (registered buffers of io_uring, O_DIRECT). */
#ifndef TRI_OS_DIRTY_H
#define TRI_OS_DIRTY_H

#include "os/os.h"

typedef void tri_dirty_report(void *argument, tri_os_range range);

/* How to look. Rearm: a page is armed again before it is reported. Quick: pages that hold no memory may be reported,
 * too; it takes half the time where little is dirty. */
typedef enum tri_dirty_way {
  TRI_DIRTY_LIST,
  TRI_DIRTY_REARM,
  TRI_DIRTY_LIST_QUICK,
  TRI_DIRTY_REARM_QUICK,
} tri_dirty_way;

typedef struct tri_dirty_provider {
  const char *name; /* "wp-async", "soft-dirty", "none" */

  /* arm acts on the whole process at once, forgetting what was dirty anywhere, and harvest never re-arms: every range
   * is armed before the first is relied upon. */
  bool process_wide;

  /* Registers a range; its pages start unarmed, that is, dirty. False when refused: then it cannot be armed. */
  bool (*watch)(uintptr_t low, uintptr_t high);
  void (*unwatch)(uintptr_t low, uintptr_t high);

  /* From now on a write makes a page dirty. In slices, with pauses, for it holds up mmap. False when the range is not
   * watched as a whole: some of it is then not armed, and stays dirty. */
  bool (*arm)(uintptr_t low, uintptr_t high);

  /* Pages need not be armed any more: to write them costs nothing then, and they are dirty. NULL: they cannot be. */
  void (*disarm)(uintptr_t low, uintptr_t high);

  /* Reports the dirty parts of [low, high) in address order; neighbours may come in pieces. False: an error made it
   * report all of the rest of the range. */
  bool (*harvest)(uintptr_t low, uintptr_t high, tri_dirty_way way, tri_dirty_report *report, void *argument);

  /* In the child of a fork, before anything else: what was opened acts on the parent. Nothing is watched afterwards;
   * the caller watches its ranges anew. */
  void (*after_fork)(void);
} tri_dirty_provider;

/* The best provider that works here, probed once; its name is "none" when there is none. */
const tri_dirty_provider *tri_dirty_choose(void);

#endif
