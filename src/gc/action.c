/* action.c - see action.h. No lock. */
#include "gc/action.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

#include "gc/thread.h"

enum { SIGNALS = 65 };

/* A function is kept by its form, so that a trampoline never calls one of the other form, whatever changes when.
 * Relaxed: the word stands alone, and a function is stored before the kernel can call its trampoline. */
static struct {
  _Atomic(uintptr_t) simple[SIGNALS], with_info[SIGNALS];
  /* The stop signal's. flags: release, after the rest; pairs with the acquire of readers. */
  _Atomic(uintptr_t) chained_function; /* SIG_DFL and SIG_IGN too */
  _Atomic(uint64_t) chained_mask;
  _Atomic(int) chained_flags;
} actions TRI_OWN_DATA;

typedef void simple_function(int);
typedef void info_function(int, siginfo_t *, void *);

TRI_UNSANITIZED_BEGIN

bool tri_action_has_handler(const struct sigaction *action) {
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* ---- running ---- */

/* The frame of the innermost trampoline that this thread is in; 0: none. */
static _Thread_local volatile uintptr_t innermost __attribute__((tls_model("initial-exec")));

/* What a handler of the program is wrapped in. */
typedef struct excursion {
  tri_thread *thread; /* NULL: not attached, so in no region; or a thread without thread-local storage of its own */
  tri_blocking_state state;
  uintptr_t outer;
} excursion;

static void begin(excursion *trip, const void *frame) {
  int saved_errno = errno;
  tri_signals_seen.handlers++;
  trip->outer = innermost;
  innermost = (uintptr_t)frame;
  trip->thread = tri_thread_here();
  if (trip->thread) tri_thread_blocking_leave(trip->thread, &trip->state);
  errno = saved_errno;
}

static void end(const excursion *trip) {
  innermost = trip->outer;
  if (trip->thread) tri_thread_blocking_resume(trip->thread, &trip->state);
}

static void on_simple(int signal) {
  simple_function *function = (simple_function *)atomic_load_explicit(&actions.simple[signal], memory_order_relaxed);
  excursion trip;
  begin(&trip, __builtin_frame_address(0));
  if (function) function(signal);
  end(&trip);
}

static void on_info(int signal, siginfo_t *info, void *context) {
  info_function *function = (info_function *)atomic_load_explicit(&actions.with_info[signal], memory_order_relaxed);
  excursion trip;
  begin(&trip, __builtin_frame_address(0));
  if (function) function(signal, info, context);
  end(&trip);
}

/* Where the innermost trampoline lies on the alternate stack, the kernel says whether the thread is there. Stack
 * pointers on different stacks say nothing of each other. */
bool tri_action_is_running(void) {
  uintptr_t frame = innermost;
  stack_t stack;
  if (!frame) return false;
  bool known = sigaltstack(NULL, &stack) == 0 && !(stack.ss_flags & SS_DISABLE);
  if (known && frame - (uintptr_t)stack.ss_sp < stack.ss_size && !(stack.ss_flags & SS_ONSTACK)) return false;
  return (uintptr_t)__builtin_frame_address(0) < frame;
}

/* ---- remembering ---- */

void tri_action_wrap(int signal, struct sigaction *action) {
  uintptr_t function = (uintptr_t)action->sa_handler; /* a union with sa_sigaction */
  if (!tri_action_has_handler(action)) return;
  if (action->sa_flags & SA_SIGINFO) {
    atomic_store_explicit(&actions.with_info[signal], function, memory_order_relaxed);
    action->sa_sigaction = on_info;
  } else {
    atomic_store_explicit(&actions.simple[signal], function, memory_order_relaxed);
    action->sa_handler = on_simple;
  }
}

tri_action_functions tri_action_remembered(int signal) {
  return (tri_action_functions){
      .simple = atomic_load_explicit(&actions.simple[signal], memory_order_relaxed),
      .with_info = atomic_load_explicit(&actions.with_info[signal], memory_order_relaxed),
  };
}

void tri_action_restore(tri_action_functions functions, struct sigaction *action) {
  if (action->sa_handler == on_simple) action->sa_handler = (simple_function *)functions.simple;
  if (action->sa_sigaction == on_info) action->sa_sigaction = (info_function *)functions.with_info;
}

/* ---- the stop signal ---- */

static uint64_t mask_word(const sigset_t *set) {
  uint64_t word;
  memcpy(&word, set, sizeof word);
  return word;
}

static sigset_t mask_set(uint64_t word) {
  sigset_t set;
  sigemptyset(&set);
  memcpy(&set, &word, sizeof word);
  return set;
}

static void chain(const struct sigaction *action) {
  uintptr_t function = (uintptr_t)action->sa_handler;
  atomic_store_explicit(&actions.chained_function, function, memory_order_relaxed);
  atomic_store_explicit(&actions.chained_mask, mask_word(&action->sa_mask), memory_order_relaxed);
  atomic_store_explicit(&actions.chained_flags, action->sa_flags, memory_order_release);
}

static struct sigaction chained(void) {
  struct sigaction action = {.sa_flags = atomic_load_explicit(&actions.chained_flags, memory_order_acquire)};
  action.sa_handler = (simple_function *)atomic_load_explicit(&actions.chained_function, memory_order_relaxed);
  action.sa_mask = mask_set(atomic_load_explicit(&actions.chained_mask, memory_order_relaxed));
  return action;
}

void tri_action_chain(int signal, const struct sigaction *previous) {
  struct sigaction action = *previous;
  tri_action_restore(tri_action_remembered(signal), &action);
  chain(&action);
}

void tri_action_exchange_chained(const struct sigaction *action, struct sigaction *previous) {
  struct sigaction before = chained();
  if (action) chain(action);
  if (previous) *previous = before;
}

/* The mask that the kernel would have set for the program's handler, less the stop signal. */
static void set_mask(const struct sigaction *action, int signal, const ucontext_t *context) {
  sigset_t mask = mask_set(mask_word(&context->uc_sigmask) | mask_word(&action->sa_mask));
  sigdelset(&mask, signal);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void tri_action_run_chained(int signal, siginfo_t *info, void *context) {
  struct sigaction action = chained();
  if (!tri_action_has_handler(&action)) return;
  excursion trip;
  begin(&trip, __builtin_frame_address(0));
  set_mask(&action, signal, context);
  if (action.sa_flags & SA_SIGINFO)
    action.sa_sigaction(signal, info, context);
  else
    action.sa_handler(signal);
  end(&trip);
}

TRI_UNSANITIZED_END
