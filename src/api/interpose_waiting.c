/* api/interpose_waiting.c - waiting for time, events, signals and other threads, in blocking regions
 * (api/interpose_region.h).
 *
 * Most of these fail with EINTR after any signal, SA_RESTART or not (signal(7)). When one is made again, it waits for
 * the time that remains, rounded up to what its argument can say. Sets of signals are handed on without the stop
 * signal. */
#undef _FORTIFY_SOURCE /* it would define some of these itself */
#include <aio.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <threads.h>
#include <unistd.h>

#include "api/interpose.h"
#include "api/interpose_region.h"
#include "api/interpose_signals.h"

const char tri_interpose_anchor_waiting = 0;

enum { NS_PER_MS = 1000000, NS_PER_SECOND = 1000000000, US_PER_SECOND = 1000000 };

/* What a program compiled with _FORTIFY_SOURCE calls where it knows the size of the array. */
TRI_INTERPOSED int __poll_chk(struct pollfd *events, nfds_t count, int timeout, size_t room);
TRI_INTERPOSED int __ppoll_chk(struct pollfd *events, nfds_t count, const struct timespec *timeout,
                               const sigset_t *mask, size_t room);
_Noreturn void __chk_fail(void); /* the C library's */

/* What sigpause is compiled to by default, and its older forms: only then is the argument a mask. */
TRI_INTERPOSED int __xpg_sigpause(int signal_);
TRI_INTERPOSED int __sigpause(int signal_or_mask, int is_signal);
TRI_INTERPOSED int tri_masked_sigpause(int mask) __asm__("sigpause");

TRI_INTERPOSES(nanosleep);
TRI_INTERPOSES(clock_nanosleep);
TRI_INTERPOSES(thrd_sleep);
TRI_INTERPOSES(poll);
TRI_INTERPOSES(ppoll);
TRI_INTERPOSES(select);
TRI_INTERPOSES(pselect);
TRI_INTERPOSES(epoll_wait);
TRI_INTERPOSES(epoll_pwait);
TRI_INTERPOSES(epoll_pwait2);
TRI_INTERPOSES(aio_suspend);
TRI_INTERPOSES(lio_listio);
TRI_INTERPOSES(pause);
TRI_INTERPOSES(sigsuspend);
TRI_INTERPOSES(sigwait);
TRI_INTERPOSES(sigwaitinfo);
TRI_INTERPOSES(sigtimedwait);
TRI_INTERPOSES(semtimedop);
TRI_INTERPOSES(sem_wait);
TRI_INTERPOSES(sem_timedwait);
TRI_INTERPOSES(sem_clockwait);
TRI_INTERPOSES(pthread_cond_wait);
TRI_INTERPOSES(pthread_cond_timedwait);
TRI_INTERPOSES(pthread_cond_clockwait);
TRI_INTERPOSES(cnd_wait);
TRI_INTERPOSES(cnd_timedwait);

TRI_UNSANITIZED_BEGIN

/* ---- time that remains ---- */

/* The end of a wait of so many milliseconds; what is left of one at any time, rounded up. */
static uint64_t end_in_ms(int timeout) { return timeout > 0 ? tri_os_now() + (uint64_t)timeout * NS_PER_MS : 0; }

