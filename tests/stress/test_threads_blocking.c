/* test_threads_blocking.c - calls that block: collections need no signal to stop their thread, are not noticed by it,
 * and leave what signals mean to the program as it is.
 *
 * That a call is made in a blocking region is shown by taking the stop signal away from its thread, by a bare system
 * call: a collection can only be made if it needs none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <aio.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>

#include "child.h"
#include "steps.h"

int __poll_chk(struct pollfd *events, nfds_t count, int timeout, size_t room);
int __ppoll_chk(struct pollfd *events, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room);
int __xpg_sigpause(int signal_);
int masked_sigpause(int mask) __asm__("sigpause");
ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags, struct sockaddr *address,
                       socklen_t *length);

enum { COLLECTIONS = UNDER_TSAN ? 200 : 1000, TIMEOUT_MS = 2 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", NULL};

static void in_child(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
}

static void start_heap(void) { CHILD_CHECK(tri_init(NULL) == TRI_OK); }

/* ---- without a signal ---- */

static int pair[2], events;
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static mtx_t c11_mutex;
static cnd_t c11_condition;
static bool signalled;
static char byte;
static int queue, semaphores;
static pid_t long_lived;
static pthread_t other;

static struct timespec late(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += 1000;
  return time;
}

static struct pollfd readable(void) { return (struct pollfd){.fd = pair[0], .events = POLLIN}; }

static bool got_byte(ssize_t size) { return size == 1 && byte == 'x'; }

static bool is_selected(int count, const fd_set *set) { return count == 1 && FD_ISSET(pair[0], set); }

static fd_set selection(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pair[0], &set);
  return set;
}

static bool by_read(void) { return got_byte(read(pair[0], &byte, 1)); }
static bool by_read_chk(void) { return got_byte(__read_chk(pair[0], &byte, 1, 1)); }
static bool by_readv(void) {
  struct iovec part = {&byte, 1};
  return got_byte(readv(pair[0], &part, 1));
}
static bool by_preadv2(void) {
  struct iovec part = {&byte, 1};
  return got_byte(preadv2(pair[0], &part, 1, -1, 0));
}
static bool by_preadv64v2(void) {
  struct iovec part = {&byte, 1};
  return got_byte(preadv64v2(pair[0], &part, 1, -1, 0));
}
static bool by_splice(void) {
  int ends[2];
  return pipe(ends) == 0 && splice(pair[0], NULL, ends[1], NULL, 1, 0) == 1 && got_byte(read(ends[0], &byte, 1));
}
static bool by_recv(void) { return got_byte(recv(pair[0], &byte, 1, 0)); }
static bool by_recv_chk(void) { return got_byte(__recv_chk(pair[0], &byte, 1, 1, 0)); }
static bool by_recvfrom(void) { return got_byte(recvfrom(pair[0], &byte, 1, 0, NULL, NULL)); }
static bool by_recvfrom_chk(void) { return got_byte(__recvfrom_chk(pair[0], &byte, 1, 1, 0, NULL, NULL)); }
static bool by_recvmsg(void) {
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  return got_byte(recvmsg(pair[0], &message, 0));
}
static bool by_recvmmsg(void) {
  struct iovec part = {&byte, 1};
  struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
  return recvmmsg(pair[0], &message, 1, 0, NULL) == 1 && got_byte((ssize_t)message.msg_len);
}
static bool by_poll(void) {
  struct pollfd event = readable();
  return poll(&event, 1, -1) == 1 && event.revents == POLLIN;
}
static bool by_poll_chk(void) {
  struct pollfd event = readable();
  return __poll_chk(&event, 1, 1000000, sizeof event) == 1 && event.revents == POLLIN;
}
static bool by_ppoll(void) {
  struct pollfd event = readable();
  return ppoll(&event, 1, NULL, NULL) == 1 && event.revents == POLLIN;
}
static bool by_ppoll_chk(void) {
  struct pollfd event = readable();
  return __ppoll_chk(&event, 1, NULL, NULL, sizeof event) == 1 && event.revents == POLLIN;
}
static bool by_select(void) {
  fd_set set = selection();
  return is_selected(select(pair[0] + 1, &set, NULL, NULL, NULL), &set);
}
static bool by_pselect(void) {
  fd_set set = selection();
  struct timespec while_ = {.tv_sec = 1000};
  return is_selected(pselect(pair[0] + 1, &set, NULL, NULL, &while_, NULL), &set);
}
static bool by_epoll_wait(void) {
  struct epoll_event event;
  return epoll_wait(events, &event, 1, -1) == 1 && event.events == EPOLLIN;
}
static bool by_epoll_pwait(void) {
  struct epoll_event event;
  return epoll_pwait(events, &event, 1, 1000000, NULL) == 1 && event.events == EPOLLIN;
}
static bool by_epoll_pwait2(void) {
  struct epoll_event event;
  int count = epoll_pwait2(events, &event, 1, NULL, NULL);
  return (count == 1 && event.events == EPOLLIN) || (count == -1 && errno == ENOSYS);
}
static bool by_sem_wait(void) { return sem_wait(&semaphore) == 0; }
static bool by_sem_timedwait(void) {
  struct timespec until = late(CLOCK_REALTIME);
  return sem_timedwait(&semaphore, &until) == 0;
}
static bool by_sem_clockwait(void) {
  struct timespec until = late(CLOCK_MONOTONIC);
  return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) == 0;
}

