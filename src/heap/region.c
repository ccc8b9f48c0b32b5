/* region.c - see region.h. */
#include "heap/region.h"

#include "base/fmt.h"

enum {
  COMMIT_STEP = 64 * 1024, /* few system calls, little unused memory; whole pages of the system's */
  META_SHARE = 16,         /* of the heap's size, for each kind of metadata; */
  LEAST_META = 64,         /* in MiB: small heaps may have many threads */
  LEAST_META_LIMITED = 4,
};

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

/* Half of the limit is ours. Tables and metadata take a good quarter of what the heap takes. */
size_t tri_region_fair_share(void) {
  size_t limit = tri_os_address_limit();
  return limit ? limit / 8 * 3 : SIZE_MAX;
}

void tri_region_report_refusal(size_t size) {
  static _Atomic(bool) reported TRI_OWN_DATA; /* relaxed: it stands alone */
  size_t limit = tri_os_address_limit();
  if (atomic_exchange_explicit(&reported, true, memory_order_relaxed)) return;
  if (limit)
    tri_print("tricolor: no address space for a heap of even %zu MiB: the limit (ulimit -v) is %zu KiB\n",
              size / TRI_MIB, limit / TRI_KIB);
  else
    tri_print("tricolor: no address space for a heap of even %zu MiB, though no limit (ulimit -v) is set\n",
              size / TRI_MIB);
}

static struct {
  tri_lock lock;
  tri_region regions[TRI_META_KINDS];
  size_t used[TRI_META_KINDS];
} meta TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_META)};

bool tri_meta_reserve(size_t heap_bytes) {
  static const char *const names[TRI_META_KINDS] = {"tricolor: spans", "tricolor: caches", "tricolor: work",
                                                    "tricolor: other"};
  size_t least = (tri_os_address_limit() ? LEAST_META_LIMITED : LEAST_META) * TRI_MIB;
  for (int kind = 0; kind < TRI_META_KINDS; kind++)
    if (!tri_region_reserve(&meta.regions[kind], tri_max(heap_bytes / META_SHARE, least), TRI_CACHE_LINE, names[kind]))
      return false;
  return true;
}

void tri_meta_unreserve(void) {
  for (int kind = 0; kind < TRI_META_KINDS; kind++) tri_region_unreserve(&meta.regions[kind]);
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

/* A block is taken by one store: it is somebody's, or nobody's. */
void tri_meta_mend(void) { tri_lock_abandon(&meta.lock); }

const tri_region *tri_meta_region(tri_meta_kind kind) { return &meta.regions[kind]; }
