/* pacer.h - when the next collection starts. Pure functions: figures in, figures out (runtime/mgcpacer.go, 2.5 of its
 * design).
 *
 * The goal is what is live, plus the percentage of everything that has to be scanned because it lives: heap, stacks,
 * static data. Collections here stop the program for the whole mark, so the trigger is the goal itself. */
#ifndef TRI_PACER_H
#define TRI_PACER_H

#include "base/base.h"

enum { TRI_PACER_MINIMUM = 4 * 1024 * 1024 }; /* the goal is never below this at 100 percent; scaled with it */

/* The heap size, in bytes, at which to collect next; PTRDIFF_MAX when percent is negative. */
ptrdiff_t tri_pacer_goal(size_t marked, size_t stack_bytes, size_t data_bytes, int percent);

#endif