typedef int cond_wait(void);
static int plain_wait(void) { return pthread_cond_wait(&condition, &mutex); }
static int timed_wait(void) {
  struct timespec until = late(CLOCK_REALTIME);
  return pthread_cond_timedwait(&condition, &mutex, &until);
}
static int clock_wait(void) {
  struct timespec until = late(CLOCK_MONOTONIC);
  return pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until);
}
static bool by_condition(cond_wait *wait) {
  int error = pthread_mutex_lock(&mutex);
  while (!error && !signalled) error = wait();
  pthread_mutex_unlock(&mutex);
  return error == 0;
}
static bool by_cond_wait(void) { return by_condition(plain_wait); }
static bool by_cond_timedwait(void) { return by_condition(timed_wait); }
static bool by_cond_clockwait(void) { return by_condition(clock_wait); }

static int c11_wait(void) { return cnd_wait(&c11_condition, &c11_mutex); }
static int c11_timedwait(void) {
  struct timespec until = late(CLOCK_REALTIME);
  return cnd_timedwait(&c11_condition, &c11_mutex, &until);
}
static bool by_c11_condition(cond_wait *wait) {
  int error = mtx_lock(&c11_mutex);
  while (error == thrd_success && !signalled) error = wait();
  mtx_unlock(&c11_mutex);
  return error == thrd_success;
}
static bool by_cnd_wait(void) { return by_c11_condition(c11_wait); }
static bool by_cnd_timedwait(void) { return by_c11_condition(c11_timedwait); }

static bool by_msgrcv(void) {
  struct {
    long type;
    char text;
  } message;
  return msgrcv(queue, &message, 1, 0, 0) == 1 && message.text == 'x';
}
static bool by_semop(void) {
  struct sembuf down = {.sem_op = -1};
  return semop(semaphores, &down, 1) == 0;
}
static bool by_semtimedop(void) {
  struct sembuf down = {.sem_op = -1};
  struct timespec while_ = {.tv_sec = 1000};
  return semtimedop(semaphores, &down, 1, &while_) == 0;
}
static bool by_wait(void) { return wait(NULL) == long_lived; }
static bool by_waitpid(void) { return waitpid(long_lived, NULL, 0) == long_lived; }
static bool by_wait3(void) { return wait3(NULL, 0, NULL) == long_lived; }
static bool by_wait4(void) { return wait4(long_lived, NULL, 0, NULL) == long_lived; }
static bool by_waitid(void) {
  siginfo_t info;
  return waitid(P_PID, (id_t)long_lived, &info, WEXITED) == 0 && info.si_pid == long_lived;
}
static bool by_pthread_join(void) { return pthread_join(other, NULL) == 0; }

static bool by_sigwait(void) {
  sigset_t set;
  int got;
  sigfillset(&set);
  return sigwait(&set, &got) == 0 && got == SIGUSR1;
}
static bool by_sigwaitinfo(void) {
  sigset_t set;
  sigfillset(&set);
  return sigwaitinfo(&set, NULL) == SIGUSR1;
}
static bool by_sigtimedwait(void) {
  sigset_t set;
  struct timespec while_ = {.tv_sec = 1000};
  sigfillset(&set);
  return sigtimedwait(&set, NULL, &while_) == SIGUSR1;
}

