/* spent.c - see spent.h. */
#include "gc/spent.h"

#include "gc/mark.h"
#include "gc/pacer_cpu.h"
#include "gc/pacing.h"

static struct {
  tri_pacer_spent all;                       /* by collections that are over, and all stops */
  uint64_t step_cpu, step_marking, stop_cpu; /* processor time when the step, the stop began: its thread's; markers' */
  uint64_t own, own_marking;                 /* in steps of this collection: all but stops; what markers used */
  uint64_t stop_start;
  uint64_t free_since, free_cpu, free_marking; /* the end of the last stop; processor time of the process, of markers */
} spent TRI_OWN_DATA;

void tri_spent_init(uint64_t time) {
  spent.free_since = time;
  spent.free_cpu = tri_os_process_cpu();
}

void tri_spent_begin(void) { spent.own = spent.own_marking = spent.free_marking = 0; }

void tri_spent_step_begins(void) {
  spent.step_cpu = tri_os_thread_cpu();
  spent.step_marking = tri_mark_figures().cpu_ns;
}

void tri_spent_step_ends(void) {
  spent.own += tri_os_thread_cpu() - spent.step_cpu;
  spent.own_marking += tri_mark_figures().cpu_ns - spent.step_marking;
}

/* Of marking what was done between the steps, and of the steps all but the stops. */
void tri_spent_end(void) {
  tri_spent_step_ends();
  tri_mark_result result = tri_mark_figures();
  spent.all.workers += spent.own + result.cpu_ns - spent.own_marking;
  spent.all.assist += result.assist_cpu_ns;
  tri_spent_step_begins();
}

/* ---- stops ---- */

static uint64_t used_by_markers(void) {
  tri_mark_result result = tri_mark_figures();
  return result.cpu_ns + result.assist_cpu_ns;
}

static tri_limiter_times times_since_stop(uint64_t time) {
  uint64_t had = (time - spent.free_since) * (uint64_t)tri_os_processors();
  uint64_t used = tri_os_process_cpu() - spent.free_cpu;
  return (tri_limiter_times){.assist = used_by_markers() - spent.free_marking, .idle = had > used ? had - used : 0};
}

uint64_t tri_spent_stop_begins(void) {
  uint64_t time = tri_os_now();
  tri_pacing_stop_begins(time, times_since_stop(time));
  spent.stop_cpu = tri_os_thread_cpu();
  return spent.stop_start = tri_os_now();
}

void tri_spent_stop_ends(uint64_t time) {
  spent.step_cpu += tri_os_thread_cpu() - spent.stop_cpu;
  spent.all.stopped += time - spent.stop_start;
  tri_pacing_stop_ends(time);
  spent.free_since = time;
  spent.free_cpu = tri_os_process_cpu();
  spent.free_marking = used_by_markers();
}

double tri_spent_fraction(uint64_t elapsed) { return tri_pacer_cpu_fraction(&spent.all, elapsed, tri_os_processors()); }

void tri_spent_after_fork_child(void) { tri_spent_init(tri_os_now()); }
