/* pusher.c - latency: how long one allocation can take while much is alive and the collector is kept busy.
 *
 *     bench-pusher-PEER [PUSHES LIVE on|off]      (2,000,000, 200,000 and on)
 *
 * A circular array holds the LIVE newest messages of 1 KiB. A push allocates a message, writes all of it and stores it
 * over the oldest one, which malloc peers free in the same push. Every push is timed, and none is left out. */
#include "latency.h"

enum { MESSAGE_BYTES = 1024, PATTERN_EXTRA = 256 };

static char pattern[MESSAGE_BYTES + PATTERN_EXTRA];

/* One push; the bytes written differ from message to message. */
static inline void push(char **ring, size_t slot, size_t number) {
  char *message = bench_noscan(MESSAGE_BYTES);
  memcpy(message, pattern + number % PATTERN_EXTRA, MESSAGE_BYTES);
  if (BENCH_FREES) bench_drop(ring[slot]);
  ring[slot] = message;
}

int main(int argc, char **argv) {
  size_t pushes = (size_t)bench_arg(argc, argv, 1, 2000000);
  size_t live = (size_t)bench_arg(argc, argv, 2, 200000);
  bench_start();
  bench_arg_collections(argc, argv, 3);
  for (size_t i = 0; i < sizeof(pattern); i++) pattern[i] = (char)(i * 7 + 1);
  char **ring = bench_scan(live * sizeof(char *));
  memset(ring, 0, live * sizeof(char *));
  bench_latency *latency = bench_latency_make();

  uint64_t start = bench_now_ns();
  bench_latency_begin(latency, start);
  for (size_t i = 0, slot = 0; i < pushes; i++) {
    push(ring, slot, i);
    bench_latency_end(latency);
    if (++slot == live) slot = 0;
  }
  double wall_ms = bench_ms_since(start);
  bench_measured();

  uint64_t check = 0;
  for (size_t i = 0; i < live; i++) {
    if (ring[i] == NULL) continue;
    check = check * 31 + (unsigned char)ring[i][0] + (unsigned char)ring[i][MESSAGE_BYTES - 1];
  }
  bench_report("pusher", "wall_ms=%.3f %s check=%" PRIu64, wall_ms, bench_latency_text(latency), check);
  return 0;
}
