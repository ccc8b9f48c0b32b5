/* collection.c - see collection.h.
 *
 * A concurrent mark (Boehm, Demers and Shenker, "Mostly parallel garbage collection", 1991):
 *
 *   begin    what was left is swept. A full collection clears all marks and arms everything: from now on what the
 *            program writes is dirty (gc/watch.h). A young one (gc/generation.h) goes on from the marks and from what
 *            was armed in the last stop of the one before. The world stops, registers, stacks and thread-local storage
 *            are looked at, the world goes on. Static data and deep stacks (gc/deep.h) are read beside the program.
 *   mark     markers scan what is grey and what is listed as dirty, beside the program. New objects are white.
 *   advance  A round. What is dirty is listed and armed again, beside the program. While that is too much to be scanned
 *            in a stop it is left to the next mark. Then the world stops; what has become dirty since is listed;
 *            registers, stacks, thread-local storage and dirty static data are roots, deep stacks where dirty. When all
 *            that is listed is expected to be scanned again within the budget, all processors do so, and if they are
 *            done in time, everything reachable is marked: the collection is finished. If not, what is grey and what is
 *            listed is left to the next mark. A young collection of little expected work begins with such a stop.
 *
 * Why nothing is lost. Let the world be stopped and an object O be reachable. Along the path from the roots to O take
 * the last object that is marked and scanned since it was last written, or the root: what it points to was seen when it
 * was scanned, for else it was written later, its page is dirty since it was armed, and the page was armed before the
 * scan; then it is in the list, and scanned again before the collection ends. So the next object on the path is marked,
 * and by induction O is. What the argument needs: a page is armed before anything on it is scanned (begin), armed again
 * only while no marker is between setting a mark and scanning the object (rounds take the turn first), and never loses
 * a dirty mark that was not listed. Objects keep their place and kind while marking: no span is taken apart
 * (tri_the_heap.marking). It does not matter to the argument when an object was marked, in this collection or in one
 * before: between two collections nothing is marked, nothing is armed again, and slots that are handed out anew have
 * lost their marks (tri_clear_marks), or count as old objects that were written.
 *
 * Marks are cleared beside the program, so before that a stop makes sure that every span a thread owns is swept: its
 * owner would find nothing marked, and free everything.
 *
 * Slots that wait in caches are allocated by their bits, and may be marked beside the program by stale pointers. Before
 * the last scan they lose both bits, so that what is marked is what was handed out. */
#include "gc/collection.h"

#include "base/fmt.h"
#include "gc/check.h"
#include "gc/deep.h"
#include "gc/estimate.h"
#include "gc/fault.h"
#include "gc/generation.h"
#include "gc/mark.h"
#include "gc/marker.h"
#include "gc/pacing.h"
#include "gc/spent.h"
#include "gc/sweep.h"
#include "gc/watch.h"
#include "heap/heap.h"

enum {
  SMALL_HEAP = 8 * 1024 * 1024,
  BESIDE_NS = 5 * 1000 * 1000, /* of scanning: rounds of more are made without a stop; */
  LITTLE_NS = 100 * 1000,      /* what is less is left to the stop */
  MUCH_DATA = 128 * 1024,      /* bytes of static data and deep stacks that are dirty: too much for a stop */
  HELD_ROUNDS = 2,             /* of reading more, when who allocates is held */
  ROUNDS_BESIDE = 16,          /* at most; those in stops are given more and more time, so that there is an end; */
  LOOKS_BESIDE = 64,           /* at most, those that list only what is new counted, too */
  SHORT_NS = 150 * 1000,       /* a whole mark that is expected to take less is made in a stop, */
  SHORT_YOUNG_NS = 200 * 1000, /* and a young collection begins with the last stop */
  ASSIST_NS = 25 * 1000,       /* that a thread which allocates may be kept at marking, for each KiB that it claims, */
  FULL_ASSIST_NS = 500 * 1000, /* and when the heap is over its limit */
};

