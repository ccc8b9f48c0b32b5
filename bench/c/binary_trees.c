/* binary_trees.c - binary-trees of the benchmarks game: many short-lived trees beside one long-lived tree.
 *
 *     bench-binary_trees-PEER DEPTH [THREADS]
 *
 * Depths 4, 6, ... DEPTH, with 2^(DEPTH - depth + 4) trees each; a stretch tree of DEPTH + 1; a long-lived tree of
 * DEPTH. With THREADS > 1 the trees of each depth are divided among that many threads, made anew for each depth. */
#include "bench.h"

enum { MIN_DEPTH = 4, MAX_THREADS = 64 };

typedef struct node {
  struct node *left, *right;
} node;
BENCH_TYPE(node, left, right);

typedef struct share {
  pthread_t thread;
  int depth;
  long trees;
  uint64_t nodes; /* result */
} share;

static node *tree_make(int depth) {
  node *left = NULL;
  node *right = NULL;
  if (depth > 0) {
    left = tree_make(depth - 1);
    right = tree_make(depth - 1);
  }
  node *n = bench_new(node);
  n->left = left;
  n->right = right;
  return n;
}

static uint64_t tree_count(const node *n) {
  return n->left == NULL ? 1 : 1 + tree_count(n->left) + tree_count(n->right);
}

#if BENCH_FREES
static void tree_drop(node *n) {
  if (n->left != NULL) {
    tree_drop(n->left);
    tree_drop(n->right);
  }
  bench_drop(n);
}
#else
#define tree_drop(n) bench_drop(n)
#endif

static BENCH_NOINLINE uint64_t tree_make_count_drop(int depth) {
  node *tree = tree_make(depth);
  uint64_t nodes = tree_count(tree);
  tree_drop(tree);
  return nodes;
}

static void *share_run(void *argument) {
  share *s = argument;
  for (long i = 0; i < s->trees; i++) s->nodes += tree_make_count_drop(s->depth);
  return NULL;
}

/* All trees of one depth, by `threads` threads; the caller itself when that is one. */
static uint64_t depth_run(int depth, long trees, int threads) {
  share shares[MAX_THREADS] = {0};
  uint64_t nodes = 0;
  for (int i = 0; i < threads; i++) {
    shares[i].depth = depth;
    shares[i].trees = trees / threads + (i < trees % threads);
    if (threads > 1) bench_thread_start(&shares[i].thread, share_run, &shares[i]);
  }
  if (threads == 1) (void)share_run(&shares[0]);
  for (int i = 0; i < threads; i++) {
    if (threads > 1) bench_thread_join(shares[i].thread);
    nodes += shares[i].nodes;
  }
  return nodes;
}

int main(int argc, char **argv) {
  long max_depth = bench_arg(argc, argv, 1, 18);
  long threads = bench_arg(argc, argv, 2, 1);
  if (max_depth < MIN_DEPTH + 2) max_depth = MIN_DEPTH + 2;
  if (max_depth > 30 || threads > MAX_THREADS) {
    fprintf(stderr, "%s: depth %ld or threads %ld is over the limit of 30 and %d\n", argv[0], max_depth, threads,
            MAX_THREADS);
    return 2;
  }
  bench_start();
  uint64_t start = bench_now_ns();
  uint64_t check = tree_make_count_drop((int)max_depth + 1);
  node *long_lived = tree_make((int)max_depth);
  for (int depth = MIN_DEPTH; depth <= max_depth; depth += 2)
    check = check * 31 + depth_run(depth, 1L << (max_depth - depth + MIN_DEPTH), (int)threads);
  check = check * 31 + tree_count(long_lived);
  tree_drop(long_lived);
  double wall_ms = bench_ms_since(start);
  bench_report("binary_trees", "wall_ms=%.3f check=%" PRIu64, wall_ms, check);
  return 0;
}
