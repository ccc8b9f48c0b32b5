/* test_os_threads.c - tasks, signals, the library's own threads, stacks and registers of the os layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "os/os.h"

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

static uintptr_t address_of(const volatile void *pointer) { return (uintptr_t)pointer; }

static void await(_Atomic(uint32_t) *word, uint32_t value) {
  uint32_t seen;
  while ((seen = atomic_load(word)) != value) tri_os_wait(word, seen, 0);
}

static void announce(_Atomic(uint32_t) *word, uint32_t value) {
  atomic_store(word, value);
  tri_os_wake(word, INT_MAX);
}

/* A task is listed a moment longer than pthread_join waits for it. */
static void await_gone(int id) {
  while (tri_os_signal_thread(id, 0) == 0) tri_os_yield();
}

/* Runs body in a child; its exit status must be 0. */
static void in_child(int (*body)(void)) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(body());
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

/* ---- a thread that waits until it is told to end ---- */

typedef struct parked {
  pthread_t thread;
  int id;
  _Atomic(uint32_t) ready, leave;
  const char *name;
  int blocked_signal;
} parked;

static void *park(void *argument) {
  parked *self = argument;
  if (self->name) prctl(PR_SET_NAME, self->name);
  if (self->blocked_signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, self->blocked_signal);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
  }
  self->id = tri_os_thread_id();
  announce(&self->ready, 1);
  await(&self->leave, 1);
  return NULL;
}

static void parked_start(parked *self) {
  assert_int_equal(pthread_create(&self->thread, NULL, park, self), 0);
  await(&self->ready, 1);
}

static void parked_end(parked *self) {
  announce(&self->leave, 1);
  assert_int_equal(pthread_join(self->thread, NULL), 0);
  await_gone(self->id);
}

/* ---- threads of our own ---- */

typedef struct own_thread {
  _Atomic(uint32_t) ran, leave;
  int id;
  size_t stack;
  char name[16];
} own_thread;

static void own_run(void *argument) {
  own_thread *self = argument;
  uintptr_t low, high;
  prctl(PR_GET_NAME, self->name);
  self->id = tri_os_thread_id();
  self->stack = tri_os_stack_bounds(&low, &high) ? high - low : 0;
  announce(&self->ran, 1);
  await(&self->leave, 1);
}

/* Nobody joins such a thread, so each gets memory of its own for good. */
static own_thread *own_start(void) {
  static own_thread threads[8];
  static size_t used;
  assert_true(used < sizeof threads / sizeof threads[0]);
  own_thread *self = &threads[used++];
  _Atomic(uint32_t) id = 0;
  assert_true(tri_os_thread_start(own_run, self, "tri-test", &id));
  await(&self->ran, 1);
  assert_int_equal(id, self->id);
  return self;
}

static void own_end(own_thread *self) {
  announce(&self->leave, 1);
  await_gone(self->id);
}

static void test_thread_start(void **state) {
  (void)state;
  int tasks = tri_os_task_count();
  own_thread *thread = own_start();
  assert_string_equal(thread->name, "tri-test");
  assert_int_not_equal(thread->id, tri_os_thread_id());
  assert_int_equal(tri_os_task_count(), tasks + 1);
  assert_true(thread->stack >= 128 * TRI_KIB);
  own_end(thread);
  assert_int_equal(tri_os_task_count(), tasks);
}

/* Signals of the program never land on a thread of ours, but its faults are reported. */
static void test_thread_start_blocks_signals(void **state) {
  (void)state;
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  own_thread *thread = own_start();
  for (int signal = 1; signal < 32; signal++) {
    bool fault = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
                 signal == SIGABRT;
    bool never = signal == SIGKILL || signal == SIGSTOP;
    assert_int_equal(tri_os_task_blocks(thread->id, signal), !fault && !never);
  }
  assert_true(tri_os_task_blocks(thread->id, SIGRTMIN + 5));
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  for (int signal = 1; signal <= SIGRTMAX; signal++)
    assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
  own_end(thread);
}

