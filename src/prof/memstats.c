/* prof/memstats.c - runtime/mstats.go's figures from ours.
 *
 * Objects: claimed slots less those that wait in caches, less freed ones. Bytes follow from objects by class. Sys parts
 * are the committed sizes of the reservations (heap/reservation.h), so they add up by construction. Locks, one after
 * the other: TRI_RANK_REGISTRY, TRI_RANK_PAGES, TRI_RANK_CYCLE. */
#include "prof/memstats.h"

#include <string.h>

#include "base/fmt.h"
#include "gc/collection.h"
#include "gc/thread.h"
#include "gc/watch.h"
#include "heap/layout.h"
#include "heap/span.h"

/* Counters of running threads are read one after another: an object may be counted as freed that was not yet there when
 * allocations were counted. So that no difference wraps around, as many count as allocated. */
static void settle(uint64_t *allocated, const uint64_t *freed) {
  if (*allocated < *freed) *allocated = *freed;
}

/* Returns how many caches there are. */
static size_t sum_counts(tri_counts *sum) {
  size_t caches = 0;
  memset(sum, 0, sizeof *sum);
  tri_threads_lock();
  tri_counts_add(sum);
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next, caches++)
    tri_cache_counts_add(&thread->cache, sum);
  tri_threads_unlock();
  for (int i = 0; i < TRI_CLASS_COUNT; i++) settle(&sum->allocated[i], &sum->freed[i]);
  settle(&sum->large_allocated_bytes, &sum->large_freed_bytes);
  return caches;
}

static void fill_objects(tri_memstats *stats) {
  _Static_assert(TRI_BY_SIZE_COUNT >= (int)TRI_CLASS_COUNT, "BySize has an entry for each class");
  tri_counts counts;
  stats->MCacheInuse = sum_counts(&counts) * sizeof(tri_thread);
  uint64_t allocated = counts.large_allocated_bytes, freed = counts.large_freed_bytes;
  stats->Mallocs = counts.allocated[0] + counts.tiny;
  stats->Frees = counts.freed[0] + counts.tiny;
  for (int i = 1; i < TRI_CLASS_COUNT; i++) {
    stats->BySize[i].Size = tri_size_classes[i].size;
    stats->BySize[i].Mallocs = counts.allocated[i];
    stats->BySize[i].Frees = counts.freed[i];
    stats->Mallocs += counts.allocated[i];
    stats->Frees += counts.freed[i];
    allocated += counts.allocated[i] * tri_size_classes[i].size;
    freed += counts.freed[i] * tri_size_classes[i].size;
  }
  stats->TotalAlloc = allocated;
  stats->Alloc = stats->HeapAlloc = allocated - freed;
  stats->HeapObjects = stats->Mallocs - stats->Frees;
}

static void fill_memory(tri_memstats *stats) {
  tri_page_heap_figures heap = tri_page_heap_read();
  stats->HeapSys = heap.heap_bytes;
  stats->HeapInuse = heap.used_bytes;
  stats->HeapIdle = heap.heap_bytes - heap.used_bytes;
  stats->HeapReleased = heap.released_bytes;
  stats->MSpanInuse = heap.spans_in_use * sizeof(tri_span);
  stats->MSpanSys = tri_meta_reservation(TRI_META_SPAN)->committed;
  stats->MCacheSys = tri_meta_reservation(TRI_META_CACHE)->committed;
  stats->GCSys = tri_arena_table_bytes() + heap.table_bytes + tri_watch_table_bytes() +
                 tri_meta_reservation(TRI_META_GC)->committed;
  stats->OtherSys = tri_meta_reservation(TRI_META_OTHER)->committed + tri_central_bytes();
  stats->Sys = stats->HeapSys + stats->StackSys + stats->MSpanSys + stats->MCacheSys + stats->BuckHashSys +
               stats->GCSys + stats->OtherSys;
}

