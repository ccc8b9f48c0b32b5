/* trips.h - where a pointer is while it rests nowhere: a trip takes it from *home, keeps it somewhere for a while, and
 * brings it back. Each has its own stretch of code or memory in which the only pointer lies meanwhile. */
#ifndef TORTURE_TRIPS_H
#define TORTURE_TRIPS_H

#include "actor.h"

/* Of an actor: a word in static data that hands the pointer to handlers and threads. */
typedef struct courier {
  void *volatile word;
  void *volatile other;
  _Atomic(bool) done;
} courier;
extern courier couriers[MAX_ACTORS];

/* trip_registers.c */
void trip_scratch(actor *a, void *volatile *home);
void trip_callee(actor *a, void *volatile *home);
void trip_vector(actor *a, void *volatile *home);

/* trip_stack.c */
void trip_deep(actor *a, void *volatile *home);
void trip_alternate(actor *a, void *volatile *home);
void trip_jump(actor *a, void *volatile *home);
void trip_signals(actor *a, void *volatile *home);
void trip_deaf(actor *a, void *volatile *home);
void trip_blocking(actor *a, void *volatile *home);
void trip_catch_signals(void);
/* A signal that moves a pointer which is out with trip_signals. */
void trip_disturb(actor *a);

/* trip_system.c */
void trip_pipe(actor *a, void *volatile *home);
void trip_socket(actor *a, void *volatile *home);
void trip_file(actor *a, void *volatile *home);
void trip_system_set_up(actor *a);
void trip_system_tear_down(actor *a);

/* trip_thread.c */
void trip_thread(actor *a, void *volatile *home);
void trip_detached(actor *a, void *volatile *home);

/* trip_library.c: a library that is loaded and unloaded on the way */
void trip_library(actor *a, void *volatile *home);
/* While it is held, no actor loads or unloads; a thread may hold it once. */
void trip_library_hold(void);
void trip_library_release(void);

/* trip_fork.c */
void trip_fork(actor *a, void *volatile *home);

#endif
