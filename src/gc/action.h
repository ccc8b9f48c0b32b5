/* action.h - what the program wants done when a signal arrives, and the trampolines that do it.
 *
 * A handler of the program may interrupt a blocking region (gc/thread.h), in which its thread counts as stopped, and
 * then run code that reads and writes pointers. So sigaction and its relatives, which are interposed
 * (api/interpose_signals.c), give the kernel one of two trampolines instead of the program's function. They leave the
 * region, call the function, and take the region up again; a function that jumps out (siglongjmp) has left the region
 * for good. They also count, so that an EINTR that the program waits for is told from one of ours.
 *
 * What the program asked for the stop signal is kept here alone: the kernel has our handler.
 *
 * Handlers installed by a bare system call or before the library was loaded have no trampoline; they must not touch the
 * heap while their thread blocks. Everything here is async-signal-safe, and takes no lock: an entry is one word. */
#ifndef TRI_ACTION_H
#define TRI_ACTION_H

#include <signal.h>

#include "base/base.h"

/* ThreadSanitizer calls what stands in for the C library's sigaction before it can bear to be called itself, so nothing
 * on that way may be instrumented: functions marked so, and all between BEGIN and END. */
#if defined(__clang__) && defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TRI_UNSANITIZED __attribute__((disable_sanitizer_instrumentation))
#define TRI_UNSANITIZED_BEGIN                                                                                          \
  _Pragma("clang attribute push(__attribute__((disable_sanitizer_instrumentation)), apply_to = function)")
#define TRI_UNSANITIZED_END _Pragma("clang attribute pop")
#endif
#endif
#ifndef TRI_UNSANITIZED
#define TRI_UNSANITIZED
#define TRI_UNSANITIZED_BEGIN
#define TRI_UNSANITIZED_END
#endif

/* Whether an action calls a function: neither SIG_DFL nor SIG_IGN. */
bool tri_action_has_handler(const struct sigaction *action);

/* Before the kernel is given the action: remembers its function and puts a trampoline in its place. What was there
 * before, if tri_action_restore is to know it, must have been asked for already. */
void tri_action_wrap(int signal, struct sigaction *action);

/* The functions remembered for a signal, to make what the kernel says about it the program's again. */
typedef struct tri_action_functions {
  uintptr_t simple, with_info;
} tri_action_functions;
tri_action_functions tri_action_remembered(int signal);
void tri_action_restore(tri_action_functions functions, struct sigaction *action);

/* Whether the calling thread is inside a function of the program's that a trampoline has called. One that has jumped
 * out is told by the stack pointer, mostly: yes may be wrong. */
bool tri_action_is_running(void);

/* ---- the stop signal ---- */

/* The program's action from before the stop signal's handler was installed, as the kernel had it. */
void tri_action_chain(int signal, const struct sigaction *previous);

/* What sigaction would do: either pointer may be NULL. */
void tri_action_exchange_chained(const struct sigaction *action, struct sigaction *previous);

/* Does for a stop signal that is not a stop what the program asked for. Called in our handler, with all signals
 * blocked. */
void tri_action_run_chained(int signal, siginfo_t *info, void *context);

#endif
