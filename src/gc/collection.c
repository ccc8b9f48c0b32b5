/* collection.c - see collection.h.
 *
 * A concurrent mark (Boehm, Demers and Shenker, "Mostly parallel garbage collection", 1991):
 *
 *   begin    what was left is swept. Everything is armed: from now on what the program writes is dirty (gc/watch.h).
 *            The world stops, registers, stacks and thread-local storage are looked at, the world goes on. Static data
 *            is read beside the program.
 *   mark     markers scan what is grey, beside the program. New objects are white.
 *   advance  A round. Static data is looked at once more beside the program. Then the world stops; what is dirty is
 *            listed and armed again; registers, stacks, thread-local storage and dirty static data are roots. When what
 *            is dirty is expected to be scanned again within the budget, all processors do so, and if they are done in
 *            time, everything reachable is marked: the collection is finished. If not, what is grey and what is listed
 *            is left to the next mark.
 *
 * Why nothing is lost. Let the world be stopped and an object O be reachable. Along the path from the roots to O take
 * the last object that is marked and scanned since it was last written, or the root: what it points to was seen when it
 * was scanned, for else it was written later, its page is dirty since it was armed, and the page was armed before the
 * scan; then it is in the list, and scanned again before the collection ends. So the next object on the path is marked,
 * and by induction O is. What the argument needs: a page is armed before anything on it is scanned (begin), armed again
 * only while no marker is between setting a mark and scanning the object (rounds take the turn first), and never loses
 * a dirty mark that was not listed. Objects keep their place and kind while marking: no span is taken apart
 * (tri_the_heap.marking).
 *
 * Slots that wait in caches are allocated by their bits, and may be marked beside the program by stale pointers. Before
 * the last scan they lose both bits, so that what is marked is what was handed out. */
#include "gc/collection.h"

#include "base/fmt.h"
#include "gc/check.h"
#include "gc/mark.h"
#include "gc/marker.h"
#include "gc/pacer.h"
#include "gc/sweep.h"
#include "gc/watch.h"
#include "heap/heap.h"

enum {
  SMALL_HEAP = 8 * 1024 * 1024,
  STOP_BUDGET_NS = 300 * 1000, /* that a stop may last, roots apart, in which the mark is to be finished */
  PATIENT_ROUNDS = 16,         /* after which the budget grows, so that there is an end */
  SHORT_NS = 150 * 1000,       /* a whole mark that is expected to take less is made in a stop */
  ASSIST_NS = 100 * 1000,      /* that a thread which allocates may be kept at marking, */
  FULL_ASSIST_NS = 500 * 1000, /* when the heap is over its limit */
  FIRST_PAGE_NS = 1000,        /* to scan 4 KiB again, as long as nothing is known */
};

static struct {
  bool check;
  tri_root *copied; /* for the check: the roots of a round */
  size_t copied_room;
  bool can_watch;
  bool stale;      /* mark bits are left of a mark that was given up */
  bool first_list; /* what was newly marked was so much that it was scanned again before any round */
  bool forked;     /* since the heap was last watched */
  int processors;
  uint32_t turn;
  uint64_t started, begin, start, stop_start, cpu_start;
  tri_cycle_report report;
  tri_cycle_history history;
  _Atomic(int) percent;
  size_t marked, stack_bytes, data_bytes; /* of the last collection, for changes of the percentage */
  double byte_ns;                         /* a marked byte's cost in time, last time; 0: not known */
  _Atomic(double) page_ns;                /* of 4 KiB scanned again, with all that follows; relaxed */
  uint64_t roots_ns;                      /* what it took one marker to read the roots of a stop, last time */
  double bytes_per_ns;                    /* allocated since the last collection */
  uint64_t cycle_ns, last_end;            /* how long the last concurrent one took; when it ended */
  _Atomic(ptrdiff_t) limit;               /* of the heap's live: who allocates beyond it waits; relaxed */
  _Atomic(bool) is_short;                 /* relaxed */
  _Atomic(size_t) assist_ratio;           /* bytes to scan for 1024 bytes claimed; relaxed, as the next two */
  _Atomic(size_t) charged, done_before;   /* bytes due for what was claimed in this cycle; tri_marker_done before it */
} now TRI_OWN_DATA = {.percent = 100, .page_ns = FIRST_PAGE_NS};

