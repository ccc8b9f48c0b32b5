/* test_dirty.c - the dirty-page providers: exactly what was written is dirty, and what cannot be answered for is dirty.
 *
 * The tests of a provider that this system lacks are skipped; the pure parts and "none" are tested everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/dirty.h"
#include "os/dirty_providers.h"

static size_t page;

static uintptr_t address_of(const volatile void *pointer) { return (uintptr_t)pointer; }

/* ---- reports, written down ---- */

enum { REPORT_RANGES = 65536 };

typedef struct reports {
  size_t count, bytes;
  bool ordered;
  tri_os_range range[REPORT_RANGES];
} reports;

static reports got; /* of the last harvest */

static void note(void *argument, tri_os_range range) {
  reports *self = argument;
  if (self->count >= REPORT_RANGES) abort();
  bool after = self->count == 0 || self->range[self->count - 1].high <= range.low;
  self->ordered = self->ordered && after && range.low < range.high;
  self->range[self->count++] = range;
  self->bytes += range.high - range.low;
}

static void reports_clear(void) {
  got.count = got.bytes = 0;
  got.ordered = true;
}

static bool harvest(const tri_dirty_provider *provider, char *start, size_t size, tri_dirty_way rearm) {
  reports_clear();
  bool sure = provider->harvest(address_of(start), address_of(start) + size, rearm, note, &got);
  assert_true(got.ordered);
  return sure;
}

static bool reported(const char *at) {
  for (size_t i = 0; i < got.count; i++)
    if (got.range[i].low <= address_of(at) && address_of(at) < got.range[i].high) return true;
  return false;
}

/* ---- memory to watch ---- */

static char *memory_make(size_t size, bool touch) {
  char *start = tri_os_reserve(size, 4 * TRI_MIB);
  assert_non_null(start);
  assert_true(tri_os_commit(start, size, "tricolor: test"));
  tri_os_advise_huge(start, size, false);
  if (touch)
    for (size_t at = 0; at < size; at += page) start[at] = 1;
  return start;
}

static bool watch(const tri_dirty_provider *provider, const char *start, size_t size) {
  return provider->watch(address_of(start), address_of(start) + size);
}

static void unwatch(const tri_dirty_provider *provider, const char *start, size_t size) {
  provider->unwatch(address_of(start), address_of(start) + size);
}

static bool arm(const tri_dirty_provider *provider, const char *start, size_t size) {
  return provider->arm(address_of(start), address_of(start) + size);
}

/* Touched, watched and armed. */
static char *armed_make(const tri_dirty_provider *provider, size_t size) {
  char *start = memory_make(size, true);
  assert_true(watch(provider, start, size));
  assert_true(arm(provider, start, size));
  return start;
}

static void memory_end(const tri_dirty_provider *provider, char *start, size_t size) {
  unwatch(provider, start, size);
  tri_os_unreserve(start, size);
}

static void assert_clean(const tri_dirty_provider *provider, char *start, size_t size) {
  assert_true(harvest(provider, start, size, false));
  assert_int_equal(got.count, 0);
}

static void assert_one_page(const char *start) {
  assert_int_equal(got.bytes, page);
  assert_int_equal(got.range[0].low, address_of(start));
}

/* ---- the choice, and none ---- */

/* Whether the kernel has it, by what opening says: what does not work then fails its tests. */
static bool wp_available;

static void test_choice(void **state) {
  (void)state;
  const tri_dirty_provider *chosen = tri_dirty_choose();
  assert_ptr_equal(tri_dirty_choose(), chosen);
  assert_true(chosen == &tri_dirty_wp || chosen == &tri_dirty_soft || chosen == &tri_dirty_none);
  if (wp_available) assert_ptr_equal(chosen, &tri_dirty_wp);
  if (chosen != &tri_dirty_none) assert_true(tri_dirty_works(chosen));
}

