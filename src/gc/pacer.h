/* pacer.h - when a collection starts, by when it should be done, and what allocating threads do for that.
 *
 * Pure: figures in, figures out. The cycle owns a tri_pacer and measures; nothing here reads a clock, an atomic or a
 * global. Whoever changes a pacer (every function that takes one not const) excludes all others; the functions that
 * only read it may run beside each other, and what they return is the cycle's to publish.
 *
 * Follows runtime/mgcpacer.go and its design (go.dev/design/44167-gc-pacer-redesign). In short:
 *  - The goal is what lives plus the percentage of all that has to be scanned because it lives: heap, stacks, static
 *    data. A memory limit may lower it.
 *  - Cons/mark is what the program allocates per second of processor time, divided by what the collector scans in one.
 *    It is measured over each cycle. The expected scan work times this ratio, weighted by the collector's share of the
 *    processors (a quarter), is what will be allocated while the next cycle runs: the runway.
 *  - The trigger is the goal less the runway, within bounds.
 *  - If the forecast was wrong, those who allocate scan for each byte so much that work and runway end together: the
 *    assist ratio, revised all the time.
 *
 * What is ours: objects born during a cycle are white, and pages written since they were scanned are scanned again, in
 * rounds. This re-marking is scan work like any other (it takes the same time), so it is part of the expected work, of
 * the runway and of what assists pay; but it is not live memory: it never raises a goal and never counts as a growing
 * heap. What is scanned for the second time is re-marking, be it heap, a stack or static data.
 *
 * Units: bytes, nanoseconds. Sizes above TRI_PACER_NEVER do not occur; results are cut there. */
#ifndef TRI_PACER_H
#define TRI_PACER_H

#include "base/base.h"

enum {
  TRI_PACER_MINIMUM = 4 * 1024 * 1024,      /* the goal is never below this at 100 percent; scaled with it */
  TRI_PACER_SWEEP_DISTANCE = 1024 * 1024,   /* growth the sweeper is given between two cycles (sweepMinHeapDistance) */
  TRI_PACER_PARTS = 64,                     /* of the way from what lives to the goal, to say where the trigger is */
  TRI_PACER_MINIMUM_RUNWAY = 64 * 1024,     /* between where a cycle started and its goal */
  TRI_PACER_MINIMUM_HEADROOM = 1024 * 1024, /* below a memory limit (memoryLimitMinHeapGoalHeadroom) */
  TRI_PACER_HEADROOM_PERCENT = 3,           /* the same, of a large heap (memoryLimitHeapGoalHeadroomPercent) */
  TRI_PACER_ASSIST_LEAST = 64 * 1024,       /* work of one assist: small debts are not worth it (gcOverAssistWork) */
  TRI_PACER_LEAST_LEFT = 1000,              /* work that is always assumed to be left */
  TRI_PACER_REMARK_MOST = 4,                /* the forecast of re-marking ends at so many times the other work */
  TRI_PACER_CYCLES = 4,                     /* cons/mark values remembered */
};

/* A goal, trigger or limit that is never reached; also SIZE_MAX cut to what a ptrdiff_t holds. */
#define TRI_PACER_NEVER ((size_t)PTRDIFF_MAX)

/* The collector's goal share of the processors while it marks (gcBackgroundUtilization, gcGoalUtilization). */
#define TRI_PACER_SHARE 0.25

/* Scan work by what is scanned. */
typedef struct tri_pacer_work {
  size_t heap;   /* scannable bytes of heap objects: not pointer-free ones */
  size_t stack;  /* stacks, registers, thread-local storage, registered ranges */
  size_t data;   /* static data */
  size_t remark; /* any of these, scanned again */
} tri_pacer_work;

/* How far a cycle is. */
typedef struct tri_pacer_progress {
  size_t live;         /* heap bytes that lived after the last cycle, and all allocated since (gcController.heapLive) */
  tri_pacer_work done; /* scanned in this cycle (heapScanWork, stackScanWork, globalsScanWork) */
  tri_pacer_work most; /* what there is: if all of it lived, done would come to this (heapScan, maxStackScan,
                        * globalsScan). remark: what the rounds found to scan again so far, done or not */
} tri_pacer_progress;

/* What a memory limit is compared with; all zero where no limit is set. */
typedef struct tri_pacer_memory {
  size_t mapped;     /* all memory of ours that the system keeps for us (mappedReady) */
  size_t heap_free;  /* of it, in no span and not given back (heapFree) */
  size_t heap_alloc; /* of it, in heap objects (totalAlloc - totalFree) */
} tri_pacer_memory;

/* Where a cycle starts and where it should have ended, as heap sizes. trigger <= goal. */
typedef struct tri_pacer_point {
  size_t trigger, goal;
} tri_pacer_point;

/* What allocating costs while a cycle runs. Each is the other's inverse when taken from one revision. */
typedef struct tri_pacer_assist {
  double work_per_byte; /* bytes to scan for each byte allocated */
  double bytes_per_work;
} tri_pacer_assist;

/* One assist: scan so much, be credited with so many allocated bytes. */
typedef struct tri_pacer_demand {
  size_t work, bytes;
} tri_pacer_demand;

/* Where the time of one cycle went, from its start to its end. */
typedef struct tri_pacer_times {
  uint64_t duration; /* wall */
  uint64_t assist;   /* processor time of the program's threads that scanned */
  uint64_t idle;     /* processor time of workers of idle priority */
  int processors;
} tri_pacer_times;