static size_t live_now(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  return live > 0 ? (size_t)live : 0;
}

size_t tri_collection_live(void) { return live_now(); }
bool tri_collection_is_marking(void) { return atomic_load_explicit(&tri_the_heap.marking, memory_order_relaxed); }
bool tri_collection_is_short(void) { return atomic_load_explicit(&now.is_short, memory_order_relaxed); }
bool tri_collection_is_concurrent(void) { return now.can_watch; }
const tri_cycle_report *tri_collection_report(void) { return &now.report; }
tri_cycle_history tri_collection_history(void) { return now.history; }

/* ---- pacing ---- */

/* Where the next collection has to begin, to be done at the goal: so much before it as will be allocated meanwhile, at
 * the rate of the time between collections, within the bounds of runtime/mgcpacer.go:trigger. */
static ptrdiff_t trigger_for(ptrdiff_t goal) {
  if (goal == PTRDIFF_MAX || !now.can_watch || tri_collection_is_short()) return goal;
  if ((size_t)goal <= now.marked) return goal;
  double room = (double)((size_t)goal - now.marked), runway = now.bytes_per_ns * (double)now.cycle_ns * 1.25;
  double most = room * 0.3, least = room * 0.05;
  return goal - (ptrdiff_t)(runway > most ? most : runway < least ? least : runway);
}

/* Of the program, since the last collection: undisturbed. */
static void measure_rate(void) {
  uint64_t time = now.start - now.last_end;
  size_t live = live_now();
  if (now.last_end && live > now.marked && time) now.bytes_per_ns = (double)(live - now.marked) / (double)time;
}

static void set_goal(void) {
  int percent = atomic_load_explicit(&now.percent, memory_order_relaxed);
  ptrdiff_t goal = tri_pacer_goal(now.marked, now.stack_bytes, now.data_bytes, percent);
  now.history.goal = (size_t)goal;
  ptrdiff_t limit = goal > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : goal + goal / 10 + (ptrdiff_t)TRI_MIB;
  atomic_store_explicit(&now.limit, limit, memory_order_relaxed);
  atomic_store_explicit(&tri_the_heap.trigger, trigger_for(goal), memory_order_relaxed);
}

void tri_collection_put_off(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  atomic_store_explicit(&tri_the_heap.trigger, live + live / 2 + TRI_PACER_MINIMUM, memory_order_relaxed);
}

/* A tenth over the goal, as Go's hard goal (runtime/mgcpacer.go: revise). */
bool tri_collection_is_over_limit(void) {
  return atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed) >=
         atomic_load_explicit(&now.limit, memory_order_relaxed);
}

int tri_collection_set_percent(int percent) {
  int before = atomic_exchange_explicit(&now.percent, percent < 0 ? -1 : percent, memory_order_relaxed);
  set_goal();
  return before;
}

/* So that the mark is done when the goal is reached, whatever markers beside the program manage. */
static void set_assist_ratio(void) {
  size_t live = live_now(), goal = now.history.goal;
  size_t room = goal > live + TRI_MIB ? goal - live : TRI_MIB, work = now.marked + now.marked / 8 + TRI_MIB;
  atomic_store_explicit(&now.assist_ratio, work * 1024 / room, memory_order_relaxed);
  atomic_store_explicit(&now.charged, 0, memory_order_relaxed);
  atomic_store_explicit(&now.done_before, tri_marker_done(), memory_order_relaxed);
}

/* What is due for the bytes claimed is first taken from what markers have done that nobody was charged for (the credit
 * of runtime/mgcmark.go: gcAssistAlloc). */
