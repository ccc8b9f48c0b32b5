/* cycle.c - the story of one collection, and who makes it.
 *
 *  1. A thread notices the need: the heap has grown to its trigger, the program asks, memory has run out, or the last
 *     full collection was long ago, which the collector's own thread looks after.
 *  2. When the heap has grown and a mark can be made beside the program, the collector's own thread is woken, and the
 *     thread goes on. In all other cases the thread makes the collection itself and has it finished when it returns.
 *  3. Who makes it visits the loader (its lock is taken first, so that no stopped thread holds it), takes the cycle
 *     lock inside that visit, and goes through the phases (gc/collection.c): begin, mark, advance, mark, advance ...
 *     until what can be reached is marked. It holds the locks only for begin and advance, so that others
 *     may load libraries, fork and read figures while it marks.
 *     Whoever comes along at such a moment and wants more of a collection than its
 *     maker takes over, by the turn at marking (gc/work.h), and its maker then finds that somebody has done its work.
 *  4. The epoch has moved on. Spans are swept when they are wanted, by the background thread, or, after tri_gc, at
 *     once.
 *
 * Locks: the loader's, then TRI_RANK_CYCLE, TRI_RANK_SWEEP from what is left to be swept to the end of the stop that
 * moves the epoch (released while the mark runs beside the program), TRI_RANK_REGISTRY for each stop. Follows
 * runtime/mgc.go. */
#include "gc/cycle.h"

#include <string.h>

#include "base/fmt.h"
#include "gc/collection.h"
#include "gc/mark.h"
#include "gc/pacing.h"
#include "gc/sweep.h"

enum {
  FORK_WAIT_NS = 20 * 1000,
  FORK_LOOKS = 2000,
  WAIT_NS = 1000 * 1000, /* of a thread that allocates beyond the limit, for the collector, and how often over */
  WAITS = 50,
  WIPED_WORDS = 1024, /* more than a marker's frames hold */
};

static struct {
  tri_lock lock;
  _Atomic(uint32_t) forking;     /* no collection may begin; a futex word. seq_cst against entering: see enter */
  _Atomic(uint32_t) entering;    /* threads that may hold the loader's lock for a collection, or wait for it */
  _Atomic(uint32_t) visiting;    /* those of them that are known to hold it. Relaxed: it is only waited for */
  _Atomic(const char *) why_off; /* no collections, and why; NULL: there are. Relaxed: set while there is one thread */
  /* futex word: the last that ended, by its number (begun); acquire pairs with release at its end */
  _Atomic(uint32_t) ended;
  _Atomic(uint32_t) helping;    /* threads that wait because the heap is over its limit. Relaxed */
  _Atomic(uint32_t) full_ended; /* the last full one, or given up; as ended */
  _Atomic(uint32_t) wanted;     /* futex word: collections asked of the collector's thread. Release, acquire */
  _Atomic(bool) is_wanted;      /* and it has not begun; relaxed: it only spares asking again */
  _Atomic(uint32_t) progress;   /* futex word: steps made. Release, acquire */
  _Atomic(bool) started;        /* the collector's thread */
  _Atomic(uint32_t) marks;      /* the turn of who marks beside the program; 0: nobody. Relaxed */
  void (*observer)(const tri_cycle_report *);
  _Atomic(uint32_t) since_collection; /* gcevery's count */
  _Atomic(uint64_t) begun, over;      /* collections; written under the lock, acquire pairs with release: see counts */
  _Atomic(uint64_t) full_ended_at;    /* when that was; 0: none has. Relaxed */
  uint64_t period;                    /* after that, when there is another one */
} cycle TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_CYCLE)};

/* This thread's part in the above: what is left of the counts in a fork's child. */
static _Thread_local volatile struct { bool entered, visits, paused; } own __attribute__((tls_model("initial-exec")));

/* ---- the record ---- */

/* The cycle lock is waited for without deferring stops: its holder may be about to stop this thread. Nobody can be
 * stopped while he holds it, for only its holder stops others. A thread that forks has it already. */
