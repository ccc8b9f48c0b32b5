/* mark.c - the sessions of a mark: jobs handed out, helpers called, and everybody gone when it is over. See mark.h;
 * what a marker does is marker.c's. */
#include "gc/mark.h"

#include "gc/fault.h"
#include "gc/marker.h"
#include "heap/heap.h"

enum {
  DIRTY_AT_ONCE = 8,         /* ranges, */
  BYTES_AT_ONCE = 32 * 1024, /* or as many as have so many bytes: full of pointers, they take some 30 microseconds */
  SPINS = 500,
};

static struct {
  int max_markers;
  bool has_stacks; /* of an earlier stop of this mark */
  _Atomic(int) helpers_started;
  _Atomic(uint32_t) generation; /* futex word: a session helpers may join. Release; pairs with their acquire */
  _Atomic(int)
      active; /* markers that are or may be inside a session. seq_cst against tri_work_is_over: see helper_main */
  tri_mark_jobs jobs;                    /* written between sessions */
  _Atomic(size_t) next_root, next_dirty; /* relaxed: a ticket each */
  _Atomic(size_t) bytes, rescanned;      /* relaxed figures, as the rest */
  _Atomic(uint64_t) cpu, assist, assist_cpu;
  _Atomic(int) joined, joined_most;
} mark TRI_OWN_DATA;

static void add_size(_Atomic(size_t) *sum, size_t more) { atomic_fetch_add_explicit(sum, more, memory_order_relaxed); }

/* ---- jobs ---- */

void tri_mark_set_jobs(tri_mark_jobs jobs) {
  mark.jobs = jobs;
  atomic_store_explicit(&mark.next_root, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.next_dirty, 0, memory_order_relaxed);
}

/* A ticket may exceed the count by as many markers as there are. */
static size_t taken(_Atomic(size_t) *next, size_t count) {
  return tri_min(atomic_load_explicit(next, memory_order_relaxed), count);
}

size_t tri_mark_dirty_left(void) { return mark.jobs.dirty_count - taken(&mark.next_dirty, mark.jobs.dirty_count); }

static bool jobs_are_left(void) {
  return tri_mark_dirty_left() || taken(&mark.next_root, mark.jobs.root_count) < mark.jobs.root_count;
}

/* By an injected fault: stacks are never looked at; or not in the last stop, so that they are taken too early. */
static bool is_skipped(const tri_root *root, bool is_last) {
  return root->kind == TRI_ROOT_STACK &&
         (tri_fault_is(TRI_FAULT_ROOT) || (is_last && tri_fault_is(TRI_FAULT_STACK) && mark.has_stacks));
}

static void scan_roots(tri_marker *marker) {
  size_t index;
  while (!tri_work_is_over() &&
         (index = atomic_fetch_add_explicit(&mark.next_root, 1, memory_order_relaxed)) < mark.jobs.root_count) {
    if (!is_skipped(&mark.jobs.roots[index], true)) tri_marker_scan_root(marker, &mark.jobs.roots[index]);
  }
}

/* Some at a time: as much as may be scanned between two looks at the clock. */
static size_t take_dirty(size_t *first) {
  size_t next = atomic_load_explicit(&mark.next_dirty, memory_order_relaxed), count;
  do {
    size_t left = next < mark.jobs.dirty_count ? mark.jobs.dirty_count - next : 0, bytes = 0;
    for (count = 0; count < left && count < DIRTY_AT_ONCE && bytes < BYTES_AT_ONCE; count++)
      bytes += mark.jobs.dirty[next + count].high - mark.jobs.dirty[next + count].low;
  } while (count && !atomic_compare_exchange_weak_explicit(&mark.next_dirty, &next, next + count, memory_order_relaxed,
                                                           memory_order_relaxed));
  *first = next;
  return count;
}

static size_t rescan_ranges(tri_marker *marker, size_t first, size_t count) {
  const tri_os_range *ranges = mark.jobs.dirty + first;
  size_t bytes = 0;
  tri_marker_rescan(marker, ranges, count);
  for (size_t i = 0; i < count; i++) bytes += ranges[i].high - ranges[i].low;
  add_size(&mark.rescanned, bytes);
  return bytes;
}

