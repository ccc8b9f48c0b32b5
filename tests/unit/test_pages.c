/* test_pages.c - the page allocator: what each operation does to pages, chunks and kinds, and that tri_pages_check
 * finds damage. Bitmaps are in test_page_bits.c, random operations against a model in oracle/test_pages_oracle.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "child.h"
#include "pages_fixture.h"
#include "random.h"

static size_t fixture_touched(const fixture *f) {
  size_t count = f->table_size / SYSTEM_PAGE, touched = 0;
  unsigned char *resident = malloc(count);
  assert_non_null(resident);
  assert_int_equal(mincore(f->table, f->table_size, resident), 0);
  for (size_t i = 0; i < count; i++) touched += resident[i] & 1;
  free(resident);
  return touched * SYSTEM_PAGE;
}

/* Allocates and expects where, and that nothing contradicts. */
static tri_pages_run alloc_at(fixture *f, tri_pages_kind kind, size_t count, size_t expected) {
  tri_pages_run run = tri_pages_alloc(&f->pages, kind, count);
  assert_int_equal(run.page, expected);
  if (expected != TRI_PAGES_NONE) assert_int_equal(run.count, count);
  tri_pages_check(&f->pages);
  return run;
}

static void free_run(fixture *f, size_t page, size_t count) {
  tri_pages_free(&f->pages, page, count);
  tri_pages_check(&f->pages);
}

/* ---- size of the tables, and sizes of runs ---- */

static void test_starting_touches_little(void **state) {
  (void)state;
  fixture f;
  fixture_start(&f, (size_t)1 << 18);
  assert_int_equal(fixture_touched(&f), 0);
  assert_int_equal(tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, 1).page, TRI_PAGES_NONE);
  assert_int_equal(tri_pages_take_unreleased(&f.pages, 1, true).count, 0);
  tri_pages_grow(&f.pages, 1, false);
  alloc_at(&f, TRI_PAGES_SCAN, 1, 0);
  assert_in_range(fixture_touched(&f), 1, 128 * TRI_KIB);
  fixture_end(&f);
}

static void test_runs_of_any_size(void **state) {
  (void)state;
  const size_t chunks = (size_t)1 << 18, all = chunks * PER_CHUNK; /* 1 TiB */
  fixture f;
  fixture_start(&f, chunks);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, all), chunks);
  tri_pages_grow(&f.pages, chunks, true);
  assert_int_equal(tri_pages_free_released(&f.pages), all);
  assert_int_equal(tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, all + 1).page, TRI_PAGES_NONE);
  assert_int_equal(tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, SIZE_MAX).page, TRI_PAGES_NONE);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, SIZE_MAX), (SIZE_MAX - all - 1) / PER_CHUNK + 1);

  tri_pages_run run = alloc_at(&f, TRI_PAGES_SCAN, all, 0);
  assert_true(run.zero);
  assert_int_equal(run.unreleased, all);
  assert_int_equal(tri_pages_allocated(&f.pages), all);
  tri_pages_free(&f.pages, 0, all);

  const size_t third = all / 3; /* begins and ends in the middle of a chunk, a parent, a root */
  alloc_at(&f, TRI_PAGES_SCAN, third, 0);
  tri_pages_run second = tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, all - third - 1);
  assert_int_equal(second.page, third);
  assert_false(second.zero);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, 1), 0);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, 2), 1);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_NOSCAN, 1), 1);
  tri_pages_free(&f.pages, 5, third - 5);
  assert_int_equal(tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, third - 4).page, TRI_PAGES_NONE);
  assert_int_equal(tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, third - 5).page, 5);
  tri_pages_check(&f.pages);
  fixture_end(&f);
}

/* ---- kinds ---- */

