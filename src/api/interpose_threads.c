/* api/interpose_threads.c - threads as the program starts, joins and ends them.
 *
 * Two pointers of every thread are for a while where no collection looks: its argument, between the call that starts it
 * and its first instruction, and its result, between its last one and the join. Both travel in the thread's parcel,
 * which is a root (gc/parcel.h). A thread that starts after the heap did is attached here, before the program's
 * function, so that its stack's bounds are known exactly and its cache goes back when it ends. A thread that was
 * started before, or in a way that does not come by here, is found by the next stop instead; the heap is never started
 * by a thread.
 *
 * How does a joiner know the parcel? The thread might return its address in place of the result, and the joiner unwrap
 * that. Then whoever joins beneath us (a function from dlsym, the C library itself) would get an address that means
 * nothing to him, and who detaches, being given no result, would have to search all the same. So results pass
 * unchanged, and the parcel is found by the thread's pthread_t, before the real join or detach frees that for another
 * thread:
 *
 *   join (plain, timed, tried)   found before, dropped after the join has succeeded; else the thread stays joinable
 *   detach                       the same; a thread that has not ended drops its parcel when it does
 *   created detached             it has no joiner
 *   pthread_exit                 the value is put into the parcel, then the thread is unwound through its start
 *   cancelled                    the same without a value: PTHREAD_CANCELED is no pointer of ours
 *   thrd_join                    as join; there is a number in the result, and nothing in the parcel
 *   joined beneath us            dropped when the next thread gets the pthread_t */
#include "api/interpose_threads.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <threads.h>

#include "api/interpose.h"
#include "api/interpose_region.h"
#include "gc/parcel.h"
#include "gc/thread.h"

const char tri_interpose_anchor_threads = 0;

TRI_INTERPOSES(pthread_create);
TRI_INTERPOSES(pthread_join);
TRI_INTERPOSES(pthread_tryjoin_np);
TRI_INTERPOSES(pthread_timedjoin_np);
TRI_INTERPOSES(pthread_clockjoin_np);
TRI_INTERPOSES(pthread_detach);
TRI_INTERPOSES(pthread_exit);
TRI_INTERPOSES(thrd_create);
TRI_INTERPOSES(thrd_join);
TRI_INTERPOSES(thrd_detach);

TRI_UNSANITIZED_BEGIN

/* ---- starting ---- */

typedef union tri_start_function {
  void *(*posix)(void *);
  thrd_start_t c11;
  void (*notified)(union sigval);
} tri_start_function;

/* What the start of a new thread is given, in memory from malloc. */
typedef struct tri_handoff {
  tri_parcel parcel; /* first: who drops it frees the handoff */
  tri_start_function run;
} tri_handoff;

/* The calling thread's, when it was started here. */
static _Thread_local tri_parcel *own_parcel __attribute__((tls_model("initial-exec")));

static void drop_parcel(tri_parcel *parcel, unsigned parties) {
  if (parcel && tri_parcel_drop(parcel, parties)) free(parcel);
}

static void name_parcel(tri_parcel *parcel, const pthread_t *thread) { free(tri_parcel_name(parcel, thread)); }

static tri_handoff *handoff_begin(tri_start_function run, void *argument, bool joinable) {
  tri_handoff *handoff = malloc(sizeof *handoff);
  if (!handoff) return NULL;
  handoff->run = run;
  tri_parcel_post(&handoff->parcel, TRI_PARCEL_CREATOR | TRI_PARCEL_THREAD | (joinable ? TRI_PARCEL_JOINER : 0),
                  argument);
  return handoff;
}

/* The creator's part after the call that starts the thread, which may have ended by now. */
static void handoff_end(tri_handoff *handoff, bool started, const pthread_t *thread) {
  if (started) name_parcel(&handoff->parcel, thread);
  drop_parcel(&handoff->parcel, started ? TRI_PARCEL_CREATOR : ~0u);
}

/* Returns the argument. Not inlined: the frame that lives as long as the thread must not keep a copy, or the argument
 * would live as long. */