static void lock_record(void) {
  TRI_ASSERT(own.paused || !tri_thread_defers_stops());
  if (own.paused) return;
  tri_gate_look();
  tri_thread_busy_begin();
  tri_lock_take(&cycle.lock);
}

static void unlock_record(void) {
  if (own.paused) return;
  tri_lock_drop(&cycle.lock);
  tri_thread_busy_end();
}

int tri_cycle_set_percent(int percent) {
  lock_record();
  int before = tri_collection_set_percent(percent);
  unlock_record();
  return before;
}

tri_cycle_history tri_cycle_read_history(void) {
  lock_record();
  tri_cycle_history history = tri_collection_history();
  unlock_record();
  return history;
}

/* One that is seen to be over is seen to have begun: never more are over. */
void tri_cycle_counts(uint64_t *begun, uint64_t *over) {
  *over = atomic_load_explicit(&cycle.over, memory_order_acquire);
  *begun = atomic_load_explicit(&cycle.begun, memory_order_relaxed);
}

/* After whatever may have ended one: under the lock none is on that does not mark. */
static void note_over(void) {
  if (tri_collection_is_marking()) return;
  atomic_store_explicit(&cycle.over, atomic_load_explicit(&cycle.begun, memory_order_relaxed), memory_order_release);
}

/* ---- forks ---- */

/* The child of a fork would find the loader's lock held for ever, had another thread held it. So a fork waits until no
 * thread is on its way into a collection, and lets none enter. The program may ask for a collection while it holds the
 * loader's lock itself (in a dl_iterate_phdr callback), so one that is not asked for by name is left out rather than
 * waited for. */
static void note_enters(bool enters) {
  tri_thread *self = tri_thread_known();
  if (self) atomic_store_explicit(&self->enters, enters, memory_order_relaxed);
}

static void come_in(void) {
  tri_thread_busy_begin();
  own.entered = true;
  note_enters(true);
  atomic_signal_fence(memory_order_seq_cst);
  atomic_fetch_add_explicit(&cycle.entering, 1, memory_order_seq_cst);
}

static void leave(void) {
  if (own.visits) atomic_fetch_sub_explicit(&cycle.visiting, 1, memory_order_relaxed);
  own.visits = false;
  atomic_fetch_sub_explicit(&cycle.entering, 1, memory_order_seq_cst);
  atomic_signal_fence(memory_order_seq_cst);
  own.entered = false;
  note_enters(false);
  tri_thread_busy_end();
}

static bool enter(tri_cycle_reason reason) {
  for (;;) {
    come_in();
    if (!atomic_load_explicit(&cycle.forking, memory_order_seq_cst)) return true;
    leave();
    if (reason != TRI_CYCLE_FORCED) return false;
    while (atomic_load_explicit(&cycle.forking, memory_order_seq_cst)) tri_os_wait(&cycle.forking, 1, 0);
  }
}

bool tri_cycle_is_off(void) { return atomic_load_explicit(&cycle.why_off, memory_order_relaxed) != NULL; }

static void say_why_off(void) {
  static _Atomic(bool) said TRI_OWN_DATA; /* relaxed: it stands alone */
  if (atomic_exchange_explicit(&said, true, memory_order_relaxed)) return;
  tri_print("tricolor: no collections in this process: it was forked %s\n",
            atomic_load_explicit(&cycle.why_off, memory_order_relaxed));
}

/* Whether those on their way into a collection need only be given time: the loader's lock is free, or one of them has
 * it, who may not have come to say so yet. Not known: no. */
static bool can_enter(int holder) {
  if (atomic_load_explicit(&cycle.visiting, memory_order_relaxed) || holder == 0) return true;
  if (holder < 0) return false;
  tri_threads_lock();
  const tri_thread *thread = tri_thread_find(holder);
  bool enters = thread ? atomic_load_explicit(&thread->enters, memory_order_relaxed) : tri_thread_is_ours(holder);
  tri_threads_unlock();
  return enters;
}

/* The loader's lock may be held by the very thread that forks, in a dl_iterate_phdr callback, and threads wait for it
 * that cannot be told to give up. So may another thread that is in such a callback, or loads a library, and who knows
 * whether it does not wait for this one: it is not waited for long. Those that wait for it are left waiting, which is
 * all right in the parent; but in the child the lock may be nobody's. */
