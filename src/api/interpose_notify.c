/* api/interpose_notify.c - timers and message queues that start a thread (SIGEV_THREAD).
 *
 * glibc has one helper thread for all timers and one for all queues. They block every signal, so no stop would ever
 * succeed, and they start threads by a way that does not come by here. They cannot be left running during a stop, for
 * the thread that they start runs code of the program. So the helpers are the library's own. Like glibc's, they are
 * told by a signal that the C library keeps for itself, or through a socket; unlike those, they start threads by
 * tri_notified_thread_start, which are attached before they run code of the program, and that waits until a stop is
 * over. sigev_value is kept alive, in a parcel (gc/parcel.h), as long as a notification may come.
 *
 * Locks: TRI_RANK_REGISTRY guards everything here, and what the parcels of subscriptions belong to: the program until
 * it deletes the timer or the queue has notified it, the helper while it starts a thread. Timers and notifications are
 * not inherited by the child of a fork, and neither are helpers: what is here is the parent's then. */
#include <errno.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "api/interpose.h"
#include "api/interpose_threads.h"
#include "gc/parcel.h"
#include "gc/thread.h"

const char tri_interpose_anchor_notify = 0;

TRI_INTERPOSES(timer_create);
TRI_INTERPOSES(timer_delete);
TRI_INTERPOSES(mq_notify);

#ifndef sigev_notify_thread_id /* glibc's header has no better name */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
  TIMER_SIGNAL = 32, /* glibc's own choice: a program cannot wait for it */
  SIGNAL_SET_BYTES = 8,
  COOKIE_BYTES = 32, /* of mq_notify(2) with a socket; the kernel writes the last one */
  COOKIE_NOTIFIED = 1,
};

typedef struct tri_subscription {
  tri_parcel parcel; /* first: who drops it frees the subscription */
  struct tri_subscription *next;
  uint64_t number; /* what the kernel says in a notification: never given twice */
  bool has_timer;
  timer_t timer;
  void (*run)(union sigval);
  pthread_attr_t attributes;
} tri_subscription;

typedef union tri_cookie {
  uint64_t number;
  char bytes[COOKIE_BYTES];
} tri_cookie;

static struct {
  tri_subscription *first;
  uint64_t last_number;
  int process;                  /* that the rest is of */
  int timer_helper, queue_sock; /* a thread's id, and a socket that another thread reads; 0: none */
} notify TRI_OWN_DATA;

TRI_UNSANITIZED_BEGIN

/* ---- subscriptions ---- */

/* A detached thread as the program asked for. There is no function that copies attributes. */
static bool copy_attributes(pthread_attr_t *to, const pthread_attr_t *from) {
  struct sched_param parameter;
  int policy, inherit, scope;
  size_t size, guard;
  void *stack;
  if (pthread_attr_init(to) != 0) return false;
  pthread_attr_setdetachstate(to, PTHREAD_CREATE_DETACHED);
  if (!from) return true;
  if (pthread_attr_getschedpolicy(from, &policy) == 0) pthread_attr_setschedpolicy(to, policy);
  if (pthread_attr_getschedparam(from, &parameter) == 0) pthread_attr_setschedparam(to, &parameter);
  if (pthread_attr_getinheritsched(from, &inherit) == 0) pthread_attr_setinheritsched(to, inherit);
  if (pthread_attr_getscope(from, &scope) == 0) pthread_attr_setscope(to, scope);
  if (pthread_attr_getguardsize(from, &guard) == 0) pthread_attr_setguardsize(to, guard);
  if (pthread_attr_getstacksize(from, &size) == 0) pthread_attr_setstacksize(to, size);
  /* Where none was given, it ends at address 0. */
  if (pthread_attr_getstack(from, &stack, &size) == 0 && (uintptr_t)stack + size != 0)
    pthread_attr_setstack(to, stack, size);
  return true;
}

/* NULL when memory is out. */
static tri_subscription *subscribe(const struct sigevent *event) {
  tri_subscription *new = malloc(sizeof *new);
  if (!new) return NULL;
  new->run = event->sigev_notify_function;
  new->has_timer = false;
  if (!copy_attributes(&new->attributes, event->sigev_notify_attributes)) {
    free(new);
    return NULL;
  }
  tri_parcel_post(&new->parcel, TRI_PARCEL_JOINER, event->sigev_value.sival_ptr);
  tri_threads_lock();
  new->number = ++notify.last_number;
  new->next = notify.first;
  notify.first = new;
  tri_threads_unlock();
  return new;
}

static void drop(tri_subscription *subscription, unsigned party) {
  if (!tri_parcel_drop(&subscription->parcel, party)) return;
  pthread_attr_destroy(&subscription->attributes);
  free(subscription);
}

static void unsubscribe(tri_subscription *subscription) {
  tri_threads_lock();
  tri_subscription **link = &notify.first;
  while (*link && *link != subscription) link = &(*link)->next;
  if (*link) *link = subscription->next;
  tri_threads_unlock();
  drop(subscription, TRI_PARCEL_JOINER);
}

/* ---- the helpers ---- */

/* The one that the kernel means, for the helper; NULL when the program has taken it back. */
static tri_subscription *hold(uint64_t number) {
  tri_threads_lock();
  tri_subscription *subscription = notify.first;
  while (subscription && subscription->number != number) subscription = subscription->next;
  if (subscription) subscription->parcel.parties |= TRI_PARCEL_THREAD;
  tri_threads_unlock();
  return subscription;
}

