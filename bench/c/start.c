/* start.c - what starting costs: run.py times whole processes, for there is nothing inside one to time.
 *
 *     bench-start-PEER [init|none]      (init)
 *
 * init starts the memory manager and allocates nothing; none leaves it alone, and is the empty program to compare with.
 * The peak is read straight after, and the manager is not asked for its figures: asking would start it. */
#include "bench.h"

/* Starts the manager; false when it refuses. */
static bool manager_start(void) {
#if defined(BENCH_TRICOLOR)
  return tri_init(NULL) == TRI_OK;
#else
  bench_start();
  return true;
#endif
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "init";
  bool init = strcmp(mode, "init") == 0;
  if (!init && strcmp(mode, "none") != 0) {
    fprintf(stderr, "%s: argument 1 is \"%s\", neither init nor none\n", argv[0], mode);
    return 2;
  }
  uint64_t start = bench_now_ns();
  if (init && !manager_start()) {
    fprintf(stderr, "%s: the memory manager did not start\n", argv[0]);
    return 1;
  }
  double init_us = bench_ms_since(start) * 1e3;
  bench_final = (bench_end){.taken = true, .peak_kib = bench_peak_kib()};
  bench_report("start", "mode=%s init_us=%.3f check=1", mode, init_us);
  return 0;
}
