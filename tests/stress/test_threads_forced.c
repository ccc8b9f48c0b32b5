/* test_threads_forced.c - several threads in tri_gc at once: each is served by a collection that began after its call,
 * and none of them takes a mark from who is at it. If they did, a round would follow each time, whatever was left to
 * mark, and the stops would grow (gc/cycle.c: is_left_to_marker). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "child.h"
#include "gc/work.h"
#include "steps.h"

static const char *const page_gear[] = {"TRICOLOR_GEAR=page", "TRICOLOR_GC_THREADS=1", NULL};

typedef struct cycles {
  uint64_t begun, over;
} cycles;

static cycles read_cycles(void) {
  cycles now;
  tri_read_cycles(&now.begun, &now.over);
  return now;
}

static tri_stopstats read_stops(void) {
  tri_stopstats stats;
  tri_read_stopstats(&stats);
  return stats;
}

static void say_gear(void *unused) {
  (void)unused;
  const char *gear = read_stops().gear;
  CHILD_CHECK(write(STDERR_FILENO, gear, strlen(gear)) > 0);
}

/* In a child: what follows starts heaps of its own. */
static bool works_here(void) {
  child_result result = child_run(say_gear, NULL, NULL);
  return strcmp(result.text, "page") == 0;
}

/* What has begun by now may know less than there is garbage: it does not do. */
static void call_gc(void) {
  uint64_t begun = read_cycles().begun;
  tri_gc();
  cycles after = read_cycles();
  if (after.over <= begun)
    child_fail("tri_gc returned with %llu collections over, and %llu had begun before it",
               (unsigned long long)after.over, (unsigned long long)begun);
}

/* ---- a mark that others come to ---- */

enum { COMERS = 3, HELD_BYTES = 1 << 20, PAGE = 1 << 16 };

static char *volatile held; /* by static data; a page of it cannot be read at first, so who marks is stuck there */
static _Atomic(uintptr_t) stuck_at;
static test_step may_mark;
static _Atomic(int) comer_ids[COMERS];

static void allow(uintptr_t page) { CHILD_CHECK(mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE) == 0); }

static void on_fault(int signal_, siginfo_t *info, void *unused) {
  uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1);
  (void)signal_, (void)unused;
  CHILD_CHECK(page >= (uintptr_t)held && page < (uintptr_t)held + HELD_BYTES);
  atomic_store(&stuck_at, page);
  step_await(&may_mark, 1);
  allow(page);
}

static void hold_marker(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  CHILD_CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
  held = tri_alloc(HELD_BYTES);
  CHILD_CHECK(held);
  uintptr_t page = ((uintptr_t)held + HELD_BYTES / 2) & ~(uintptr_t)(PAGE - 1);
  CHILD_CHECK(mprotect((void *)page, PAGE, PROT_NONE) == 0);
}

static void *come(void *id) {
  if (id) atomic_store((_Atomic(int) *)id, thread_id());
  call_gc();
  return NULL;
}

/* Until it waits for the marker, or has sent him away. */
static void await_comer(_Atomic(int) *id) {
  while (!atomic_load(id)) sched_yield();
  while (!is_asleep(atomic_load(id)) && !tri_work_is_over()) sched_yield();
}

static void run_comers(void *unused) {
  pthread_t marker, comers[COMERS];
  (void)unused;
  hold_marker();
  CHILD_CHECK(pthread_create(&marker, NULL, come, NULL) == 0);
  while (!atomic_load(&stuck_at)) sched_yield();
  CHILD_CHECK(read_cycles().begun == 1 && read_cycles().over == 0 && !tri_work_is_over());
  uint64_t rounds = read_stops().rounds;
  for (int i = 0; i < COMERS; i++) {
    CHILD_CHECK(pthread_create(&comers[i], NULL, come, &comer_ids[i]) == 0);
    await_comer(&comer_ids[i]);
    CHILD_CHECK(!tri_work_is_over()); /* the marker's session goes on */
  }
  CHILD_CHECK(read_stops().rounds == rounds && read_cycles().begun == 1 && read_cycles().over == 0);
  step_reach(&may_mark, 1);
  CHILD_CHECK(pthread_join(marker, NULL) == 0);
  for (int i = 0; i < COMERS; i++) CHILD_CHECK(pthread_join(comers[i], NULL) == 0);
  cycles after = read_cycles();
  tri_stopstats stops = read_stops();
  CHILD_CHECK(after.begun == 2 && after.over == 2); /* one served all who came */
  /* Nothing is written meanwhile, so an attempt takes one round beside the program and one in the stop. */
  CHILD_CHECK(stops.rounds <= 2 * (after.begun + stops.abandoned));
}

static void test_who_comes_lets_the_marker_be(void **state) {
  (void)state;
  if (!works_here()) skip();
  child_result result = child_run(run_comers, NULL, page_gear);
  assert_true(child_succeeded(&result));
}

/* ---- calls while a collection is under way, the collector's own among them ---- */

enum { LIVE = 30000, ALLOCATORS = 2, MOST_CALLERS = 4, CALLS = 20 };

typedef struct node {
  struct node *next;
  uint64_t number, check;
} node;
TRI_TYPE(node, next);

static _Atomic(bool) is_over;

static node *node_new(uint64_t number) {
  node *new = tri_new(node);
  CHILD_CHECK(new);
  new->number = number;
  new->check = ~number;
  return new;
}

/* A table that is always full; what it held before is garbage. In the loop the compiler may keep a pointer that moves
 * on beyond the table, and no other. */
static void *allocate(void *unused) {
  node **table = tri_make(node *, LIVE);
  for (uint64_t i = 0; i < LIVE; i++) table[i] = node_new(i);
  for (uint64_t i = 0; !atomic_load(&is_over); i++) {
    node **place = &table[i * 7919 % LIVE];
    CHILD_CHECK((*place)->check == ~(*place)->number);
    *place = node_new(i);
  }
  tri_keep_alive(table);
  return unused;
}

static bool is_one_under_way(void) {
  cycles now = read_cycles();
  return now.begun != now.over;
}

/* The allocating threads see to it that there will be one. */
static void *call_often(void *unused) {
  for (int i = 0; i < CALLS; i++) {
    while (!is_one_under_way()) sched_yield();
    call_gc();
  }
  return unused;
}

static void run_calls(void *count) {
  int callers = *(int *)count;
  pthread_t allocators[ALLOCATORS], threads[MOST_CALLERS];
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_create(&allocators[i], NULL, allocate, NULL) == 0);
  for (int i = 0; i < callers; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, call_often, NULL) == 0);
  for (int i = 0; i < callers; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
  atomic_store(&is_over, true);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_join(allocators[i], NULL) == 0);
  tri_memstats stats;
  tri_read_memstats(&stats);
  CHILD_CHECK(stats.NumGC > stats.NumForcedGC); /* the first that a caller saw was nobody's call */
}

static void test_a_call_is_served_by_what_began_after_it(void **state) {
  (void)state;
  if (!works_here()) skip();
  for (int callers = 1; callers <= MOST_CALLERS; callers += MOST_CALLERS - 1) {
    child_result result = child_run(run_calls, &callers, page_gear);
    assert_true(child_succeeded(&result));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_who_comes_lets_the_marker_be),
      cmocka_unit_test(test_a_call_is_served_by_what_began_after_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