void tri_collection_assist(size_t claimed) {
  size_t ratio = atomic_load_explicit(&now.assist_ratio, memory_order_relaxed), due = claimed / 1024 * ratio;
  size_t charged = atomic_fetch_add_explicit(&now.charged, due, memory_order_relaxed) + due;
  size_t done = tri_marker_done() - atomic_load_explicit(&now.done_before, memory_order_relaxed);
  if (charged > done) (void)tri_mark_assist(tri_min(due, charged - done), ASSIST_NS);
}

bool tri_collection_assist_fully(void) { return tri_mark_assist(SIZE_MAX, FULL_ASSIST_NS) != 0; }

/* ---- stops ---- */

static void each_cache(void (*visit)(tri_cache *)) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) visit(&thread->cache);
}

static bool stop_world(void) {
  now.stop_start = tri_os_now();
  return tri_stop_begin();
}

/* Returns how long it was stopped. */
static uint64_t resume_world(void) {
  tri_stop_end();
  uint64_t duration = tri_os_now() - now.stop_start;
  tri_history_add_stop(&now.history, duration);
  now.report.stops++;
  now.report.stop_total += duration;
  now.report.stop_longest = tri_max(now.report.stop_longest, duration);
  return duration;
}

static bool gather_threads(void) {
  tri_roots_clear();
  return tri_roots_add_threads();
}

/* ---- the end of a mark; the world is stopped ---- */

/* The epoch moves on: every span is unswept now, its mark bits are what lives. */
static void flip(void) {
  TRI_ASSERT(tri_sweep_is_done());
  atomic_store_explicit(&tri_the_heap.marking, false, memory_order_relaxed);
  atomic_fetch_add_explicit(&tri_the_heap.epoch, 1, memory_order_release);
  if (now.report.reason != TRI_CYCLE_GROWTH) each_cache(tri_cache_sweep);
  each_cache(tri_cache_stop_end);
  atomic_store_explicit(&tri_the_heap.live, (ptrdiff_t)now.report.marked, memory_order_relaxed);
}

static void take_figures(tri_root_list roots) {
  tri_mark_result result = tri_mark_figures();
  tri_cycle_report *report = &now.report;
  report->marking_cpu = result.cpu_ns;
  report->assist = result.assist_ns;
  report->marked = report->heap_after = result.marked_bytes;
  report->rescanned = result.rescanned;
  report->markers = result.markers;
  report->stack_bytes = roots.stack_bytes;
  report->data_bytes = roots.data_bytes;
}

static void check_stopped(tri_root_list roots) {
  if (now.check) tri_check_run(roots, NULL);
}

/* All roots once more: the list that a round goes by has only the dirty part of static data. */
static void check_round(tri_root_list roots) {
  if (!now.check) return;
  tri_check_read read = {.data = roots};
  read.heap = tri_watch_dirty(&read.heap_count);
  if (roots.count > now.copied_room) {
    now.copied_room = 2 * roots.count;
    now.copied = tri_meta_alloc(TRI_META_OTHER, now.copied_room * sizeof *now.copied);
    if (!now.copied) tri_fatal("check: no memory for %zu roots", roots.count);
  }
  for (size_t i = 0; i < roots.count; i++) now.copied[i] = roots.roots[i];
  read.data.roots = now.copied;
  tri_roots_clear();
  if (tri_roots_add_all_data() && tri_roots_add_threads()) tri_check_run(tri_roots_list(), &read);
}

static void remember_for_check(void) {
  if (!now.check) return;
  each_cache(tri_cache_stop_begin);
  tri_check_remember();
  each_cache(tri_cache_stop_end);
}