static int ms_until(uint64_t end, int timeout) {
  if (timeout <= 0) return timeout;
  uint64_t now = tri_os_now();
  return now < end ? (int)((end - now + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

/* A wait that is given as a timespec, which stays the caller's; NULL: for ever. */
typedef struct tri_time_limit {
  const struct timespec *argument; /* for the next call */
  struct timespec left;
  struct timespec end;
} tri_time_limit;

/* Nonsense is left for the kernel to refuse; a time that no clock will show is as good as for ever. */
static void time_begin(tri_time_limit *limit, const struct timespec *timeout) {
  limit->argument = timeout;
  if (!timeout || timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= NS_PER_SECOND) return;
  clock_gettime(CLOCK_MONOTONIC, &limit->end);
  limit->end.tv_nsec += timeout->tv_nsec;
  if (__builtin_add_overflow(limit->end.tv_sec, timeout->tv_sec, &limit->end.tv_sec)) limit->argument = NULL;
}

static void time_again(tri_time_limit *limit) {
  struct timespec now;
  if (!limit->argument) return;
  clock_gettime(CLOCK_MONOTONIC, &now);
  limit->left = (struct timespec){limit->end.tv_sec - now.tv_sec, limit->end.tv_nsec - now.tv_nsec};
  for (; limit->left.tv_nsec < 0; limit->left.tv_nsec += NS_PER_SECOND) limit->left.tv_sec--;
  for (; limit->left.tv_nsec >= NS_PER_SECOND; limit->left.tv_nsec -= NS_PER_SECOND) limit->left.tv_sec++;
  if (limit->left.tv_sec < 0) limit->left = (struct timespec){0, 0};
  limit->argument = &limit->left;
}

/* A call with limit.argument for its timeout, made until it is done. */
#define TRI_BLOCKING_FOR(timeout, call, ...)                                                                           \
  __extension__({                                                                                                      \
    TRI_REGION(region_, __VA_ARGS__);                                                                                  \
    tri_time_limit limit;                                                                                              \
    time_begin(&limit, timeout);                                                                                       \
    __typeof__(call) result_;                                                                                          \
    while (tri_unlikely((result_ = (call)) == -1) && tri_region_restarts(&region_, errno)) time_again(&limit);         \
    result_;                                                                                                           \
  })

/* ---- sleeping ---- */

static int sleep_for(const struct timespec *duration, struct timespec *remaining) {
  TRI_REGION(region, duration, remaining);
  struct timespec left = {0, 0};
  int result;
  while ((result = TRI_REAL(nanosleep)(duration, &left)) == -1 && tri_region_restarts(&region, errno)) duration = &left;
  if (result == -1 && errno == EINTR && remaining) *remaining = left;
  return result;
}

TRI_INTERPOSED int nanosleep(const struct timespec *duration, struct timespec *remaining) {
  return sleep_for(duration, remaining);
}

TRI_INTERPOSED int usleep(useconds_t duration) {
  struct timespec time = {.tv_sec = duration / US_PER_SECOND, .tv_nsec = (long)(duration % US_PER_SECOND) * 1000};
  return sleep_for(&time, NULL);
}

TRI_INTERPOSED unsigned sleep(unsigned seconds) {
  struct timespec time = {.tv_sec = (time_t)seconds};
  return sleep_for(&time, &time) == 0 ? 0 : (unsigned)time.tv_sec;
}

TRI_INTERPOSED int clock_nanosleep(clockid_t clock, int flags, const struct timespec *duration,
                                   struct timespec *remaining) {
  TRI_REGION(region, duration, remaining);
  struct timespec left = {0, 0};
  bool relative = !(flags & TIMER_ABSTIME);
  int error;
  while ((error = TRI_REAL(clock_nanosleep)(clock, flags, duration, &left)) != 0 && tri_region_restarts(&region, error))
    if (relative) duration = &left;
  if (error == EINTR && relative && remaining) *remaining = left;
  return error;
}

TRI_INTERPOSED int thrd_sleep(const struct timespec *duration, struct timespec *remaining) {
  TRI_REGION(region, duration, remaining);
  struct timespec left = {0, 0};
  int result; /* -1: interrupted; other failures are other negative numbers */
  while ((result = TRI_REAL(thrd_sleep)(duration, &left)) == -1 && tri_region_restarts(&region, EINTR))
    duration = &left;
  if (result == -1 && remaining) *remaining = left;
  return result;
}

/* ---- events ---- */

TRI_INTERPOSED int poll(struct pollfd *events, nfds_t count, int timeout) {
  TRI_REGION(region, events);
  uint64_t end = end_in_ms(timeout);
  int result;
  while ((result = TRI_REAL(poll)(events, count, timeout)) == -1 && tri_region_restarts(&region, errno))
    timeout = ms_until(end, timeout);
  return result;
}

TRI_INTERPOSED int ppoll(struct pollfd *events, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
  sigset_t copy;
  const sigset_t *set = tri_signals_without_stop(mask, &copy);
  return TRI_BLOCKING_FOR(timeout, TRI_REAL(ppoll)(events, count, limit.argument, set), events, timeout, mask);
}

TRI_INTERPOSED int __poll_chk(struct pollfd *events, nfds_t count, int timeout, size_t room) {
  if (room / sizeof *events < count) __chk_fail();
  return poll(events, count, timeout);
}

TRI_INTERPOSED int __ppoll_chk(struct pollfd *events, nfds_t count, const struct timespec *timeout,
                               const sigset_t *mask, size_t room) {
  if (room / sizeof *events < count) __chk_fail();
  return ppoll(events, count, timeout, mask);
}

/* The kernel counts *timeout down, also when it is interrupted. */
TRI_INTERPOSED int select(int count, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout) {
  return TRI_BLOCKING(TRI_REAL(select)(count, in, out, except, timeout), in, out, except, timeout);
}

TRI_INTERPOSED int pselect(int count, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
                           const sigset_t *mask) {
  sigset_t copy;
  const sigset_t *set = tri_signals_without_stop(mask, &copy);
  return TRI_BLOCKING_FOR(timeout, TRI_REAL(pselect)(count, in, out, except, limit.argument, set), in, out, except,
                          timeout);
}

TRI_INTERPOSED int epoll_pwait(int fd, struct epoll_event *events, int count, int timeout, const sigset_t *mask) {
  TRI_REGION(region, events, mask);
  sigset_t copy;
  const sigset_t *set = tri_signals_without_stop(mask, &copy);
  uint64_t end = end_in_ms(timeout);
  int result;
  while ((result = TRI_REAL(epoll_pwait)(fd, events, count, timeout, set)) == -1 && tri_region_restarts(&region, errno))
    timeout = ms_until(end, timeout);
  return result;
}

TRI_INTERPOSED int epoll_wait(int fd, struct epoll_event *events, int count, int timeout) {
  TRI_REGION(region, events);
  uint64_t end = end_in_ms(timeout);
  int result;
  while ((result = TRI_REAL(epoll_wait)(fd, events, count, timeout)) == -1 && tri_region_restarts(&region, errno))
    timeout = ms_until(end, timeout);
  return result;
}

TRI_INTERPOSED int epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *timeout,
                                const sigset_t *mask) {
  sigset_t copy;
  const sigset_t *set = tri_signals_without_stop(mask, &copy);
  return TRI_BLOCKING_FOR(timeout, TRI_REAL(epoll_pwait2)(fd, events, count, limit.argument, set), events, timeout,
                          mask);
}

/* ---- signals ---- */

TRI_INTERPOSED int pause(void) { return TRI_BLOCKING(TRI_REAL(pause)(), NULL); }

TRI_INTERPOSED int sigsuspend(const sigset_t *mask) {
  sigset_t copy;
  const sigset_t *set = tri_signals_without_stop(mask, &copy);
  return TRI_BLOCKING(TRI_REAL(sigsuspend)(set), mask);
}

TRI_INTERPOSED int sigwait(const sigset_t *set, int *signal_) {
  sigset_t copy;
  const sigset_t *waited = tri_signals_without_stop(set, &copy);
  TRI_REGION(region, set, signal_);
  int error;
  while ((error = TRI_REAL(sigwait)(waited, signal_)) != 0 && tri_region_restarts(&region, error)) continue;
  return error;
}

TRI_INTERPOSED int sigwaitinfo(const sigset_t *set, siginfo_t *info) {
  sigset_t copy;
  const sigset_t *waited = tri_signals_without_stop(set, &copy);
  return TRI_BLOCKING(TRI_REAL(sigwaitinfo)(waited, info), set, info);
}

TRI_INTERPOSED int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout) {
  sigset_t copy;
  const sigset_t *waited = tri_signals_without_stop(set, &copy);
  return TRI_BLOCKING_FOR(timeout, TRI_REAL(sigtimedwait)(waited, info, limit.argument), set, info, timeout);
}

TRI_INTERPOSED int __xpg_sigpause(int signal_) {
  sigset_t mask;
  if (sigprocmask(SIG_BLOCK, NULL, &mask) != 0 || sigdelset(&mask, signal_) != 0) return -1;
  return sigsuspend(&mask);
}

TRI_INTERPOSED int tri_masked_sigpause(int word) {
  sigset_t mask;
  sigemptyset(&mask);
  for (int signal_ = 1; signal_ <= 32; signal_++)
    if ((unsigned)word >> (signal_ - 1) & 1) sigaddset(&mask, signal_);
  return sigsuspend(&mask);
}

TRI_INTERPOSED int __sigpause(int signal_or_mask, int is_signal) {
  return is_signal ? __xpg_sigpause(signal_or_mask) : tri_masked_sigpause(signal_or_mask);
}

/* ---- asynchronous input and output ---- */

TRI_INTERPOSED int aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout) {
  return TRI_BLOCKING_FOR(timeout, TRI_REAL(aio_suspend)(list, count, limit.argument), list, timeout);
}

