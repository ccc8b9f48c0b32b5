/* steps.h - for tests of threads: steps that threads take by turns, and objects watched without being held.
 *
 * Nothing here waits for time: who waits, waits for another thread's step. */
#ifndef TEST_STEPS_H
#define TEST_STEPS_H

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <tricolor.h>
#include <unistd.h>

#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
enum { UNDER_TSAN = 1 };
#else
enum { UNDER_TSAN = 0 };
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
enum { UNDER_ASAN = 1 };
#else
enum { UNDER_ASAN = 0 };
#endif

/* Ends the test, saying why it means nothing under ThreadSanitizer. */
#define SKIP_UNDER_TSAN(reason)                                                                                        \
  do {                                                                                                                 \
    if (UNDER_TSAN) {                                                                                                  \
      puts("skipped under ThreadSanitizer: " reason);                                                                  \
      skip();                                                                                                          \
    }                                                                                                                  \
  } while (0)

/* Likewise under AddressSanitizer. */
#define SKIP_UNDER_ASAN(reason)                                                                                        \
  do {                                                                                                                 \
    if (UNDER_ASAN) {                                                                                                  \
      puts("skipped under AddressSanitizer: " reason);                                                                 \
      skip();                                                                                                          \
    }                                                                                                                  \
  } while (0)

/* ---- steps ---- */

typedef _Atomic(uint32_t) test_step;

static inline void step_reach(test_step *step, uint32_t number) { atomic_store(step, number); }

static inline void step_await(test_step *step, uint32_t number) {
  while (atomic_load(step) < number) sched_yield();
}

static inline int thread_id(void) { return (int)syscall(SYS_gettid); }

/* Whether a task of this process sleeps in the kernel. Bare calls, as in all that helps: only tests block. */
static inline bool is_asleep(int id) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  long got = fd < 0 ? -1 : syscall(SYS_read, fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (got <= 0) return false;
  text[got] = 0;
  const char *end = strrchr(text, ')');
  return end && end[1] == ' ' && end[2] == 'S';
}

/* Waits until it does. Not for those that only sleep at times. */
static inline void await_asleep(int id) {
  while (!is_asleep(id)) sched_yield();
}

/* Waits until a task of this process is no more; pthread_join returns a moment before. */
static inline void await_gone(int id) {
  while (syscall(SYS_tgkill, getpid(), id, 0) == 0) sched_yield();
}

/* ---- watched objects ---- */

typedef struct hidden {
  uintptr_t disguised;
  uint64_t tag;
} hidden;

static inline void *hidden_reveal(hidden object) { return (void *)~object.disguised; }

/* A new object, of which only *home knows. Not inlined, and see forget_stack: no copy must be left in the caller's
 * frame. */
static __attribute__((noinline, unused)) hidden hidden_new(void *volatile *home) {
  static _Atomic(uint64_t) tags = 0x7ea9000000000001;
  uint64_t *object = tri_alloc(64);
  uint64_t tag = atomic_fetch_add(&tags, 2);
  object[3] = tag;
  *home = object;
  return (hidden){.disguised = ~(uintptr_t)object, .tag = tag};
}

/* Freed memory of the heap stays readable, and swept objects are overwritten under poison=1. */
__attribute__((no_sanitize("address", "thread"))) static __attribute__((noinline, unused)) bool hidden_lives(
    hidden object) {
  const volatile uint64_t *words = hidden_reveal(object);
  return tri_base_of(hidden_reveal(object)) == hidden_reveal(object) && words[3] == object.tag;
}

/* The registers that a call does not preserve: a loop of bare system calls would leave an old argument in one for
 * ever. */
static inline void forget_registers(void) {
#if defined(__x86_64__)
  __asm__ volatile("xorl %%edi, %%edi; xorl %%esi, %%esi; xorl %%edx, %%edx; xorl %%ecx, %%ecx; xorl %%eax, %%eax;"
                   "xorl %%r8d, %%r8d; xorl %%r9d, %%r9d; xorl %%r10d, %%r10d; xorl %%r11d, %%r11d"
                   :
                   :
                   : "rdi", "rsi", "rdx", "rcx", "rax", "r8", "r9", "r10", "r11", "cc");
#elif defined(__aarch64__)
  __asm__ volatile(
      "mov x0, #0; mov x1, #0; mov x2, #0; mov x3, #0; mov x4, #0; mov x5, #0; mov x6, #0; mov x7, #0;"
      "mov x8, #0; mov x9, #0; mov x10, #0; mov x11, #0; mov x12, #0; mov x13, #0; mov x14, #0; mov x15, #0"
      :
      :
      : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15");
#endif
}

/* Overwrites what popped frames left below the caller's. */
static __attribute__((noinline, unused)) void forget_stack(void) {
  volatile char below[32 * 1024];
  for (size_t i = 0; i < sizeof below; i++) below[i] = 0;
  forget_registers();
}

static __attribute__((noinline, unused)) void collect(void) {
  forget_stack();
  tri_gc();
}

static inline uint32_t collections(void) {
  static _Thread_local tri_memstats stats;
  tri_read_memstats(&stats);
  return stats.NumGC;
}

#endif
