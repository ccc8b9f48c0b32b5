/* memory.c - figures of the memory manager and of the process. */
#include "memory.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

_Thread_local memory_use memory_used;

static uint64_t rss_start;

#ifdef TEXTINDEX_MALLOC
const char *const memory_manager = "malloc";
const bool memory_collected = false;

typedef struct retiree {
  memory_giver *giver;
  void *object;
} retiree;

struct memory_retired {
  retiree *items;
  size_t count, capacity;
};

struct memory_life {
  atomic_uint holders; /* beyond the first */
  uint32_t list_count;
  memory_retired lists[];
};

memory_life *memory_life_new(uint32_t lists) {
  size_t size = sizeof(memory_life) + lists * sizeof(memory_retired);
  memory_life *life = calloc(1, size);
  if (life == NULL) memory_out(size);
  life->list_count = lists;
  return life;
}

void memory_hold(memory_life *life) {
  /* Relaxed: who adds a holder is one, so the object cannot go meanwhile. */
  atomic_fetch_add_explicit(&life->holders, 1, memory_order_relaxed);
}

bool memory_drop(memory_life *life) {
  /* Acquire and release: the last one sees whatever the others did to the object before they let go of it. */
  return atomic_fetch_sub_explicit(&life->holders, 1, memory_order_acq_rel) == 0;
}

memory_retired *memory_life_list(memory_life *life, uint32_t number) { return &life->lists[number]; }

void memory_retire(memory_retired *list, memory_giver *giver, void *object) {
  if (list->count == list->capacity) {
    list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
    size_t size = list->capacity * sizeof *list->items;
    list->items = realloc(list->items, size);
    if (list->items == NULL) memory_out(size);
  }
  list->items[list->count++] = (retiree){giver, object};
}

void memory_life_end(memory_life *life) {
  for (uint32_t i = 0; i < life->list_count; i++) {
    memory_retired *list = &life->lists[i];
    for (size_t j = 0; j < list->count; j++) list->items[j].giver(list->items[j].object);
    free(list->items);
  }
  free(life);
}
#else
const char *const memory_manager = "tricolor";
const bool memory_collected = true;
#endif

_Noreturn void memory_out(size_t size) {
  fprintf(stderr, "textindex: out of memory (%zu bytes asked for)\n", size);
  exit(3);
}

/* The value of a line such as "VmRSS:      1234 kB", in bytes. */
static uint64_t status_value(const char *status, const char *name) {
  const char *line = strstr(status, name);
  return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10) * 1024;
}

/* Without stdio: its buffers would be part of what is measured. */
static void read_resident(memory_figures *figures) {
  char status[4096];
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  ssize_t length = read(file, status, sizeof status - 1);
  close(file);
  status[length > 0 ? length : 0] = '\0';
  figures->rss = status_value(status, "\nVmRSS:");
  figures->rss_peak = status_value(status, "\nVmHWM:");
}

void memory_start(void) {
  memory_figures figures = {0};
  read_resident(&figures);
  rss_start = figures.rss;
}

void memory_read(memory_figures *figures) {
  memset(figures, 0, sizeof *figures);
  figures->rss_start = rss_start;
#ifndef TEXTINDEX_MALLOC
  tri_memstats stats;
  tri_read_memstats(&stats);
  figures->allocated = stats.TotalAlloc;
  figures->heap = stats.HeapAlloc;
  figures->heap_sys = stats.HeapSys;
  figures->sys = stats.Sys;
  figures->mallocs = stats.Mallocs;
  figures->pause_total = stats.PauseTotalNs;
  figures->collections = stats.NumGC;
  figures->cpu_fraction = stats.GCCPUFraction;
  tri_stopstats stops;
  tri_read_stopstats(&stops);
  figures->stop_count = stops.count;
  figures->stop_longest = stops.longest_ns;
  figures->mark_cpu = stops.mark_cpu_ns;
  figures->marked = stops.largest_marked_bytes;
#endif
  read_resident(figures);
}