/* setgid() signals every thread and waits for it: it would hang if ours blocked that signal. */
static void test_thread_start_leaves_setid_working(void **state) {
  (void)state;
  own_thread *thread = own_start();
  assert_int_equal(setgid(getgid()), 0);
  own_end(thread);
}

/* As a user who may have no process at all; root is bound by no such limit. */
static int start_beyond_limit(void) {
  enum { NOBODY = 65534 };
  const struct rlimit none = {0, 0};
  own_thread thread = {.id = 0};
  setrlimit(RLIMIT_NPROC, &none);
  if (getuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0) return 2;
  _Atomic(uint32_t) id = 0;
  return !tri_os_thread_start(own_run, &thread, "tri-test", &id) && id == 0 ? 0 : 1;
}

static void test_thread_start_refused(void **state) {
  (void)state;
  in_child(start_beyond_limit);
}

/* ---- tasks ---- */

static bool listed(const int *ids, int count, int id) {
  for (int i = 0; i < count; i++)
    if (ids[i] == id) return true;
  return false;
}

static void test_tasks(void **state) {
  (void)state;
  enum { COUNT = 40, ROOM = 100 };
  static parked threads[COUNT];
  int before = tri_os_task_count();
  assert_true(before >= 1);
  for (int i = 0; i < COUNT; i++) parked_start(&threads[i]);
  int ids[ROOM];
  assert_int_equal(tri_os_task_count(), before + COUNT);
  assert_int_equal(tri_os_tasks(ids, ROOM), before + COUNT);
  assert_true(listed(ids, before + COUNT, tri_os_process_id()));
  for (int i = 0; i < COUNT; i++) assert_true(listed(ids, before + COUNT, threads[i].id));
  for (int i = 0; i < COUNT; i++) parked_end(&threads[i]);
  assert_int_equal(tri_os_task_count(), before);
}

static void test_tasks_beyond_capacity(void **state) {
  (void)state;
  int before = tri_os_task_count();
  parked threads[2] = {0};
  parked_start(&threads[0]);
  parked_start(&threads[1]);
  int ids[2] = {0, -1};
  assert_int_equal(tri_os_tasks(ids, 1), before + 2);
  assert_int_not_equal(ids[0], 0);
  assert_int_equal(ids[1], -1);
  assert_int_equal(tri_os_tasks(NULL, 0), before + 2);
  parked_end(&threads[0]);
  parked_end(&threads[1]);
}

static void test_ordinary_tasks_are_not_the_kernels(void **state) {
  (void)state;
  parked thread = {.name = ") Z (x) 1 2 3"}; /* made to mislead whoever reads the file carelessly */
  parked_start(&thread);
  assert_false(tri_os_task_is_kernel(tri_os_thread_id()));
  assert_false(tri_os_task_is_kernel(thread.id));
  assert_false(tri_os_task_is_kernel(INT_MAX));
  parked_end(&thread);
}

/* Only the first task of the process is left to look at when the others have ended. */
static void *watch_main_end(void *argument) {
  tri_os_mapping mapping;
  while (!tri_os_task_is_kernel(tri_os_process_id())) tri_os_yield();
  int ids[4];
  bool sound = tri_os_tasks(ids, 4) >= 2 && tri_os_find_mapping(address_of(&mapping), &mapping) && argument == NULL;
  _exit(sound ? 0 : 1);
}

static int end_main_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, watch_main_end, NULL);
  pthread_exit(NULL);
}

static void test_ended_main_thread(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* it refuses new threads in the child of a process that had some */
  in_child(end_main_thread);
}

