/* api/interpose_threads.c - threads as the program starts, joins and ends them.
 *
 * Two pointers of every thread are for a while where no collection looks: its argument, between the call that starts it
 * and its first instruction, and its result, between its last one and the join. Both travel in parcels, which are roots
 * (gc/thread.h). A thread that starts after the heap did is attached here, before the program's function, so that its
 * stack's bounds are known exactly and its cache goes back when it ends. A thread that was started before, or in a way
 * that does not come by here, is found by the next stop instead; the heap is never started by a thread. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <threads.h>

#include "api/interpose.h"
#include "api/interpose_region.h"
#include "gc/thread.h"
#include "heap/arena.h"

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

/* The number of the thread that was started last. Relaxed: a thread's number is smaller than what its joiner reads
 * before it joins, for it was given to be joined. */
static _Atomic(uint64_t) last_serial TRI_OWN_DATA;
static _Thread_local uint64_t own_serial __attribute__((tls_model("initial-exec")));

TRI_UNSANITIZED_BEGIN

static uint64_t serial_now(void) { return atomic_load_explicit(&last_serial, memory_order_relaxed); }

/* ---- starting ---- */

typedef union tri_start_function {
  void *(*posix)(void *);
  thrd_start_t c11;
} tri_start_function;

/* What the start of a new thread is given, in memory from malloc. */
typedef struct tri_handoff {
  tri_start_function run;
  void *argument;
  uint64_t serial;
  bool sent; /* the argument is in a parcel, too */
} tri_handoff;

static void handoff_end(tri_handoff *handoff) {
  if (handoff->sent) tri_thread_parcel_drop((uintptr_t)handoff, handoff->serial);
  free(handoff);
}

static tri_handoff *handoff_begin(tri_start_function run, void *argument) {
  tri_handoff *handoff = malloc(sizeof *handoff);
  if (!handoff) return NULL;
  *handoff = (tri_handoff){
      .run = run, .argument = argument, .serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1};
  if (!tri_stop_signal()) return handoff;
  handoff->sent = tri_thread_parcel_send((uintptr_t)handoff, handoff->serial, argument);
  if (handoff->sent) return handoff;
  free(handoff);
  return NULL;
}

/* Returns the argument. Not inlined: the frame that lives as long as the thread must not keep a copy, or the argument
 * would live as long. */
static TRI_NOINLINE void *arrive(tri_handoff *handoff) {
  if (tri_stop_signal()) (void)tri_thread_attach_self(); /* also when a stop has found it already */
  void *argument = handoff->argument;
  own_serial = handoff->serial;
  handoff_end(handoff);
  return argument;
}

/* ---- results ---- */

/* Sent first and then looked whether anybody will join: pthread_detach does it the other way round. */
static void keep_result(void *result) {
  pthread_attr_t attributes;
  uintptr_t address = (uintptr_t)result;
  int state = PTHREAD_CREATE_JOINABLE;
  if (!tri_stop_signal() || (!tri_arena_has(address) && !tri_arena_has(address - 1))) return;
  if (!tri_thread_parcel_send((uintptr_t)pthread_self(), own_serial, result)) return;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  (void)pthread_attr_getdetachstate(&attributes, &state);
  pthread_attr_destroy(&attributes);
  if (state == PTHREAD_CREATE_DETACHED) tri_thread_parcel_drop((uintptr_t)pthread_self(), own_serial);
}

static void drop_result(pthread_t thread, uint64_t serial) {
  if (tri_stop_signal()) tri_thread_parcel_drop((uintptr_t)thread, serial);
}

static int joined(int error, pthread_t thread, uint64_t serial, void *value, void **result) {
  if (error) return error;
  if (result) *result = value;
  drop_result(thread, serial);
  return 0;
}

/* ---- POSIX ---- */

static void *start_posix(void *raw) {
  tri_handoff *handoff = raw;
  void *(*run)(void *) = handoff->run.posix;
  void *result = run(arrive(handoff));
  keep_result(result);
  return result;
}

TRI_INTERPOSED int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                                  void *argument) {
  if (tri_thread_is_starting_own()) return TRI_REAL(pthread_create)(thread, attributes, run, argument);
  tri_handoff *handoff = handoff_begin((tri_start_function){.posix = run}, argument);
  if (!handoff) return EAGAIN;
  int error = TRI_REAL(pthread_create)(thread, attributes, start_posix, handoff);
  if (error) handoff_end(handoff);
  return error;
}

TRI_INTERPOSED int pthread_join(pthread_t thread, void **result) {
  uint64_t serial = serial_now();
  void *value = NULL;
  int error = TRI_BLOCKING_ONCE(TRI_REAL(pthread_join)(thread, &value), result);
  return joined(error, thread, serial, value, result);
}

TRI_INTERPOSED int pthread_tryjoin_np(pthread_t thread, void **result) {
  uint64_t serial = serial_now();
  void *value = NULL;
  int error = TRI_REAL(pthread_tryjoin_np)(thread, &value);
  return joined(error, thread, serial, value, result);
}

TRI_INTERPOSED int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *until) {
  uint64_t serial = serial_now();
  void *value = NULL;
  int error = TRI_BLOCKING_ONCE(TRI_REAL(pthread_timedjoin_np)(thread, &value, until), result, until);
  return joined(error, thread, serial, value, result);
}

TRI_INTERPOSED int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
                                        const struct timespec *until) {
  uint64_t serial = serial_now();
  void *value = NULL;
  int error = TRI_BLOCKING_ONCE(TRI_REAL(pthread_clockjoin_np)(thread, &value, clock, until), result, until);
  return joined(error, thread, serial, value, result);
}

TRI_INTERPOSED int pthread_detach(pthread_t thread) {
  uint64_t serial = serial_now();
  int error = TRI_REAL(pthread_detach)(thread);
  if (!error) drop_result(thread, serial);
  return error;
}

TRI_INTERPOSED void pthread_exit(void *result) {
  keep_result(result);
  TRI_REAL(pthread_exit)(result);
  __builtin_unreachable();
}

/* ---- C11: results are numbers ---- */

static int start_c11(void *raw) {
  tri_handoff *handoff = raw;
  thrd_start_t run = handoff->run.c11;
  return run(arrive(handoff));
}

TRI_INTERPOSED int thrd_create(thrd_t *thread, thrd_start_t run, void *argument) {
  tri_handoff *handoff = handoff_begin((tri_start_function){.c11 = run}, argument);
  if (!handoff) return thrd_nomem;
  int error = TRI_REAL(thrd_create)(thread, start_c11, handoff);
  if (error != thrd_success) handoff_end(handoff);
  return error;
}

TRI_INTERPOSED int thrd_join(thrd_t thread, int *result) {
  uint64_t serial = serial_now();
  int error = TRI_BLOCKING_ONCE(TRI_REAL(thrd_join)(thread, result), result);
  if (error == thrd_success) drop_result((pthread_t)thread, serial);
  return error;
}

TRI_INTERPOSED int thrd_detach(thrd_t thread) {
  uint64_t serial = serial_now();
  int error = TRI_REAL(thrd_detach)(thread);
  if (error == thrd_success) drop_result((pthread_t)thread, serial);
  return error;
}

TRI_UNSANITIZED_END
