/* api/types.c - types with pointer maps: registration, and allocation by type or by place.
 *
 * A type's map becomes a layout (heap/layout.h). A site (tri_new, tri_make) looks its type up once, by name, size and
 * translation unit, and keeps what it found in bucket:
 *
 *   a bucket               single objects come from it, for good; slot is where in a cache: the byte offset of the
 *                          bucket's slot
 *   SITE_NOSCAN, or SITE_LAYOUT + layout: no bucket yet, or not for single objects; 0: the site was never used
 *
 * Bucket 0 and numbers from SITE_NOSCAN on are no buckets, so no slot of a cache ever matches those; and slot 0, which
 * offset 0 leads to, matches nothing. So the short way may read the two fields in any mixture of old and new: both
 * relaxed. Elsewhere bucket is stored with release and read with acquire: what it names was made by then.
 *
 * A type leaves the list when its library is unloaded. Lock: the api layer's (api/link.h) guards the list; whoever
 * walks it sees only types whose memory is there. What a look-up found is used without the lock: a site and its type
 * are in the same library. */
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
_Static_assert((int)TRI_BUCKET_MAX < (int)SITE_NOSCAN, "a site's buckets are told from the rest");

static tri_type *types TRI_OWN_DATA;

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

static bool is_match(const tri_type *type, const void *unit, size_t size, const char *name) {
  return type->unit == unit && type->size == size && strcmp(type->name, name) == 0;
}

static bool has_fields_of(const tri_type *type, const tri_type *other) {
  return type->field_count == other->field_count &&
         (!type->field_count || memcmp(type->fields, other->fields, type->field_count * sizeof *type->fields) == 0);
}

/* Whether a site would find either of two descriptions that differ. Lock held. */
static bool is_ambiguous(const tri_type *type) {
  for (const tri_type *known = types; known && type->unit; known = known->next)
    if (known != type && is_match(known, type->unit, type->size, type->name) && !has_fields_of(known, type))
      return true;
  return false;
}

/* Where the type is linked, or the end of the list. Lock held. */
static tri_type **find_link(const tri_type *type) {
  tri_type **link = &types;
  while (*link && *link != type) link = &(*link)->next;
  return link;
}

TRI_API tri_err tri_type_register(tri_type *type) {
  if (!is_valid(type)) return TRI_ERR_INVALID;
  tri_api_lock();
  bool ambiguous = is_ambiguous(type);
  if (!ambiguous && !*find_link(type)) {
    type->next = types;
    types = type;
  }
  tri_api_unlock();
  if (!ambiguous) return TRI_OK;
  tri_print(
      "tricolor: tri_type_register: %s of %zu bytes is described twice in a file, with different fields: the first "
      "holds\n",
      type->name, type->size);
  return TRI_ERR_INVALID;
}

TRI_API tri_err tri_type_unregister(tri_type *type) {
  tri_api_lock();
  tri_type **link = find_link(type);
  bool found = *link != NULL;
  if (found) *link = type->next;
  tri_api_unlock();
  return found ? TRI_OK : TRI_ERR_NOT_FOUND;
}

static const tri_type *find_type(const tri_site *site) {
  tri_api_lock();
  const tri_type *type = types;
  while (type && !is_match(type, site->unit, site->size, site->name)) type = type->next;
  tri_api_unlock();
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
  return object ? object : tri_api_alloc_slow(bucket);
}