/* A program that reads from the socket. */
static const char *reader(void) {
  static char command[64];
  snprintf(command, sizeof command, "head -c 1 <&%d >&2 2>/dev/null", pair[0]);
  return command;
}
static bool by_system(void) { return system(reader()) == 0; }
static bool by_pclose(void) {
  FILE *stream = popen(reader(), "w");
  return stream && pclose(stream) == 0;
}

typedef struct call {
  const char *name;
  bool (*made)(void);
  bool by_signal; /* SIGUSR1, blocked, ends it */
} call;

static const call calls[] = {
    {"read", by_read, false},
    {"__read_chk", by_read_chk, false},
    {"readv", by_readv, false},
    {"preadv2", by_preadv2, false},
    {"preadv64v2", by_preadv64v2, false},
    {"splice", by_splice, false},
    {"recv", by_recv, false},
    {"__recv_chk", by_recv_chk, false},
    {"recvfrom", by_recvfrom, false},
    {"__recvfrom_chk", by_recvfrom_chk, false},
    {"recvmsg", by_recvmsg, false},
    {"recvmmsg", by_recvmmsg, false},
    {"poll", by_poll, false},
    {"__poll_chk", by_poll_chk, false},
    {"ppoll", by_ppoll, false},
    {"__ppoll_chk", by_ppoll_chk, false},
    {"select", by_select, false},
    {"pselect", by_pselect, false},
    {"epoll_wait", by_epoll_wait, false},
    {"epoll_pwait", by_epoll_pwait, false},
    {"epoll_pwait2", by_epoll_pwait2, false},
    {"sem_wait", by_sem_wait, false},
    {"sem_timedwait", by_sem_timedwait, false},
    {"sem_clockwait", by_sem_clockwait, false},
    {"pthread_cond_wait", by_cond_wait, false},
    {"pthread_cond_timedwait", by_cond_timedwait, false},
    {"pthread_cond_clockwait", by_cond_clockwait, false},
    {"cnd_wait", by_cnd_wait, false},
    {"cnd_timedwait", by_cnd_timedwait, false},
    {"msgrcv", by_msgrcv, false},
    {"semop", by_semop, false},
    {"semtimedop", by_semtimedop, false},
    {"wait", by_wait, false},
    {"waitpid", by_waitpid, false},
    {"wait3", by_wait3, false},
    {"wait4", by_wait4, false},
    {"waitid", by_waitid, false},
    {"pthread_join", by_pthread_join, false},
    {"sigwait", by_sigwait, true},
    {"sigwaitinfo", by_sigwaitinfo, true},
    {"sigtimedwait", by_sigtimedwait, true},
    {"system", by_system, false},
    {"pclose", by_pclose, false},
};
enum { CALLS = sizeof calls / sizeof calls[0] };

static void block_by_system_call(int signal_) {
  uint64_t set = 1ull << (signal_ - 1);
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8) == 0);
}

static void prepare_calls(void) {
  struct epoll_event event = {.events = EPOLLIN};
  CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHILD_CHECK((events = epoll_create1(0)) >= 0 && epoll_ctl(events, EPOLL_CTL_ADD, pair[0], &event) == 0);
  CHILD_CHECK(sem_init(&semaphore, 0, 0) == 0);
  CHILD_CHECK(mtx_init(&c11_mutex, mtx_plain) == thrd_success && cnd_init(&c11_condition) == thrd_success);
}

static bool wants_ipc(const call *one) {
  return one->made == by_msgrcv || one->made == by_semop || one->made == by_semtimedop;
}

static bool wants_child(const call *one) {
  return one->made == by_wait || one->made == by_waitpid || one->made == by_wait3 || one->made == by_wait4 ||
         one->made == by_waitid;
}

static void *linger(void *unused) {
  CHILD_CHECK(sem_wait(&semaphore) == 0);
  return unused;
}

static void prepare_call(const call *one) {
  if (wants_ipc(one)) {
    CHILD_CHECK((queue = msgget(IPC_PRIVATE, 0600)) >= 0);
    CHILD_CHECK((semaphores = semget(IPC_PRIVATE, 1, 0600)) >= 0);
  }
  if (wants_child(one) && (long_lived = fork()) == 0) {
    (void)!read(pair[0], &byte, 1);
    _exit(0);
  }
  if (one->made == by_pthread_join) CHILD_CHECK(pthread_create(&other, NULL, linger, NULL) == 0);
}

