/* api/types.c - types with pointer maps: registration, and allocation by type or by place.
 *
 * A type's map becomes a layout (heap/layout.h). A site (tri_new, tri_make) looks its type up once, by name, size and
 * translation unit, and keeps what it found in state:
 *
 *   bucket << 8 | index   single objects come from this bucket, by this slot of the cache, for good (bucket <
 *                         SITE_LAYOUT)
 *   SITE_LAYOUT + layout, shifted likewise: no bucket yet, or not for single objects; 0: the site was never used
 *
 * Bucket 0 serves nothing, and numbers from SITE_LAYOUT on are no buckets, so no slot ever matches those.
 * Lock: a list of types that only grows, read and written atomically. */
#include <errno.h>
#include <string.h>
#include <tricolor.h>

#include "api/link.h"
#include "api/types.h"
#include "base/fmt.h"
#include "heap/heap.h"
#include "heap/layout.h"
#include "heap/object.h"

enum {
  SITE_LAYOUT = 1 << 16,         /* plus the layout's number; */
  SITE_NOSCAN = SITE_LAYOUT - 1, /* or this for pointer-free types */
  MAX_MAP_WORDS = 64,
};
_Static_assert((int)TRI_BUCKET_MAX < (int)SITE_NOSCAN && TRI_CACHE_SLOTS <= 256,
               "a site's state has room for bucket and slot");

static _Atomic(tri_type *) types TRI_OWN_DATA; /* release when linked; pairs with the acquire in find_type */

/* ---- registration ---- */

static bool is_valid(const tri_type *type) {
  if (!type->name || type->size == 0) {
    tri_print("tricolor: tri_type_register: a type needs a name and a size\n");
    return false;
  }
  for (size_t i = 0; i < type->field_count; i++) {
    const tri_field *field = &type->fields[i];
    if (field->offset % sizeof(void *) == 0 && field->size >= sizeof(void *) && field->size <= type->size &&
        field->offset <= type->size - field->size)
      continue;
    tri_print(
        "tricolor: tri_type_register: field %zu of %s (offset %zu, size %zu) cannot hold a pointer in %zu bytes\n", i,
        type->name, field->offset, field->size, type->size);
    return false;
  }
  return true;
}

TRI_API tri_err tri_type_register(tri_type *type) {
  if (!is_valid(type)) return TRI_ERR_INVALID;
  tri_type *head = atomic_load_explicit(&types, memory_order_acquire);
  for (const tri_type *known = head; known; known = known->next)
    if (known == type) return TRI_OK;
  do type->next = head;
  while (!atomic_compare_exchange_weak_explicit(&types, &head, type, memory_order_release, memory_order_acquire));
  return TRI_OK;
}

static const tri_type *find_type(const tri_site *site) {
  const tri_type *type = atomic_load_explicit(&types, memory_order_acquire);
  while (type && (type->unit != site->unit || type->size != site->size || strcmp(type->name, site->name) != 0))
    type = type->next;
  return type;
}

/* ---- layouts ---- */

/* Types of more than 32 KiB are mapped conservatively: their maps would be longer than the stack frames we allow. */
static uint32_t layout_of_fields(const tri_type *type) {
  uint64_t map[MAX_MAP_WORDS] = {0};
  if (!type->field_count) return TRI_LAYOUT_NOSCAN;
  if (type->size / 8 > sizeof map * 8) return TRI_LAYOUT_CONSERVATIVE;
  for (size_t i = 0; i < type->field_count; i++)
    for (size_t at = type->fields[i].offset; at + 8 <= type->fields[i].offset + type->fields[i].size; at += 8)
      map[at / 512] |= 1ull << (at / 8 % 64);
  return tri_layout_intern(type->size, map);
}

/* The type's layout, interned at first use. type->layout: 0 unknown, else layout + 1, NOSCAN as 2^32 - 1. Racing
 * threads find the same number. */
static uint32_t layout_of(const tri_type *type) {
  uint32_t *field = &((tri_type *)(uintptr_t)type)->layout;
  uint32_t known = __atomic_load_n(field, __ATOMIC_ACQUIRE);
  if (known) return known == TRI_LAYOUT_NOSCAN ? known : known - 1;
  uint32_t layout = layout_of_fields(type);
  if (layout != TRI_LAYOUT_FAILED)
    __atomic_store_n(field, layout == TRI_LAYOUT_NOSCAN ? layout : layout + 1, __ATOMIC_RELEASE);
  return layout == TRI_LAYOUT_FAILED ? TRI_LAYOUT_CONSERVATIVE : layout;
}

