/* pacer_limit.c - see pacer_limit.h. */
#include "gc/pacer_limit.h"

#include "gc/pacer.h"

/* Equal times change nothing, and so do not end limiting either. (accumulate) */
static void account(tri_limiter *limiter, int64_t program, int64_t collector) {
  uint64_t room = limiter->capacity - limiter->fill;
  int64_t change = collector - program;
  if (change > 0 && (uint64_t)change >= room) {
    limiter->overflow += (uint64_t)change - room;
    limiter->fill = limiter->capacity;
    limiter->limiting = true;
  } else if (change > 0) {
    limiter->fill += (uint64_t)change;
  } else if (change < 0) {
    uint64_t drain = (uint64_t)-change;
    limiter->fill = limiter->fill > drain ? limiter->fill - drain : 0;
    limiter->limiting = false;
  }
}

/* The workers' share is one of all the time, idle or not; what was idle is then not the program's. The times brought
 * may have begun before the window and exceed it; the program had no less than nothing for all that. (updateLocked) */
static void advance(tri_limiter *limiter, uint64_t now, tri_limiter_times times) {
  if (now < limiter->updated) return;
  int64_t window = (int64_t)(now - limiter->updated) * limiter->processors;
  limiter->updated = now;
  int64_t collector = (int64_t)times.assist;
  if (limiter->marking) collector += (int64_t)((double)window * TRI_PACER_SHARE);
  int64_t program = window - (int64_t)times.idle - collector;
  account(limiter, program > 0 ? program : 0, collector);
}

void tri_limiter_init(tri_limiter *limiter, uint64_t now, int processors) {
  TRI_ASSERT(processors > 0);
  *limiter = (tri_limiter){.updated = now, .processors = processors};
  limiter->capacity = (uint64_t)processors * TRI_LIMITER_CAPACITY;
}

/* What the smaller bucket does not hold is gone and no overflow: nobody did work for it. */
void tri_limiter_resize(tri_limiter *limiter, uint64_t now, tri_limiter_times times, int processors) {
  TRI_ASSERT(processors > 0 && !limiter->stopped);
  advance(limiter, now, times);
  limiter->processors = processors;
  limiter->capacity = (uint64_t)processors * TRI_LIMITER_CAPACITY;
  if (limiter->fill > limiter->capacity) {
    limiter->fill = limiter->capacity;
    limiter->limiting = true;
  } else if (limiter->fill < limiter->capacity) {
    limiter->limiting = false;
  }
}

void tri_limiter_update(tri_limiter *limiter, uint64_t now, tri_limiter_times times) {
  TRI_ASSERT(!limiter->stopped);
  advance(limiter, now, times);
}

bool tri_limiter_is_stale(const tri_limiter *limiter, uint64_t now) {
  return now > limiter->updated && now - limiter->updated > TRI_LIMITER_PERIOD;
}

void tri_limiter_stop_begin(tri_limiter *limiter, uint64_t now, tri_limiter_times times, bool marking) {
  TRI_ASSERT(!limiter->stopped);
  advance(limiter, now, times);
  limiter->marking = marking;
  limiter->stopped = true;
}

void tri_limiter_stop_end(tri_limiter *limiter, uint64_t now) {
  TRI_ASSERT(limiter->stopped);
  if (now >= limiter->updated) account(limiter, 0, (int64_t)(now - limiter->updated) * limiter->processors);
  limiter->updated = now;
  limiter->stopped = false;
}

bool tri_limiter_is_limiting(const tri_limiter *limiter) { return limiter->limiting; }
