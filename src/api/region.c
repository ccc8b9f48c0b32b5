/* api/region.c - regions: see tricolor/region.h for what they promise.
 *
 * A region is an object of the heap with a table of its blocks; blocks are objects of the heap, too, of two kinds: read
 * conservatively, and without pointers. Of each kind one block is in use, from rest.next on; what is behind it is zero.
 * Blocks double from FIRST_BLOCK to LARGEST_BLOCK bytes, faster for large objects; one that would waste much of the
 * largest gets a block of its own. A block does not point to the region nor to other blocks: who keeps a pointer into
 * it keeps that block alone.
 *
 * A block begins with a header that no object lies in, so that tri_free of an object is refused. Ended blocks are
 * freed; under poison they are overwritten and wait in line first, and when they leave it each is looked at: a byte
 * that is not the poison's was written after the end. The line is shared by all regions; whoever takes a block out owns
 * it, so it has no lock. It keeps its blocks: it is no own data of the library's. No other state is shared. */
#include <stdatomic.h>
#include <string.h>
#include <tricolor/region.h>

#include "api/link.h"
#include "base/fmt.h"
#include "heap/heap.h"

enum {
  FIRST_BLOCK = 4096,
  LARGEST_BLOCK = 256 * 1024,
  SHARE = 4, /* a block is so many times the object that it is made for */
  KINDS = 2,
  LINE = 64, /* ended blocks that wait */
  ALIGNMENT_MAX = 4096,
};
enum { SCANNED, PLAIN };

/* What a block begins with. */
typedef struct block {
  size_t size; /* with this header */
  size_t is_plain;
} block;
_Static_assert(sizeof(block) == TRI_GRANULE, "what follows it is aligned");

struct tri_region {
  tri_region_rest_ rests[KINDS]; /* the header knows that they come first */
  block **blocks;
  block *current[KINDS];
  size_t count, capacity;
  size_t reserved, wasted; /* bytes of blocks; of them not handed out: headers, ends of blocks that were left */
  bool is_over;
};

/* ---- blocks whose objects have ended ---- */

static _Atomic(block *) line[LINE];
static _Atomic(uint32_t) line_end;

__attribute__((weak)) void __asan_poison_memory_region(const volatile void *start, size_t size);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *start, size_t size);

__attribute__((no_sanitize("address"))) static const unsigned char *find_written(const block *ended) {
  const unsigned char *bytes = (const unsigned char *)ended;
  for (size_t i = sizeof *ended; i < ended->size; i++)
    if (bytes[i] != TRI_POISON_BYTE) return bytes + i;
  return NULL;
}

static void free_checked(block *ended) {
  const unsigned char *written = find_written(ended);
  if (written)
    tri_fatal("tri_region_end: the byte at %p was written after its region ended (%zu bytes into the block at %p)",
              (const void *)written, (size_t)(written - (const unsigned char *)ended), (void *)ended);
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(ended + 1, ended->size - sizeof *ended);
  tri_free(ended);
}

/* Puts it into the line, and takes out what has been there longest. */
static void line_up(block *ended) {
  memset(ended + 1, TRI_POISON_BYTE, ended->size - sizeof *ended);
  if (__asan_poison_memory_region) __asan_poison_memory_region(ended + 1, ended->size - sizeof *ended);
  block *oldest = atomic_exchange(&line[atomic_fetch_add(&line_end, 1) % LINE], ended);
  if (oldest) free_checked(oldest);
}

static void block_free(block *ended) {
  if (tri_the_heap.poison)
    line_up(ended);
  else
    tri_free(ended);
}

/* ---- the table ---- */

static bool make_room(tri_region *region) {
  if (region->count < region->capacity) return true;
  size_t capacity = region->capacity ? region->capacity * 2 : 8;
  block **blocks = tri_realloc(region->blocks, capacity * sizeof *blocks);
  if (!blocks) return false;
  region->blocks = blocks;
  region->capacity = capacity;
  return true;
}

/* A block for size bytes at least, header and all; NULL with errno ENOMEM. */
static block *block_new(tri_region *region, int kind, size_t size) {
  if (!make_room(region)) return NULL;
  block *new = kind == PLAIN ? tri_alloc_noscan(size) : tri_alloc(size);
  if (!new) return NULL;
  *new = (block){tri_size_of(new) & ~(size_t)(TRI_GRANULE - 1), kind == PLAIN};
  region->blocks[region->count++] = new;
  region->reserved += new->size;
  return new;
}

static size_t rest_of(const tri_region *region, int kind) {
  return (size_t)(region->rests[kind].end - region->rests[kind].next);
}

static void use(tri_region *region, int kind, block *new) {
  region->current[kind] = new;
  region->rests[kind] = (tri_region_rest_){(char *)(new + 1), (char *)new + new->size};
}

/* ---- objects ---- */

