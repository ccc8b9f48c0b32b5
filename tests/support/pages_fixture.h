/* pages_fixture.h - a page allocator with tables in memory of its own, for the tests that look into it. */
#ifndef TEST_PAGES_FIXTURE_H
#define TEST_PAGES_FIXTURE_H

#include <sys/mman.h>

#include "heap/pages.h"

enum { PER_CHUNK = TRI_PAGES_PER_CHUNK, PER_HUGE = TRI_PAGES_PER_HUGE, SYSTEM_PAGE = 4096 };

typedef struct fixture {
  tri_pages pages;
  void *table;
  size_t table_size;
} fixture;

static inline void fixture_start(fixture *f, size_t max_chunks) {
  f->table_size = tri_align_up(tri_pages_table_size(max_chunks), SYSTEM_PAGE);
  f->table = mmap(NULL, f->table_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  assert_true(f->table != MAP_FAILED);
  (void)madvise(f->table, f->table_size, MADV_NOHUGEPAGE); /* so that what was touched can be counted in small pages */
  tri_pages_init(&f->pages, f->table, max_chunks);
}

static inline void fixture_end(fixture *f) { assert_int_equal(munmap(f->table, f->table_size), 0); }

#endif
