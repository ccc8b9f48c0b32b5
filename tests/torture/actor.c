/* actor.c - see actor.h. A step picks a hand and an action, both at random; what an action needs and does not find
 * makes it do nothing. */
#include "actor.h"

#include <string.h>
#include <tricolor.h>

#include "cargo.h"
#include "dwell.h"
#include "exchange.h"
#include "registers.h"
#include "report.h"
#include "steps.h"
#include "trips.h"

_Thread_local actor *actor_self;
torture_settings torture;
_Atomic(bool) torture_is_over;

static bool chance(actor *a, size_t in) { return random_below(&a->random, in) == 0; }

static void count(_Atomic(uint64_t) *counter) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

void *volatile *actor_word(actor *a, const hand *h) { return place_word(&a->places, h->place, h->index); }

/* ---- places ---- */

/* An empty word somewhere. Places fill up only where they are small, so this ends soon. */
static void choose_place(actor *a, hand *h) {
  do {
    h->place = (enum place)random_below(&a->random, PLACE_COUNT);
    h->index = (uint32_t)random_below(&a->random, place_size(&a->places, h->place));
  } while (*actor_word(a, h));
  count(&a->rests[h->place]);
}

static void move(actor *a, hand *h) {
  void *volatile *from = actor_word(a, h);
  choose_place(a, h);
  torture_move(from, actor_word(a, h));
}

/* ---- boxes: new objects in the heap that alone know the next ---- */

typedef struct box {
  uint64_t number;
  void *volatile content;
  uint64_t more;
} box;
TRI_TYPE(box, content);

static void *make_box(actor *a, uint32_t *offset) {
  size_t words = 1 + random_below(&a->random, chance(a, 64) ? 12 * 1024 : 60), count_of = 1 + words / 8;
  void *made;
  switch (random_below(&a->random, 4)) {
  case 0:
    *offset = offsetof(box, content);
    made = tri_new(box);
    break;
  case 1:
    *offset = (uint32_t)(random_below(&a->random, count_of) * sizeof(box) + offsetof(box, content));
    made = tri_make(box, count_of);
    break;
  default:
    *offset = (uint32_t)(random_below(&a->random, words) * sizeof(void *));
    made = tri_alloc(words * sizeof(void *));
  }
  if (!made) report_call("tri_alloc", (long)words);
  return made;
}

static void wrap(actor *a, hand *h) {
  void *volatile *home = actor_word(a, h);
  if (h->ticket.wraps == MAX_WRAPS) return;
  uint32_t *offset = &h->ticket.offsets[h->ticket.wraps++];
  char *made = make_box(a, offset);
  torture_move(home, (void *volatile *)(void *)(made + *offset));
  *home = made;
}

static void unwrap(actor *a, hand *h) {
  void *volatile *home = actor_word(a, h);
  if (!h->ticket.wraps) return;
  void *volatile *content = (void *volatile *)(void *)((char *)*home + h->ticket.offsets[--h->ticket.wraps]);
  torture_move(content, home);
}

/* ---- looking, making anew ---- */

/* The caller forgets what this leaves on the stack. */
__attribute__((noinline)) void actor_look(const hand *h, const void *cargo) {
  if (h->ticket.wraps > MAX_WRAPS)
    report_lost(h, &(cargo_fault){"what is known of it is overwritten", 0, h, h->ticket.wraps, MAX_WRAPS});
  for (unsigned i = h->ticket.wraps; i-- && cargo;) {
    if (!tri_base_of(cargo)) report_lost(h, &(cargo_fault){"its box is free", i, cargo, 0, 0});
    cargo = *(void *const *)(const void *)((const char *)cargo + h->ticket.offsets[i]);
  }
  cargo_fault fault = cargo_check(h->ticket.id, cargo);
  if (fault.what) report_lost(h, &fault);
}

void actor_check(actor *a, hand *h) {
  if (!h->ticket.id) return;
  actor_look(h, *actor_word(a, h));
  forget_stack();
  count(&a->checked);
}

void actor_check_all(actor *a) {
  for (int i = 0; i < HANDS; i++) {
    a->at = &a->hands[i];
    actor_check(a, a->at);
  }
  place_check(&a->places);
}

static void make(actor *a, hand *h) {
  memset(h, 0, sizeof *h);
  h->ticket.id = random_next(&a->random) | 1;
  choose_place(a, h);
  cargo_make(h->ticket.id, actor_word(a, h));
}

static void empty(hand *h) { h->ticket.id = 0; }

