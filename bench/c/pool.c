/* pool.c - an object that is used again and again: from a pool, where the peer has one.
 *
 *     bench-pool-PEER [THREADS ROUNDS]      (1 and 20,000,000)
 *
 * Each of THREADS threads, the first one included, takes an object of 64 bytes from a pool, writes a word of it and
 * puts it back, ROUNDS times. All use the same pool. Peers without a pool allocate the object and drop it: that is what
 * a pool spares. pair_ns is the time of one round, as a thread sees it. */
#include "bench.h"

#if defined(BENCH_TRICOLOR)
#include <tricolor/pool.h>
#endif

typedef struct item {
  struct item *next;
  uint64_t number;
  uint64_t rest[6];
} item;
BENCH_TYPE(item, next);

#if defined(BENCH_TRICOLOR)

static tri_pool *pool;

static void *item_make(void *unused) {
  (void)unused;
  return bench_new(item);
}

static void pool_start(void) {
  pool = tri_pool_new(&(tri_pool_options){.size = sizeof(tri_pool_options), .make = item_make});
}

static inline item *item_get(void) { return tri_pool_get(pool); }
static inline void item_put(item *object) { tri_pool_put(pool, object); }

#else

static void pool_start(void) {}
static inline item *item_get(void) { return bench_new(item); }
static inline void item_put(item *object) { bench_drop(object); }

#endif

static size_t rounds;

static void *take_turns(void *unused) {
  for (size_t i = 0; i < rounds; i++) {
    item *object = item_get();
    object->number = i;
    bench_keep(object);
    item_put(object);
  }
  return unused;
}

int main(int argc, char **argv) {
  size_t count = (size_t)bench_arg(argc, argv, 1, 1);
  rounds = (size_t)bench_arg(argc, argv, 2, 20000000);
  pthread_t threads[64];
  if (count > 64) return 2;
  bench_start();
  pool_start();
  uint64_t start = bench_now_ns();
  for (size_t i = 1; i < count; i++) pthread_create(&threads[i], NULL, take_turns, NULL);
  take_turns(NULL);
  for (size_t i = 1; i < count; i++) pthread_join(threads[i], NULL);
  bench_report("pool", "pair_ns=%.3f check=%zu", bench_ms_since(start) * 1e6 / (double)rounds, count * rounds);
  return 0;
}
