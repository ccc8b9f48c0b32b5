/* dirty_wp.c - dirty pages from userfaultfd's asynchronous write protection and the PAGEMAP_SCAN call (Linux 6.7).
 *
 * A watched range is registered with a userfaultfd in asynchronous mode: the first write to a protected page removes
 * the protection within the kernel, without a signal or a message, also when the kernel itself writes for a system
 * call. Armed is protected, and written is present (or swapped out) without protection. The kernel's own account is in
 * its Documentation/admin-guide/mm/pagemap.rst and userfaultfd.rst. Rules, each learned by trying:
 *
 * - PM_SCAN_CHECK_WPASYNC always. Without it memory that is not registered reads as clean. With it the call fails with
 *   EPERM, possibly after pages before the fault were armed again: so all that the call was asked about is dirty.
 * - Only pages that hold memory are asked for, and so only they are armed: UFFDIO_WRITEPROTECT would build page tables
 *   for the rest. A page that comes to life later is unprotected, hence dirty.
 * - A call holds mmap_lock, so it is given at most TRI_WP_SLICE.
 * - When the program has closed our descriptors, the calls fail, or are refused by whatever file has the number now;
 *   closing the userfaultfd also removes all protection. Either way all is dirty.
 *
 * The constants are our own: the headers of systems in use lack them, while their kernels have the calls. Takes no
 * lock. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/dirty_providers.h"

enum {
  TRI_WP_RANGES = 512, /* 12 KiB of stack; the kernel fills no more than this at a time */
};

#define TRI_WP_SLICE (16 * TRI_MIB)

/* ---- of linux/userfaultfd.h ---- */

typedef struct tri_uffd_api {
  uint64_t api, features, ioctls;
} tri_uffd_api;

typedef struct tri_uffd_range {
  uint64_t start, length;
} tri_uffd_range;

typedef struct tri_uffd_register {
  tri_uffd_range range;
  uint64_t mode, ioctls;
} tri_uffd_register;

typedef struct tri_uffd_writeprotect {
  tri_uffd_range range;
  uint64_t mode;
} tri_uffd_writeprotect;

#define TRI_UFFD_API UINT64_C(0xAA)
#define TRI_UFFD_USER_MODE_ONLY 1
#define TRI_UFFD_FEATURE_WP_UNPOPULATED (UINT64_C(1) << 13)
#define TRI_UFFD_FEATURE_WP_ASYNC (UINT64_C(1) << 15)
#define TRI_UFFD_REGISTER_MODE_WP (UINT64_C(1) << 1)
#define TRI_UFFDIO_API _IOWR(0xAA, 0x3F, tri_uffd_api)
#define TRI_UFFDIO_REGISTER _IOWR(0xAA, 0x00, tri_uffd_register)
#define TRI_UFFDIO_WRITEPROTECT _IOWR(0xAA, 0x06, tri_uffd_writeprotect)
#define TRI_UFFDIO_UNREGISTER _IOR(0xAA, 0x01, tri_uffd_range)

/* ---- of linux/fs.h ---- */

typedef struct tri_scan {
  uint64_t size, flags, start, end, walk_end, vector, vector_length, most_pages;
  uint64_t category_inverted, category_mask, category_any_of, return_mask;
} tri_scan;

typedef struct tri_scan_range {
  uint64_t start, end, categories;
} tri_scan_range;

#define TRI_PAGEMAP_SCAN _IOWR('f', 16, tri_scan)
#define TRI_SCAN_ARM (UINT64_C(1) << 0)   /* PM_SCAN_WP_MATCHING */
#define TRI_SCAN_CHECK (UINT64_C(1) << 1) /* PM_SCAN_CHECK_WPASYNC */
#define TRI_PAGE_WRITTEN (UINT64_C(1) << 1)
#define TRI_PAGE_PRESENT (UINT64_C(1) << 3)
#define TRI_PAGE_SWAPPED (UINT64_C(1) << 4)

/* ---- the two files ---- */

/* Written at the start and in the child of a fork, where there is one thread. */
static tri_dirty_file tri_wp_uffd TRI_OWN_DATA = {.descriptor = -1};
static tri_dirty_file tri_wp_pagemap TRI_OWN_DATA = {.descriptor = -1};

static void tri_wp_close(void) {
  tri_dirty_file_close(&tri_wp_uffd);
  tri_dirty_file_close(&tri_wp_pagemap);
}

bool tri_dirty_wp_open(void) {
  tri_uffd_api api = {
      .api = TRI_UFFD_API,
      .features = TRI_UFFD_FEATURE_WP_ASYNC | TRI_UFFD_FEATURE_WP_UNPOPULATED,
  };
  tri_wp_close();
  /* USER_MODE_ONLY needs no privilege; the kernel's own writes are resolved all the same, for nobody is asked. */
  int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | TRI_UFFD_USER_MODE_ONLY);
  if (tri_dirty_file_keep(&tri_wp_uffd, uffd) && ioctl(tri_wp_uffd.descriptor, TRI_UFFDIO_API, &api) == 0 &&
      tri_dirty_file_keep(&tri_wp_pagemap, tri_dirty_pagemap_open()))
    return true;
  tri_wp_close();
  return false;
}

