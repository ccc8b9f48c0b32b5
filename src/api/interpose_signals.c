/* api/interpose_signals.c - the program's signal masks and actions.
 *
 * The stop signal stays open in every thread, from the time that the library is loaded: a thread that blocked it before
 * the heap started, and never came by again, could not be stopped. So it is taken out of all masks here (and out of the
 * sets that sigwait and its relatives wait for, in interpose_waiting.c). What a function reports as the old mask is the
 * truth and lacks it. Handlers get trampolines; what is asked for the stop signal is only remembered once the heap has
 * started (gc/action.h).
 *
 * Masks set by a bare system call, by sigreturn or by setcontext do not come by here. Most functions are
 * async-signal-safe. */
#include "api/interpose_signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/signalfd.h>

#include "api/interpose.h"
#include "gc/action.h"
#include "gc/thread.h"

const char tri_interpose_anchor_signals = 0;

typedef void tri_signal_function(int);

/* In no header, or in one only under feature macros of old; what signal is compiled to under some of them. */
TRI_INTERPOSED tri_signal_function *bsd_signal(int signal_, tri_signal_function *function);
TRI_INTERPOSED tri_signal_function *__sysv_signal(int signal_, tri_signal_function *function);

TRI_INTERPOSES(pthread_sigmask);
TRI_INTERPOSES(sigprocmask);
TRI_INTERPOSES(pthread_attr_setsigmask_np);
TRI_INTERPOSES(signalfd);
TRI_INTERPOSES(sigaction);
TRI_INTERPOSES(signal);
TRI_INTERPOSES(bsd_signal);
TRI_INTERPOSES(ssignal);
TRI_INTERPOSES(sysv_signal);
TRI_INTERPOSES(__sysv_signal);
TRI_INTERPOSES(sigset);
TRI_INTERPOSES(sighold);
TRI_INTERPOSES(sigignore);
TRI_INTERPOSES(siginterrupt);
TRI_INTERPOSES(sigblock);
TRI_INTERPOSES(sigsetmask);

TRI_UNSANITIZED_BEGIN

/* ---- which signal ---- */

static int expected_signal TRI_OWN_DATA =
    SIGURG; /* until the heap starts: written at loading, before there are threads */

static int stop_signal(void) {
  int signal_ = tri_stop_signal();
  return signal_ ? signal_ : expected_signal;
}

/* The whole of the environment is read, and complained about, when the heap starts. */
__attribute__((constructor(102))) static void expect_signal(void) {
  sigset_t set;
  const char *text = getenv("TRICOLOR_SIGNAL");
  int number = text ? atoi(text) : 0;
  if (number > 0 && number < NSIG) expected_signal = number;
  sigemptyset(&set);
  sigaddset(&set, expected_signal);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* it may have been inherited through exec */
}

const sigset_t *tri_signals_without_stop(const sigset_t *set, sigset_t *copy) {
  int signal_ = stop_signal();
  if (!set || sigismember(set, signal_) != 1) return set;
  *copy = *set;
  sigdelset(copy, signal_);
  return copy;
}

/* ---- masks ---- */

static const sigset_t *allowed(int how, const sigset_t *set, sigset_t *copy) {
  return how == SIG_UNBLOCK ? set : tri_signals_without_stop(set, copy);
}

TRI_INTERPOSED int pthread_sigmask(int how, const sigset_t *set, sigset_t *previous) {
  sigset_t copy;
  return TRI_REAL(pthread_sigmask)(how, allowed(how, set, &copy), previous);
}

TRI_INTERPOSED int sigprocmask(int how, const sigset_t *set, sigset_t *previous) {
  sigset_t copy;
  return TRI_REAL(sigprocmask)(how, allowed(how, set, &copy), previous);
}

TRI_INTERPOSED int pthread_attr_setsigmask_np(pthread_attr_t *attributes, const sigset_t *set) {
  sigset_t copy;
  return TRI_REAL(pthread_attr_setsigmask_np)(attributes, tri_signals_without_stop(set, &copy));
}

