/* cargo.h - what the travelling pointer points to: a small graph whose shape and contents follow from a number, so that
 * whoever knows the number sees at once when a part was lost, used again, or overwritten.
 *
 * A graph is a tree of 1 to 15 nodes in objects of all kinds: typed, typed arrays, conservative, large, aligned. Most
 * pointers to nodes point inside their objects. Each node has a text without pointers. */
#ifndef TORTURE_CARGO_H
#define TORTURE_CARGO_H

#include <stdbool.h>
#include <stdint.h>

#include "random.h"

/* Why a graph is not what it should be. */
typedef struct cargo_fault {
  const char *what; /* NULL: nothing */
  unsigned node;
  const void *at;
  uint64_t found, wanted;
} cargo_fault;

/* Makes the graph of this number, and leaves the pointer in *home alone. */
void cargo_make(uint64_t id, void *volatile *home);

cargo_fault cargo_check(uint64_t id, const void *cargo);

/* Puts a copy of a random node in its place; *home changes when it is the first. Some old nodes are freed at once. */
void cargo_renew(uint64_t id, void *volatile *home, test_random *random);

/* Frees the whole graph. */
void cargo_free(uint64_t id, void *volatile *home);

#endif