static void test_none_reports_everything(void **state) {
  (void)state;
  char *start = memory_make(4 * page, true);
  assert_false(watch(&tri_dirty_none, start, 4 * page));
  assert_false(arm(&tri_dirty_none, start, 4 * page));
  assert_false(harvest(&tri_dirty_none, start, 4 * page, true));
  assert_int_equal(got.count, 1);
  assert_int_equal(got.bytes, 4 * page);
  assert_false(tri_dirty_works(&tri_dirty_none));
  tri_dirty_none.after_fork();
  memory_end(&tri_dirty_none, start, 4 * page);
}

/* Providers that lie in one way each: none of them may be chosen. */
static bool accept(uintptr_t low, uintptr_t high) { return low < high; }
static void ignore(uintptr_t low, uintptr_t high) { (void)low, (void)high; }

static bool report_nothing(uintptr_t low, uintptr_t high, tri_dirty_way rearm, tri_dirty_report *report,
                           void *argument) {
  (void)low, (void)high, (void)rearm, (void)report, (void)argument;
  return true;
}

static bool report_all(uintptr_t low, uintptr_t high, tri_dirty_way rearm, tri_dirty_report *report, void *argument) {
  (void)rearm;
  report(argument, (tri_os_range){low, high});
  return true;
}

static void test_probe_rejects_wrong_answers(void **state) {
  (void)state;
  const tri_dirty_provider blind = {.watch = accept, .unwatch = ignore, .arm = accept, .harvest = report_nothing};
  const tri_dirty_provider anxious = {.watch = accept, .unwatch = ignore, .arm = accept, .harvest = report_all};
  assert_false(tri_dirty_works(&blind));
  assert_false(tri_dirty_works(&anxious));
}

/* ---- soft-dirty, the pure part ---- */

static const uint64_t present = UINT64_C(1) << 63, swapped = UINT64_C(1) << 62, soft = UINT64_C(1) << 55;

static void test_decode_runs(void **state) {
  (void)state;
  const uintptr_t base = 1000 * page;
  const uint64_t entries[] = {present, present | soft, swapped | soft,         present,
                              0,       soft,           present | soft | 12345, swapped};
  reports_clear();
  tri_dirty_soft_decode(entries, 8, (tri_os_range){base, base + 8 * page}, note, &got);
  assert_true(got.ordered);
  assert_int_equal(got.count, 2);
  assert_int_equal(got.range[0].low, base + page);
  assert_int_equal(got.range[0].high, base + 3 * page);
  assert_int_equal(got.range[1].low, base + 6 * page);
  assert_int_equal(got.range[1].high, base + 7 * page);
}

static void test_decode_edges(void **state) {
  (void)state;
  const uintptr_t base = 1000 * page;
  const uint64_t entries[] = {present | soft, present | soft, present | soft};
  reports_clear();
  tri_dirty_soft_decode(entries, 3, (tri_os_range){base + 8, base + 2 * page + 16}, note, &got);
  assert_int_equal(got.count, 1);
  assert_int_equal(got.range[0].low, base + 8);
  assert_int_equal(got.range[0].high, base + 2 * page + 16);
  reports_clear();
  tri_dirty_soft_decode(entries, 0, (tri_os_range){base, base}, note, &got);
  assert_int_equal(got.count, 0);
}

/* Every pattern of eight pages, against looking at each page alone. */
static void test_decode_all_patterns(void **state) {
  (void)state;
  const uintptr_t base = 1000 * page;
  for (unsigned pattern = 0; pattern < 256; pattern++) {
    uint64_t entries[8];
    for (unsigned i = 0; i < 8; i++) entries[i] = present | ((pattern >> i & 1) ? soft : 0);
    reports_clear();
    tri_dirty_soft_decode(entries, 8, (tri_os_range){base, base + 8 * page}, note, &got);
    assert_true(got.ordered);
    for (unsigned i = 0; i < 8; i++) assert_int_equal(reported((const char *)(base + i * page)), pattern >> i & 1);
  }
}

static void test_soft_dirty(void **state) {
  (void)state;
  if (!tri_dirty_soft_open() || !tri_dirty_works(&tri_dirty_soft)) skip();
  char *start = armed_make(&tri_dirty_soft, 8 * page);
  assert_clean(&tri_dirty_soft, start, 8 * page);
  start[5 * page] = 2;
  assert_true(harvest(&tri_dirty_soft, start, 8 * page, true));
  assert_one_page(start + 5 * page);
  memory_end(&tri_dirty_soft, start, 8 * page);
}