static void test_kinds_do_not_share_chunks(void **state) {
  (void)state;
  fixture f;
  fixture_start(&f, 8);
  tri_pages_grow(&f.pages, 3, false);
  assert_int_equal(tri_pages_chunk_count(&f.pages), 3);
  alloc_at(&f, TRI_PAGES_SCAN, 10, 0);
  alloc_at(&f, TRI_PAGES_NOSCAN, 10, PER_CHUNK);
  alloc_at(&f, TRI_PAGES_SCAN, 10, 10);
  alloc_at(&f, TRI_PAGES_NOSCAN, 10, PER_CHUNK + 10);
  assert_int_equal(tri_pages_kind_of(&f.pages, 5), TRI_PAGES_SCAN);
  assert_int_equal(tri_pages_kind_of(&f.pages, PER_CHUNK), TRI_PAGES_NOSCAN);
  assert_int_equal(tri_pages_kind_of(&f.pages, 2 * PER_CHUNK), TRI_PAGES_KINDS);
  assert_true(tri_pages_is_allocated(&f.pages, 19));
  assert_false(tri_pages_is_allocated(&f.pages, 20));

  /* All free is unassigned, and lies before the chunk that has room, yet that one comes first. */
  free_run(&f, 0, 20);
  assert_int_equal(tri_pages_kind_of(&f.pages, 5), TRI_PAGES_KINDS);
  alloc_at(&f, TRI_PAGES_NOSCAN, 1, PER_CHUNK + 20);
  alloc_at(&f, TRI_PAGES_NOSCAN, PER_CHUNK - 20, 0);
  assert_int_equal(tri_pages_kind_of(&f.pages, 5), TRI_PAGES_NOSCAN);
  fixture_end(&f);
}

static void test_runs_span_own_and_unassigned_chunks(void **state) {
  (void)state;
  fixture f;
  fixture_start(&f, 16);
  tri_pages_grow(&f.pages, 10, false);
  alloc_at(&f, TRI_PAGES_SCAN, PER_CHUNK + 100, 0);
  alloc_at(&f, TRI_PAGES_NOSCAN, 100, 2 * PER_CHUNK);
  alloc_at(&f, TRI_PAGES_NOSCAN, 2 * PER_CHUNK, 2 * PER_CHUNK + 100);
  alloc_at(&f, TRI_PAGES_SCAN, PER_CHUNK - 100, PER_CHUNK + 100);
  alloc_at(&f, TRI_PAGES_SCAN, PER_CHUNK, 5 * PER_CHUNK);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, 5 * PER_CHUNK), 1);
  free_run(&f, 5 * PER_CHUNK + 1, PER_CHUNK - 1);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, 5 * PER_CHUNK - 1), 0);
  assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_NOSCAN, 5 * PER_CHUNK - 1), 1);
  alloc_at(&f, TRI_PAGES_SCAN, 5 * PER_CHUNK - 1, 5 * PER_CHUNK + 1);
  alloc_at(&f, TRI_PAGES_SCAN, 1, TRI_PAGES_NONE);
  fixture_end(&f);
}

/* The tail is counted by climbing the tree: every count of chunks around its joints. */
static void test_chunks_wanted_at_every_count(void **state) {
  (void)state;
  fixture f;
  fixture_start(&f, 1100);
  for (size_t count = 1; count <= 1100; count++) {
    tri_pages_grow(&f.pages, 1, false);
    size_t free = count * PER_CHUNK;
    if (count % 64 > 1 && count % 64 < 63) continue;
    assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, free), 0);
    assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, free + 1), 1);
    tri_pages_run run = tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, free - 513 % free);
    assert_int_equal(tri_pages_chunks_wanted(&f.pages, TRI_PAGES_SCAN, 513 % free + 1), 1);
    tri_pages_free(&f.pages, run.page, run.count);
  }
  tri_pages_check(&f.pages);
  fixture_end(&f);
}

/* ---- released, zero, huge ---- */

static void test_fresh_memory_is_zero_until_written(void **state) {
  (void)state;
  fixture f;
  fixture_start(&f, 4);
  tri_pages_grow(&f.pages, 1, false);
  tri_pages_run run = alloc_at(&f, TRI_PAGES_SCAN, 100, 0);
  assert_true(run.zero);
  assert_int_equal(run.unreleased, 100);
  assert_int_equal(tri_pages_free_released(&f.pages), PER_CHUNK - 100);
  free_run(&f, 50, 50);
  run = alloc_at(&f, TRI_PAGES_SCAN, 60, 50); /* 50 that were written, 10 fresh ones */
  assert_false(run.zero);
  assert_int_equal(run.unreleased, 10);
  run = alloc_at(&f, TRI_PAGES_SCAN, 1, 110);
  assert_true(run.zero);
  fixture_end(&f);
}

