/* node.h - the nodes of 64 bytes that the latency workloads are made of, and garbage of them. */
#ifndef NODE_H
#define NODE_H

#include "bench.h"

enum { NODE_EDGES = 4, GARBAGE_RING = 1024 };

typedef struct node {
  struct node *edge[NODE_EDGES];
  uint64_t word[4]; /* 0: the node's number; 1: its complement; 2: twice it; 3: 1 once walked */
} node;
BENCH_TYPE(node, edge);

static inline node *node_make(uint64_t number) {
  node *n = bench_new(node);
  for (int k = 0; k < NODE_EDGES; k++) n->edge[k] = NULL;
  n->word[0] = number;
  n->word[1] = ~number;
  n->word[2] = 2 * number;
  n->word[3] = 0;
  return n;
}

/* Whether a node holds what was written into it: not so when its memory was given away too early. */
static inline bool node_intact(const node *n) { return n->word[1] == ~n->word[0] && n->word[2] == 2 * n->word[0]; }

/* Ends the program, which found nodes that are not as it wrote them. */
static inline void nodes_lost(const char *workload, uint64_t count) {
  fprintf(stderr, "%s: %" PRIu64 " nodes are lost or overwritten\n", workload, count);
  exit(1);
}

/* The newest 1,024 nodes are alive, and each new one takes the place of the oldest. */
typedef struct garbage {
  node **ring;
  uint64_t made;
} garbage;

static inline garbage garbage_begin(void) {
  garbage g = {bench_scan(GARBAGE_RING * sizeof(node *)), 0};
  for (int i = 0; i < GARBAGE_RING; i++) g.ring[i] = NULL;
  return g;
}

static inline void garbage_make(garbage *g) {
  node **slot = &g->ring[g->made % GARBAGE_RING];
  node *n = node_make(g->made++);
  if (BENCH_FREES) bench_drop(*slot);
  *slot = n;
}

/* How many of the ring's nodes are intact; drops them. */
static inline uint64_t garbage_end(garbage *g) {
  uint64_t intact = 0;
  for (int i = 0; i < GARBAGE_RING; i++) {
    if (g->ring[i] == NULL) continue;
    intact += node_intact(g->ring[i]);
    bench_drop(g->ring[i]);
  }
  bench_drop(g->ring);
  return intact;
}

#endif
