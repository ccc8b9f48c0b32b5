/* layout.c - see layout.h. */
#include "heap/layout.h"

#include <string.h>

#include "heap/cache.h"
#include "heap/heap.h"

enum { HASH_SIZE = 1024, EARN_BYTES = 32 * 1024 };

static struct {
  tri_lock lock;
  _Atomic(tri_layout *) *layouts; /* by number; release when complete */
  uint32_t count;
  uint32_t heads[HASH_SIZE];
} layout_table TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_LAYOUT), .count = 1};

bool tri_layout_init(void) {
  if (!layout_table.layouts)
    layout_table.layouts = tri_meta_alloc(TRI_META_OTHER, TRI_LAYOUT_MAX * sizeof *layout_table.layouts);
  return layout_table.layouts != NULL;
}

static uint32_t hash_of(size_t words, const uint64_t *map, size_t map_words) {
  uint64_t hash = words * 0x9e3779b97f4a7c15u;
  for (size_t i = 0; i < map_words; i++) hash = (hash ^ map[i]) * 0xff51afd7ed558ccdu;
  return (uint32_t)(hash >> 40) % HASH_SIZE;
}

const tri_layout *tri_layout_get(uint32_t layout) {
  return atomic_load_explicit(&layout_table.layouts[layout], memory_order_acquire);
}

uint64_t tri_layout_slot_pointers(uint32_t number, size_t slot_size) {
  size_t words = slot_size / 8;
  if (words > 64) return 0;
  if (number == TRI_LAYOUT_CONSERVATIVE) return ~0ull >> (64 - words);
  const tri_layout *layout = tri_layout_get(number);
  uint64_t pointers = 0;
  for (size_t at = 0; at < words; at += layout->element_words) pointers |= layout->map[0] << at;
  return pointers & ~0ull >> (64 - words);
}

/* Lock held. */
static uint32_t find(uint32_t head, size_t words, const uint64_t *map, size_t map_words) {
  for (uint32_t number = head; number; number = tri_layout_get(number)->next) {
    const tri_layout *layout = tri_layout_get(number);
    if (layout->element_words == words && memcmp(layout->map, map, map_words * sizeof *map) == 0) return number;
  }
  return 0;
}

/* Lock held. */
static uint32_t add(uint32_t *head, size_t words, const uint64_t *map, size_t map_words) {
  if (layout_table.count == TRI_LAYOUT_MAX) return TRI_LAYOUT_CONSERVATIVE;
  tri_layout *layout = tri_meta_alloc(TRI_META_OTHER, sizeof *layout);
  uint64_t *copy = tri_meta_alloc(TRI_META_OTHER, map_words * sizeof *map);
  if (!layout || !copy) return TRI_LAYOUT_FAILED;
  memcpy(copy, map, map_words * sizeof *map);
  *layout =
      (tri_layout){.element_words = (uint32_t)words, .map_words = (uint32_t)map_words, .map = copy, .next = *head};
  uint32_t number = layout_table.count++;
  atomic_store_explicit(&layout_table.layouts[number], layout, memory_order_release);
  *head = number;
  return number;
}

uint32_t tri_layout_intern(size_t size, const uint64_t *map) {
  size_t words = size / 8, map_words = (words + 63) / 64;
  bool any = false, all = words * 8 == size;
  for (size_t i = 0; i < words; i++) {
    bool pointer = map[i / 64] >> (i % 64) & 1;
    any |= pointer;
    all &= pointer;
  }
  if (!any) return TRI_LAYOUT_NOSCAN;
  /* Elements that do not tile by words keep no pointers aligned; a map of nothing but pointers says nothing. */
  if (all || size % 8 != 0 || words > UINT32_MAX) return TRI_LAYOUT_CONSERVATIVE;
  tri_cache_defer(tri_cache_self);
  tri_lock_take(&layout_table.lock);
  uint32_t *head = &layout_table.heads[hash_of(words, map, map_words)];
  uint32_t number = find(*head, words, map, map_words);
  if (!number) number = add(head, words, map, map_words);
  tri_lock_drop(&layout_table.lock);
  tri_cache_undefer(tri_cache_self);
  return number;
}

static uint32_t earn(tri_layout *layout, uint32_t number, uint32_t size_class) {
  tri_cache_defer(tri_cache_self);
  tri_lock_take(&layout_table.lock);
  uint32_t bucket = atomic_load_explicit(&layout->buckets[size_class], memory_order_relaxed);
  if (!bucket) {
    bucket = tri_central_create(number, size_class);
    if (!bucket) bucket = TRI_BUCKET_CONSERVATIVE + size_class; /* the cap: stay conservative for good */
    atomic_store_explicit(&layout->buckets[size_class], bucket, memory_order_release);
  }
  tri_lock_drop(&layout_table.lock);
  tri_cache_undefer(tri_cache_self);
  return bucket;
}

/* A layout is complete before it is linked, and a bucket before it has its number; a number may be lost. */
void tri_layout_mend(void) { tri_lock_abandon(&layout_table.lock); }

uint32_t tri_layout_bucket(uint32_t number, uint32_t size_class, size_t size, bool *final) {
  *final = true;
  if (number == TRI_LAYOUT_NOSCAN) return TRI_BUCKET_NOSCAN + size_class;
  if (number == TRI_LAYOUT_CONSERVATIVE) return TRI_BUCKET_CONSERVATIVE + size_class;
  tri_layout *layout = atomic_load_explicit(&layout_table.layouts[number], memory_order_acquire);
  uint32_t bucket = atomic_load_explicit(&layout->buckets[size_class], memory_order_acquire);
  if (bucket) return bucket;
  uint32_t made = atomic_fetch_add_explicit(&layout->bytes[size_class], (uint32_t)size, memory_order_relaxed);
  if (made >= EARN_BYTES || tri_the_heap.check) return earn(layout, number, size_class);
  *final = false;
  return TRI_BUCKET_CONSERVATIVE + size_class;
}
