/* dirty_providers.h - the dirty-page providers behind dirty.h, for dirty.c, which chooses, and for their tests. */
#ifndef TRI_OS_DIRTY_PROVIDERS_H
#define TRI_OS_DIRTY_PROVIDERS_H

#include "os/dirty.h"

/* Each has to be opened before it is used; false when the system lacks what it needs. Opening alone proves little. */
extern const tri_dirty_provider tri_dirty_wp;
bool tri_dirty_wp_open(void);

extern const tri_dirty_provider tri_dirty_soft;
bool tri_dirty_soft_open(void);

/* Needs nothing: it watches nothing, and all is dirty always. */
extern const tri_dirty_provider tri_dirty_none;

/* Whether an opened provider finds, in memory made for this, exactly the page that was written. */
bool tri_dirty_works(const tri_dirty_provider *provider);

/* The range widened to whole pages of the system, and a reported range cut back to it. */
tri_os_range tri_dirty_widen(uintptr_t low, uintptr_t high);
tri_os_range tri_dirty_cut(tri_os_range range, uintptr_t low, uintptr_t high);

/* The pure part of soft-dirty: reports the runs of dirty pages among count entries of /proc/PID/pagemap, the first of
 * which stands for the page of within.low. */
void tri_dirty_soft_decode(const uint64_t *entries, size_t count, tri_os_range within, tri_dirty_report *report,
                           void *argument);

/* A descriptor held for the life of the process, with its identity: the program may close it and get its number for a
 * file of its own, which is then left alone. */
typedef struct tri_dirty_file {
  int descriptor;
  uint64_t device, inode;
} tri_dirty_file;
bool tri_dirty_file_keep(tri_dirty_file *file, int descriptor);
void tri_dirty_file_close(tri_dirty_file *file);

/* Opens the page map of the process, for reading. */
int tri_dirty_pagemap_open(void);

#endif
