/* linux_threads.c - tasks, signals, the library's own threads and stack bounds on Linux; os.h has the contract.
 *
 * The library interposes pthread_create and sigaction for the program, and sanitizers wrap both. What is done here
 * goes beneath the library's versions. A sanitizer's pthread_create is used, for it must know every thread that runs
 * code it has instrumented; its sigaction is not, for a handler of ours must run at once. Takes no lock; errno may
 * change. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <ucontext.h>

#include "base/fmt.h"
#include "os/linux_proc.h"
#include "os/lock.h"

enum {
  TRI_THREAD_STACK = 256 * 1024,
  TRI_PATH_MAX = 64,
  TRI_LISTING_MAX = 8192,
  TRI_SIGNAL_SET_BYTES = 8,      /* what the kernel takes: 64 signals */
  TRI_TASK_IO_WORKER = 0x10,     /* PF_IO_WORKER of the kernel's sched.h, as /proc/PID/stat shows it */
  TRI_TASK_USER_WORKER = 0x4000, /* PF_USER_WORKER */
  TRI_FIRST_LIBC_SIGNAL = 32,    /* from here to SIGRTMIN lie those the C library keeps for setuid() and cancellation */
};

int tri_os_thread_id(void) { return (int)syscall(SYS_gettid); }
int tri_os_process_id(void) { return (int)syscall(SYS_getpid); }

/* ---- signal sets, as the kernel has them: bit n - 1 is signal n ---- */

static uint64_t tri_signal_bit(int signal) { return UINT64_C(1) << (signal - 1); }

/* Every signal but those a faulting instruction raises: were they blocked, the kernel would kill the process without
 * running the program's, or a sanitizer's, crash handler. */
static uint64_t tri_signals_blocked(void) {
  return ~(tri_signal_bit(SIGSEGV) | tri_signal_bit(SIGBUS) | tri_signal_bit(SIGFPE) | tri_signal_bit(SIGILL) |
           tri_signal_bit(SIGTRAP) | tri_signal_bit(SIGABRT));
}

/* ---- starting a thread ---- */

typedef int tri_mask_function(pthread_attr_t *, const sigset_t *);
typedef int tri_create_function(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* A static C library's own name for it, which is not interposed. */
extern tri_create_function __pthread_create_2_1 __attribute__((weak));

/* What a new thread reads from its creator's stack; the creator waits until *id is the thread's. */
typedef struct tri_start {
  void (*run)(void *argument);
  void *argument;
  const char *name;
  _Atomic(uint32_t) *id;
} tri_start;

void (*tri_os_thread_observer)(void) TRI_OWN_DATA;

static void *tri_thread_main(void *raw) {
  tri_start *start = raw;
  void (*run)(void *) = start->run;
  void *argument = start->argument;
  _Atomic(uint32_t) *id = start->id;
  (void)prctl(PR_SET_NAME, start->name);
  if (tri_os_thread_observer) tri_os_thread_observer();
  /* release: pairs with the acquire in tri_os_thread_start; start may be gone after this store */
  atomic_store_explicit(id, (uint32_t)tri_os_thread_id(), memory_order_release);
  tri_os_wake(id, 1);
  run(argument);
  return NULL;
}

/* A sanitizer's version when there is one (it must know every thread that runs instrumented code), else the C
 * library's. */
static tri_create_function *tri_create_find(void) {
  static const struct {
    void *scope;
    const char *name;
  } places[] = {
      {RTLD_DEFAULT, "__interceptor_pthread_create"},
      {RTLD_DEFAULT, "___interceptor_pthread_create"}, /* so called since LLVM 17 */
      {RTLD_NEXT, "pthread_create"},
  };
  TRI_ASSERT(!tri_lock_holds_any());
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    void *found = dlsym(places[i].scope, places[i].name);
    if (found) return (tri_create_function *)found;
  }
  return __pthread_create_2_1 ? __pthread_create_2_1 : pthread_create;
}

static tri_create_function *tri_create(void) {
  static _Atomic(tri_create_function *) cached TRI_OWN_DATA;
  /* relaxed: the pointer stands alone, and threads that race find the same one */
  tri_create_function *create = atomic_load_explicit(&cached, memory_order_relaxed);
  if (!create) {
    create = tri_create_find();
    atomic_store_explicit(&cached, create, memory_order_relaxed);
  }
  return create;
}

