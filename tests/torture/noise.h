/* noise.h - a thread that has nothing in hand and disturbs those that have: signals to them, and mappings that come,
 * go, and change beside the heap's. */
#ifndef TORTURE_NOISE_H
#define TORTURE_NOISE_H

#include <pthread.h>

#include "actor.h"

typedef struct noise {
  pthread_t thread;
  actor *actors;
  _Atomic(bool) is_over;
} noise;

void noise_start(noise *n, actor *actors);
/* Before the actors are joined: it sends signals to them. */
void noise_end(noise *n);

#endif
