/* history.h - the record of collections and of stops. Guarded by the cycle lock; readers copy it under it. */
#ifndef TRI_HISTORY_H
#define TRI_HISTORY_H

#include "os/os.h"

typedef enum tri_cycle_reason {
  TRI_CYCLE_GROWTH, /* the heap reached its goal */
  TRI_CYCLE_FORCED, /* tri_gc: the caller wants everything swept, too */
  TRI_CYCLE_MEMORY, /* memory ran out */
  TRI_CYCLE_PERIOD, /* the last one was long ago */
} tri_cycle_reason;

/* What one collection did; times in nanoseconds. */
typedef struct tri_cycle_report {
  uint32_t number;
  tri_cycle_reason reason;
  bool concurrent;      /* marked beside the program, by dirty pages */
  bool young;           /* what was old was taken to live */
  uint64_t since_start; /* its end, since the heap was started */
  uint64_t stopping;    /* sweeping what was left, and stopping the threads; concurrent: the first stop */
  uint64_t marking;
  uint64_t finishing;                                          /* concurrent: the last stop */
  uint64_t stopping_cpu, marking_cpu, idle_cpu, finishing_cpu; /* idle: of helpers on processors that were */
  uint64_t assist, assist_cpu;            /* time that threads of the program spent marking; of it on a processor */
  uint64_t stop_total, stop_longest;      /* of this collection */
  uint32_t stops, rounds, abandoned;      /* rounds: looks at what is dirty, beside the program or in a stop */
  size_t dirty_first, dirty_last;         /* bytes, in the first and the last round */
  size_t rescanned;                       /* bytes of dirty ranges */
  size_t heap_before, heap_after, marked; /* bytes */
  size_t newly_marked;                    /* of which objects that had no mark before */
  size_t heap_in_use;                     /* bytes of spans at the end */
  size_t goal, next_goal;                 /* PTRDIFF_MAX: none */
  size_t stack_bytes, data_bytes;
  int markers;
  double cpu_fraction; /* GCCPUFraction at its end */
} tri_cycle_report;

enum { TRI_PAUSE_RING = 256, TRI_STOP_CLASSES = 24 };

typedef struct tri_cycle_history {
  uint32_t count, forced, concurrent, young;
  uint64_t rounds, abandoned;
  uint64_t last_end; /* since 1970 */
  uint64_t stop_total, stop_longest, stop_count;
  uint64_t stop_classes[TRI_STOP_CLASSES];                     /* [i]: up to 2^i microseconds */
  uint64_t pauses[TRI_PAUSE_RING], pause_ends[TRI_PAUSE_RING]; /* all stops of a collection together, as in Go */
  uint64_t mark_cpu, assist;
  size_t largest_marked;
  size_t goal;
  double cpu_fraction;
} tri_cycle_history;

/* Adds one stop. */
void tri_history_add_stop(tri_cycle_history *history, uint64_t duration);

/* Adds a collection whose stops were added; completes the report. */
void tri_history_add(tri_cycle_history *history, tri_cycle_report *report);

#endif
