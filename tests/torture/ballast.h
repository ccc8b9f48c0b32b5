/* ballast.h - what makes collections long: chains of old nodes, each with a word in which a pointer may rest. The
 * collector comes to a word late, after all nodes before it in its chain.
 *
 * An actor goes there directly, by a table of addresses that the collector does not look into. */
#ifndef TORTURE_BALLAST_H
#define TORTURE_BALLAST_H

#include <stddef.h>
#include <stdint.h>

typedef struct ballast {
  size_t count;               /* nodes */
  void *volatile **addresses; /* of their words; from malloc */
} ballast;

/* Makes so many nodes, at least one; returns the object that all of them are reached from. */
void *ballast_make(ballast *b, size_t count);
/* Follows all chains, which begin at heads. */
void ballast_check(const ballast *b, const void *heads);
void ballast_drop(ballast *b);

#endif