TRI_INTERPOSED int signalfd(int fd, const sigset_t *set, int flags) {
  sigset_t copy;
  return TRI_REAL(signalfd)(fd, tri_signals_without_stop(set, &copy), flags);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

TRI_INTERPOSED int sighold(int signal_) { return signal_ == stop_signal() ? 0 : TRI_REAL(sighold)(signal_); }

static int without_stop_bit(int mask) { return stop_signal() <= 32 ? mask & ~(int)(1u << (stop_signal() - 1)) : mask; }
TRI_INTERPOSED int sigblock(int mask) { return TRI_REAL(sigblock)(without_stop_bit(mask)); }
TRI_INTERPOSED int sigsetmask(int mask) { return TRI_REAL(sigsetmask)(without_stop_bit(mask)); }

/* ---- actions ---- */

static bool is_stop(int signal_) { return signal_ == tri_stop_signal() && signal_ != 0; }

TRI_INTERPOSED int sigaction(int signal_, const struct sigaction *action, struct sigaction *previous) {
  if (signal_ < 1 || signal_ >= NSIG) return TRI_REAL(sigaction)(signal_, action, previous);
  if (is_stop(signal_)) {
    tri_action_exchange_chained(action, previous);
    return 0;
  }
  tri_action_functions remembered = tri_action_remembered(signal_);
  struct sigaction wrapped;
  if (action) {
    wrapped = *action;
    sigdelset(&wrapped.sa_mask, stop_signal());
    tri_action_wrap(signal_, &wrapped);
  }
  int result = TRI_REAL(sigaction)(signal_, action ? &wrapped : NULL, previous);
  if (result == 0 && previous) tri_action_restore(remembered, previous);
  return result;
}

/* What the functions that take a bare function have in common; flags are those that the C library gives such
 * actions. */
static tri_signal_function *set_function(tri_real *real, int signal_, tri_signal_function *function, int flags) {
  struct sigaction action = {.sa_handler = function, .sa_flags = flags}, previous = {.sa_handler = SIG_DFL};
  bool special = function == SIG_ERR || function == SIG_HOLD;
  if (is_stop(signal_) && function != SIG_ERR) {
    tri_action_exchange_chained(special ? NULL : &action, &previous);
    return previous.sa_handler;
  }
  bool known = signal_ >= 1 && signal_ < NSIG;
  tri_action_functions remembered = {0, 0};
  if (known) remembered = tri_action_remembered(signal_);
  if (known && !special) tri_action_wrap(signal_, &action);
  tri_signal_function *(*set)(int, tri_signal_function *) =
      (tri_signal_function * (*)(int, tri_signal_function *)) tri_real_function(real);
  previous.sa_handler = set(signal_, action.sa_handler);
  if (known) tri_action_restore(remembered, &previous);
  return previous.sa_handler;
}

TRI_INTERPOSED tri_signal_function *signal(int signal_, tri_signal_function *function) {
  return set_function(&real_signal, signal_, function, SA_RESTART);
}

TRI_INTERPOSED tri_signal_function *bsd_signal(int signal_, tri_signal_function *function) {
  return set_function(&real_bsd_signal, signal_, function, SA_RESTART);
}

TRI_INTERPOSED tri_signal_function *ssignal(int signal_, tri_signal_function *function) {
  return set_function(&real_ssignal, signal_, function, SA_RESTART);
}

TRI_INTERPOSED tri_signal_function *sysv_signal(int signal_, tri_signal_function *function) {
  return set_function(&real_sysv_signal, signal_, function, (int)(SA_RESETHAND | SA_NODEFER));
}

TRI_INTERPOSED tri_signal_function *__sysv_signal(int signal_, tri_signal_function *function) {
  return set_function(&real___sysv_signal, signal_, function, (int)(SA_RESETHAND | SA_NODEFER));
}

TRI_INTERPOSED tri_signal_function *sigset(int signal_, tri_signal_function *function) {
  return set_function(&real_sigset, signal_, function, 0);
}

TRI_INTERPOSED int sigignore(int signal_) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  if (!is_stop(signal_)) return TRI_REAL(sigignore)(signal_);
  tri_action_exchange_chained(&action, NULL);
  return 0;
}

TRI_INTERPOSED int siginterrupt(int signal_, int interrupts) {
  struct sigaction action;
  if (!is_stop(signal_)) return TRI_REAL(siginterrupt)(signal_, interrupts);
  tri_action_exchange_chained(NULL, &action);
  action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  tri_action_exchange_chained(&action, NULL);
  return 0;
}
#pragma GCC diagnostic pop

TRI_UNSANITIZED_END