/* What goals are measured from: what a cycle that looked at everything found. */
typedef struct tri_pacer_base {
  size_t marked, stack, data;
} tri_pacer_base;

typedef struct tri_pacer {
  int percent;     /* -1: off */
  size_t limit;    /* TRI_PACER_NEVER: none */
  size_t earliest; /* where between what lives and the goal the trigger may lie, in parts of TRI_PACER_PARTS */
  tri_pacer_base base;

  /* What the last cycle left. */
  size_t marked;
  tri_pacer_work last;
  double cons_mark;
  double recent[TRI_PACER_CYCLES]; /* as measured, the oldest first; cons_mark is never below them */

  /* What commit made of it. */
  size_t percent_goal;
  size_t runway;
  size_t sweep_trigger; /* growth before this is the sweeper's; 0: all is swept */

  size_t triggered; /* heap size at which the cycle under way started; SIZE_MAX: none is under way */
} tri_pacer;

/* The heap size, in bytes, at which to collect next when the program is stopped for the whole mark, so that the trigger
 * is the goal itself; PTRDIFF_MAX when percent is negative. (commit's gcPercentHeapGoal) */
ptrdiff_t tri_pacer_goal(size_t marked, size_t stack_bytes, size_t data_bytes, int percent);

/* A pacer before the first cycle. percent: negative is off. (init) */
void tri_pacer_init(tri_pacer *pacer, int percent, size_t limit);

/* Sets the earliest trigger, in parts of TRI_PACER_PARTS between what lives and the goal; at first 45, Go's 70 %, and
 * at most 61. (Go: minTriggerRatioNum) */
void tri_pacer_set_earliest(tri_pacer *pacer, size_t parts);

/* Each returns the old value; tri_pacer_commit must follow, and, in a cycle, a revision. (setGCPercent,
 * setMemoryLimit) */
int tri_pacer_set_percent(tri_pacer *pacer, int percent);
size_t tri_pacer_set_limit(tri_pacer *pacer, size_t limit);

/* A cycle that was not this pacer's, or not of everything, has left so many bytes: there are collections of two kinds,
 * with a pacer each, for what one kind costs says nothing about the other. The trigger lies between what is left and
 * the goal, and the goal is that of the base, so that what a cycle of young objects takes to live raises no goal.
 * tri_pacer_commit must follow. (Go has no such case) */
void tri_pacer_set_left(tri_pacer *pacer, tri_pacer_base base, size_t left);

/* Computes goal and runway anew. At any time: in a cycle it adjusts that cycle. swept: nothing waits for the sweeper.
 * (commit) */
void tri_pacer_commit(tri_pacer *pacer, size_t live, bool swept);

/* The scan work of the next cycle, as far as can be known before it: what the last one did. */
size_t tri_pacer_expected_work(const tri_pacer *pacer);

/* The goal under the memory limit alone, TRI_PACER_NEVER when there is none. Never below what lives, so that a limit
 * that cannot be kept means collecting all the time (and the limiter, gc/pacer_limit.h, ends that).
 * (memoryLimitHeapGoal) */
size_t tri_pacer_limit_goal(const tri_pacer *pacer, tri_pacer_memory memory);

/* The goal now. (heapGoal) */
size_t tri_pacer_heap_goal(const tri_pacer *pacer, tri_pacer_memory memory);

/* When to start the next cycle, and its goal. Both TRI_PACER_NEVER: never. (trigger) */
tri_pacer_point tri_pacer_trigger(const tri_pacer *pacer, tri_pacer_memory memory);

/* Whether a cycle is due because the last full one was so long ago: more than period; Go's is two minutes. last_end,
 * now: on one clock; 0: there was none. (gcTrigger.test with gcTriggerTime, forcegcperiod) */
bool tri_pacer_is_due(const tri_pacer *pacer, uint64_t period, uint64_t last_end, uint64_t now);

/* A cycle starts at this heap size. tri_pacer_revise gives its first assist ratio. (startCycle) */
void tri_pacer_start_cycle(tri_pacer *pacer, size_t live);

/* The cycle under way is given up and leaves no figures. (Go has no such case) */
void tri_pacer_drop_cycle(tri_pacer *pacer);

/* The assist ratio from here on. Only while a cycle is under way. With the percentage off (a cycle asked for by name)
 * it is as if the percentage were huge. (revise) */
tri_pacer_assist tri_pacer_revise(const tri_pacer *pacer, const tri_pacer_progress *progress, tri_pacer_memory memory);

/* What a thread that allocated debt bytes more than it has credit for must scan, or take from what workers scanned, and
 * the bytes it is then credited with. (gcAssistAlloc) */
tri_pacer_demand tri_pacer_assist_demand(tri_pacer_assist assist, size_t debt);

/* The bytes that a thread is credited with for part of a demand. Never 0, so that debts end. (gcAssistAlloc,
 * gcAssistAlloc1) */
size_t tri_pacer_assist_credit(tri_pacer_assist assist, size_t work);

/* The cycle is over and so much was marked: measures cons/mark, commits with nothing swept. A duration of 0 (the whole
 * mark ran in a stop), or no growth, measures nothing. (endCycle, resetLive, commit) */
void tri_pacer_end_cycle(tri_pacer *pacer, const tri_pacer_progress *progress, const tri_pacer_times *times,
                         size_t marked);

#endif