static void complete_call(const call *one, pthread_t caller) {
  struct {
    long type;
    char text;
  } message = {1, 'x'};
  struct sembuf up = {.sem_op = 1};
  CHILD_CHECK(write(pair[1], "x", 1) == 1);
  CHILD_CHECK(sem_post(&semaphore) == 0);
  pthread_mutex_lock(&mutex);
  mtx_lock(&c11_mutex);
  signalled = true;
  mtx_unlock(&c11_mutex);
  pthread_mutex_unlock(&mutex);
  pthread_cond_signal(&condition);
  cnd_signal(&c11_condition);
  if (wants_ipc(one)) CHILD_CHECK(msgsnd(queue, &message, 1, 0) == 0 && semop(semaphores, &up, 1) == 0);
  if (one->by_signal) CHILD_CHECK(pthread_kill(caller, SIGUSR1) == 0);
}

static _Atomic(int) caller_id;

static void *make_call(void *one) {
  block_by_system_call(SIGURG);
  block_by_system_call(SIGUSR1);
  errno = 4321;
  atomic_store(&caller_id, thread_id());
  if (!((const call *)one)->made()) child_fail("%s: errno %d", ((const call *)one)->name, errno);
  CHILD_CHECK(errno == 4321 || errno == ENOSYS);
  return NULL;
}

static void run_call(void *argument) {
  const call *one = argument;
  pthread_t thread;
  start_heap();
  prepare_calls();
  prepare_call(one);
  CHILD_CHECK(pthread_create(&thread, NULL, make_call, argument) == 0);
  while (!atomic_load(&caller_id)) sched_yield();
  if (one->made != by_epoll_pwait2) await_asleep(atomic_load(&caller_id));
  uint32_t before = collections();
  for (int i = 0; i < 5; i++) tri_gc();
  if (collections() != before + 5) child_fail("%s needs a signal to be stopped", one->name);
  complete_call(one, thread);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
  if (wants_ipc(one)) CHILD_CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && semctl(semaphores, 0, IPC_RMID) == 0);
}

static void test_no_signal_is_needed(void **state) {
  (void)state;
  for (int i = 0; i < CALLS; i++) in_child(run_call, (void *)(uintptr_t)&calls[i]);
}

/* ---- starting a program, which waits for what the child opens ---- */

typedef int spawn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const *,
                  char *const *);

static char folder[] = P_tmpdir "/tricolor-XXXXXX", fifos[2][sizeof folder + 8];
extern char **environ;

static void *spawn_one(void *how) {
  posix_spawn_file_actions_t actions;
  char name[] = "true", *arguments[] = {name, NULL};
  pid_t child;
  CHILD_CHECK(posix_spawn_file_actions_init(&actions) == 0);
  for (int i = 0; i < 2; i++)
    CHILD_CHECK(posix_spawn_file_actions_addopen(&actions, 50 + i, fifos[i], O_RDONLY, 0) == 0);
  CHILD_CHECK((*(spawn *const *)how)(&child, "/bin/true", &actions, NULL, arguments, environ) == 0);
  CHILD_CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
  CHILD_CHECK(waitpid(child, NULL, 0) == child);
  return NULL;
}

/* A FIFO can be opened for writing, without waiting, when there is a reader. The child has then done with the first and
 * not with the second. */
static void run_spawn(void *how) {
  pthread_t thread;
  int first, second;
  start_heap();
  CHILD_CHECK(mkdtemp(folder));
  for (int i = 0; i < 2; i++) {
    snprintf(fifos[i], sizeof fifos[i], "%s/%c", folder, "01"[i]);
    CHILD_CHECK(mkfifo(fifos[i], 0600) == 0);
  }
  CHILD_CHECK(pthread_create(&thread, NULL, spawn_one, how) == 0);
  while ((first = open(fifos[0], O_WRONLY | O_NONBLOCK)) < 0) sched_yield();
  uint32_t before = collections();
  for (int i = 0; i < 5; i++) tri_gc();
  uint32_t after = collections();
  CHILD_CHECK((second = open(fifos[1], O_WRONLY)) >= 0);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
  for (int i = 0; i < 2; i++) CHILD_CHECK(unlink(fifos[i]) == 0);
  CHILD_CHECK(rmdir(folder) == 0 && close(first) == 0 && close(second) == 0);
  CHILD_CHECK(after == before + 5);
}