/* The polling thread of io_uring is a task of the process that no signal reaches. */
static void test_kernel_worker(void **state) {
  (void)state;
  enum { SETUP_SQPOLL = 2 };
  uint32_t parameters[30] = {0}; /* struct io_uring_params; the third word holds the flags */
  parameters[2] = SETUP_SQPOLL;
  int before = tri_os_task_count();
  int ring = (int)syscall(SYS_io_uring_setup, 4, parameters);
  if (ring < 0) skip();
  int ids[16], workers = 0;
  int count = tri_os_tasks(ids, 16);
  assert_int_equal(count, before + 1);
  for (int i = 0; i < count; i++) workers += tri_os_task_is_kernel(ids[i]) == TRI_OS_YES;
  assert_int_equal(workers, 1);
  close(ring);
  while (tri_os_task_count() != before) tri_os_yield();
}

static void test_task_blocks(void **state) {
  (void)state;
  parked thread = {.blocked_signal = SIGUSR2};
  parked_start(&thread);
  assert_true(tri_os_task_blocks(thread.id, SIGUSR2));
  assert_false(tri_os_task_blocks(thread.id, SIGUSR1));
  assert_false(tri_os_task_blocks(tri_os_thread_id(), SIGUSR2));
  assert_false(tri_os_task_blocks(INT_MAX, SIGUSR2));
  parked_end(&thread);
}

/* ---- signals ---- */

static _Atomic(uint32_t) handled;
static _Atomic(int) handled_by;

static void on_count(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info, (void)context;
  handled_by = tri_os_thread_id();
  announce(&handled, handled + 1);
}

static void handler_restore(int signal, const struct sigaction *previous) {
  assert_int_equal(sigaction(signal, previous, NULL), 0);
}

static void test_signal_thread(void **state) {
  (void)state;
  struct sigaction previous;
  parked thread = {0};
  assert_true(tri_os_install_handler(SIGURG, on_count, &previous));
  parked_start(&thread);
  handled = 0;
  assert_int_equal(tri_os_signal_thread(thread.id, SIGURG), 0);
  await(&handled, 1);
  assert_int_equal(handled_by, thread.id);
  parked_end(&thread);
  assert_int_equal(tri_os_signal_thread(thread.id, SIGURG), ESRCH);
  assert_int_equal(tri_os_signal_thread(tri_os_thread_id(), 1000), EINVAL);
  handler_restore(SIGURG, &previous);
}

/* A thread that only computes is reached too, under ThreadSanitizer as well. */
static void *compute(void *argument) {
  parked *self = argument;
  self->id = tri_os_thread_id();
  announce(&self->ready, 1);
  while (atomic_load_explicit(&self->leave, memory_order_relaxed) == 0) continue;
  return NULL;
}

static void test_signal_reaches_a_computing_thread(void **state) {
  (void)state;
  struct sigaction previous;
  parked thread = {0};
  assert_true(tri_os_install_handler(SIGURG, on_count, &previous));
  assert_int_equal(pthread_create(&thread.thread, NULL, compute, &thread), 0);
  await(&thread.ready, 1);
  handled = 0;
  assert_int_equal(tri_os_signal_thread(thread.id, SIGURG), 0);
  await(&handled, 1);
  parked_end(&thread);
  handler_restore(SIGURG, &previous);
}

static void plain_handler(int signal) { (void)signal; }

static void test_install_handler_tells_the_previous(void **state) {
  (void)state;
  struct sigaction plain = {.sa_handler = plain_handler, .sa_flags = SA_NODEFER}, first, second, third;
  sigemptyset(&plain.sa_mask);
  sigaddset(&plain.sa_mask, SIGTERM);
  assert_int_equal(sigaction(SIGUSR1, &plain, &first), 0);
  assert_true(tri_os_install_handler(SIGUSR1, on_count, &second));
  assert_true(second.sa_handler != SIG_DFL && second.sa_handler != SIG_IGN); /* a trampoline (gc/action.h), or TSan's */
  assert_int_equal(second.sa_flags & SA_NODEFER, SA_NODEFER);
  assert_int_equal(sigismember(&second.sa_mask, SIGTERM), 1);
  assert_int_equal(sigismember(&second.sa_mask, SIGUSR2), UNDER_TSAN ? sigismember(&second.sa_mask, SIGUSR2) : 0);
  assert_true(tri_os_install_handler(SIGUSR1, on_count, &third));
  assert_ptr_equal(third.sa_sigaction, on_count);
  assert_int_equal(third.sa_flags & (SA_SIGINFO | SA_RESTART | SA_ONSTACK), SA_SIGINFO | SA_RESTART);
  assert_true(tri_os_install_handler(SIGUSR1, on_count, NULL));
  handler_restore(SIGUSR1, &first);
}

