/* test_pages_oracle.c - random operations on the page allocator and, beside it, on a model: a byte for each page, where
 * everything is found by looking at all of them. TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "pages_fixture.h"
#include "random.h"

static test_random dice;

static bool chance(size_t percent) { return random_below(&dice, 100) < percent; }

/* ---- the model ---- */

enum { ALLOCATED = 1, RELEASED = 2, ZERO = 4 }; /* flags of a page */
enum { CACHES = 4, MAX_TAKES = 3, MAX_RUNS = 1 << 16 };

typedef struct live_run {
  size_t page, count;
} live_run;

typedef struct model {
  fixture f;
  size_t max_chunks, chunks;
  unsigned char *page; /* flags */
  unsigned char *kind; /* of each chunk */
  bool *huge;          /* each chunk */
  live_run *runs;      /* what the program holds */
  size_t run_count;
  size_t allocated, free_released;
  tri_page_cache cache[CACHES];
  size_t cache_base[CACHES];
  unsigned char cached[CACHES][64]; /* ALLOCATED: the cache has the page; ZERO */
  tri_pages_run takes[MAX_TAKES];
  size_t take_count;
  size_t failed_allocs, straddles, takes_done, unassigned_takes; /* what the run has covered */
} model;

static void model_start(model *m, size_t max_chunks) {
  *m = (model){.max_chunks = max_chunks};
  fixture_start(&m->f, max_chunks);
  m->page = calloc(max_chunks, PER_CHUNK);
  m->kind = calloc(max_chunks, 1);
  m->huge = calloc(max_chunks, sizeof *m->huge);
  m->runs = calloc(MAX_RUNS, sizeof *m->runs);
  assert_true(m->page && m->kind && m->huge && m->runs);
}

static void model_end(model *m) {
  fixture_end(&m->f);
  free(m->page);
  free(m->kind);
  free(m->huge);
  free(m->runs);
}

static size_t model_pages(const model *m) { return m->chunks * PER_CHUNK; }

static size_t model_first_fit_among(const model *m, int kind, bool open, size_t count) {
  size_t run = 0;
  for (size_t i = 0; i < model_pages(m); i++) {
    int has = m->kind[i / PER_CHUNK];
    bool usable = has == kind || (open && has == TRI_PAGES_KINDS);
    run = usable && !(m->page[i] & ALLOCATED) ? run + 1 : 0;
    if (run == count) return i + 1 - count;
  }
  return TRI_PAGES_NONE;
}

static size_t model_first_fit(const model *m, int kind, size_t count) {
  size_t page = model_first_fit_among(m, kind, false, count);
  return page != TRI_PAGES_NONE ? page : model_first_fit_among(m, kind, true, count);
}

static size_t model_chunks_wanted(const model *m, int kind, size_t count) {
  size_t tail = 0;
  for (size_t i = model_pages(m); i-- > 0 && tail < count; tail++) {
    int has = m->kind[i / PER_CHUNK];
    if ((m->page[i] & ALLOCATED) || (has != kind && has != TRI_PAGES_KINDS)) break;
  }
  size_t wanted = 0;
  while (tail + wanted * PER_CHUNK < count) wanted++;
  return wanted;
}

/* The system provides the page, and in a huge chunk its block. Returns how many of these were released. */
static size_t model_provide(model *m, size_t page) {
  size_t step = m->huge[page / PER_CHUNK] ? PER_HUGE : 1, first = page - page % step, count = 0;
  for (size_t i = first; i < first + step; i++) {
    if (!(m->page[i] & RELEASED)) continue;
    m->page[i] &= (unsigned char)~RELEASED;
    count++;
  }
  m->free_released -= count;
  return count;
}

/* Marks a page allocated, assigns its chunk; returns whether it was zero. */
static bool model_take(model *m, int kind, size_t page) {
  bool zero = (m->page[page] & ZERO) != 0;
  unsigned char *has = &m->kind[page / PER_CHUNK];
  assert_false(m->page[page] & ALLOCATED);
  if (kind < TRI_PAGES_KINDS && *has == TRI_PAGES_KINDS) *has = (unsigned char)kind;
  m->page[page] = (unsigned char)((m->page[page] & RELEASED) | ALLOCATED);
  m->allocated++;
  return zero;
}

