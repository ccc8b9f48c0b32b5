/* pages.h - which 8 KiB pages of the heap are free: bitmaps and radix summaries, address-ordered first fit.
 *
 * Follows runtime/mpagealloc.go, mpallocbits.go and mpagecache.go. Pure: it knows page numbers, not memory; the caller
 * holds the heap lock (except for the tri_page_cache functions marked "no lock"), maps pages to addresses and talks to
 * the system.
 *
 * A chunk is 512 pages (4 MiB). Each chunk is unassigned (all free, but for pages on their way back to the system) or
 * belongs to one kind: pointer-bearing and pointer-free spans live in different chunks, so that only the former are
 * ever scanned or watched. A chunk that becomes all free turns unassigned again. Two radix trees (page_tree.h) for each
 * kind: one of its own chunks, and one of these and the unassigned together, asked when the first has no room.
 *
 * Three bits per page: allocated; released (the system has the memory back, or never provided it); zero (known to read
 * as zero). Only free pages are released or zero; released implies zero. In a chunk marked huge, the system provides
 * memory by 2 MiB blocks: allocating any page of a block makes the whole block not released, while its untouched pages
 * keep their zero bit. */
#ifndef TRI_PAGES_H
#define TRI_PAGES_H

#include "heap/page_tree.h"

typedef enum tri_pages_kind {
  TRI_PAGES_SCAN,   /* may hold pointers */
  TRI_PAGES_NOSCAN, /* never do */
  TRI_PAGES_KINDS
} tri_pages_kind;

#define TRI_PAGES_NONE SIZE_MAX
enum { TRI_PAGES_PER_HUGE = 256 };

typedef struct tri_pages tri_pages; /* defined below, for embedding */

/* What an allocation got. */
typedef struct tri_pages_run {
  size_t page; /* first page, or TRI_PAGES_NONE */
  size_t count;
  size_t unreleased; /* pages that were released and that the system now has to provide: by which HeapReleased falls */
  bool zero;         /* every page of the run is known to be zero */
} tri_pages_run;

/* The memory the tables need for max_chunks chunks; it must read as zero and may be committed on touch. */
size_t tri_pages_table_size(size_t max_chunks);

/* The parts of the tables that are touched when there are chunk_count chunks; each starts at a multiple of 4 KiB and is
 * followed by reserved space of its own. Who commits memory as it is needed does so by these before tri_pages_grow. */
typedef struct tri_pages_slice {
  void *start;
  size_t size;
} tri_pages_slice;
enum { TRI_PAGES_SLICES = 2 * TRI_PAGES_KINDS * TRI_TREE_LEVELS + 4 };
void tri_pages_slices(const tri_pages *pages, size_t chunk_count, tri_pages_slice slices[TRI_PAGES_SLICES]);

void tri_pages_init(tri_pages *pages, void *table, size_t max_chunks);

/* Adds count fresh chunks after those there are: unassigned, released, zero. huge: see above. */
void tri_pages_grow(tri_pages *pages, size_t count, bool huge);

/* First fit by address among the chunks of the kind, then among these and the unassigned chunks together (which are
 * assigned). Runs may span chunks. page is TRI_PAGES_NONE when there is no such run. Searching costs O(log chunks), and
 * a step per 2 GiB in use; a run costs O(its chunks). */
tri_pages_run tri_pages_alloc(tri_pages *pages, tri_pages_kind kind, size_t count);

/* The number of fresh chunks that would make an allocation of count pages, which found no room, succeed: what is free
 * for the kind at the end of the last chunks counts. 0: there is room. */
size_t tri_pages_chunks_wanted(const tri_pages *pages, tri_pages_kind kind, size_t count);

/* Frees [page, page + count), which must be allocated and of one kind; its memory is taken as written. */
void tri_pages_free(tri_pages *pages, size_t page, size_t count);

/* ---- returning memory ---- */

/* Picks the highest run of free unreleased pages within a chunk, of at most max_pages; in huge chunks only blocks of 2
 * MiB that are wholly free, unless any is true, and these are not cut: max_pages then counts as rounded up to blocks.
 * The pages are taken out (allocated) so that the lock may be dropped while the system takes the memory; then
 * tri_pages_released puts them back, released when done is true. unreleased is by how much HeapReleased then rises:
 * count. count 0: nothing to return. */
tri_pages_run tri_pages_take_unreleased(tri_pages *pages, size_t max_pages, bool any);
void tri_pages_released(tri_pages *pages, tri_pages_run run, bool done);

/* ---- per-thread cache: 64 aligned pages, handed out without the lock ---- */

typedef struct tri_page_cache {
  size_t base;   /* first of 64 pages */
  uint64_t free; /* bit i: page base + i is in the cache */
  uint64_t zero; /* of those: known zero */
} tri_page_cache;

/* Moves all free pages of one aligned group of 64 into an empty cache; the pages count as allocated and not released.
 * Returns the run's unreleased count; cache->free 0 when there is no free page of the kind. */
size_t tri_page_cache_fill(tri_pages *pages, tri_pages_kind kind, tri_page_cache *cache);
/* Takes count (1 to 16) adjacent pages; run.page is TRI_PAGES_NONE when there are none. No lock: the owner's. */
tri_pages_run tri_page_cache_alloc(tri_page_cache *cache, size_t count);
/* Gives everything left back. */
void tri_page_cache_flush(tri_pages *pages, tri_page_cache *cache);

/* ---- mending ---- */

/* For heap/mend.c: whatever change of the tables was cut short, makes them say that of the chunks there are exactly the
 * pages are allocated for which is_used holds. Their kinds, and what is known of free pages, stay. */
void tri_pages_mend(tri_pages *pages, bool (*is_used)(size_t page));

/* ---- figures ---- */

size_t tri_pages_chunk_count(const tri_pages *pages);
tri_pages_kind tri_pages_kind_of(const tri_pages *pages, size_t page); /* TRI_PAGES_KINDS when unassigned */
bool tri_pages_is_allocated(const tri_pages *pages, size_t page);
size_t tri_pages_allocated(const tri_pages *pages);     /* pages allocated, caches' included */
size_t tri_pages_free_released(const tri_pages *pages); /* free pages that are released */

/* Walks every table and aborts on the first broken invariant (summaries against bits, counts, released implies zero).
 * Debug and tests. */
void tri_pages_check(const tri_pages *pages);

/* The definition, for embedding only. */
struct tri_pages_chunk; /* 512 x (allocated, released, zero); in pages.c */
struct tri_pages_tag;   /* a chunk's kind, and whether it is huge; in pages.c */
struct tri_pages {
  struct tri_pages_chunk *chunks;
  struct tri_pages_tag *tags;
  size_t max_chunks, chunk_count;
  tri_page_tree own[TRI_PAGES_KINDS];  /* the chunks of the kind */
  tri_page_tree open[TRI_PAGES_KINDS]; /* the unassigned ones, and the ends of these: see open_leaf in pages.c */
  uint64_t *returnable[2];             /* bit per chunk: has pages for tri_pages_take_unreleased; index: any */
  size_t allocated, free_released;
  size_t taken; /* pages between tri_pages_take_unreleased and tri_pages_released */
};

#endif