static void tri_wp_after_fork(void) { (void)tri_dirty_wp_open(); }

/* ---- ranges ---- */

static bool tri_wp_watch(uintptr_t low, uintptr_t high) {
  tri_os_range pages = tri_dirty_widen(low, high);
  tri_uffd_register request = {{pages.low, pages.high - pages.low}, TRI_UFFD_REGISTER_MODE_WP, 0};
  return ioctl(tri_wp_uffd.descriptor, TRI_UFFDIO_REGISTER, &request) == 0;
}

static void tri_wp_unwatch(uintptr_t low, uintptr_t high) {
  tri_os_range pages = tri_dirty_widen(low, high);
  tri_uffd_range request = {pages.low, pages.high - pages.low};
  /* Fails when the memory is no longer mapped, and then there is nothing to undo. */
  (void)ioctl(tri_wp_uffd.descriptor, TRI_UFFDIO_UNREGISTER, &request);
}

/* One call, from low to at most high: returns how many ranges it found, or -1, and sets *reached. */
static long tri_wp_scan(uintptr_t low, uintptr_t high, tri_dirty_way way, tri_scan_range *ranges, uintptr_t *reached) {
  bool arm = way == TRI_DIRTY_REARM || way == TRI_DIRTY_REARM_QUICK;
  bool quick = way == TRI_DIRTY_LIST_QUICK || way == TRI_DIRTY_REARM_QUICK;
  tri_scan request = {
      .size = sizeof request,
      .flags = TRI_SCAN_CHECK | (arm ? TRI_SCAN_ARM : 0),
      .start = low,
      .end = high,
      .vector = (uintptr_t)ranges,
      .vector_length = TRI_WP_RANGES,
      .category_mask = TRI_PAGE_WRITTEN,
      .category_any_of = quick ? 0 : TRI_PAGE_PRESENT | TRI_PAGE_SWAPPED, /* with 0 the kernel has a short way */
      .return_mask = TRI_PAGE_WRITTEN,
  };
  long found = ioctl(tri_wp_pagemap.descriptor, TRI_PAGEMAP_SCAN, &request);
  *reached = (uintptr_t)request.walk_end;
  bool sound = found >= 0 && found <= TRI_WP_RANGES && *reached > low && *reached <= high;
  return sound ? found : -1;
}

static bool tri_wp_arm(uintptr_t low, uintptr_t high) {
  tri_os_range pages = tri_dirty_widen(low, high);
  tri_scan_range ranges[TRI_WP_RANGES];
  uintptr_t slice_end = pages.low;
  for (uintptr_t at = pages.low; at < pages.high;) {
    if (at == slice_end) {
      if (at > pages.low) tri_os_yield(); /* whoever waits for mmap_lock goes first */
      slice_end = pages.high - at > TRI_WP_SLICE ? at + TRI_WP_SLICE : pages.high;
    }
    if (tri_wp_scan(at, slice_end, TRI_DIRTY_REARM, ranges, &at) < 0) return false;
  }
  return true;
}

static void tri_wp_disarm(uintptr_t low, uintptr_t high) {
  tri_os_range pages = tri_dirty_widen(low, high);
  for (uintptr_t at = pages.low; at < pages.high; at += TRI_WP_SLICE) {
    tri_uffd_writeprotect request = {{at, tri_min(TRI_WP_SLICE, pages.high - at)}, 0};
    if (ioctl(tri_wp_uffd.descriptor, TRI_UFFDIO_WRITEPROTECT, &request) != 0) return; /* they stay armed */
  }
}

static bool tri_wp_harvest(uintptr_t low, uintptr_t high, tri_dirty_way way, tri_dirty_report *report, void *argument) {
  tri_os_range pages = tri_dirty_widen(low, high);
  tri_scan_range ranges[TRI_WP_RANGES];
  for (uintptr_t at = pages.low, reached; at < pages.high; at = reached) {
    uintptr_t end = pages.high - at > TRI_WP_SLICE ? at + TRI_WP_SLICE : pages.high;
    long found = tri_wp_scan(at, end, way, ranges, &reached);
    if (found < 0) {
      report(argument, (tri_os_range){tri_max(at, low), high});
      return false;
    }
    for (long i = 0; i < found; i++)
      report(argument, tri_dirty_cut((tri_os_range){ranges[i].start, ranges[i].end}, low, high));
  }
  return true;
}

const tri_dirty_provider tri_dirty_wp = {
    .name = "wp-async",
    .watch = tri_wp_watch,
    .unwatch = tri_wp_unwatch,
    .arm = tri_wp_arm,
    .disarm = tri_wp_disarm,
    .harvest = tri_wp_harvest,
    .after_fork = tri_wp_after_fork,
};