static void rescan(tri_marker *marker) {
  size_t first, count;
  while (!tri_work_is_over() && (count = take_dirty(&first))) {
    (void)rescan_ranges(marker, first, count);
    if (marker->deadline && tri_os_now() >= marker->deadline) tri_work_end();
  }
}

/* For who assists: dirty ranges count as what they hold. Some of them are left half done by nobody. */
static size_t rescan_some(tri_marker *marker, size_t bytes, uint64_t until) {
  size_t first, count, done = 0;
  while (done < bytes && !tri_work_is_over() && tri_os_now() < until && (count = take_dirty(&first)))
    done += rescan_ranges(marker, first, count);
  return done;
}

static void work_off(tri_marker *marker) {
  scan_roots(marker);
  rescan(marker);
  tri_marker_drain(marker);
}

static void settle(tri_marker *marker, uint64_t cpu_start) {
  tri_marker_end(marker);
  add_size(&mark.bytes, marker->bytes);
  atomic_fetch_add_explicit(&mark.cpu, tri_os_thread_cpu() - cpu_start, memory_order_relaxed);
}

/* ---- helpers ---- */

static void help(void) {
  uint64_t cpu_start = tri_os_thread_cpu();
  tri_marker marker;
  if (!tri_marker_begin(&marker, 0)) return;
  if (tri_work_join()) {
    atomic_fetch_add_explicit(&mark.joined, 1, memory_order_relaxed);
    work_off(&marker);
  }
  settle(&marker, cpu_start);
}

/* seq_cst: who is late for a session sees it over, or wait_for_markers sees him. So nobody touches buffers between
 * sessions, when jobs are set and the process may fork. */
static void come_in(void) { atomic_fetch_add_explicit(&mark.active, 1, memory_order_seq_cst); }
static void go_out(void) { atomic_fetch_sub_explicit(&mark.active, 1, memory_order_acq_rel); }

static void helper_main(void *argument) {
  (void)argument;
  uint32_t seen = atomic_load_explicit(&mark.generation, memory_order_acquire) - 1;
  for (;;) {
    uint32_t generation;
    while ((generation = atomic_load_explicit(&mark.generation, memory_order_acquire)) == seen)
      tri_os_wait(&mark.generation, seen, 0);
    seen = generation;
    come_in();
    if (!tri_work_is_over()) help();
    go_out();
  }
}

enum { HELP_WORTH = 2 * 1024 * 1024 }; /* a mark expected to be smaller than this is done alone */

void tri_mark_start_helpers(size_t marked_bytes) {
  int wanted = mark.max_markers - 1;
  if (marked_bytes < HELP_WORTH ||
      atomic_exchange_explicit(&mark.helpers_started, wanted, memory_order_relaxed) == wanted)
    return;
  for (int i = 0; i < wanted; i++) tri_thread_start_own(helper_main, NULL, "tricolor-mark");
}

int tri_mark_markers(void) { return 1 + atomic_load_explicit(&mark.helpers_started, memory_order_relaxed); }

tri_mark_help tri_mark_help_for(size_t bytes) { return bytes >= HELP_WORTH ? TRI_MARK_WITH_HELP : TRI_MARK_ALONE; }

static void call_helpers(void) {
  atomic_fetch_add_explicit(&mark.generation, 1, memory_order_release);
  tri_os_wake(&mark.generation, INT32_MAX);
}

/* Who is waited for may have been put onto the waiting one's processor: to spin there keeps him from running, for as
 * long as the system's time slice, which is milliseconds. */
static void relax_or_yield(int looks) {
  if (looks < SPINS)
    tri_os_relax();
  else
    tri_os_yield();
}

/* One that woke late finds the session over and leaves; all are gone when this returns, and none comes back before the
 * next session, except to find it over again. The caller may count itself. */
static void wait_for_markers(int but) {
  for (int looks = 0; atomic_load_explicit(&mark.active, memory_order_seq_cst) != but; looks++) relax_or_yield(looks);
}

uint32_t tri_mark_take_turn(void) {
  uint32_t turn = tri_work_take_turn();
  wait_for_markers(0);
  return turn;
}

/* ---- one mark ---- */

void tri_mark_begin(void) {
  tri_mark_set_jobs((tri_mark_jobs){.roots = NULL});
  mark.has_stacks = false;
  atomic_store_explicit(&mark.bytes, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.rescanned, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.cpu, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.assist, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.assist_cpu, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.joined_most, 0, memory_order_relaxed);
}

