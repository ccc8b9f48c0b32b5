/* stop.c - stopping the program's threads by signal.
 *
 * A thread's state, and who changes it (regions: gc/blocking.c):
 *
 *   RUNNING  -> BLOCKING  the thread. tri_thread_blocking_enter; tri_thread_blocking_resume, after a handler. Release:
 *                         where its frames begin and its registers are seen by who holds it
 *   BLOCKING -> RUNNING   the thread. tri_thread_blocking_exit; tri_thread_blocking_leave, before a handler. Acquire
 *   BLOCKING -> HELD      the collector, in hold(). Acquire
 *   HELD     -> BLOCKING  the collector, in release_all(). Release: who leaves then sees what the stop has done
 *
 * The last three are by compare-and-swap or by the only one who may, so there is no moment in which a thread has left
 * its region and still counts as stopped, whatever handler interrupts it where: a thread that is RUNNING was not held,
 * and one that is held waits, in the region's end or in front of a handler, until it is let go.
 *
 * A stop. stop.sequence is odd while one is on. The collector makes it odd, and then sees to every thread: one that is
 * BLOCKING is held; any other is asked, by its word asked and a signal. Each of those answers once, from the handler
 * or, when stops are deferred, at the end of its slow path (tri_stop_park); whoever is in time to change asked from the
 * sequence to one more, by compare-and-swap, takes one from stop.missing: the thread, or the collector when the thread
 * has ended or the stop is given up. A thread that was asked may enter a region before the signal comes; it answers
 * from there, and what it wrote down at the region's beginning stands. The mark begins when nobody is missing and no
 * task of the process is unknown. In the end all are let go, then the sequence becomes even, which wakes both those
 * that answered and those that wait to leave a region: these read the sequence before they find themselves held, so
 * they do not sleep through it.
 *
 * Most stops are shorter than it takes to send a processor to sleep and to wake it. So who has answered keeps its
 * processor for a while, if there is one for it that nobody else wants, and the collector has no use for it
 * (tri_stop_stand_aside); only then it sleeps. The collector itself spins for moments only: those it waits for may be
 * behind it, on its processor.
 *
 * The collector's own thread blocks the program's signals from begin to end: a handler would run beside the mark.
 *
 * The program may use the stop signal too. Ours carry a value that says so (is_ours); the program's go to what it asked
 * for (gc/action.c). A thread holds one pending at most, so either may be lost in the other: threads that do not answer
 * are signalled again from time to time.
 *
 * Between tri_stop_begin and tri_stop_end nothing here or in the collector may call malloc, stdio or the loader: a
 * stopped thread may hold their locks. The handler allocates nothing, takes no lock and keeps errno.
 * tests/spin/stop.pml is a model of this page. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/fmt.h"
#include "gc/action.h"
#include "gc/fault.h"
#include "gc/thread.h"
#include "heap/heap.h"

enum {
  MAX_TASKS = 32768,
  SPINS = 2000,             /* a running thread answers within some 20 us */
  AWAKE_NS = 500 * 1000,    /* who waits for the end of a stop stays awake for so long */
  LOOKS = 16,               /* at the word waited for, between two looks at the clock */
  WAY_GIVEN_NS = 10 * 1000, /* when giving way takes so long, others want the processor */
  FIRST_PATIENCE_NS = 500 * 1000,
  MAX_PATIENCE_NS = 20 * 1000 * 1000,
  TRIES = 100,
  TRIES_AGAIN = TRIES / 10, /* for a thread that the last stop was given up for */
};