static TRI_NOINLINE void *arrive(tri_handoff *handoff) {
  if (tri_stop_signal()) (void)tri_thread_attach_self(); /* also when a stop has found it already */
  pthread_t self = pthread_self();
  own_parcel = &handoff->parcel;
  name_parcel(own_parcel, &self);
  return tri_parcel_swap(own_parcel, NULL);
}

/* Cleanup: also when the thread is unwound by pthread_exit or cancelled. */
static void depart(tri_handoff **handoff) {
  own_parcel = NULL;
  drop_parcel(&(*handoff)->parcel, TRI_PARCEL_THREAD);
}

/* A thread may have been started by one that is held, when the stop had already looked for threads: it waits for the
 * end. If there is no stop on, one that begins now finds this thread. */
static void wait_for_end_of_stop(void) {
  for (uint32_t sequence; (sequence = tri_stop_sequence()) & 1;) tri_stop_await_end(sequence);
}

/* Leaves the argument in the register that the program's function gets it in and nowhere else. It came back in rax, and
 * clang begins many a function by pushing rax, only to align its frame: such a copy would be kept as long as the
 * thread. On aarch64 both are the same register, and frames are aligned otherwise. */
TRI_INLINE void *forget_returned(void *argument) {
#ifdef __x86_64__
  __asm__ volatile("xorl %%eax, %%eax" : "+D"(argument) : : "rax", "cc");
#endif
  return argument;
}

/* ---- POSIX ---- */

/* Threads are started and detached in blocking regions. A thread that ends waits, with all signals blocked, for the
 * lock of the C library's list of stacks, and these calls take it: were one stopped with it, the other would never
 * stop. A thread that is started while its creator is held waits for the registry's lock before it runs the program's
 * code. */

static void *start_posix(void *raw) {
  tri_handoff *handoff __attribute__((cleanup(depart))) = raw;
  wait_for_end_of_stop();
  void *(*run)(void *) = handoff->run.posix;
  void *result = run(forget_returned(arrive(handoff)));
  (void)tri_parcel_swap(&handoff->parcel, result);
  return result;
}

static bool is_joinable(const pthread_attr_t *attributes) {
  int state = PTHREAD_CREATE_JOINABLE;
  if (attributes) (void)pthread_attr_getdetachstate(attributes, &state);
  return state == PTHREAD_CREATE_JOINABLE;
}

TRI_INTERPOSED int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                                  void *argument) {
  if (tri_thread_is_starting_own()) return TRI_REAL(pthread_create)(thread, attributes, run, argument);
  tri_handoff *handoff = handoff_begin((tri_start_function){.posix = run}, argument, is_joinable(attributes));
  if (!handoff) return EAGAIN;
  int error = TRI_BLOCKING_ONCE(TRI_REAL(pthread_create)(thread, attributes, start_posix, handoff), attributes);
  handoff_end(handoff, error == 0, thread);
  return error;
}

/* The creator blocks every signal, has a name of its own, and does not join. A stop may have found this thread and wait
 * for its answer, so the stop signal is let through first. */
static void *start_notified(void *raw) {
  tri_handoff *handoff __attribute__((cleanup(depart))) = raw;
  tri_stop_unblock();
  wait_for_end_of_stop();
  void (*run)(union sigval) = handoff->run.notified;
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, NULL);
  (void)prctl(PR_SET_NAME, program_invocation_short_name);
  run((union sigval){.sival_ptr = forget_returned(arrive(handoff))});
  return NULL;
}

int tri_notified_thread_start(const pthread_attr_t *attributes, void (*run)(union sigval), union sigval value) {
  tri_handoff *handoff = handoff_begin((tri_start_function){.notified = run}, value.sival_ptr, false);
  pthread_t thread;
  if (!handoff) return EAGAIN;
  int error = TRI_BLOCKING_ONCE(TRI_REAL(pthread_create)(&thread, attributes, start_notified, handoff), attributes);
  handoff_end(handoff, error == 0, &thread);
  return error;
}

/* To be called before the real function is. */
static tri_parcel *parcel_of(pthread_t thread) { return tri_parcel_find(thread); }