static void test_huge_blocks_are_provided_whole(void **state) {
  (void)state;
  fixture f;
  fixture_start(&f, 4);
  tri_pages_grow(&f.pages, 2, true);
  tri_pages_run run = alloc_at(&f, TRI_PAGES_SCAN, 1, 0);
  assert_true(run.zero);
  assert_int_equal(run.unreleased, PER_HUGE);
  assert_int_equal(tri_pages_free_released(&f.pages), 2 * PER_CHUNK - PER_HUGE);
  run = alloc_at(&f, TRI_PAGES_SCAN, PER_HUGE, 1); /* reaches into the second block by one page */
  assert_true(run.zero);
  assert_int_equal(run.unreleased, PER_HUGE);
  run = alloc_at(&f, TRI_PAGES_SCAN, PER_CHUNK, PER_HUGE + 1);
  assert_true(run.zero);
  assert_int_equal(run.unreleased, PER_HUGE + PER_HUGE);
  assert_int_equal(tri_pages_free_released(&f.pages), 0);
  fixture_end(&f);
}

/* ---- returning memory ---- */

static void expect_take(fixture *f, size_t max_pages, bool any, size_t page, size_t count, tri_pages_run *out) {
  *out = tri_pages_take_unreleased(&f->pages, max_pages, any);
  tri_pages_check(&f->pages);
  assert_int_equal(out->count, count);
  assert_int_equal(out->unreleased, count);
  assert_int_equal(out->page, page);
}

static void put_back(fixture *f, tri_pages_run run, bool done) {
  tri_pages_released(&f->pages, run, done);
  tri_pages_check(&f->pages);
}

static void test_take_is_from_the_top(void **state) {
  (void)state;
  fixture f;
  tri_pages_run run, other;
  fixture_start(&f, 4);
  tri_pages_grow(&f.pages, 3, false);
  expect_take(&f, 1000, true, TRI_PAGES_NONE, 0, &run); /* all of it is released */
  alloc_at(&f, TRI_PAGES_SCAN, 2 * PER_CHUNK, 0);
  free_run(&f, 10, 20);
  free_run(&f, PER_CHUNK + 100, 50);
  free_run(&f, PER_CHUNK + 200, 30);
  expect_take(&f, 20, false, PER_CHUNK + 210, 20, &run);
  assert_false(run.zero);
  expect_take(&f, 1000, false, PER_CHUNK + 200, 10, &other);
  put_back(&f, other, false);
  put_back(&f, run, true);
  assert_int_equal(tri_pages_free_released(&f.pages), PER_CHUNK + 20);
  expect_take(&f, 1000, false, PER_CHUNK + 200, 10, &run);
  put_back(&f, run, true);
  expect_take(&f, 1000, false, PER_CHUNK + 100, 50, &run);
  alloc_at(&f, TRI_PAGES_SCAN, 40, 2 * PER_CHUNK); /* those taken are not to be had */
  put_back(&f, run, true);
  expect_take(&f, 1000, false, 10, 20, &run);
  put_back(&f, run, true);
  expect_take(&f, 1000, false, TRI_PAGES_NONE, 0, &run);
  run = alloc_at(&f, TRI_PAGES_SCAN, 40, PER_CHUNK + 100);
  assert_true(run.zero);
  assert_int_equal(run.unreleased, 40);
  fixture_end(&f);
}

static void test_take_keeps_huge_blocks(void **state) {
  (void)state;
  fixture f;
  tri_pages_run run;
  fixture_start(&f, 4);
  tri_pages_grow(&f.pages, 2, true);
  alloc_at(&f, TRI_PAGES_SCAN, PER_CHUNK + 1, 0);
  expect_take(&f, 1000, false, TRI_PAGES_NONE, 0, &run); /* block 2 is in use by its first page */
  expect_take(&f, 10, true, PER_CHUNK + PER_HUGE - 10, 10, &run);
  assert_true(run.zero);
  put_back(&f, run, false);
  free_run(&f, 0, PER_CHUNK);
  expect_take(&f, 10, false, PER_HUGE, PER_HUGE, &run); /* never less than the block */
  put_back(&f, run, false);
  expect_take(&f, PER_HUGE + 1, false, 0, PER_CHUNK, &run);
  put_back(&f, run, false);
  expect_take(&f, 246, true, PER_CHUNK + 10, 246, &run);
  put_back(&f, run, true);
  assert_int_equal(tri_pages_free_released(&f.pages), PER_CHUNK - PER_HUGE + 246);
  run = alloc_at(&f, TRI_PAGES_SCAN, 2, PER_CHUNK + 1); /* its block comes back whole */
  assert_true(run.zero);
  assert_int_equal(run.unreleased, 246);
  fixture_end(&f);
}

