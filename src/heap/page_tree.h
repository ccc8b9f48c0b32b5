/* page_tree.h - where the free pages of a set of chunks are: a radix tree of summaries, searched in address order.
 *
 * A leaf sums up one chunk; a chunk that is not in the set, or not there, has the summary 0. Eight siblings fill a
 * cache line and are summed up by their parent. A root stands for 512 chunks (2 GiB); the roots are searched one by
 * one, and a run across any number of them adds up in a size_t: no size is too large. Searches cost 8 * (levels - 1)
 * steps and one for each root in use.
 *
 * The tables are memory that reads as zero; only the lines of existing chunks are written, and those beside them read.
 * The caller holds the page heap's lock. The idea is runtime/mpagealloc.go's; used by pages.c. */
#ifndef TRI_PAGE_TREE_H
#define TRI_PAGE_TREE_H

#include "heap/page_bits.h"

enum {
  TRI_TABLE_PAGE = 4096, /* tables start at multiples of this */
  TRI_TREE_LEVELS = 4,   /* 0: roots */
  TRI_TREE_LEAF = TRI_TREE_LEVELS - 1,
  TRI_TREE_SHIFT = 3,
  TRI_TREE_FANOUT = 1 << TRI_TREE_SHIFT,
};

typedef struct tri_page_tree {
  tri_page_sum *level[TRI_TREE_LEVELS];
  size_t roots;      /* in use */
  size_t first_root; /* no root below this one has a free page */
} tri_page_tree;

typedef struct tri_page_hit {
  size_t page;   /* SIZE_MAX: no such run */
  bool in_chunk; /* the run lies in the chunk of page, whose bits say where it begins; otherwise it begins at page */
} tri_page_hit;

/* Pages that one entry of a level sums up. */
TRI_INLINE size_t tri_page_tree_span(size_t level) {
  return (size_t)TRI_PAGES_PER_CHUNK << TRI_TREE_SHIFT * (TRI_TREE_LEAF - level);
}

size_t tri_page_tree_size(size_t max_chunks);
/* Bytes of a level that are touched for chunk_count chunks. */
size_t tri_page_tree_level_bytes(size_t level, size_t chunk_count);
void tri_page_tree_init(tri_page_tree *tree, void *table, size_t max_chunks);

/* Sets the leaf of a chunk; true when that changed it, and then tri_page_tree_update must follow. */
TRI_INLINE bool tri_page_tree_set(tri_page_tree *tree, size_t chunk, tri_page_sum sum) {
  tri_page_sum *leaf = &tree->level[TRI_TREE_LEAF][chunk];
  if (*leaf == sum) return false;
  *leaf = sum;
  return true;
}

/* Sums up anew what is above the leaves [first, end). */
void tri_page_tree_update(tri_page_tree *tree, size_t first, size_t end);

/* The same for all of chunk_count leaves, whatever stands above them. */
void tri_page_tree_mend(tri_page_tree *tree, size_t chunk_count);

/* The lowest run of count free pages. */
tri_page_hit tri_page_tree_find(tri_page_tree *tree, size_t count);

/* Free pages at the end of the first chunk_count chunks. */
size_t tri_page_tree_tail(const tri_page_tree *tree, size_t chunk_count);

/* Aborts when an entry is not what its children say. */
void tri_page_tree_check(const tri_page_tree *tree, size_t chunk_count);

#endif
