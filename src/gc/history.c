/* history.c - see history.h. */
#include "gc/history.h"

static size_t stop_class(uint64_t duration) {
  size_t class = 0;
  while (class + 1 < TRI_STOP_CLASSES && duration > (UINT64_C(1000) << class)) class ++;
  return class;
}

void tri_history_add_stop(tri_cycle_history *history, uint64_t duration) {
  history->stop_count++;
  history->stop_total += duration;
  if (duration > history->stop_longest) history->stop_longest = duration;
  history->stop_classes[stop_class(duration)]++;
}

void tri_history_add(tri_cycle_history *history, tri_cycle_report *report) {
  history->last_end = tri_os_wall();
  history->pauses[history->count % TRI_PAUSE_RING] = report->stop_total;
  history->pause_ends[history->count % TRI_PAUSE_RING] = history->last_end;
  history->count++;
  history->forced += report->reason == TRI_CYCLE_FORCED;
  history->concurrent += report->concurrent;
  history->young += report->young;
  history->rounds += report->rounds;
  history->abandoned += report->abandoned;
  history->mark_cpu += report->marking_cpu + report->idle_cpu;
  history->assist += report->assist;
  if (report->marked > history->largest_marked) history->largest_marked = report->marked;
  history->cpu_fraction = report->cpu_fraction;
  report->number = history->count;
}
