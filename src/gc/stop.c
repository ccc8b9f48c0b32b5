/* stop.c - stopping the program's threads by signal. See thread.h for the protocol.
 *
 * The program may use the stop signal too. Which of the two a signal is, is told by counting ours (is_ours); the
 * program's go to what it asked for (gc/action.c). A signal of ours may be lost in one of the program's, for a thread
 * holds one pending at most: so threads that do not answer are signalled again from time to time.
 *
 * Between tri_stop_begin and tri_stop_end nothing here or in the collector may call malloc, stdio or the loader: a
 * stopped thread may hold their locks. The handler allocates nothing, takes no lock and keeps errno. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "gc/action.h"
#include "gc/thread.h"
#include "heap/heap.h"

enum {
  MAX_TASKS = 32768,
  SPINS = 2000, /* a running thread answers within some 20 us */
  FIRST_PATIENCE_NS = 500 * 1000,
  MAX_PATIENCE_NS = 20 * 1000 * 1000,
  TRIES = 100,
};

static struct {
  _Atomic(uint32_t) sequence; /* odd: a stop is on. seq_cst against thread states; its release ends a stop */
  _Atomic(uint32_t) missing;  /* threads that have yet to stop; acq_rel: their saved state is seen by the collector */
  _Atomic(int) signal;        /* release when the rest is ready, pairs with tri_stop_signal */
  _Atomic(bool) unsettled; /* a stop was given up: signals of it may still arrive at threads we do not know. Relaxed */
  tri_thread *collector;
  int *tasks; /* made when first needed */
} stop TRI_OWN_DATA;

_Thread_local volatile tri_signal_counts tri_signals_seen __attribute__((tls_model("initial-exec")));

TRI_UNSANITIZED int tri_stop_signal(void) { return atomic_load_explicit(&stop.signal, memory_order_acquire); }

void tri_stop_unblock(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, tri_stop_signal());
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- the stopped thread's side ---- */

/* Whoever succeeds at this has the thread's answer to count. */
static bool answer(tri_thread *thread, uint32_t sequence) {
  return atomic_compare_exchange_strong_explicit(&thread->asked, &sequence, sequence + 1, memory_order_acq_rel,
                                                 memory_order_acquire);
}

static bool is_asked(const tri_thread *thread, uint32_t sequence) {
  return (sequence & 1) && atomic_load_explicit(&thread->asked, memory_order_acquire) == sequence;
}

/* The stack pointer is below everything of interest: the signal frame with all registers lies above it. */
static void wait_for_end(tri_thread *thread, uint32_t sequence, uintptr_t sp) {
  if (!answer(thread, sequence)) return;
  thread->sp = sp;
  if (atomic_fetch_sub_explicit(&stop.missing, 1, memory_order_acq_rel) == 1) tri_os_wake(&stop.missing, 1);
  while (atomic_load_explicit(&stop.sequence, memory_order_acquire) == sequence)
    tri_os_wait(&stop.sequence, sequence, 0);
}

static void park_here(void *argument, uintptr_t sp) {
  tri_thread *thread = argument;
  uint32_t sequence = atomic_load_explicit(&stop.sequence, memory_order_acquire);
  if (is_asked(thread, sequence)) wait_for_end(thread, sequence, sp);
}

void tri_stop_park(tri_thread *thread) {
  thread->alternate_low = thread->alternate_high = 0;
  tri_os_with_registers(park_here, thread);
}

/* A thread the registry did not know: the collector made its record before it signalled, and holds the lock for us. Its
 * stack reaches up to its thread control block; the main thread's is where the loader put it. */
static tri_thread *attach_in_handler(uintptr_t sp) {
  tri_thread *thread = tri_thread_find(tri_os_thread_id());
  if (!thread) return NULL;
  thread->thread_pointer = tri_os_thread_pointer();
  tri_os_mapping mapping;
  if (thread->bounds_given && sp >= thread->stack_low && sp < thread->stack_high) {
    /* kept */
  } else if (thread->id == tri_os_process_id()) {
    if (!tri_os_main_stack(&thread->stack_low, &thread->stack_high)) return NULL;
  } else {
    uintptr_t top = tri_os_static_tls(thread->thread_pointer).high;
    if (!tri_os_find_mapping(top - 1, &mapping) && !tri_os_find_mapping(sp, &mapping)) return NULL;
    thread->stack_low = mapping.low;
    thread->stack_high = top - mapping.low <= mapping.high - mapping.low ? top : mapping.high;
  }
  tri_cache_self = &thread->cache;
  return thread;
}

/* Ours come from tgkill in this process. The program may send such signals itself: then nothing we sent is
 * outstanding. */
static bool is_ours(tri_thread *thread, const siginfo_t *info) {
  if (info->si_code != SI_TKILL || info->si_pid != tri_os_process_id()) return false;
  if (!thread) return atomic_load_explicit(&stop.unsettled, memory_order_relaxed);
  uint32_t sent = atomic_load_explicit(&thread->sent, memory_order_acquire);
  uint32_t received = atomic_exchange_explicit(&thread->received, sent, memory_order_relaxed);
  return sent != received;
}