static struct {
  _Atomic(uint32_t) sequence; /* odd: a stop is on. Its release begins and ends one, pairs with acquires of waiters */
  /* Threads that have yet to stop. acq_rel when they do: their saved state is seen by the collector. Release when they
   * are asked: pairs with the acquire in attach_in_handler, whose record was made before. */
  _Atomic(uint32_t) missing;
  _Atomic(uint32_t) waking; /* those that stay awake while they wait for the end. Relaxed: only a limit */
  _Atomic(bool) aside;      /* they should sleep. Relaxed: how soon they see it does not matter */
  /* Threads that have answered and do not run yet; the last sets when that was. Release, pairs with the collector's
   * acquire at the end, which reads the time. */
  _Atomic(uint32_t) resting;
  _Atomic(uint64_t) resumed;
  _Atomic(int) signal; /* release when the rest is ready, pairs with tri_stop_signal */
  tri_thread *collector;
  uint64_t mask;     /* the collector's, of signals */
  uint64_t released; /* when the last one ended */
  int *tasks;        /* made when first needed */
  tri_stop_trouble trouble;
  int trouble_id, trouble_error;
  uint32_t said; /* bits of troubles */
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

static bool is_over(uint32_t sequence) {
  return atomic_load_explicit(&stop.sequence, memory_order_acquire) != sequence;
}

/* Not when others want the processor: then giving way takes long. */
static void stay_awake(uint32_t sequence) {
  uint64_t now = tri_os_now(), until = now + AWAKE_NS, before;
  do {
    for (int i = 0; i < LOOKS; i++) {
      if (is_over(sequence) || atomic_load_explicit(&stop.aside, memory_order_relaxed)) return;
      tri_os_relax();
    }
    before = tri_os_now();
    tri_os_yield();
    now = tri_os_now();
  } while (now < until && now - before < WAY_GIVEN_NS);
}

static void rest(uint32_t sequence) {
  int room = tri_os_processors() - 1; /* one is the collector's */
  if ((int)atomic_fetch_add_explicit(&stop.waking, 1, memory_order_relaxed) < room) stay_awake(sequence);
  atomic_fetch_sub_explicit(&stop.waking, 1, memory_order_relaxed);
  while (!is_over(sequence)) tri_os_wait(&stop.sequence, sequence, 0);
}

static void wait_for_end(tri_thread *thread, uint32_t sequence) {
  if (!answer(thread, sequence)) return;
  atomic_fetch_add_explicit(&stop.resting, 1, memory_order_relaxed);
  if (atomic_fetch_sub_explicit(&stop.missing, 1, memory_order_acq_rel) == 1) tri_os_wake(&stop.missing, 1);
  rest(sequence);
  atomic_store_explicit(&stop.resumed, tri_os_now(), memory_order_relaxed);
  atomic_fetch_sub_explicit(&stop.resting, 1, memory_order_release);
}

static void park_here(void *argument, uintptr_t sp) {
  tri_thread *thread = argument;
  uint32_t sequence = atomic_load_explicit(&stop.sequence, memory_order_acquire);
  thread->sp = sp;
  if (is_asked(thread, sequence)) wait_for_end(thread, sequence);
}

void tri_stop_await_end(uint32_t sequence) {
  tri_gate_look();
  tri_os_wait(&stop.sequence, sequence, 0);
}

uint32_t tri_stop_sequence(void) { return atomic_load_explicit(&stop.sequence, memory_order_acquire); }

void tri_stop_park(tri_thread *thread) {
  thread->alternate_low = thread->alternate_high = 0;
  tri_os_with_registers(park_here, thread);
}

/* A thread the registry did not know: the collector made its record before it signalled, and holds the lock for us. It
 * looks for the stack itself (tri_threads_find_stacks). Thread-local storage that is another thread's is left alone. */
static tri_thread *attach_in_handler(bool shares_tls) {
  (void)atomic_load_explicit(&stop.missing, memory_order_acquire);
  tri_thread *thread = tri_thread_find(tri_os_thread_id());
  if (!thread) return NULL;
  thread->thread_pointer = tri_os_thread_pointer();
  thread->shares_tls = shares_tls;
  if (!shares_tls) tri_cache_adopt(&thread->cache);
  return thread;
}

/* When no memory was left to queue what we said of it, the system delivers the signal without: then it is taken for one
 * of the program's, which sees one signal too many. */
static bool is_ours(const siginfo_t *info) { return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &stop; }

/* The stack pointer is below everything of interest: the signal frame with all registers lies above it. */
static void stop_here(tri_thread *thread, uint32_t sequence, uintptr_t sp, const void *context) {
  if (atomic_load_explicit(&thread->cache.defer, memory_order_relaxed)) {
    atomic_store_explicit(&thread->cache.stop_pending, 1, memory_order_relaxed);
    return;
  }
  /* What a thread in a region has written down stays: while this one is slow to wake, the next stop may hold it. */
  if (atomic_load_explicit(&thread->state, memory_order_relaxed) != TRI_THREAD_RUNNING) {
    wait_for_end(thread, sequence);
    return;
  }
  /* The signal may have met a thread that was entering a blocking region. */
  uintptr_t old_sp = thread->sp, old_low = thread->alternate_low, old_high = thread->alternate_high;
  tri_os_context_altstack(context, &thread->alternate_low, &thread->alternate_high);
  thread->sp = tri_fault_is(TRI_FAULT_REGISTER) ? tri_os_context_sp(context) : sp;
  wait_for_end(thread, sequence);
  thread->sp = old_sp;
  thread->alternate_high = old_high;
  thread->alternate_low = old_low;
}

static void on_stop_signal(int signal, siginfo_t *info, void *context) {
  int saved_errno = errno;
  uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
  uint32_t sequence = atomic_load_explicit(&stop.sequence, memory_order_acquire);
  tri_thread *thread = tri_thread_here();
  if (!thread && (sequence & 1)) thread = attach_in_handler(tri_thread_known() != NULL);
  if (thread && is_asked(thread, sequence)) stop_here(thread, sequence, sp, context);
  if (is_ours(info))
    tri_signals_seen.stops++;
  else
    tri_action_run_chained(signal, info, context);
  errno = saved_errno;
}

/* ---- the collector's side ---- */

bool tri_stop_init(int signal) {
  struct sigaction previous;
  if (!tri_os_install_handler(signal, on_stop_signal, &previous)) return false;
  tri_action_chain(signal, &previous);
  atomic_store_explicit(&stop.signal, signal, memory_order_release);
  return true;
}

void tri_stop_blame(tri_stop_trouble trouble, int id, int error) {
  if (stop.trouble) return;
  stop.trouble = trouble;
  stop.trouble_id = id;
  stop.trouble_error = error;
}

/* Lock held; what is said is said without it, for the write may block. */
static tri_stop_trouble take_trouble(int *id, int *error) {
  tri_stop_trouble trouble = stop.trouble;
  if (stop.said & 1u << trouble) trouble = TRI_TROUBLE_NONE;
  stop.said |= 1u << trouble;
  stop.trouble = TRI_TROUBLE_NONE;
  *id = stop.trouble_id;
  *error = stop.trouble_error;
  return trouble;
}

static void complain(tri_stop_trouble trouble, int id, int error) {
  static const char *const texts[] = {
      [TRI_TROUBLE_BLOCKED] = "blocks the stop signal",
      [TRI_TROUBLE_SIGNAL] = "cannot be sent the stop signal",
      [TRI_TROUBLE_UNSEEN] = "does not stop, and its status cannot be read from /proc",
      [TRI_TROUBLE_TASKS] = "the threads cannot be listed in /proc/self/task",
      [TRI_TROUBLE_MANY] = "there are more threads than can be listed",
      [TRI_TROUBLE_MAPPINGS] = "/proc/self/maps cannot be read",
      [TRI_TROUBLE_STACK] = "has a stack that /proc/self/maps does not show",
      [TRI_TROUBLE_MEMORY] = "no memory for its bookkeeping",
  };
  char who[32] = "", why[32] = "";
  if (!trouble) return;
  if (id) tri_format(who, sizeof who, "thread %d ", id);
  if (error) tri_format(why, sizeof why, " (errno %d)", error);
  tri_print("tricolor: collections are put off while this lasts: %s%s%s\n", who, texts[trouble], why);
}

/* Makes records for tasks that have none. False when there may be some it could not record. *sure: the listing was not
 * disturbed by threads that started or ended meanwhile. */
static bool learn_tasks(bool *sure) {
  if (!stop.tasks) stop.tasks = tri_meta_alloc(TRI_META_OTHER, MAX_TASKS * sizeof *stop.tasks);
  int count = stop.tasks ? tri_os_tasks(stop.tasks, MAX_TASKS) : 0;
  if (!stop.tasks)
    tri_stop_blame(TRI_TROUBLE_MEMORY, 0, 0);
  else if (count == 0)
    tri_stop_blame(TRI_TROUBLE_TASKS, 0, errno);
  else if (count > MAX_TASKS)
    tri_stop_blame(TRI_TROUBLE_MANY, 0, 0);
  if (count == 0 || count > MAX_TASKS) return false;
  *sure = count == tri_os_task_count();
  for (int i = 0; i < count; i++) {
    int id = stop.tasks[i];
    if (tri_thread_find(id) || tri_thread_is_ours(id) || tri_os_task_is_kernel(id) == TRI_OS_YES ||
        tri_thread_is_leaving(id))
      continue;
    if (!tri_thread_record(id)) {
      tri_stop_blame(TRI_TROUBLE_MEMORY, 0, 0);
      return false;
    }
  }
  return true;
}

/* 0, ESRCH when it is gone, or another errno, with which it is there: EAGAIN when too many real-time signals wait. */
static int send_signal(tri_thread *thread) {
  int error = tri_os_signal_thread_value(thread->id, tri_stop_signal(), &stop);
  if (!error) atomic_fetch_add_explicit(&thread->sent, 1, memory_order_relaxed);
  return error;
}

/* The thread has ended without an answer, or will, or is one of our own. */
static void give_up(tri_thread *thread, uint32_t sequence) {
  thread->gone = true;
  if (answer(thread, sequence)) atomic_fetch_sub_explicit(&stop.missing, 1, memory_order_relaxed);
}

/* Whether the thread is in a blocking region, and cannot leave it now before release_all. */
static bool hold(tri_thread *thread) {
  uint32_t state = TRI_THREAD_BLOCKING;
  bool held = atomic_compare_exchange_strong_explicit(&thread->state, &state, TRI_THREAD_HELD, memory_order_acquire,
                                                      memory_order_relaxed);
  return held || state == TRI_THREAD_HELD;
}

/* Signals a thread unless it can be held. */
static void ask(tri_thread *thread, uint32_t sequence) {
  if (hold(thread)) return;
  atomic_fetch_add_explicit(&stop.missing, 1, memory_order_release);
  atomic_store_explicit(&thread->asked, sequence, memory_order_release);
  if (send_signal(thread) == ESRCH) give_up(thread, sequence);
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

/* Nobody is missing. While a thread is, its handler may be looking for its record: no list may change then. */
static void forget_gone(void) {
  for (tri_thread *thread = tri_threads_first(), *next; thread; thread = next) {
    next = thread->next;
    thread->stuck = false;
    if (thread->gone) tri_thread_forget(thread);
  }
}

/* Whether a thread that has not answered, and is there, never will as things are. */
static tri_stop_trouble trouble_with(const tri_thread *thread, tri_os_answer is_kernel) {
  tri_os_answer blocks = tri_os_task_blocks(thread->id, tri_stop_signal());
  if (blocks == TRI_OS_YES) return TRI_TROUBLE_BLOCKED;
  return blocks == TRI_OS_UNKNOWN || is_kernel == TRI_OS_UNKNOWN ? TRI_TROUBLE_UNSEEN : TRI_TROUBLE_NONE;
}

/* Looks after the threads that have not answered: one that ended meanwhile is gone, others are signalled again. Returns
 * how many such looks in vain are enough to give the stop up: 0 when everybody can be expected to answer. */
static int look_after_missing(uint32_t sequence) {
  int enough = 0;
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) {
    if (thread->gone || !is_asked(thread, sequence)) continue;
    tri_os_answer is_kernel = tri_os_task_is_kernel(thread->id);
    int error = send_signal(thread);
    if (error == ESRCH || is_kernel == TRI_OS_YES || tri_thread_is_leaving(thread->id) ||
        tri_thread_is_ours(thread->id))
      give_up(thread, sequence);
    else if ((error || trouble_with(thread, is_kernel) != TRI_TROUBLE_NONE) && enough < TRIES)
      enough = thread->stuck ? TRIES_AGAIN : TRIES;
  }
  return enough;
}

/* The stop is given up: for which thread, and which to have less patience with the next time. */
static void blame_missing(uint32_t sequence) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) {
    bool missing = !thread->gone && is_asked(thread, sequence);
    int error = missing ? send_signal(thread) : 0;
    tri_stop_trouble trouble = missing ? trouble_with(thread, TRI_OS_NO) : TRI_TROUBLE_NONE;
    if (trouble == TRI_TROUBLE_UNSEEN) error = errno;
    if (trouble == TRI_TROUBLE_NONE && error) trouble = TRI_TROUBLE_SIGNAL;
    thread->stuck = trouble != TRI_TROUBLE_NONE;
    if (thread->stuck) tri_stop_blame(trouble, thread->id, trouble == TRI_TROUBLE_BLOCKED ? 0 : error);
  }
}