/* The C library's own pthread_attr_setsigmask_np, glibc's from 2.32 on; NULL where there is none. */
static tri_mask_function *set_mask TRI_OWN_DATA;

/* The loader is asked when the library is loaded, not by a thread that has a collection to see to. */
__attribute__((constructor(101))) static void tri_create_load(void) {
  (void)tri_create();
  set_mask = (tri_mask_function *)dlsym(RTLD_NEXT, "pthread_attr_setsigmask_np");
}

/* The C library takes the thread's static TLS out of the stack it is given. */
static size_t tri_thread_stack_size(void) {
  tri_os_range tls = tri_os_static_tls(tri_os_thread_pointer());
  return tri_align_up(TRI_THREAD_STACK + (tls.high - tls.low), tri_os_page_size());
}

/* What a thread of ours blocks. The signals the C library keeps for itself stay open: a thread that blocked them would
 * hang setuid() in the whole process. */
static uint64_t tri_own_mask(void) {
  uint64_t blocked = tri_signals_blocked();
  for (int signal = TRI_FIRST_LIBC_SIGNAL; signal < SIGRTMIN; signal++) blocked &= ~tri_signal_bit(signal);
  return blocked;
}

/* False where the C library cannot tell a thread its mask. */
static bool tri_create_masks(pthread_attr_t *attributes, uint64_t blocked) {
  sigset_t mask;
  sigemptyset(&mask);
  memcpy(&mask, &blocked, sizeof blocked);
  return set_mask && set_mask(attributes, &mask) == 0;
}

/* Where the thread cannot be told its mask it inherits its creator's, which is changed around the call; not otherwise,
 * for the creator may be a thread of the program that waits for the loader's locks there, and is to be stopped. */
static int tri_create_blocked(tri_start *start) {
  pthread_attr_t attributes;
  pthread_t thread;
  uint64_t blocked = tri_own_mask(), previous;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, tri_thread_stack_size());
  bool inherits = !tri_create_masks(&attributes, blocked);
  if (inherits) syscall(SYS_rt_sigprocmask, SIG_BLOCK, &blocked, &previous, TRI_SIGNAL_SET_BYTES);
  int error = tri_create()(&thread, &attributes, tri_thread_main, start);
  if (inherits) syscall(SYS_rt_sigprocmask, SIG_SETMASK, &previous, NULL, TRI_SIGNAL_SET_BYTES);
  pthread_attr_destroy(&attributes);
  return error;
}

bool tri_os_thread_start(void (*run)(void *), void *argument, const char *name, _Atomic(uint32_t) *id) {
  tri_start start = {run, argument, name, id};
  if (tri_create_blocked(&start) != 0) return false;
  /* acquire: pairs with the release in tri_thread_main, which has read start by then */
  while (!atomic_load_explicit(id, memory_order_acquire)) tri_os_wait(id, 0, 0);
  return true;
}

/* ---- tasks ---- */

int tri_os_task_count(void) {
  struct stat status; /* a directory has a link for itself, one for its name, and one for each directory in it */
  if (fstatat(AT_FDCWD, "/proc/self/task", &status, 0) != 0) return 0;
  return (int)status.st_nlink - 2;
}

/* An entry as getdents64 returns it. */
typedef struct tri_entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
} tri_entry;

/* A task id from the name of its directory; 0 for "." and "..". */
static int tri_task_id(const char *name) {
  int id = 0;
  for (; *name >= '0' && *name <= '9'; name++) id = id * 10 + (*name - '0');
  return id;
}

int tri_os_tasks(int *ids, int capacity) {
  _Alignas(tri_entry) char listing[TRI_LISTING_MAX];
  int directory = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return 0;
  int count = 0;
  long got;
  while ((got = syscall(SYS_getdents64, directory, listing, sizeof listing)) > 0) {
    const tri_entry *entry;
    for (long at = 0; at < got; at += entry->length) {
      entry = (const tri_entry *)(const void *)(listing + at);
      int id = tri_task_id(entry->name);
      if (id == 0) continue;
      if (count < capacity) ids[count] = id;
      count++;
    }
  }
  int error = errno;
  syscall(SYS_close, directory);
  errno = error;
  return got < 0 ? 0 : count;
}