static bool await_entering(void) {
  for (int looks = 0; atomic_load_explicit(&cycle.entering, memory_order_seq_cst); looks++) {
    int holder = tri_os_loader_holder();
    if (can_enter(holder)) looks = 0;
    if (looks == FORK_LOOKS || holder == tri_os_thread_id()) return false;
    tri_os_sleep(FORK_WAIT_NS);
  }
  return true;
}

bool tri_cycle_pause(void) {
  uint32_t free = 0;
  while (
      !atomic_compare_exchange_strong_explicit(&cycle.forking, &free, 1, memory_order_seq_cst, memory_order_seq_cst)) {
    tri_os_wait(&cycle.forking, 1, 0); /* another thread forks */
    free = 0;
  }
  bool loader_is_free = await_entering();
  tri_lock_take(&cycle.lock);
  own.paused = true;
  return loader_is_free;
}

void tri_cycle_resume(void) {
  own.paused = false;
  tri_lock_drop(&cycle.lock);
  atomic_store_explicit(&cycle.forking, 0, memory_order_seq_cst);
  tri_os_wake(&cycle.forking, INT32_MAX);
}

/* Relaxed: there is one thread. */
void tri_cycle_after_fork_child(const char *why_not) {
  atomic_store_explicit(&cycle.entering, own.entered, memory_order_relaxed);
  atomic_store_explicit(&cycle.visiting, own.visits, memory_order_relaxed);
  if (why_not) atomic_store_explicit(&cycle.why_off, why_not, memory_order_relaxed);
  atomic_store_explicit(&cycle.started, false, memory_order_relaxed);
  atomic_store_explicit(&cycle.is_wanted, false, memory_order_relaxed);
  atomic_store_explicit(&cycle.marks, 0, memory_order_relaxed);
  atomic_store_explicit(&cycle.helping, 0, memory_order_relaxed);
  tri_collection_after_fork_child(why_not != NULL);
  note_over();
  tri_lock_after_fork_child(&cycle.lock, own.paused);
  if (own.paused) return;
  atomic_store_explicit(&cycle.forking, 0, memory_order_relaxed);
}

/* ---- a visit: the locks, and a step under them ---- */

/* What somebody wants: that the collection of this number has ended, or a later one; a full one, unless growth is the
 * reason. */
typedef struct tri_visit {
  tri_thread *self; /* NULL: the collector's thread */
  tri_cycle_reason reason;
  uint32_t target;
  bool may_leave; /* what cannot be done in one stop */
  bool complete;  /* what the loader showed is noted */
  tri_collection_status status;
  uint32_t turn;           /* when MARKING */
  tri_cycle_report report; /* when DONE */
} tri_visit;

/* Called by the loader before it shows anything. */
static bool begin_visit(void *argument) {
  tri_visit *visit = argument;
  own.visits = true;
  atomic_signal_fence(memory_order_seq_cst);
  atomic_fetch_add_explicit(&cycle.visiting, 1, memory_order_relaxed);
  tri_lock_take(&cycle.lock);
  if (visit->self) tri_cache_defer(&visit->self->cache);
  tri_roots_forget_modules();
  visit->complete = true;
  return true;
}

static void note_data(void *argument, tri_os_range range) {
  tri_visit *visit = argument;
  visit->complete = visit->complete && tri_roots_note_data(range);
}

static void note_tls(void *argument, size_t module_id, size_t size) {
  tri_visit *visit = argument;
  visit->complete = visit->complete && tri_roots_note_tls(module_id, size);
}

static uint32_t last_ended(tri_cycle_reason reason) {
  return atomic_load_explicit(reason == TRI_CYCLE_GROWTH ? &cycle.ended : &cycle.full_ended, memory_order_acquire);
}

static bool is_served(const tri_visit *visit) { return (int32_t)(last_ended(visit->reason) - visit->target) >= 0; }