static void test_take_that_fails_keeps_zero(void **state) {
  (void)state;
  fixture f;
  tri_pages_run run;
  fixture_start(&f, 1);
  tri_pages_grow(&f.pages, 1, true);
  alloc_at(&f, TRI_PAGES_SCAN, 1, 0);
  expect_take(&f, 1000, true, 1, PER_HUGE - 1, &run);
  put_back(&f, run, false);
  run = alloc_at(&f, TRI_PAGES_SCAN, PER_HUGE - 1, 1);
  assert_true(run.zero);
  assert_int_equal(run.unreleased, 0);
  fixture_end(&f);
}

/* Pages may be on their way to the system while the rest of their unassigned chunk is given to a kind. */
static void test_take_from_unassigned_chunk(void **state) {
  (void)state;
  fixture f;
  tri_pages_run run;
  fixture_start(&f, 1);
  tri_pages_grow(&f.pages, 1, false);
  alloc_at(&f, TRI_PAGES_SCAN, PER_CHUNK, 0);
  free_run(&f, 0, PER_CHUNK);
  expect_take(&f, 500, true, 12, 500, &run);
  assert_int_equal(tri_pages_kind_of(&f.pages, 0), TRI_PAGES_KINDS);
  alloc_at(&f, TRI_PAGES_NOSCAN, 13, TRI_PAGES_NONE);
  alloc_at(&f, TRI_PAGES_NOSCAN, 12, 0);
  alloc_at(&f, TRI_PAGES_SCAN, 1, TRI_PAGES_NONE);
  put_back(&f, run, true);
  assert_int_equal(tri_pages_kind_of(&f.pages, 0), TRI_PAGES_NOSCAN);
  free_run(&f, 0, 12);
  assert_int_equal(tri_pages_kind_of(&f.pages, 0), TRI_PAGES_KINDS);
  fixture_end(&f);
}

/* ---- caches ---- */

static void test_cache_takes_an_aligned_group(void **state) {
  (void)state;
  fixture f;
  tri_page_cache cache = {0};
  fixture_start(&f, 2);
  tri_pages_grow(&f.pages, 1, false);
  assert_int_equal(tri_page_cache_alloc(&cache, 1).page, TRI_PAGES_NONE);
  alloc_at(&f, TRI_PAGES_SCAN, 100, 0);
  free_run(&f, 80, 3);
  assert_int_equal(tri_page_cache_fill(&f.pages, TRI_PAGES_SCAN, &cache), 28);
  tri_pages_check(&f.pages);
  assert_int_equal(cache.base, 64);
  assert_int_equal(tri_pages_allocated(&f.pages), 128);
  alloc_at(&f, TRI_PAGES_SCAN, 1, 128);
  tri_pages_run run = tri_page_cache_alloc(&cache, 4);
  assert_int_equal(run.page, 100);
  assert_true(run.zero);
  run = tri_page_cache_alloc(&cache, 3);
  assert_int_equal(run.page, 80);
  assert_false(run.zero);
  assert_int_equal(tri_page_cache_alloc(&cache, 16).page, 104);
  assert_int_equal(tri_page_cache_alloc(&cache, 9).page, TRI_PAGES_NONE);

  tri_page_cache_flush(&f.pages, &cache); /* pages 120 to 127: provided, and still zero */
  tri_pages_check(&f.pages);
  assert_int_equal(cache.free, 0);
  assert_int_equal(tri_pages_allocated(&f.pages), 121);
  run = alloc_at(&f, TRI_PAGES_SCAN, 8, 120);
  assert_true(run.zero);
  assert_int_equal(run.unreleased, 0);
  tri_page_cache_flush(&f.pages, &cache); /* nothing left: no effect */
  assert_int_equal(tri_pages_allocated(&f.pages), 129);
  assert_int_equal(tri_page_cache_fill(&f.pages, TRI_PAGES_NOSCAN, &cache), 0);
  assert_int_equal(cache.free, 0);
  fixture_end(&f);
}

