/* trap.h - running a thread step by step, by the processor's trap flag, to have something done at a chosen instruction.
 * For x86-64. Who includes this installs on_trap for SIGTRAP. */
#ifndef TEST_TRAP_H
#define TEST_TRAP_H

#if defined(__x86_64__)

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

enum { TRAP_FLAG = 0x100 };

static struct {
  int chosen, taken; /* steps */
  bool sprung;
  void (*act)(void);
} trap;

static void on_trap(int signal_, siginfo_t *info, void *raw) {
  ucontext_t *context = raw;
  (void)signal_, (void)info;
  if (++trap.taken < trap.chosen) return;
  context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
  trap.sprung = true;
  trap.act();
}

static inline void start_stepping(int chosen, void (*act)(void)) {
  trap.chosen = chosen;
  trap.taken = 0;
  trap.sprung = false;
  trap.act = act;
  __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "memory", "cc");
}

static inline void stop_stepping(void) {
  __asm__ volatile("pushfq; andq %0, (%%rsp); popfq" : : "i"(~TRAP_FLAG) : "memory", "cc");
}

#endif
#endif