static tri_collection_status finish(void) {
  tri_cycle_report *report = &now.report;
  uint64_t end = tri_os_now();
  now.marked = report->marked;
  now.stack_bytes = report->stack_bytes;
  now.data_bytes = report->data_bytes;
  uint64_t cost = report->marking_cpu / (uint64_t)report->markers;
  size_t scanned = report->marked + report->data_bytes + report->stack_bytes;
  now.byte_ns = (double)cost / (double)tri_max(scanned, (size_t)1);
  atomic_store_explicit(&now.is_short, cost < SHORT_NS, memory_order_relaxed);
  now.last_end = end;
  if (report->concurrent) now.cycle_ns = tri_min(end - now.begin, (report->marking_cpu + report->assist) * 2);
  report->goal = now.history.goal;
  report->since_start = end - now.started;
  set_goal();
  report->next_goal = now.history.goal;
  report->heap_in_use = tri_page_heap_read().used_bytes;
  tri_history_add(&now.history, report, (double)report->since_start * now.processors, tri_sweep_cpu());
  return TRI_COLLECTION_DONE;
}

static tri_collection_status give_up(void) {
  if (tri_collection_is_marking()) now.stale = true;
  atomic_store_explicit(&tri_the_heap.marking, false, memory_order_relaxed);
  tri_mark_drop();
  tri_collection_put_off();
  return TRI_COLLECTION_FAILED;
}

/* ---- stop and mark ---- */

static tri_collection_status stop_and_mark(void) {
  tri_cycle_report *report = &now.report;
  if (!stop_world()) {
    tri_sweep_resume();
    return give_up();
  }
  uint64_t stopped = tri_os_now(), cpu_stopped = tri_os_thread_cpu();
  bool complete = gather_threads() && tri_roots_add_all_data();
  each_cache(tri_cache_sweep);
  if (complete) {
    each_cache(tri_cache_stop_begin);
    tri_root_list roots = tri_roots_list();
    report->heap_before = live_now();
    tri_mark_begin();
    tri_mark_set_jobs((tri_mark_jobs){.roots = roots.roots, .root_count = roots.count});
    (void)tri_mark_run(now.turn, tri_mark_help_for(now.marked + roots.data_bytes), 0);
    tri_mark_inject();
    check_stopped(roots);
    take_figures(roots);
    flip();
  }
  uint64_t marked = tri_os_now(), cpu_marked = tri_os_thread_cpu();
  resume_world();
  tri_sweep_resume();
  report->stopping = stopped - now.start;
  report->stopping_cpu = cpu_stopped - now.cpu_start;
  report->marking = marked - stopped;
  report->finishing = tri_os_now() - marked;
  report->finishing_cpu = tri_os_thread_cpu() - cpu_marked;
  return complete ? finish() : give_up();
}

/* ---- beside the program ---- */

/* What a mark that was given up has left. */
static void clear_marks(void) {
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_BITS_SHIFT;
  for (size_t i = 0; i < words; i++)
    if (atomic_load_explicit(&tri_the_arena.bits[i].mark, memory_order_relaxed))
      atomic_store_explicit(&tri_the_arena.bits[i].mark, 0, memory_order_relaxed);
  now.stale = false;
}

static bool shade_roots(tri_root_list roots) {
  uint64_t start = tri_os_now();
  bool done = tri_mark_shade(roots.roots, roots.count);
  now.roots_ns = tri_os_now() - start;
  return done;
}

/* Whether the heap is so small that arming it is best done in a stop: each call then costs a fraction, for no other
 * processor has to be told. */
static bool is_small(void) { return tri_page_heap_read().used_bytes <= SMALL_HEAP; }

/* The first stop. */
static bool take_first_roots(bool arms) {
  if (!stop_world()) return false;
  if (arms && !tri_watch_arm_heap()) {
    (void)resume_world();
    return false;
  }
  each_cache(tri_cache_sweep);
  remember_for_check();
  atomic_store_explicit(&tri_the_heap.marking, true, memory_order_relaxed);
  bool taken = gather_threads();
  taken = taken && shade_roots(tri_roots_list());
  now.report.stopping = resume_world();
  return taken;
}