static void check(const tri_region *region, const char *call) {
  if (!region) tri_fatal("%s: the region is NULL", call);
  if (region->is_over) tri_fatal("%s: the region at %p has ended", call, (const void *)region);
}

/* Of the block that comes next, for an object of so many bytes with a header. */
static size_t next_size(const tri_region *region, int kind, size_t needed) {
  const block *current = region->current[kind];
  if (needed > LARGEST_BLOCK / SHARE) return needed;
  return tri_min(tri_max(current ? current->size * 2 : FIRST_BLOCK, needed * SHARE), LARGEST_BLOCK);
}

static void *alloc_from_new(tri_region *region, int kind, size_t alignment, size_t size) {
  size_t needed;
  if (__builtin_add_overflow(size, sizeof(block) + TRI_GRANULE + alignment, &needed)) {
    errno = ENOMEM;
    return NULL;
  }
  block *new = block_new(region, kind, next_size(region, kind, needed));
  if (!new) return NULL;
  char *object = (char *)tri_align_up((uintptr_t)(new + 1), alignment),
       *next = object + tri_align_up(size, TRI_GRANULE);
  if (needed > LARGEST_BLOCK / SHARE) {
    region->wasted += new->size - (size_t)(next - object);
  } else {
    region->wasted += rest_of(region, kind) + (size_t)(object - (char *)new);
    use(region, kind, new);
    region->rests[kind].next = next;
  }
  return object;
}

/* size 0 is taken as 1. */
static void *alloc_aligned(tri_region *region, int kind, size_t alignment, size_t size) {
  tri_region_rest_ *rest = &region->rests[kind];
  if (!size) size = 1;
  size_t skip = -(uintptr_t)rest->next & (alignment - 1), room = rest_of(region, kind);
  if (skip > room || size > room - skip) return TRI_KEEPING_ERRNO(alloc_from_new(region, kind, alignment, size));
  void *object = rest->next + skip;
  rest->next += skip + tri_align_up(size, TRI_GRANULE);
  return object;
}

TRI_API void *tri_region_alloc_long(tri_region *region, size_t size) {
  check(region, "tri_region_alloc");
  return alloc_aligned(region, SCANNED, TRI_GRANULE, size);
}

TRI_API void *tri_region_alloc_noscan_long(tri_region *region, size_t size) {
  check(region, "tri_region_alloc_noscan");
  return alloc_aligned(region, PLAIN, TRI_GRANULE, size);
}

TRI_API void *tri_region_alloc_array(tri_region *region, size_t alignment, size_t count, size_t size) {
  size_t bytes;
  check(region, "tri_region_alloc_array");
  if (!alignment || alignment & (alignment - 1) || alignment > ALIGNMENT_MAX) {
    errno = EINVAL;
    return NULL;
  }
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  return alloc_aligned(region, SCANNED, tri_max(alignment, TRI_GRANULE), bytes);
}

TRI_API char *tri_region_strdup(tri_region *region, const char *s) {
  check(region, "tri_region_strdup");
  size_t size = strlen(s) + 1;
  char *copy = tri_region_alloc_noscan(region, size);
  return copy ? memcpy(copy, s, size) : NULL;
}

/* ---- lifetimes ---- */

TRI_API tri_region *tri_region_begin(void) { return tri_alloc(sizeof(tri_region)); }

TRI_API void tri_region_end(tri_region *region) {
  if (!region) return;
  check(region, "tri_region_end");
  for (size_t i = 0; i < region->count; i++) block_free(region->blocks[i]);
  tri_free(region->blocks);
  *region = (tri_region){.is_over = true};
}

/* The block in use of each kind is the largest, and kept; under poison nothing is, for its objects are to be found. */
TRI_API void tri_region_reset(tri_region *region) {
  check(region, "tri_region_reset");
  size_t kept = 0, reserved = 0;
  for (int kind = 0; kind < KINDS; kind++)
    if (tri_the_heap.poison) {
      region->current[kind] = NULL;
      region->rests[kind] = (tri_region_rest_){0};
    }
  for (size_t i = 0; i < region->count; i++) {
    block *one = region->blocks[i];
    if (one != region->current[one->is_plain]) {
      block_free(one);
      continue;
    }
    memset(one + 1, 0, (size_t)(region->rests[one->is_plain].next - (char *)(one + 1)));
    use(region, (int)one->is_plain, one);
    region->blocks[kept++] = one;
    reserved += one->size;
  }
  for (size_t i = kept; i < region->count; i++) region->blocks[i] = NULL;
  region->count = kept;
  region->reserved = reserved;
  region->wasted = kept * sizeof(block);
}

TRI_API size_t tri_region_used(const tri_region *region) {
  check(region, "tri_region_used");
  return region->reserved - region->wasted - rest_of(region, SCANNED) - rest_of(region, PLAIN);
}

TRI_API size_t tri_region_reserved(const tri_region *region) {
  check(region, "tri_region_reserved");
  return region->reserved;
}
