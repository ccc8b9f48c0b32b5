/* graph.c - how fast a collector marks: a random graph that stays alive while collections are forced and timed.
 *
 *     bench-graph-PEER NODES typed|conservative [COLLECTIONS]
 *
 * NODES nodes of 64 bytes, each with 4 edges to nodes drawn at random and 32 bytes of numbers. Only node 0 is kept:
 * what it reaches (98 % of the nodes) is the live graph, and is found by chasing edges alone. One collection that is
 * not counted drops what building left behind; COLLECTIONS more (3) are timed, and their median is reported. Then the
 * graph is walked, which counts the live nodes and proves that none was lost. On malloc nothing is collected: it is not
 * run there. */
#include "bench.h"

enum { EDGES = 4, COLLECTIONS_MAX = 32 };

typedef struct node {
  struct node *edge[EDGES];
  uint64_t number[EDGES]; /* 0: the node's own; 1: 1 once walked */
} node;
BENCH_EXACT_TYPE(node, EDGES, edge);

static node *root;

/* Builds the graph and keeps node 0; nothing but dead stack is left of the table of nodes. */
static BENCH_NOINLINE void graph_build(size_t count, bool typed) {
  node **table = bench_scan(count * sizeof(node *));
  uint64_t seed = 88172645463325252;
  for (size_t i = 0; i < count; i++) {
    node *n = typed ? bench_new_exact(node) : bench_scan(sizeof(node));
    n->number[0] = i;
    n->number[1] = 0;
    table[i] = n;
  }
  for (size_t i = 0; i < count; i++)
    for (int k = 0; k < EDGES; k++) table[i]->edge[k] = table[bench_random_below(&seed, count)];
  root = table[0];
  bench_drop(table);
}

/* Overwrites the dead part of the stack, where a conservative collector would find the table. */
static BENCH_NOINLINE void stack_clear(void) {
  volatile char dead[4096];
  for (size_t i = 0; i < sizeof(dead); i++) dead[i] = 0;
}

/* Walks everything that node 0 reaches; *live counts it, and the result mixes the numbers found. */
static uint64_t graph_walk(size_t count, uint64_t *live) {
  node **stack = bench_noscan(count * sizeof(node *));
  size_t depth = 0;
  uint64_t check = 0;
  *live = 1;
  root->number[1] = 1;
  stack[depth++] = root;
  while (depth > 0) {
    node *n = stack[--depth];
    check = check * 31 + n->number[0];
    for (int k = 0; k < EDGES; k++) {
      node *to = n->edge[k];
      if (to->number[1] != 0) continue;
      to->number[1] = 1;
      stack[depth++] = to;
      ++*live;
    }
  }
  bench_drop(stack);
  return check;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  size_t count = (size_t)bench_arg(argc, argv, 1, 2000000);
  const char *kind = argc > 2 ? argv[2] : "typed";
  long collections = bench_arg(argc, argv, 3, 3);
  bool typed = strcmp(kind, "typed") == 0;
  if ((!typed && strcmp(kind, "conservative") != 0) || collections > COLLECTIONS_MAX || count > UINT32_MAX) {
    fprintf(stderr, "%s: give NODES below 2^32, typed or conservative, and at most %d collections\n", argv[0],
            COLLECTIONS_MAX);
    return 2;
  }
  bench_start();
  uint64_t start = bench_now_ns();
  graph_build(count, typed);
  double build_ms = bench_ms_since(start);
  stack_clear();
  bench_collect();
  double collect_ms[COLLECTIONS_MAX];
  for (long i = 0; i < collections; i++) {
    start = bench_now_ns();
    bench_collect();
    collect_ms[i] = bench_ms_since(start);
  }
  bench_measured();
  qsort(collect_ms, (size_t)collections, sizeof(double), compare_doubles);
  uint64_t live;
  uint64_t check = graph_walk(count, &live);
  double median_ms = collect_ms[collections / 2];
  bench_report("graph",
               "kind=%s nodes=%zu live=%" PRIu64 " build_ms=%.3f collect_ms=%.3f mobj_per_s=%.3f check=%" PRIu64, kind,
               count, live, build_ms, median_ms, (double)live / median_ms / 1e3, check);
  return 0;
}