static bool tri_task_open(tri_proc_file *file, int id, const char *name) {
  char path[TRI_PATH_MAX];
  tri_format(path, sizeof path, "/proc/self/task/%d/%s", id, name);
  return tri_proc_open(file, path);
}

/* Reads "ID (name) state parent group session terminal foreground flags ...". The name may hold anything, parentheses
 * too, so the state is what follows the last one of the line; the fields behind it are numbers. */
static bool tri_task_state(int id, char *state, uint64_t *flags) {
  tri_proc_file file;
  if (!tri_task_open(&file, id, "stat")) return false;
  size_t end = 0;
  /* Fills the buffer with the start of the line: the id and a name of at most 64 bytes. */
  int got = tri_proc_next(&file);
  for (size_t i = 0; got >= 0 && i < file.length; i++) end = file.buffer[i] == ')' ? i + 1 : end;
  file.next = end;
  bool found = end > 0 && tri_proc_skip(&file, ' ');
  *state = found ? (char)tri_proc_next(&file) : 0;
  for (int field = 0; found && field < 6; field++) /* passes over the state and five numbers */
    found = tri_proc_skip(&file, ' ');
  found = found && tri_proc_number(&file, 10, flags) == ' ';
  tri_proc_close(&file);
  return found;
}

/* What to answer for a task of which a file could not be read. A signal 0 only asks whether it is there. */
static tri_os_answer tri_task_unread(int id) {
  int error = errno;
  bool gone = tri_os_signal_thread(id, 0) != 0;
  errno = error;
  return gone ? TRI_OS_NO : TRI_OS_UNKNOWN;
}

tri_os_answer tri_os_task_is_kernel(int id) {
  char state;
  uint64_t flags;
  if (!tri_task_state(id, &state, &flags)) return tri_task_unread(id);
  return (flags & (TRI_TASK_IO_WORKER | TRI_TASK_USER_WORKER)) || state == 'Z' || state == 'X' ? TRI_OS_YES : TRI_OS_NO;
}

/* Passes to the text behind label, which begins with a newline: no other character of it may be one. */
static bool tri_proc_find(tri_proc_file *file, const char *label) {
  const char *next = label;
  int got;
  while (*next && (got = tri_proc_next(file)) >= 0) {
    if (got == *next)
      next++;
    else
      next = got == *label ? label + 1 : label;
  }
  return *next == 0;
}

static tri_os_answer tri_task_blocked(int id, uint64_t *blocked) {
  tri_proc_file file;
  if (!tri_task_open(&file, id, "status")) return tri_task_unread(id);
  bool found = tri_proc_find(&file, "\nSigBlk:\t") && tri_proc_number(&file, 16, blocked) == '\n';
  tri_proc_close(&file);
  return found ? TRI_OS_YES : tri_task_unread(id);
}

tri_os_answer tri_os_task_blocks(int id, int signal) {
  uint64_t blocked;
  tri_os_answer read = tri_task_blocked(id, &blocked);
  if (read != TRI_OS_YES) return read;
  return blocked & tri_signal_bit(signal) ? TRI_OS_YES : TRI_OS_NO;
}

/* SIGKILL and SIGSTOP cannot be, and of its own two signals the C library leaves the second, setuid()'s, open in the
 * end of a thread. That the first is blocked is what no program can do. */
bool tri_os_task_blocks_all(int id) {
  uint64_t open = tri_signal_bit(SIGKILL) | tri_signal_bit(SIGSTOP) | tri_signal_bit(TRI_FIRST_LIBC_SIGNAL + 1);
  uint64_t blocked, all = ~open;
  return tri_task_blocked(id, &blocked) == TRI_OS_YES && (blocked & all) == all;
}

int tri_os_signal_thread(int id, int signal) {
  return syscall(SYS_tgkill, tri_os_process_id(), id, signal) == 0 ? 0 : errno;
}

int tri_os_signal_thread_value(int id, int signal, void *value) {
  siginfo_t info = {.si_signo = signal, .si_code = SI_QUEUE};
  info.si_pid = tri_os_process_id();
  info.si_uid = getuid();
  info.si_value.sival_ptr = value;
  return syscall(SYS_rt_tgsigqueueinfo, tri_os_process_id(), id, signal, &info) == 0 ? 0 : errno;
}

/* ---- stacks ---- */

/* Where the dynamic loader found the top of the main thread's stack. */
extern void *__libc_stack_end __attribute__((weak));