static void test_cache_run_is_zero_only_as_a_whole(void **state) {
  (void)state;
  fixture f;
  tri_page_cache cache = {0};
  fixture_start(&f, 1);
  tri_pages_grow(&f.pages, 1, false);
  alloc_at(&f, TRI_PAGES_SCAN, 10, 0);
  free_run(&f, 8, 2);
  assert_int_equal(tri_page_cache_fill(&f.pages, TRI_PAGES_SCAN, &cache), 54);
  assert_int_equal(cache.zero, UINT64_MAX << 10);
  tri_pages_run run = tri_page_cache_alloc(&cache, 3); /* two that were written, a fresh one */
  assert_int_equal(run.page, 8);
  assert_false(run.zero);
  run = tri_page_cache_alloc(&cache, 3);
  assert_int_equal(run.page, 11);
  assert_true(run.zero);
  fixture_end(&f);
}

static void test_cache_alone_keeps_its_chunk(void **state) {
  (void)state;
  fixture f;
  tri_page_cache cache = {0};
  fixture_start(&f, 1);
  tri_pages_grow(&f.pages, 1, true);
  assert_int_equal(tri_page_cache_fill(&f.pages, TRI_PAGES_NOSCAN, &cache), PER_HUGE);
  assert_int_equal(cache.free, UINT64_MAX);
  assert_int_equal(cache.zero, UINT64_MAX);
  assert_int_equal(tri_pages_kind_of(&f.pages, 0), TRI_PAGES_NOSCAN);
  alloc_at(&f, TRI_PAGES_SCAN, 1, TRI_PAGES_NONE);
  tri_page_cache_flush(&f.pages, &cache);
  assert_int_equal(tri_pages_kind_of(&f.pages, 0), TRI_PAGES_KINDS);
  alloc_at(&f, TRI_PAGES_SCAN, 1, 0);
  fixture_end(&f);
}

/* ---- tri_pages_check finds damage ---- */

static void damage_allocated(tri_pages *p) { *(uint64_t *)(void *)p->chunks ^= 1; }
static void damage_released(tri_pages *p) { ((uint64_t *)(void *)p->chunks)[TRI_CHUNK_WORDS] ^= 1; }
static void damage_zero(tri_pages *p) { ((uint64_t *)(void *)p->chunks)[2 * TRI_CHUNK_WORDS + 7] ^= 1ull << 63; }
static void damage_kind(tri_pages *p) { *(unsigned char *)p->tags = 77; }
static void damage_leaf(tri_pages *p) { p->open[TRI_PAGES_NOSCAN].level[TRI_TREE_LEAF][1] = 0; }
static void damage_parent(tri_pages *p) { p->own[TRI_PAGES_SCAN].level[1][0]++; }
static void damage_beyond(tri_pages *p) { p->own[TRI_PAGES_SCAN].level[TRI_TREE_LEAF][6] = 1; }
static void damage_hint(tri_pages *p) { p->open[TRI_PAGES_SCAN].first_root++; }
static void damage_index(tri_pages *p) { p->returnable[0][0] ^= 1; }
static void damage_count(tri_pages *p) { p->allocated++; }
static void damage_released_count(tri_pages *p) { p->free_released--; }
static void damage_owner(tri_pages *p) { /* a chunk of a kind becomes unassigned, the trees agreeing */
  tri_page_sum sum = p->own[TRI_PAGES_SCAN].level[TRI_TREE_LEAF][0];
  *(unsigned char *)p->tags = TRI_PAGES_KINDS;
  p->own[TRI_PAGES_SCAN].level[TRI_TREE_LEAF][0] = 0;
  p->open[TRI_PAGES_NOSCAN].level[TRI_TREE_LEAF][0] = sum;
  tri_page_tree_update(&p->own[TRI_PAGES_SCAN], 0, 1);
  tri_page_tree_update(&p->open[TRI_PAGES_NOSCAN], 0, 1);
}

/* What a child does: damages the allocator, or not, and checks it. */
typedef struct damaged {
  tri_pages *pages;
  void (*damage)(tri_pages *);
} damaged;

static void check_damaged(void *argument) {
  const damaged *one = argument;
  if (one->damage) one->damage(one->pages);
  tri_pages_check(one->pages);
}