/* Waits until every asked thread stopped. A thread that ended between signal and answer would be waited for in vain, so
 * from time to time the missing are looked up. The C library blocks all signals for moments (pthread_create, fork):
 * only a thread that still does after so many looks is given up on. */
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
    int enough = look_after_missing(sequence);
    if (enough && ++tries >= enough) {
      blame_missing(sequence);
      return false;
    }
    if (patience < MAX_PATIENCE_NS) patience *= 2;
  }
}

/* Who was held is let go before the sequence wakes him. */
static void release_all(void) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next)
    if (atomic_load_explicit(&thread->state, memory_order_relaxed) == TRI_THREAD_HELD)
      atomic_store_explicit(&thread->state, TRI_THREAD_BLOCKING, memory_order_release);
  atomic_fetch_add_explicit(&stop.sequence, 1, memory_order_release);
  stop.released = tri_os_now();
  tri_os_wake(&stop.sequence, INT32_MAX);
  atomic_store_explicit(&stop.aside, false, memory_order_relaxed);
}

/* New threads can only be started by threads that still run, or that are held in pthread_create: those wait for the end
 * of the stop before they run the program's code (api/interpose_threads.c). So when everything known has stopped and
 * the system lists nothing unknown, all have stopped. */
static bool stop_everything(uint32_t sequence) {
  for (bool sure = false;;) {
    int asked = ask_all(sequence);
    if (!wait_for_missing(sequence)) return false;
    forget_gone();
    if (sure && !asked) return true;
    int expected = tri_threads_expected_tasks();
    if (tri_os_task_count() == expected) return true;
    if (!learn_tasks(&sure)) return false;
  }
}