static void model_give(model *m, size_t page, unsigned flags) {
  assert_true(m->page[page] & ALLOCATED);
  m->page[page] = (unsigned char)flags;
  m->allocated--;
  if (flags & RELEASED) m->free_released++;
  size_t first = page - page % PER_CHUNK;
  for (size_t i = first; i < first + PER_CHUNK; i++)
    if (m->page[i] & ALLOCATED) return;
  m->kind[page / PER_CHUNK] = TRI_PAGES_KINDS;
}

static bool model_is_candidate(const model *m, size_t page, bool any) {
  if (m->page[page] & (ALLOCATED | RELEASED)) return false;
  if (any || !m->huge[page / PER_CHUNK]) return true;
  size_t first = page - page % PER_HUGE;
  for (size_t i = first; i < first + PER_HUGE; i++)
    if (m->page[i] & ALLOCATED) return false;
  return true;
}

/* ---- operations on both ---- */

static void model_grow(model *m, size_t count) {
  bool huge = chance(50);
  tri_pages_grow(&m->f.pages, count, huge);
  for (size_t c = m->chunks; c < m->chunks + count; c++) {
    memset(m->page + c * PER_CHUNK, RELEASED | ZERO, PER_CHUNK);
    m->kind[c] = TRI_PAGES_KINDS;
    m->huge[c] = huge;
  }
  m->chunks += count;
  m->free_released += count * PER_CHUNK;
}

static void model_alloc(model *m, size_t count) {
  int kind = (int)random_below(&dice, TRI_PAGES_KINDS);
  size_t expected = model_first_fit(m, kind, count);
  if (expected == TRI_PAGES_NONE) {
    size_t wanted = model_chunks_wanted(m, kind, count);
    m->failed_allocs++;
    assert_int_equal(tri_pages_alloc(&m->f.pages, (tri_pages_kind)kind, count).page, TRI_PAGES_NONE);
    assert_int_equal(tri_pages_chunks_wanted(&m->f.pages, (tri_pages_kind)kind, count), wanted);
    if (m->chunks + wanted > m->max_chunks || m->run_count == MAX_RUNS) return;
    model_grow(m, wanted);
    expected = model_first_fit(m, kind, count);
    assert_true(expected != TRI_PAGES_NONE);
  }
  if (m->run_count == MAX_RUNS) return;
  size_t last = expected + count - 1;
  m->straddles += m->kind[expected / PER_CHUNK] != m->kind[last / PER_CHUNK];
  tri_pages_run run = tri_pages_alloc(&m->f.pages, (tri_pages_kind)kind, count);
  assert_int_equal(run.page, expected);
  assert_int_equal(run.count, count);
  size_t unreleased = 0;
  bool zero = true;
  for (size_t i = expected; i <= last; i++) {
    unreleased += model_provide(m, i);
    zero &= model_take(m, kind, i);
  }
  assert_int_equal(run.unreleased, unreleased);
  assert_int_equal(run.zero, zero);
  m->runs[m->run_count++] = (live_run){run.page, run.count};
}

/* Frees all or part of a run; what is left of it stays, as up to two. */
static void model_free(model *m) {
  if (m->run_count == 0) return;
  size_t i = random_below(&dice, m->run_count);
  live_run run = m->runs[i];
  m->runs[i] = m->runs[--m->run_count];
  size_t first = run.page, count = run.count;
  if (chance(30)) {
    first += random_below(&dice, run.count);
    count = 1 + random_below(&dice, run.page + run.count - first);
  }
  size_t end = first + count, run_end = run.page + run.count;
  if (m->run_count + 2 > MAX_RUNS) first = run.page, end = run_end;
  if (first > run.page) m->runs[m->run_count++] = (live_run){run.page, first - run.page};
  if (end < run_end) m->runs[m->run_count++] = (live_run){end, run_end - end};
  tri_pages_free(&m->f.pages, first, end - first);
  for (size_t page = first; page < end; page++) model_give(m, page, 0);
}