static void stop_here(tri_thread *thread, uint32_t sequence, uintptr_t sp, const void *context) {
  if (atomic_load_explicit(&thread->cache.defer, memory_order_relaxed)) {
    atomic_store_explicit(&thread->cache.stop_pending, 1, memory_order_relaxed);
    return;
  }
  /* The signal may have met a thread that was entering a blocking region. */
  uintptr_t old_sp = thread->sp, old_low = thread->alternate_low, old_high = thread->alternate_high;
  tri_os_context_altstack(context, &thread->alternate_low, &thread->alternate_high);
  wait_for_end(thread, sequence, sp);
  thread->sp = old_sp;
  thread->alternate_low = old_low;
  thread->alternate_high = old_high;
}

static void on_stop_signal(int signal, siginfo_t *info, void *context) {
  int saved_errno = errno;
  uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
  uint32_t sequence = atomic_load_explicit(&stop.sequence, memory_order_acquire);
  tri_thread *thread = tri_thread_known();
  if (!thread && (sequence & 1)) thread = attach_in_handler(sp);
  bool ours = is_ours(thread, info);
  if (thread && is_asked(thread, sequence)) stop_here(thread, sequence, sp, context);
  if (ours)
    tri_signals_seen.stops++;
  else
    tri_action_run_chained(signal, info, context);
  errno = saved_errno;
}

/* ---- blocking regions ---- */

/* Word by word: memcpy would leave what it copied in vector registers, where stale pointers last. */
static void copy_registers(volatile uint64_t *to, const volatile uint64_t *from) {
  for (int i = 0; i < TRI_SAVED_REGISTERS; i++) to[i] = from[i];
}

/* The thread's own stack: no sanitizer. */
__attribute__((no_sanitize("address", "thread"))) static void save_registers(void *argument, uintptr_t sp) {
  tri_thread *thread = argument;
  const volatile uint64_t *spilled = (const volatile uint64_t *)sp;
  for (int i = 0; i < TRI_SAVED_REGISTERS; i++) thread->registers[i] = spilled[i];
  thread->sp = sp;
}

bool tri_thread_blocking_enter(tri_thread *thread) {
  if (atomic_load_explicit(&thread->state, memory_order_relaxed) == TRI_THREAD_BLOCKING ||
      atomic_load_explicit(&thread->cache.defer, memory_order_relaxed))
    return false;
  thread->alternate_low = thread->alternate_high = 0;
  tri_os_with_registers(save_registers, thread);
  atomic_store_explicit(&thread->state, TRI_THREAD_BLOCKING, memory_order_seq_cst);
  return true;
}

void tri_thread_blocking_exit(tri_thread *thread) {
  for (;;) {
    atomic_store_explicit(&thread->state, TRI_THREAD_RUNNING, memory_order_seq_cst);
    uint32_t sequence = atomic_load_explicit(&stop.sequence, memory_order_seq_cst);
    if (!(sequence & 1)) return;
    atomic_store_explicit(&thread->state, TRI_THREAD_BLOCKING, memory_order_seq_cst);
    tri_os_wait(&stop.sequence, sequence, 0);
  }
}

void tri_thread_blocking_begin(tri_thread *thread) {
  if (thread->blocking_depth++ == 0) (void)tri_thread_blocking_enter(thread);
}

void tri_thread_blocking_end(tri_thread *thread) {
  if (--thread->blocking_depth == 0) tri_thread_blocking_exit(thread);
}

void tri_thread_blocking_leave(tri_thread *thread, tri_blocking_state *saved) {
  saved->state = atomic_load_explicit(&thread->state, memory_order_relaxed);
  saved->sp = thread->sp; /* also when running: the handler may have interrupted an entry */
  copy_registers(saved->registers, thread->registers);
  if (saved->state == TRI_THREAD_BLOCKING) tri_thread_blocking_exit(thread);
}

/* A stop that has asked this thread in the meantime does not mind: its signal arrives in either state. */
void tri_thread_blocking_resume(tri_thread *thread, const tri_blocking_state *saved) {
  thread->sp = saved->sp;
  thread->alternate_low = thread->alternate_high = 0;
  copy_registers(thread->registers, saved->registers);
  atomic_store_explicit(&thread->state, saved->state, memory_order_seq_cst);
}

/* ---- the collector's side ---- */

bool tri_stop_init(int signal) {
  struct sigaction previous;
  if (!tri_os_install_handler(signal, on_stop_signal, &previous)) return false;
  tri_action_chain(signal, &previous);
  atomic_store_explicit(&stop.signal, signal, memory_order_release);
  return true;
}

/* Makes records for tasks that have none. False when there may be some it could not record. *sure: the listing was not
 * disturbed by threads that started or ended meanwhile. */
static bool learn_tasks(bool *sure) {
  if (!stop.tasks && !(stop.tasks = tri_meta_alloc(TRI_META_OTHER, MAX_TASKS * sizeof *stop.tasks))) return false;
  int count = tri_os_tasks(stop.tasks, MAX_TASKS);
  if (count > MAX_TASKS) return false;
  *sure = count == tri_os_task_count();
  for (int i = 0; i < count; i++) {
    int id = stop.tasks[i];
    if (tri_thread_find(id) || tri_thread_is_ours(id) || tri_os_task_is_kernel(id)) continue;
    if (!tri_thread_record(id)) return false;
  }
  return true;
}