static void count_end(const tri_visit *visit) {
  bool failed = visit->status == TRI_COLLECTION_FAILED;
  if (!failed && visit->status != TRI_COLLECTION_DONE) return;
  uint32_t number = (uint32_t)atomic_load_explicit(&cycle.begun, memory_order_relaxed);
  atomic_store_explicit(&cycle.ended, number, memory_order_release);
  tri_os_wake(&cycle.ended, INT32_MAX);
  if (!failed && visit->report.young) return;
  atomic_store_explicit(&cycle.full_ended, number, memory_order_release);
  atomic_store_explicit(&cycle.full_ended_at, tri_os_now(), memory_order_relaxed);
}

/* Who comes while another marks lets him: if they took the turn from each other, neither would get on. A fork has taken
 * it when it is not the one that is marked by. */
static bool is_left_to_marker(void) {
  return atomic_load_explicit(&cycle.marks, memory_order_relaxed) == tri_collection_turn();
}

/* The next step to what is wanted, be it of a collection that somebody else has begun. off: since it entered, in the
 * child of a fork that a handler made. */
static tri_collection_status step(tri_visit *visit) {
  if (tri_cycle_is_off() || is_served(visit)) return TRI_COLLECTION_NONE;
  if (!visit->complete) {
    tri_collection_drop();
    tri_pacing_put_off();
    return TRI_COLLECTION_FAILED;
  }
  if (tri_collection_is_marking()) return is_left_to_marker() ? TRI_COLLECTION_NONE : tri_collection_advance();
  atomic_store_explicit(&cycle.is_wanted, false, memory_order_relaxed);
  atomic_fetch_add_explicit(&cycle.begun, 1, memory_order_relaxed);
  return tri_collection_begin(visit->reason);
}

static void note_progress(void) {
  atomic_fetch_add_explicit(&cycle.progress, 1, memory_order_release);
  tri_os_wake(&cycle.progress, INT32_MAX);
}

static void take_step(void *argument) {
  tri_visit *visit = argument;
  visit->status = step(visit);
  note_over();
  visit->turn = tri_collection_turn();
  if (visit->status == TRI_COLLECTION_MARKING) atomic_store_explicit(&cycle.marks, visit->turn, memory_order_relaxed);
  if (visit->status == TRI_COLLECTION_DONE) visit->report = *tri_collection_report();
  count_end(visit);
  if (visit->self) tri_cache_undefer(&visit->self->cache);
  tri_lock_drop(&cycle.lock);
  note_progress();
}

/* The frames of the collecting thread that are looked into begin where it spilled its registers. */
static void make_visit(void *argument, uintptr_t sp) {
  tri_visit *visit = argument;
  tri_os_module_visitor visitor = {
      .begin = begin_visit, .data = note_data, .tls = note_tls, .end = take_step, .argument = visit};
  if (visit->self) {
    visit->self->sp = sp;
    visit->self->alternate_low = visit->self->alternate_high = 0;
  }
  tri_os_visit_modules(&visitor);
  leave();
}

/* ---- after a collection ---- */

/* What the heap keeps from the system for the next cycle: a tenth over its goal, or over what is in use, for that may
 * not be swept yet (runtime/mgcscavenge.go: gcPaceScavenger). */
static size_t retain(const tri_cycle_report *report, size_t in_use) {
  size_t basis = tri_max(report->next_goal == PTRDIFF_MAX ? report->heap_before : report->next_goal, in_use);
  return basis + basis / 10;
}

/* The threads that are there to help, for a heap of so many bytes. By a thread of the program, not while it defers
 * stops: to start a thread takes the registry's lock, whose holder may be about to stop it. And not by our own, to
 * which the C library would give an arena of malloc's for what it allocates then. */
static void start_helpers(size_t bytes) {
  tri_sweep_start();
  tri_mark_start_helpers(bytes);
}

static void collector_main(void *unused);

/* By a thread of the program, as above. False when there is no such thread and cannot be. */
static bool start_collector(void) {
  bool started = atomic_exchange_explicit(&cycle.started, true, memory_order_relaxed);
  if (started || tri_thread_start_own(collector_main, NULL, "tricolor-gc")) return true;
  atomic_store_explicit(&cycle.started, false, memory_order_relaxed);
  return false;
}