static void model_cache_fill(model *m, size_t which) {
  int kind = (int)(which % TRI_PAGES_KINDS);
  size_t page = model_first_fit(m, kind, 1), unreleased = 0;
  size_t got = tri_page_cache_fill(&m->f.pages, (tri_pages_kind)kind, &m->cache[which]);
  if (page != TRI_PAGES_NONE) {
    m->cache_base[which] = page - page % 64;
    assert_int_equal(m->cache[which].base, m->cache_base[which]);
    for (size_t i = 0; i < 64; i++) {
      size_t at = m->cache_base[which] + i;
      if (m->page[at] & ALLOCATED) continue;
      unreleased += model_provide(m, at);
      m->cached[which][i] = model_take(m, kind, at) ? ALLOCATED | ZERO : ALLOCATED;
    }
  }
  assert_int_equal(got, unreleased);
  assert_int_equal(m->cache[which].free != 0, page != TRI_PAGES_NONE);
}

static void model_cache_flush(model *m, size_t which) {
  tri_page_cache_flush(&m->f.pages, &m->cache[which]);
  assert_int_equal(m->cache[which].free, 0);
  for (size_t i = 0; i < 64; i++)
    if (m->cached[which][i] & ALLOCATED) model_give(m, m->cache_base[which] + i, m->cached[which][i] & ZERO);
  memset(m->cached[which], 0, 64);
}

static void model_cache_alloc(model *m, size_t which) {
  size_t count = 1 + random_below(&dice, chance(70) ? 4 : 16), have = 0, end = 0;
  if (m->run_count == MAX_RUNS) return;
  unsigned char *cached = m->cached[which];
  for (; end < 64 && have < count; end++) have = cached[end] & ALLOCATED ? have + 1 : 0;
  tri_pages_run run = tri_page_cache_alloc(&m->cache[which], count);
  if (have < count) {
    assert_int_equal(run.page, TRI_PAGES_NONE);
    return;
  }
  bool zero = true;
  for (size_t i = end - count; i < end; i++) {
    zero &= (cached[i] & ZERO) != 0;
    cached[i] = 0;
  }
  assert_int_equal(run.page, m->cache_base[which] + end - count);
  assert_int_equal(run.count, count);
  assert_int_equal(run.unreleased, 0);
  assert_int_equal(run.zero, zero);
  m->runs[m->run_count++] = (live_run){run.page, run.count};
}

static void model_cache(model *m) {
  size_t which = random_below(&dice, CACHES);
  if (chance(10)) model_cache_flush(m, which);
  if (m->cache[which].free == 0)
    model_cache_fill(m, which);
  else
    model_cache_alloc(m, which);
}

static void model_take_unreleased(model *m) {
  if (m->take_count == MAX_TAKES) return;
  bool any = chance(50);
  size_t max = 1 + random_below(&dice, chance(50) ? 20 : 600), end = model_pages(m);
  while (end > 0 && !model_is_candidate(m, end - 1, any)) end--;
  tri_pages_run run = tri_pages_take_unreleased(&m->f.pages, max, any);
  if (end == 0) {
    assert_int_equal(run.count, 0);
    return;
  }
  size_t chunk = (end - 1) / PER_CHUNK * PER_CHUNK, first = end;
  bool cut_anywhere = any || !m->huge[chunk / PER_CHUNK], zero = true;
  while (first > chunk && model_is_candidate(m, first - 1, any) &&
         (end - first < max || (!cut_anywhere && first % PER_HUGE != 0)))
    first--;
  m->unassigned_takes += m->kind[chunk / PER_CHUNK] == TRI_PAGES_KINDS;
  for (size_t i = first; i < end; i++) zero &= model_take(m, TRI_PAGES_KINDS, i);
  assert_int_equal(run.page, first);
  assert_int_equal(run.count, end - first);
  assert_int_equal(run.unreleased, end - first);
  assert_int_equal(run.zero, zero);
  m->takes[m->take_count++] = run;
  m->takes_done++;
}