static void test_install_handler_refuses(void **state) {
  (void)state;
  assert_false(tri_os_install_handler(SIGKILL, on_count, NULL));
  assert_false(tri_os_install_handler(1000, on_count, NULL));
}

static uint64_t mask_in_handler;

static void on_mask(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info, (void)context;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask_in_handler, 8);
}

static bool masked(int signal) { return mask_in_handler >> (signal - 1) & 1; }

static void test_handler_blocks_all_but_faults(void **state) {
  (void)state;
  struct sigaction previous;
  assert_true(tri_os_install_handler(SIGURG, on_mask, &previous));
  assert_int_equal(tri_os_signal_thread(tri_os_thread_id(), SIGURG), 0);
  static const int blocked[] = {SIGURG, SIGTERM, SIGUSR1, SIGPROF, SIGALRM, SIGCHLD, SIGINT, 40};
  static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
  for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++) assert_true(masked(blocked[i]));
  for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) assert_false(masked(open[i]));
  handler_restore(SIGURG, &previous);
}

/* SA_RESTART: a read that a signal interrupts goes on, so it returns the byte and not EINTR. */
typedef struct reader {
  int from, id;
  ssize_t got;
  _Atomic(uint32_t) ready;
} reader;

static void *read_one(void *argument) {
  reader *self = argument;
  char byte;
  self->id = tri_os_thread_id();
  announce(&self->ready, 1);
  self->got = syscall(SYS_read, self->from, &byte, 1);
  return NULL;
}

static void test_handler_restarts_calls(void **state) {
  (void)state;
  struct sigaction previous;
  int ends[2];
  assert_true(tri_os_install_handler(SIGURG, on_count, &previous));
  assert_int_equal(pipe(ends), 0);
  reader self = {.from = ends[0]};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, read_one, &self), 0);
  await(&self.ready, 1);
  for (uint32_t i = 1; i <= 20; i++) {
    handled = i - 1;
    assert_int_equal(tri_os_signal_thread(self.id, SIGURG), 0);
    await(&handled, i);
  }
  assert_int_equal(write(ends[1], "x", 1), 1);
  pthread_join(thread, NULL);
  assert_int_equal(self.got, 1);
  close(ends[0]);
  close(ends[1]);
  handler_restore(SIGURG, &previous);
}

/* ---- contexts ---- */

static uintptr_t context_sp, altstack_low, altstack_high;

static void on_context(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  context_sp = tri_os_context_sp(context);
  tri_os_context_altstack(context, &altstack_low, &altstack_high);
}

static void test_context_sp(void **state) {
  (void)state;
  struct sigaction previous;
  uintptr_t low, high;
  volatile char local;
  assert_true(tri_os_install_handler(SIGURG, on_context, &previous));
  assert_int_equal(tri_os_signal_thread(tri_os_thread_id(), SIGURG), 0);
  assert_true(tri_os_stack_bounds(&low, &high));
  assert_true(context_sp >= low && context_sp < address_of(&local));
  handler_restore(SIGURG, &previous);
}

#ifdef __x86_64__
/* A leaf function keeps values in the 128 bytes below its stack pointer: they lie above what the context tells. */
static void test_context_sp_covers_the_red_zone(void **state) {
  (void)state;
  struct sigaction previous;
  uintptr_t sp;
  assert_true(tri_os_install_handler(SIGTRAP, on_context, &previous));
  __asm__ volatile("movq %%rsp, %0\n\tint3" : "=r"(sp)::"memory");
  assert_int_equal(context_sp, sp - 128);
  handler_restore(SIGTRAP, &previous);
}
#endif