/* One session; its coordinator counts as active. */
static bool run_session(uint32_t turn, tri_mark_help help, uint64_t deadline) {
  uint64_t cpu_start = tri_os_thread_cpu();
  tri_marker marker;
  if (!tri_work_begin(turn)) return false;
  while (!tri_marker_begin(&marker, deadline))
    tri_os_yield(); /* tri_mark_init made one; somebody has it for a moment */
  atomic_store_explicit(&mark.joined, 0, memory_order_relaxed);
  if (help == TRI_MARK_WITH_HELP) call_helpers();
  (void)tri_marker_drain_overflow(&marker);
  work_off(&marker);
  settle(&marker, cpu_start);
  wait_for_markers(1);
  int joined = atomic_load_explicit(&mark.joined, memory_order_relaxed);
  if (joined > atomic_load_explicit(&mark.joined_most, memory_order_relaxed))
    atomic_store_explicit(&mark.joined_most, joined, memory_order_relaxed);
  return true;
}

bool tri_mark_is_left(void) { return tri_work_is_left() || jobs_are_left() || tri_marker_overflowed(); }

bool tri_mark_run(uint32_t turn, tri_mark_help help, uint64_t deadline) {
  bool in_time = true, mine = true;
  come_in();
  do {
    mine = run_session(turn, help, deadline);
    in_time = !deadline || tri_os_now() < deadline;
  } while (mine && in_time && tri_mark_is_left());
  bool done = mine && !tri_mark_is_left();
  go_out();
  return done;
}

bool tri_mark_shade(const tri_root *roots, size_t count) {
  tri_marker marker;
  uint64_t cpu_start = tri_os_thread_cpu();
  if (!tri_marker_begin(&marker, 0)) return false;
  for (size_t i = 0; i < count; i++)
    if (!is_skipped(&roots[i], false)) tri_marker_scan_root(&marker, &roots[i]);
  for (size_t i = 0; i < count && !mark.has_stacks; i++) mark.has_stacks = roots[i].kind == TRI_ROOT_STACK;
  settle(&marker, cpu_start);
  return true;
}

void tri_mark_drop(void) {
  tri_work_drop();
  tri_marker_drop_overflow();
}

size_t tri_mark_assist(size_t bytes, uint64_t time) {
  size_t done = 0;
  tri_marker marker;
  if (tri_work_is_over()) return 0;
  uint64_t start = tri_os_now(), cpu_start = tri_os_thread_cpu();
  come_in();
  if (!tri_work_is_over() && tri_marker_begin(&marker, 0)) {
    bool joined = tri_work_join();
    if (joined) done = rescan_some(&marker, bytes, start + time);
    if (joined && done < bytes) tri_marker_drain_some(&marker, bytes - done, start + time);
    tri_marker_end(&marker);
    if (joined) tri_work_leave();
    done += marker.bytes;
    add_size(&mark.bytes, marker.bytes);
  }
  atomic_fetch_add_explicit(&mark.assist_cpu, tri_os_thread_cpu() - cpu_start, memory_order_relaxed);
  atomic_fetch_add_explicit(&mark.assist, tri_os_now() - start, memory_order_relaxed);
  go_out();
  return done;
}

tri_mark_result tri_mark_figures(void) {
  return (tri_mark_result){.marked_bytes = atomic_load_explicit(&mark.bytes, memory_order_relaxed),
                           .rescanned = atomic_load_explicit(&mark.rescanned, memory_order_relaxed),
                           .cpu_ns = atomic_load_explicit(&mark.cpu, memory_order_relaxed),
                           .assist_ns = atomic_load_explicit(&mark.assist, memory_order_relaxed),
                           .assist_cpu_ns = atomic_load_explicit(&mark.assist_cpu, memory_order_relaxed),
                           .markers = 1 + atomic_load_explicit(&mark.joined_most, memory_order_relaxed)};
}

bool tri_mark_init(int markers) {
  mark.max_markers = markers;
  tri_work_buffer *buffer = tri_work_new();
  if (buffer) tri_work_recycle(buffer);
  return buffer != NULL;
}

void tri_mark_after_fork_child(void) {
  atomic_store_explicit(&mark.helpers_started, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.active, 0, memory_order_relaxed);
}