/* What is left to do of a lio_listio that was interrupted: to make it again would be to ask for everything twice. */
static int wait_for_list(struct aiocb *const list[], int count) {
  int failures = 0;
  for (int i = 0; i < count; i++) {
    const struct aiocb *const one[] = {list[i]};
    if (!one[0] || one[0]->aio_lio_opcode == LIO_NOP) continue;
    while (aio_error(one[0]) == EINPROGRESS)
      if (TRI_REAL(aio_suspend)(one, 1, NULL) == -1) return -1;
    failures += aio_error(one[0]) != 0;
  }
  if (failures) errno = EIO;
  return failures ? -1 : 0;
}

TRI_INTERPOSED int lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *event) {
  TRI_REGION(region, list, event);
  int result = TRI_REAL(lio_listio)(mode, list, count, event);
  while (result == -1 && tri_region_restarts(&region, errno)) result = wait_for_list(list, count);
  return result;
}

/* The same under other names, where off_t has 64 bits. */
TRI_INTERPOSED int aio_suspend64(const struct aiocb64 *const list[], int count, const struct timespec *timeout) {
  return aio_suspend((const struct aiocb *const *)(const void *)list, count, timeout);
}

TRI_INTERPOSED int lio_listio64(int mode, struct aiocb64 *const list[], int count, struct sigevent *event) {
  return lio_listio(mode, (struct aiocb *const *)(const void *)list, count, event);
}
_Static_assert(sizeof(struct aiocb) == sizeof(struct aiocb64), "one layout");

