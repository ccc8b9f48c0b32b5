/* exchange.c - see exchange.h. */
#include "exchange.h"

#include <tricolor.h>

#include "registers.h"
#include "report.h"

enum { SLOTS = 64, LISTS = 8, LIST_LENGTH = 32 };
typedef enum slot_state { EMPTY, BUSY, FULL } slot_state;

typedef struct slot {
  _Atomic(unsigned) state; /* EMPTY and FULL are set with release and left with acquire: the rest goes with it */
  ticket ticket;
  void *volatile word;
} slot;

typedef struct entry {
  struct entry *next;
  ticket ticket;
  void *volatile cargo;
} entry;
TRI_TYPE(entry, next, cargo);

static slot slots[SLOTS];
static struct {
  _Atomic(entry *) first;
  _Atomic(int) length; /* about; bounds the list */
} lists[LISTS];

static bool take_slot(slot *s, slot_state from) {
  unsigned state = from;
  return atomic_compare_exchange_strong_explicit(&s->state, &state, BUSY, memory_order_acquire, memory_order_relaxed);
}

bool exchange_give(test_random *random, const ticket *t, void *volatile *home) {
  slot *s = &slots[random_below(random, SLOTS)];
  if (!take_slot(s, EMPTY)) return false;
  s->ticket = *t;
  torture_move(home, &s->word);
  atomic_store_explicit(&s->state, FULL, memory_order_release);
  return true;
}

bool exchange_take(test_random *random, ticket *t, void *volatile *home) {
  slot *s = &slots[random_below(random, SLOTS)];
  if (!take_slot(s, FULL)) return false;
  *t = s->ticket;
  torture_move(&s->word, home);
  atomic_store_explicit(&s->state, EMPTY, memory_order_release);
  return true;
}

/* An entry is used once: that its address comes back while somebody remembers it is for the collector to prevent. */
bool exchange_push(test_random *random, const ticket *t, void *volatile *home) {
  size_t i = random_below(random, LISTS);
  if (atomic_load_explicit(&lists[i].length, memory_order_relaxed) >= LIST_LENGTH) return false;
  entry *pushed = tri_new(entry);
  if (!pushed) report_call("tri_new", sizeof *pushed);
  pushed->ticket = *t;
  torture_move(home, &pushed->cargo);
  entry *next = atomic_load_explicit(&lists[i].first, memory_order_relaxed);
  do pushed->next = next;
  while (!atomic_compare_exchange_weak_explicit(&lists[i].first, &next, pushed,
                                                memory_order_release, /* pop's acquire */
                                                memory_order_relaxed));
  atomic_fetch_add_explicit(&lists[i].length, 1, memory_order_relaxed);
  return true;
}

bool exchange_pop(test_random *random, ticket *t, void *volatile *home) {
  size_t i = random_below(random, LISTS);
  entry *popped = atomic_load_explicit(&lists[i].first, memory_order_acquire); /* pairs with push's release */
  do
    if (!popped) return false;
  while (!atomic_compare_exchange_weak_explicit(&lists[i].first, &popped, popped->next, memory_order_acquire,
                                                memory_order_acquire));
  atomic_fetch_sub_explicit(&lists[i].length, 1, memory_order_relaxed);
  *t = popped->ticket;
  torture_move(&popped->cargo, home);
  return true;
}

void exchange_check_all(void) {
  for (int i = 0; i < SLOTS; i++)
    if (atomic_load_explicit(&slots[i].state, memory_order_acquire) == FULL) /* pairs with exchange_give's release */
      actor_look(&(hand){.ticket = slots[i].ticket}, slots[i].word);
  for (int i = 0; i < LISTS; i++)
    for (entry *e = atomic_load_explicit(&lists[i].first, memory_order_acquire); e; e = e->next)
      actor_look(&(hand){.ticket = e->ticket}, e->cargo);
}
