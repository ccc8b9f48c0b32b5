/* trip_thread.c - trips through other threads: as argument and result, and by a word in static data. */
#include <pthread.h>
#include <sched.h>

#include "dwell.h"
#include "registers.h"
#include "report.h"
#include "trips.h"

static void *carry(void *cargo) {
  void *volatile held = cargo;
  sched_yield();
  return held;
}

/* The argument is all that has the pointer when the thread starts, and its result when it has ended. */
void trip_thread(actor *a, void *volatile *home) {
  pthread_t thread;
  void *cargo = *home;
  *home = NULL;
  int error = pthread_create(&thread, NULL, carry, cargo);
  if (error) report_text("pthread_create: error %d", error);
  actor_dwell(a);
  cargo = NULL;
  error = pthread_join(thread, &cargo);
  if (error) report_text("pthread_join: error %d", error);
  *home = cargo;
}

static void *hold(void *argument) {
  courier *c = argument;
  void *volatile held = NULL;
  torture_move(&c->word, &held);
  sched_yield();
  torture_move(&held, &c->word);
  atomic_store_explicit(&c->done, true, memory_order_release); /* pairs with trip_detached's acquire */
  return NULL;
}

void trip_detached(actor *a, void *volatile *home) {
  pthread_t thread;
  courier *c = &couriers[a->number];
  torture_move(home, &c->word);
  atomic_store_explicit(&c->done, false, memory_order_relaxed); /* the thread's start comes after */
  int error = pthread_create(&thread, NULL, hold, c);
  if (!error) error = pthread_detach(thread);
  if (error) report_text("pthread_create or pthread_detach: error %d", error);
  while (!atomic_load_explicit(&c->done, memory_order_acquire)) sched_yield();
  torture_move(&c->word, home);
}