/* Who answers at this moment has still to count itself. */
static void take_back(uint32_t sequence) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next)
    if (answer(thread, sequence)) atomic_fetch_sub_explicit(&stop.missing, 1, memory_order_relaxed);
  while (atomic_load_explicit(&stop.missing, memory_order_acquire)) tri_os_yield();
}

/* When everybody runs again, as far as that is known by now. */
static uint64_t time_resumed(void) {
  uint64_t now = tri_os_now();
  if (atomic_load_explicit(&stop.resting, memory_order_acquire)) return now;
  uint64_t resumed = atomic_load_explicit(&stop.resumed, memory_order_relaxed);
  return resumed > stop.released ? resumed : stop.released;
}

static void finish(void) {
  int id, error;
  uint64_t mask = stop.mask;
  release_all();
  tri_stop_trouble trouble = take_trouble(&id, &error);
  tri_threads_unlock();
  tri_os_unblock_signals(mask);
  complain(trouble, id, error);
}

bool tri_stop_begin(void) {
  tri_thread *self = tri_thread_known();
  tri_threads_lock();
  TRI_ASSERT(self || tri_thread_is_ours(tri_os_thread_id())); /* or it would stop itself */
  stop.collector = self;
  stop.mask = tri_os_block_signals();
  uint32_t sequence = atomic_fetch_add_explicit(&stop.sequence, 1, memory_order_release) + 1;
  TRI_ASSERT(sequence & 1);
  if (stop_everything(sequence)) return true;
  take_back(sequence);
  finish();
  return false;
}

uint64_t tri_stop_end(void) {
  finish();
  return time_resumed();
}

void tri_stop_stand_aside(void) { atomic_store_explicit(&stop.aside, true, memory_order_relaxed); }

/* ---- fork ---- */

void tri_stop_after_fork_child(tri_thread *self) {
  uint32_t sequence = atomic_load_explicit(&stop.sequence, memory_order_relaxed), state = TRI_THREAD_HELD;
  atomic_store_explicit(&stop.sequence, (sequence + 1) & ~1u, memory_order_relaxed);
  atomic_store_explicit(&stop.missing, 0, memory_order_relaxed);
  atomic_store_explicit(&stop.resting, 0, memory_order_relaxed);
  atomic_store_explicit(&stop.waking, 0, memory_order_relaxed);
  stop.trouble = TRI_TROUBLE_NONE;
  if (!self) return;
  atomic_compare_exchange_strong_explicit(&self->state, &state, TRI_THREAD_BLOCKING, memory_order_relaxed,
                                          memory_order_relaxed);
}