static void test_check_finds_damage(void **state) {
  (void)state;
  static void (*const damages[])(tri_pages *) = {
      damage_allocated, damage_released, damage_zero,  damage_kind,  damage_leaf,           damage_parent,
      damage_beyond,    damage_hint,     damage_index, damage_count, damage_released_count, damage_owner,
  };
  fixture f;
  fixture_start(&f, 8);
  tri_pages_grow(&f.pages, 2, false);
  alloc_at(&f, TRI_PAGES_SCAN, 10, 0);
  free_run(&f, 4, 2);
  child_result result = child_run(check_damaged, &(damaged){&f.pages, NULL}, NULL);
  assert_true(child_succeeded(&result));
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    result = child_run(check_damaged, &(damaged){&f.pages, damages[i]}, NULL);
    if (!child_aborted(&result, (const char *const[]){"_check: ", NULL})) fail_msg("damage %zu was not found", i);
  }
  fixture_end(&f);
}

/* ---- mending ---- */

enum { MEND_CHUNKS = 70, MEND_RUNS = 2000 };

static uint8_t used_pages[MEND_CHUNKS * TRI_PAGES_PER_CHUNK];
static bool is_used(size_t page) { return used_pages[page]; }

/* A change of the tables was cut short: bits, sums and counts contradict each other. */
static void tear(tri_pages *pages, test_random *random) {
  for (int i = 0; i < 200; i++) {
    tri_page_tree *tree = random_below(random, 2) ? pages->own : pages->open;
    size_t level = random_below(random, TRI_TREE_LEVELS), chunk = random_below(random, MEND_CHUNKS);
    tree[random_below(random, TRI_PAGES_KINDS)].level[level][level == TRI_TREE_LEAF ? chunk : chunk / 64] = 0;
  }
  pages->own[0].roots = pages->open[0].roots = 0;
  pages->allocated += 5;
  pages->free_released += 7;
}

static void test_mending(void **state) {
  (void)state;
  fixture f;
  test_random random = {random_seed(5)};
  fixture_start(&f, 256);
  tri_pages_grow(&f.pages, MEND_CHUNKS, false);
  size_t allocated = 0;
  for (int i = 0; i < MEND_RUNS; i++) {
    size_t count = random_below(&random, 30) + 1;
    tri_pages_run run = tri_pages_alloc(&f.pages, (tri_pages_kind)(i % 2), count);
    if (run.page == TRI_PAGES_NONE) break;
    bool keep = random_below(&random, 2); /* the rest was in the hands of a thread, or in its cache */
    for (size_t page = run.page; page < run.page + count; page++) used_pages[page] = keep;
    allocated += keep ? count : 0;
  }
  (void)tri_pages_take_unreleased(&f.pages, 3, true);
  tear(&f.pages, &random);
  tri_pages_mend(&f.pages, is_used);
  tri_pages_check(&f.pages);
  assert_int_equal(tri_pages_allocated(&f.pages), allocated);
  for (size_t page = 0; page < sizeof used_pages; page++)
    assert_int_equal(tri_pages_is_allocated(&f.pages, page), used_pages[page]);
  tri_pages_run run;
  while ((run = tri_pages_alloc(&f.pages, TRI_PAGES_SCAN, 1)).page != TRI_PAGES_NONE) {
    assert_false(used_pages[run.page]);
    used_pages[run.page] = true;
  }
  tri_pages_check(&f.pages);
  fixture_end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_starting_touches_little),
      cmocka_unit_test(test_runs_of_any_size),
      cmocka_unit_test(test_kinds_do_not_share_chunks),
      cmocka_unit_test(test_runs_span_own_and_unassigned_chunks),
      cmocka_unit_test(test_chunks_wanted_at_every_count),
      cmocka_unit_test(test_fresh_memory_is_zero_until_written),
      cmocka_unit_test(test_huge_blocks_are_provided_whole),
      cmocka_unit_test(test_take_is_from_the_top),
      cmocka_unit_test(test_take_keeps_huge_blocks),
      cmocka_unit_test(test_take_that_fails_keeps_zero),
      cmocka_unit_test(test_take_from_unassigned_chunk),
      cmocka_unit_test(test_cache_takes_an_aligned_group),
      cmocka_unit_test(test_cache_run_is_zero_only_as_a_whole),
      cmocka_unit_test(test_cache_alone_keeps_its_chunk),
      cmocka_unit_test(test_check_finds_damage),
      cmocka_unit_test(test_mending),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
