/* mark.h - finding everything that can be reached from the roots, by several markers at once: the thread that collects,
 * and helpers of the library's own. The world is stopped; what guards the markers' shared work is gc/work.h's. */
#ifndef TRI_MARK_H
#define TRI_MARK_H

#include "gc/roots.h"

typedef struct tri_mark_result {
  size_t marked_bytes; /* in slots */
  uint64_t cpu_ns;     /* of all markers */
  int markers;         /* that took part */
} tri_mark_result;

/* Faults that tests inject to see check mode catch them (TRICOLOR_DEBUG=inject=...). */
typedef enum tri_mark_fault { TRI_FAULT_NONE, TRI_FAULT_ROOT, TRI_FAULT_CHILD } tri_mark_fault;

/* How many markers a mark may use, the calling thread included. False when memory is out. */
bool tri_mark_init(int markers, tri_mark_fault fault);

/* Starts the helper threads that are not there yet, if a mark of so many bytes is worth their help. Holding no lock. */
void tri_mark_start_helpers(size_t marked_bytes);

/* Marks from the roots. The world is stopped, waiting slots are hidden, all mark bits are clear. */
tri_mark_result tri_mark_run(tri_root_list roots, size_t expected_bytes);

void tri_mark_after_fork_child(void);

/* Whether the object that starts at start is marked. */
TRI_INLINE bool tri_mark_is_set(uintptr_t start) {
  return atomic_load_explicit(&tri_arena_bits(start)->mark, memory_order_relaxed) & tri_bit_mask(start);
}

#endif