static void test_context_altstack(void **state) {
  (void)state;
  static char memory[65536];
  struct sigaction previous;
  stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, none = {.ss_flags = SS_DISABLE}, old;
  assert_true(tri_os_install_handler(SIGURG, on_context, &previous));
  assert_int_equal(sigaltstack(&stack, &old), 0);
  assert_int_equal(tri_os_signal_thread(tri_os_thread_id(), SIGURG), 0);
  assert_int_equal(altstack_low, address_of(memory));
  assert_int_equal(altstack_high, address_of(memory) + sizeof memory);
  assert_int_equal(sigaltstack(&none, NULL), 0);
  assert_int_equal(tri_os_signal_thread(tri_os_thread_id(), SIGURG), 0);
  assert_int_equal(altstack_low, 0);
  assert_int_equal(altstack_high, 0);
  sigaltstack(&old, NULL);
  handler_restore(SIGURG, &previous);
}

/* ---- stacks ---- */

static bool stack_holds(uintptr_t address) {
  uintptr_t low, high;
  return tri_os_stack_bounds(&low, &high) && low <= address && address < high;
}

/* On the main thread: the environment lies at the very top, and frames may go as deep as the limit lets them. */
static void test_main_stack(void **state) {
  (void)state;
  extern char **environ;
  volatile char local;
  uintptr_t low, high;
  struct rlimit limit;
  assert_true(tri_os_stack_bounds(&low, &high));
  assert_true(low <= address_of(&local) && address_of(&local) < high);
  assert_true(stack_holds(address_of(environ)));
  assert_int_equal(getrlimit(RLIMIT_STACK, &limit), 0);
  if (limit.rlim_cur != RLIM_INFINITY) assert_true(high - low <= limit.rlim_cur);
  assert_true(high - low > 512 * TRI_KIB);
  assert_int_equal(low % tri_os_page_size(), 0);
  assert_int_equal(high % tri_os_page_size(), 0);
}

static void *own_stack(void *argument) {
  uintptr_t *bounds = argument;
  volatile char local;
  if (!tri_os_stack_bounds(&bounds[0], &bounds[1])) return NULL;
  return bounds[0] <= address_of(&local) && address_of(&local) < bounds[1] ? argument : NULL;
}

static void test_thread_stack(void **state) {
  (void)state;
  const size_t size = TRI_MIB;
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uintptr_t bounds[2] = {0, 0};
  pthread_attr_t attributes;
  pthread_t thread;
  void *result;
  pthread_attr_init(&attributes);
  assert_int_equal(pthread_attr_setstack(&attributes, memory, size), 0);
  assert_int_equal(pthread_create(&thread, &attributes, own_stack, bounds), 0);
  pthread_join(thread, &result);
  pthread_attr_destroy(&attributes);
  assert_ptr_equal(result, bounds);
  assert_int_equal(bounds[0], address_of(memory));
  assert_int_equal(bounds[1], address_of(memory) + size);
  munmap(memory, size);
}

/* In the child of a fork by another thread that thread's id is the process's, yet its stack is the one it had. */
static uintptr_t parent_bounds[2];

static int stack_in_child(void) {
  uintptr_t bounds[2];
  return own_stack(bounds) && memcmp(bounds, parent_bounds, sizeof bounds) == 0 ? 0 : 1;
}

static void *fork_from_here(void *argument) {
  (void)argument;
  if (!own_stack(parent_bounds)) return NULL;
  pid_t child = fork();
  if (child == 0) _exit(stack_in_child());
  int status;
  return waitpid(child, &status, 0) == child && status == 0 ? parent_bounds : NULL;
}

static void test_stack_after_fork_from_a_thread(void **state) {
  (void)state;
  pthread_t thread;
  void *result;
  fflush(NULL);
  assert_int_equal(pthread_create(&thread, NULL, fork_from_here, NULL), 0);
  pthread_join(thread, &result);
  assert_ptr_equal(result, parent_bounds);
}