/* ---- wp-async ---- */

static const tri_dirty_provider *const wp = &tri_dirty_wp;

#define NEEDS_WP()                                                                                                     \
  do {                                                                                                                 \
    if (!wp_available) skip();                                                                                         \
  } while (0)

static void test_written_pages_are_dirty(void **state) {
  (void)state;
  NEEDS_WP();
  const size_t size = 256 * page;
  char *start = armed_make(wp, size);
  assert_clean(wp, start, size);
  start[0] = 2;
  start[10 * page + 100] = 2;
  start[11 * page + page - 1] = 2;
  start[255 * page] = 2;
  assert_true(harvest(wp, start, size, false));
  assert_int_equal(got.bytes, 4 * page);
  assert_true(reported(start) && reported(start + 10 * page) && reported(start + 11 * page));
  assert_true(reported(start + 255 * page));
  assert_true(harvest(wp, start, size, false)); /* looking changes nothing */
  assert_int_equal(got.bytes, 4 * page);
  memory_end(wp, start, size);
}

static void test_reading_leaves_clean(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = armed_make(wp, 16 * page);
  int sum = 0;
  for (size_t i = 0; i < 16; i++) sum += *(volatile char *)(start + i * page);
  assert_int_equal(sum, 16);
  assert_clean(wp, start, 16 * page);
  memory_end(wp, start, 16 * page);
}

static void test_rearm(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = armed_make(wp, 16 * page);
  start[3 * page] = 2;
  assert_true(harvest(wp, start, 16 * page, true));
  assert_one_page(start + 3 * page);
  assert_clean(wp, start, 16 * page);
  start[3 * page] = 3;
  start[3 * page + 1] = 3;
  assert_true(harvest(wp, start, 16 * page, true));
  assert_one_page(start + 3 * page);
  memory_end(wp, start, 16 * page);
}

/* A harvest of one range leaves what another has. */
static void test_ranges_are_independent(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = armed_make(wp, 16 * page);
  start[2 * page] = 2;
  start[12 * page] = 2;
  assert_true(harvest(wp, start, 8 * page, true));
  assert_one_page(start + 2 * page);
  assert_true(harvest(wp, start + 8 * page, 8 * page, true));
  assert_one_page(start + 12 * page);
  memory_end(wp, start, 16 * page);
}

static void test_watched_pages_start_dirty(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = memory_make(8 * page, true);
  assert_true(watch(wp, start, 8 * page));
  assert_true(harvest(wp, start, 8 * page, false));
  assert_int_equal(got.bytes, 8 * page);
  memory_end(wp, start, 8 * page);
}

/* Memory without pages is not reported, is not populated by arming, and is dirty once it is written. */
static void test_unpopulated_memory(void **state) {
  (void)state;
  NEEDS_WP();
  const size_t size = 4 * TRI_MIB;
  unsigned char resident[1024];
  char *start = memory_make(size, false);
  assert_true(watch(wp, start, size));
  start[7 * page] = 1;
  assert_true(arm(wp, start, size));
  assert_clean(wp, start, size);
  assert_int_equal(mincore(start, 1024 * page, resident), 0);
  for (size_t i = 0; i < 1024; i++) assert_int_equal(resident[i] & 1, i == 7);
  start[8 * page] = 1;
  start[900 * page] = 1;
  assert_true(harvest(wp, start, size, true));
  assert_int_equal(got.bytes, 2 * page);
  assert_true(reported(start + 8 * page) && reported(start + 900 * page));
  memory_end(wp, start, size);
}

static void test_discarded_page_is_dirty_when_written_again(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = armed_make(wp, 8 * page);
  assert_true(tri_os_discard(start + 2 * page, 2 * page));
  assert_clean(wp, start, 8 * page);
  start[2 * page] = 1;
  assert_true(harvest(wp, start, 8 * page, false));
  assert_one_page(start + 2 * page);
  memory_end(wp, start, 8 * page);
}

