/* dirty.c - chooses the dirty-page provider, and holds what the providers share; dirty.h has the contract.
 *
 * A provider is chosen by trying it: kernels, sandboxes and emulators refuse or fake any part of this, and a wrong
 * answer would lose objects. Takes no lock but that of the one choice. */
#include "os/dirty.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/dirty_providers.h"

enum {
  TRI_PROBE_PAGES = 4,
  TRI_PROBE_WRITTEN = 2,       /* the page the probe writes */
  TRI_DESCRIPTOR_FLOOR = 1000, /* out of the way of programs that count their descriptors, or close the first few */
};

/* ---- what providers share ---- */

tri_os_range tri_dirty_widen(uintptr_t low, uintptr_t high) {
  size_t page = tri_os_page_size();
  return (tri_os_range){tri_align_down(low, page), tri_align_up(high, page)};
}

tri_os_range tri_dirty_cut(tri_os_range range, uintptr_t low, uintptr_t high) {
  return (tri_os_range){tri_max(range.low, low), tri_min(range.high, high)};
}

int tri_dirty_pagemap_open(void) {
  return (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC);
}

bool tri_dirty_file_keep(tri_dirty_file *file, int descriptor) {
  file->descriptor = descriptor;
  if (descriptor < 0) return false;
  int high = fcntl(descriptor, F_DUPFD_CLOEXEC, TRI_DESCRIPTOR_FLOOR);
  if (high >= 0) { /* the limit on descriptors may be lower */
    syscall(SYS_close, descriptor);
    file->descriptor = high;
  }
  struct stat status = {0};
  (void)fstat(file->descriptor, &status);
  file->device = status.st_dev;
  file->inode = status.st_ino;
  return true;
}

void tri_dirty_file_close(tri_dirty_file *file) {
  struct stat status;
  bool same = file->descriptor >= 0 && fstat(file->descriptor, &status) == 0 && status.st_dev == file->device &&
              status.st_ino == file->inode;
  if (same) syscall(SYS_close, file->descriptor);
  file->descriptor = -1;
}

/* ---- none ---- */

static bool tri_none_refuse(uintptr_t low, uintptr_t high) {
  (void)low, (void)high;
  return false;
}

static void tri_none_unwatch(uintptr_t low, uintptr_t high) { (void)low, (void)high; }

static bool tri_none_harvest(uintptr_t low, uintptr_t high, tri_dirty_way way, tri_dirty_report *report,
                             void *argument) {
  (void)way;
  report(argument, (tri_os_range){low, high});
  return false;
}

static void tri_none_after_fork(void) {}

const tri_dirty_provider tri_dirty_none = {
    .name = "none",
    .watch = tri_none_refuse,
    .unwatch = tri_none_unwatch,
    .arm = tri_none_refuse,
    .harvest = tri_none_harvest,
    .after_fork = tri_none_after_fork,
};

/* ---- the choice ---- */

/* Collects the reports of a probe: a bit for every page touched by one. */
typedef struct tri_probe {
  uintptr_t low;
  unsigned pages;
} tri_probe;

static void tri_probe_report(void *argument, tri_os_range range) {
  tri_probe *probe = argument;
  size_t page = tri_os_page_size();
  for (uintptr_t at = range.low; at < range.high; at += page) probe->pages |= 1U << ((at - probe->low) / page);
}

static bool tri_probe_harvest(const tri_dirty_provider *provider, uintptr_t low, tri_dirty_way way, unsigned expected) {
  tri_probe probe = {low, 0};
  size_t size = TRI_PROBE_PAGES * tri_os_page_size();
  return provider->harvest(low, low + size, way, tri_probe_report, &probe) && probe.pages == expected;
}

static bool tri_probe_run(const tri_dirty_provider *provider, volatile char *memory) {
  size_t page = tri_os_page_size();
  uintptr_t low = (uintptr_t)memory;
  for (size_t i = 0; i < TRI_PROBE_PAGES; i++) memory[i * page] = 1;
  if (!provider->watch(low, low + TRI_PROBE_PAGES * page) || !provider->arm(low, low + TRI_PROBE_PAGES * page))
    return false;
  const unsigned written = 1U << TRI_PROBE_WRITTEN;
  bool clean = tri_probe_harvest(provider, low, TRI_DIRTY_LIST, 0);
  memory[TRI_PROBE_WRITTEN * page] = 2;
  bool seen = tri_probe_harvest(provider, low, TRI_DIRTY_REARM, written);
  bool again = tri_probe_harvest(provider, low, TRI_DIRTY_LIST, provider->process_wide ? written : 0);
  provider->unwatch(low, low + TRI_PROBE_PAGES * page);
  return clean && seen && again;
}

bool tri_dirty_works(const tri_dirty_provider *provider) {
  size_t page = tri_os_page_size();
  void *memory = tri_os_reserve(TRI_PROBE_PAGES * page, page);
  if (!memory) return false;
  bool works = tri_os_commit(memory, TRI_PROBE_PAGES * page, "tricolor: probe") && tri_probe_run(provider, memory);
  tri_os_unreserve(memory, TRI_PROBE_PAGES * page);
  return works;
}

static pthread_once_t tri_dirty_once TRI_OWN_DATA = PTHREAD_ONCE_INIT;
static const tri_dirty_provider *tri_dirty_chosen TRI_OWN_DATA; /* written once, within tri_dirty_once */

static void tri_dirty_probe(void) {
  tri_dirty_chosen = &tri_dirty_none;
  if (tri_dirty_wp_open() && tri_dirty_works(&tri_dirty_wp))
    tri_dirty_chosen = &tri_dirty_wp;
  else if (tri_dirty_soft_open() && tri_dirty_works(&tri_dirty_soft))
    tri_dirty_chosen = &tri_dirty_soft;
}

const tri_dirty_provider *tri_dirty_choose(void) {
  pthread_once(&tri_dirty_once, tri_dirty_probe);
  return tri_dirty_chosen;
}
