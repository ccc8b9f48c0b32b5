/* micro.c - the cost of one allocation of one constant size, the collections it causes included.
 *
 *     bench-micro-PEER noscan|conservative|typed [MIB]      (256 MiB for each size)
 *
 * Rounds of 1,024 allocations fill a global ring, so that the 1,024 newest objects are alive and the rest garbage;
 * malloc peers free the round that they just made. Each object's first word is written: its own address, or a number
 * where it is not scanned. Figures are ns_SIZE, nanoseconds for an allocation and its share of collecting (or
 * freeing). */
#include "bench.h"

enum { RING = 1024, ROUNDS_MIN = 4 };

#define SIZES(X)                                                                                                       \
  X(8)                                                                                                                 \
  X(16) X(32) X(48) X(64) X(96) X(128) X(192) X(256) X(512) X(1024) X(2048) X(4096) X(8192) X(16384) X(32768) X(65536)

static void *ring[RING];

/* Ends a round, where rounds are freed. */
static inline void round_end(void) {
  for (int i = 0; BENCH_FREES && i < RING; i++) bench_drop(ring[i]);
}

/* One type and one loop per size and kind, so that each size is a constant to the compiler, as it is in a program. */
#define DEFINE_SIZE(size)                                                                                              \
  typedef struct typed_##size {                                                                                        \
    struct typed_##size *self;                                                                                         \
    char payload[(size) - sizeof(void *)];                                                                             \
  } typed_##size;                                                                                                      \
  BENCH_TYPE(typed_##size, self);                                                                                      \
  static BENCH_NOINLINE void typed_run_##size(void) {                                                                  \
    for (int i = 0; i < RING; i++) {                                                                                   \
      typed_##size *p = bench_new(typed_##size);                                                                       \
      p->self = p;                                                                                                     \
      ring[i] = p;                                                                                                     \
    }                                                                                                                  \
  }                                                                                                                    \
  static BENCH_NOINLINE void conservative_run_##size(void) {                                                           \
    for (int i = 0; i < RING; i++) {                                                                                   \
      void **p = bench_scan(size);                                                                                     \
      *p = p;                                                                                                          \
      ring[i] = p;                                                                                                     \
    }                                                                                                                  \
  }                                                                                                                    \
  static BENCH_NOINLINE void noscan_run_##size(void) {                                                                 \
    for (int i = 0; i < RING; i++) {                                                                                   \
      uint64_t *p = bench_noscan(size);                                                                                \
      *p = (uint64_t)i;                                                                                                \
      ring[i] = p;                                                                                                     \
    }                                                                                                                  \
  }
SIZES(DEFINE_SIZE)

enum { NOSCAN, CONSERVATIVE, TYPED, KINDS };
static const char *const kind_names[KINDS] = {"noscan", "conservative", "typed"};

typedef struct loop {
  size_t size;
  void (*run[KINDS])(void);
} loop;

#define LOOP_ROW(size) {size, {noscan_run_##size, conservative_run_##size, typed_run_##size}},
static const loop loops[] = {SIZES(LOOP_ROW)};
enum { LOOPS = sizeof(loops) / sizeof(loops[0]) };

/* How many of the ring's objects hold what was written into them. */
static uint64_t ring_intact(int kind) {
  uint64_t intact = 0;
  for (uint64_t i = 0; i < RING; i++)
    intact += kind == NOSCAN ? *(uint64_t *)ring[i] == i : *(void **)ring[i] == ring[i];
  return intact;
}

/* Nanoseconds per allocation of one size; adds to *check how much was allocated and found intact. */
static double loop_time(const loop *l, int kind, size_t bytes, uint64_t *check) {
  size_t rounds = bytes / l->size / RING;
  if (rounds < ROUNDS_MIN) rounds = ROUNDS_MIN;
  uint64_t start = bench_now_ns();
  for (size_t i = 1; i < rounds; i++) {
    l->run[kind]();
    round_end();
  }
  l->run[kind]();
  uint64_t before_check = bench_now_ns();
  *check = *check * 31 + rounds + ring_intact(kind);
  uint64_t after_check = bench_now_ns();
  round_end();
  uint64_t took = bench_now_ns() - start - (after_check - before_check);
  memset(ring, 0, sizeof(ring));
  return (double)took / (double)(rounds * RING);
}

static int kind_find(const char *name) {
  for (int kind = 0; kind < KINDS; kind++)
    if (strcmp(name, kind_names[kind]) == 0) return kind;
  fprintf(stderr, "kind \"%s\" is none of noscan, conservative, typed\n", name);
  exit(2);
}

int main(int argc, char **argv) {
  int kind = kind_find(argc > 1 ? argv[1] : "noscan");
  size_t bytes = (size_t)bench_arg(argc, argv, 2, 256) << 20;
  char text[LOOPS * 32];
  size_t used = 0;
  uint64_t check = 0;
  bench_start();
  uint64_t start = bench_now_ns();
  for (size_t i = 0; i < LOOPS; i++) {
    double ns = loop_time(&loops[i], kind, bytes, &check);
    used += (size_t)snprintf(text + used, sizeof(text) - used, "ns_%zu=%.3f ", loops[i].size, ns);
  }
  double wall_ms = bench_ms_since(start);
  bench_report("micro", "kind=%s wall_ms=%.3f %scheck=%" PRIu64, kind_names[kind], wall_ms, text, check);
  return 0;
}