static void model_released(model *m) {
  if (m->take_count == 0) return;
  size_t i = random_below(&dice, m->take_count);
  tri_pages_run run = m->takes[i];
  bool done = chance(80);
  m->takes[i] = m->takes[--m->take_count];
  tri_pages_released(&m->f.pages, run, done);
  for (size_t page = run.page; page < run.page + run.count; page++)
    model_give(m, page, done ? RELEASED | ZERO : run.zero ? ZERO : 0u);
}

/* ---- comparing ---- */

static void model_compare(const model *m, bool every_page) {
  const tri_pages *pages = &m->f.pages;
  tri_pages_check(pages);
  assert_int_equal(tri_pages_chunk_count(pages), m->chunks);
  assert_int_equal(tri_pages_allocated(pages), m->allocated);
  assert_int_equal(tri_pages_free_released(pages), m->free_released);
  for (size_t c = 0; c < m->chunks; c++) assert_int_equal(tri_pages_kind_of(pages, c * PER_CHUNK), m->kind[c]);
  for (size_t i = 0; every_page && i < model_pages(m); i++)
    if (tri_pages_is_allocated(pages, i) != (m->page[i] & ALLOCATED)) fail_msg("page %zu differs", i);
}

static void model_step(model *m, bool filling) {
  size_t what = random_below(&dice, 100), alloc_share = filling ? 40 : 20;
  if (what < alloc_share)
    model_alloc(m, 1 + random_below(&dice, chance(60) ? 12 : 2000));
  else if (what < 60)
    model_free(m);
  else if (what < 80)
    model_cache(m);
  else if (what < 90)
    model_take_unreleased(m);
  else if (what < 99)
    model_released(m);
  else if (m->chunks < m->max_chunks && chance(20))
    model_grow(m, 1 + random_below(&dice, tri_min(3, m->max_chunks - m->chunks)));
}

/* Gives everything back, after which the heap is as good as new. */
static void model_drain(model *m) {
  while (m->take_count > 0) model_released(m);
  for (size_t which = 0; which < CACHES; which++) model_cache_flush(m, which);
  while (m->run_count > 0) model_free(m);
  model_compare(m, true);
  assert_int_equal(m->allocated, 0);
  assert_int_equal(model_first_fit(m, TRI_PAGES_SCAN, model_pages(m)), 0);
  assert_int_equal(tri_pages_alloc(&m->f.pages, TRI_PAGES_SCAN, model_pages(m)).page, 0);
}

static void model_play(model *m, size_t steps, size_t phase) {
  for (size_t i = 0; i < steps; i++) {
    model_step(m, i / phase % 3 != 2);
    model_compare(m, i % 16 == 0);
  }
  printf("  %zu chunks, %zu runs; failed allocs %zu, runs into unassigned chunks %zu, takes %zu (%zu unassigned)\n",
         m->chunks, m->run_count, m->failed_allocs, m->straddles, m->takes_done, m->unassigned_takes);
}

static void test_model_small_heap(void **state) {
  (void)state;
  dice.state = random_seed(2);
  for (size_t round = 0; round < 6; round++) {
    model m;
    model_start(&m, 4 + random_below(&dice, 30));
    model_play(&m, 3000, 300);
    assert_true(m.failed_allocs > 0 && m.takes_done > 0);
    model_drain(&m);
    model_end(&m);
  }
}

/* More than one root, so that runs cross every joint of the trees. */
static void test_model_large_heap(void **state) {
  (void)state;
  dice.state = random_seed(3);
  model m;
  model_start(&m, 1100);
  model_grow(&m, 1 + random_below(&dice, 600));
  for (size_t i = 0; i < 12; i++) model_alloc(&m, 1 + random_below(&dice, 60000));
  model_compare(&m, true);
  model_play(&m, 600, 150);
  for (size_t i = 0; i < 12; i++) {
    model_free(&m);
    model_alloc(&m, 1 + random_below(&dice, 300000));
    model_compare(&m, true);
  }
  model_drain(&m);
  model_end(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model_small_heap),
      cmocka_unit_test(test_model_large_heap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
