/* tricolor/region.h - regions: objects of any number and size whose lifetimes end together. (Go: package arena)
 *
 *     tri_region *request = tri_region_begin();
 *     node *root = tri_region_new(request, node);            // zeroed, like tri_new's; a few instructions
 *     root->name = tri_region_strdup(request, "root");
 *     ...
 *     tri_region_end(request);                               // all of them at once; no collection had to find out
 *
 * A region takes blocks from the heap and hands them out from their starts. Its objects may point to others of the
 * region, to any object of the heap, and be pointed to from anywhere: the collector reads them conservatively. They
 * live until the region ends, or, when it never does, until nothing points to it, nor into the block they are in.
 *
 * Whoever ends a region vouches that nobody uses its objects any more, as with free. Under TRICOLOR_DEBUG=poison=1 they
 * are overwritten then, their memory is not used again for a while, and a later write into it ends the program with a
 * line that says where; with AddressSanitizer every later use is reported at once.
 *
 * A region is used by one thread at a time. No function may be called from a signal handler. tri_free and tri_realloc
 * take no objects of regions, and tri_base_of knows only the block.
 */
#ifndef TRICOLOR_REGION_H
#define TRICOLOR_REGION_H

#include <tricolor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tri_region tri_region;

/* An empty region; its first block comes with its first object. NULL with errno ENOMEM. (Go: arena.NewArena) */
TRI_API tri_region *tri_region_begin(void);

/* Ends all objects and the region: the memory is the heap's again at once. NULL is ignored; ending it again, and any
 * use of it afterwards, abort. O(blocks). (Go: Arena.Free) */
TRI_API void tri_region_end(tri_region *region);

/* Ends all objects, and keeps a block or two for those to come. O(blocks), and zeroes what it keeps. */
TRI_API void tri_region_reset(tri_region *region);

/* size bytes, zeroed, aligned to 16, read conservatively; size 0 gives an object of its own. NULL with errno ENOMEM.
 * _noscan is for data without pointers. */
static inline void *tri_region_alloc(tri_region *region, size_t size);
static inline void *tri_region_alloc_noscan(tri_region *region, size_t size);

/* count * size bytes, as tri_region_alloc, aligned to alignment: a power of two, at most 4096, otherwise NULL with
 * errno EINVAL. NULL with errno ENOMEM when the product overflows. */
TRI_API void *tri_region_alloc_array(tri_region *region, size_t alignment, size_t count, size_t size);

/* A zeroed T, an array of n zeroed Ts; T *, or NULL. (Go: arena.New, arena.MakeSlice) */
#define tri_region_new(region, T) ((T *)tri_region_alloc_array((region), TRI_ALIGNOF_(T), 1, sizeof(T)))
#define tri_region_make(region, T, n) ((T *)tri_region_alloc_array((region), TRI_ALIGNOF_(T), (n), sizeof(T)))

/* A copy of a string, terminated, not aligned. s must not be NULL. */
TRI_API char *tri_region_strdup(tri_region *region, const char *s) TRI_ATTR_MALLOC;

/* Bytes handed out since the beginning or the last reset, and bytes of the blocks that the region has. O(1). */
TRI_API size_t tri_region_used(const tri_region *region);
TRI_API size_t tri_region_reserved(const tri_region *region);

/* ---- The short ways, compiled into the program; the rest is the library's own, and changes with its SONAME */

TRI_API void *tri_region_alloc_long(tri_region *region, size_t size);
TRI_API void *tri_region_alloc_noscan_long(tri_region *region, size_t size);

/* What is left of a block. */
typedef struct tri_region_rest_ {
  char *next; /* aligned to 16, as end is */
  char *end;
} tri_region_rest_;

/* NULL: the long way. */
static inline void *tri_region_take_(tri_region_rest_ *rest, size_t size) {
  char *object = rest->next;
  if (__builtin_expect(size - 1 >= (size_t)(rest->end - object), 0)) return NULL; /* 0, or more than there is */
  rest->next = object + ((size + 15) & ~(size_t)15);
  return object;
}

/* A region begins with the two blocks that are in use: of objects that are read, and of those that are not. */
static inline void *tri_region_alloc(tri_region *region, size_t size) {
  tri_region_rest_ *rests = (tri_region_rest_ *)(void *)region;
  void *object = rests ? tri_region_take_(&rests[0], size) : NULL;
  return __builtin_expect(object != NULL, 1) ? object : tri_region_alloc_long(region, size);
}

static inline void *tri_region_alloc_noscan(tri_region *region, size_t size) {
  tri_region_rest_ *rests = (tri_region_rest_ *)(void *)region;
  void *object = rests ? tri_region_take_(&rests[1], size) : NULL;
  return __builtin_expect(object != NULL, 1) ? object : tri_region_alloc_noscan_long(region, size);
}

#ifdef __cplusplus
}
#endif
#endif
