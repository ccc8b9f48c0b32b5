/* dwell.c - see dwell.h. */
#include "dwell.h"

#include <sched.h>
#include <string.h>
#include <time.h>
#include <tricolor.h>

#include "report.h"

typedef struct litter {
  uint64_t number;
  struct litter *next;
} litter;
TRI_TYPE(litter, next);

/* Objects that are soon garbage; they fill the slots of what was lost. */
static __attribute__((noinline)) void make_litter(actor *a) {
  litter *volatile last = NULL;
  for (size_t i = 1 + random_below(&a->random, 8); i; i--) {
    litter *made = random_below(&a->random, 2) ? tri_new(litter) : tri_alloc(16 + random_below(&a->random, 400));
    if (!made) report_call("tri_alloc", 0);
    *made = (litter){0x1177e41177e41177, last};
    last = made;
  }
}

static void make_large_litter(actor *a) {
  size_t size = 1 + random_below(&a->random, 512 * 1024);
  void *made = random_below(&a->random, 2) ? tri_alloc(size) : tri_alloc_noscan(size);
  if (!made) report_call("tri_alloc", (long)size);
  memset(made, 0x11, random_below(&a->random, size));
  if (random_below(&a->random, 2)) tri_free(made);
}

static void nap(actor *a) {
  struct timespec time = {0, (long)random_below(&a->random, 100000)};
  (void)nanosleep(&time, NULL); /* the program's signals may cut it short */
}

static void compute(actor *a) {
  volatile size_t rounds = random_below(&a->random, 300);
  while (rounds) rounds = rounds - 1;
}

void actor_dwell_bare(actor *a) {
  size_t chance = random_below(&a->random, 64);
  if (chance < 2)
    nap(a);
  else if (chance < 20)
    sched_yield();
  else
    compute(a);
}

void actor_dwell(void *argument) {
  actor *a = argument;
  size_t chance = random_below(&a->random, 1024);
  if (chance < 1)
    tri_gc();
  else if (chance < 10)
    make_large_litter(a);
  else if (chance < 400)
    make_litter(a);
  else
    actor_dwell_bare(a);
}
