/* pacer_limit.h - the limiter: when collecting takes half of the processors' time, the program no longer assists.
 *
 * A heap that a memory limit or its own growth keeps too close to its goal would collect all the time and get nothing
 * else done. A bucket fills with the collector's processor time and drains with the program's, so it is full after a
 * while of more than one half. While it is full, threads that allocate do not scan, and the heap may exceed its goal
 * and its limit instead. What it holds (a second for each processor) lets short bursts pass. It never holds less than
 * nothing: a day of idling must not pay for a spiral on the next.
 *
 * Pure: the cycle owns a limiter, brings times from one monotonic clock in nanoseconds, excludes callers from each
 * other and publishes is_limiting to the threads. Follows runtime/mgclimit.go. */
#ifndef TRI_PACER_LIMIT_H
#define TRI_PACER_LIMIT_H

#include "base/base.h"

enum {
  TRI_LIMITER_PERIOD = 10 * 1000 * 1000,     /* updates should not be further apart (gcCPULimiterUpdatePeriod) */
  TRI_LIMITER_CAPACITY = 1000 * 1000 * 1000, /* for each processor (capacityPerProc) */
};

typedef struct tri_limiter {
  uint64_t fill, capacity; /* processor time; fill <= capacity */
  uint64_t overflow;       /* the collector's time that found the bucket full, since the limiter began */
  uint64_t updated;        /* the clock, at the last update */
  int processors;
  bool marking;  /* background workers have their share now */
  bool stopped;  /* between stop_begin and stop_end */
  bool limiting; /* see tri_limiter_is_limiting */
} tri_limiter;

/* Processor time since the last update that the clock does not tell. */
typedef struct tri_limiter_times {
  uint64_t assist; /* the program's threads that scanned, or returned memory to keep the limit */
  uint64_t idle;   /* processors that ran nothing, or a worker of idle priority: neither the program's nor ours */
} tri_limiter_times;

/* An empty bucket. (resetCapacity) */
void tri_limiter_init(tri_limiter *limiter, uint64_t now, int processors);

/* The number of processors is another; not while stopped. (resetCapacity) */
void tri_limiter_resize(tri_limiter *limiter, uint64_t now, tri_limiter_times times, int processors);

/* The bucket as it is now; not while stopped. A time before the last update changes nothing. (update) */
void tri_limiter_update(tri_limiter *limiter, uint64_t now, tri_limiter_times times);

/* Whether the last update is long ago. (needUpdate) */
bool tri_limiter_is_stale(const tri_limiter *limiter, uint64_t now);

/* A stop of the program begins; while it lasts all processors are the collector's. marking: whether the background
 * workers have their share once it is over. (startGCTransition, finishGCTransition) */
void tri_limiter_stop_begin(tri_limiter *limiter, uint64_t now, tri_limiter_times times, bool marking);
void tri_limiter_stop_end(tri_limiter *limiter, uint64_t now);

/* Whether assists are left out. (limiting) */
bool tri_limiter_is_limiting(const tri_limiter *limiter);

#endif