/* Mostly dropped for the collector to find, at times freed. */
static void replace(actor *a, hand *h) {
  actor_check(a, h);
  while (h->ticket.wraps) unwrap(a, h);
  if (chance(a, 4))
    cargo_free(h->ticket.id, actor_word(a, h));
  else
    *actor_word(a, h) = NULL;
  make(a, h);
}

static void renew(actor *a, hand *h) {
  if (h->ticket.wraps) return;
  cargo_renew(h->ticket.id, actor_word(a, h), &a->random);
  forget_stack();
}

/* ---- exchange ---- */

static void give(actor *a, hand *h) {
  if (exchange_give(&a->random, &h->ticket, actor_word(a, h))) empty(h);
}

static void push(actor *a, hand *h) {
  if (exchange_push(&a->random, &h->ticket, actor_word(a, h))) empty(h);
}

/* An empty hand is filled. */
static void fill(actor *a, hand *h) {
  memset(h, 0, sizeof *h);
  choose_place(a, h);
  bool taken = chance(a, 2) ? exchange_take(&a->random, &h->ticket, actor_word(a, h))
                            : exchange_pop(&a->random, &h->ticket, actor_word(a, h));
  if (!taken) make(a, h);
}

/* ---- containers ---- */

static void copy(actor *a, hand *h) {
  (void)h;
  place_copy_container(&a->places, &a->random);
  forget_stack();
}

static void grow(actor *a, hand *h) {
  size_t least = 0;
  (void)h;
  for (int i = 0; i < HANDS; i++)
    if (a->hands[i].ticket.id && a->hands[i].place == PLACE_GROWING && a->hands[i].index >= least)
      least = a->hands[i].index + 1;
  place_regrow(&a->places, least, &a->random);
}

static void move_block(actor *a, hand *h) {
  (void)h;
  place_move_block(&a->places);
  forget_stack();
}

static void move_mapped(actor *a, hand *h) {
  (void)h;
  place_move_mapped(&a->places);
  forget_stack();
}

/* ---- actions ---- */

typedef struct action {
  const char *name;
  unsigned weight;
  void (*act)(actor *a, hand *h); /* either of the two */
  void (*trip)(actor *a, void *volatile *home);
  process last; /* in which it may be done */
} action;

static void check(actor *a, hand *h) { actor_check(a, h); }

static void dwell(actor *a, hand *h) {
  (void)h;
  actor_dwell(a);
}

static void tune(actor *a, hand *h) {
  (void)h;
  tri_set_gc_percent(5 + (int)random_below(&a->random, 95));
}

static void release(actor *a, hand *h) {
  (void)a;
  (void)h;
  tri_free_os_memory();
}

/* How often of so many. Rare is what takes long. */
static action actions[] = {
    {"move", 40000, move, NULL, PROCESS_BARE_CHILD},
    {"check", 5000, check, NULL, PROCESS_BARE_CHILD},
    {"wrap", 4000, wrap, NULL, PROCESS_BARE_CHILD},
    {"unwrap", 4000, unwrap, NULL, PROCESS_BARE_CHILD},
    {"replace", 2500, replace, NULL, PROCESS_BARE_CHILD},
    {"renew", 2500, renew, NULL, PROCESS_BARE_CHILD},
    {"give", 1500, give, NULL, PROCESS_BARE_CHILD},
    {"push", 1500, push, NULL, PROCESS_BARE_CHILD},
    {"copy", 1000, copy, NULL, PROCESS_BARE_CHILD},
    {"grow", 100, grow, NULL, PROCESS_BARE_CHILD},
    {"malloc", 200, move_block, NULL, PROCESS_CHILD},
    {"mmap", 30, move_mapped, NULL, PROCESS_BARE_CHILD},
    {"scratch", 2000, NULL, trip_scratch, PROCESS_BARE_CHILD},
    {"callee", 2000, NULL, trip_callee, PROCESS_BARE_CHILD},
    {"vector", 4000, NULL, trip_vector, PROCESS_BARE_CHILD},
    {"deep", 300, NULL, trip_deep, PROCESS_BARE_CHILD},
    {"alternate", 100, NULL, trip_alternate, PROCESS_BARE_CHILD},
    {"jump", 100, NULL, trip_jump, PROCESS_BARE_CHILD},
    {"signals", 100, NULL, trip_signals, PROCESS_BARE_CHILD},
    {"deaf", 300, NULL, trip_deaf, PROCESS_BARE_CHILD},
    {"blocking", 300, NULL, trip_blocking, PROCESS_BARE_CHILD},
    {"pipe", 300, NULL, trip_pipe, PROCESS_BARE_CHILD},
    {"socket", 150, NULL, trip_socket, PROCESS_BARE_CHILD},
    {"file", 150, NULL, trip_file, PROCESS_BARE_CHILD},
    {"thread", 25, NULL, trip_thread, PROCESS_FIRST},
    {"detached", 25, NULL, trip_detached, PROCESS_FIRST},
    {"library", 15, NULL, trip_library, PROCESS_FIRST},
    {"fork", 3, NULL, trip_fork, PROCESS_FIRST},
    {"dwell", 2000, dwell, NULL, PROCESS_BARE_CHILD},
    {"tune", 5, tune, NULL, PROCESS_BARE_CHILD},
    {"release", 1, release, NULL, PROCESS_BARE_CHILD},
};
enum { ACTIONS = sizeof actions / sizeof *actions };
_Static_assert((int)ACTIONS < (int)MAX_ACTIONS, "figures for all of them");
static unsigned total_weight;