static void fill_collections(tri_memstats *stats) {
  tri_cycle_history history = tri_cycle_read_history();
  stats->NextGC = history.goal == PTRDIFF_MAX ? UINT64_MAX : history.goal;
  stats->LastGC = history.last_end;
  stats->PauseTotalNs = history.stop_total;
  _Static_assert(sizeof stats->PauseNs == sizeof history.pauses, "both keep as many pauses");
  memcpy(stats->PauseNs, history.pauses, sizeof stats->PauseNs);
  memcpy(stats->PauseEnd, history.pause_ends, sizeof stats->PauseEnd);
  stats->NumGC = history.count;
  stats->NumForcedGC = history.forced;
  stats->GCCPUFraction = history.cpu_fraction;
  stats->EnableGC = true;
}

/* The page heap's lock is held only while stops are deferred, the registry's and the cycle's only while they are
 * not. */
void tri_memstats_collect(tri_memstats *stats) {
  memset(stats, 0, sizeof *stats);
  fill_objects(stats);
  tri_thread *self = tri_thread_self();
  if (self) {
    tri_cache_defer(&self->cache);
    fill_memory(stats);
    tri_cache_undefer(&self->cache);
  }
  fill_collections(stats);
}

void tri_stopstats_collect(tri_stopstats *stats) {
  tri_cycle_history history = tri_cycle_read_history();
  uint64_t begun, over;
  tri_cycle_counts(&begun, &over);
  *stats = (tri_stopstats){.count = history.stop_count,
                           .total_ns = history.stop_total,
                           .longest_ns = history.stop_longest,
                           .mark_cpu_ns = history.mark_cpu,
                           .largest_marked_bytes = history.largest_marked,
                           .gear = tri_collection_is_concurrent() ? "page" : "none",
                           .cycles_begun = begun,
                           .concurrent = history.concurrent,
                           .young = history.young,
                           .rounds = history.rounds,
                           .abandoned = history.abandoned,
                           .assist_ns = history.assist};
  _Static_assert(TRI_STOP_BUCKETS == (int)TRI_STOP_CLASSES, "the public histogram is the collector's");
  memcpy(stats->counts, history.stop_classes, sizeof stats->counts);
}

/* ---- the trace ---- */

static double ms(uint64_t ns) { return (double)ns / 1e6; }

/* In Go's form: the first stop, the mark, the last stop; of a mark in one stop, what stopping took, the mark, and
 * starting again. The marker's processor time is given as dedicated. */
void tri_trace_collection(const tri_cycle_report *report) {
  tri_print(
      "gc %u @%.3fs %.0f%%: %.3f+%.3f+%.3f ms clock, %.3f+%.3f/%.3f/%.3f+%.3f ms cpu, %zu->%zu->%zu MB, %zu MB goal, "
      "%zu MB stacks, %zu MB globals, %d P%s\n",
      (unsigned)report->number, (double)report->since_start / 1e9, report->cpu_fraction * 100, ms(report->stopping),
      ms(report->marking), ms(report->finishing), ms(report->stopping_cpu), ms(report->assist_cpu),
      ms(report->marking_cpu), ms(report->idle_cpu), ms(report->finishing_cpu), report->heap_before >> 20,
      report->heap_after >> 20, report->marked >> 20, report->goal == PTRDIFF_MAX ? 0 : report->goal >> 20,
      report->stack_bytes >> 20, report->data_bytes >> 20, report->markers,
      report->reason == TRI_CYCLE_FORCED ? " (forced)"
      : report->young                    ? " (young)"
                                         : "");
}

void tri_trace_rounds(const tri_cycle_report *report) {
  tri_print(
      "gc %u beside the program: %u stops of at most %.3f ms, %u rounds from %zu to %zu KB written, %zu MB scanned "
      "again, %u given up\n",
      (unsigned)report->number, (unsigned)report->stops, ms(report->stop_longest), (unsigned)report->rounds,
      report->dirty_first >> 10, report->dirty_last >> 10, report->rescanned >> 20, (unsigned)report->abandoned);
}
