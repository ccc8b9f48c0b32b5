/* dirty_softdirty.c - dirty pages from the kernel's soft-dirty bits, where it is configured with them.
 *
 * Writing 4 to /proc/self/clear_refs clears the bits of the whole process and protects its pages; the first write sets
 * a page's bit, which is read in /proc/self/pagemap. New mappings count as dirty. There is no way to read and clear at
 * once, nor to clear a part: hence this provider is process-wide, and a harvest that clears would lose what other
 * ranges had. The kernel's own account is in its Documentation/admin-guide/mm/soft-dirty.rst. Takes no lock. */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/dirty_providers.h"

enum { TRI_SOFT_ENTRIES = 512 };

/* An entry of the page map. */
#define TRI_ENTRY_PRESENT (UINT64_C(1) << 63)
#define TRI_ENTRY_SWAPPED (UINT64_C(1) << 62)
#define TRI_ENTRY_DIRTY (UINT64_C(1) << 55)

/* Written at the start and in the child of a fork, where there is one thread. */
static tri_dirty_file tri_soft_pagemap TRI_OWN_DATA = {.descriptor = -1};

bool tri_dirty_soft_open(void) {
  tri_dirty_file_close(&tri_soft_pagemap);
  return tri_dirty_file_keep(&tri_soft_pagemap, tri_dirty_pagemap_open());
}

static void tri_soft_after_fork(void) { (void)tri_dirty_soft_open(); }

/* Nothing is registered: the bits are kept for all memory. */
static bool tri_soft_watch(uintptr_t low, uintptr_t high) {
  (void)low, (void)high;
  return tri_soft_pagemap.descriptor >= 0;
}

static void tri_soft_unwatch(uintptr_t low, uintptr_t high) { (void)low, (void)high; }

static bool tri_soft_arm(uintptr_t low, uintptr_t high) {
  (void)low, (void)high;
  int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  bool cleared = syscall(SYS_write, file, "4", 1) == 1;
  syscall(SYS_close, file);
  return cleared;
}

static bool tri_soft_is_dirty(uint64_t entry) {
  return (entry & TRI_ENTRY_DIRTY) && (entry & (TRI_ENTRY_PRESENT | TRI_ENTRY_SWAPPED));
}

void tri_dirty_soft_decode(const uint64_t *entries, size_t count, tri_os_range within, tri_dirty_report *report,
                           void *argument) {
  size_t page = tri_os_page_size();
  uintptr_t base = tri_align_down(within.low, page);
  for (size_t i = 0; i < count;) {
    size_t end = i;
    while (end < count && tri_soft_is_dirty(entries[end])) end++;
    if (end > i)
      report(argument, tri_dirty_cut((tri_os_range){base + i * page, base + end * page}, within.low, within.high));
    i = end + 1;
  }
}

static bool tri_soft_harvest(uintptr_t low, uintptr_t high, tri_dirty_way way, tri_dirty_report *report,
                             void *argument) {
  uint64_t entries[TRI_SOFT_ENTRIES];
  size_t page = tri_os_page_size();
  tri_os_range pages = tri_dirty_widen(low, high);
  (void)way;
  for (uintptr_t at = pages.low; at < pages.high;) {
    size_t count = tri_min((pages.high - at) / page, TRI_SOFT_ENTRIES);
    size_t bytes = count * sizeof entries[0];
    long got = syscall(SYS_pread64, tri_soft_pagemap.descriptor, entries, bytes, at / page * sizeof entries[0]);
    if (got != (long)bytes) {
      report(argument, (tri_os_range){tri_max(at, low), high});
      return false;
    }
    tri_dirty_soft_decode(entries, count, tri_dirty_cut((tri_os_range){at, at + count * page}, low, high), report,
                          argument);
    at += count * page;
  }
  return true;
}

const tri_dirty_provider tri_dirty_soft = {
    .name = "soft-dirty",
    .process_wide = true,
    .watch = tri_soft_watch,
    .unwatch = tri_soft_unwatch,
    .arm = tri_soft_arm,
    .harvest = tri_soft_harvest,
    .after_fork = tri_soft_after_fork,
};