/* ---- registers ---- */

/* Loads every register that a callee must keep from values, calls tri_os_with_registers, and stores them in after. */
#if defined(__x86_64__)
enum { KEPT = 6 };
__asm__(".text\n"
        ".type call_with_registers, @function\n"
        "call_with_registers:\n" /* (values, after, body, argument) */
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n  pushq %rsi\n"
        "  movq 0(%rdi), %rbp\n  movq 8(%rdi), %rbx\n  movq 16(%rdi), %r12\n"
        "  movq 24(%rdi), %r13\n  movq 32(%rdi), %r14\n  movq 40(%rdi), %r15\n"
        "  movq %rdx, %rdi\n  movq %rcx, %rsi\n"
        "  call tri_os_with_registers\n"
        "  popq %rsi\n"
        "  movq %rbp, 0(%rsi)\n  movq %rbx, 8(%rsi)\n  movq %r12, 16(%rsi)\n"
        "  movq %r13, 24(%rsi)\n  movq %r14, 32(%rsi)\n  movq %r15, 40(%rsi)\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size call_with_registers, . - call_with_registers\n");
#elif defined(__aarch64__)
enum { KEPT = 19 };
#define MOVE_ALL(pair, one, base)                                                                                      \
  "  " pair " x19, x20, [" base "]\n"                                                                                  \
  "  " pair " x21, x22, [" base ", #16]\n"                                                                             \
  "  " pair " x23, x24, [" base ", #32]\n"                                                                             \
  "  " pair " x25, x26, [" base ", #48]\n"                                                                             \
  "  " pair " x27, x28, [" base ", #64]\n"                                                                             \
  "  " one " x29, [" base ", #80]\n"                                                                                   \
  "  " pair " d8, d9, [" base ", #88]\n"                                                                               \
  "  " pair " d10, d11, [" base ", #104]\n"                                                                            \
  "  " pair " d12, d13, [" base ", #120]\n"                                                                            \
  "  " pair " d14, d15, [" base ", #136]\n"
/* clang-format off */
__asm__(".text\n"
        ".type call_with_registers, %function\n"
        "call_with_registers:\n" /* (values, after, body, argument) */
        "  sub sp, sp, #176\n"
        MOVE_ALL("stp", "str", "sp")
        "  stp x30, x1, [sp, #152]\n"
        MOVE_ALL("ldp", "ldr", "x0")
        "  mov x0, x2\n  mov x1, x3\n"
        "  bl tri_os_with_registers\n"
        "  ldp x30, x1, [sp, #152]\n"
        MOVE_ALL("stp", "str", "x1")
        MOVE_ALL("ldp", "ldr", "sp")
        "  add sp, sp, #176\n"
        "  ret\n"
        ".size call_with_registers, . - call_with_registers\n");
/* clang-format on */
#endif
void call_with_registers(const uint64_t *values, uint64_t *after, void (*body)(void *, uintptr_t), void *argument);

typedef struct search {
  uint64_t values[19];
  int seen[19];
  uintptr_t sp;
} search;

/* Looks for the values, which no memory of this stack holds as they are: it has their complements. */
__attribute__((no_sanitize("address", "thread"))) static void find_values(void *argument, uintptr_t sp) {
  search *self = argument;
  self->sp = sp;
  for (int i = 0; i < KEPT; i++)
    for (uintptr_t at = sp; at < sp + 160; at += 8) self->seen[i] += *(const volatile uint64_t *)at == ~self->values[i];
}

static void test_registers_are_found_and_kept(void **state) {
  (void)state;
  static search self;
  static uint64_t values[19], after[19];
  for (int i = 0; i < KEPT; i++) {
    values[i] = 0xdead0000beef0000U + (uint64_t)i * 0x100010001U;
    self.values[i] = ~values[i];
  }
  call_with_registers(values, after, find_values, &self);
  for (int i = 0; i < KEPT; i++) {
    assert_int_equal(self.seen[i], 1);
    assert_int_equal(after[i], values[i]);
  }
  assert_int_equal(self.sp % 16, 0);
  assert_true(stack_holds(self.sp));
}