/* The main thread's stack grows down on demand as far as its limit, or until it meets another mapping. */
bool tri_os_main_stack(uintptr_t *low, uintptr_t *high) {
  tri_os_mapping mapping;
  struct rlimit limit;
  if (!&__libc_stack_end || !tri_os_find_mapping_and_below((uintptr_t)__libc_stack_end, &mapping)) return false;
  *high = mapping.high;
  *low = mapping.below;
  if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < mapping.high - mapping.below)
    *low = tri_align_up(mapping.high - limit.rlim_cur, tri_os_page_size());
  *low = tri_min(*low, mapping.low); /* the limit may have been lowered after the stack grew */
  return true;
}

static bool tri_thread_stack(uintptr_t *low, uintptr_t *high) {
  pthread_attr_t attributes;
  void *start = NULL;
  size_t size = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return false;
  bool found = pthread_attr_getstack(&attributes, &start, &size) == 0;
  pthread_attr_destroy(&attributes);
  *low = (uintptr_t)start;
  *high = *low + size;
  return found;
}

/* The only thread of a fork's child has the main one's id whatever its stack, so it is the stack that tells. */
bool tri_os_stack_bounds(uintptr_t *low, uintptr_t *high) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  bool may_be_main = tri_os_thread_id() == tri_os_process_id();
  if (may_be_main && tri_os_main_stack(low, high) && here >= *low && here < *high) return true;
  return tri_thread_stack(low, high) && here >= *low && here < *high;
}

/* ---- signals ---- */

/* struct sigaction as the kernel has it. */
typedef struct tri_kernel_action {
  tri_os_handler *handler;
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
} tri_kernel_action;

#ifdef __x86_64__
enum { TRI_SA_RESTORER = 0x04000000 };
void tri_os_sigreturn(void); /* arch/x86_64.S */
#endif

/* Returns a 64-signal set of the kernel in one of the C library, which is wider. */
static sigset_t tri_signal_set(uint64_t mask) {
  sigset_t set;
  sigemptyset(&set);
  __builtin_memcpy(&set, &mask, sizeof mask);
  return set;
}

/* The bare system call: sigaction is interposed, and ThreadSanitizer's puts a signal off until the thread makes a call
 * that it wraps, which one that computes does not. */
bool tri_os_install_handler(int signal, tri_os_handler *handler, struct sigaction *previous) {
  tri_kernel_action action = {
      .handler = handler,
      .flags = SA_SIGINFO | SA_RESTART,
      .mask = tri_signals_blocked(),
  };
  tri_kernel_action old = {0};
#ifdef __x86_64__ /* where the vdso has no code to return to */
  action.flags |= TRI_SA_RESTORER;
  action.restorer = tri_os_sigreturn;
#endif
  if (syscall(SYS_rt_sigaction, signal, &action, &old, TRI_SIGNAL_SET_BYTES) != 0) return false;
  if (previous)
    *previous = (struct sigaction){
        .sa_sigaction = old.handler,
        .sa_mask = tri_signal_set(old.mask),
        .sa_flags = (int)old.flags,
        .sa_restorer = old.restorer,
    };
  return true;
}

uint64_t tri_os_block_signals(void) {
  uint64_t blocked = tri_signals_blocked(), previous = 0;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &blocked, &previous, TRI_SIGNAL_SET_BYTES);
  return previous;
}

void tri_os_unblock_signals(uint64_t mask) {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, TRI_SIGNAL_SET_BYTES);
}

uintptr_t tri_os_context_sp(const void *context) {
  const ucontext_t *saved = context;
#if defined(__x86_64__)
  enum { TRI_RED_ZONE = 128 }; /* below its stack pointer a leaf function may keep what it likes */
  return (uintptr_t)saved->uc_mcontext.gregs[REG_RSP] - TRI_RED_ZONE;
#elif defined(__aarch64__)
  return (uintptr_t)saved->uc_mcontext.sp;
#else
#error "tricolor runs on x86-64 and aarch64"
#endif
}

void tri_os_context_altstack(const void *context, uintptr_t *low, uintptr_t *high) {
  const ucontext_t *saved = context;
  bool none = (saved->uc_stack.ss_flags & SS_DISABLE) != 0;
  *low = none ? 0 : (uintptr_t)saved->uc_stack.ss_sp;
  *high = none ? 0 : *low + saved->uc_stack.ss_size;
}