static void test_programs_are_started_in_regions(void **state) {
  (void)state;
  spawn *both[] = {posix_spawn, posix_spawnp};
  for (int i = 0; i < 2; i++) in_child(run_spawn, &both[i]);
}

/* ---- asynchronous input: its threads cannot be stopped, but who waits for them sees nothing of the attempt ---- */

static struct aiocb request;

static void *suspend_for_request(void *unused) {
  const struct aiocb *const list[] = {&request};
  atomic_store(&caller_id, thread_id());
  if (aio_suspend(list, 1, NULL) != 0) child_fail("aio_suspend: errno %d", errno);
  CHILD_CHECK(aio_error(&request) == 0 && got_byte(aio_return(&request)));
  return unused;
}

static void *list_request(void *unused) {
  struct aiocb *const list[] = {NULL, &request};
  atomic_store(&caller_id, thread_id());
  request.aio_lio_opcode = LIO_READ;
  if (lio_listio(LIO_WAIT, list, 2, NULL) != 0) child_fail("lio_listio: errno %d", errno);
  CHILD_CHECK(aio_error(&request) == 0 && got_byte(aio_return(&request)));
  return unused;
}

static void run_request(void *how) {
  void *(*wait_for_it)(void *) = *(void *(**)(void *))how;
  pthread_t thread;
  start_heap();
  prepare_calls();
  request = (struct aiocb){.aio_fildes = pair[0], .aio_buf = &byte, .aio_nbytes = 1};
  if (wait_for_it == suspend_for_request) CHILD_CHECK(aio_read(&request) == 0);
  CHILD_CHECK(pthread_create(&thread, NULL, wait_for_it, NULL) == 0);
  while (!atomic_load(&caller_id)) sched_yield();
  await_asleep(atomic_load(&caller_id));
  tri_gc();
  CHILD_CHECK(write(pair[1], "x", 1) == 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_requests_are_waited_for(void **state) {
  (void)state;
  void *(*both[])(void *) = {suspend_for_request, list_request};
  for (int i = 0; i < 2; i++) in_child(run_request, &both[i]);
}

/* The same for the region by hand, around a loop that makes no call at all; and a thread outside of any region cannot
 * be stopped without a signal: else none of this would mean anything. */
static test_step hand, main_;

static void *spin_in_region(void *unused) {
  block_by_system_call(SIGURG);
  tri_blocking_begin();
  step_reach(&hand, 1);
  while (atomic_load(&main_) < 1) continue;
  tri_blocking_end();
  step_reach(&hand, 2);
  while (atomic_load(&main_) < 2) continue;
  uint64_t set = 1ull << (SIGURG - 1);
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8) == 0);
  step_reach(&hand, 3);
  while (atomic_load(&main_) < 3) continue;
  return unused;
}