static void see_to_the_rest(const tri_visit *visit) {
  const tri_cycle_report *report = &visit->report;
  if (visit->self) {
    start_helpers(report->marked);
    (void)start_collector(); /* it sees to it that there is another one, some time */
  }
  tri_sweep_in_background(retain(report, report->heap_in_use));
  if (cycle.observer) cycle.observer(report);
}

/* ---- making collections ---- */

static void end_marking(uint32_t turn) {
  atomic_compare_exchange_strong_explicit(&cycle.marks, &turn, 0, memory_order_relaxed, memory_order_relaxed);
  note_progress();
}

/* Marks beside the program. A stop by somebody else ends the session first, so it does not wait long for a thread that
 * defers it here. */
static void mark_beside(const tri_visit *visit) {
  tri_thread *self = visit->self;
  if (self) {
    tri_thread_busy_begin();
    tri_cache_defer(&self->cache);
  }
  bool by_name = visit->reason != TRI_CYCLE_GROWTH && visit->reason != TRI_CYCLE_PERIOD;
  tri_collection_mark(visit->turn, by_name);
  end_marking(visit->turn);
  if (!self) return;
  tri_cache_undefer(&self->cache);
  tri_thread_busy_end();
}

/* Who marks leaves addresses of objects behind, in frames that are gone. Where its next frames lie over them and it is
 * stopped, what these do not write would be taken for pointers (Boehm, "Bounding space usage of conservative garbage
 * collectors", 2002). */
TRI_NOINLINE static void wipe_stack(void) {
  uintptr_t area[WIPED_WORDS];
  memset(area, 0, sizeof area);
  __asm__ volatile("" : : "r"(area) : "memory");
}

static bool help_fully(tri_thread *self) {
  tri_cache_defer(&self->cache);
  bool helped = tri_collection_assist_fully();
  wipe_stack();
  tri_cache_undefer(&self->cache);
  return helped;
}

/* For the next step after `seen` of progress; a thread of the program helps as long as it can. */
static void wait_for_step(tri_thread *self, uint32_t seen) {
  if (self && help_fully(self)) return;
  bool region = self && tri_thread_blocking_enter(self);
  tri_os_wait(&cycle.progress, seen, WAIT_NS);
  if (region) tri_thread_blocking_exit(self);
}

/* While another marks. */
static void wait_for_marker(const tri_visit *visit) {
  uint32_t turn = atomic_load_explicit(&cycle.marks, memory_order_relaxed);
  while (turn && !is_served(visit)) {
    uint32_t seen = atomic_load_explicit(&cycle.progress, memory_order_acquire);
    if (atomic_load_explicit(&cycle.marks, memory_order_relaxed) != turn) return;
    wait_for_step(visit->self, seen);
  }
}

/* False when there is no such thread and cannot be. */
static bool wake_collector(void) {
  start_helpers(tri_pacing_live());
  if (!start_collector()) {
    atomic_store_explicit(&cycle.is_wanted, false, memory_order_relaxed);
    return false;
  }
  atomic_fetch_add_explicit(&cycle.wanted, 1, memory_order_release);
  tri_os_wake(&cycle.wanted, 1);
  return true;
}

static bool ask_collector(void) {
  return atomic_exchange_explicit(&cycle.is_wanted, true, memory_order_relaxed) || wake_collector();
}

/* A thread that has begun what should have been done in one stop, and was not, leaves the rest to the collector. It
 * must be woken even if it was asked before: it may have seen that there was nothing to do. */
static bool is_handed_over(const tri_visit *visit) {
  if (!visit->may_leave) return false;
  end_marking(visit->turn);
  return wake_collector();
}

/* Until what is wanted is there, or cannot be had. */
static void drive(tri_visit *visit) {
  while (!is_served(visit)) {
    if (!enter(visit->self ? visit->reason : TRI_CYCLE_FORCED)) {
      if (tri_collection_is_marking()) (void)wake_collector(); /* the fork has ended the marking, too */
      return;
    }
    tri_os_with_registers(make_visit, visit);
    switch (visit->status) {
    case TRI_COLLECTION_MARKING:
      if (is_handed_over(visit)) return;
      mark_beside(visit);
      break;
    case TRI_COLLECTION_DONE: see_to_the_rest(visit); break;
    case TRI_COLLECTION_NONE:
      if (visit->may_leave) return; /* it is served, or another marks */
      wait_for_marker(visit);
      break;
    case TRI_COLLECTION_FAILED: return;
    }
    if (tri_cycle_is_off()) return;
  }
}

