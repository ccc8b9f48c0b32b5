/* api/stats.c - the public functions that give figures. */
#include <string.h>

#include "api/link.h"
#include "gc/cycle.h"
#include "gc/start.h"
#include "prof/memstats.h"

TRI_API void tri_read_memstats(tri_memstats *stats) {
  TRI_KEEP_ERRNO;
  bool already;
  memset(stats, 0, sizeof *stats);
  if (tri_start(NULL, &already)) tri_memstats_collect(stats);
}

TRI_API void tri_read_stopstats(tri_stopstats *stats) {
  TRI_KEEP_ERRNO;
  bool already;
  memset(stats, 0, sizeof *stats);
  if (tri_start(NULL, &already)) tri_stopstats_collect(stats);
}

TRI_API void tri_read_cycles(uint64_t *begun, uint64_t *over) { tri_cycle_counts(begun, over); }