static void assert_all_dirty(char *start, size_t size) {
  assert_false(harvest(wp, start, size, true));
  assert_int_equal(got.bytes, size);
  assert_false(harvest(wp, start, size, false));
  assert_int_equal(got.bytes, size);
}

static void test_unwatched_memory_is_all_dirty(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = memory_make(8 * page, true);
  assert_all_dirty(start, 8 * page);
  assert_false(arm(wp, start, 8 * page));
  assert_true(watch(wp, start, 8 * page));
  assert_true(arm(wp, start, 8 * page));
  unwatch(wp, start, 8 * page);
  assert_all_dirty(start, 8 * page);
  tri_os_unreserve(start, 8 * page);
}

/* One page of a range is not watched: nothing behind or before it may be called clean by a call that armed it. */
static void test_partly_watched_memory(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = armed_make(wp, 16 * page);
  unwatch(wp, start + 9 * page, page);
  start[2 * page] = 2;
  start[9 * page] = 2;
  start[12 * page] = 2;
  assert_false(harvest(wp, start, 16 * page, true));
  assert_true(reported(start + 2 * page) && reported(start + 9 * page) && reported(start + 12 * page));
  assert_false(arm(wp, start, 16 * page));
  memory_end(wp, start, 16 * page);
}

/* Memory moved by mremap is no longer watched: it must not read as clean. */
static void test_moved_memory_is_all_dirty(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = armed_make(wp, 8 * page);
  char *target = tri_os_reserve(8 * page, page);
  assert_ptr_equal(mremap(start, 8 * page, 8 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target), target);
  target[page] = 2;
  assert_false(harvest(wp, target, 8 * page, false));
  assert_int_equal(got.bytes, 8 * page);
  tri_os_unreserve(target, 8 * page);
}

static void test_watch_refuses_unmapped_memory(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = tri_os_reserve(8 * page, page);
  tri_os_unreserve(start, 8 * page);
  assert_false(watch(wp, start, 8 * page));
}

/* What the kernel writes for the program counts as written, though no user code touched the page. */
static void test_writes_by_the_kernel(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = armed_make(wp, 8 * page);
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  assert_int_equal(write(ends[1], "text", 4), 4);
  assert_int_equal(read(ends[0], start + 4 * page - 2, 4), 4); /* over the edge of two pages */
  assert_memory_equal(start + 4 * page - 2, "text", 4);
  assert_true(harvest(wp, start, 8 * page, true));
  assert_int_equal(got.bytes, 2 * page);
  assert_true(reported(start + 3 * page) && reported(start + 4 * page));
  assert_clean(wp, start, 8 * page);
  close(ends[0]);
  close(ends[1]);
  memory_end(wp, start, 8 * page);
}

/* More ranges than one call returns, so that it has to be continued. */
static void test_many_ranges(void **state) {
  (void)state;
  NEEDS_WP();
  const size_t pages = 5000;
  char *start = armed_make(wp, pages * page);
  for (size_t i = 0; i < pages; i += 2) start[i * page] = 2;
  assert_true(harvest(wp, start, pages * page, true));
  assert_int_equal(got.bytes, pages / 2 * page);
  for (size_t i = 0; i < got.count; i++) {
    assert_int_equal(got.range[i].low, address_of(start) + 2 * i * page);
    assert_int_equal(got.range[i].high - got.range[i].low, page);
  }
  assert_clean(wp, start, pages * page);
  for (size_t i = 1; i < pages; i += 2) start[i * page] = 2;
  assert_true(arm(wp, start, pages * page));
  assert_clean(wp, start, pages * page);
  memory_end(wp, start, pages * page);
}

/* More than one slice, with dirt at the edges of the slices. */
static void test_large_range(void **state) {
  (void)state;
  NEEDS_WP();
  const size_t size = 50 * TRI_MIB, slice = 16 * TRI_MIB;
  char *start = armed_make(wp, size);
  assert_clean(wp, start, size);
  for (size_t at = slice; at < size; at += slice) start[at - 1] = start[at] = 2;
  start[size - 1] = 2;
  assert_true(harvest(wp, start, size, false));
  assert_int_equal(got.bytes, 7 * page);
  assert_true(arm(wp, start, size));
  assert_clean(wp, start, size);
  memory_end(wp, start, size);
}