/* ---- allocation ---- */

static void *from_bucket(uint32_t bucket) {
  tri_cache_slot *slot = &tri_cache_self->slots[tri_cache_slot_index(bucket)];
  void *object = slot->bucket == bucket ? tri_cache_slot_pop(slot) : NULL;
  return object ? object : tri_cache_alloc_slow(bucket);
}

void *tri_alloc_layout(uint32_t layout, size_t size) {
  bool final;
  if (layout == TRI_LAYOUT_NOSCAN) return tri_alloc_noscan(size);
  if (layout == TRI_LAYOUT_CONSERVATIVE) return tri_alloc(size);
  if (size > TRI_SMALL_MAX) return tri_large_alloc(size, 1, layout, false, true);
  uint32_t size_class = tri_size_class_of(size);
  void *object = from_bucket(tri_layout_bucket(layout, size_class, size, &final));
  if (object && tri_size_classes[size_class].size > TRI_BULK_ZERO_MAX)
    tri_cache_clear_slot(object, tri_size_classes[size_class].size);
  return object;
}

static bool is_started(void) { return tri_cache_self != &tri_cache_none || tri_the_hooks.attach(); }

static void *no_memory(void) {
  errno = ENOMEM;
  return NULL;
}

TRI_API void *tri_alloc_typed(const tri_type *type, size_t count) {
  size_t bytes;
  if (__builtin_mul_overflow(count, type->size, &bytes) || !is_started()) return no_memory();
  return tri_alloc_layout(layout_of(type), bytes);
}

static uint32_t site_layout(tri_site *site) {
  uint32_t known = __atomic_load_n(&site->state, __ATOMIC_RELAXED) >> 8;
  if (known >= SITE_LAYOUT) return known - SITE_LAYOUT;
  if (known == SITE_NOSCAN) return TRI_LAYOUT_NOSCAN;
  const tri_type *type = find_type(site);
  uint32_t layout = type ? layout_of(type) : TRI_LAYOUT_CONSERVATIVE;
  uint32_t found = layout == TRI_LAYOUT_NOSCAN ? (uint32_t)SITE_NOSCAN : SITE_LAYOUT + layout;
  __atomic_store_n(&site->state, found << 8, __ATOMIC_RELAXED);
  return layout;
}

/* Remembers the bucket of single objects once it is final. Only slots that are cleared when claimed come this way: the
 * short path does not clear. */
static TRI_NOINLINE void *site_slow(tri_site *site) {
  uint32_t known = __atomic_load_n(&site->state, __ATOMIC_RELAXED) >> 8;
  if (known && known < SITE_NOSCAN) return tri_cache_alloc_slow(known); /* its slot is empty or serves another bucket */
  if (!is_started()) return no_memory();
  if (site->align > TRI_GRANULE) return tri_alloc_aligned(site->align, site->size);
  uint32_t layout = site_layout(site);
  if (site->size > TRI_BULK_ZERO_MAX || (layout == TRI_LAYOUT_NOSCAN && site->size < TRI_TINY_SIZE))
    return tri_alloc_layout(layout, site->size);
  bool final;
  uint32_t bucket = tri_layout_bucket(layout, tri_size_class_of(site->size), site->size, &final);
  if (final) __atomic_store_n(&site->state, bucket << 8 | tri_cache_slot_index(bucket), __ATOMIC_RELAXED);
  return from_bucket(bucket);
}

TRI_API void *tri_alloc_site(tri_site *site) {
  uint32_t state = __atomic_load_n(&site->state, __ATOMIC_RELAXED);
  tri_cache_slot *slot = &tri_cache_self->slots[state & 255];
  if (tri_likely(slot->bucket == state >> 8)) {
    void *object = tri_cache_slot_pop(slot);
    if (tri_likely(object)) return object;
  }
  return site_slow(site);
}

/* A site of arrays has no bucket of its own, whatever single objects of its type do. */
TRI_API void *tri_alloc_site_array(tri_site *site, size_t count) {
  size_t bytes;
  if (__builtin_mul_overflow(count, site->size, &bytes) || !is_started()) return no_memory();
  if (tri_unlikely(site->align > TRI_GRANULE)) return tri_alloc_aligned(site->align, bytes);
  return tri_alloc_layout(site_layout(site), bytes);
}