/* One is made now and then though nothing asks for it: what a program lets go and never allocates again is still given
 * back (runtime/proc.go: forcegchelper). Not while the percentage is off. */
static bool is_due(void) {
  uint64_t ended_at = atomic_load_explicit(&cycle.full_ended_at, memory_order_relaxed);
  return !tri_cycle_is_off() && tri_pacing_is_due(cycle.period, ended_at, tri_os_now());
}

/* It is looked again then: the percentage may have been changed. */
static uint64_t until_due(void) {
  uint64_t ended_at = atomic_load_explicit(&cycle.full_ended_at, memory_order_relaxed), now = tri_os_now();
  uint64_t due = ended_at + cycle.period + 1;
  return ended_at && now < due ? due - now : cycle.period;
}

/* What ends after it was found to be needed will do. */
static bool collect_by_collector(tri_cycle_reason reason) {
  tri_visit visit = {.reason = reason, .status = TRI_COLLECTION_NONE, .target = last_ended(reason) + 1};
  bool asked = tri_heap_wants_collection() || tri_collection_is_marking();
  bool needed = reason == TRI_CYCLE_PERIOD ? is_due() : asked && !tri_cycle_is_off();
  if (needed) drive(&visit);
  return needed;
}

static void collector_main(void *unused) {
  (void)unused;
  uint32_t served = 0;
  for (;;) {
    uint32_t wanted = atomic_load_explicit(&cycle.wanted, memory_order_acquire);
    if (wanted != served) {
      served = wanted;
      (void)collect_by_collector(TRI_CYCLE_GROWTH);
      atomic_store_explicit(&cycle.is_wanted, false, memory_order_relaxed);
    } else if (!collect_by_collector(TRI_CYCLE_PERIOD)) {
      tri_os_wait(&cycle.wanted, served, until_due());
    }
  }
}

/* A stop by a fork need not wait for all of it: between two batches no span is in hand. */
static void sweep_all(tri_cache *cache, const tri_cycle_report *report) {
  bool more;
  size_t in_use;
  do {
    tri_cache_defer(cache);
    more = tri_sweep_batch();
    in_use = tri_page_heap_read().used_bytes;
    tri_cache_undefer(cache);
  } while (more);
  tri_sweep_settle();
  tri_sweep_in_background(retain(report, in_use));
}

/* One that has begun before it was asked for by name does not do: it may know less than there is garbage by now. */
static uint32_t target_for(tri_cycle_reason reason) {
  bool forced = reason == TRI_CYCLE_FORCED;
  return 1 + (forced ? (uint32_t)atomic_load_explicit(&cycle.begun, memory_order_relaxed) : last_ended(reason));
}

static bool run(tri_cycle_reason reason, bool may_leave) {
  tri_gate_look();
  tri_thread *self = tri_thread_self();
  if (!self || tri_thread_busy) return false;
  TRI_ASSERT(!tri_thread_defers_stops());
  if (tri_cycle_is_off()) {
    say_why_off();
    tri_pacing_put_off();
    return false;
  }
  tri_visit visit = {.reason = reason, .self = self, .may_leave = may_leave, .status = TRI_COLLECTION_NONE};
  visit.target = target_for(reason);
  drive(&visit);
  wipe_stack();
  bool served = is_served(&visit) && visit.status != TRI_COLLECTION_FAILED;
  if (served && reason != TRI_CYCLE_GROWTH) sweep_all(&self->cache, &visit.report);
  return served;
}

bool tri_cycle_run(tri_cycle_reason reason) { return run(reason, false); }

/* ---- hooks for the heap ---- */

/* Without a collector's thread a mark may be in nobody's hands: it was begun by a thread that allocates, and a fork has
 * ended its session. The next one to come takes it up. */