static void test_random_writes(void **state) {
  (void)state;
  NEEDS_WP();
  enum { PAGES = 4096, ROUNDS = 30 };
  static bool written[PAGES];
  char *start = armed_make(wp, PAGES * page);
  uint64_t random = 88172645463325252U;
  for (int round = 0; round < ROUNDS; round++) {
    memset(written, 0, sizeof written);
    for (int i = 0; i < 1 << (round % 12); i++) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      size_t at = (size_t)(random >> 33) % (PAGES * page);
      start[at]++;
      written[at / page] = true;
    }
    size_t expected = 0;
    for (size_t i = 0; i < PAGES; i++) expected += written[i];
    assert_true(harvest(wp, start, PAGES * page, true));
    assert_int_equal(got.bytes, expected * page);
    for (size_t i = 0; i < got.count; i++)
      for (uintptr_t at = got.range[i].low; at < got.range[i].high; at += page)
        assert_true(written[(at - address_of(start)) / page]);
  }
  memory_end(wp, start, PAGES * page);
}

/* A range may begin and end within a page. */
static void test_unaligned_range(void **state) {
  (void)state;
  NEEDS_WP();
  char *start = memory_make(8 * page, true);
  char *low = start + 2 * page + 100;
  const size_t size = 3 * page;
  assert_true(watch(wp, low, size));
  assert_true(arm(wp, low, size));
  assert_clean(wp, low, size);
  start[2 * page] = 2; /* before the range, in its first page */
  start[5 * page + 99] = 2;
  assert_true(harvest(wp, low, size, true));
  assert_int_equal(got.count, 2);
  assert_int_equal(got.range[0].low, address_of(low));
  assert_int_equal(got.range[0].high, address_of(start + 3 * page));
  assert_int_equal(got.range[1].low, address_of(start + 5 * page));
  assert_int_equal(got.range[1].high, address_of(low) + size);
  unwatch(wp, low, size);
  assert_false(harvest(wp, low, size, false));
  assert_int_equal(got.count, 1);
  assert_int_equal(got.bytes, size);
  tri_os_unreserve(start, 8 * page);
}

/* A huge page that was watched as a whole is split, or reported as a whole; it is not forgotten. */
static void test_huge_pages(void **state) {
  (void)state;
  NEEDS_WP();
  const size_t size = 8 * TRI_MIB;
  char *start = tri_os_reserve(size, 4 * TRI_MIB);
  assert_true(tri_os_commit(start, size, NULL));
  tri_os_advise_huge(start, size, true);
  memset(start, 1, size);
  assert_true(watch(wp, start, size));
  assert_true(arm(wp, start, size));
  assert_clean(wp, start, size);
  start[3 * TRI_MIB + 12345] = 2;
  assert_true(harvest(wp, start, size, true));
  assert_true(reported(start + 3 * TRI_MIB + 12345));
  assert_false(reported(start));
  assert_clean(wp, start, size);
  memory_end(wp, start, size);
}

/* Static data of a program: private mappings of a file, and zeroed memory. */
static char in_data[8 * 65536] = {1};
static char in_bss[8 * 65536];

static void check_static(char *variable, size_t size) {
  char *start = (char *)tri_align_up(address_of(variable), page);
  size = tri_align_down(size - page, page);
  for (size_t i = 0; i < size; i += page) start[i] = 1;
  assert_true(watch(wp, start, size));
  assert_true(arm(wp, start, size));
  assert_clean(wp, start, size);
  start[2 * page] = 2;
  assert_true(harvest(wp, start, size, false));
  assert_one_page(start + 2 * page);
  unwatch(wp, start, size);
}

static void test_static_data(void **state) {
  (void)state;
  NEEDS_WP();
  check_static(in_data, sizeof in_data);
  check_static(in_bss, sizeof in_bss);
}

/* ---- fork ---- */