static void start_thread(const tri_subscription *subscription) {
  union sigval value = {.sival_ptr = subscription->parcel.pointer};
  (void)tri_notified_thread_start(&subscription->attributes, subscription->run, value);
}

static void wait_for_timers(void *raw) {
  _Atomic(uint32_t) *ready = raw;
  uint64_t set = UINT64_C(1) << (TIMER_SIGNAL - 1);
  siginfo_t info;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, SIGNAL_SET_BYTES);
  /* release: pairs with the acquire in timer_helper; ready may be gone after this store */
  atomic_store_explicit(ready, (uint32_t)tri_os_thread_id(), memory_order_release);
  tri_os_wake(ready, 1);
  for (;;) {
    if (syscall(SYS_rt_sigtimedwait, &set, &info, NULL, SIGNAL_SET_BYTES) < 0 || info.si_code != SI_TIMER) continue;
    tri_subscription *subscription = hold((uint64_t)(uintptr_t)info.si_value.sival_ptr);
    if (!subscription) continue;
    start_thread(subscription);
    drop(subscription, TRI_PARCEL_THREAD);
  }
}

/* A queue notifies once. The socket ends when somebody closes it who should not. */
static void wait_for_queues(void *raw) {
  int sock = (int)(intptr_t)raw;
  tri_cookie cookie;
  for (;;) {
    long got = syscall(SYS_read, sock, cookie.bytes, sizeof cookie.bytes);
    if (got < 0 && errno != EINTR && errno != ENOBUFS) return;
    tri_subscription *subscription = got == sizeof cookie ? hold(cookie.number) : NULL;
    if (!subscription) continue;
    if (cookie.bytes[COOKIE_BYTES - 1] == COOKIE_NOTIFIED) start_thread(subscription);
    unsubscribe(subscription);
    drop(subscription, TRI_PARCEL_THREAD);
  }
}

/* One of the helpers' handles, after it was set when there was none; two threads may have started a helper each, and
 * the one that came too late will never be told anything. */
static int handle(int *which, int new) {
  tri_threads_lock();
  if (notify.process != tri_os_process_id()) {
    notify.first = NULL;
    notify.timer_helper = notify.queue_sock = 0;
    notify.process = tri_os_process_id();
  }
  if (!*which) *which = new;
  int now = *which;
  tri_threads_unlock();
  return now;
}

static int timer_helper(void) {
  _Atomic(uint32_t) ready = 0;
  uint32_t id;
  int helper = handle(&notify.timer_helper, 0);
  if (helper) return helper;
  if (!tri_thread_start_own(wait_for_timers, &ready, "tricolor-timer")) return 0;
  /* acquire: pairs with the release in wait_for_timers, which blocks the signal by then */
  while ((id = atomic_load_explicit(&ready, memory_order_acquire)) == 0) tri_os_wait(&ready, 0, 0);
  return handle(&notify.timer_helper, (int)id);
}

static int queue_socket(void) {
  int sock = handle(&notify.queue_sock, 0);
  if (sock) return sock;
  sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (sock < 0) return 0;
  if (tri_thread_start_own(wait_for_queues, (void *)(intptr_t)sock, "tricolor-queue"))
    return handle(&notify.queue_sock, sock);
  close(sock);
  return 0;
}

/* ---- for the program ---- */

static bool starts_thread(const struct sigevent *event) { return event && event->sigev_notify == SIGEV_THREAD; }

static int refuse(int error) {
  errno = error;
  return -1;
}

static void name_timer(tri_subscription *subscription, timer_t timer) {
  tri_threads_lock();
  subscription->timer = timer;
  subscription->has_timer = true;
  tri_threads_unlock();
}

TRI_INTERPOSED int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer) {
  if (!starts_thread(event)) return TRI_REAL(timer_create)(clock, event, timer);
  int helper = timer_helper();
  tri_subscription *subscription = helper ? subscribe(event) : NULL;
  if (!subscription) return refuse(EAGAIN);
  struct sigevent told = {.sigev_notify = SIGEV_THREAD_ID,
                          .sigev_signo = TIMER_SIGNAL,
                          .sigev_value = {.sival_ptr = (void *)(uintptr_t)subscription->number}};
  told.sigev_notify_thread_id = helper;
  int result = TRI_REAL(timer_create)(clock, &told, timer);
  if (result == 0)
    name_timer(subscription, *timer);
  else
    unsubscribe(subscription);
  return result;
}

/* Looked up before it is deleted: then its name may be given to another. */
TRI_INTERPOSED int timer_delete(timer_t timer) {
  tri_threads_lock();
  tri_subscription *subscription = notify.first;
  while (subscription && !(subscription->has_timer && subscription->timer == timer)) subscription = subscription->next;
  tri_threads_unlock();
  int result = TRI_REAL(timer_delete)(timer);
  if (result == 0 && subscription) unsubscribe(subscription);
  return result;
}

TRI_INTERPOSED int mq_notify(mqd_t queue, const struct sigevent *event) {
  if (!starts_thread(event)) return TRI_REAL(mq_notify)(queue, event);
  int sock = queue_socket();
  if (!sock) return -1;
  tri_subscription *subscription = subscribe(event);
  if (!subscription) return refuse(ENOMEM);
  tri_cookie cookie = {.bytes = {0}};
  cookie.number = subscription->number;
  struct sigevent told = {.sigev_notify = SIGEV_THREAD, .sigev_signo = sock, .sigev_value = {.sival_ptr = &cookie}};
  int result = (int)syscall(SYS_mq_notify, queue, &told);
  if (result != 0) unsubscribe(subscription);
  return result;
}

TRI_UNSANITIZED_END