static bool is_mark_seen_to(void) {
  return atomic_load_explicit(&cycle.started, memory_order_relaxed) || tri_thread_busy ||
         atomic_load_explicit(&cycle.marks, memory_order_relaxed) != 0;
}

static bool is_left_to_collector(void) {
  if (tri_collection_is_marking()) return is_mark_seen_to();
  return tri_collection_is_concurrent() && !tri_collection_is_short() && !tri_cycle_is_off() && !tri_thread_busy &&
         ask_collector();
}

static bool collect_for_memory(void) { return tri_cycle_run(TRI_CYCLE_MEMORY); }

/* The collector waits for the loader's lock, which the calling thread may hold. */
static bool collector_is_held_up(void) {
  return atomic_load_explicit(&cycle.entering, memory_order_relaxed) >
         atomic_load_explicit(&cycle.visiting, memory_order_relaxed);
}

static bool is_collector_at_work(void) {
  return tri_collection_is_marking() || atomic_load_explicit(&cycle.is_wanted, memory_order_relaxed);
}

static void wait_and_help(tri_thread *self) {
  for (int i = 0; i < WAITS && tri_pacing_is_over_limit(); i++) {
    uint32_t seen = atomic_load_explicit(&cycle.progress, memory_order_acquire);
    if (!is_collector_at_work() || (i && collector_is_held_up())) return;
    wait_for_step(self, seen);
  }
}

static void wait_for_end(tri_thread *self) {
  uint32_t seen = atomic_load_explicit(&cycle.ended, memory_order_acquire);
  if (!tri_pacing_is_over_limit() || !is_collector_at_work() || collector_is_held_up()) return;
  bool region = tri_thread_blocking_enter(self);
  tri_os_wait(&cycle.ended, seen, WAITS * (uint64_t)WAIT_NS);
  if (region) tri_thread_blocking_exit(self);
}

/* The heap has outgrown its goal by so much that who allocates waits for the collection: as long as it gets on, and not
 * for ever. As many help as there are processors. A thousand that looked for work would take the processors from who
 * has it: such a mark took half a minute. */
static void wait_for_collector(tri_thread *self) {
  if (atomic_fetch_add_explicit(&cycle.helping, 1, memory_order_relaxed) < (uint32_t)tri_os_processors())
    wait_and_help(self);
  else
    wait_for_end(self);
  atomic_fetch_sub_explicit(&cycle.helping, 1, memory_order_relaxed);
}

static void assist(size_t claimed) {
  tri_thread *self = tri_thread_known();
  if (!self || tri_thread_busy) return;
  tri_cache_defer(&self->cache);
  tri_collection_assist(claimed);
  wipe_stack();
  tri_cache_undefer(&self->cache);
  if (tri_unlikely(tri_pacing_is_over_limit())) wait_for_collector(self);
}

static void collect_for_growth(void) {
  tri_gate_look();
  if (tri_the_heap.collect_every) {
    uint32_t count = atomic_fetch_add_explicit(&cycle.since_collection, 1, memory_order_relaxed) + 1;
    if (count % tri_the_heap.collect_every == 0)
      (void)run(TRI_CYCLE_GROWTH, true);
    else if (!tri_heap_wants_collection())
      return;
  }
  if (!tri_heap_wants_collection()) return;
  if (!is_left_to_collector())
    (void)run(TRI_CYCLE_GROWTH, true);
  else if (tri_unlikely(tri_pacing_is_over_limit()) && tri_thread_known() && !tri_thread_busy)
    wait_for_collector(tri_thread_known());
}

static void park(struct tri_cache *cache) { tri_stop_park((tri_thread *)cache); }

bool tri_cycle_init(const tri_settings *settings, void (*observer)(const tri_cycle_report *)) {
  cycle.observer = observer;
  cycle.period = (uint64_t)settings->period * 1000 * 1000;
  tri_the_hooks.collect = collect_for_growth;
  tri_the_hooks.collect_for_memory = collect_for_memory;
  tri_the_hooks.assist = assist;
  tri_the_hooks.park = park;
  return tri_collection_init(settings);
}