/* In the child of a fork. The parent's range is not watched here; made anew it works. */
static int child_of_fork(char *start, size_t size) {
  wp->after_fork();
  start[page] = 3;
  reports_clear();
  bool sure = wp->harvest(address_of(start), address_of(start) + size, true, note, &got);
  if (sure || got.bytes != size) return 1;
  if (!watch(wp, start, size) || !arm(wp, start, size)) return 2;
  start[6 * page] = 3;
  reports_clear();
  sure = wp->harvest(address_of(start), address_of(start) + size, true, note, &got);
  if (!sure || got.bytes != page || !reported(start + 6 * page)) return 3;
  return tri_dirty_works(wp) ? 0 : 4;
}

static void test_fork(void **state) {
  (void)state;
  NEEDS_WP();
  const size_t size = 8 * page;
  char *start = armed_make(wp, size);
  start[3 * page] = 2;
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(child_of_fork(start, size));
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_true(harvest(wp, start, size, true)); /* the child's calls did nothing to the parent */
  assert_one_page(start + 3 * page);
  start[4 * page] = 2;
  assert_true(harvest(wp, start, size, true));
  assert_one_page(start + 4 * page);
  memory_end(wp, start, size);
}

/* ---- descriptors ---- */

static bool is_open(int descriptor) { return fcntl(descriptor, F_GETFD) >= 0; }

enum { MOST_DESCRIPTORS = 1100 }; /* ours are below */

/* In a child: a program that closes every descriptor, as daemons do, makes everything dirty, and nothing of its own is
 * closed when ours are opened again. */
static int child_closes_all(char *start, size_t size) {
  for (int i = 3; i < MOST_DESCRIPTORS; i++) close(i);
  reports_clear();
  bool sure = wp->harvest(address_of(start), address_of(start) + size, true, note, &got);
  if (sure || got.bytes != size) return 1;
  if (watch(wp, start, size) || arm(wp, start, size)) return 2;
  int most = (int)tri_min((size_t)sysconf(_SC_OPEN_MAX), MOST_DESCRIPTORS);
  int null = open("/dev/null", O_RDONLY);
  for (int i = null; i < most; i++) dup2(null, i);
  reports_clear();
  sure = wp->harvest(address_of(start), address_of(start) + size, true, note, &got);
  if (sure || got.bytes != size) return 3;
  wp->after_fork();
  for (int i = null; i < most; i++)
    if (!is_open(i)) return 4;
  return 0;
}

static void test_closed_descriptors(void **state) {
  (void)state;
  NEEDS_WP();
  const size_t size = 8 * page;
  char *start = armed_make(wp, size);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    wp->after_fork();
    bool ready = watch(wp, start, size) && arm(wp, start, size);
    _exit(ready ? child_closes_all(start, size) : 10);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  memory_end(wp, start, size);
}

static void test_kept_file(void **state) {
  (void)state;
  tri_dirty_file file;
  assert_false(tri_dirty_file_keep(&file, -1));
  tri_dirty_file_close(&file);
  int first = open("/dev/null", O_RDONLY);
  assert_true(tri_dirty_file_keep(&file, first));
  int kept = file.descriptor;
  assert_true(is_open(kept));
  if (sysconf(_SC_OPEN_MAX) >= MOST_DESCRIPTORS) { /* there is room far away from the program's own */
    assert_true(kept >= 1000);
    assert_int_equal(fcntl(kept, F_GETFD), FD_CLOEXEC);
    assert_false(is_open(first));
  }
  tri_dirty_file_close(&file);
  assert_false(is_open(kept));
  assert_true(tri_dirty_file_keep(&file, open("/dev/null", O_RDONLY)));
  kept = file.descriptor;
  int other = open("/dev/zero", O_RDONLY); /* the program takes the number for another file */
  assert_int_equal(dup2(other, kept), kept);
  tri_dirty_file_close(&file);
  assert_true(is_open(kept));
  close(kept);
  close(other);
}

/* ---- while threads write ---- */

enum { RACE_PAGES = 16384, RACE_WRITERS = 2 };

typedef struct race {
  char *start;
  uint32_t copy[RACE_PAGES][RACE_WRITERS];
  _Atomic(int) writing;
} race;

typedef struct race_writer {
  race *race;
  uint32_t number;
} race_writer;

static _Atomic(uint32_t) *race_word(const race *self, size_t index, size_t writer) {
  return (_Atomic(uint32_t) *)(void *)(self->start + index * page) + writer;
}