static struct {
  bool check;
  tri_root *copied; /* for the check: the roots of a round */
  size_t copied_room;
  bool can_watch;
  bool has_young; /* the option */
  bool forked;    /* since the heap was last watched */
  int processors;
  uint32_t turn;
  uint64_t started, begin, start, stop_start;
  uint64_t cpu_start; /* when it began, or its last stop, and on by what was marking */
  tri_cycle_report report;
  tri_cycle_history history;
  tri_generations generations;
  bool full_is_short, young_is_short; /* as far as is known */
  _Atomic(bool) is_short;             /* the next one; relaxed */
  uint32_t looks_beside;              /* in this collection */
  size_t data_read;                   /* bytes of static data and deep stacks, the last time beside the program */
  int held_rounds;                    /* since it was found not to get less */
  size_t listed_before;               /* bytes found dirty by the last round that armed them again; 0: none yet */
} now TRI_OWN_DATA;

bool tri_collection_is_marking(void) { return atomic_load_explicit(&tri_the_heap.marking, memory_order_relaxed); }
bool tri_collection_is_short(void) { return atomic_load_explicit(&now.is_short, memory_order_relaxed); }
static bool is_by_name(void) { return now.report.reason == TRI_CYCLE_FORCED || now.report.reason == TRI_CYCLE_MEMORY; }

/* Where the program waits for it, all processors may be used. */
static tri_helpers_call helpers_beside(void) {
  return tri_mark_help_for(tri_pacing_live(), is_by_name() ? TRI_HELPERS_ALL : TRI_HELPERS_SHARE);
}

bool tri_collection_is_concurrent(void) { return now.can_watch; }
const tri_cycle_report *tri_collection_report(void) { return &now.report; }

tri_cycle_history tri_collection_history(void) {
  now.history.goal = tri_pacing_goal();
  return now.history;
}

static tri_pacing_done marking_done(void) {
  return (tri_pacing_done){.marked = tri_marker_done(), .rescanned = tri_mark_figures().rescanned};
}

void tri_collection_assist(size_t claimed) {
  size_t due = tri_pacing_due(claimed, marking_done());
  if (due) (void)tri_mark_assist(due, ASSIST_NS);
}

bool tri_collection_assist_fully(void) { return tri_mark_assist(SIZE_MAX, FULL_ASSIST_NS) != 0; }

/* ---- stops ---- */

_Atomic(void (*)(void)) tri_collection_full_begins TRI_OWN_DATA;

static void tell_that_full_begins(void) {
  void (*hook)(void) = atomic_load_explicit(&tri_collection_full_begins, memory_order_relaxed);
  if (hook) hook();
}

static void each_cache(void (*visit)(tri_cache *)) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) visit(&thread->cache);
}

/* Who asks for collections by name may do so all the time: what others have to do meanwhile, such as to start threads,
 * gets on while stopped threads sleep. */
static bool stop_world(void) {
  now.stop_start = tri_spent_stop_begins();
  if (!tri_stop_begin()) {
    tri_spent_stop_ends(tri_os_now());
    return false;
  }
  if (now.report.reason != TRI_CYCLE_GROWTH) tri_stop_stand_aside();
  return true;
}

/* Returns how long it was stopped. */
static uint64_t resume_world(void) {
  uint64_t end = tri_stop_end(), duration = end - now.stop_start;
  tri_spent_stop_ends(end);
  tri_history_add_stop(&now.history, duration);
  now.report.stops++;
  now.report.stop_total += duration;
  now.report.stop_longest = tri_max(now.report.stop_longest, duration);
  return duration;
}

static bool gather_threads(tri_roots_frames *frames) {
  tri_roots_clear();
  tri_deep_stop_begins();
  return tri_roots_add_threads(frames);
}

/* ---- the end of a mark; the world is stopped ---- */

