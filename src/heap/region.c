/* region.c - see region.h. */
#include "heap/region.h"

enum { COMMIT_STEP = 64 * 1024 }; /* few system calls, little unused memory */

bool tri_region_reserve(tri_region *region, size_t size, size_t alignment, const char *name) {
  size = tri_align_up(size, COMMIT_STEP);
  void *base = tri_os_reserve(size, tri_max(alignment, tri_os_page_size()));
  if (!base) return false;
  *region = (tri_region){.base = (uintptr_t)base, .reserved = size, .name = name};
  return true;
}

void tri_region_unreserve(tri_region *region) {
  if (region->base) tri_os_unreserve((void *)region->base, region->reserved);
  *region = (tri_region){0};
}

bool tri_region_extend(tri_region *region, size_t size) {
  if (size <= region->committed) return true;
  size = tri_align_up(size, COMMIT_STEP);
  if (size > region->reserved) return false;
  if (!tri_os_commit((void *)(region->base + region->committed), size - region->committed, region->name)) return false;
  region->committed = size;
  return true;
}

static struct {
  tri_lock lock;
  tri_region regions[TRI_META_KINDS];
  size_t used[TRI_META_KINDS];
} meta TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_META)};

bool tri_meta_init(size_t heap_reserved) {
  static const char *const names[TRI_META_KINDS] = {"tricolor: spans", "tricolor: caches", "tricolor: work",
                                                    "tricolor: other"};
  for (int kind = 0; kind < TRI_META_KINDS; kind++)
    if (!tri_region_reserve(&meta.regions[kind], tri_max(heap_reserved / 16, 64 * TRI_MIB), TRI_CACHE_LINE,
                            names[kind]))
      return false;
  return true;
}

void *tri_meta_alloc(tri_meta_kind kind, size_t size) {
  size = tri_align_up(size, TRI_CACHE_LINE);
  tri_lock_take(&meta.lock);
  tri_region *region = &meta.regions[kind];
  void *block = NULL;
  if (tri_region_extend(region, meta.used[kind] + size)) {
    block = (void *)(region->base + meta.used[kind]);
    meta.used[kind] += size;
  }
  tri_lock_drop(&meta.lock);
  return block;
}

const tri_region *tri_meta_region(tri_meta_kind kind) { return &meta.regions[kind]; }