static bool read_data(void) {
  tri_roots_clear();
  bool complete = tri_roots_add_all_data();
  tri_root_list roots = tri_roots_list();
  return complete && tri_mark_shade(roots.roots, roots.count);
}

static tri_collection_status begin_concurrently(void) {
  tri_mark_begin();
  bool in_stop = is_small(), begun = tri_watch_arm_data() && (in_stop || tri_watch_arm_heap());
  begun = begun && take_first_roots(in_stop);
  tri_sweep_resume();
  if (!begun || !read_data()) return give_up();
  now.report.concurrent = true;
  now.first_list = false;
  now.report.heap_before = live_now();
  now.report.stopping_cpu = tri_os_thread_cpu() - now.cpu_start;
  now.start = tri_os_now();
  set_assist_ratio();
  return TRI_COLLECTION_MARKING;
}

tri_collection_status tri_collection_begin(tri_cycle_reason reason) {
  TRI_ASSERT(!tri_collection_is_marking());
  now.turn = tri_mark_take_turn();
  now.report = (tri_cycle_report){.reason = reason};
  now.history.begun++;
  now.start = tri_os_now();
  now.cpu_start = tri_os_thread_cpu();
  now.begin = now.start;
  measure_rate();
  if (now.forked && now.can_watch) now.can_watch = tri_watch_after_fork();
  now.forked = false;
  tri_sweep_finish();
  if (now.stale) clear_marks();
  return !now.can_watch || tri_collection_is_short() ? stop_and_mark() : begin_concurrently();
}

/* What a page costs that is scanned again, with what is found by it; by a session that did little else. */
static void learn_page_cost(size_t pages, uint64_t duration) {
  if (pages < 64) return;
  double before = atomic_load_explicit(&now.page_ns, memory_order_relaxed);
  atomic_store_explicit(&now.page_ns, (before + (double)duration / (double)pages) / 2, memory_order_relaxed);
}

uint32_t tri_collection_turn(void) { return now.turn; }

void tri_collection_mark(uint32_t turn, bool alone) {
  size_t before = tri_mark_figures().rescanned;
  uint64_t start = tri_os_now();
  if (!tri_mark_run(turn, alone ? TRI_MARK_ALONE : TRI_MARK_WITH_HELP, 0)) return;
  learn_page_cost((tri_mark_figures().rescanned - before) / 4096, tri_os_now() - start);
}

/* Reads dirty static data beside the program, so that little of it is left for the stop. */
static bool preclean_data(void) {
  tri_roots_clear();
  bool complete = tri_watch_look_at_data();
  tri_root_list roots = tri_roots_list();
  return complete && tri_mark_shade(roots.roots, roots.count);
}

static uint64_t budget(void) {
  uint32_t rounds = now.report.rounds, over = rounds > PATIENT_ROUNDS ? rounds - PATIENT_ROUNDS : 0;
  return (uint64_t)STOP_BUDGET_NS << (over < 12 ? over : 12);
}

/* Whether what was found can be scanned before the deadline, as far as is known. */
static bool fits(size_t dirty_bytes, uint64_t deadline) {
  uint64_t time = tri_os_now();
  double page_ns = atomic_load_explicit(&now.page_ns, memory_order_relaxed);
  return time < deadline && (double)dirty_bytes / 4096 * page_ns < (double)(deadline - time);
}

/* With the world stopped: marks what is left until the deadline. */
static bool mark_to_the_end(tri_root_list roots, uint64_t deadline) {
  tri_mark_jobs jobs = {.roots = roots.roots, .root_count = roots.count};
  jobs.dirty = tri_watch_dirty(&jobs.dirty_count);
  each_cache(tri_cache_stop_begin);
  tri_mark_set_jobs(jobs);
  bool done = tri_mark_run(now.turn, TRI_MARK_WITH_HELP, deadline);
  if (done) {
    tri_mark_inject();
    check_round(roots);
    take_figures(roots);
    now.report.heap_after = live_now();
    flip();
  } else {
    each_cache(tri_cache_stop_end);
    now.report.abandoned++;
  }
  return done;
}