const char *actor_action_name(unsigned index) { return index < ACTIONS ? actions[index].name : NULL; }

static bool is_listed(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = list; at; at = strchr(at, ',')) {
    if (*at == ',') at++;
    if (strncmp(at, name, length) == 0 && (at[length] == ',' || !at[length])) return true;
  }
  return false;
}

bool actor_choose_actions(void) {
  unsigned chosen = 0, listed = torture.only != NULL;
  for (const char *at = torture.only; at && *at; at++) listed += *at == ',';
  for (unsigned i = 0; i < ACTIONS; i++) {
    if (torture.only && !is_listed(torture.only, actions[i].name))
      actions[i].weight = 0;
    else
      chosen++;
    total_weight += actions[i].weight;
  }
  return torture.only ? chosen == listed : true;
}

static unsigned choose_action(actor *a) {
  size_t at = random_below(&a->random, total_weight);
  unsigned chosen = 0;
  while (at >= actions[chosen].weight) at -= actions[chosen++].weight;
  return chosen;
}

static void remember(actor *a, hand *h, const char *name) {
  memmove(&h->history[1], &h->history[0], (HISTORY - 1) * sizeof h->history[0]);
  h->history[0] = (event){atomic_load_explicit(&a->steps, memory_order_relaxed), name, place_names[h->place], h->index};
}

/* What was lost on a trip is often seen at its end. */
static void act(actor *a, hand *h, const action *chosen) {
  if (chosen->act) {
    chosen->act(a, h);
  } else {
    chosen->trip(a, actor_word(a, h));
    if (chance(a, 2)) actor_check(a, h);
  }
}

static void step(actor *a) {
  hand *h = a->at = &a->hands[random_below(&a->random, HANDS)];
  unsigned chosen = choose_action(a);
  count(&a->steps);
  if (!h->ticket.id) {
    a->doing = "fill";
    fill(a, h);
    remember(a, h, "fill");
  }
  if (a->process > actions[chosen].last) return;
  a->doing = actions[chosen].name;
  act(a, h, &actions[chosen]);
  count(&a->actions[chosen]);
  if (h->ticket.id) remember(a, h, a->doing);
}

void actor_run(actor *a, uint64_t steps) {
  for (; steps && !atomic_load_explicit(&torture_is_over, memory_order_relaxed); steps--) step(a);
}

/* ---- life ---- */

static void set_up(actor *a, place_frame *frame) {
  actor_self = a;
  a->self = pthread_self();
  a->random.state = random_mix(a->seed + a->number);
  report_set_up_thread();
  place_set_up(&a->places, a->number, frame);
  trip_system_set_up(a);
  atomic_store_explicit(&a->alive, true, memory_order_release);
}

static void tear_down(actor *a) {
  a->doing = "end";
  atomic_store_explicit(&a->alive, false, memory_order_release);
  actor_check_all(a);
  for (int i = 0; i < HANDS; i++)
    if (a->hands[i].ticket.id) *actor_word(a, &a->hands[i]) = NULL;
  a->at = NULL;
  trip_system_tear_down(a);
  report_tear_down_thread();
  place_tear_down(&a->places);
}

static void *run_actor(void *argument) {
  actor *a = argument;
  place_frame frame = {0};
  set_up(a, &frame);
  actor_run(a, UINT64_MAX);
  tear_down(a);
  return NULL;
}

void actor_start(actor *a, unsigned number) {
  a->number = number;
  a->seed = torture.seed;
  int error = pthread_create(&a->thread, NULL, run_actor, a);
  if (error) report_text("pthread_create: error %d", error);
}
