/* pacer.c - see pacer.h. */
#include "gc/pacer.h"

ptrdiff_t tri_pacer_goal(size_t marked, size_t stack_bytes, size_t data_bytes, int percent) {
  if (percent < 0) return PTRDIFF_MAX;
  size_t minimum = (size_t)TRI_PACER_MINIMUM * (size_t)percent / 100;
  size_t scanned, growth, goal;
  if (__builtin_add_overflow(marked, stack_bytes + data_bytes, &scanned) ||
      __builtin_mul_overflow(scanned, (size_t)percent, &growth) ||
      __builtin_add_overflow(marked, growth / 100, &goal) || goal > PTRDIFF_MAX)
    return PTRDIFF_MAX;
  return (ptrdiff_t)tri_max(goal, minimum);
}