static int joined(int error, tri_parcel *parcel) {
  if (error == 0) drop_parcel(parcel, TRI_PARCEL_THREAD | TRI_PARCEL_JOINER);
  return error;
}

TRI_INTERPOSED int pthread_join(pthread_t thread, void **result) {
  tri_parcel *parcel = parcel_of(thread);
  return joined(TRI_BLOCKING_ONCE(TRI_REAL(pthread_join)(thread, result), result), parcel);
}

TRI_INTERPOSED int pthread_tryjoin_np(pthread_t thread, void **result) {
  tri_parcel *parcel = parcel_of(thread);
  return joined(TRI_REAL(pthread_tryjoin_np)(thread, result), parcel);
}

TRI_INTERPOSED int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *until) {
  tri_parcel *parcel = parcel_of(thread);
  return joined(TRI_BLOCKING_ONCE(TRI_REAL(pthread_timedjoin_np)(thread, result, until), result, until), parcel);
}

TRI_INTERPOSED int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
                                        const struct timespec *until) {
  tri_parcel *parcel = parcel_of(thread);
  return joined(TRI_BLOCKING_ONCE(TRI_REAL(pthread_clockjoin_np)(thread, result, clock, until), result, until), parcel);
}

TRI_INTERPOSED int pthread_detach(pthread_t thread) {
  tri_parcel *parcel = parcel_of(thread);
  int error = TRI_BLOCKING_ONCE(TRI_REAL(pthread_detach)(thread), NULL);
  if (error == 0) drop_parcel(parcel, TRI_PARCEL_JOINER);
  return error;
}

/* The program's first thread was not started here, but may be joined: what others who have no parcel end with is not
 * kept. */
static tri_parcel *parcel_at_exit(void) {
  if (own_parcel || tri_os_thread_id() != tri_os_process_id()) return own_parcel;
  tri_parcel *parcel = malloc(sizeof *parcel);
  if (!parcel) return NULL;
  tri_parcel_post(parcel, TRI_PARCEL_JOINER, NULL);
  pthread_t self = pthread_self();
  name_parcel(parcel, &self);
  return parcel;
}

TRI_INTERPOSED void pthread_exit(void *result) {
  tri_parcel *parcel = parcel_at_exit();
  if (parcel) (void)tri_parcel_swap(parcel, result);
  TRI_REAL(pthread_exit)(result);
  __builtin_unreachable();
}

/* ---- C11: results are numbers ---- */

static int start_c11(void *raw) {
  tri_handoff *handoff __attribute__((cleanup(depart))) = raw;
  wait_for_end_of_stop();
  thrd_start_t run = handoff->run.c11;
  return run(forget_returned(arrive(handoff)));
}

TRI_INTERPOSED int thrd_create(thrd_t *thread, thrd_start_t run, void *argument) {
  tri_handoff *handoff = handoff_begin((tri_start_function){.c11 = run}, argument, true);
  if (!handoff) return thrd_nomem;
  int error = TRI_BLOCKING_ONCE(TRI_REAL(thrd_create)(thread, start_c11, handoff), thread);
  handoff_end(handoff, error == thrd_success, (const pthread_t *)thread);
  return error;
}

TRI_INTERPOSED int thrd_join(thrd_t thread, int *result) {
  tri_parcel *parcel = parcel_of((pthread_t)thread);
  int error = TRI_BLOCKING_ONCE(TRI_REAL(thrd_join)(thread, result), result);
  if (error == thrd_success) drop_parcel(parcel, TRI_PARCEL_THREAD | TRI_PARCEL_JOINER);
  return error;
}

TRI_INTERPOSED int thrd_detach(thrd_t thread) {
  tri_parcel *parcel = parcel_of((pthread_t)thread);
  int error = TRI_BLOCKING_ONCE(TRI_REAL(thrd_detach)(thread), NULL);
  if (error == thrd_success) drop_parcel(parcel, TRI_PARCEL_JOINER);
  return error;
}

TRI_UNSANITIZED_END