static void run_by_hand(void *unused) {
  pthread_t thread;
  (void)unused;
  start_heap();
  CHILD_CHECK(pthread_create(&thread, NULL, spin_in_region, NULL) == 0);
  step_await(&hand, 1);
  uint32_t before = collections();
  for (int i = 0; i < 5; i++) tri_gc();
  CHILD_CHECK(collections() == before + 5);
  step_reach(&main_, 1);
  step_await(&hand, 2);
  tri_gc(); /* gives up, and releases everybody */
  CHILD_CHECK(collections() == before + 5);
  step_reach(&main_, 2);
  step_await(&hand, 3);
  tri_gc();
  CHILD_CHECK(collections() == before + 6);
  step_reach(&main_, 3);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_region_by_hand(void **state) {
  (void)state;
  in_child(run_by_hand, NULL);
}

/* ---- collections are not noticed, and time passes as it should ---- */

static test_step enough;

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static const struct timespec short_time = {.tv_nsec = TIMEOUT_MS * 1000000};

static bool passed_poll(void) { return poll(NULL, 0, TIMEOUT_MS) == 0; }
static bool passed_ppoll(void) {
  sigset_t all;
  sigfillset(&all);
  return ppoll(NULL, 0, &short_time, &all) == 0;
}
static bool passed_select(void) {
  struct timeval time = {.tv_usec = TIMEOUT_MS * 1000};
  return select(0, NULL, NULL, NULL, &time) == 0;
}
static bool passed_pselect(void) {
  sigset_t all;
  sigfillset(&all);
  return pselect(0, NULL, NULL, NULL, &short_time, &all) == 0;
}
static bool passed_epoll_wait(void) {
  struct epoll_event event;
  return epoll_wait(events, &event, 1, TIMEOUT_MS) == 0;
}
static bool passed_epoll_pwait(void) {
  struct epoll_event event;
  sigset_t all;
  sigfillset(&all);
  return epoll_pwait(events, &event, 1, TIMEOUT_MS, &all) == 0;
}
static bool passed_nanosleep(void) {
  struct timespec left = {.tv_sec = 77};
  return nanosleep(&short_time, &left) == 0 && left.tv_sec == 77;
}
static bool passed_clock_nanosleep(void) { return clock_nanosleep(CLOCK_MONOTONIC, 0, &short_time, NULL) == 0; }
static bool passed_clock_nanosleep_until(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += short_time.tv_nsec;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0;
}
static bool passed_usleep(void) { return usleep(TIMEOUT_MS * 1000) == 0; }
static bool passed_thrd_sleep(void) { return thrd_sleep(&short_time, NULL) == 0; }
static bool passed_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return sigtimedwait(&set, NULL, &short_time) == -1 && errno == EAGAIN;
}
static bool passed_sem_clockwait(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += short_time.tv_nsec;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) == -1 && errno == ETIMEDOUT;
}

static bool (*const sleeps[])(void) = {
    passed_poll,         passed_ppoll,     passed_select,          passed_pselect,
    passed_epoll_wait,   passed_nanosleep, passed_clock_nanosleep, passed_clock_nanosleep_until,
    passed_epoll_pwait,  passed_usleep,    passed_thrd_sleep,      passed_sigtimedwait,
    passed_sem_clockwait};
enum { SLEEPS = sizeof sleeps / sizeof sleeps[0] };

static _Atomic(uint64_t) sleeps_made[SLEEPS];

static void *sleep_often(void *index) {
  size_t i = (uintptr_t)index;
  while (!atomic_load(&enough)) {
    uint64_t before = now_ns();
    if (!sleeps[i]()) child_fail("sleep %zu: errno %d", i, errno);
    uint64_t took = now_ns() - before;
    if (took < TIMEOUT_MS * 1000000u) child_fail("sleep %zu took only %llu ns", i, (unsigned long long)took);
    atomic_fetch_add(&sleeps_made[i], 1);
    CHILD_CHECK(tri_alloc(32));
  }
  return NULL;
}

