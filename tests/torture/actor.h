/* actor.h - one thread of the torture: the graphs it has in hand, and where the only pointer to each is.
 *
 * An actor is a block of malloc memory, which the collector does not look into; of pointers into the heap it knows
 * none, only where they are: a place and a number. All is the thread's own, but what is atomic. */
#ifndef TORTURE_ACTOR_H
#define TORTURE_ACTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "place.h"
#include "random.h"

enum { MAX_ACTORS = 256, HANDS = 24, MAX_WRAPS = 3, HISTORY = 6 };

/* What is known of a graph without a pointer to it: its number, and the boxes around it, outermost last: in each, how
 * many bytes from where the pointer points the next one is. */
typedef struct ticket {
  uint64_t id;
  uint32_t wraps;
  uint32_t offsets[MAX_WRAPS];
} ticket;

typedef struct event {
  uint64_t step;
  const char *action, *place;
  uint32_t index;
} event;

typedef struct hand {
  ticket ticket; /* id 0: empty */
  enum place place;
  uint32_t index;
  event history[HISTORY]; /* the newest first */
} hand;

enum { MAX_ACTIONS = 48 };

/* The process that an actor is in: in each an actor may do less than in the one before. */
typedef enum process {
  PROCESS_FIRST,
  PROCESS_CHILD,      /* of fork: the loader and threads may be unusable */
  PROCESS_BARE_CHILD, /* of _Fork, or of a bare system call: malloc, too */
} process;

typedef struct actor {
  unsigned number;
  uint64_t seed;
  test_random random;
  pthread_t thread;  /* its starter's, to join */
  pthread_t self;    /* its own, to be read when it is alive */
  const char *doing; /* the action under way */
  hand *at;          /* and the hand it is for, or NULL */
  hand hands[HANDS];
  places places;
  int pipe[2], sockets[2], file; /* that pointers travel through */
  process process;
  bool jumped_off; /* an alternate stack, out of the last handler that it jumped out of */
  pid_t child;     /* that is waited for, or 0 */
  /* Read by others while the thread works; relaxed, for they are figures. */
  _Atomic(uint64_t) steps, checked, actions[MAX_ACTIONS], rests[PLACE_COUNT];
  _Atomic(bool) alive; /* takes signals; released and acquired with the thread's setting up and ending */
} actor;

/* The actor of the calling thread, or NULL. */
extern _Thread_local actor *actor_self;

/* Set once, before actors start. */
typedef struct torture_settings {
  uint64_t seed;
  unsigned threads;
  size_t ballast;   /* nodes of each actor */
  const char *only; /* names of actions with commas between, or NULL: all */
  const char *library_folder;
} torture_settings;
extern torture_settings torture;

/* All actors stop after the step they are at. */
extern _Atomic(bool) torture_is_over;

/* Whether the names in torture.only are names of actions; settles which are chosen how often. */
bool actor_choose_actions(void);
const char *actor_action_name(unsigned action); /* NULL: no more */

void actor_start(actor *a, unsigned number);

/* Where the pointer of a hand is. */
void *volatile *actor_word(actor *a, const hand *h);
/* Looks at the whole graph; ends the program when it is not what it should be. */
void actor_check(actor *a, hand *h);
void actor_look(const hand *h, const void *cargo); /* the same, cargo being where the hand says */
void actor_check_all(actor *a);
/* So many random steps, such as may be taken in this process. */
void actor_run(actor *a, uint64_t steps);

#endif
