/* unswept.c - see unswept.h. */
#include "heap/unswept.h"

#include "heap/central.h"
#include "heap/object.h"

enum { MOST_PAID = 32 }; /* spans: some 20 microseconds */

static struct {
  _Atomic(size_t) spans, bytes; /* due over those; 0 spans: nothing is */
  _Atomic(size_t) taken, swept; /* since that was said */
  _Atomic(uint32_t) bucket;     /* where the last sweep found something */
} unswept TRI_OWN_DATA;

static size_t sweep_bucket(uint32_t bucket, size_t most) {
  size_t swept = 0;
  while (swept < most && tri_central_sweep_one(bucket)) swept++;
  if (swept) atomic_store_explicit(&unswept.bucket, bucket, memory_order_relaxed);
  return swept;
}

size_t tri_unswept_sweep(size_t most) {
  uint32_t count = tri_central_count(), first = atomic_load_explicit(&unswept.bucket, memory_order_relaxed);
  size_t swept = 0;
  for (uint32_t i = 0; i < count && swept < most; i++) {
    uint32_t bucket = first + i < count ? first + i : first + i - count;
    if (bucket) swept += sweep_bucket(bucket, most - swept);
  }
  while (swept < most && tri_large_sweep_one()) swept++;
  return swept;
}

size_t tri_unswept_count(void) {
  size_t spans = tri_large_unswept_count();
  for (uint32_t bucket = 1; bucket < tri_central_count(); bucket++) spans += tri_central_unswept_count(bucket);
  return spans;
}

void tri_unswept_share_out(size_t spans, size_t bytes) {
  atomic_store_explicit(&unswept.spans, 0, memory_order_relaxed);
  atomic_store_explicit(&unswept.taken, 0, memory_order_relaxed);
  atomic_store_explicit(&unswept.swept, 0, memory_order_relaxed);
  atomic_store_explicit(&unswept.bytes, tri_max(bytes, 1), memory_order_relaxed);
  atomic_store_explicit(&unswept.spans, spans, memory_order_relaxed);
}

void tri_unswept_note_swept(void) { atomic_fetch_add_explicit(&unswept.swept, 1, memory_order_relaxed); }

static size_t due(size_t spans, size_t taken) {
  size_t bytes = atomic_load_explicit(&unswept.bytes, memory_order_relaxed);
  size_t share = taken < bytes ? (size_t)((double)spans / (double)bytes * (double)taken) : spans;
  size_t swept = atomic_load_explicit(&unswept.swept, memory_order_relaxed);
  return share > swept ? share - swept : 0;
}

void tri_unswept_pay(size_t bytes) {
  size_t spans = atomic_load_explicit(&unswept.spans, memory_order_relaxed);
  if (tri_likely(!spans)) return;
  size_t taken = atomic_fetch_add_explicit(&unswept.taken, bytes, memory_order_relaxed) + bytes;
  size_t most = tri_min(due(spans, taken), MOST_PAID);
  if (tri_unswept_sweep(most) < most) atomic_store_explicit(&unswept.spans, 0, memory_order_relaxed);
}