/* What is listed is for the next mark beside the program. */
static void list_dirty(void) {
  tri_mark_jobs jobs = {.roots = NULL};
  jobs.dirty = tri_watch_dirty(&jobs.dirty_count);
  tri_mark_set_jobs(jobs);
}

static bool leave_rest(tri_root_list roots, bool tried) {
  if (tried) tri_watch_keep_last(tri_mark_dirty_left());
  list_dirty();
  return shade_roots(roots);
}

typedef struct round_result {
  bool good, done;
} round_result;

/* A round, the world being stopped. */
static round_result look(void) {
  size_t dirty = tri_watch_look_at_heap();
  bool good = gather_threads() && tri_watch_look_at_data() && tri_watch_end_look();
  if (!now.report.rounds++) now.report.dirty_first = dirty;
  now.report.dirty_last = dirty;
  if (!good) return (round_result){false, false};
  tri_root_list roots = tri_roots_list();
  uint64_t deadline = tri_os_now() + budget() + now.roots_ns;
  bool try = fits(tri_watch_dirty_bytes(), deadline);
  if (try && mark_to_the_end(roots, deadline)) return (round_result){true, true};
  return (round_result){leave_rest(roots, try), false};
}

tri_collection_status tri_collection_advance(void) {
  if (!tri_collection_is_marking()) return TRI_COLLECTION_NONE;
  now.turn = tri_mark_take_turn();
  tri_watch_keep_last(tri_mark_dirty_left());
  bool much = !fits(tri_watch_look_at_new(), tri_os_now() + STOP_BUDGET_NS);
  if (!preclean_data()) return give_up();
  if (much && now.report.rounds == 0 && !now.first_list) {
    now.first_list = true;
    list_dirty();
    return TRI_COLLECTION_MARKING;
  }
  tri_sweep_pause();
  uint64_t cpu = tri_os_thread_cpu();
  if (!stop_world()) {
    tri_sweep_resume();
    return give_up();
  }
  round_result result = look();
  if (!result.good) give_up();
  uint64_t duration = resume_world();
  tri_sweep_resume();
  if (!result.good) return TRI_COLLECTION_FAILED;
  if (!result.done) return TRI_COLLECTION_MARKING;
  tri_watch_release_dead();
  now.report.finishing = duration;
  now.report.finishing_cpu = tri_os_thread_cpu() - cpu;
  now.report.marking = tri_os_now() - now.start - duration;
  return finish();
}

void tri_collection_rest(void) { now.turn = tri_mark_take_turn(); }

/* ---- the rest ---- */

bool tri_collection_init(const tri_settings *settings) {
  now.check = settings->check;
  now.processors = tri_os_processors();
  now.started = tri_os_now();
  atomic_store_explicit(&now.percent, (int)settings->gc_percent, memory_order_relaxed);
  now.can_watch = settings->gear != TRI_GEAR_NONE && tri_watch_init();
  set_goal();
  if (!now.can_watch && settings->gear == TRI_GEAR_PAGE)
    tri_fatal("TRICOLOR_GEAR=page: the system does not tell which pages were written (userfaultfd, PAGEMAP_SCAN)");
  if (!now.can_watch && settings->gear == TRI_GEAR_AUTO && settings->trace_gc)
    tri_print("tricolor: collections stop the program for the whole mark: the system does not tell which pages were "
              "written (userfaultfd, PAGEMAP_SCAN)\n");
  int markers = settings->gc_threads ? (int)settings->gc_threads : now.processors;
  return tri_mark_init(markers, (tri_mark_fault)settings->inject) && (!now.check || tri_check_init());
}

void tri_collection_after_fork_child(bool torn) {
  now.forked = true;
  if (!tri_collection_is_marking()) return;
  atomic_store_explicit(&tri_the_heap.marking, false, memory_order_relaxed);
  now.stale = true;
  if (!torn) tri_mark_drop();
}
