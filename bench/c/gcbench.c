/* gcbench.c - GCBench of Ellis, Kovac and Boehm: trees built bottom-up and top-down, beside a long-lived tree and
 * array.
 *
 *     bench-gcbench-PEER [STRETCH LONG_LIVED ARRAY]      (20, 18 and 2,000,000)
 *
 * For each depth 4, 6, ... LONG_LIVED as many trees as hold twice the stretch tree's nodes, once top-down
 * (tree_populate) and once bottom-up (tree_make). Top-down stores a young pointer into an older object, bottom-up never
 * does. */
#include "bench.h"

enum { MIN_DEPTH = 4 };

typedef struct node {
  struct node *left, *right;
  int i, j;
} node;
BENCH_TYPE(node, left, right);

static node *node_make(node *left, node *right) {
  node *n = bench_new(node);
  n->left = left;
  n->right = right;
  n->i = 0;
  n->j = 0;
  return n;
}

static node *tree_make(int depth) {
  if (depth <= 0) return node_make(NULL, NULL);
  node *left = tree_make(depth - 1);
  node *right = tree_make(depth - 1);
  return node_make(left, right);
}

static void tree_populate(int depth, node *n) {
  if (depth <= 0) return;
  n->left = node_make(NULL, NULL);
  n->right = node_make(NULL, NULL);
  tree_populate(depth - 1, n->left);
  tree_populate(depth - 1, n->right);
}

static uint64_t tree_count(const node *n) { return n == NULL ? 0 : 1 + tree_count(n->left) + tree_count(n->right); }

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

static long tree_size(int depth) { return (1L << (depth + 1)) - 1; }

/* The newest tree; global, as a program's data would be. */
static node *current;

static BENCH_NOINLINE void top_down(int depth) {
  current = node_make(NULL, NULL);
  tree_populate(depth, current);
  bench_keep(current);
  tree_drop(current);
  current = NULL;
}

static BENCH_NOINLINE void bottom_up(int depth) {
  current = tree_make(depth);
  bench_keep(current);
  tree_drop(current);
  current = NULL;
}

/* Builds the trees of one depth both ways; returns how many nodes that made. */
static uint64_t depth_run(int depth, int stretch) {
  long trees = 2 * tree_size(stretch) / tree_size(depth);
  for (long i = 0; i < trees; i++) top_down(depth);
  for (long i = 0; i < trees; i++) bottom_up(depth);
  return 2 * (uint64_t)(trees * tree_size(depth));
}

int main(int argc, char **argv) {
  int stretch = (int)bench_arg(argc, argv, 1, 20);
  int depth_max = (int)bench_arg(argc, argv, 2, 18);
  long doubles = bench_arg(argc, argv, 3, 2000000);
  bench_start();
  uint64_t start = bench_now_ns();
  bottom_up(stretch);
  node *long_lived = node_make(NULL, NULL);
  tree_populate(depth_max, long_lived);
  double *array = bench_noscan((size_t)doubles * sizeof(double));
  for (long i = 0; i < doubles / 2; i++) array[i] = 1.0 / (double)(i + 1);
  uint64_t nodes = 0;
  for (int depth = MIN_DEPTH; depth <= depth_max; depth += 2) nodes += depth_run(depth, stretch);
  uint64_t check = nodes * 31 + tree_count(long_lived);
  if (doubles > 2000 && array[1000] == 1.0 / 1001.0) check++;
  tree_drop(long_lived);
  bench_drop(array);
  double wall_ms = bench_ms_since(start);
  bench_report("gcbench", "wall_ms=%.3f check=%" PRIu64, wall_ms, check);
  return 0;
}
