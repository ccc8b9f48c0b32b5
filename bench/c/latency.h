/* latency.h - how long each operation of a workload takes, and how many are done in each 10 ms.
 *
 * An operation lasts from the end of the one before it to its own end, so that no delay falls between two of them.
 * Times go into a histogram that divides each power of two into 128 parts: a percentile is at most 0.8 % too high, and
 * the longest time is exact. An operation counts in the window in which it ends; a window in which none ends counts as
 * 0, and the last one, which is not full, does not count.
 *
 * Each thread that is measured has its own bench_latency; those of threads that run side by side are begun with the
 * same start and put together at the end. report/latency.go does the same for the Go twins. */
#ifndef LATENCY_H
#define LATENCY_H

#include "bench.h"

enum {
  LATENCY_PART_BITS = 7,
  LATENCY_BUCKETS = (64 - LATENCY_PART_BITS + 1) << LATENCY_PART_BITS,
  LATENCY_WINDOW_NS = 10 * 1000 * 1000,
  LATENCY_WINDOWS = 60 * 1000, /* ten minutes, which is as long as run.py waits */
  LATENCY_TOLD_BITS = 3,       /* the histogram that is printed divides each power of two into 8 parts */
  LATENCY_TEXT_MAX = 2 << 20   /* more than all windows and buckets need */
};

typedef struct bench_latency {
  uint64_t last_ns;       /* when the operation before ended */
  uint64_t window_end_ns; /* of the window that is not full yet, number `windows` */
  size_t windows;
  uint64_t count;
  uint64_t longest_ns;
  uint64_t begun, ended; /* collections, when that window began */
  uint64_t buckets[LATENCY_BUCKETS];
  uint32_t done[LATENCY_WINDOWS + 1]; /* operations in each window; all after the last one count in its place */
  bool collected[LATENCY_WINDOWS];    /* whether a collection was on in it, where the peer tells */
} bench_latency;

static inline bench_latency *bench_latency_make(void) { return bench_map(sizeof(bench_latency), true); }

/* The number of collections begun and ended so far; both 0 where the peer does not tell. */
static inline void latency_cycles(uint64_t *begun, uint64_t *ended) {
#if BENCH_TELLS_CYCLES
  bench_cycles(begun, ended);
#else
  *begun = *ended = 0;
#endif
}

/* Begins measuring in this thread; the windows begin at start_ns. */
static inline void bench_latency_begin(bench_latency *l, uint64_t start_ns) {
  l->window_end_ns = start_ns + LATENCY_WINDOW_NS;
  latency_cycles(&l->begun, &l->ended);
  l->last_ns = bench_now_ns();
}

/* Ends all windows that are over at now_ns. A collection was on in them if one was on when they began, or began
 * since. */
static BENCH_NOINLINE void latency_end_windows(bench_latency *l, uint64_t now_ns) {
  uint64_t begun, ended;
  latency_cycles(&begun, &ended);
  bool collected = l->begun != l->ended || begun != l->begun;
  for (; l->window_end_ns <= now_ns && l->windows < LATENCY_WINDOWS; l->window_end_ns += LATENCY_WINDOW_NS)
    l->collected[l->windows++] = collected;
  if (l->windows == LATENCY_WINDOWS) l->window_end_ns = UINT64_MAX;
  l->begun = begun;
  l->ended = ended;
}

static inline size_t latency_bucket(uint64_t ns) {
  int bits = 63 - __builtin_clzll(ns | 1);
  int shift = bits > LATENCY_PART_BITS ? bits - LATENCY_PART_BITS : 0;
  return ((size_t)shift << LATENCY_PART_BITS) + (size_t)(ns >> shift);
}

/* The highest time that goes into a bucket. */
static inline uint64_t latency_bucket_top_ns(size_t bucket) {
  int shift = bucket >> LATENCY_PART_BITS ? (int)(bucket >> LATENCY_PART_BITS) - 1 : 0;
  uint64_t part = bucket - ((size_t)shift << LATENCY_PART_BITS);
  return (part << shift) + (UINT64_C(1) << shift) - 1;
}

/* One operation has ended. */
static inline void bench_latency_end(bench_latency *l) {
  uint64_t now_ns = bench_now_ns();
  uint64_t took_ns = now_ns - l->last_ns;
  l->last_ns = now_ns;
  l->count++;
  l->buckets[latency_bucket(took_ns)]++;
  if (took_ns > l->longest_ns) l->longest_ns = took_ns;
  if (now_ns >= l->window_end_ns) latency_end_windows(l, now_ns);
  l->done[l->windows]++;
}

/* Adds the operations of another thread. Only windows in which both ran to the end are left. */
static inline void bench_latency_add(bench_latency *to, const bench_latency *from) {
  to->count += from->count;
  if (from->longest_ns > to->longest_ns) to->longest_ns = from->longest_ns;
  if (from->windows < to->windows) to->windows = from->windows;
  for (size_t i = 0; i < LATENCY_BUCKETS; i++) to->buckets[i] += from->buckets[i];
  for (size_t i = 0; i < to->windows; i++) {
    to->done[i] += from->done[i];
    to->collected[i] |= from->collected[i];
  }
}

