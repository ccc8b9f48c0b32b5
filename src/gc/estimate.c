/* estimate.c - see estimate.h. */
#include "gc/estimate.h"

#include <stdatomic.h>

enum {
  BUDGET_NS = 300 * 1000, /* for the scan; */
  MOST_NS = 800 * 1000,   /* with the look before it so much; */
  LEAST_NS = 150 * 1000,  /* but so much in any case */
  PATIENT_ROUNDS = 16,    /* after which it grows */
  MOST_SHIFT = 12,
  WAKE_NS = 60 * 1000, /* until a helper that was woken is of use; and what he does has to be waited for, which takes */
  HELP_NS = 500 * 1000, /* long when he was put behind the waiting one: little work is done without */
  FIRST_PAGE_NS = 1000, /* as long as nothing is known */
  PAGE = 4096,
  WORTH_LEARNING = 64, /* pages */
};

static struct {
  _Atomic(double) page_ns; /* of a page scanned again; relaxed */
  uint64_t roots_ns, look_ns;
  uint64_t armed_at;  /* when all that was dirty was armed again; 0: not in this collection */
  size_t found;       /* dirty bytes, by the last look */
  bool is_rate_known; /* all that was found had been armed in this collection */
  double dirty_rate;  /* bytes per ns since then */
} estimate TRI_OWN_DATA = {.page_ns = FIRST_PAGE_NS};

void tri_estimate_begin(void) {
  estimate.armed_at = 0;
  estimate.found = 0;
  estimate.is_rate_known = false;
}

/* ---- what things took ---- */

void tri_estimate_note_scan(size_t bytes, uint64_t duration) {
  size_t pages = bytes / PAGE;
  if (pages < WORTH_LEARNING) return;
  double before = atomic_load_explicit(&estimate.page_ns, memory_order_relaxed);
  atomic_store_explicit(&estimate.page_ns, (before + (double)duration / (double)pages) / 2, memory_order_relaxed);
}

void tri_estimate_note_roots(uint64_t duration) { estimate.roots_ns = duration; }
void tri_estimate_note_look(uint64_t duration) { estimate.look_ns = duration; }

void tri_estimate_note_dirty(size_t bytes, uint64_t time, bool armed) {
  uint64_t passed = time - estimate.armed_at;
  estimate.found = bytes;
  if (estimate.armed_at && passed) {
    estimate.dirty_rate = (double)bytes / (double)passed;
    estimate.is_rate_known = true;
  }
  if (armed) estimate.armed_at = time;
}

/* ---- what they will take ---- */

uint64_t tri_estimate_scan(size_t bytes) {
  return (uint64_t)((double)bytes / PAGE * atomic_load_explicit(&estimate.page_ns, memory_order_relaxed));
}

bool tri_estimate_is_worth_help(size_t bytes) { return tri_estimate_scan(bytes) > HELP_NS; }

uint64_t tri_estimate_scan_stopped(size_t bytes, int markers) {
  uint64_t alone = tri_estimate_scan(bytes);
  return alone > HELP_NS ? WAKE_NS + (alone - WAKE_NS) / (uint64_t)markers : alone;
}

/* As long as the rate is not known, as much as there was the last time: it may have become dirty again meanwhile. */
size_t tri_estimate_dirty(uint64_t time) {
  if (!estimate.is_rate_known) return estimate.found;
  return (size_t)(estimate.dirty_rate * (double)(time - estimate.armed_at));
}

uint64_t tri_estimate_roots(void) { return estimate.roots_ns; }
uint64_t tri_estimate_look(void) { return estimate.look_ns; }

uint64_t tri_estimate_budget(uint32_t rounds) {
  uint64_t left = estimate.look_ns < MOST_NS ? MOST_NS - estimate.look_ns : 0;
  uint64_t budget = tri_max(tri_min(left, (uint64_t)BUDGET_NS), (uint64_t)LEAST_NS);
  uint32_t over = rounds > PATIENT_ROUNDS ? rounds - PATIENT_ROUNDS : 0;
  return budget << (over < MOST_SHIFT ? over : MOST_SHIFT);
}