/* Writes to every page once, far from the one before. Once only: a second write would bring a lost one to light. */
static void *race_write(void *argument) {
  race_writer *self = argument;
  for (uint32_t i = 0; i < RACE_PAGES; i++) {
    uint32_t index = (i * 7919 + self->number * (RACE_PAGES / 2)) % RACE_PAGES;
    atomic_store_explicit(race_word(self->race, index, self->number), i + 1, memory_order_relaxed);
  }
  atomic_fetch_sub(&self->race->writing, 1);
  return NULL;
}

/* Copies what was reported after it was armed again: a later write makes the page dirty anew. */
static void race_copy(void *argument, tri_os_range range) {
  race *self = argument;
  for (uintptr_t at = range.low; at < range.high; at += page) {
    size_t index = (at - address_of(self->start)) / page;
    for (size_t i = 0; i < RACE_WRITERS; i++)
      self->copy[index][i] = atomic_load_explicit(race_word(self, index, i), memory_order_relaxed);
  }
}

static void race_run(race *self) {
  uintptr_t low = address_of(self->start), high = low + RACE_PAGES * page;
  pthread_t threads[RACE_WRITERS];
  race_writer writers[RACE_WRITERS];
  assert_true(wp->harvest(low, high, true, race_copy, self)); /* arms all */
  self->writing = RACE_WRITERS;
  for (uint32_t i = 0; i < RACE_WRITERS; i++) {
    writers[i] = (race_writer){self, i};
    assert_int_equal(pthread_create(&threads[i], NULL, race_write, &writers[i]), 0);
  }
  bool over;
  do {
    over = atomic_load(&self->writing) == 0;
    assert_true(wp->harvest(low, high, true, race_copy, self));
  } while (!over);
  for (size_t i = 0; i < RACE_WRITERS; i++) pthread_join(threads[i], NULL);
}

/* Copies kept up by harvests alone end equal to the memory: no write was lost between two of them. */
static void test_no_write_is_lost(void **state) {
  (void)state;
  NEEDS_WP();
  static race self;
  const size_t size = RACE_PAGES * page;
  self.start = memory_make(size, true);
  assert_true(watch(wp, self.start, size));
  race_run(&self);
  for (size_t i = 0; i < RACE_PAGES; i++)
    for (size_t j = 0; j < RACE_WRITERS; j++) assert_int_equal(self.copy[i][j], *race_word(&self, i, j));
  memory_end(wp, self.start, size);
}

int main(void) {
  page = tri_os_page_size();
  wp_available = tri_dirty_wp_open();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_choice),
      cmocka_unit_test(test_none_reports_everything),
      cmocka_unit_test(test_probe_rejects_wrong_answers),
      cmocka_unit_test(test_decode_runs),
      cmocka_unit_test(test_decode_edges),
      cmocka_unit_test(test_decode_all_patterns),
      cmocka_unit_test(test_soft_dirty),
      cmocka_unit_test(test_written_pages_are_dirty),
      cmocka_unit_test(test_reading_leaves_clean),
      cmocka_unit_test(test_rearm),
      cmocka_unit_test(test_ranges_are_independent),
      cmocka_unit_test(test_watched_pages_start_dirty),
      cmocka_unit_test(test_unpopulated_memory),
      cmocka_unit_test(test_discarded_page_is_dirty_when_written_again),
      cmocka_unit_test(test_unwatched_memory_is_all_dirty),
      cmocka_unit_test(test_partly_watched_memory),
      cmocka_unit_test(test_moved_memory_is_all_dirty),
      cmocka_unit_test(test_watch_refuses_unmapped_memory),
      cmocka_unit_test(test_writes_by_the_kernel),
      cmocka_unit_test(test_many_ranges),
      cmocka_unit_test(test_large_range),
      cmocka_unit_test(test_random_writes),
      cmocka_unit_test(test_unaligned_range),
      cmocka_unit_test(test_huge_pages),
      cmocka_unit_test(test_static_data),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_closed_descriptors),
      cmocka_unit_test(test_kept_file),
      cmocka_unit_test(test_no_write_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