/* ---- semaphores ---- */

TRI_INTERPOSED int semtimedop(int set, struct sembuf *operations, size_t count, const struct timespec *timeout) {
  return TRI_BLOCKING_FOR(timeout, TRI_REAL(semtimedop)(set, operations, count, limit.argument), operations, timeout);
}

TRI_INTERPOSED int sem_wait(sem_t *semaphore) { return TRI_BLOCKING(TRI_REAL(sem_wait)(semaphore), semaphore); }

TRI_INTERPOSED int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
  return TRI_BLOCKING(TRI_REAL(sem_timedwait)(semaphore, until), semaphore, until);
}

TRI_INTERPOSED int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until) {
  return TRI_BLOCKING(TRI_REAL(sem_clockwait)(semaphore, clock, until), semaphore, until);
}

/* ---- conditions: never interrupted, but where most idle threads are found ---- */

TRI_INTERPOSED int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
  return TRI_BLOCKING_ONCE(TRI_REAL(pthread_cond_wait)(condition, mutex), condition, mutex);
}

TRI_INTERPOSED int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                          const struct timespec *until) {
  return TRI_BLOCKING_ONCE(TRI_REAL(pthread_cond_timedwait)(condition, mutex, until), condition, mutex, until);
}

TRI_INTERPOSED int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                          const struct timespec *until) {
  return TRI_BLOCKING_ONCE(TRI_REAL(pthread_cond_clockwait)(condition, mutex, clock, until), condition, mutex, until);
}

TRI_INTERPOSED int cnd_wait(cnd_t *condition, mtx_t *mutex) {
  return TRI_BLOCKING_ONCE(TRI_REAL(cnd_wait)(condition, mutex), condition, mutex);
}

TRI_INTERPOSED int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
  return TRI_BLOCKING_ONCE(TRI_REAL(cnd_timedwait)(condition, mutex, until), condition, mutex, until);
}

TRI_UNSANITIZED_END