static void run_sleeps(void *unused) {
  pthread_t threads[SLEEPS];
  (void)unused;
  start_heap();
  prepare_calls();
  for (size_t i = 0; i < SLEEPS; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, sleep_often, (void *)i) == 0);
  uint32_t before = collections();
  while (collections() < before + COLLECTIONS) tri_gc();
  for (size_t i = 0; i < SLEEPS; i++)
    while (atomic_load(&sleeps_made[i]) < 10) tri_gc();
  step_reach(&enough, 1);
  for (size_t i = 0; i < SLEEPS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_sleeps_see_nothing_of_collections(void **state) {
  (void)state;
  in_child(run_sleeps, NULL);
}

/* ---- what the program's own signals do ---- */

static test_step entered;
static _Atomic(int) handled;

static void count_signal(int signal_) {
  (void)signal_;
  atomic_fetch_add(&handled, 1);
}

static void handle(int signal_, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  CHILD_CHECK(sigaction(signal_, &action, NULL) == 0);
}

static bool interrupted_poll(void) { return poll(NULL, 0, -1) == -1 && errno == EINTR; }
static bool interrupted_read(void) { return read(pair[0], &byte, 1) == -1 && errno == EINTR; }
static bool interrupted_nanosleep(void) {
  struct timespec long_time = {.tv_sec = 1000}, left = {0};
  return nanosleep(&long_time, &left) == -1 && errno == EINTR && left.tv_sec > 0 && left.tv_sec <= 1000;
}
static bool interrupted_clock_nanosleep(void) {
  struct timespec long_time = {.tv_sec = 1000}, left = {0};
  return clock_nanosleep(CLOCK_REALTIME, 0, &long_time, &left) == EINTR && left.tv_sec > 0 && left.tv_sec <= 1000;
}
static bool interrupted_sleep(void) {
  unsigned left = sleep(1000);
  return left > 0 && left <= 1000;
}
static bool interrupted_epoll_wait(void) {
  struct epoll_event event;
  return epoll_wait(events, &event, 1, -1) == -1 && errno == EINTR;
}
static bool interrupted_sem_wait(void) { return sem_wait(&semaphore) == -1 && errno == EINTR; }
static bool interrupted_pause(void) { return pause() == -1 && errno == EINTR; }
static bool interrupted_sigsuspend(void) {
  sigset_t none;
  sigemptyset(&none);
  return sigsuspend(&none) == -1 && errno == EINTR;
}
static bool interrupted_sigpause(void) { return __xpg_sigpause(SIGUSR2) == -1 && errno == EINTR; }
static bool interrupted_masked_sigpause(void) { return masked_sigpause(1 << (SIGUSR2 - 1)) == -1 && errno == EINTR; }
static bool interrupted_sigwaitinfo(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return sigwaitinfo(&set, NULL) == -1 && errno == EINTR;
}

static bool (*const interruptions[])(void) = {
    interrupted_poll,       interrupted_read,       interrupted_nanosleep,       interrupted_clock_nanosleep,
    interrupted_sleep,      interrupted_epoll_wait, interrupted_sem_wait,        interrupted_pause,
    interrupted_sigsuspend, interrupted_sigpause,   interrupted_masked_sigpause, interrupted_sigwaitinfo};
enum { INTERRUPTIONS = sizeof interruptions / sizeof interruptions[0], ROUNDS = 20 };

static void *be_interrupted(void *index) {
  size_t i = (uintptr_t)index;
  for (uint32_t round = 1; round <= ROUNDS; round++) {
    int before = atomic_load(&handled);
    if (!interruptions[i]()) child_fail("interruption %zu: errno %d", i, errno);
    CHILD_CHECK(atomic_load(&handled) > before);
    step_reach(&entered, round);
    CHILD_CHECK(tri_alloc(32));
  }
  return NULL;
}

/* A signal may come before the call it is to interrupt, so it is sent until the call says so. */
static void run_interruption(void *index) {
  pthread_t thread;
  start_heap();
  prepare_calls();
  handle(SIGUSR1, count_signal, 0);
  CHILD_CHECK(pthread_create(&thread, NULL, be_interrupted, index) == 0);
  for (uint32_t round = 1; round <= ROUNDS; round++)
    while (atomic_load(&entered) < round) {
      CHILD_CHECK(pthread_kill(thread, SIGUSR1) == 0);
      tri_gc();
    }
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_the_programs_signals_interrupt(void **state) {
  (void)state;
  for (size_t i = 0; i < INTERRUPTIONS; i++) in_child(run_interruption, (void *)i);
}

/* ---- handlers in the middle of a region ---- */

typedef struct node {
  struct node *next;
  uint64_t number, check;
} node;

static node *volatile swapped[2]; /* only one of them is set at a time, and only a handler changes which */

static node *list_new(int length) {
  node *list = NULL;
  for (int i = 0; i < length; i++) {
    node *new = tri_alloc(sizeof *new);
    CHILD_CHECK(new);
    *new = (node){.next = list, .number = (uint64_t)i, .check = ~(uint64_t)i};
    list = new;
  }
  return list;
}

static int list_length(const node *list) {
  int length = 0;
  for (; list; list = list->next, length++) CHILD_CHECK(list->check == ~list->number);
  return length;
}

static void move_list(int signal_) {
  int from = swapped[0] ? 0 : 1;
  node *list = swapped[from];
  swapped[from] = NULL;
  for (int i = 0; i < 100; i++) atomic_signal_fence(memory_order_seq_cst); /* in nobody's hands but ours */
  CHILD_CHECK(list_length(list) == 50);
  swapped[!from] = list;
  count_signal(signal_);
}

static void *be_disturbed(void *unused) {
  while (read(pair[0], &byte, 1) == -1) CHILD_CHECK(errno == EINTR);
  return unused;
}

static void run_handler(void *handler) {
  pthread_t thread;
  start_heap();
  prepare_calls();
  swapped[0] = list_new(50);
  handle(SIGUSR1, (void (*)(int))handler, SA_RESTART);
  CHILD_CHECK(pthread_create(&thread, NULL, be_disturbed, NULL) == 0);
  for (int round = 1; round <= COLLECTIONS; round++) {
    CHILD_CHECK(pthread_kill(thread, SIGUSR1) == 0);
    tri_gc();
    while (atomic_load(&handled) < round) sched_yield();
  }
  CHILD_CHECK(list_length(swapped[0] ? swapped[0] : swapped[1]) == 50);
  CHILD_CHECK(write(pair[1], "x", 1) == 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_a_handler_moves_pointers_while_its_thread_blocks(void **state) {
  (void)state;
  in_child(run_handler, (void *)move_list);
}

/* Nothing of ours is interrupted here, so the handler may allocate. */
static void allocate(int signal_) {
  int saved_errno = errno;
  node *list = list_new(40);
  CHILD_CHECK(list_length(list) == 40);
  CHILD_CHECK(usleep(1) == 0); /* a region inside a region's handler */
  CHILD_CHECK(list_length(list) == 40);
  errno = saved_errno;
  count_signal(signal_);
}

static void test_a_handler_allocates_while_its_thread_blocks(void **state) {
  (void)state;
  in_child(run_handler, (void *)allocate);
}

static sigjmp_buf out;

static void jump_out(int signal_) {
  count_signal(signal_);
  siglongjmp(out, 1);
}

/* Between two jumps the thread must be stoppable, and be able to block again. */
static void *jump_often(void *unused) {
  volatile int jumps = 0;
  if (sigsetjmp(out, 1)) jumps++;
  node *list = list_new(30);
  if (jumps < ROUNDS) {
    step_reach(&entered, (uint32_t)jumps + 1);
    (void)!read(pair[0], &byte, 1);
    child_fail("read returned");
  }
  CHILD_CHECK(list_length(list) == 30);
  return unused;
}

static void run_jumps(void *unused) {
  pthread_t thread;
  (void)unused;
  start_heap();
  prepare_calls();
  handle(SIGUSR1, jump_out, 0);
  CHILD_CHECK(pthread_create(&thread, NULL, jump_often, NULL) == 0);
  for (uint32_t round = 1; round <= ROUNDS; round++) {
    step_await(&entered, round);
    tri_gc();
    CHILD_CHECK(pthread_kill(thread, SIGUSR1) == 0);
    tri_gc();
  }
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void test_a_handler_jumps_out_of_a_region(void **state) {
  (void)state;
  in_child(run_jumps, NULL);
}

/* ---- cancellation ---- */

static test_step cleaned;

static void clean_up(void *unused) {
  (void)unused;
  CHILD_CHECK(list_length(list_new(50)) == 50);
  step_reach(&cleaned, 1);
}

static void *be_cancelled(void *unused) {
  pthread_cleanup_push(clean_up, NULL);
  atomic_store(&caller_id, thread_id());
  (void)!read(pair[0], &byte, 1);
  pthread_cleanup_pop(0);
  return unused;
}

static void run_cancel(void *asleep) {
  pthread_t thread;
  void *result;
  start_heap();
  prepare_calls();
  CHILD_CHECK(pthread_create(&thread, NULL, be_cancelled, NULL) == 0);
  while (!atomic_load(&caller_id)) sched_yield();
  if (asleep) await_asleep(atomic_load(&caller_id));
  CHILD_CHECK(pthread_cancel(thread) == 0);
  CHILD_CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
  CHILD_CHECK(atomic_load(&cleaned) == 1);
  uint32_t before = collections();
  collect();
  CHILD_CHECK(collections() == before + 1);
}

static void test_cancelled_in_a_region(void **state) {
  (void)state;
  in_child(run_cancel, NULL);
  in_child(run_cancel, &entered);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_signal_is_needed),
      cmocka_unit_test(test_programs_are_started_in_regions),
      cmocka_unit_test(test_requests_are_waited_for),
      cmocka_unit_test(test_region_by_hand),
      cmocka_unit_test(test_sleeps_see_nothing_of_collections),
      cmocka_unit_test(test_the_programs_signals_interrupt),
      cmocka_unit_test(test_a_handler_moves_pointers_while_its_thread_blocks),
      cmocka_unit_test(test_a_handler_allocates_while_its_thread_blocks),
      cmocka_unit_test(test_a_handler_jumps_out_of_a_region),
      cmocka_unit_test(test_cancelled_in_a_region),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
