/* test_pages.c - the page allocator: its parts one by one, then random operations against an oracle of one byte per
 * page.
 *
 * TEST_SEED in the environment repeats a run; the seed in use is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap/pages.h"

enum { PER_CHUNK = TRI_PAGES_PER_CHUNK, PER_HUGE = TRI_PAGES_PER_HUGE, SYSTEM_PAGE = 4096 };

/* ---- random numbers (splitmix64) ---- */

static uint64_t random_state;

static uint64_t random_next(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

static size_t random_below(size_t bound) { return (size_t)(random_next() % bound); }
static bool random_chance(size_t percent) { return random_below(100) < percent; }

static void random_seed(const char *test) {
  const char *given = getenv("TEST_SEED");
  random_state = given ? strtoul(given, NULL, 0) : (unsigned long)time(NULL) << 20 ^ (unsigned long)getpid();
  printf("%s: TEST_SEED=%llu\n", test, (unsigned long long)random_state);
}

/* ---- an allocator to test ---- */

typedef struct fixture {
  tri_pages pages;
  void *table;
  size_t table_size;
} fixture;

static void fixture_start(fixture *f, size_t max_chunks) {
  f->table_size = tri_align_up(tri_pages_table_size(max_chunks), SYSTEM_PAGE);
  f->table = mmap(NULL, f->table_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  assert_true(f->table != MAP_FAILED);
  (void)madvise(f->table, f->table_size, MADV_NOHUGEPAGE); /* so that what was touched can be counted in small pages */
  tri_pages_init(&f->pages, f->table, max_chunks);
}

static void fixture_end(fixture *f) { assert_int_equal(munmap(f->table, f->table_size), 0); }

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

/* ---- bitmaps ---- */

static tri_chunk_bits random_bits(void) {
  tri_chunk_bits bits;
  size_t style = random_below(4);
  for (size_t w = 0; w < TRI_CHUNK_WORDS; w++) {
    uint64_t a = random_next(), b = random_next(), c = random_next();
    bits.word[w] = style == 0 ? a : style == 1 ? a & b & c : style == 2 ? a | b | c : 0;
  }
  if (style == 3) /* a few runs */
    for (size_t i = random_below(6); i > 0; i--) {
      size_t first = random_below(PER_CHUNK), end = first + 1 + random_below(PER_CHUNK - first);
      tri_chunk_bits_set(&bits, first, end);
    }
  return bits;
}

static size_t naive_find(const tri_chunk_bits *bits, size_t count) {
  size_t run = 0;
  for (size_t i = 0; i < PER_CHUNK; i++) {
    run = tri_chunk_bits_get(bits, i) ? 0 : run + 1;
    if (run == count) return i + 1 - count;
  }
  return PER_CHUNK;
}

static tri_page_sum naive_sum(const tri_chunk_bits *bits) {
  size_t start = 0, max = 0, run = 0;
  while (start < PER_CHUNK && !tri_chunk_bits_get(bits, start)) start++;
  for (size_t i = 0; i < PER_CHUNK; i++) {
    run = tri_chunk_bits_get(bits, i) ? 0 : run + 1;
    max = tri_max(max, run);
  }
  return tri_page_sum_pack(start, max, run);
}

static size_t naive_last_run(const tri_chunk_bits *bits, size_t *first) {
  size_t end = PER_CHUNK;
  while (end > 0 && !tri_chunk_bits_get(bits, end - 1)) end--;
  *first = end;
  while (*first > 0 && tri_chunk_bits_get(bits, *first - 1)) --*first;
  return end - *first;
}

static void check_ranges(tri_chunk_bits bits, size_t first, size_t end) {
  tri_chunk_bits set = bits, clear = bits;
  size_t count = 0;
  tri_chunk_bits_set(&set, first, end);
  tri_chunk_bits_clear(&clear, first, end);
  for (size_t i = 0; i < PER_CHUNK; i++) {
    bool inside = i >= first && i < end, was = tri_chunk_bits_get(&bits, i);
    assert_int_equal(tri_chunk_bits_get(&set, i), inside || was);
    assert_int_equal(tri_chunk_bits_get(&clear, i), !inside && was);
    count += inside && was;
  }
  assert_int_equal(tri_chunk_bits_count(&bits, first, end), count);
  assert_int_equal(tri_chunk_bits_all(&bits, first, end), count == end - first);
  assert_int_equal(tri_chunk_bits_none(&bits, first, end), count == 0);
}

static void test_bits_against_bit_by_bit(void **state) {
  (void)state;
  random_seed(__func__);
  for (int round = 0; round < 3000; round++) {
    tri_chunk_bits bits = random_bits();
    assert_int_equal(tri_chunk_bits_sum(&bits), naive_sum(&bits));
    size_t small = 1 + random_below(70), any = 1 + random_below(PER_CHUNK);
    assert_int_equal(tri_chunk_bits_find(&bits, small), naive_find(&bits, small));
    assert_int_equal(tri_chunk_bits_find(&bits, any), naive_find(&bits, any));
    size_t first = 0, naive_first = 0, length = tri_chunk_bits_last_run(&bits, &first);
    assert_int_equal(length, naive_last_run(&bits, &naive_first));
    if (length > 0) assert_int_equal(first, naive_first);
    size_t from = random_below(PER_CHUNK);
    check_ranges(bits, from, from + 1 + random_below(PER_CHUNK - from));
  }
}

static void test_bits_full_and_empty(void **state) {
  (void)state;
  tri_chunk_bits bits = {{0}};
  size_t first = 7;
  assert_int_equal(tri_chunk_bits_sum(&bits), tri_page_sum_pack(PER_CHUNK, PER_CHUNK, PER_CHUNK));
  assert_int_equal(tri_chunk_bits_find(&bits, PER_CHUNK), 0);
  assert_int_equal(tri_chunk_bits_last_run(&bits, &first), 0);
  tri_chunk_bits_set(&bits, 0, PER_CHUNK);
  assert_int_equal(tri_chunk_bits_sum(&bits), 0);
  assert_int_equal(tri_chunk_bits_find(&bits, 1), PER_CHUNK);
  assert_int_equal(tri_chunk_bits_last_run(&bits, &first), PER_CHUNK);
  assert_int_equal(first, 0);
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

/* Runs the check in a child after the damage; its last words go to text. */
static int status_after(tri_pages *pages, void (*damage)(tri_pages *), char *text, size_t size) {
  int ends[2], status = 0;
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL); /* not cmocka's or a sanitizer's */
    dup2(ends[1], STDERR_FILENO);
    if (damage) damage(pages);
    tri_pages_check(pages);
    _exit(0);
  }
  close(ends[1]);
  ssize_t length = read(ends[0], text, size - 1);
  text[tri_max((size_t)(length + 1), 1) - 1] = 0;
  close(ends[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void test_check_finds_damage(void **state) {
  (void)state;
  static void (*const damages[])(tri_pages *) = {
      damage_allocated, damage_released, damage_zero,  damage_kind,  damage_leaf,           damage_parent,
      damage_beyond,    damage_hint,     damage_index, damage_count, damage_released_count, damage_owner,
  };
  fixture f;
  char text[256];
  fixture_start(&f, 8);
  tri_pages_grow(&f.pages, 2, false);
  alloc_at(&f, TRI_PAGES_SCAN, 10, 0);
  free_run(&f, 4, 2);
  assert_int_equal(status_after(&f.pages, NULL, text, sizeof text), 0);
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    int status = status_after(&f.pages, damages[i], text, sizeof text);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(text, "_check: "))
      fail_msg("damage %zu was not found: status %#x, \"%s\"", i, (unsigned)status, text);
  }
  fixture_end(&f);
}

/* ---- the oracle: a byte per page, everything found by looking at all of them ---- */

enum { ALLOCATED = 1, RELEASED = 2, ZERO = 4, TAKEN = 8 };
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
  bool huge = random_chance(50);
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
  int kind = (int)random_below(TRI_PAGES_KINDS);
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
  size_t i = random_below(m->run_count);
  live_run run = m->runs[i];
  m->runs[i] = m->runs[--m->run_count];
  size_t first = run.page, count = run.count;
  if (random_chance(30)) {
    first += random_below(run.count);
    count = 1 + random_below(run.page + run.count - first);
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
  size_t count = 1 + random_below(random_chance(70) ? 4 : 16), have = 0, end = 0;
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
  size_t which = random_below(CACHES);
  if (random_chance(10)) model_cache_flush(m, which);
  if (m->cache[which].free == 0)
    model_cache_fill(m, which);
  else
    model_cache_alloc(m, which);
}

static void model_take_unreleased(model *m) {
  if (m->take_count == MAX_TAKES) return;
  bool any = random_chance(50);
  size_t max = 1 + random_below(random_chance(50) ? 20 : 600), end = model_pages(m);
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
  size_t i = random_below(m->take_count);
  tri_pages_run run = m->takes[i];
  bool done = random_chance(80);
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
  size_t what = random_below(100), alloc_share = filling ? 40 : 20;
  if (what < alloc_share)
    model_alloc(m, 1 + random_below(random_chance(60) ? 12 : 2000));
  else if (what < 60)
    model_free(m);
  else if (what < 80)
    model_cache(m);
  else if (what < 90)
    model_take_unreleased(m);
  else if (what < 99)
    model_released(m);
  else if (m->chunks < m->max_chunks && random_chance(20))
    model_grow(m, 1 + random_below(tri_min(3, m->max_chunks - m->chunks)));
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
  random_seed(__func__);
  for (size_t round = 0; round < 6; round++) {
    model m;
    model_start(&m, 4 + random_below(30));
    model_play(&m, 3000, 300);
    assert_true(m.failed_allocs > 0 && m.takes_done > 0);
    model_drain(&m);
    model_end(&m);
  }
}

/* More than one root, so that runs cross every joint of the trees. */
static void test_model_large_heap(void **state) {
  (void)state;
  random_seed(__func__);
  model m;
  model_start(&m, 1100);
  model_grow(&m, 1 + random_below(600));
  for (size_t i = 0; i < 12; i++) model_alloc(&m, 1 + random_below(60000));
  model_compare(&m, true);
  model_play(&m, 600, 150);
  for (size_t i = 0; i < 12; i++) {
    model_free(&m);
    model_alloc(&m, 1 + random_below(300000));
    model_compare(&m, true);
  }
  model_drain(&m);
  model_end(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bits_against_bit_by_bit),
      cmocka_unit_test(test_bits_full_and_empty),
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
      cmocka_unit_test(test_model_small_heap),
      cmocka_unit_test(test_model_large_heap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
