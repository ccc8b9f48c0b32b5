/* trip_stack.c - trips through stacks: deep frames, alternate signal stacks, handlers, and jumps out of them. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <tricolor.h>
#include <unistd.h>

#include "dwell.h"
#include "registers.h"
#include "report.h"
#include "trips.h"

enum { DEEPEST = 300, FRAME_SIZE = 512, ALTERNATE_SIZE = 128 * 1024 };

courier couriers[MAX_ACTORS];

/* ---- deep frames ---- */

/* At the depth given the frame takes the pointer; those below it are made and left while it lies there. */
static __attribute__((noinline)) void descend(actor *a, void *volatile *home, size_t take_at, size_t depth) {
  unsigned char filler[FRAME_SIZE];
  void *volatile held = NULL;
  tri_keep_alive(filler); /* so the frame is there, and its size */
  if (take_at == 0) torture_move(home, &held);
  if (depth == 0)
    actor_dwell(a);
  else
    descend(a, home, take_at - 1, depth - 1);
  if (take_at == 0) torture_move(&held, home);
  tri_keep_alive(filler);
}

void trip_deep(actor *a, void *volatile *home) {
  size_t depth = random_below(&a->random, DEEPEST);
  descend(a, home, random_below(&a->random, depth + 1), depth);
}

/* ---- alternate stacks, jumps ---- */

static _Thread_local sigjmp_buf jump;
static _Thread_local bool jumps; /* what the handler is to do */

/* Brings the pointer back before it leaves, one way or the other. */
static __attribute__((noinline)) void hold_in_frames(actor *a, size_t depth) {
  unsigned char filler[FRAME_SIZE];
  void *volatile held = NULL;
  courier *own = &couriers[a->number];
  tri_keep_alive(filler); /* so the frame is there, and its size */
  if (depth) {
    hold_in_frames(a, depth - 1);
  } else {
    torture_move(&own->word, &held);
    actor_dwell_bare(a);
    torture_move(&held, &own->word);
    if (jumps) siglongjmp(jump, 1);
  }
  tri_keep_alive(filler);
}

static void handle(int number) {
  (void)number;
  actor *a = actor_self;
  hold_in_frames(a, random_below(&a->random, 20));
}

static void run_handler(actor *a, void *volatile *home, int number, bool with_jump) {
  courier *own = &couriers[a->number];
  torture_move(home, &own->word);
  jumps = with_jump;
  if (sigsetjmp(jump, 1) == 0) pthread_kill(pthread_self(), number);
  torture_move(&own->word, home);
}

/* The stack is there for the trip alone: it is found anew each time. */
void trip_alternate(actor *a, void *volatile *home) {
  bool with_jump = random_below(&a->random, 2);
  stack_t before, stack = {.ss_size = ALTERNATE_SIZE};
  stack.ss_sp = mmap(NULL, ALTERNATE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED) report_call("mmap", ALTERNATE_SIZE);
  if (sigaltstack(&stack, &before) != 0) report_call("sigaltstack", ALTERNATE_SIZE);
  run_handler(a, home, SIGUSR1, with_jump);
  if (with_jump) a->jumped_off = true;
  if (sigaltstack(&before, NULL) != 0) report_call("sigaltstack", 0);
  munmap(stack.ss_sp, ALTERNATE_SIZE);
}

void trip_jump(actor *a, void *volatile *home) {
  run_handler(a, home, SIGWINCH, true);
  a->jumped_off = false;
}

/* ---- handlers that move the pointer at any moment ---- */

static _Thread_local void *volatile signal_word;

static void exchange_words(int number) {
  (void)number;
  courier *own = &couriers[actor_self->number];
  void *volatile held = NULL;
  void *volatile *from = own->other ? &own->other : &signal_word, *volatile *to =
                                                                      own->other ? &signal_word : &own->other;
  torture_move(from, &held);
  torture_move(&held, to);
}

void trip_disturb(actor *a) {
  if (atomic_load_explicit(&a->alive, memory_order_acquire)) pthread_kill(a->self, SIGUSR2);
}

static void set_mask(int how, int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  if (pthread_sigmask(how, &set, NULL) != 0) report_call("pthread_sigmask", number);
}

void trip_signals(actor *a, void *volatile *home) {
  courier *own = &couriers[a->number];
  set_mask(SIG_BLOCK, SIGUSR2);
  torture_move(home, &own->other);
  set_mask(SIG_UNBLOCK, SIGUSR2);
  for (size_t i = random_below(&a->random, 5); i; i--) {
    pthread_kill(pthread_self(), SIGUSR2);
    actor_dwell(a);
  }
  set_mask(SIG_BLOCK, SIGUSR2);
  torture_move(own->other ? &own->other : &signal_word, home);
  set_mask(SIG_UNBLOCK, SIGUSR2);
}

void trip_catch_signals(void) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART | SA_ONSTACK};
  if (sigaction(SIGUSR1, &action, NULL) != 0) report_call("sigaction", SIGUSR1);
  action.sa_flags = SA_RESTART;
  if (sigaction(SIGWINCH, &action, NULL) != 0) report_call("sigaction", SIGWINCH);
  action.sa_handler = exchange_words;
  if (sigaction(SIGUSR2, &action, NULL) != 0) report_call("sigaction", SIGUSR2);
}

/* ---- a thread that hears no signals, or is in a blocking region ---- */

void trip_deaf(actor *a, void *volatile *home) {
  sigset_t all, before;
  void *volatile held;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) report_call("pthread_sigmask", SIG_SETMASK);
  torture_move(home, &held);
  actor_dwell(a);
  torture_move(&held, home);
  if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0) report_call("pthread_sigmask", SIG_SETMASK);
}

/* Between the two a thread must not touch the heap; its stack and static data are no part of it. */
void trip_blocking(actor *a, void *volatile *home) {
  void *volatile held;
  torture_move(home, &held);
  tri_blocking_begin();
  actor_dwell_bare(a);
  tri_blocking_end();
  torture_move(&held, home);
}
