/* page_tree.c - see page_tree.h. */
#include "heap/page_tree.h"

_Static_assert((TRI_PAGES_PER_CHUNK << TRI_TREE_SHIFT * TRI_TREE_LEAF) <= TRI_PAGE_SUM_MASK, "a root's fields fit");
_Static_assert(TRI_TREE_FANOUT * sizeof(tri_page_sum) == TRI_CACHE_LINE, "siblings fill a cache line");

/* Entries of a level, whole cache lines of them. */
static size_t level_entries(size_t level, size_t max_chunks) {
  size_t shift = TRI_TREE_SHIFT * (TRI_TREE_LEAF - level);
  return tri_align_up((max_chunks + ((size_t)1 << shift) - 1) >> shift, TRI_TREE_FANOUT);
}

/* Each level starts on a page of the system's, so that it can be committed by itself. */
static size_t reserved_entries(size_t level, size_t max_chunks) {
  return tri_align_up(level_entries(level, max_chunks) * sizeof(tri_page_sum), TRI_TABLE_PAGE) / sizeof(tri_page_sum);
}

size_t tri_page_tree_level_bytes(size_t level, size_t chunk_count) {
  return level_entries(level, chunk_count) * sizeof(tri_page_sum);
}

size_t tri_page_tree_size(size_t max_chunks) {
  size_t entries = 0;
  for (size_t level = 0; level < TRI_TREE_LEVELS; level++) entries += reserved_entries(level, max_chunks);
  return entries * sizeof(tri_page_sum);
}

void tri_page_tree_init(tri_page_tree *tree, void *table, size_t max_chunks) {
  tri_page_sum *at = table;
  TRI_ASSERT((uintptr_t)table % TRI_CACHE_LINE == 0);
  for (size_t level = 0; level < TRI_TREE_LEVELS; level++) {
    tree->level[level] = at;
    at += reserved_entries(level, max_chunks);
  }
  tree->roots = tree->first_root = 0;
}

/* The summary of eight siblings, each of which stands for span pages. */
static tri_page_sum merge(const tri_page_sum *sums, size_t span) {
  size_t start = SIZE_MAX, max = 0, run = 0;
  for (size_t i = 0; i < TRI_TREE_FANOUT; i++) {
    tri_page_sum sum = sums[i];
    run += tri_page_sum_start(sum);
    if (tri_page_sum_start(sum) == span) continue;
    if (start == SIZE_MAX) start = run;
    max = tri_max(max, tri_max(run, tri_page_sum_max(sum)));
    run = tri_page_sum_end(sum);
  }
  if (start == SIZE_MAX) start = run;
  return tri_page_sum_pack(start, tri_max(max, run), run);
}

/* Sums the entries [first, end) of a level up from those below; true when that changed one. */
TRI_INLINE bool sum_up(tri_page_tree *tree, size_t level, size_t first, size_t end) {
  bool changed = false;
  for (size_t i = first; i < end; i++) {
    tri_page_sum sum = merge(&tree->level[level + 1][i * TRI_TREE_FANOUT], tri_page_tree_span(level + 1));
    changed |= tree->level[level][i] != sum;
    tree->level[level][i] = sum;
  }
  return changed;
}

void tri_page_tree_update(tri_page_tree *tree, size_t first, size_t end) {
  bool changed = true;
  for (size_t level = TRI_TREE_LEAF; level-- > 0 && changed;) {
    first /= TRI_TREE_FANOUT;
    end = (end - 1) / TRI_TREE_FANOUT + 1;
    changed = sum_up(tree, level, first, end);
  }
  if (!changed) return;
  tree->roots = tri_max(tree->roots, end);
  tree->first_root = tri_min(tree->first_root, first);
}

void tri_page_tree_mend(tri_page_tree *tree, size_t chunk_count) {
  size_t end = chunk_count;
  for (size_t level = TRI_TREE_LEAF; level-- > 0;) {
    end = (end - 1) / TRI_TREE_FANOUT + 1;
    (void)sum_up(tree, level, 0, end);
  }
  tree->roots = end;
  tree->first_root = 0;
}

tri_page_hit tri_page_tree_find(tri_page_tree *tree, size_t count) {
  while (tree->first_root < tree->roots && tree->level[0][tree->first_root] == 0) tree->first_root++;
  size_t i = tree->first_root, end = tree->roots, run = 0, level = 0;
  while (i < end) {
    size_t span = tri_page_tree_span(level);
    tri_page_sum sum = tree->level[level][i];
    if (run + tri_page_sum_start(sum) >= count) return (tri_page_hit){.page = i * span - run};
    if (tri_page_sum_max(sum) >= count) {
      if (level == TRI_TREE_LEAF) return (tri_page_hit){.page = i * span, .in_chunk = true};
      level++;
      i *= TRI_TREE_FANOUT;
      end = i + TRI_TREE_FANOUT;
      run = 0;
      continue;
    }
    run = tri_page_sum_start(sum) == span ? run + span : tri_page_sum_end(sum);
    i++;
  }
  TRI_ASSERT(level == 0); /* an entry never promises what its children do not have */
  return (tri_page_hit){.page = SIZE_MAX};
}

size_t tri_page_tree_tail(const tri_page_tree *tree, size_t chunk_count) {
  size_t level = TRI_TREE_LEAF, i = chunk_count, tail = 0;
  while (i > 0) {
    if (level > 0 && i % TRI_TREE_FANOUT == 0) { /* all children exist, so that their parent tells as much */
      level--;
      i /= TRI_TREE_FANOUT;
      continue;
    }
    tri_page_sum sum = tree->level[level][--i];
    tail += tri_page_sum_end(sum);
    if (tri_page_sum_end(sum) != tri_page_tree_span(level)) break;
  }
  return tail;
}

void tri_page_tree_check(const tri_page_tree *tree, size_t chunk_count) {
  size_t count = chunk_count;
  for (size_t level = TRI_TREE_LEAF; level > 0; level--) {
    size_t parents = (count + TRI_TREE_FANOUT - 1) / TRI_TREE_FANOUT;
    for (size_t i = count; i < parents * TRI_TREE_FANOUT; i++)
      if (tree->level[level][i] != 0)
        tri_fatal("tri_page_tree_check: level %zu entry %zu is beyond the heap", level, i);
    for (size_t i = 0; i < parents; i++)
      if (tree->level[level - 1][i] != merge(&tree->level[level][i * TRI_TREE_FANOUT], tri_page_tree_span(level)))
        tri_fatal("tri_page_tree_check: level %zu entry %zu differs from its children", level - 1, i);
    count = parents;
  }
  for (size_t i = 0; i < count; i++)
    if (tree->level[0][i] != 0 && (i < tree->first_root || i >= tree->roots))
      tri_fatal("tri_page_tree_check: root %zu has free pages outside of [%zu, %zu)", i, tree->first_root, tree->roots);
}