/* The epoch moves on: every span is unswept now, its mark bits are what lives. */
static void flip(void) {
  TRI_ASSERT(tri_sweep_is_done());
  atomic_store_explicit(&tri_the_heap.marking, false, memory_order_relaxed);
  atomic_fetch_add_explicit(&tri_the_heap.epoch, 1, memory_order_release);
  if (is_by_name()) each_cache(tri_cache_sweep);
  each_cache(tri_cache_stop_end);
  atomic_store_explicit(&tri_the_heap.live, (ptrdiff_t)now.report.marked, memory_order_relaxed);
}

/* Of a young collection, what was marked before lives, too, but for what was freed since. */
static size_t bytes_left(size_t marked) {
  return now.report.young ? tri_min(now.generations.left + marked, tri_pacing_live()) : marked;
}

static void take_figures(tri_root_list roots) {
  tri_mark_result result = tri_mark_figures();
  tri_cycle_report *report = &now.report;
  report->marking_cpu = result.cpu_ns;
  report->idle_cpu = result.idle_cpu_ns;
  report->assist = result.assist_ns;
  report->assist_cpu = result.assist_cpu_ns;
  report->newly_marked = result.marked_bytes;
  report->marked = report->heap_after = bytes_left(result.marked_bytes);
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
  if (tri_roots_add_all_data() && tri_roots_add_threads(tri_roots_add_frames)) tri_check_run(tri_roots_list(), &read);
}

static void remember_for_check(void) {
  if (!now.check) return;
  each_cache(tri_cache_stop_begin);
  tri_check_remember(now.report.young);
  each_cache(tri_cache_stop_end);
}

/* ---- what comes next ---- */

static bool next_is_young(void) {
  return now.has_young && now.can_watch && tri_generations_next_is_young(&now.generations, tri_pacing_goal());
}

/* What it would have taken in a stop, where nobody assists. */
static uint64_t time_to_mark(const tri_cycle_report *report) {
  return (report->marking_cpu + report->idle_cpu + report->assist_cpu) / (uint64_t)report->markers;
}

/* Whether the next young one is likely to be done in one stop. */
static bool was_short(const tri_cycle_report *report) {
  return time_to_mark(report) + tri_estimate_look() < SHORT_YOUNG_NS;
}

static void learn_from_young(const tri_cycle_report *report) {
  tri_generations_end_young(&now.generations, report->newly_marked, report->rescanned, report->marked);
  now.young_is_short = was_short(report);
}

static void learn_from_full(const tri_cycle_report *report) {
  tri_generations_end_full(&now.generations, report->marked, report->concurrent);
  now.full_is_short = time_to_mark(report) < SHORT_NS;
}

/* A mark that was made in one stop tells nothing of what the program allocates beside one. */
static void tell_pacing(const tri_cycle_report *report, uint64_t end) {
  bool beside = report->concurrent && report->stops > 1;
  tri_pacing_end(&(tri_pacing_result){
      .live = report->heap_after,
      .left = report->marked,
      .scanned = {.heap = report->newly_marked,
                  .stack = report->stack_bytes,
                  .data = report->data_bytes,
                  .remark = report->rescanned},
      .times = {.duration = beside ? end - now.begin : 0, .assist = report->assist_cpu, .processors = now.processors}});
}

static void look_ahead(void) {
  bool young = next_is_young(), is_short = young ? now.young_is_short : now.full_is_short || !now.can_watch;
  atomic_store_explicit(&now.is_short, is_short, memory_order_relaxed);
  tri_pacing_expect(young, !is_short);
}

int tri_collection_set_percent(int percent) {
  int before = tri_pacing_set_percent(percent);
  if (!tri_collection_is_marking()) look_ahead();
  return before;
}

static tri_collection_status finish(void) {
  tri_cycle_report *report = &now.report;
  uint64_t end = tri_os_now();
  tri_spent_end();
  report->goal = tri_pacing_goal();
  report->since_start = end - now.started;
  if (report->young)
    learn_from_young(report);
  else
    learn_from_full(report);
  tell_pacing(report, end);
  look_ahead();
  tri_sweep_share_out();
  report->next_goal = tri_pacing_goal();
  report->heap_in_use = tri_page_heap_read().used_bytes;
  report->cpu_fraction = tri_spent_fraction(report->since_start);
  tri_history_add(&now.history, report);
  return TRI_COLLECTION_DONE;
}