/* The time that `share` of the operations did not exceed, in microseconds. */
static inline double latency_percentile_us(const bench_latency *l, double share) {
  uint64_t before = (uint64_t)((double)l->count * share);
  uint64_t seen = 0;
  for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
    seen += l->buckets[i];
    uint64_t top_ns = latency_bucket_top_ns(i);
    if (seen > before) return (double)(top_ns < l->longest_ns ? top_ns : l->longest_ns) / 1e3;
  }
  return (double)l->longest_ns / 1e3;
}

static inline int latency_compare_u32(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a;
  uint32_t y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Sorts into `sorted` the windows in which a collection was on, or was not, or all of them; how many they are. */
typedef enum latency_choice { LATENCY_OUTSIDE, LATENCY_INSIDE, LATENCY_ALL } latency_choice;
static inline size_t latency_sort_windows(const bench_latency *l, latency_choice which, uint32_t *sorted) {
  size_t count = 0;
  for (size_t i = 0; i < l->windows; i++)
    if (which == LATENCY_ALL || l->collected[i] == (which == LATENCY_INSIDE)) sorted[count++] = l->done[i];
  qsort(sorted, count, sizeof(uint32_t), latency_compare_u32);
  return count;
}

/* The text that bench_latency_text writes. */
typedef struct latency_text {
  char *text;
  size_t used;
} latency_text;

__attribute__((format(printf, 2, 3))) static inline void latency_say(latency_text *t, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int more = vsnprintf(t->text + t->used, LATENCY_TEXT_MAX - t->used, format, arguments);
  va_end(arguments);
  if (more > 0) t->used += (size_t)more;
}

/* All operations: "TOP:COUNT,...", where so many took up to TOP nanoseconds, and longer than the top before. */
static inline void latency_say_histogram(latency_text *t, const bench_latency *l) {
  const size_t together = (size_t)1 << (LATENCY_PART_BITS - LATENCY_TOLD_BITS);
  const char *before = " ops_ns=";
  for (size_t i = 0; i < LATENCY_BUCKETS; i += together) {
    uint64_t count = 0;
    for (size_t k = 0; k < together; k++) count += l->buckets[i + k];
    uint64_t top_ns = latency_bucket_top_ns(i + together - 1);
    if (count == 0) continue;
    latency_say(t, "%s%" PRIu64 ":%" PRIu64, before, top_ns < l->longest_ns ? top_ns : l->longest_ns, count);
    before = ",";
  }
}

/* All windows in order: "COUNT,...", with an i behind it where a collection was on inside, and an o where none was. */
static inline void latency_say_windows(latency_text *t, const bench_latency *l) {
  const char *before = " windows=";
  for (size_t i = 0; i < l->windows; i++) {
    const char *mark = !BENCH_TELLS_CYCLES ? "" : l->collected[i] ? "i" : "o";
    latency_say(t, "%s%u%s", before, l->done[i], mark);
    before = ",";
  }
}

/* The windows with a collection are set against those without where the peer tells and there are both. */
static inline void latency_say_window_figures(latency_text *t, const bench_latency *l) {
  uint32_t *sorted = bench_map(LATENCY_WINDOWS * sizeof(uint32_t), false);
  size_t count = latency_sort_windows(l, LATENCY_ALL, sorted);
  if (count > 0)
    latency_say(t, " win_median=%u win_p1=%u win_min=%u", sorted[count / 2], sorted[count / 100], sorted[0]);
  size_t inside = BENCH_TELLS_CYCLES ? latency_sort_windows(l, LATENCY_INSIDE, sorted) : 0;
  uint32_t inside_median = inside > 0 ? sorted[inside / 2] : 0;
  size_t outside = latency_sort_windows(l, LATENCY_OUTSIDE, sorted);
  if (inside > 0 && outside > 0 && sorted[outside / 2] > 0)
    latency_say(t, " win_inside=%u win_outside=%u win_share=%.4f", inside_median, sorted[outside / 2],
                (double)inside_median / sorted[outside / 2]);
}

/* Writes the key=value figures of all operations for bench_report. */
static inline const char *bench_latency_text(const bench_latency *l) {
  latency_text t = {.text = bench_map(LATENCY_TEXT_MAX, false)};
  latency_say(&t, "p50_us=%.3f p99_us=%.3f p999_us=%.3f p9999_us=%.3f max_us=%.3f", latency_percentile_us(l, 0.5),
              latency_percentile_us(l, 0.99), latency_percentile_us(l, 0.999), latency_percentile_us(l, 0.9999),
              (double)l->longest_ns / 1e3);
  latency_say_histogram(&t, l);
  latency_say_windows(&t, l);
  latency_say_window_figures(&t, l);
  return t.text;
}

#endif
