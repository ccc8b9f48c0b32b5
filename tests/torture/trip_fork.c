/* trip_fork.c - trips into a child process: the child looks at what its thread has in hand, works on, collects, and
 * ends; the parent goes on with what it had.
 *
 * A child that was forked while another thread was loading a library is unable to collect (docs/limits.md). So forks
 * keep the loader free meanwhile, and of their children a finished collection is demanded, of those by _Fork, too. Of
 * forks by a bare system call the library hears nothing: other threads may have been anywhere in it, and their children
 * do not collect; so they look at everything, and end. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tricolor.h>
#include <unistd.h>

#include "dwell.h"
#include "registers.h"
#include "report.h"
#include "trips.h"

/* Seconds after which a child is taken to hang. */
enum { CHILD_PATIENCE = 240, CHILD_STEPS = 300 };

static uint32_t count_collections(void) {
  static _Thread_local tri_memstats stats;
  tri_read_memstats(&stats);
  return stats.NumGC;
}

typedef enum fork_kind { FORK, FORK_BARE, FORK_BY_CALL } fork_kind;

static void collect_in_child(void) {
  uint32_t before = count_collections();
  tri_gc();
  if (count_collections() == before) report_text("tri_gc did not collect in a forked child");
}

/* In the frame of the fork the child finds the pointer that its parent has there. */
static _Noreturn void run_child(actor *a, void *volatile *home, void *volatile *held, fork_kind kind) {
  a->process = kind == FORK ? PROCESS_CHILD : PROCESS_BARE_CHILD;
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  (void)alarm(CHILD_PATIENCE);
  if (kind != FORK_BY_CALL) collect_in_child();
  torture_move(held, home);
  actor_check_all(a);
  if (kind == FORK_BY_CALL) _exit(0);
  actor_run(a, CHILD_STEPS);
  collect_in_child();
  actor_check_all(a);
  _exit(0);
}

static void await_child(actor *a) {
  int status;
  while (waitpid(a->child, &status, 0) < 0)
    if (errno != EINTR) report_call("waitpid", a->child);
  a->child = 0;
  if (WIFSIGNALED(status)) report_text("a forked child was ended by signal %d", WTERMSIG(status));
  if (WEXITSTATUS(status)) report_text("a forked child has exit status %d", WEXITSTATUS(status));
}

static pid_t fork_by(fork_kind kind) {
  if (kind == FORK_BY_CALL) return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  trip_library_hold();
  pid_t child = kind == FORK_BARE ? _Fork() : fork();
  if (child) trip_library_release();
  return child;
}

/* Who has jumped out of a handler on another stack may be taken to be in it still (gc/action.h), and a child that a
 * handler makes by _Fork does not collect. */
static fork_kind choose_kind(actor *a) {
  static const fork_kind kinds[] = {FORK, FORK, FORK, FORK_BARE, FORK_BARE, FORK_BY_CALL};
  fork_kind kind = kinds[random_below(&a->random, sizeof kinds / sizeof *kinds)];
  return kind == FORK_BARE && a->jumped_off ? FORK : kind;
}

void trip_fork(actor *a, void *volatile *home) {
  void *volatile held;
  fork_kind kind = choose_kind(a);
  torture_move(home, &held);
  pid_t child = fork_by(kind);
  if (child == 0) run_child(a, home, &held, kind);
  if (child < 0) report_call("fork", (long)kind);
  a->child = child;
  actor_dwell(a);
  await_child(a);
  torture_move(&held, home);
}
