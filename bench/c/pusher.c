/* pusher.c - latency: how long one allocation can take while much is alive and the collector is kept busy.
 *
 *     bench-pusher-PEER [PUSHES LIVE]      (2,000,000 and 200,000)
 *
 * A circular array holds the LIVE newest messages of 1 KiB. A push allocates a message, writes all of it and stores it
 * over the oldest one, which malloc peers free in the same push. Every push is timed by itself with the monotonic
 * clock, and no push is left out; percentiles are exact, from all of them. */
#include "bench.h"

enum { MESSAGE_BYTES = 1024, PATTERN_EXTRA = 256 };

static char pattern[MESSAGE_BYTES + PATTERN_EXTRA];

/* One push; the bytes written differ from message to message. */
static inline void push(char **ring, size_t slot, size_t number) {
  char *message = bench_noscan(MESSAGE_BYTES);
  memcpy(message, pattern + number % PATTERN_EXTRA, MESSAGE_BYTES);
  if (BENCH_FREES) bench_drop(ring[slot]);
  ring[slot] = message;
}

static int compare_u32(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a;
  uint32_t y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* The latency that `share` of the pushes did not exceed, in microseconds. */
static double percentile_us(const uint32_t *sorted, size_t count, double share) {
  size_t at = (size_t)((double)count * share);
  return sorted[at < count ? at : count - 1] / 1e3;
}

int main(int argc, char **argv) {
  size_t pushes = (size_t)bench_arg(argc, argv, 1, 2000000);
  size_t live = (size_t)bench_arg(argc, argv, 2, 200000);
  bench_start();
  for (size_t i = 0; i < sizeof(pattern); i++) pattern[i] = (char)(i * 7 + 1);
  char **ring = bench_scan(live * sizeof(char *));
  memset(ring, 0, live * sizeof(char *));
  uint32_t *took_ns = bench_noscan(pushes * sizeof(uint32_t));
  memset(took_ns, 0, pushes * sizeof(uint32_t));

  uint64_t start = bench_now_ns();
  for (size_t i = 0, slot = 0; i < pushes; i++) {
    uint64_t before = bench_now_ns();
    push(ring, slot, i);
    uint64_t ns = bench_now_ns() - before;
    took_ns[i] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
    if (++slot == live) slot = 0;
  }
  double wall_ms = bench_ms_since(start);
  bench_measured();

  uint64_t check = 0;
  for (size_t i = 0; i < live; i++) {
    if (ring[i] == NULL) continue;
    check = check * 31 + (unsigned char)ring[i][0] + (unsigned char)ring[i][MESSAGE_BYTES - 1];
  }
  qsort(took_ns, pushes, sizeof(uint32_t), compare_u32);
  bench_report("pusher", "wall_ms=%.3f p50_us=%.3f p99_us=%.3f p999_us=%.3f p9999_us=%.3f max_us=%.3f check=%" PRIu64,
               wall_ms, percentile_us(took_ns, pushes, 0.5), percentile_us(took_ns, pushes, 0.99),
               percentile_us(took_ns, pushes, 0.999), percentile_us(took_ns, pushes, 0.9999),
               percentile_us(took_ns, pushes, 1.0), check);
  return 0;
}
