/* data.c - latency with much static data, all of it pointers, written all over while the program allocates.
 *
 *     bench-data-PEER [OPERATIONS]      (10,000,000)
 *
 * A static array of 9 MiB holds a node in each place. Each operation makes a node and puts it in a random place, which
 * malloc peers free what was in. In the end every node must be as it was written. */
#include "latency.h"
#include "node.h"

enum { PLACES = (9 << 20) / sizeof(node *) };

static node *place[PLACES];

static inline void replace(uint64_t *seed, uint64_t number) {
  node **at = &place[bench_random_below(seed, PLACES)];
  node *n = node_make(number);
  if (BENCH_FREES) bench_drop(*at);
  *at = n;
}

int main(int argc, char **argv) {
  size_t operations = (size_t)bench_arg(argc, argv, 1, 10000000);
  uint64_t seed = 88172645463325252;
  bench_start();
  for (size_t i = 0; i < PLACES; i++) place[i] = node_make(i);
  bench_latency *latency = bench_latency_make();
  uint64_t start = bench_now_ns();
  bench_latency_begin(latency, start);
  for (size_t i = 0; i < operations; i++) {
    replace(&seed, PLACES + i);
    bench_latency_end(latency);
  }
  double wall_ms = bench_ms_since(start);
  bench_measured();

  uint64_t lost = 0;
  uint64_t check = 0;
  for (size_t i = 0; i < PLACES; i++) {
    lost += !node_intact(place[i]);
    check = check * 31 + place[i]->word[0];
  }
  if (lost > 0) nodes_lost("data", lost);
  bench_report("data", "wall_ms=%.3f %s check=%" PRIu64, wall_ms, bench_latency_text(latency), check);
  return 0;
}
