/* mark.c - the sessions of a mark: jobs handed out, helpers called (gc/helpers.h), and everybody gone when it is over.
 * See mark.h; what a marker does is marker.c's. */
#include "gc/mark.h"

#include "gc/fault.h"
#include "gc/marker.h"
#include "heap/heap.h"

enum {
  DIRTY_AT_ONCE = 8,         /* ranges, */
  BYTES_AT_ONCE = 32 * 1024, /* or as many as have so many bytes: full of pointers, they take some 30 microseconds */
  ASSISTED_AT_ONCE = 8 * 1024,
  SPINS = 500,
};

static struct {
  bool has_stacks;     /* of an earlier stop of this mark */
  _Atomic(int) active; /* markers that are or may be inside a session. seq_cst against tri_work_is_over: see come_in */
  tri_mark_jobs jobs;  /* written between sessions */
  _Atomic(size_t) next_root, next_dirty; /* relaxed: a ticket each */
  _Atomic(size_t) bytes, rescanned;      /* relaxed figures, as the rest */
  _Atomic(uint64_t) cpu, idle_cpu, assist, assist_cpu;
  uint64_t director_cpu; /* part of cpu: of who has the turn, and alone uses this */
  _Atomic(int) joined, joined_most;
} mark TRI_OWN_DATA;

