/* report.h - the progress line and the final figures. MB and GB are powers of 1024. */
#ifndef TEXTINDEX_REPORT_H
#define TEXTINDEX_REPORT_H

#include "memory.h"

#include <stdatomic.h>
#include <stdio.h>

/* What the progress line shows besides memory. Written by the main thread, relaxed: only shown. */
typedef struct progress {
  _Atomic(const char *) phase;
  atomic_uint round;
  atomic_uint documents;
  atomic_ulong queries;
} progress;
extern progress progress_now;

/* A thread that writes the line to a descriptor: over itself on a terminal, every five seconds elsewhere. */
void progress_start(int descriptor);
void progress_stop(void);

/* What a run did. Times in seconds, query times in microseconds. */
typedef struct summary {
  uint32_t threads, documents, words;
  uint32_t load_rounds, service_rounds;
  uint64_t seed, corpus_bytes, reindexed, queries;
  bool made; /* the corpus was made from the repository's files */
  memory_use use;
  double load_seconds, seconds;
  uint32_t query_median, query_p99, query_longest;
  uint64_t digest;
  memory_figures memory;
} summary;

/* What peak RSS may grow to: 2.2 times the largest heap a collection found alive, and 8 MB. 0 without a collector. */
uint64_t summary_limit(const summary *s);
uint64_t summary_growth(const summary *s);
bool summary_within(const summary *s);

void summary_print(const summary *s, FILE *to);

/* The same as one flat JSON object, a line per value. False when the file cannot be written. */
bool summary_write_json(const summary *s, const char *path);

#endif