static tri_collection_status give_up(void) {
  tri_spent_end();
  tri_generations_forget(&now.generations);
  atomic_store_explicit(&tri_the_heap.marking, false, memory_order_relaxed);
  tri_mark_drop();
  tri_pacing_drop();
  tri_pacing_put_off();
  return TRI_COLLECTION_FAILED;
}

/* ---- the beginning ---- */

/* No span waits to be swept. */
static void clear_marks(void) {
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_BITS_SHIFT;
  for (size_t i = 0; i < words; i++)
    if (atomic_load_explicit(&tri_the_arena.bits[i].mark, memory_order_relaxed))
      atomic_store_explicit(&tri_the_arena.bits[i].mark, 0, memory_order_relaxed);
  tri_watch_forget_marks();
}

static bool mark_stopped(tri_helpers_call call, uint64_t deadline) {
  if (call != TRI_HELPERS_NONE) tri_stop_stand_aside();
  return tri_mark_run(now.turn, call, deadline);
}

static tri_collection_status stop_and_mark(void) {
  tri_cycle_report *report = &now.report;
  if (!stop_world()) {
    tri_sweep_resume();
    return give_up();
  }
  uint64_t stopped = tri_os_now(), cpu_stopped = tri_os_thread_cpu();
  tell_that_full_begins();
  bool complete = gather_threads(tri_roots_add_frames) && tri_roots_add_all_data();
  each_cache(tri_cache_sweep);
  if (complete) {
    each_cache(tri_cache_stop_begin);
    clear_marks();
    tri_root_list roots = tri_roots_list();
    report->heap_before = tri_pacing_live();
    tri_mark_set_jobs((tri_mark_jobs){.roots = roots.roots, .root_count = roots.count});
    (void)mark_stopped(tri_mark_help_for(now.generations.full_left + roots.data_bytes, TRI_HELPERS_ALL), 0);
    tri_fault_mark_ends();
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

static bool shade_roots(tri_root_list roots) {
  uint64_t start = tri_os_now();
  bool done = tri_mark_shade(roots.roots, roots.count);
  tri_estimate_note_roots(tri_os_now() - start);
  return done;
}

/* Whether the heap is so small that arming it is best done in a stop: each call then costs a fraction, for no other
 * processor has to be told. */
static bool is_small(void) { return tri_page_heap_read().used_bytes <= SMALL_HEAP; }

/* In the first stop. */
static void start_marking(void) {
  each_cache(tri_cache_sweep);
  remember_for_check();
  tri_fault_mark_begins();
  atomic_store_explicit(&tri_the_heap.marking, true, memory_order_relaxed);
}

static bool take_first_roots(bool arms) {
  if (!stop_world()) return false;
  if (arms) tri_stop_stand_aside();
  bool taken = !arms || tri_watch_arm_heap();
  if (taken) start_marking();
  tri_roots_frames *frames = now.report.young ? tri_deep_add_young : tri_deep_add_full;
  taken = taken && gather_threads(frames) && shade_roots(tri_roots_list());
  now.report.stopping = resume_world();
  return taken;
}

/* The first stop of a full one beside the program. */
static bool sweep_caches(void) {
  if (!stop_world()) return false;
  tell_that_full_begins();
  each_cache(tri_cache_sweep);
  resume_world();
  return true;
}

/* What the roots gathered point to is marked beside the program, which may help: else, by the end of much data, it
 * would be at its limit. */
static bool shade_data(bool complete) {
  tri_root_list roots = tri_roots_list();
  if (complete) tri_mark_read(now.turn, helpers_beside(), roots.roots, roots.count);
  return complete;
}

static bool read_first(void) {
  size_t bytes;
  tri_roots_clear();
  return shade_data(tri_roots_add_all_data()) && tri_deep_read(now.turn, helpers_beside(), &bytes);
}

static size_t gathered_bytes(void) {
  tri_root_list roots = tri_roots_list();
  size_t bytes = 0;
  for (size_t i = 0; i < roots.count; i++) bytes += roots.roots[i].high - roots.roots[i].low;
  return bytes;
}

/* Where the program writes static data all over in the time that reading it takes, it has to stand still, or a stop
 * would take as long. Threads that do not allocate cannot be made to. */
static void hold_while_much(size_t bytes) {
  bool less = bytes < now.data_read / 4 * 3;
  if (now.held_rounds || (bytes > MUCH_DATA && now.data_read && !less)) now.held_rounds++;
  now.data_read = bytes;
  tri_pacing_hold(now.held_rounds && now.held_rounds <= HELD_ROUNDS && bytes > MUCH_DATA);
}

static bool is_data_worth_a_round(void) { return now.data_read > MUCH_DATA && now.held_rounds <= HELD_ROUNDS; }

/* Reads what is dirty of deep stacks and of static data, so that little of it is left for the stop. */
static bool preclean(void) {
  size_t stacks;
  if (!tri_deep_read(now.turn, helpers_beside(), &stacks)) return false;
  tri_roots_clear();
  bool complete = tri_watch_look_at_data(true);
  if (tri_watch_rearms()) hold_while_much(stacks + gathered_bytes());
  return shade_data(complete);
}

static tri_collection_status mark_is_on(void) {
  now.report.stopping_cpu = tri_os_thread_cpu() - now.cpu_start - tri_mark_figures().director_cpu_ns;
  now.start = tri_os_now();
  return TRI_COLLECTION_MARKING;
}

static tri_collection_status begin_full(void) {
  bool in_stop = is_small(), begun = sweep_caches();
  if (begun) clear_marks();
  begun = begun && tri_watch_arm_data() && (in_stop || tri_watch_arm_heap()) && take_first_roots(in_stop);
  tri_sweep_resume();
  return begun && read_first() ? mark_is_on() : give_up();
}

uint32_t tri_collection_turn(void) { return now.turn; }

void tri_collection_mark(uint32_t turn, bool by_name) {
  size_t before = tri_mark_figures().rescanned;
  uint64_t start = tri_os_now();
  tri_helpers_call call = by_name ? TRI_HELPERS_ALL : helpers_beside();
  if (!tri_mark_run(turn, call, 0)) return;
  tri_estimate_note_scan(tri_mark_figures().rescanned - before, tri_os_now() - start);
}

/* With the world stopped: marks what is left until the deadline. Marking is not counted as finishing. */
static bool mark_to_the_end(tri_root_list roots, uint64_t deadline) {
  tri_mark_jobs jobs = {.roots = roots.roots, .root_count = roots.count};
  jobs.dirty = tri_watch_dirty(&jobs.dirty_count);
  each_cache(tri_cache_stop_begin);
  tri_mark_set_jobs(jobs);
  tri_helpers_call call = tri_estimate_is_worth_help(tri_watch_dirty_bytes()) ? TRI_HELPERS_ALL : TRI_HELPERS_NONE;
  uint64_t cpu = tri_os_thread_cpu();
  tri_mark_result before = tri_mark_figures();
  bool done = mark_stopped(call, deadline);
  tri_mark_result after = tri_mark_figures();
  tri_estimate_note_scan(after.rescanned - before.rescanned, after.cpu_ns - before.cpu_ns);
  now.cpu_start += tri_os_thread_cpu() - cpu;
  if (done) {
    tri_fault_mark_ends();
    check_round(roots);
    take_figures(roots);
    now.report.heap_after = tri_pacing_live();
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

static void count_round(size_t dirty) {
  if (!now.report.rounds++) now.report.dirty_first = dirty;
  now.report.dirty_last = dirty;
  tri_pacing_note_dirty(dirty);
}

/* A round, the world being stopped. arms: it is not likely to be the last. */
static round_result look(bool arms) {
  if (arms) tri_stop_stand_aside(); /* what is armed has to be told to processors that are awake */
  uint64_t start = tri_os_now();
  size_t found = tri_watch_look_at_heap(arms);
  uint64_t end = tri_os_now();
  tri_estimate_note_look(end - start);
  tri_estimate_note_dirty(found, end, arms);
  count_round(found);
  bool good = gather_threads(tri_deep_add_dirty) && tri_watch_look_at_data(false) && tri_watch_end_look();
  if (!good) return (round_result){false, false};
  tri_root_list roots = tri_roots_list();
  uint64_t budget = tri_estimate_budget(now.report.rounds), deadline = tri_os_now() + budget + tri_estimate_roots();
  bool try = tri_estimate_scan_stopped(tri_watch_dirty_bytes(), tri_mark_markers()) < budget + tri_estimate_roots();
  if (try && mark_to_the_end(roots, deadline)) return (round_result){true, true};
  return (round_result){leave_rest(roots, try), false};
}

/* When what comes is not much less than what was scanned meanwhile, those who allocate have to help. */
static void press(size_t found) {
  if (now.listed_before && found > now.listed_before / 2) tri_pacing_press();
  now.listed_before = found;
}

/* What is dirty is expected to be more than a stop may take. */
static bool is_unlikely_last(void) {
  size_t expected = tri_estimate_dirty(tri_os_now());
  return tri_estimate_scan_stopped(expected, tri_mark_markers()) > tri_estimate_budget(now.report.rounds);
}

/* One in a stop; is_first: of this collection. */
static tri_collection_status stop_and_look(bool is_first) {
  now.cpu_start = tri_os_thread_cpu();
  if (!stop_world()) {
    tri_sweep_resume();
    return give_up();
  }
  if (is_first) start_marking();
  round_result result = look(!is_first && is_unlikely_last());
  if (!result.good) give_up();
  uint64_t duration = resume_world();
  tri_sweep_resume();
  if (is_first) now.report.stopping = duration;
  if (!result.done && !is_first) press(now.report.dirty_last); /* the first has armed nothing again: see is_much */
  if (!result.good) return TRI_COLLECTION_FAILED;
  if (!result.done) return TRI_COLLECTION_MARKING;
  if (!now.report.young) tri_watch_release_dead();
  now.report.finishing = is_first ? 0 : duration;
  now.report.finishing_cpu = tri_os_thread_cpu() - now.cpu_start;
  now.report.marking = tri_os_now() - now.start - duration;
  return finish();
}

/* Beside the program: what is new, and static data, and all that is dirty when that is much. */
static bool look_beside(bool all) {
  size_t found = tri_watch_look_beside(all);
  if (all) {
    tri_estimate_note_dirty(found, tri_os_now(), true);
    press(found);
    count_round(found);
  }
  return preclean();
}

/* Whether to make a round without a stop, which takes longer; the first tells how much there is. */
static bool is_much(void) {
  return !now.listed_before || tri_estimate_scan(tri_estimate_dirty(tri_os_now())) > BESIDE_NS;
}

static tri_collection_status advance(void) {
  if (tri_mark_is_left()) return TRI_COLLECTION_MARKING; /* a fork has cut the mark short */
  tri_watch_keep_last(0);
  bool is_patient = now.report.rounds < ROUNDS_BESIDE && now.looks_beside++ < LOOKS_BESIDE;
  if (!look_beside(is_patient && is_much())) return give_up();
  if (is_patient && (is_data_worth_a_round() || tri_estimate_scan(tri_watch_dirty_bytes()) > LITTLE_NS)) {
    list_dirty();
    return TRI_COLLECTION_MARKING;
  }
  tri_sweep_pause();
  return stop_and_look(false);
}

tri_collection_status tri_collection_advance(void) {
  if (!tri_collection_is_marking()) return TRI_COLLECTION_NONE;
  now.turn = tri_mark_take_turn();
  tri_spent_step_begins();
  tri_collection_status status = advance();
  tri_spent_step_ends();
  return status;
}

/* ---- a young one begins ---- */

/* One that is expected to be short begins with what may be its last stop. */
static tri_collection_status begin_young(void) {
  now.report.young = true;
  tri_watch_keep_last(0);
  (void)mark_is_on();
  if (now.young_is_short) return stop_and_look(true);
  bool begun = take_first_roots(false);
  tri_sweep_resume();
  if (!begun || !look_beside(true)) return give_up();
  list_dirty();
  return TRI_COLLECTION_MARKING;
}

static tri_collection_status begin(tri_cycle_reason reason) {
  now.report = (tri_cycle_report){.reason = reason};
  now.listed_before = 0;
  now.looks_beside = 0;
  now.data_read = 0;
  now.held_rounds = 0;
  tri_estimate_begin();
  now.start = now.begin = tri_os_now();
  now.cpu_start = tri_os_thread_cpu();
  if (now.forked && now.can_watch) now.can_watch = tri_watch_after_fork();
  if (now.forked) tri_deep_forget();
  now.forked = false;
  tri_sweep_finish();
  bool young = reason == TRI_CYCLE_GROWTH && next_is_young();
  tri_pacing_begin(young, marking_done());
  if (!young && (!now.can_watch || now.full_is_short)) return stop_and_mark();
  now.report.concurrent = true;
  now.report.heap_before = tri_pacing_live();
  return young ? begin_young() : begin_full();
}

tri_collection_status tri_collection_begin(tri_cycle_reason reason) {
  TRI_ASSERT(!tri_collection_is_marking());
  now.turn = tri_mark_take_turn();
  tri_mark_begin();
  tri_spent_begin();
  tri_spent_step_begins();
  tri_collection_status status = begin(reason);
  tri_spent_step_ends();
  return status;
}

void tri_collection_drop(void) {
  if (!tri_collection_is_marking()) return;
  now.turn = tri_mark_take_turn();
  tri_spent_step_begins();
  (void)give_up();
}

void tri_collection_rest(void) { now.turn = tri_mark_take_turn(); }

/* ---- the rest ---- */

bool tri_collection_init(const tri_settings *settings) {
  now.check = settings->check;
  int processors = tri_os_processors();
  now.started = tri_os_now();
  tri_spent_init(now.started);
  tri_pacing_init((int)settings->gc_percent, now.started, processors);
  atomic_signal_fence(memory_order_release); /* a handler may fork: the child looks whether there is what it renews */
  now.processors = processors;
  now.can_watch = settings->gear != TRI_GEAR_NONE && tri_watch_init();
  if (now.can_watch) tri_deep_init();
  now.has_young = settings->young;
  if (!now.can_watch && settings->gear == TRI_GEAR_PAGE)
    tri_fatal("TRICOLOR_GEAR=page: the system does not tell which pages were written (userfaultfd, PAGEMAP_SCAN)");
  if (!now.can_watch && settings->gear == TRI_GEAR_AUTO && settings->trace_gc)
    tri_print("tricolor: collections stop the program for the whole mark: the system does not tell which pages were "
              "written (userfaultfd, PAGEMAP_SCAN)\n");
  tri_the_fault = (tri_fault)settings->inject;
  int processors_used = now.processors < TRI_MOST_GC_THREADS ? now.processors : TRI_MOST_GC_THREADS;
  return tri_mark_init(settings->gc_threads ? (int)settings->gc_threads : processors_used) &&
         (!now.check || tri_check_init());
}

void tri_collection_after_fork_child(bool torn) {
  now.forked = true;
  tri_generations_forget(&now.generations);
  if (now.processors) { /* else there is no heap yet */
    tri_pacing_after_fork_child(tri_os_now());
    tri_spent_after_fork_child();
  }
  if (!tri_collection_is_marking()) return;
  atomic_store_explicit(&tri_the_heap.marking, false, memory_order_relaxed);
  if (!torn) tri_mark_drop();
}
