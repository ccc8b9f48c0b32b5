/* report.c - see report.h. Written by write(2) alone: stdio's and malloc's locks may be held, in a child for ever. */
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 1) length = (int)sizeof line - 1;
  if (write(STDERR_FILENO, line, (size_t)length) < 0) _exit(2);
}

/* Where several threads find something, the first has the word; the others wait for the end. */
static void take_the_word(void) {
  static _Atomic(int) speaker;
  int nobody = 0, self = gettid();
  if (!atomic_compare_exchange_strong(&speaker, &nobody, self) && nobody != self)
    for (;;) pause();
}

static void say_way(const hand *h) {
  say("torture: graph %#llx in %u boxes is in place %s[%u]; its way, newest first:\n", (unsigned long long)h->ticket.id,
      h->ticket.wraps, place_names[h->place], h->index);
  for (int i = 0; i < HISTORY && h->history[i].action; i++)
    say("torture:   step %llu: %s, then in %s[%u]\n", (unsigned long long)h->history[i].step, h->history[i].action,
        h->history[i].place, h->history[i].index);
}

static void say_where(void) {
  const actor *a = actor_self;
  say("torture: seed %#llx, %u threads", (unsigned long long)torture.seed, torture.threads);
  if (!a) {
    say("\n");
    return;
  }
  say(": thread %u%s, step %llu, at %s\n", a->number, a->process == PROCESS_FIRST ? "" : " (in a forked child)",
      (unsigned long long)atomic_load_explicit(&a->steps, memory_order_relaxed), a->doing);
  if (a->at && a->at->ticket.id) say_way(a->at);
}

static _Noreturn void end(void) {
  signal(SIGABRT, SIG_DFL);
  abort();
}

void report_lost(const hand *h, const cargo_fault *fault) {
  take_the_word();
  say("torture: LOST: graph %#llx, node %u at %p: %s (found %#llx, wanted %#llx)\n", (unsigned long long)h->ticket.id,
      fault->node, fault->at, fault->what, (unsigned long long)fault->found, (unsigned long long)fault->wanted);
  say_where();
  end();
}

void report_text(const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  take_the_word();
  say("torture: %s\n", text);
  say_where();
  end();
}

void report_call(const char *call, long value) { report_text("%s(%ld) failed: %s", call, value, strerror(errno)); }

/* ---- signals ---- */

enum { REPORT_STACK = 64 * 1024 };

static void report_signal(int number, siginfo_t *info, void *context) {
  (void)context;
  take_the_word();
  signal(number, SIG_DFL);
  say("torture: signal %d (%s), address %p\n", number, number == SIGABRT ? "abort" : "crash",
      number == SIGABRT ? NULL : info->si_addr);
  say_where();
  raise(number);
}

void report_catch_signals(void) {
  static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
  struct sigaction action = {.sa_sigaction = report_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
    if (sigaction(deadly[i], &action, NULL) != 0) report_call("sigaction", deadly[i]);
}

void report_set_up_thread(void) {
  stack_t stack = {.ss_size = REPORT_STACK, .ss_sp = malloc(REPORT_STACK)};
  if (!stack.ss_sp || sigaltstack(&stack, NULL) != 0) report_call("sigaltstack", REPORT_STACK);
}

void report_tear_down_thread(void) {
  stack_t old, none = {.ss_flags = SS_DISABLE};
  if (sigaltstack(&none, &old) != 0) report_call("sigaltstack", SS_DISABLE);
  free(old.ss_sp);
}
