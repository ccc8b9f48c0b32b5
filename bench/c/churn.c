/* churn.c - latency of a program that writes pointers all over a large graph while it allocates.
 *
 *     bench-churn-PEER [NODES OPERATIONS THREADS on|off]      (4,000,000, 10,000,000, 1 and on)
 *
 * NODES nodes of 64 bytes with 4 edges are alive: a fifth of them are hubs, which an array holds, and each edge of a
 * hub leads to a leaf, the edges of which lead to hubs. Each operation makes a leaf and puts it in the place of a
 * random leaf of a random hub, takes over three of the old leaf's edges, draws the fourth, and walks four edges from
 * that hub. Each 16th also makes a hub, which takes the place and the edges of a random one; the old hub loses them. So
 * as many nodes become garbage as are made, but for old hubs that leaves still lead to. Only a collector can know when
 * a node is garbage: malloc is run with "off" alone, where nothing is ever freed.
 *
 * Two threads divide the operations and share the graph; a pointer that both write is whichever came last, and a hub
 * may lose edges when both take its place. Pointers are loaded and stored whole and in order, by what are plain moves
 * on x86-64, as they are in Go. In the end everything that can be reached is walked, and every node must be as it was
 * written. */
#include "latency.h"
#include "node.h"

enum { THREADS_MAX = 2, WALK = 4, HUB_EVERY = 16, HUB_SHARE = 1 + NODE_EDGES };

static node **hub;
static size_t hubs;

typedef struct share {
  pthread_t thread;
  uint64_t seed, made; /* made: the number of its next node */
  size_t operations;
  uint64_t start_ns;
  bench_latency *latency;
  uint64_t sum, lost; /* results */
} share;

/* Order: a node that is found is found with its contents; pairs with pointer_store. */
static inline node *pointer_load(node **at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }

static inline void pointer_store(node **at, node *n) { __atomic_store_n(at, n, __ATOMIC_RELEASE); }

static BENCH_NOINLINE void graph_make(void) {
  uint64_t seed = 88172645463325252;
  uint64_t made = 0;
  hub = bench_scan(hubs * sizeof(node *));
  for (size_t i = 0; i < hubs; i++) {
    hub[i] = node_make(made++);
    for (int k = 0; k < NODE_EDGES; k++) hub[i]->edge[k] = node_make(made++);
  }
  for (size_t i = 0; i < hubs; i++)
    for (int k = 0; k < NODE_EDGES * NODE_EDGES; k++)
      hub[i]->edge[k / NODE_EDGES]->edge[k % NODE_EDGES] = hub[bench_random_below(&seed, hubs)];
}

/* A leaf in the place of another; edges that another thread has taken away meanwhile are not there. */
static inline void leaf_replace(share *s, node **place) {
  node *leaf = node_make(s->made++);
  node *old = pointer_load(place);
  leaf->edge[0] = pointer_load(&hub[bench_random_below(&s->seed, hubs)]);
  for (int k = 1; k < NODE_EDGES && old != NULL; k++) leaf->edge[k] = pointer_load(&old->edge[k - 1]);
  pointer_store(place, leaf);
}

static inline void hub_replace(share *s, node **place) {
  node *fresh = node_make(s->made++);
  node *old = pointer_load(place);
  for (int k = 0; k < NODE_EDGES; k++) {
    fresh->edge[k] = pointer_load(&old->edge[k]);
    pointer_store(&old->edge[k], NULL);
  }
  pointer_store(place, fresh);
}

static inline void churn(share *s, size_t i) {
  node *at = pointer_load(&hub[bench_random_below(&s->seed, hubs)]);
  uint64_t draw = bench_random(&s->seed) >> 32;
  leaf_replace(s, &at->edge[draw & 3]);
  for (int k = 1; k <= WALK && at != NULL; k++) {
    s->sum += at->word[0];
    s->lost += !node_intact(at);
    at = pointer_load(&at->edge[draw >> (2 * k) & 3]);
  }
  if (i % HUB_EVERY == 0) hub_replace(s, &hub[bench_random_below(&s->seed, hubs)]);
}

static void *share_run(void *argument) {
  share *s = argument;
  bench_latency_begin(s->latency, s->start_ns);
  for (size_t i = 0; i < s->operations; i++) {
    churn(s, i);
    bench_latency_end(s->latency);
  }
  return NULL;
}

/* Walks everything that the array reaches: returns how much that is, and adds to *lost what is not as it was
 * written. */
static uint64_t graph_walk(size_t most, uint64_t *lost) {
  node **stack = bench_map(most * sizeof(node *), false);
  uint64_t live = 0;
  for (size_t i = 0; i < hubs; i++) {
    size_t depth = 0;
    if (hub[i]->word[3] == 0) stack[depth++] = hub[i];
    hub[i]->word[3] = 1;
    while (depth > 0) {
      node *n = stack[--depth];
      live++;
      *lost += !node_intact(n);
      for (int k = 0; k < NODE_EDGES; k++) {
        node *to = n->edge[k];
        if (to == NULL || to->word[3] != 0) continue;
        to->word[3] = 1;
        stack[depth++] = to;
      }
    }
  }
  return live;
}

int main(int argc, char **argv) {
  size_t nodes = (size_t)bench_arg(argc, argv, 1, 4000000);
  size_t operations = (size_t)bench_arg(argc, argv, 2, 10000000);
  size_t threads = (size_t)bench_arg(argc, argv, 3, 1);
  hubs = nodes / HUB_SHARE;
  if (threads > THREADS_MAX || hubs == 0 || nodes > UINT32_MAX) {
    fprintf(stderr, "%s: give at least 5 NODES, below 2^32, and 1 or 2 threads\n", argv[0]);
    return 2;
  }
  bench_start();
  bench_arg_collections(argc, argv, 4);
  graph_make();

  share shares[THREADS_MAX] = {0};
  uint64_t start = bench_now_ns();
  for (size_t i = 0; i < threads; i++) {
    shares[i] = (share){.seed = 1 + i,
                        .made = nodes + 2 * i * operations,
                        .operations = operations / threads,
                        .start_ns = start,
                        .latency = bench_latency_make()};
    if (threads > 1) bench_thread_start(&shares[i].thread, share_run, &shares[i]);
  }
  if (threads == 1) (void)share_run(&shares[0]);
  for (size_t i = 0; i < threads && threads > 1; i++) bench_thread_join(shares[i].thread);
  double wall_ms = bench_ms_since(start);
  bench_measured();

  for (size_t i = 1; i < threads; i++) {
    bench_latency_add(shares[0].latency, shares[i].latency);
    shares[0].lost += shares[i].lost;
  }
  uint64_t live = graph_walk(nodes + 2 * operations, &shares[0].lost);
  if (shares[0].lost > 0) nodes_lost("churn", shares[0].lost);
  /* What two threads find, and what is left, depends on who came first. */
  uint64_t check = threads == 1 ? shares[0].sum * 31 + live : shares[0].latency->count;
  bench_report("churn", "wall_ms=%.3f live=%" PRIu64 " %s check=%" PRIu64, wall_ms, live,
               bench_latency_text(shares[0].latency), check);
  return 0;
}
