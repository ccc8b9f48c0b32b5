/* hide.c - latency, and nothing lost, while a large structure is reached from a stack alone most of the time.
 *
 *     bench-hide-PEER [NODES OPERATIONS]      (1,000,000 and 20,000,000)
 *
 * A tree of NODES nodes hangs on one local variable while operations make garbage beside it. At random moments its head
 * goes into a fresh object of the heap, or into static data, and the variable is cleared; a little later it comes back.
 * So a collector that has looked at the stack finds the tree gone from it, and the other way round, at any point of its
 * work. In the end the whole tree is walked. Each operation makes one node of garbage; moving the head is part of the
 * next one. */
#include "latency.h"
#include "node.h"

/* Operations, at most, for which the head stays on the stack, one time in four and else; and elsewhere. */
enum { HIDDEN_LONG = 1000 * 1000, HIDDEN_SHORT = 20 * 1000, SHOWN = 5 * 1000 };

typedef struct run {
  garbage garbage;
  bench_latency *latency;
  uint64_t seed;
  size_t left; /* operations */
  uint64_t moves, path;
} run;

static node *volatile shown;  /* the head, in static data */
static node *volatile holder; /* what holds the head in the heap */

/* Node i's children are the nodes 4i + 1 to 4i + 4; returns node 0, and the table is garbage. */
static BENCH_NOINLINE node *tree_make(size_t count) {
  node **table = bench_scan(count * sizeof(node *));
  for (size_t i = 0; i < count; i++) {
    table[i] = node_make(i);
    if (i > 0) table[(i - 1) / NODE_EDGES]->edge[(i - 1) % NODE_EDGES] = table[i];
  }
  node *head = table[0];
  bench_drop(table);
  return head;
}

/* The number of intact nodes below and including n; drops them. */
static uint64_t tree_end(node *n) {
  uint64_t intact = node_intact(n);
  for (int k = 0; k < NODE_EDGES; k++)
    if (n->edge[k] != NULL) intact += tree_end(n->edge[k]);
  bench_drop(n);
  return intact;
}

/* One way down the tree: the numbers on it, or 0 when a node is not intact. */
static uint64_t path_sum(const node *n, uint64_t draw) {
  uint64_t sum = 0;
  for (; n != NULL; draw >>= 2) {
    if (!node_intact(n)) return 0;
    sum += n->word[0] + 1;
    n = n->edge[draw & 3];
  }
  return sum;
}

static void operations_run(run *r, size_t most) {
  size_t count = most < r->left ? most : r->left;
  r->left -= count;
  for (size_t i = 0; i < count; i++) {
    garbage_make(&r->garbage);
    bench_latency_end(r->latency);
  }
}

/* The head leaves the stack for a while; where it is meanwhile changes from time to time. */
static BENCH_NOINLINE void head_move(run *r, node *volatile *head) {
  bool to_heap = r->moves++ % 2 == 0;
  if (to_heap) {
    holder = node_make(r->moves);
    holder->edge[0] = *head;
  } else {
    shown = *head;
  }
  *head = NULL;
  operations_run(r, 1 + bench_random_below(&r->seed, SHOWN));
  *head = to_heap ? holder->edge[0] : shown;
  if (to_heap) {
    holder->edge[0] = NULL;
    bench_drop(holder);
    holder = NULL;
  } else {
    shown = NULL;
  }
  r->path = r->path * 31 + path_sum(*head, bench_random(&r->seed) >> 32);
}

int main(int argc, char **argv) {
  size_t nodes = (size_t)bench_arg(argc, argv, 1, 1000000);
  size_t operations = (size_t)bench_arg(argc, argv, 2, 20000000);
  bench_start();
  node *volatile head = tree_make(nodes);
  run r = {.garbage = garbage_begin(), .latency = bench_latency_make(), .seed = 1, .left = operations};
  uint64_t start = bench_now_ns();
  bench_latency_begin(r.latency, start);
  while (r.left > 0) {
    operations_run(&r, 1 + bench_random_below(&r.seed, r.moves % 4 == 0 ? HIDDEN_LONG : HIDDEN_SHORT));
    head_move(&r, &head);
  }
  double wall_ms = bench_ms_since(start);
  bench_measured();

  uint64_t intact = tree_end(head);
  if (intact != nodes) nodes_lost("hide", nodes - intact);
  bench_report("hide", "wall_ms=%.3f moves=%" PRIu64 " %s check=%" PRIu64, wall_ms, r.moves,
               bench_latency_text(r.latency), r.path * 31 + intact + garbage_end(&r.garbage));
  return 0;
}
