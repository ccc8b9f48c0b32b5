/* api/stats.c - the public functions that give figures. */
#include <string.h>

#include "gc/start.h"
#include "prof/memstats.h"

TRI_API void tri_read_memstats(tri_memstats *stats) {
  bool already;
  memset(stats, 0, sizeof *stats);
  if (tri_start(NULL, &already)) tri_memstats_collect(stats);
}

TRI_API void tri_read_stopstats(tri_stopstats *stats) {
  bool already;
  memset(stats, 0, sizeof *stats);
  if (tri_start(NULL, &already)) tri_stopstats_collect(stats);
}

static void observe(const tri_cycle_report *report) {
  if (tri_start_settings()->trace_gc) tri_trace_collection(report);
}

__attribute__((constructor(101))) static void hear_of_collections(void) { tri_start_observer = observe; }