static void add_size(_Atomic(size_t) *sum, size_t more) { atomic_fetch_add_explicit(sum, more, memory_order_relaxed); }
static void add_time(_Atomic(uint64_t) *sum, uint64_t more) {
  atomic_fetch_add_explicit(sum, more, memory_order_relaxed);
}

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
static size_t take_dirty(size_t most, size_t *first) {
  size_t next = atomic_load_explicit(&mark.next_dirty, memory_order_relaxed), count;
  do {
    size_t left = next < mark.jobs.dirty_count ? mark.jobs.dirty_count - next : 0, bytes = 0;
    for (count = 0; count < left && count < DIRTY_AT_ONCE && bytes < most; count++)
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
  while (!tri_work_is_over() && (count = take_dirty(BYTES_AT_ONCE, &first))) {
    (void)rescan_ranges(marker, first, count);
    if (marker->deadline && tri_os_now() >= marker->deadline) tri_work_end();
  }
}

/* For who assists: dirty ranges count as what they hold. Some of them are left half done by nobody. */
static size_t rescan_some(tri_marker *marker, size_t bytes, uint64_t until) {
  size_t first, count, done = 0;
  while (done < bytes && !tri_work_is_over() && tri_os_now() < until && (count = take_dirty(ASSISTED_AT_ONCE, &first)))
    done += rescan_ranges(marker, first, count);
  return done;
}

static void work_off(tri_marker *marker) {
  scan_roots(marker);
  rescan(marker);
  tri_marker_drain(marker);
}

/* Returns the processor's time it took. */
static uint64_t settle(tri_marker *marker, uint64_t cpu_start) {
  tri_marker_end(marker);
  add_size(&mark.bytes, marker->bytes);
  return tri_os_thread_cpu() - cpu_start;
}

/* ---- helpers ---- */

/* seq_cst: who is late for a session sees it over, or wait_for_markers sees him. So nobody touches buffers between
 * sessions, when jobs are set and the process may fork. */
static void come_in(void) { atomic_fetch_add_explicit(&mark.active, 1, memory_order_seq_cst); }
static void go_out(void) { atomic_fetch_sub_explicit(&mark.active, 1, memory_order_acq_rel); }

/* Until a time, looking for something to do all the while. Returns how much it was. */
static size_t work_off_until(tri_marker *marker, uint64_t until) {
  size_t rescanned = 0;
  while (!tri_work_is_over() && tri_os_now() < until) {
    rescanned += rescan_some(marker, SIZE_MAX, until);
    tri_marker_drain_some(marker, SIZE_MAX, until);
  }
  return marker->bytes + rescanned;
}

static bool join_in(uint64_t until) {
  uint64_t cpu_start = tri_os_thread_cpu();
  tri_marker marker;
  bool found = false;
  if (!tri_marker_begin(&marker, 0)) return false;
  bool joined = tri_work_join();
  if (joined) {
    atomic_fetch_add_explicit(&mark.joined, !until, memory_order_relaxed);
    if (until)
      found = work_off_until(&marker, until) != 0;
    else
      work_off(&marker);
  }
  add_time(until ? &mark.idle_cpu : &mark.cpu, settle(&marker, cpu_start));
  if (joined && until) tri_work_leave();
  return found;
}

static bool help(uint64_t until) {
  come_in();
  bool found = !tri_work_is_over() && join_in(until);
  go_out();
  return found;
}

enum { HELP_WORTH = 2 * 1024 * 1024 }; /* a mark expected to be smaller than this is done alone */

void tri_mark_start_helpers(size_t marked_bytes) {
  if (marked_bytes >= HELP_WORTH) tri_helpers_start();
}

int tri_mark_markers(void) { return 1 + tri_helpers_count(); }

tri_helpers_call tri_mark_help_for(size_t bytes, tri_helpers_call most) {
  return bytes >= HELP_WORTH ? most : TRI_HELPERS_NONE;
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
  mark.director_cpu = 0;
  atomic_store_explicit(&mark.idle_cpu, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.assist, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.assist_cpu, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.joined_most, 0, memory_order_relaxed);
}

static void settle_director(tri_marker *marker, uint64_t cpu_start) {
  uint64_t took = settle(marker, cpu_start);
  add_time(&mark.cpu, took);
  mark.director_cpu += took;
}

/* Sessions; who directs one counts as active. False when the turn is another's. */
static bool begin_session(uint32_t turn, tri_helpers_call call, tri_marker *marker, uint64_t deadline) {
  if (!tri_work_begin(turn)) return false;
  while (!tri_marker_begin(marker, deadline)) {
    tri_work_end(); /* a helper who comes late has the last buffer, and would keep it as long as the session is open */
    wait_for_markers(1);
    if (!tri_work_begin(turn)) return false;
  }
  atomic_store_explicit(&mark.joined, 0, memory_order_relaxed);
  tri_helpers_call_in(call);
  return true;
}

static void end_session(tri_marker *marker, uint64_t cpu_start) {
  tri_helpers_dismiss();
  settle_director(marker, cpu_start);
  wait_for_markers(1);
  int joined = atomic_load_explicit(&mark.joined, memory_order_relaxed);
  if (joined > atomic_load_explicit(&mark.joined_most, memory_order_relaxed))
    atomic_store_explicit(&mark.joined_most, joined, memory_order_relaxed);
}

static bool run_session(uint32_t turn, tri_helpers_call call, uint64_t deadline) {
  uint64_t cpu_start = tri_os_thread_cpu();
  tri_marker marker;
  if (!begin_session(turn, call, &marker, deadline)) return false;
  (void)tri_marker_drain_overflow(&marker);
  work_off(&marker);
  end_session(&marker, cpu_start);
  return true;
}

bool tri_mark_is_left(void) { return tri_work_is_left() || jobs_are_left() || tri_marker_overflowed(); }

bool tri_mark_run(uint32_t turn, tri_helpers_call call, uint64_t deadline) {
  bool in_time = true, mine = true;
  come_in();
  do {
    mine = run_session(turn, call, deadline);
    in_time = !deadline || tri_os_now() < deadline;
  } while (mine && in_time && tri_mark_is_left());
  bool done = mine && !tri_mark_is_left();
  go_out();
  return done;
}

void tri_mark_read(uint32_t turn, tri_helpers_call call, const tri_root *roots, size_t count) {
  uint64_t cpu_start = tri_os_thread_cpu();
  tri_marker marker;
  tri_mark_set_jobs((tri_mark_jobs){.roots = roots, .root_count = count});
  come_in();
  if (begin_session(turn, call, &marker, 0)) {
    scan_roots(&marker);
    tri_work_end();
    end_session(&marker, cpu_start);
  }
  go_out();
  tri_mark_set_jobs((tri_mark_jobs){.roots = NULL});
}

bool tri_mark_shade(const tri_root *roots, size_t count) {
  tri_marker marker;
  uint64_t cpu_start = tri_os_thread_cpu();
  if (!tri_marker_begin(&marker, 0)) return false;
  for (size_t i = 0; i < count; i++)
    if (!is_skipped(&roots[i], false)) tri_marker_scan_root(&marker, &roots[i]);
  for (size_t i = 0; i < count && !mark.has_stacks; i++) mark.has_stacks = roots[i].kind == TRI_ROOT_STACK;
  settle_director(&marker, cpu_start);
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
  add_time(&mark.assist_cpu, tri_os_thread_cpu() - cpu_start);
  add_time(&mark.assist, tri_os_now() - start);
  go_out();
  return done;
}

tri_mark_result tri_mark_figures(void) {
  return (tri_mark_result){.marked_bytes = atomic_load_explicit(&mark.bytes, memory_order_relaxed),
                           .rescanned = atomic_load_explicit(&mark.rescanned, memory_order_relaxed),
                           .cpu_ns = atomic_load_explicit(&mark.cpu, memory_order_relaxed),
                           .director_cpu_ns = mark.director_cpu,
                           .idle_cpu_ns = atomic_load_explicit(&mark.idle_cpu, memory_order_relaxed),
                           .assist_ns = atomic_load_explicit(&mark.assist, memory_order_relaxed),
                           .assist_cpu_ns = atomic_load_explicit(&mark.assist_cpu, memory_order_relaxed),
                           .markers = 1 + atomic_load_explicit(&mark.joined_most, memory_order_relaxed)};
}

bool tri_mark_init(int markers) {
  tri_helpers_init(markers, help);
  tri_work_buffer *buffer = tri_work_new();
  if (buffer) tri_work_recycle(buffer);
  return buffer != NULL;
}

/* When the process forked no marker was at work; but the collector may just have found that its turn is over. */
void tri_mark_after_fork_child(void) {
  tri_helpers_after_fork_child();
  tri_work_after_fork_child();
  atomic_store_explicit(&mark.active, 0, memory_order_relaxed);
}