void *tri_alloc_layout(uint32_t layout, size_t size) {
  if (layout == TRI_LAYOUT_NOSCAN) return tri_alloc_noscan(size);
  if (layout == TRI_LAYOUT_CONSERVATIVE) return tri_alloc(size);
  if (size > TRI_SMALL_MAX) return TRI_KEEPING_ERRNO(tri_large_alloc(size, 1, layout, false, true));
  bool final;
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

static void *alloc_typed(const tri_type *type, size_t bytes) {
  return is_started() ? tri_alloc_layout(layout_of(type), bytes) : no_memory();
}

TRI_API void *tri_alloc_typed(const tri_type *type, size_t count) {
  size_t bytes;
  if (__builtin_mul_overflow(count, type->size, &bytes)) return no_memory();
  return TRI_KEEPING_ERRNO(alloc_typed(type, bytes));
}

static uint32_t site_layout(tri_site *site) {
  uint32_t known = __atomic_load_n(&site->bucket, __ATOMIC_ACQUIRE);
  if (known >= SITE_LAYOUT) return known - SITE_LAYOUT;
  if (known == SITE_NOSCAN) return TRI_LAYOUT_NOSCAN;
  const tri_type *type = find_type(site);
  uint32_t layout = type ? layout_of(type) : TRI_LAYOUT_CONSERVATIVE;
  __atomic_store_n(&site->bucket, layout == TRI_LAYOUT_NOSCAN ? (uint32_t)SITE_NOSCAN : SITE_LAYOUT + layout,
                   __ATOMIC_RELEASE);
  return layout;
}

static void site_keep_bucket(tri_site *site, uint32_t bucket) {
  size_t offset = offsetof(tri_cache, slots) + tri_cache_slot_index(bucket) * sizeof(tri_cache_slot);
  __atomic_store_n(&site->slot, (uint32_t)offset, __ATOMIC_RELAXED);
  __atomic_store_n(&site->bucket, bucket, __ATOMIC_RELEASE);
}

/* Remembers the bucket of single objects once it is final. Only slots that are cleared when claimed come this way: the
 * short path does not clear. */
static void *site_first(tri_site *site) {
  if (!is_started()) return no_memory();
  if (site->align > TRI_GRANULE) return tri_alloc_aligned(site->align, site->size);
  uint32_t layout = site_layout(site);
  if (site->size > TRI_BULK_ZERO_MAX || (layout == TRI_LAYOUT_NOSCAN && site->size < TRI_TINY_SIZE))
    return tri_alloc_layout(layout, site->size);
  bool final;
  uint32_t bucket = tri_layout_bucket(layout, tri_size_class_of_type(site->size, site->align), site->size, &final);
  if (final) site_keep_bucket(site, bucket);
  return from_bucket(bucket);
}

static TRI_NOINLINE void *site_slow(tri_site *site) {
  uint32_t known = __atomic_load_n(&site->bucket, __ATOMIC_ACQUIRE);
  if (known && known < SITE_NOSCAN) return tri_api_alloc_slow(known); /* its slot is empty or serves another bucket */
  return TRI_KEEPING_ERRNO(site_first(site));
}

/* The short way is in the header, so that it is compiled into the program; here it is for who calls by name. */
_Static_assert(sizeof(tri_cache_slot_) <= sizeof(tri_cache_slot) &&
                   offsetof(tri_cache_slot_, free) == offsetof(tri_cache_slot, free) &&
                   offsetof(tri_cache_slot_, base) == offsetof(tri_cache_slot, base) &&
                   offsetof(tri_cache_slot_, odd) == offsetof(tri_cache_slot, odd) &&
                   offsetof(tri_cache_slot_, bucket) == offsetof(tri_cache_slot, bucket) && TRI_GRANULE == 16,
               "the header knows a cache's slot");

TRI_API void *tri_alloc_site(tri_site *site) {
  uint32_t offset = __atomic_load_n(&site->slot, __ATOMIC_RELAXED);
  tri_cache_slot *slot = (tri_cache_slot *)(void *)((char *)tri_cache_self + offset);
  bool right = slot->bucket == __atomic_load_n(&site->bucket, __ATOMIC_RELAXED);
  void *object = tri_likely(right) ? tri_cache_slot_pop(slot) : NULL;
  return tri_likely(object) ? object : site_slow(site);
}

/* A site of arrays has no bucket of its own, whatever single objects of its type do. */
static void *alloc_site_array(tri_site *site, size_t bytes) {
  if (!is_started()) return no_memory();
  if (tri_unlikely(site->align > TRI_GRANULE)) return tri_alloc_aligned(site->align, bytes);
  return tri_alloc_layout(site_layout(site), bytes);
}

TRI_API void *tri_alloc_site_array(tri_site *site, size_t count) {
  size_t bytes;
  if (__builtin_mul_overflow(count, site->size, &bytes)) return no_memory();
  return TRI_KEEPING_ERRNO(alloc_site_array(site, bytes));
}

static void *alloc_site_growing(tri_site *site, size_t bytes, size_t written) {
  if (!is_started()) return no_memory();
  if (site->align > TRI_GRANULE || site_layout(site) != TRI_LAYOUT_NOSCAN) return alloc_site_array(site, bytes);
  char *array = tri_alloc_uninit(bytes);
  if (array) memset(array + written, 0, bytes - written);
  return array;
}

void *tri_alloc_site_growing(tri_site *site, size_t count, size_t written) {
  size_t bytes;
  if (__builtin_mul_overflow(count, site->size, &bytes)) return no_memory();
  return TRI_KEEPING_ERRNO(alloc_site_growing(site, bytes, written * site->size));
}