static uintptr_t argument_sp;

static void note_sp(void *argument, uintptr_t sp) {
  volatile char local;
  argument_sp = sp;
  *(bool *)argument = address_of(&local) < sp;
}

static void test_registers_body_runs_below_sp(void **state) {
  (void)state;
  bool below = false;
  tri_os_with_registers(note_sp, &below);
  assert_true(below);
  assert_true(stack_holds(argument_sp));
}

/* The unwinder gets through the assembly to its caller: debuggers and profilers see whole stacks. */
typedef struct walk {
  const void *wanted;
  bool found;
} walk;

static _Unwind_Reason_Code visit_frame(struct _Unwind_Context *context, void *argument) {
  walk *self = argument;
  int before = 0;
  uintptr_t ip = _Unwind_GetIPInfo(context, &before);
  if (_Unwind_FindEnclosingFunction((void *)(ip - !before)) == self->wanted) self->found = true;
  return _URC_NO_REASON;
}

static void unwind_from_body(void *argument, uintptr_t sp) {
  (void)sp;
  _Unwind_Backtrace(visit_frame, argument);
}

static void test_unwinding_through_registers(void **state) {
  (void)state;
  walk self = {(const void *)test_unwinding_through_registers, false};
  tri_os_with_registers(unwind_from_body, &self);
  assert_true(self.found);
}

static walk handler_walk;

static void on_unwind(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info, (void)context;
  _Unwind_Backtrace(visit_frame, &handler_walk);
}

static void test_unwinding_through_a_handler(void **state) {
  (void)state;
  struct sigaction previous;
  handler_walk = (walk){(const void *)test_unwinding_through_a_handler, false};
  assert_true(tri_os_install_handler(SIGURG, on_unwind, &previous));
  assert_int_equal(tri_os_signal_thread(tri_os_thread_id(), SIGURG), 0);
  assert_true(handler_walk.found);
  handler_restore(SIGURG, &previous);
}

int main(void) {
  tri_os_tls_prepare();
  parked first = {.id = 0};
  parked_start(&first); /* with the first thread ThreadSanitizer starts one of its own */
  parked_end(&first);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_thread_start),
      cmocka_unit_test(test_thread_start_blocks_signals),
      cmocka_unit_test(test_thread_start_leaves_setid_working),
      cmocka_unit_test(test_thread_start_refused),
      cmocka_unit_test(test_tasks),
      cmocka_unit_test(test_tasks_beyond_capacity),
      cmocka_unit_test(test_ordinary_tasks_are_not_the_kernels),
      cmocka_unit_test(test_ended_main_thread),
      cmocka_unit_test(test_kernel_worker),
      cmocka_unit_test(test_task_blocks),
      cmocka_unit_test(test_signal_thread),
      cmocka_unit_test(test_signal_reaches_a_computing_thread),
      cmocka_unit_test(test_install_handler_tells_the_previous),
      cmocka_unit_test(test_install_handler_refuses),
      cmocka_unit_test(test_handler_blocks_all_but_faults),
      cmocka_unit_test(test_handler_restarts_calls),
      cmocka_unit_test(test_context_sp),
#ifdef __x86_64__
      cmocka_unit_test(test_context_sp_covers_the_red_zone),
#endif
      cmocka_unit_test(test_context_altstack),
      cmocka_unit_test(test_main_stack),
      cmocka_unit_test(test_thread_stack),
      cmocka_unit_test(test_stack_after_fork_from_a_thread),
      cmocka_unit_test(test_registers_are_found_and_kept),
      cmocka_unit_test(test_registers_body_runs_below_sp),
      cmocka_unit_test(test_unwinding_through_registers),
      cmocka_unit_test(test_unwinding_through_a_handler),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