/* False when it is gone. */
static bool send_signal(tri_thread *thread) {
  atomic_fetch_add_explicit(&thread->sent, 1, memory_order_release);
  return tri_os_signal_thread(thread->id, tri_stop_signal()) == 0;
}

/* The thread has ended without an answer. */
static void give_up(tri_thread *thread, uint32_t sequence) {
  thread->gone = true;
  if (answer(thread, sequence)) atomic_fetch_sub_explicit(&stop.missing, 1, memory_order_relaxed);
}

/* Signals a thread unless it counts as stopped. */
static void ask(tri_thread *thread, uint32_t sequence) {
  if (atomic_load_explicit(&thread->state, memory_order_seq_cst) == TRI_THREAD_BLOCKING) return;
  atomic_fetch_add_explicit(&stop.missing, 1, memory_order_relaxed);
  atomic_store_explicit(&thread->asked, sequence, memory_order_release);
  if (!send_signal(thread)) give_up(thread, sequence);
}

static bool was_asked(const tri_thread *thread, uint32_t sequence) {
  uint32_t asked = atomic_load_explicit(&thread->asked, memory_order_relaxed);
  return asked == sequence || asked == sequence + 1;
}

/* Asks every thread that was not asked yet. Returns how many there were. */
static int ask_all(uint32_t sequence) {
  int asked = 0;
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) {
    if (thread == stop.collector || thread->gone || was_asked(thread, sequence)) continue;
    ask(thread, sequence);
    asked += was_asked(thread, sequence);
  }
  return asked;
}

/* While a thread is missing, its handler may be looking for its record: no list may change then. */
static void forget_gone(void) {
  for (tri_thread *thread = tri_threads_first(), *next; thread; thread = next) {
    next = thread->next;
    if (thread->gone) tri_thread_forget(thread);
  }
}

/* Looks after the threads that have not answered: one that ended meanwhile is gone, others are signalled again. False
 * when one blocks the signal. */
static bool look_after_missing(uint32_t sequence) {
  bool all_can = true;
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) {
    if (thread->gone || !is_asked(thread, sequence)) continue;
    if (!send_signal(thread) || tri_os_task_is_kernel(thread->id)) {
      give_up(thread, sequence);
    } else if (tri_os_task_blocks(thread->id, tri_stop_signal())) {
      all_can = false;
    }
  }
  return all_can;
}

/* Waits until every asked thread stopped. A thread that ended between signal and answer would be waited for in vain, so
 * from time to time the missing are looked up. The C library blocks all signals for moments (pthread_create, fork):
 * only a thread that still does after TRIES looks is given up on. */
static bool wait_for_missing(uint32_t sequence) {
  uint64_t patience = FIRST_PATIENCE_NS;
  int tries = 0;
  for (int spins = 0;; spins++) {
    uint32_t missing = atomic_load_explicit(&stop.missing, memory_order_acquire);
    if (!missing) return true;
    if (spins < SPINS) {
      tri_os_relax();
      continue;
    }
    uint64_t before = tri_os_now();
    tri_os_wait(&stop.missing, missing, patience);
    if (tri_os_now() - before < patience) continue;
    if (!look_after_missing(sequence) && ++tries == TRIES) return false;
    if (patience < MAX_PATIENCE_NS) patience *= 2;
  }
}

static void release_all(void) {
  atomic_fetch_add_explicit(&stop.sequence, 1, memory_order_seq_cst);
  tri_os_wake(&stop.sequence, INT32_MAX);
}

/* New threads can only be started by threads that still run. So when everything known has stopped and the system lists
 * nothing unknown, all have stopped. */
static bool stop_everything(uint32_t sequence) {
  for (bool sure = false;;) {
    int asked = ask_all(sequence);
    if (!wait_for_missing(sequence)) return false;
    forget_gone();
    if (sure && !asked) return true;
    if (tri_os_task_count() == tri_threads_expected_tasks()) return true;
    if (!learn_tasks(&sure)) return false;
  }
}

/* Who answers at this moment has still to count itself. */
static void take_back(uint32_t sequence) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next)
    if (answer(thread, sequence)) atomic_fetch_sub_explicit(&stop.missing, 1, memory_order_relaxed);
  while (atomic_load_explicit(&stop.missing, memory_order_acquire)) tri_os_yield();
  atomic_store_explicit(&stop.unsettled, true, memory_order_relaxed);
}

bool tri_stop_begin(void) {
  tri_thread *self = tri_thread_known();
  tri_threads_lock();
  stop.collector = self;
  uint32_t sequence = atomic_fetch_add_explicit(&stop.sequence, 1, memory_order_seq_cst) + 1;
  TRI_ASSERT(sequence & 1);
  if (stop_everything(sequence)) return true;
  take_back(sequence);
  release_all();
  tri_threads_unlock();
  return false;
}

void tri_stop_end(void) {
  release_all();
  tri_threads_unlock();
}
