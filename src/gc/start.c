/* start.c - see start.h. Nothing starts by itself: the first allocation or tri_init comes by here. Lock: its own,
 * outermost; the heap is not there yet, so nobody can be stopped in it. Whoever has it is busy (gc/thread.h), and calls
 * nothing that waits for the loader: who holds the loader's lock may wait here. */
#include "gc/start.h"

#include "base/fmt.h"
#include "gc/check.h"
#include "gc/thread.h"
#include "gc/work.h"
#include "heap/layout.h"

void (*tri_start_observer)(const tri_cycle_report *) TRI_OWN_DATA;

static struct {
  _Atomic(uint32_t) turn; /* 0: nobody, 1: somebody is at it. Acquire and release order what start did */
  _Atomic(bool) done;
  bool cut_off; /* by a fork for which it was not paused: who was at it is not in the child */
  tri_settings settings;
} start TRI_OWN_DATA;

/* What this thread has the turn for. */
static _Thread_local enum { NOTHING, STARTING, FORKING } turn_for __attribute__((tls_model("initial-exec")));

const tri_settings *tri_start_settings(void) { return &start.settings; }

static bool is_done(void) { return atomic_load_explicit(&start.done, memory_order_acquire); }

static void take_turn(void) {
  tri_gate_look();
  tri_thread_busy_begin();
  while (atomic_exchange_explicit(&start.turn, 1, memory_order_acquire)) tri_os_sleep(50 * 1000);
}

static void pass_turn(void) {
  atomic_store_explicit(&start.turn, 0, memory_order_release);
  tri_thread_busy_end();
}

/* The program may start the heap before the observer is set. */
static void observe(const tri_cycle_report *report) {
  if (tri_start_observer) tri_start_observer(report);
}

static bool start_heap(const tri_settings *settings) {
  if (!tri_the_arena.base && !tri_arena_init((size_t)settings->heap_reserve)) return false;
  if (!settings->huge_pages) tri_the_arena.huge_from = SIZE_MAX;
  return tri_page_heap_init() && tri_central_init() && tri_layout_init();
}

/* The stop signal's handler comes last: were it installed twice, the second would take the first for the program's. */
static bool start_all(const tri_settings *settings) {
  tri_the_heap.check = settings->check;
  tri_the_heap.poison = settings->poison;
  tri_the_heap.collect_every = (uint32_t)settings->collect_every;
  tri_work_limit((size_t)settings->work_buffers);
  return start_heap(settings) && tri_threads_init() && tri_cycle_init(settings, observe) &&
         tri_stop_init((int)settings->signal);
}

static void say_cut_off(void) {
  static _Atomic(bool) said TRI_OWN_DATA; /* relaxed: it stands alone */
  if (atomic_exchange_explicit(&said, true, memory_order_relaxed)) return;
  tri_print("tricolor: the heap cannot be started in this process: it was forked by a bare system call, or by a signal "
            "handler, while another thread was starting it\n");
}

static bool start_now(const tri_settings *settings) {
  if (start.cut_off) {
    say_cut_off();
    return false;
  }
  if (settings)
    start.settings = *settings;
  else
    (void)tri_settings_read(&start.settings); /* complaints are printed; defaults stand in */
  bool good = start_all(&start.settings);
  atomic_store_explicit(&start.done, good, memory_order_release);
  return good;
}

bool tri_start(const tri_settings *settings, bool *already) {
  *already = is_done();
  if (*already) return true;
  if (turn_for == STARTING) return false; /* a handler that has interrupted it */
  tri_os_tls_prepare();
  bool forks = turn_for == FORKING; /* a handler of the program's, within the fork */
  if (!forks) take_turn();
  turn_for = STARTING;
  *already = is_done();
  bool good = *already || start_now(settings);
  turn_for = forks ? FORKING : NOTHING;
  if (!forks) pass_turn();
  return good;
}

static struct tri_cache *attach(void) {
  bool already;
  if (!tri_start(NULL, &already)) return NULL;
  tri_thread *thread = tri_thread_attach_self();
  return thread ? &thread->cache : NULL;
}

/* The heap's attach hook, from the first instruction on (heap/heap.c). */
__attribute__((section("tri_attach"), used)) static tri_attach_function *const attach_hook = attach;

/* ---- fork ---- */

void tri_start_pause(void) {
  take_turn();
  if (is_done())
    pass_turn();
  else
    turn_for = FORKING;
}

void tri_start_resume(void) {
  if (turn_for != FORKING) return;
  turn_for = NOTHING;
  pass_turn();
}

/* Relaxed: there is one thread. */
void tri_start_after_fork_child(void) {
  bool others = atomic_load_explicit(&start.turn, memory_order_relaxed) && turn_for == NOTHING;
  start.cut_off = start.cut_off || (others && !is_done());
  atomic_store_explicit(&start.turn, turn_for != NOTHING, memory_order_relaxed);
}
